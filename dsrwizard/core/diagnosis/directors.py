"""The check `director.role`: which of several directors holds each VIP. Exactly one may.

This machine knows its own addresses; of the others it asks the wire: who answers for a VIP by the MAC that also answers
for a director's own address is that director. With BGP every director holds the VIPs, so there is no such question.
"""

from __future__ import annotations

from ipaddress import ip_address

import msgspec

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.evidence import Evidence, mac, own_macs
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.vrrp_filter import muted
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Deployment, Vip, Vrrp, same_in
from dsrwizard.core.model.keepalived import KeepalivedFacts
from dsrwizard.core.model.steps import DIRECTOR


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a VIP. `here` None: this machine's addresses are not known; `others` by name; `problem`: why the wire
    could not be asked, and then `others` means nothing."""

    here: bool | None
    others: tuple[str, ...] = ()
    problem: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Every holder."""
        return ((DIRECTOR,) if self.here else ()) + self.others


def holding(evidence: Evidence, vip: Vip) -> Holding:
    """Who holds it now."""
    facts = evidence.observed.director
    here = None
    if evidence.held is not None:
        here = same_in(vip.address, evidence.held)
    elif facts is not None:
        here = any(
            link.up and ip_address(entry.address) == vip.ip and not entry.tentative
            for link in facts.interfaces
            for entry in link.addresses
        )
    owners = evidence.owner(vip.address)
    if owners.problem:
        return Holding(here=here, problem=owners.problem)
    names = [evidence.peer_macs.get(mac(one)) for one in owners.macs]
    return Holding(here=here, others=tuple(dict.fromkeys(name for name in names if name is not None)))


def in_doubt(evidence: Evidence) -> bool:
    """Whether a VIP has no holder or two. This machine's addresses and the wire are looked at one after the other, and
    the wire for seconds: a handover meanwhile looks like either."""
    if not evidence.deployment.director.by_turns:
        return False
    found = [holding(evidence, vip) for vip in evidence.deployment.vips]
    return any(one.here is not None and not one.problem and len(one.names) != 1 for one in found)


def holder_macs(evidence: Evidence, vip: Vip) -> frozenset[str]:
    """MACs of the one director that holds a VIP by turns: who sends to another one missed the change. Empty where that
    is not so, or not known."""
    found = holding(evidence, vip) if evidence.deployment.director.by_turns else None
    if found is None or found.here is None or found.problem or len(found.names) != 1:
        return frozenset()
    if found.here:
        return own_macs(evidence)
    return frozenset(one for one, name in evidence.peer_macs.items() if name in found.others)


def preempts_in(deployment: Deployment, seen: KeepalivedFacts | None) -> int | None:
    """In how many seconds this director, which is the preferred one and stands by, takes the VIPs back; None: not
    known. keepalived waits from when it first hears the other one; what is known is when it was started."""
    if seen is None or not seen.running or seen.age is None:
        return None
    left = (deployment.director.vrrp or Vrrp()).waits - seen.age
    return left if left > 0 else None


def elsewhere(evidence: Evidence, vip: Vip) -> str:
    """The name of the other director that holds the VIP while this one stands by; empty where that is not so."""
    found = holding(evidence, vip) if evidence.deployment.director.by_turns else None
    return " and ".join(found.others) if found is not None and found.here is False else ""


def roles(evidence: Evidence, faults: Found) -> list[Check]:
    """One for every VIP, where directors hold them by turns."""
    if not evidence.deployment.director.by_turns:
        return []
    return [_role(evidence, faults, vip) for vip in evidence.deployment.vips]


def _role(evidence: Evidence, faults: Found, vip: Vip) -> Check:
    where = Where(check="director.role", host=DIRECTOR, vip=vip.address)
    found = holding(evidence, vip)
    peers = evidence.deployment.director.peers
    if found.here is None or found.problem:
        why = found.problem or "the director's own addresses are not known"
        return where.unknown(
            f"Which director holds {vip.address} could not be seen.", why, "Run dsrwizard as root on a director."
        )
    silent = [one.name for one in peers if one.name not in evidence.peer_macs.values()]
    unheard = f"; {', '.join(silent)} does not answer at its own address" if silent else ""
    seen = f"{_who(found)}{unheard}"
    if len(found.names) > 1:
        orphan = next((one for name in found.names if (one := faults.find(name, "orphan-vip"))), None)
        if orphan is not None:
            return where.follows(orphan, f"two directors hold {vip.address}.", seen)
        deaf = muted(evidence)
        dropped = "".join(f"; adverts are dropped on {_called(one.host)} by {one.rule}" for one in deaf)
        return faults.fail(
            where, Fault(host=DIRECTOR, cause="split-brain", vip=vip.address),
            sentences.split_brain(vip.address, [_called(name) for name in found.names]), f"{seen}{dropped}",
            ". ".join(one.words for one in deaf)
            or "The directors do not hear each other: allow VRRP (IP protocol 112) between "
            f"{' and '.join(_addresses(evidence))}, and on both: systemctl status keepalived",
        )  # fmt: skip
    if not found.names:
        return faults.fail(
            where, Fault(host=DIRECTOR, cause="director-vip", vip=vip.address),
            f"No director holds {vip.address}, so no client can reach it.", seen,
            "On each director: systemctl status keepalived; journalctl -u keepalived -n 30",
        )  # fmt: skip
    if found.here:
        return where.passed(f"This director is the active one for {vip.address}.", seen)
    delay = (evidence.deployment.director.vrrp or Vrrp()).waits
    soon = f"; keepalived here takes the VIPs back {delay} s after it has heard the other"
    kept = evidence.observed.director.keepalived if evidence.observed.director is not None else None
    left = preempts_in(evidence.deployment, kept)
    if left is not None and kept is not None:
        soon += f": preempt in progress, in about {left} s, for it was started {kept.age} s ago"
    running = evidence.observed.director is not None and evidence.observed.director.keepalived
    return where.passed(
        f"{found.others[0]} is the active director for {vip.address}; this one is its backup.",
        seen + (soon if running and running.running else ""),
    )


def _who(found: Holding) -> str:
    here = "this director has it" if found.here else "this director does not have it"
    others = f"who-has answered by {', '.join(found.others)}" if found.others else "no other director answers who-has"
    return f"{here}, {others}"


def _called(name: str) -> str:
    return "this director" if name == DIRECTOR else name


def _addresses(evidence: Evidence) -> list[str]:
    director = evidence.deployment.director
    return [director.address or "this director", *(peer.address for peer in director.peers)]
