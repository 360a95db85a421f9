"""The deployment that a rehearsal sets up on one server: a VIP that no client uses, on an adapter of its own. Pure."""

from __future__ import annotations

import msgspec

from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip

VIP, VIP6 = "192.0.2.77", "2001:db8::77"
"""Addresses of documentation, which no network routes (RFC 5737, RFC 3849)."""
PORT = 9
"""discard: no program listens there, so the firewall rule of the rehearsal opens nothing."""
ADAPTER = "dsrwizard-rehearsal"


def trial(deployment: Deployment, server: RealServer) -> Deployment:
    """What is set up on `server`. Nobody balances it, so the director is left alone; IPv6 only where the server has an
    address of it."""
    vips = (VIP, VIP6) if server.rip_for(Vip(address=VIP6, services=())) else (VIP,)
    own = msgspec.structs.replace(server, vip_interface=ADAPTER, vips=None)
    return Deployment(
        name=f"rehearsal-{server.name}",
        director=Director(interface=deployment.director.interface, engine="external"),
        vips=tuple(Vip(address=vip, services=(Service(port=PORT),)) for vip in vips),
        servers=(own,),
    )
