"""The check `director.entry`: whether clients' packets that came in made an entry in IPVS.

A connection that came in on an interface of this machine and has no entry was lost here, between the network card and
IPVS. No neighbour's table is to blame for it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsrwizard.core.diagnosis.director_filter import convict, follow, packet_of
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.filter_walk import Hit
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.model.answers import Arrival
from dsrwizard.core.model.causes import Cause
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import Tried
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical

EXPLAINS: tuple[Cause, ...] = ("director-vip", "firewall", "director-setting", "vip-as-source", "ipvs-missing")
"""Faults of the director by which a packet that came in makes no entry."""
_SHOWN = 3


def entries(evidence: Evidence, faults: Found) -> list[Check]:
    """`director.entry` for every TCP service that something was lost for; nothing where nobody listened. What a client
    host does, or does not, says nothing of a director that took all that came in."""
    if evidence.arrivals is None or evidence.arrivals.problem or evidence.entered is None:
        return []
    return [
        check
        for vip in evidence.deployment.vips
        for service in vip.services
        if service.protocol == "tcp"
        for check in _service(evidence, faults, vip, service)
    ]


def _service(evidence: Evidence, faults: Found, vip: Vip, service: Service) -> list[Check]:
    where = Where(check="director.entry", host=DIRECTOR, vip=vip.address, service=service.label)
    entered = evidence.entered
    came = _of(evidence.arrivals.seen if evidence.arrivals else (), vip, service)
    if entered is None or not came:
        return []
    target = f"{vip.address} {service.label}"
    if entered.problem:
        return [where.unknown(f"It is not known whether IPVS took the connections to {target}.", entered.problem)]
    lost = _of(entered.lost, vip, service)
    if not lost:
        return []
    if not able(evidence, vip, service):
        return [where.skipped(f"IPVS has no server for {target} that takes new connections.")]
    seen = told(lost)
    known = known_fault(faults, vip, service)
    if known is not None:
        return [
            where.follows(known, f"{len(lost)} of {len(came)} connections to {target} came in and made no entry.", seen)
        ]
    rising = _rising(evidence, vip, service, lost)
    if rising:
        return [convict(evidence, faults, (vip, service), [(vip, service)], rising)]
    return [
        where.unknown(
            f"{len(lost)} of {len(came)} connections to {target} came in at the director and made no entry in IPVS: "
            "something on this machine drops them.",
            _joined(seen, _counters(evidence)),
            "On the director, while a client connects: nft list ruleset; iptables-save -c (a counter that rises); "
            "ip rule; nstat | grep -iE 'filter|discard|noroute'; tc filter show dev INTERFACE ingress; bpftool net",
        )
    ]  # fmt: skip


def _of(arrivals: Sequence[Arrival], vip: Vip, service: Service) -> list[Arrival]:
    return [one for one in arrivals if canonical(one.vip) == canonical(vip.address) and one.port == service.port]


def able(evidence: Evidence, vip: Vip, service: Service) -> bool:
    """Whether IPVS has the service, with a destination that takes new connections."""
    facts = evidence.observed.director
    for one in (facts.services if facts else None) or ():
        key = one.key
        if (canonical(key.address), key.protocol, key.port) == (canonical(vip.address), service.protocol, service.port):
            return any(destination.state.weight > 0 for destination in one.destinations)
    return False


def told(lost: Sequence[Arrival]) -> str:
    """What came in, as evidence."""
    shown = ", ".join(f"{one.client} port {one.client_port} on {one.interface}" for one in lost[:_SHOWN])
    return f"came in without an entry: {shown}" + (f" and {len(lost) - _SHOWN} more" if len(lost) > _SHOWN else "")


def known_fault(faults: Found, vip: Vip, service: Service) -> Fault | None:
    """What is known of the director that explains it."""
    for cause in EXPLAINS:
        fault = faults.find(DIRECTOR, cause, vip=vip.address, service=service.label)
        if fault is not None and not fault.aside:
            return fault
    return None


def _rising(evidence: Evidence, vip: Vip, service: Service, lost: Sequence[Arrival]) -> list[Hit]:
    """Rules that may take these very packets, and whose counters rose meanwhile."""
    after = evidence.director_after
    if after is None or after.chains is None:
        return []
    now = {
        (chain.tool, chain.table, chain.name, _plain(rule)): _count(rule)
        for chain in after.chains
        for rule in chain.rules
    }
    policies = {(chain.tool, chain.table, chain.name): chain.policy_packets for chain in after.chains}
    found: dict[Hit, None] = {}
    for one in lost[:_SHOWN]:
        fate = follow(evidence, packet_of(evidence, vip, service, canonical(one.client), one.interface))
        for hit in (*fate.hits, *fate.perhaps, *fate.some):
            place = (hit.chain.tool, hit.chain.table, hit.chain.name)
            later = now.get((*place, _plain(hit.rule))) if hit.rule else policies.get(place)
            if later is not None and hit.packets is not None and later > hit.packets:
                found[hit] = None
    return list(found)


_NFT_COUNTER = re.compile(r"\bpackets (\d+) bytes \d+")


def _plain(rule: str) -> str:
    """A rule without its counters."""
    return rule.partition("] ")[2] if rule.startswith("[") else _NFT_COUNTER.sub("", rule)


def _count(rule: str) -> int | None:
    if rule.startswith("["):
        return int(rule[1:].partition(":")[0])
    counter = _NFT_COUNTER.search(rule)
    return int(counter[1]) if counter else None


def _counters(evidence: Evidence) -> str:
    before, after = evidence.director_look, evidence.director_after
    if before is None or after is None:
        return ""
    risen = [
        f"{name.removeprefix('TcpExt').removeprefix('IpExt')} rose by {value - before.counters[name]}"
        for name, value in after.counters.items() if value > before.counters.get(name, value)
    ]  # fmt: skip
    return ", ".join(risen)


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)


# -- for the client's own connections


def came(evidence: Evidence, vip: Vip, tries: Sequence[Tried]) -> list[Arrival]:
    """Those of the client host's connections that came in; behind a NAT that keeps ports they are known by these."""
    if evidence.arrivals is None or evidence.arrivals.problem:
        return []
    ports = {(one.client_port, one.port) for one in tries if one.client_port}
    own = {canonical(one.client) for one in tries if one.client}
    mine = [
        one for one in evidence.arrivals.seen
        if canonical(one.vip) == canonical(vip.address) and (one.client_port, one.port) in ports
    ]  # fmt: skip
    exact = [one for one in mine if canonical(one.client) in own]
    return exact or mine
