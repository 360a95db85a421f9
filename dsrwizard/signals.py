"""Signals that ask the program to end: INT, TERM and HUP, as far as it heeds them.

What whoever started the program had it ignore stays ignored, as everywhere on Unix: HUP below nohup, INT in a job that
a script runs in the background.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TYPED = signal.SIGUSR1  # for a typed ctrl+c where all of ENDING are ignored

Handler = Callable[[int, FrameType | None], Any]


def heeded() -> tuple[signal.Signals, ...]:
    """Those of `ENDING` that are not ignored."""
    return tuple(number for number in ENDING if signal.getsignal(number) not in (signal.SIG_IGN, None))


@contextmanager
def handled(handler: Handler) -> Iterator[None]:
    """Calls `handler` in the main thread when the program is asked to end. To be entered there."""
    before = {number: signal.signal(number, handler) for number in (*heeded(), _TYPED)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def typed() -> None:
    """Asks the main thread to end, also where INT is ignored: somebody typed ctrl+c and no signal came of it."""
    for number in (*ENDING, _TYPED):
        if callable(signal.getsignal(number)):
            signal.pthread_kill(threading.main_thread().ident or 0, number)
            return


def how_to_stop() -> str:
    """A sentence for what runs for long: how it is stopped where ctrl+c is ignored. Empty where it is not."""
    able = heeded()
    if signal.SIGINT in able:
        return ""
    option = "" if signal.SIGTERM in able else " -HUP" if able else " -KILL"
    return (
        "ctrl+c is ignored here: whoever started this had it ignored, as scripts do with what they run in the "
        f"background. Stop it with: kill{option} {os.getpid()}"
    )
