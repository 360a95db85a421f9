"""The time as the screens see it, in one place, so that ages and elapsed times can be held still in a picture."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def running() -> float:
    """Seconds that only ever grow, for elapsed times."""
    return time.monotonic()
