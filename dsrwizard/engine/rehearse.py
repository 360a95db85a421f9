"""A rehearsal on one Windows server: look, set the trial up, look, take it back, look.

It goes through the engine like any deployment, with a journal, so what a broken rehearsal leaves is found by the next
one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event as Flag

import msgspec

from dsrwizard.core.api import Engine, Leased
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import LookError, UsageError
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.tell.rehearsal import expectations
from dsrwizard.core.tell.rehearsal.record import Expectation, Look, Rehearsal, Timing


class Rehearser:
    """The parts of a rehearsal, in the order they are called. `trial` is what `core.tell.rehearsal.trial` makes.
    `clock` counts seconds."""

    def __init__(
        self, engine: Engine, trial: Deployment, *, allowed: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine, self._trial, self._allowed, self._clock = engine, trial, allowed, clock
        (self._server,) = trial.servers

    @property
    def begun(self) -> bool:
        """Whether something of an earlier rehearsal is still on the server."""
        return self._engine.in_force(self._trial.name)

    def begin(self, version: str) -> Rehearsal:
        """Two looks. Raises LookError where the server cannot be looked at, UsageError where it is no Windows."""
        first = self._look()
        if first.facts.windows is None:
            raise UsageError(
                f"{self._server.name} is not a Windows server.", "A rehearsal compares Windows with what is expected.",
                "Name a server that is reached by WinRM.",
            )  # fmt: skip
        second = self._look()
        return Rehearsal(
            dsrwizard=version,
            login=f"{self._server.auth} over {self._server.winrm}",
            before=second.facts,
            findings=tuple(expectations.of_looks(first, second, self._allowed)),
            timings=(Timing(what="first look", seconds=first.seconds), Timing(what="look", seconds=second.seconds)),
        )

    def plan(self) -> Plan:
        """What would be set up."""
        return self._engine.plan(self._trial, self._engine.observe(self._trial))

    def plan_back(self) -> Plan:
        """What would be taken back."""
        return self._engine.teardown_plan(self._trial)

    def set_up(
        self, so_far: Rehearsal, plan: Plan, watch: Observer, stop: Flag, lease: Leased | None = None
    ) -> Rehearsal:
        """The steps of the plan, and a look at what came of them. `lease`: as for `Engine.apply`."""
        began = self._clock()
        run = self._engine.apply(self._trial, plan, watch, stop, lease)
        seconds = self._clock() - began
        looked, findings = self._looked(so_far, "set-up")
        return msgspec.structs.replace(
            so_far,
            set_up=looked.facts if looked else None,
            findings=(*so_far.findings, _ran("set-up", run), *findings),
            timings=(*so_far.timings, Timing(what="set-up", seconds=seconds)),
            problems=(*so_far.problems, *_problems(run)),
        )

    def restarted(self, so_far: Rehearsal) -> Rehearsal:
        """A look at what a restart has left. Raises LookError, and UsageError where there was no restart."""
        looked = self._look()
        known = so_far.set_up or so_far.before
        if looked.facts.boot_id == known.boot_id:
            raise UsageError(
                f"{self._server.name} has not been restarted since the rehearsal began.",
                f"Its last start was at {looked.facts.boot_id}.",
                "Restart it and run the command again, or use --finish to undo everything now.",
            )
        findings = expectations.of_set_up(
            "restart", so_far.before.windows or looked.windows, looked.windows, self._trial
        )
        return msgspec.structs.replace(so_far, findings=(*so_far.findings, *findings))

    def take_back(
        self,
        so_far: Rehearsal,
        plan: Plan,
        watch: Observer,
        stop: Flag,
        lease: Leased | None = None,
        *,
        compared: bool = True,
    ) -> Rehearsal:
        """Everything taken back, and a last look. `compared`: `so_far.before` is what the server was like without the
        trial."""
        began = self._clock()
        run = self._engine.teardown(self._trial, plan, watch, stop, lease)
        seconds = self._clock() - began
        looked, findings = self._looked(so_far, "undo")
        if not compared:
            findings = tuple(one for one in findings if one.id != expectations.AS_BEFORE)
        return msgspec.structs.replace(
            so_far,
            findings=(*so_far.findings, _ran("undo", run), *findings),
            timings=(*so_far.timings, Timing(what="undo", seconds=seconds)),
            problems=(*so_far.problems, *_problems(run)),
            complete=looked is not None and run.ok and not self.begun,
        )

    def _looked(self, so_far: Rehearsal, stage: str) -> tuple[Look | None, tuple[Expectation, ...]]:
        """A look after a change, and what it shows. Where it fails, that is the finding."""
        try:
            look = self._look()
        except LookError as problem:
            lost: Expectation = Expectation(
                stage="undo" if stage == "undo" else "set-up", id="reachable",
                expected="The server can be looked at afterwards.", agreement="differs", seen=str(problem),
            )  # fmt: skip
            return None, (lost,)
        before = so_far.before.windows
        assert before is not None  # noqa: S101 - `begin` made sure
        if stage == "undo":
            return look, tuple(expectations.of_undo(before, look.windows))
        return look, tuple(expectations.of_set_up("set-up", before, look.windows, self._trial))

    def _look(self) -> Look:
        began = self._clock()
        observed = self._engine.observe(self._trial)
        seconds = self._clock() - began
        facts = observed.servers.get(self._server.name)
        if facts is None:
            failure = observed.failed.get(self._server.name)
            raise LookError(
                failure.what if failure else f"{self._server.name} could not be looked at.",
                failure.why if failure else "",
                failure.next if failure else "",
            )
        return Look(seconds=seconds, facts=facts)


def _ran(stage: str, run: RunResult) -> Expectation:
    """Whether Windows did what it was told."""
    expected = "Every step is carried out." if stage == "set-up" else "Every step is undone."
    failed = [f"{step.step}: {step.outcome}" for host in run.hosts for step in host.steps if step.outcome != "changed"]
    seen = "; ".join(failed) or f"{run.changed} steps"
    return Expectation(
        stage="undo" if stage == "undo" else "set-up", id="steps", expected=expected,
        agreement="as-expected" if run.ok else "differs", seen=seen,
    )  # fmt: skip


def _problems(run: RunResult) -> list[str]:
    return [host.failure.text for host in run.hosts if host.failure is not None]
