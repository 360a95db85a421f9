"""A real server behind a packet filter, for tests: what its rules make of a client's packet, and of the reply."""

from __future__ import annotations

from typing import Literal

import msgspec

from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.linux.filters import first_packet, into, out_of
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.diagnosis.systems import server_views
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.packet_filter import FilterChain
from tests.unit.diagnosed import VIP, Farm

Walked = Literal["open", "drops", "undecided"]


def behind(chains: tuple[FilterChain, ...], name: str = "web1", addresses: tuple[str, ...] = (VIP,)) -> ServerView:
    """One server of a healthy farm with these chains."""
    farm = Farm(addresses=addresses)
    seen = farm.observed()
    facts = seen.servers[name]
    assert facts.linux is not None
    facts = msgspec.structs.replace(facts, linux=msgspec.structs.replace(facts.linux, chains=chains))
    observed = msgspec.structs.replace(seen, servers={**seen.servers, name: facts})
    views = server_views(Evidence.gathered(farm.deployment, observed))
    return next(view for view in views if view.name == name)


def walked(
    view: ServerView,
    port: int = 80,
    source: str = "203.0.113.10",
    address: str = VIP,
    protocol: Literal["tcp", "udp"] = "tcp",
) -> Walked:
    """What becomes of a connection: of its first packet, and then of the reply to it."""
    packet = first_packet(view, Vip(address=address, services=()), Service(port=port, protocol=protocol), source)
    coming = into(view, packet)
    if coming.hits:
        return "drops"
    if coming.perhaps:
        return "undecided"
    going = out_of(view, packet, "eth0")
    return "drops" if going.hits else "undecided" if going.perhaps else "open"
