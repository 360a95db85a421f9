"""The state of a load balancer's steps: by a verification from outside, and by the text that was copied from it."""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.diagnosis.bypass import witnesses
from dsrwizard.core.dialects.aloha.compare import TextDifference
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.tell.runbook.balancer.common import TEXT
from dsrwizard.core.tell.runbook.step import RunbookStep
from dsrwizard.core.tell.runbook.ticks import StepProof


def balancer_proof(
    step: RunbookStep,
    deployment: Deployment,
    report: Report | None,
    differences: Sequence[TextDifference] | None = None,
) -> StepProof:
    """`differences`: between the deployment and the text of the box; None where it was not given."""
    if step.proves == TEXT:
        return _text(differences)
    if report is None or not step.proves:
        return StepProof()
    mine = [check for check in report.checks if check.check == step.proves and step.vip in ("", check.vip)]
    if step.proves == "client.bypass":
        return _bypass(step, deployment, mine)
    if step.server:
        mine = [check for check in mine if check.host == step.server]
    failed = next((check for check in mine if check.outcome == "fail"), None)
    if failed is not None:
        return StepProof(outcome="failed", check=failed)
    passed = [check for check in mine if check.outcome == "pass"]
    return StepProof(outcome="proved", check=passed[0]) if passed and len(passed) == len(mine) else StepProof()


def _text(differences: Sequence[TextDifference] | None) -> StepProof:
    if differences is None:
        return StepProof()
    if not differences:
        same = Check(check=TEXT, outcome="pass", host=DIRECTOR, message="The text of the box says what the file says.")
        return StepProof(outcome="proved", check=same)
    first = differences[0]
    more = f" {len(differences) - 1} more." if len(differences) > 1 else ""
    line = f"Line {first.line}: " if first.line else ""
    found = Check(
        check=TEXT, outcome="fail", host=DIRECTOR, service=first.service, message=f"{line}{first.message}{more}",
        fix=first.fix,
    )  # fmt: skip
    return StepProof(outcome="failed", check=found)


def _bypass(step: RunbookStep, deployment: Deployment, checks: Sequence[Check]) -> StepProof:
    """A reply frame of this server that came from another MAC than the box's proves it, for one service at least, and
    no check may say the opposite of a service that the server has."""
    served = {vip.address for vip in deployment.vips_of(deployment.server(step.server))}
    mine = [check for check in checks if check.vip in served]
    failed = next((check for check in mine if check.outcome == "fail"), None)
    if failed is not None:
        return StepProof(outcome="failed", check=failed)
    seen = next((check for check in mine if check.outcome == "pass" and step.server in witnesses(check)), None)
    return StepProof(outcome="proved", check=seen) if seen is not None else StepProof()
