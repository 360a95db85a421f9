"""Interruptible runs: a signal lets running commands finish and starts no new ones."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import TypeVar

from dsrwizard import out, signals
from dsrwizard.core.api import STOP_SECONDS, Patience

T = TypeVar("T")
LONG = 3.0
"""Seconds after which a run says how to stop it, if ctrl+c is ignored."""


def interruptible(work: Callable[[], T], stop: threading.Event, patience: Patience | None = None) -> T:
    """Runs `work` in a thread of its own. The first signal sets `stop`, the second raises KeyboardInterrupt. While
    connections are waited for, the first ctrl+c ends that wait and nothing else."""
    done: list[T] = []
    failed: list[BaseException] = []

    def body() -> None:
        try:
            done.append(work())
        except BaseException as problem:  # noqa: BLE001 - handed to the caller's thread as it is
            failed.append(problem)

    def interrupt(number: int, _: object) -> None:
        typed = number not in (signal.SIGTERM, signal.SIGHUP)
        if typed and patience is not None and patience.waiting.is_set() and not patience.skip.is_set():
            patience.skip.set()
            out.complaint("Not waiting for the connections that are left. Press again to stop.")
            return
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        out.complaint(
            "Stopping: running commands finish, nothing new starts.",
            f"A server that says nothing is waited for no longer than {STOP_SECONDS['ssh']:.0f} s, with Windows "
            f"{STOP_SECONDS['winrm']:.0f} s. Press again to quit immediately.",
        )

    thread = threading.Thread(target=body, name="run", daemon=True)
    with signals.handled(interrupt):
        thread.start()
        thread.join(LONG)
        if thread.is_alive() and (note := signals.how_to_stop()):
            out.complaint(note)
        while thread.is_alive():
            thread.join(0.2)
    if failed:
        raise failed[0]
    return done[0]
