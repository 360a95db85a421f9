"""What a verification from outside says about a step of a runbook. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from dsrwizard.core.checks import Check, Report
from dsrwizard.core.model import Deployment, RealServer
from dsrwizard.core.runbook.book import RunbookStep
from dsrwizard.core.steps import DIRECTOR


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """`open`: nothing was seen that speaks for the step or against it. `check` is the one that says so, if any does."""

    outcome: Literal["proved", "failed", "open"] = "open"
    check: Check | None = None


def proof_of(step: RunbookStep, deployment: Deployment, server: RealServer, report: Report | None) -> Proof:
    """A VIP that answers for one of its services is there; a step for all services is proved when all answer.

    Silence in ARP proves a guard only where the VIP answers to its probe: a server without the VIP is silent, too.
    """
    if report is None or not step.proves:
        return Proof()
    vips = [vip.address for vip in deployment.vips_of(server) if step.vip in ("", vip.address)]
    if step.proves == "arp.audit":
        return _silent(report, server.name, vips)
    mine = [
        check
        for check in report.checks
        if check.check == step.proves
        and check.host == server.name
        and check.vip in vips
        and step.service in ("", check.service)
    ]
    passed = [check for check in mine if check.outcome == "pass"]
    enough = bool(passed) if step.vip and not step.service else len(passed) == len(mine)
    return _judged(mine, proved=bool(passed) and enough)


def _silent(report: Report, name: str, vips: list[str]) -> Proof:
    asked = [check for check in report.checks if check.check == "arp.audit" and check.vip in vips]
    about = [check for check in asked if check.host in (name, DIRECTOR)]
    looked = all(any(check.vip == vip and check.outcome in ("pass", "fail") for check in asked) for vip in vips)
    clean = all(check.outcome == "pass" for check in about)
    held = {
        check.vip
        for check in report.checks
        if check.check == "vip.probe" and check.host == name and check.outcome == "pass"
    }
    if clean and looked and held.issuperset(vips):
        return Proof(outcome="proved", check=next((check for check in about), None))
    return _judged([check for check in about if check.host == name], proved=False)


def _judged(checks: list[Check], *, proved: bool) -> Proof:
    if proved:
        return Proof(outcome="proved", check=next(check for check in checks if check.outcome == "pass"))
    failed = next((check for check in checks if check.outcome == "fail"), None)
    return Proof(outcome="failed", check=failed) if failed is not None else Proof()
