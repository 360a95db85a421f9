"""What is said about a host that failed: what was tried, its own words, what is likely behind it, what helps. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import DIRECTOR
from screens.runs.hosts import HostRun, HostRuns
from screens.widgets.host_words import EDIT_HELPS, LIKELY, plan_is_stale

STALE = "The host was changed by somebody else since it was looked at: the plan is out of date. Retry plans anew."


def report_lines(run: HostRun, runs: HostRuns) -> Iterator[tuple[str, str]]:
    """Labelled lines; those with an empty text are left out by whoever shows them."""
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
        yield "State", "unknown: a retry looks at the host again before it does anything."
    if failure is not None:
        yield "Why", failure.why
        yield "Likely", STALE if plan_is_stale(failure) else LIKELY.get(failure.kind, "")
        yield "Next", failure.next


def buttons_for(run: HostRun) -> frozenset[str]:
    """Ids of the buttons that help with this failure."""
    useful = {"do-retry", "do-skip", "do-copy"}
    kind = run.failure.kind if run.failure else ""
    if run.finished or run.state == Outcome.UNKNOWN or kind in ("command", "lost", "took", "held"):
        useful.add("do-roll_back")
    if run.host != DIRECTOR and (kind in EDIT_HELPS or kind == "plan"):
        useful.add("do-edit")
    return frozenset(useful)
