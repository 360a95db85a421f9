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
    """The host keeps what was changed; `proved` is false where nothing is there that it could take back."""

    proved: bool = True


class WaveBegan(_Event, frozen=True, kw_only=True):
    """A wave of real servers begins; `number` counts from 1. `host` is the director's name."""

    number: int
    of: int
    servers: tuple[str, ...]


class Draining(_Event, frozen=True, kw_only=True):
    """Real servers get no new clients, and their connections are waited for: how many are `left` on which servers, and
    for how many `seconds` more at most. `host` is the director's name."""

    servers: tuple[str, ...]
    left: int
    seconds: float


Event = (
    HostStarted | StepStarted | StepFinished | HostSaid | HostFinished | RevertArmed | RevertOff | WaveBegan | Draining
)
Observer = Callable[[Event], None]
