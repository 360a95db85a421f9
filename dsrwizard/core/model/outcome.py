"""The outcome of a step, a host or a run."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar

from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.shown import Shown


class Outcome(StrEnum):
    """`UNKNOWN`: the connection broke in the middle. `HELD`: its proof was not given, e.g. weight stays 0."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    FAILED = "failed"
    SKIPPED = "skipped"
    HELD = "held"
    NOT_ATTEMPTED = "not-attempted"
    ROLLED_BACK = "rolled-back"
    UNKNOWN = "unknown"


class StepResult(Shown, frozen=True, kw_only=True):
    SEVERAL_LINES: ClassVar = frozenset({"detail"})

    host: str
    step: str
    outcome: Outcome
    detail: str = ""


class HostResult(Shown, frozen=True, kw_only=True):
    host: str
    outcome: Outcome
    steps: tuple[StepResult, ...] = ()
    failure: Failure | None = None


class RunResult(Shown, frozen=True, kw_only=True):
    """A whole apply or teardown."""

    deployment: str
    hosts: tuple[HostResult, ...]

    @property
    def ok(self) -> bool:
        """Every host is as it should be now."""
        return all(host.outcome in (Outcome.CHANGED, Outcome.UNCHANGED, Outcome.SKIPPED) for host in self.hosts)

    @property
    def changed(self) -> int:
        """How many steps changed something."""
        return sum(step.outcome is Outcome.CHANGED for host in self.hosts for step in host.steps)
