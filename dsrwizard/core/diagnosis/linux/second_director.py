"""Real servers that balance too: their own IPVS takes the VIP's packets before any socket does and passes them on.

Two that pass packets to each other let a SYN go round until its TTL is over. A service by firewall mark that leaves out
what comes from a director's MAC is how real servers are standby directors without that; so it is no fault.
"""

from __future__ import annotations

from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.linux.filters import first_packet, into
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.linux_facts import OwnBalancer
from dsrwizard.core.model.values import canonical, endpoint


def balancer(view: ServerView, faults: Found) -> Check:
    """`server.balancer`: whether any of its VIPs' packets run into its own IPVS."""
    where = Where(check="server.balancer", host=view.name)
    for vip in view.vips:
        for service in vip.services:
            told = passed_on(view, faults, vip, service, where, "")
            if told is not None:
                return told
    known = faults.find(view.name, "second-director")
    if known is not None:
        return where.follows(known)
    looked = view.facts.linux if view.facts is not None else None
    if looked is None or looked.balancer is None:
        fault = faults.cut_off(view.name)
        if fault:
            return where.follows(fault)
        why = "no login there" if view.facts is None else "/proc/net/ip_vs cannot be read there"
        return where.unknown(
            f"Could not check whether {view.name} has IPVS services of its own.", why, f"On {view.name}: ipvsadm -Ln"
        )
    return where.passed(f"No IPVS of {view.name} takes packets for the VIP.", _kept(looked.balancer))


def passed_on(view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str) -> Check | None:
    """The fault of a server whose IPVS passes this service's packets on; None: none is seen."""
    found = taking(view, vip, service)
    if found is None or (found.here and not found.elsewhere):
        return None
    name, target = view.name, endpoint(vip.address, service.port)
    to = sorted({_named(view, address) for address in found.elsewhere})
    what = f"passes packets for {target} on to {', '.join(to)}" if to else f"takes packets for {target} and drops them"
    flag = {"tcp": "-t", "udp": "-u", "sctp": "--sctp-service"}.get(found.protocol, "-f")
    place = str(found.port) if found.protocol == "fwm" else endpoint(found.address, found.port)
    told = f"IPVS there: {flag} {place} -> {', '.join(found.elsewhere) or 'nobody'}"
    if view.server.weight == 0:
        return where.skipped(f"{name} is a balancer too: its own IPVS {what}. It has weight 0, so none come.", told)
    return faults.fail(
        where, Fault(host=name, cause="second-director", vip=vip.address, service=service.label),
        f"{name} is a balancer too: its own IPVS {what}.", f"{seen}; {told}" if seen else told,
        f"On {name}: ipvsadm -D {flag} {place}",
        shared=found.protocol == "fwm",
    )  # fmt: skip


def taking(view: ServerView, vip: Vip, service: Service) -> OwnBalancer | None:
    """The server's own IPVS service that a packet for this one meets first; None: none, or not known."""
    looked = view.facts.linux if view.facts is not None else None
    services = (looked.balancer if looked is not None else None) or ()
    marked = any(one.protocol == "fwm" for one in services)
    marks = into(view, first_packet(view, vip, service)).packet.marks if marked else frozenset()
    # IPVS looks for a mark first, then for the port, then for port 0 (ip_vs_service_find).
    for wanted in (
        [one for one in services if one.protocol == "fwm" and marks == {one.port}],
        [one for one in services if _is(one, vip, service, service.port)],
        [one for one in services if _is(one, vip, service, 0)],
    ):
        if wanted:
            return wanted[0]
    return None


def _is(one: OwnBalancer, vip: Vip, service: Service, port: int) -> bool:
    same = one.protocol == service.protocol and one.port == port
    return same and canonical(one.address) == canonical(vip.address)


def _named(view: ServerView, address: str) -> str:
    for server in view.evidence.deployment.servers:
        if canonical(address) in {canonical(one) for one in (server.address, server.address6) if one}:
            return f"{server.name} ({address})"
    return address


def _kept(services: tuple[OwnBalancer, ...]) -> str:
    return f"{len(services)} IPVS services of its own" if services else "no IPVS services"
