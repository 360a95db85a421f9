"""The clock of the screens, in one place, so that a test can stop it for a picture."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds since the epoch."""
    return time.time()


def running() -> float:
    """Monotonic seconds, for elapsed times."""
    return time.monotonic()
