"""ARP and neighbour discovery frames whose Ethernet source is not the MAC they name (arpwatch: ethernet mismatch).

The machine named did not send such a frame, so it is never blamed for it. A proxy for ARP, a bridge or an access point
may send one rightly; so the sender is named, and what it is stays open.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.evidence import Evidence, director_macs, mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical

_SHOWN = 4


class Mismatch(msgspec.Struct, frozen=True, kw_only=True):
    """`named` and `by`: the MAC that the frame names and the one it came from; `owner` and `sender`: the real servers
    that have them, where they are known."""

    named: str
    by: str
    owner: ServerView | None
    sender: ServerView | None

    @property
    def host(self) -> str:
        """Where the fault is: the real server that sent it; a machine outside the deployment counts as the network's,
        and is filed with the director."""
        return self.sender.name if self.sender else DIRECTOR


def mismatches(evidence: Evidence, views: Sequence[ServerView], address: str) -> list[Mismatch]:
    """What other MACs than the one named said of an address, and no machine of the deployment said of itself.

    Not what leads to the right machine, whoever said it; nor what one machine says with two MACs of its own (the ports
    of a bond); nor what names a MAC outside the deployment by one outside it (a balancer's virtual MAC).
    """
    owners = evidence.owner(address)
    vips = {canonical(vip.address) for vip in evidence.deployment.vips}
    # A real server that answers for a VIP is at fault itself: who repeats it is, too.
    own = [one for one in map(mac, owners.macs) if canonical(address) not in vips or whose(one, views) is None]
    right = {*director_macs(evidence), *own}
    found = []
    for told in () if owners.problem else owners.told:
        owner, sender = whose(told.mac, views), whose(told.by, views)
        if mac(told.mac) in right or (owner is None and sender is None):
            continue
        if owner is not None and mac(told.by) in owner.voices:
            continue
        found.append(Mismatch(named=mac(told.mac), by=mac(told.by), owner=owner, sender=sender))
    return found


def whose(wanted: str, views: Sequence[ServerView]) -> ServerView | None:
    """The real server that has a MAC; what its own facts say goes before what was heard of its address."""
    having = [view for view in views if mac(wanted) in view.macs]
    return next((one for one in having if mac(wanted) in one.nics), next(iter(having), None))


def of_vip(evidence: Evidence, faults: Found, views: Sequence[ServerView], vip: Vip) -> list[Check]:
    """`arp.audit` of a VIP, failed, for every machine that sent a mismatch about it."""
    found = mismatches(evidence, views, vip.address)
    return _checks(faults, found, vip.address, vip.address, vip=vip.address)


def of_rips(evidence: Evidence, faults: Found, views: Sequence[ServerView]) -> list[Check]:
    """The same of the real servers' own addresses: the director would send to the wrong machine."""
    checks: list[Check] = []
    for view in views:
        for rip in view.rips:
            found = [one for one in mismatches(evidence, views, rip) if one.owner is not view]
            checks += _checks(faults, found, rip, f"{rip}, the address of {view.name},", server=view.name)
    return checks


def _checks(
    faults: Found, found: Sequence[Mismatch], address: str, words: str, vip: str = "", server: str = ""
) -> list[Check]:
    by_host: dict[str, list[Mismatch]] = {}
    for one in found:
        by_host.setdefault(one.host, []).append(one)
    checks = []
    for host, mine in by_host.items():
        where = Where(check="arp.audit", host=host, vip=vip, server=server)
        fault = Fault(host=host, cause="arp-mismatch", vip=vip, server=server)
        fix = _fix(mine[0], address)
        checks.append(faults.fail(where, fault, _message(mine[0], words), _evidence(mine, address), fix))
    return checks


def known(faults: Found, views: Sequence[ServerView], vip: str) -> Fault | None:
    """A mismatch that leads clients of the VIP astray, as far as one was found."""
    hosts = (DIRECTOR, *(view.name for view in views))
    return next(filter(None, (faults.find(host, "arp-mismatch", vip=vip) for host in hosts)), None)


def _message(one: Mismatch, words: str) -> str:
    place = f"the MAC of {one.owner.name}" if one.owner else f"{one.named}, which is not its own MAC"
    return sentences.arp_mismatch(one.sender.name if one.sender else "", words, place)


def _evidence(found: Sequence[Mismatch], address: str) -> str:
    lines = [
        f"{address} is at {one.named}{_named(one.owner)}, in a frame that came from {one.by}{_named(one.sender)}"
        for one in found[:_SHOWN]
    ]
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(lines) + more


def _named(view: ServerView | None) -> str:
    return f" ({view.name})" if view else ""


def _fix(one: Mismatch, address: str) -> str:
    fix = sentences.silence_sender(one.sender.name if one.sender else "", address, one.by)
    shown = one.sender.advice.show_frames(6 if ":" in address else 4, one.by) if one.sender else ""
    return f"{fix} See it with {shown}." if shown else fix


def spoken(owners: Owners, named: str) -> str:
    """`02:…` and, where others said it, the MACs that they came from."""
    by = [mac(told.by) for told in owners.told if mac(told.mac) == named and told.answer]
    if named in map(mac, owners.macs) or not by:
        return named
    return f"{named}, in frames that came from {', '.join(dict.fromkeys(by))}"
