"""One loop for packet sockets: frames out in batches or at a pace, frames in, timers, and an end."""

from __future__ import annotations

import errno
import heapq
import itertools
import math
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, Self

from backends.packets.capture import Capture
from backends.packets.ethernet import Frame

OnFrame = Callable[[Frame, float], None]
"""Called with a frame and when it was taken (`time.monotonic()`)."""
Turn = Literal["free", "first", "last"]
_Outgoing = tuple[Capture, bytes, Callable[[float], None] | None]
_BATCH = 64
"""Frames sent before answers are taken in again, so that neither queue overflows with 10,000 targets."""
_PATIENCE = 2.0
"""Seconds an interface may take no frame at all."""
_BURST = 0.01
"""Seconds whose frames may go out at once: timers count milliseconds, and a pace may be many frames in one."""


class _Pace:
    """When the next frame may go out: never more than `rate` in any one second. 0: always."""

    def __init__(self, rate: float) -> None:
        self._gap = (1 + _BURST) / rate if rate > 0 else 0.0
        self._next = 0.0

    def wait(self, now: float) -> float:
        return max(0.0, self._next - now)

    def sent(self, now: float) -> None:
        self._next = max(self._next, now - _BURST) + self._gap


class Loop:
    """Runs until `done()` says so. Everything happens in the calling thread; callbacks must not block.

    `pace`: at most so many frames go out in any second, 0 for no bound. Times are seconds of `time.monotonic()`.
    """

    def __init__(self, pace: float = 0) -> None:
        self._captures: dict[int, tuple[Capture, OnFrame]] = {}
        self._poll = select.poll()
        self._outgoing: deque[_Outgoing] = deque()
        self._free: deque[_Outgoing] = deque()
        self._pace = _Pace(pace)
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._stuck = math.inf

    def watch(self, capture: Capture, on_frame: OnFrame) -> Capture:
        """Calls `on_frame` with every frame of a capture and when it was taken. The loop closes the capture."""
        self._captures[capture.fileno()] = (capture, on_frame)
        self._poll.register(capture.fileno(), select.POLLIN)
        return capture

    def send(
        self, capture: Capture, frame: bytes, sent: Callable[[float], None] | None = None, turn: Turn = "last"
    ) -> None:
        """Puts a frame into the queue, at its end or before all others; `free`: it goes out at once, whatever the
        pace, and before the loop ends. `sent` is called with the time just before it went out."""
        if turn == "free":
            self._free.append((capture, frame, sent))
        elif turn == "first":
            self._outgoing.appendleft((capture, frame, sent))
        else:
            self._outgoing.append((capture, frame, sent))

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._count), do))

    def run(self, done: Callable[[], bool]) -> None:
        """Returns when `done()`, or when nothing is left that could happen. Raises OSError."""
        while self._free or (not done() and (self._outgoing or self._timers)):
            blocked = not (self._send(self._free) and self._send(self._outgoing, self._pace))
            now = time.monotonic()
            self._stuck = min(self._stuck, now) if blocked else math.inf
            if now - self._stuck > _PATIENCE:
                raise OSError(errno.ENOBUFS, "its send queue stays full")
            if self._timers and self._timers[0][0] <= now:
                self._receive(0.0)  # this process may have stood still: what has arrived meanwhile counts
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            if not self._free and done():
                return
            self._receive(self._rest(now, blocked))

    def _rest(self, now: float, blocked: bool) -> float:
        """Seconds until there is something to do."""
        if blocked:
            return 0.001
        if self._free:
            return 0.0
        due = []
        if self._outgoing:
            wait = self._pace.wait(now)
            if not wait:
                return 0.0
            due.append(wait + _BURST / 2)  # half of what may go at once gathers: fewer awakenings, the same pace
        if self._timers:
            due.append(max(0.0, self._timers[0][0] - now))
        return min(due, default=0.0)

    @staticmethod
    def _send(queue: deque[_Outgoing], pace: _Pace | None = None) -> bool:
        """Sends a batch; false where the interface takes no more for now."""
        for _ in range(min(_BATCH, len(queue))):
            capture, frame, sent = queue[0]
            now = time.monotonic()
            if pace is not None and pace.wait(now):
                return True
            if not capture.send(frame):
                return False
            queue.popleft()
            if pace is not None:
                pace.sent(now)
            if sent is not None:
                sent(now)
        return True

    def _receive(self, wait: float) -> None:
        # Rounded up: poll() counts milliseconds, and rounding down would spin through the last one.
        for descriptor, _events in self._poll.poll(math.ceil(wait * 1000)):
            capture, on_frame = self._captures[descriptor]
            now = time.monotonic()
            for frame in capture.frames():
                on_frame(frame, now)

    def close(self) -> None:
        for capture, _ in self._captures.values():
            capture.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
