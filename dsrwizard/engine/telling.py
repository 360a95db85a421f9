"""What a run does, told as it happens: to its journal, to whoever watches it, and as its result at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.events import (
    Draining,
    Event,
    HostFinished,
    HostSaid,
    HostStarted,
    Observer,
    RevertArmed,
    RevertOff,
    StepFinished,
    StepStarted,
    WaveBegan,
)
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.outcome import HostResult, Outcome, RunResult, StepResult
from dsrwizard.core.model.steps import DIRECTOR, Plan, Step
from dsrwizard.core.plan.departed import DEPARTED
from dsrwizard.engine.defects import failure_of
from dsrwizard.engine.journal import Run


class Telling:
    """Safe to use from several threads: each host is told about by one at a time."""

    def __init__(self, deployment: str, run: Run, watch: Observer) -> None:
        self.run = run
        self._deployment = deployment
        self._watch = watch
        self._began = time.monotonic()
        self.results: dict[str, list[StepResult]] = {}
        self.failures: dict[str, Failure] = {}
        self._numbers: dict[str, int] = {}
        self._totals: dict[str, int] = {}

    def open(self, plan: Plan) -> None:
        for host in plan.hosts:
            self.results[host.host] = []
            self._totals[host.host] = len(host.steps)
            self.emit(HostStarted(host=host.host, at=self._now(), steps=len(host.steps)))
            if host.problem:
                self.failures[host.host] = host.failure or Failure(kind="plan", what=host.problem)
            elif host.failure is not None:
                self.failures[host.host] = host.failure

    def close(self, plan: Plan) -> RunResult:
        hosts = tuple(self.host_result(host.host) for host in plan.hosts)
        result = RunResult(deployment=self._deployment, hosts=hosts)
        self.run.end(result.ok)
        return result

    # --- steps

    def started(self, host: str, step: Step) -> None:
        number = self._numbers.get(host, 0) + 1
        self._numbers[host] = number
        of = self._totals.get(host, 0)
        self.emit(StepStarted(host=host, at=self._now(), step=step.id, title=step.title, number=number, of=of))

    def result(self, step: Step, outcome: Outcome, detail: str = "") -> None:
        """A step's end, which is written into the journal."""
        self.run.result(step.host, step.id, outcome, detail)
        self._note(StepResult(host=step.host, step=step.id, outcome=outcome, detail=detail))

    def skip(self, steps: Sequence[Step], why: str) -> None:
        """Steps that are not begun: of them the journal has nothing."""
        for step in steps:
            self._note(StepResult(host=step.host, step=step.id, outcome=Outcome.NOT_ATTEMPTED, detail=why))

    def outcome(self, step: Step) -> Outcome | None:
        """What became of a step; None: nothing yet."""
        found = (one.outcome for one in self.results.get(step.host, ()) if one.step == step.id)
        return next(found, None)

    def _note(self, result: StepResult) -> None:
        self.results.setdefault(result.host, []).append(result)
        self.emit(StepFinished(host=result.host, at=self._now(), result=result))

    # --- hosts

    def fail(self, name: str, problem: DsrError) -> None:
        self.failures[name] = failure_of(problem)
        for line in "\n".join(problem.lines()).split("\n"):
            self.said(name, line)

    def finished(self, name: str) -> None:
        self.emit(HostFinished(host=name, at=self._now(), result=self.host_result(name)))

    def host_result(self, name: str) -> HostResult:
        steps = tuple(self.results.get(name, ()))
        outcomes = {step.outcome for step in steps}
        failure = self.failures.get(name)
        if Outcome.UNKNOWN in outcomes:
            outcome = Outcome.UNKNOWN
        elif failure is not None:
            outcome = {"held": Outcome.HELD, DEPARTED: Outcome.SKIPPED}.get(failure.kind, Outcome.FAILED)
        elif Outcome.NOT_ATTEMPTED in outcomes:
            outcome = Outcome.NOT_ATTEMPTED
        else:
            outcome = Outcome.CHANGED if Outcome.CHANGED in outcomes else Outcome.UNCHANGED
        return HostResult(host=name, outcome=outcome, steps=steps, failure=failure)

    def said(self, host: str, line: str) -> None:
        self.emit(HostSaid(host=host, at=self._now(), line=line))

    def armed(self, host: str, seconds: float) -> None:
        self.emit(RevertArmed(host=host, at=self._now(), seconds=seconds))

    def kept(self, host: str, *, proved: bool = True) -> None:
        self.emit(RevertOff(host=host, at=self._now(), proved=proved))

    # --- the run

    def wave(self, number: int, of: int, servers: Sequence[str]) -> None:
        self.emit(WaveBegan(host=DIRECTOR, at=self._now(), number=number, of=of, servers=tuple(servers)))

    def draining(self, servers: Sequence[str], left: int, seconds: float) -> None:
        self.emit(Draining(host=DIRECTOR, at=self._now(), servers=tuple(servers), left=left, seconds=seconds))

    def _now(self) -> float:
        return time.monotonic() - self._began

    def emit(self, event: Event) -> None:
        # A broken onlooker, or a terminal that is gone, must not stop an apply half-way.
        with contextlib.suppress(Exception):
            self._watch(event)
