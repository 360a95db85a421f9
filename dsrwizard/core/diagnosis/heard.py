"""The check of what was heard on the wire during a verification: who names a VIP as its own without being asked.

One frame is enough for neighbours and routers to send there, until the director names itself again. Answers to who-has
are left to the audit, which asked; what a machine says of another's MAC is an `arp-mismatch` there.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.balancing import strangers
from dsrwizard.core.diagnosis.evidence import Evidence, director_macs, mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.mismatch import whose
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.answers import Claim
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical


def heard(evidence: Evidence, faults: Found, views: list[ServerView]) -> list[Check]:
    """`arp.heard` of every VIP that somebody else named as its own, once for each who did."""
    return [check for vip in evidence.deployment.vips for check in _of_vip(evidence, faults, views, vip)]


def _of_vip(evidence: Evidence, faults: Found, views: list[ServerView], vip: Vip) -> list[Check]:
    rightful = director_macs(evidence)
    if not evidence.deployment.director.in_kernel:
        rightful |= frozenset(strangers(evidence, vip, views))
        if not rightful - director_macs(evidence):
            return []  # nobody knows whose claims are right
    by_mac: dict[str, list[Claim]] = {}
    for one in evidence.claims:
        if canonical(one.address) == canonical(vip.address) and one.kind != "reply" and mac(one.mac) not in rightful:
            by_mac.setdefault(mac(one.mac), []).append(one)
    checks = []
    for named, claims in by_mac.items():
        owner = whose(named, views)
        if all(one.by and whose(one.by, views) is not owner for one in claims):
            continue  # who is named did not say it
        checks.append(_announced(faults, owner, vip, named, claims) if owner else _strange(faults, vip, named, claims))
    return checks


def _seen(vip: Vip, named: str, claims: Sequence[Claim]) -> str:
    kinds = ", ".join(dict.fromkeys(one.kind for one in claims))
    how = "neighbour discovery" if ":" in vip.address else "ARP"
    count = f"{len(claims)} times" if len(claims) > 1 else "once"
    return f"heard {count} while looking: {vip.address} is at {named} ({how}, {kinds})"


def _announced(faults: Found, view: ServerView, vip: Vip, named: str, claims: Sequence[Claim]) -> Check:
    where = Where(check="arp.heard", host=view.name, vip=vip.address)
    seen = _seen(vip, named, claims)
    known = faults.find(view.name, "arp-leak", "arp-announce", vip=vip.address)
    if known is not None:
        return where.follows(known, evidence=seen)
    by_setting = all(one.kind == "request" for one in claims) and (view.setting("arp_announce") or 0) < TOLD
    return faults.fail(
        where, Fault(host=view.name, cause="arp-announce", vip=vip.address),
        sentences.announces(view.name, vip.address, named), seen,
        f"On {view.name}: {view.advice.silence(vip)}" if by_setting
        else sentences.stop_announcing(view.name, vip.address),
    )  # fmt: skip


TOLD = 2
"""`arp_announce` from which the kernel names no VIP as sender by itself."""


def _strange(faults: Found, vip: Vip, named: str, claims: Sequence[Claim]) -> Check:
    where = Where(check="arp.heard", host=DIRECTOR, vip=vip.address)
    return faults.fail(
        where, Fault(host=DIRECTOR, cause="duplicate-vip", vip=vip.address),
        f"A host outside the deployment names {vip.address} as its own.", _seen(vip, named, claims),
        f"Find the host with the MAC {named} (switch table, DHCP leases) and remove {vip.address} from it. If it is "
        "another director, only one of the two may hold the VIP.",
        shared=faults.find(DIRECTOR, "duplicate-vip", vip=vip.address) is not None,
    )  # fmt: skip
