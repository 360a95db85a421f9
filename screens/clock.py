"""The clock of the screens, in one place, so that a test can stop it for a picture."""

from __future__ import annotations

import time


class _Wall:
    """The wall clock as it was set when it was last asked, and what has passed since."""

    def __init__(self) -> None:
        self.agree()

    def agree(self) -> None:
        self._base = time.time() - _boottime()

    def now(self) -> float:
        return self._base + _boottime()


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


_wall = _Wall()


def agree() -> None:
    """From now on the time shown is the wall clock's as it is set now. To be called with each picture: what is shown
    beside a picture ages as time passes, also if the wall clock is set meanwhile."""
    _wall.agree()


def now() -> float:
    """Seconds since the epoch."""
    return _wall.now()


def running() -> float:
    """Monotonic seconds, for elapsed times."""
    return time.monotonic()
