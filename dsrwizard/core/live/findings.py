"""The findings of a diagnosis, filed under the rows they affect: the fourth source of the live view."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from dsrwizard.core.live.readings import RowPlace
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.steps import DIRECTOR


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is wrong. `at`: when the look began that found it, seconds since the epoch."""

    cause: str
    message: str
    fix: str = ""
    at: float = 0.0


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of the last looks. `looked`: server name → when its look began."""

    looked: Mapping[str, float] = {}
    places: Mapping[RowPlace, tuple[Finding, ...]] = {}
    vips: Mapping[str, Finding] = {}
    """VIP → what is wrong with it on the director."""
    consent: frozenset[RowPlace] = frozenset()
    """UDP services that keep silent, and whose server has the VIP and a socket that covers it."""

    def with_look(self, servers: Iterable[str], report: Report, deployment: Deployment, at: float) -> Findings:
        """What a report says of these servers in place of what was known of them."""
        names = frozenset(servers)
        kept = {place: found for place, found in self.places.items() if place[2] not in names}
        return msgspec.structs.replace(
            self,
            looked={**self.looked, **dict.fromkeys(names, at)},
            places={**kept, **_by_place(names, report, deployment, at)},
        )

    def with_director(self, report: Report, at: float) -> Findings:
        """What a report says of the VIPs on the director."""
        return msgspec.structs.replace(
            self,
            vips={
                check.vip: Finding(cause=check.cause, message=check.message, fix=check.fix, at=at)
                for check in report.failures
                if check.check == "director.vip"
            },
        )

    def with_consent(self, servers: Iterable[str], places: Iterable[RowPlace]) -> Findings:
        """With these places in place of what was known of the servers."""
        names = frozenset(servers)
        kept = frozenset(place for place in self.consent if place[2] not in names)
        return msgspec.structs.replace(self, consent=kept | frozenset(places))


def _by_place(
    names: frozenset[str], report: Report, deployment: Deployment, at: float
) -> dict[RowPlace, tuple[Finding, ...]]:
    """A fault shows at its own place and at those that a check calls its consequence."""
    failed: dict[tuple[str, str], Finding] = {}
    for check in report.failures:
        if check.host in names and check.cause:
            finding = Finding(cause=check.cause, message=check.message, fix=check.fix, at=at)
            failed.setdefault((check.host, check.cause), finding)
    found: dict[RowPlace, dict[str, Finding]] = {}
    for check in report.checks:
        if check.host not in names or not (cause := check.cause or check.consequence_of):
            continue
        if check.outcome == "fail":
            finding = Finding(cause=cause, message=check.message, fix=check.fix, at=at)
        elif (check.host, cause) in failed:
            finding = failed[check.host, cause]
        else:
            continue
        for place in _felt(check, deployment):
            found.setdefault(place, {}).setdefault(cause, finding)
    return {place: tuple(findings.values()) for place, findings in found.items()}


def _felt(check: Check, deployment: Deployment) -> Iterable[RowPlace]:
    """The places a check of a real server is about: all its VIPs and services where it names none."""
    if check.host == DIRECTOR:
        return
    for vip in deployment.vips_of(deployment.server(check.host)):
        if check.vip in ("", vip.address):
            for service in vip.services:
                if check.service in ("", service.label):
                    yield vip.address, service.label, check.host
