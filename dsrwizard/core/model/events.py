"""The progress events of a run. Frozen, and the same for a screen, a command or a test."""

from __future__ import annotations

from collections.abc import Callable

from dsrwizard.core.model.outcome import HostResult, StepResult
from dsrwizard.core.model.shown import Shown


class _Event(Shown, frozen=True):
    host: str
    at: float
    """Seconds since the run began."""


class HostStarted(_Event, frozen=True, kw_only=True):
    steps: int


class StepStarted(_Event, frozen=True, kw_only=True):
    step: str
    title: str
    number: int
    of: int


class StepFinished(_Event, frozen=True, kw_only=True):
    result: StepResult


class HostSaid(_Event, frozen=True, kw_only=True):
    """One line from the host or about it, for its log."""

    line: str


class HostFinished(_Event, frozen=True, kw_only=True):
    result: HostResult


class RevertArmed(_Event, frozen=True, kw_only=True):
    """From now on the host takes this run's steps back by itself, `seconds` after the last of them began, unless it is
    proved first."""

    seconds: float


class RevertOff(_Event, frozen=True, kw_only=True):
    """The host keeps what was changed."""


Event = HostStarted | StepStarted | StepFinished | HostSaid | HostFinished | RevertArmed | RevertOff
Observer = Callable[[Event], None]
