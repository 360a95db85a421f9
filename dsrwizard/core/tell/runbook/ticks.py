"""The state of a runbook's steps according to a verification from outside. Pure."""

from __future__ import annotations

from typing import Literal

import msgspec

from dsrwizard.core.model.causes import APPLICATION
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.tell.runbook.step import RunbookStep


class StepProof(msgspec.Struct, frozen=True, kw_only=True):
    """`open`: nothing was seen that speaks for the step or against it. `check` is the one that says so, if any does."""

    outcome: Literal["proved", "failed", "open"] = "open"
    check: Check | None = None


def proof_of(step: RunbookStep, deployment: Deployment, server: RealServer, report: Report | None) -> StepProof:
    """What makes the VIP answer at all is proved by an answer of any of its services; a step for one service, or for
    every one, by those.

    Silence in ARP proves a guard only where the VIP answers to its probe: a server without the VIP is silent, too.
    """
    if report is None or not step.proves:
        return StepProof()
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
    if not step.service and not step.every:
        answering = {check.vip for check in passed}
        mine = [check for check in mine if check.outcome == "pass" or check.vip not in answering]
    if passed and len(passed) == len(mine):
        return StepProof(outcome="proved", check=passed[0])
    return _failed([check for check in mine if _blames(check, step)])


def _silent(report: Report, name: str, vips: list[str]) -> StepProof:
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
        return StepProof(outcome="proved", check=next(iter(about), None))
    return _failed([check for check in about if check.host == name])


def _blames(check: Check, step: RunbookStep) -> bool:
    """Whether what a failed probe found may lie in this step."""
    if check.cause in APPLICATION:
        return step.every
    return check.cause != "firewall" or bool(step.service) or step.every


def _failed(checks: list[Check]) -> StepProof:
    failed = next((check for check in checks if check.outcome == "fail"), None)
    return StepProof(outcome="failed", check=failed) if failed is not None else StepProof()
