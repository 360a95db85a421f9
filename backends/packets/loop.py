"""One loop for packet sockets: frames out in batches, frames in, timers, and an end."""

from __future__ import annotations

import heapq
import itertools
import math
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Self

from backends.packets.capture import Capture
from backends.packets.ethernet import Frame

OnFrame = Callable[[Frame, float], None]
"""Called with a frame and when it was taken (`time.monotonic()`)."""
_BATCH = 64
"""Frames sent before answers are taken in again, so that neither queue overflows with 10,000 targets."""


class Loop:
    """Runs until `done()` says so. Everything happens in the calling thread; callbacks must not block.

    Times are seconds of `time.monotonic()`.
    """

    def __init__(self) -> None:
        self._captures: dict[int, tuple[Capture, OnFrame]] = {}
        self._poll = select.poll()
        self._outgoing: deque[tuple[Capture, bytes, Callable[[float], None] | None]] = deque()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def watch(self, capture: Capture, on_frame: OnFrame) -> Capture:
        """Calls `on_frame` with every frame of a capture and when it was taken. The loop closes the capture."""
        self._captures[capture.fileno()] = (capture, on_frame)
        self._poll.register(capture.fileno(), select.POLLIN)
        return capture

    def send(self, capture: Capture, frame: bytes, sent: Callable[[float], None] | None = None) -> None:
        """Puts a frame at the end of the queue; `sent` is called with the time just before it went out."""
        self._outgoing.append((capture, frame, sent))

    def at(self, when: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._count), do))

    def run(self, done: Callable[[], bool]) -> None:
        """Returns when `done()` and all is sent, or when nothing is left that could happen. Raises OSError."""
        while self._outgoing or (not done() and self._timers):
            blocked = self._send_batch()
            now = time.monotonic()
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            if self._outgoing:
                wait = 0.001 if blocked else 0.0
            elif done() or not self._timers:
                continue
            else:
                wait = max(0.0, self._timers[0][0] - now)
            self._receive(wait)

    def _send_batch(self) -> bool:
        for _ in range(min(_BATCH, len(self._outgoing))):
            capture, frame, sent = self._outgoing[0]
            now = time.monotonic()
            if not capture.send(frame):
                return True
            self._outgoing.popleft()
            if sent is not None:
                sent(now)
        return False

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
