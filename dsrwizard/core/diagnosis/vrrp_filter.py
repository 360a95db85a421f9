"""Packet filters of directors that keep them from hearing each other: what drops the adverts of the other one, and the
command that lets them in. VRRP is a protocol of its own beside TCP and UDP, with the number 112 (RFC 5798 5.1.1.4)."""

from __future__ import annotations

from typing import NamedTuple

from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.filter_fix import admitting_protocol, undo
from dsrwizard.core.diagnosis.filter_match import ClientPacket
from dsrwizard.core.diagnosis.filter_walk import IN, FilterWay
from dsrwizard.core.model.packet_filter import FilterChain
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.keepalived import director_hosts, side_of

VRRP = "vrrp"


class Muted(NamedTuple):
    """A director that drops the other's adverts: by which rule, and what lets them in."""

    host: str
    rule: str
    fix: str

    @property
    def words(self) -> str:
        return f"On {'the director' if self.host == DIRECTOR else self.host}: {self.fix}"


def muted(evidence: Evidence) -> list[Muted]:
    """Every director whose packet filter was looked at and surely drops them."""
    found: list[Muted] = []
    deployment = evidence.deployment
    for host in director_hosts(deployment, evidence.observed):
        side = side_of(deployment, host, evidence.observed)
        chains = _chains(evidence, host.name)
        if isinstance(side, str) or side.other is None or not chains:
            continue
        packet = ClientPacket(
            family=6 if ":" in side.address else 4, vip=canonical(side.address), protocol=VRRP, port=0,
            client=canonical(side.other), incoming=side.interface, home=side.interface, flags=frozenset(),
        )  # fmt: skip
        way = FilterWay(chains, packet)
        way.through(*IN)
        hits = way.found().hits
        if hits:
            fixes = list(dict.fromkeys(admitting_protocol(hit, packet) for hit in hits))
            found.append(Muted(host.name, hits[0].text, f"{' && '.join(fixes)}{undo(fixes)}"))
    return found


def _chains(evidence: Evidence, name: str) -> tuple[FilterChain, ...]:
    """Those of a director; none where they are not known."""
    if name == DIRECTOR:
        return (evidence.director_look.chains if evidence.director_look is not None else None) or ()
    facts = evidence.observed.servers.get(name)
    return (facts.linux.chains if facts is not None and facts.linux is not None else None) or ()
