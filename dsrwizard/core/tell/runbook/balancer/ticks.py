"""The state of a load balancer's steps: by a verification from outside, and by the text that was copied from it."""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.diagnosis.bypass import witnesses
from dsrwizard.core.dialects.aloha.compare import TextDifference
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.tell.runbook.book import HandBook
from dsrwizard.core.tell.runbook.step import COMPARED
from dsrwizard.core.tell.runbook.ticks import StepProof


def balancer_proofs(
    book: HandBook, deployment: Deployment, report: Report | None, differences: Sequence[TextDifference] | None = None
) -> list[StepProof]:
    """One for each step. `differences`: between the deployment and the text of the box; None where it was not given."""
    of_host: dict[tuple[str, str], list[Check]] = {}
    of_all: dict[str, list[Check]] = {}
    for check in report.checks if report is not None else ():
        of_host.setdefault((check.check, check.host), []).append(check)
        of_all.setdefault(check.check, []).append(check)
    served = {server.name: {vip.address for vip in deployment.vips_of(server)} for server in deployment.servers}
    proofs = []
    for step in book.steps:
        if step.proves == COMPARED:
            proofs.append(_text(differences))
        elif step.proves == "client.bypass":
            mine = [check for check in of_all.get(step.proves, ()) if check.vip in served[step.server]]
            proofs.append(_bypass(step.server, mine))
        else:
            found = of_host.get((step.proves, step.server), []) if step.server else of_all.get(step.proves, [])
            proofs.append(_all([check for check in found if step.vip in ("", check.vip)]))
    return proofs


def _all(checks: Sequence[Check]) -> StepProof:
    """Proved where every check passed, and there is one."""
    failed = next((check for check in checks if check.outcome == "fail"), None)
    if failed is not None:
        return StepProof(outcome="failed", check=failed)
    proved = bool(checks) and all(check.outcome == "pass" for check in checks)
    return StepProof(outcome="proved", check=checks[0]) if proved else StepProof()


def _text(differences: Sequence[TextDifference] | None) -> StepProof:
    if differences is None:
        return StepProof()
    if not differences:
        same = Check(
            check=COMPARED, outcome="pass", host=DIRECTOR, message="The text of the box says what the file says."
        )
        return StepProof(outcome="proved", check=same)
    first = differences[0]
    more = f" {len(differences) - 1} more." if len(differences) > 1 else ""
    line = f"Line {first.line}: " if first.line else ""
    found = Check(
        check=COMPARED, outcome="fail", host=DIRECTOR, service=first.service, message=f"{line}{first.message}{more}",
        fix=first.fix,
    )  # fmt: skip
    return StepProof(outcome="failed", check=found)


def _bypass(server: str, checks: Sequence[Check]) -> StepProof:
    """A reply frame of this server that came from its own MAC proves it, for one service at least, and no check may say
    the opposite of a service that the server has."""
    failed = next((check for check in checks if check.outcome == "fail"), None)
    if failed is not None:
        return StepProof(outcome="failed", check=failed)
    seen = next((check for check in checks if server in witnesses(check)), None)
    return StepProof(outcome="proved", check=seen) if seen is not None else StepProof()
