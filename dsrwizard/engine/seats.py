"""Who has a deployment open in a terminal: the first may change it there, others look on until it is closed.

The locks of runs (`engine.locks`) keep hosts from being changed twice at once. A seat is held for hours, by somebody
who may do nothing: so commands and guards do not ask for it, and a terminal without it can do everything but change.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from pathlib import Path
from threading import Lock

import msgspec

from dsrwizard import files
from dsrwizard.engine.locks import Holder, machine_id, moment, user_name

_LARGEST = 4_000
_decoder = msgspec.json.Decoder(Holder)


class Seats:
    """The seats of one program, in files `NAME.open` of a folder. The kernel lets go of them when the program is
    killed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine: dict[str, int] = {}
        self._lock = Lock()

    def take(self, name: str) -> str:
        """Takes a seat, which may be taken already. Empty: it is this program's; else who has it, in a sentence. Where
        the disk has no locks, nobody is told of, and the seat is free."""
        with self._lock:
            if name in self._mine:
                return ""
            try:
                descriptor = files.opened(self._folder / f"{name}.open", os.O_RDWR)
            except OSError:
                return ""
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(descriptor)
                os.close(descriptor)
                return _told(name, holder)
            except OSError:
                os.close(descriptor)
                return ""
            _write(descriptor, name)
            self._mine[name] = descriptor
            return ""

    def leave(self) -> None:
        """Leaves all of them."""
        with self._lock:
            while self._mine:
                os.close(self._mine.popitem()[1])


def _write(descriptor: int, name: str) -> None:
    me = Holder(
        verb="watch", deployment=name, pid=os.getpid(), user=user_name(), host=os.uname().nodename, since=time.time(),
        machine=machine_id(),
    )  # fmt: skip
    with contextlib.suppress(OSError):  # who it is helps others, and is no more than that
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, msgspec.json.encode(me), 0)


def _holder(descriptor: int) -> Holder | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decoder.decode(os.pread(descriptor, _LARGEST, 0))
    return None


def _told(name: str, holder: Holder | None) -> str:
    if holder is None:  # it is about to write who it is
        return f"Another terminal has {name} open."
    if holder.pid == os.getpid() and holder.machine == machine_id():
        return ""  # an engine of this program that is on its way out
    return f"{holder.who}, has {name} open since {moment(holder.since)}."
