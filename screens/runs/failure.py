"""The report of a failed host: what was tried, its message, the likely reason, and what helps. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import DIRECTOR
from screens.runs.hosts import HostRun, HostRuns
from screens.widgets.host_words import EDIT_HELPS, LIKELY, plan_is_stale

STALE = "Someone else changed the host after the plan was made. Retry makes a new plan."


def report_lines(run: HostRun, runs: HostRuns) -> Iterator[tuple[str, str]]:
    """Labelled lines. Lines with an empty text are not shown."""
    failure, step = run.failure, run.failed_step
    if failure is None:
        yield "", "It was not finished." if run.state == Outcome.NOT_ATTEMPTED else ""
    else:
        yield "", failure.what
    if step is not None:
        title = runs.title_of(step)
        yield "Tried", title if failure is None or title not in failure.what else ""
        if step.detail and (failure is None or step.detail not in failure.why + failure.what):
            yield "The host said", step.detail
    if run.state == Outcome.UNKNOWN:
        yield "State", "unknown. A retry checks the host first."
    if failure is not None:
        yield "Why", failure.why
        yield "Likely", STALE if plan_is_stale(failure) else LIKELY.get(failure.kind, "")
        yield "Next", failure.next


def buttons_for(run: HostRun) -> frozenset[str]:
    """The ids of the buttons that help with this failure."""
    useful = {"do-retry", "do-skip", "do-copy"}
    kind = run.failure.kind if run.failure else ""
    if run.finished or run.state == Outcome.UNKNOWN or kind in ("command", "lost", "took", "held"):
        useful.add("do-roll_back")
    if run.host != DIRECTOR and (kind in EDIT_HELPS or kind == "plan"):
        useful.add("do-edit")
    return frozenset(useful)
