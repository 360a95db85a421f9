"""The timeline on disk: one JSON line a state change, beside the journal, written by one watch at a time.

What the operator did is not written here: the journal knows it, and both are put together when they are read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from dsrwizard import files
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.snapshot import Happening
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.record.timeline import SAME_SECONDS, SET_BACK, in_order_of_time, of_journal, same, wanted
from dsrwizard.core.tell.incident import span
from dsrwizard.engine.journal import Journal

LINE_BYTES = 4096
"""No line is longer: it is written in one piece, and a reader never sees two that are mixed."""
BEGAN = "A watch began."
ENDED = "A watch ended."
FILE_BYTES = 5_000_000
"""At this size a new file is begun; one old file is kept."""
ANEW = "The timeline starts again here: its file was removed, emptied or moved during the watch."
WAITING = 1000
"""Lines kept while the disk takes none."""
AGAIN_SECONDS = 5.0
"""From one attempt to write them to the next."""
LARGEST = 10 * FILE_BYTES
"""Bytes of a file that is read."""

_decoder = msgspec.json.Decoder(Happening)
_Place = tuple[str, str, str]


class Timeline:
    """The timeline of one deployment, `<folder>/<deployment>.jsonl`; what was before the last rotation is in
    `<deployment>.jsonl.1`. Safe to use from several processes."""

    def __init__(self, folder: Path, deployment: str, *, file_bytes: int = FILE_BYTES) -> None:
        self.path = folder / f"{deployment}.jsonl"
        self.old = folder / f"{deployment}.jsonl.1"
        self.lock = folder / f"{deployment}.lock"
        self._file_bytes = file_bytes

    def read(self) -> tuple[Happening, ...]:
        """Everything kept, in order of time. Lines that are torn or not ours are passed over. Raises LookError."""
        return in_order_of_time(self._lines())

    def _lines(self) -> list[Happening]:
        texts: list[bytes] = []
        seen: list[os.stat_result] = []
        for path in (self.path, self.old):  # in this order a rotation between the two hides nothing
            try:
                text, status = files.looked(path, LARGEST, ours=True)
                if not any(os.path.samestat(status, other) for other in seen):
                    seen.append(status)
                    texts.insert(0, text)
            except FileNotFoundError:
                continue
            except OSError as problem:
                raise LookError(
                    f"The timeline {path} cannot be read: {problem.strerror}.",
                    "",
                    "Give access to that folder, or set XDG_STATE_HOME to another one.",
                ) from problem
        found = []
        for line in b"\n".join(texts).split(b"\n"):
            with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                found.append(_decoder.decode(line))
        return found

    def length(self) -> int:
        """Bytes in the file that is written; 0: there is none."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def append(self, entry: Happening) -> None:
        """Writes one line, or nothing of it. Raises OSError."""
        files.folder(self.path.parent)
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_size + LINE_BYTES > self._file_bytes:
                self.path.replace(self.old)
        descriptor = files.opened(self.path, os.O_RDWR | os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # a line that another process is writing looks like a torn one
            size = os.fstat(descriptor).st_size
            torn = size and os.pread(descriptor, 1, size - 1) != b"\n"
            data = (b"\n" if torn else b"") + encoded(entry)
            if (written := os.write(descriptor, data)) != len(data):
                if written:
                    os.ftruncate(descriptor, size)  # half a line helps nobody, and takes the last of a full disk
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        finally:
            os.close(descriptor)


def note(timeline: Timeline, message: str) -> None:
    """Writes a line that is nobody's state, beside whichever watch. What cannot be written is left out."""
    with contextlib.suppress(OSError):
        timeline.append(Happening(at=time.time(), host=DIRECTOR, message=message))


def encoded(entry: Happening) -> bytes:
    """One line of at most `LINE_BYTES`; a message too long for it is cut."""
    line = msgspec.json.encode(entry) + b"\n"
    message = entry.message
    while len(line) > LINE_BYTES and message:
        message = message[: len(message) * 3 // 4]
        line = msgspec.json.encode(msgspec.structs.replace(entry, message=message + "…")) + b"\n"
    return line


class Recorder:
    """Writes what one watch sees, unless another watch of the deployment writes already; called with each happening.

    The right to write is a lock on a file, which the kernel gives back when its holder ends. It is asked for at the
    start and with each happening, so that the next watch goes on where the first has ended. When the watch began and
    ended is written too: where nobody watched, silence says nothing. Never raises: `problem` says what went wrong. What
    a full disk does not take waits, the oldest of too many go, and `again` writes it once there is room.
    """

    def __init__(self, timeline: Timeline, clock: Callable[[], float] = time.time) -> None:
        self._timeline = timeline
        self._clock = clock
        self._began = clock()
        self._guard = threading.Lock()
        self._descriptor: int | None = None
        self._ended = False
        self._last: dict[_Place, Happening] = {}
        self._waiting: deque[Happening] = deque(maxlen=WAITING)
        self._tried = 0.0
        self._length = 0
        self.problem = ""
        try:
            self._mine()
        except OSError as problem:
            self._failed(problem)

    def past(self) -> tuple[Happening, ...]:
        """What the file tells already; nothing, where it cannot be read."""
        with contextlib.suppress(LookError):
            return self._timeline.read()
        return ()

    def __call__(self, entry: Happening) -> None:
        """Writes a state change."""
        if entry.state == "info":  # what the operator did is in the journal
            return
        with self._guard:
            self._waiting.append(entry)
            self._write()

    def note(self, entry: Happening) -> None:
        """Writes what is no state of anything: what has happened to the clock."""
        with self._guard:
            self._waiting.append(entry)
            self._write()

    def again(self) -> None:
        """Tries to write what waits, now and then. To be called every second or so."""
        if self._waiting and time.monotonic() - self._tried >= AGAIN_SECONDS:
            with self._guard:
                self._write()

    def _write(self) -> None:
        self._tried = time.monotonic()
        try:
            if not self._mine():
                self._waiting.clear()  # whoever writes tells it
                return
            while self._waiting:
                self._written(self._waiting[0])
                self._waiting.popleft()
            self.problem = ""
        except OSError as problem:
            self._failed(problem)

    def _written(self, entry: Happening) -> None:
        place = (entry.host, entry.vip, entry.service)
        last = self._last.get(place)
        if entry.state != "info" and last is not None and self._known(last, entry):
            return
        if self._length and not self._timeline.length():
            self._append(Happening(at=entry.at, host=DIRECTOR, message=ANEW))
        self._append(entry)
        if entry.state != "info":
            self._last[place] = entry

    def _append(self, entry: Happening) -> None:
        self._timeline.append(entry)
        self._length = self._timeline.length()

    def _failed(self, problem: OSError) -> None:
        self.problem = f"The timeline {self._timeline.path} cannot be written: {problem.strerror or problem}."
        if self._waiting:
            self.problem += f" {len(self._waiting)} {'line waits' if len(self._waiting) == 1 else 'lines wait'}."

    def _known(self, last: Happening, entry: Happening) -> bool:
        """Whether the file tells it already: the watch that wrote before saw it too, or this one has begun and finds
        what was known."""
        found = entry.before in ("", "unknown")
        return same(last, entry) or (found and (last.state, last.cause) == (entry.state, entry.cause))

    def _mine(self) -> bool:
        """Whether this watch holds the lock; with it comes what the file said last of each place. Raises OSError."""
        if self._descriptor is not None and not self._ended and not self._still_named(self._descriptor):
            os.close(self._descriptor)
            self._descriptor = None
        if self._descriptor is not None or self._ended:
            return not self._ended
        descriptor = files.opened(self._timeline.lock, os.O_RDWR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        with contextlib.suppress(LookError):
            lines = self._timeline.read()
            self._last = {(line.host, line.vip, line.service): line for line in lines}
            now = self._clock()
            if lines and (ahead := lines[-1].at - now) > SAME_SECONDS:
                self._began = now
                self._append(Happening(at=now, host=DIRECTOR, message=f"{SET_BACK}{span(ahead)} or more."))
        self._append(Happening(at=self._began, host=DIRECTOR, message=BEGAN))
        return True

    def _still_named(self, descriptor: int) -> bool:
        """Whether the lock is still the file that another watch would open: one that was removed keeps nobody out."""
        try:
            return os.path.samestat(os.fstat(descriptor), self._timeline.lock.stat())
        except FileNotFoundError:
            return False

    def close(self) -> None:
        """Lets another watch write. Calling it again is fine."""
        with self._guard:
            self._ended = True
            if self._descriptor is None:
                return
            try:
                while self._waiting:
                    self._written(self._waiting.popleft())
                self._append(Happening(at=self._clock(), host=DIRECTOR, message=ENDED))
            except OSError as problem:
                self._failed(problem)
            os.close(self._descriptor)
            self._descriptor = None


def events(timeline: Timeline, journal: Journal, since: float = 0.0, host: str = "") -> tuple[Happening, ...]:
    """State changes and what the operator did, in order of time, from `since` on. Raises LookError."""
    return wanted(in_order_of_time(timeline.read(), of_journal(journal.entries())), since, host)
