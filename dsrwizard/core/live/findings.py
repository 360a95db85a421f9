"""The findings of a diagnosis, filed under the rows they affect: the fourth and fifth source of the live view.

A look from within (often, from facts alone) and a verification (seldom, with everything) each replace what they found
before. What both know goes when the quicker one no longer finds it; what only a verification can find stays until the
next one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Literal

import msgspec

from dsrwizard.core.live.readings import RowPlace
from dsrwizard.core.model.checks import Check, Report, Verdict
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.snapshot import FarmFault

Doubt = Literal["", "served", "unknown"]
FaultKey = tuple[str, str, str, str]
"""Host, cause, VIP and service of a fault that is no real server's own."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `at`: when the look began that found it, seconds since the epoch."""

    cause: str
    message: str
    fix: str = ""
    at: float = 0.0
    elsewhere: bool = False
    """The fault is not the real server's: it only explains what is seen of it."""


class Proved(msgspec.Struct, frozen=True, kw_only=True):
    """What the last verification found. `also`: places and causes that a look from within has found since, too."""

    at: float = 0.0
    verdict: Verdict | Literal[""] = ""
    places: Mapping[RowPlace, tuple[Finding, ...]] = {}
    also: frozenset[tuple[RowPlace, str]] = frozenset()
    faults: Mapping[FaultKey, FarmFault] = {}
    doubts: Mapping[RowPlace, Doubt] = {}
    """Places whose probe alone convicts nobody: `served` where verify found the answer good, as one by the server's own
    router, or a client was answered by every server all the same; `unknown` where it could not be told."""

    def of_service(self, vip: str, service: str) -> Finding | None:
        """The first fault that names the VIP, and this service or none."""
        for one in self.faults.values():
            if one.vip == vip and one.service in ("", service):
                return Finding(cause=one.cause, message=one.message, fix=one.fix, at=self.at, elsewhere=True)
        return None


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of the last looks. `looked`: server name → when its look began."""

    looked: Mapping[str, float] = {}
    places: Mapping[RowPlace, tuple[Finding, ...]] = {}
    vips: Mapping[str, Finding] = {}
    """VIP → what is wrong with it on the director."""
    held: frozenset[str] = frozenset()
    """VIPs that this machine has; `held_known`: it was looked at."""
    held_known: bool = False
    preempts_at: float = 0.0
    """When this machine takes the VIPs back from the other director, seconds since the epoch; 0: not known."""
    consent: frozenset[RowPlace] = frozenset()
    """UDP services that keep silent, and whose server has the VIP and a socket that covers it."""
    proved: Proved = Proved()

    def of(self, place: RowPlace) -> tuple[Finding, ...]:
        """Everything known of one place; each cause once, from the newer look."""
        mine = self.places.get(place, ())
        more = self.proved.places.get(place, ())
        if not more:
            return mine
        found = {one.cause: one for one in sorted((*mine, *more), key=lambda one: one.at)}
        return tuple(found.values())

    def with_look(self, servers: Iterable[str], report: Report, deployment: Deployment, at: float) -> Findings:
        """What a report says of these servers in place of what was known of them."""
        names = frozenset(servers)
        kept = {place: found for place, found in self.places.items() if place[2] not in names}
        return msgspec.structs.replace(
            self,
            looked={**self.looked, **dict.fromkeys(names, at)},
            places={**kept, **_by_place(names, report, deployment, at)},
        )

    def with_director(self, report: Report, at: float, preempts: int | None = None) -> Findings:
        """What a report says of the VIPs on the director. `preempts`: in how many seconds it takes them back."""
        return msgspec.structs.replace(
            self,
            vips={
                check.vip: Finding(cause=check.cause, message=check.message, fix=check.fix, at=at)
                for check in report.failures
                if check.check in ("director.vip", "director.role")
            },
            held=frozenset(
                check.vip for check in report.checks if (check.check, check.outcome) == ("director.vip", "pass")
            ),
            held_known=True,
            preempts_at=at + preempts if preempts is not None else 0.0,
        )

    def with_consent(self, servers: Iterable[str], places: Iterable[RowPlace]) -> Findings:
        """With these places in place of what was known of the servers."""
        names = frozenset(servers)
        kept = frozenset(place for place in self.consent if place[2] not in names)
        return msgspec.structs.replace(self, consent=kept | frozenset(places))

    def with_proof(self, report: Report, deployment: Deployment, at: float) -> Findings:
        """With what a whole verification that began `at` found, in place of what the one before it did."""
        names = frozenset(one.name for one in deployment.servers)
        faults: dict[FaultKey, FarmFault] = {}
        for check in report.failures:
            if check.host in names or check.server in names:
                continue
            key = (check.host, check.cause or check.check, check.vip, check.service)
            before = self.proved.faults.get(key)
            fault = FarmFault(
                host=check.host, cause=check.cause, vip=check.vip, service=check.service, message=check.message,
                evidence=check.evidence, fix=check.fix, since=before.since if before else at,
            )  # fmt: skip
            faults.setdefault(key, fault)
        places = _by_place(names, report, deployment, at, nameless=True)
        also = frozenset((place, one.cause) for place, found in self.places.items() for one in found)
        return msgspec.structs.replace(
            self,
            proved=Proved(
                at=at,
                verdict=report.verdict,
                places=places,
                also=also,
                faults=faults,
                doubts=_doubts(names, report, deployment),
            ),
        )

    def beside(self, proved: Proved) -> Findings:
        """These of the looks from within beside what was proved meanwhile, without what a newer look from within, which
        knows these causes too, no longer finds."""
        newer = frozenset(name for name, at in self.looked.items() if at > proved.at)
        seen = frozenset((place, one.cause) for place, found in self.places.items() for one in found)
        places = {}
        for place, found in proved.places.items():
            kept = tuple(
                one
                for one in found
                if place[2] not in newer or (place, one.cause) in seen or (place, one.cause) not in proved.also
            )
            if kept:
                places[place] = kept
        settled = msgspec.structs.replace(proved, places=places, also=proved.also | seen) if proved.places else proved
        return msgspec.structs.replace(self, proved=settled)


def _doubts(names: frozenset[str], report: Report, deployment: Deployment) -> dict[RowPlace, Doubt]:
    served = {
        (one.vip, one.service) for one in report.checks if one.check == "client.servers" and one.outcome == "pass"
    }
    found: dict[RowPlace, Doubt] = {}
    for check in report.checks:
        if check.check == "vip.probe" and check.outcome in ("pass", "unknown") and check.host in names:
            for place in _felt(check, deployment.server(check.host), deployment):
                well = check.outcome == "pass" or place[:2] in served
                found[place] = "served" if well else "unknown"
    return found


def without(report: Report, servers: Collection[str]) -> Report:
    """The report with what failed on these real servers as what could not be seen."""
    if not any(servers and (one.host in servers or one.server in servers) for one in report.failures):
        return report
    checks = tuple(
        msgspec.structs.replace(one, outcome="unknown", cause="", fix="")
        if one.outcome == "fail" and (one.host in servers or one.server in servers)
        else one
        for one in report.checks
    )
    verdict = "fail" if any(one.outcome == "fail" for one in checks) else "unknown"
    return msgspec.structs.replace(report, checks=checks, verdict=verdict)


def _by_place(
    names: frozenset[str], report: Report, deployment: Deployment, at: float, *, nameless: bool = False
) -> dict[RowPlace, tuple[Finding, ...]]:
    """A fault shows at its own place and at those that a check calls its consequence. `nameless`: one that has no cause
    counts, too."""
    servers = {one.name: one for one in deployment.servers}
    failed: dict[tuple[str, str], Finding] = {}
    others: dict[str, Finding] = {}
    for check in report.failures:
        finding = Finding(cause=check.cause, message=check.message, fix=check.fix, at=at)
        name = _server(check, names)
        if name and check.cause:
            failed.setdefault((name, check.cause), finding)
        elif check.cause:
            others.setdefault(check.cause, msgspec.structs.replace(finding, elsewhere=True))
    found: dict[RowPlace, dict[str, Finding]] = {}
    for check in report.checks:
        name, cause = _server(check, names), check.cause or check.consequence_of
        if not name or not (cause or (nameless and check.outcome == "fail")):
            continue
        if check.outcome == "fail":
            finding = Finding(cause=cause, message=check.message, fix=check.fix, at=at)
        elif (name, cause) in failed:
            finding = failed[name, cause]
        elif cause in others:
            finding = others[cause]
        else:
            continue
        for place in _felt(check, servers[name], deployment):
            found.setdefault(place, {}).setdefault(cause, finding)
    return {place: tuple(findings.values()) for place, findings in found.items()}


def _server(check: Check, names: frozenset[str]) -> str:
    """The real server a check is about; empty: none of these."""
    return next((one for one in (check.host, check.server) if one in names), "")


def _felt(check: Check, server: RealServer, deployment: Deployment) -> Iterable[RowPlace]:
    """The places a check of a real server is about: all its VIPs and services where it names none."""
    for vip in deployment.vips_of(server):
        if check.vip in ("", vip.address):
            for service in vip.services:
                if check.service in ("", service.label):
                    yield vip.address, service.label, server.name
