"""Clocks that a test moves, so that nobody has to wait, to set this machine's clock, or to send it to sleep."""

from __future__ import annotations

import time
from typing import Any


class Clock:
    """The module `time` in one module; `ahead` is in seconds."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Clocks:
    """The three clocks of a machine: CLOCK_REALTIME, CLOCK_BOOTTIME and CLOCK_MONOTONIC."""

    def __init__(self, at: float = 1_000_000.0) -> None:
        self._wall, self._running, self._awake = at, 5000.0, 3000.0

    def wall(self) -> float:
        return self._wall

    def running(self) -> float:
        return self._running

    def awake(self) -> float:
        return self._awake

    def passes(self, seconds: float) -> None:
        """Time passes, and the program runs or does not."""
        self._wall += seconds
        self._running += seconds
        self._awake += seconds

    def is_set(self, seconds: float) -> None:
        """Somebody sets the wall clock: by so much forward, or back."""
        self._wall += seconds

    def sleeps(self, seconds: float) -> None:
        """The machine is suspended for so long (clock_gettime(2))."""
        self._wall += seconds
        self._running += seconds
