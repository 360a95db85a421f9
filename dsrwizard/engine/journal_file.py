"""The file of a journal, and beside it the head that says how much of it was on the disk: appended to, never rewritten.

The head is written when the lines before it are on the disk, so a journal may be ahead of its head by the lines of the
last moment before a power cut, and never behind it. Where it is behind, something was taken away.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from dsrwizard import files

LARGEST = 500_000_000
"""Bytes of a journal that is read: thousands of runs of thousands of steps. What is larger is none of ours."""
_PIECE = 1 << 20
_SLOT = 512
"""Bytes of one of the two places that are written in turn: a disk writes a sector whole or not at all."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """So many lines and bytes of the journal, with this SHA-256, were on the disk; `lost` were known to be missing."""

    lines: int
    bytes: int
    sha256: str
    lost: int = 0
    turn: int = 0


class _Slot(msgspec.Struct, frozen=True):
    head: Head
    sum: str


@dataclass
class _End:
    """The journal up to its end, as this program last saw it."""

    inode: int
    size: int
    lines: int
    digest: Any  # of hashlib
    lost: int


class JournalFile:
    """One journal and its head. Safe to use from several threads and processes. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head_path = path.with_suffix(".head")
        self._lock = threading.Lock()
        self._end: _End | None = None

    def read(self) -> bytes:
        """All of it; empty where there is none."""
        try:
            return files.read(self.path, LARGEST, ours=True)
        except FileNotFoundError:
            return b""

    def head(self) -> Head | None:
        """None: there is none that can be read, as with a journal of an earlier version."""
        try:
            return _newest(files.read(self.head_path, 4 * _SLOT, ours=True))
        except FileNotFoundError:
            return None

    def lost(self, data: bytes, head: Head | None) -> int:
        """How many lines are known to be gone from what was read."""
        if head is None:
            return 0
        missing = head.lines - data.count(b"\n")
        if missing > 0:
            return head.lost + missing
        return head.lost if self.whole(data, head) else head.lost + 1

    def whole(self, data: bytes, head: Head) -> bool:
        """Whether what was on the disk, as the head says, is there and unchanged."""
        return len(data) >= head.bytes and hashlib.sha256(data[: head.bytes]).hexdigest() == head.sha256

    def append(self, data: bytes, *, durable: bool) -> None:
        """Writes whole lines in one piece. `durable`: they are on the disk when it returns, and so is the head."""
        with self._lock:
            descriptor = files.opened(self.path, os.O_RDWR | os.O_APPEND)
            try:
                # Some network file systems have no locks: the run's own is elsewhere.
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                end = self._seen(descriptor)
                if os.write(descriptor, data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                first, end.size, end.lines = not end.size, end.size + len(data), end.lines + data.count(b"\n")
                end.digest.update(data)
                head = Head(lines=end.lines, bytes=end.size, sha256=end.digest.hexdigest(), lost=end.lost)
                with contextlib.suppress(OSError):
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
            except OSError:
                self._end = None
                os.close(descriptor)
                raise
        try:
            if durable:
                os.fsync(descriptor)  # outside the lock: the hosts' writes reach the disk together
        finally:
            os.close(descriptor)
        if durable:
            if first:
                files.sync_folder(self.path.parent)
            self._put(head)

    def forgive(self) -> None:
        """What was lost is of no account any more: the hosts were looked at, and hold nothing."""
        with self._lock:
            descriptor = files.opened(self.path, os.O_RDWR | os.O_APPEND)
            try:
                end = self._seen(descriptor)
                end.lost = 0
                head = Head(lines=end.lines, bytes=end.size, sha256=end.digest.hexdigest())
            finally:
                os.close(descriptor)
        self._put(head, anyway=True)

    def _seen(self, descriptor: int) -> _End:
        """The journal's end. What is torn there is cut off, and the whole is read where it is not as this program left
        it."""
        status = os.fstat(descriptor)
        end = self._end
        if end is not None and (end.inode, end.size) == (status.st_ino, status.st_size):
            return end
        _cut_torn(descriptor)
        data = bytearray()
        while piece := os.pread(descriptor, _PIECE, len(data)):
            data += piece
        self._end = end = _End(
            status.st_ino, len(data), data.count(b"\n"), hashlib.sha256(data), self.lost(bytes(data), self.head())
        )
        return end

    def _put(self, head: Head, *, anyway: bool = False) -> None:
        """Writes the head, unless another thread or process has written a later one."""
        with self._locked_head() as descriptor:
            before = _newest(os.pread(descriptor, 4 * _SLOT, 0))
            later = before is not None and before.lines >= head.lines and before.lost == head.lost
            if later and not anyway:  # with another number of lost lines it is longer because some are gone since
                return
            turn = before.turn + 1 if before is not None else 0
            head = msgspec.structs.replace(head, turn=turn)
            text = msgspec.json.encode(_Slot(head, _sum(head)))
            os.pwrite(descriptor, text.ljust(_SLOT - 1) + b"\n", (turn % 2) * _SLOT)
            os.fsync(descriptor)
            if before is None:
                files.sync_folder(self.path.parent)

    @contextmanager
    def _locked_head(self) -> Iterator[int]:
        descriptor = files.opened(self.head_path, os.O_RDWR)
        try:
            with contextlib.suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)


def _newest(data: bytes) -> Head | None:
    found = []
    for start in range(0, len(data), _SLOT):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            slot = msgspec.json.decode(data[start : start + _SLOT], type=_Slot)
            if slot.sum == _sum(slot.head):
                found.append(slot.head)
    return max(found, key=lambda head: head.turn, default=None)


def _sum(head: Head) -> str:
    return hashlib.sha256(msgspec.json.encode(head)).hexdigest()[:16]


def _cut_torn(descriptor: int) -> None:
    """Cuts off a last line without its end: the machine went down as it was written, and nothing was done for it."""
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    while size:  # backwards, piece by piece: what is torn may be long
        start = max(0, size - _PIECE)
        found = os.pread(descriptor, size - start, start).rfind(b"\n")
        if found >= 0:
            os.ftruncate(descriptor, start + found + 1)
            return
        size = start
    os.ftruncate(descriptor, 0)
