"""What apply, mend, teardown and rehearse have in common: the right to change hosts, plan, question and run."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from dsrwizard import out
from dsrwizard.core.model.errors import Locked, Stopped, UsageError

if TYPE_CHECKING:
    from dsrwizard.core.api import Engine, Leased, Patience
    from dsrwizard.core.model.checks import Check
    from dsrwizard.core.model.deployment import Deployment
    from dsrwizard.core.model.events import Observer
    from dsrwizard.core.model.outcome import RunResult
    from dsrwizard.core.model.steps import Plan
    from dsrwizard.core.plan.mend import Mending, MendResult

WAIT = click.option(
    "--wait",
    type=click.FloatRange(0, 86400),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for another run that changes hosts, instead of giving up at once.",
)
T = TypeVar("T")
R = TypeVar("R")
Carry = Callable[["Plan", "Observer", threading.Event, "Leased"], "RunResult"]
CHANGED = "The hosts have changed since this plan was made. Nothing was done. This is the plan now:"
_QUIETLY = 1.0
"""Seconds of waiting that nobody is told of."""


@contextmanager
def leased(engine: Engine, deployment: str, verb: str, wait: float) -> Iterator[Leased]:
    """The right to change hosts while the block runs; what the operator should know of it goes to standard error."""

    def waiting(problem: Locked) -> None:
        if wait > _QUIETLY:
            out.complaint(problem.what, f"Waiting for up to {wait:g} s.")

    with engine.lease(deployment, verb, wait=wait, waiting=waiting) as lease:
        _told(lease.notes)
        yield lease


def carried_out(
    engine: Engine,
    deployment: Deployment,
    verb: str,
    planned: Callable[[], Plan],
    work: Carry,
    *,
    yes: bool,
    as_json: bool,
    wait: float,
) -> tuple[RunResult, Plan]:
    """Shows the plan, asks, and runs it; the result is printed. On an interrupt, running commands finish and no new
    ones start."""

    def run(made: Plan, lease: Leased) -> RunResult:
        return _run(made, work, lease, as_json, engine.patience)

    made, result = _agreed(
        engine, deployment, verb, planned, lambda made: made, lambda made: _show(made, as_json), run,
        yes=yes, as_json=as_json, wait=wait,
    )  # fmt: skip
    return result, made


def mended_by_steps(
    engine: Engine, deployment: Deployment, wrong: Sequence[Check], *, yes: bool, as_json: bool, wait: float
) -> tuple[Mending, MendResult | None]:
    """The same for the steps that cure these checks; None where there are none."""
    from dsrwizard.cli import printing
    from dsrwizard.cli.interruptible import interruptible

    def show(made: Mending) -> None:
        if not as_json:
            printing.mending(made)

    def run(made: Mending, lease: Leased) -> MendResult | None:
        if not made.plan.steps:
            return None
        stop = threading.Event()
        watch = printing.ProgressLines(quiet=as_json)
        return interruptible(lambda: engine.mend(deployment, made, watch, stop, lease), stop, engine.patience)

    return _agreed(
        engine, deployment, "mend", lambda: engine.mend_plan(deployment, *wrong), lambda made: made.plan, show, run,
        yes=yes, as_json=as_json, wait=wait,
    )  # fmt: skip


def _agreed(
    engine: Engine,
    deployment: Deployment,
    verb: str,
    planned: Callable[[], T],
    plan_of: Callable[[T], Plan],
    show: Callable[[T], None],
    run: Callable[[T, Leased], R],
    *,
    yes: bool,
    as_json: bool,
    wait: float,
) -> tuple[T, R]:
    """What the operator agreed to, and what came of it.

    Nothing is locked while the operator thinks: that may take hours, and a lock would keep others from an urgent drain.
    So the plan is made again after the answer, and shown again where it is another one by then. Where nobody is asked,
    it is made once.
    """
    from dsrwizard.core.plan.again import nothing_new

    with leased(engine, deployment.name, verb, wait) as lease:  # who is not alone learns it before reading a plan
        _told(engine.remarks(deployment))
        made = planned()
        if yes or not plan_of(made).steps:
            show(made)
            return made, run(made, lease)
    while True:
        show(made)
        consent(as_json)
        with leased(engine, deployment.name, verb, wait) as lease:
            fresh = planned()
            if nothing_new(plan_of(made), plan_of(fresh)):
                return fresh, run(fresh, lease)
        made = fresh
        out.complaint(CHANGED)


def _told(sentences: Sequence[str]) -> None:
    if sentences:
        out.complaint(*sentences)


def _show(made: Plan, as_json: bool) -> None:
    from dsrwizard.cli import printing

    if not as_json:
        printing.plan(made)


def _run(made: Plan, work: Carry, lease: Leased, as_json: bool, patience: Patience) -> RunResult:
    from dsrwizard.cli import printing
    from dsrwizard.cli.interruptible import interruptible

    stop = threading.Event()
    watch = printing.ProgressLines(quiet=as_json)
    result = interruptible(lambda: work(made, watch, stop, lease), stop, patience)
    printing.result(result, as_json=as_json)
    if stop.is_set() and not result.ok:
        raise Stopped("Stopped before everything was done.", "", "Run the command again to continue, or run teardown.")
    return result


def consent(as_json: bool) -> None:
    """Asks whether to go on. Raises Stopped and UsageError."""
    if as_json or not sys.stdin.isatty():
        raise UsageError("This changes hosts, and there is no terminal to confirm it.", "", "Add --yes to continue.")
    if not out.confirm("Continue?"):
        raise Stopped("Nothing was changed.")
