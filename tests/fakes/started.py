"""Programs started with a known disposition of signals, whatever this process was started with.

`nohup`, a script's background jobs and many CI runners have signals ignored, and children inherit that; a child that a
test interrupts must not.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_START = """
import os, signal, sys
ignored = {int(number) for number in sys.argv[1].split(",") if number}
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
    signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, ())
os.execvp(sys.argv[2], sys.argv[2:])
"""


def started(argv: Sequence[str], ignored: Sequence[signal.Signals] = ()) -> list[str]:
    """The command that becomes `argv` with these signals ignored, and the other ones that end a program not ignored."""
    return [sys.executable, "-I", "-S", "-c", _START, ",".join(str(int(number)) for number in ignored), *argv]


@contextmanager
def heeding() -> Iterator[None]:
    """This process itself, which a test sends a signal to, does not ignore those that end a program."""
    before = {number: signal.getsignal(number) for number in ENDING}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
