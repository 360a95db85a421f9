"""The time of one watch. Ages and orders are made of a time that never jumps; the wall clock is only shown.

The wall clock is set forwards and backwards while a watch runs for days, and the machine may sleep. So every moment a
watch keeps is on a scale of its own: the wall clock at its start, and from there what CLOCK_BOOTTIME counts, which goes
on while the machine sleeps and follows no change of the wall clock (clock_gettime(2)). What is shown is moved by as
much as the wall clock has been set since.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from dsrwizard.core.record.timeline import SET_BACK
from dsrwizard.core.tell.incident import span

STOOD_STILL = 5.0
"""Seconds. A watch that runs asks for the time several times a second; after so long a silence it did not run."""
SETTLES = 10.0
"""Seconds after the machine slept in which its network card, switches and connections find their way back: what goes
wrong meanwhile is no host's fault yet."""
CATCHES_UP = 2.0
"""The same after the program alone stood still: the answers that it did not take in time are no host's fault."""
TOLD = 5.0
"""A wall clock that was set by less is followed, and not worth a line."""
SET_FORWARD = "The clock was set forward by "
_SET = 0.5
_TOGETHER = 0.05
"""Seconds between two clocks read one after the other; more, and something came between them."""
_TRIES = 5


def boottime() -> float:
    """Seconds since the machine was started, with the time it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Timepiece:
    """Safe from many threads. `wall`: seconds since the epoch, which may jump; `awake` stands still while the machine
    sleeps, `running` does not."""

    def __init__(
        self,
        wall: Callable[[], float] | None = None,
        running: Callable[[], float] | None = None,
        awake: Callable[[], float] | None = None,
    ) -> None:
        self._wall, self._running, self._awake = wall or time.time, running or boottime, awake or time.monotonic
        self._lock = threading.Lock()
        ran, at, up = self._read()
        self._base = at - ran
        self._ahead = 0.0
        self._last = ran
        self._slept = ran - up
        self._woke = self._settled = float("-inf")
        self._beats = False
        self._notes: list[str] = []

    @classmethod
    def by(cls, clock: Callable[[], float]) -> Timepiece:
        """One that a single clock drives, which never jumps."""
        return _Driven(clock)

    def now(self) -> float:
        """Seconds since the epoch on the watch's own scale."""
        with self._lock:
            ran, at, up = self._read()
            if self._beats and ran - self._last > STOOD_STILL:
                self._woke, self._settled = self._base + ran, self._base + ran + CATCHES_UP
            self._last = ran
            slept = ran - up - self._slept
            if slept > TOLD:
                self._woke, self._settled = self._base + ran, self._base + ran + SETTLES
                self._notes.append(f"This machine was suspended for {span(slept)}: nothing was watched meanwhile.")
            if abs(slept) > _SET:
                self._slept = ran - up
            ahead = at - ran - self._base
            if abs(ahead - self._ahead) > _SET:
                jump, self._ahead = ahead - self._ahead, ahead
                if abs(jump) > TOLD:
                    said = SET_FORWARD if jump > 0 else SET_BACK
                    self._notes.append(f"{said}{span(abs(jump))}.")
            return self._base + ran

    def _read(self) -> tuple[float, float, float]:
        """The three clocks at one moment: a program that is stopped between two of them must not see a jump."""
        for _ in range(_TRIES):
            ran, at, up, again = self._running(), self._wall(), self._awake(), self._running()
            if again - ran <= _TOGETHER:
                break
        return ran, at, up

    @property
    def ahead(self) -> float:
        """Seconds by which the wall clock was set forward since the start; negative: back."""
        return self._ahead

    def shown(self, at: float) -> float:
        """What the wall clock as it is set now says of a moment of the watch; 0 stays what it is: never."""
        return at + self._ahead if at else at

    def kept(self, at: float) -> float:
        """The moment of the watch that the wall clock calls so."""
        return at - self._ahead if at else at

    def notes(self) -> list[str]:
        """What has happened to the time since this was asked last, a sentence each."""
        with self._lock:
            notes, self._notes = self._notes, []
        return notes

    def interrupted(self, since: float) -> bool:
        """Whether the program stood still at some time after `since`."""
        self.now()
        return self._woke >= since

    def settling(self) -> bool:
        """Whether it stood still a moment ago, and what was missed may be its own fault."""
        return self.now() < self._settled

    def beats(self) -> None:
        """From now on the time is asked for all the while: where nobody asks, the program stands still."""
        with self._lock:
            self._beats, self._last = True, self._running()


class _Driven(Timepiece):
    """See `Timepiece.by`."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(lambda: 0.0, lambda: 0.0, lambda: 0.0)
        self._clock = clock

    def now(self) -> float:
        return self._clock()
