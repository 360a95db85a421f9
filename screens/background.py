"""Daemon threads for blocking work that a screen awaits. They delay neither key presses nor the end of the app."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from textual.worker import NoActiveWorker, get_current_worker

from dsrwizard.core.model.errors import DsrError
from dsrwizard.engine.defects import Defect

T = TypeVar("T")


async def in_thread(work: Callable[[], T], name: str = "dsrwizard-screen") -> T:
    """Runs `work` on a thread of its own and returns its result. Raises DsrError, and OSError as it is.

    Not asyncio's pool: that one has few threads, and asyncio waits for them at exit, so hosts that do not answer would
    delay the other screens and the way out. Cancelling the caller stops the waiting; the thread ends by its own
    deadline. What nobody thought of is a `Defect`: the screen says so and lives on. Where the screen of the worker that
    waits is being taken away meanwhile, that worker is over: it would write on what is half gone.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except (DsrError, OSError) as error:
            _fail(future, error)
        except BaseException as error:  # noqa: BLE001 - the screen must not die of the engine's defects
            _fail(future, Defect.of(error))
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(result)

    Thread(target=run, name=name, daemon=True).start()
    try:
        return await asyncio.wrap_future(future)
    finally:
        if _leaving():
            raise asyncio.CancelledError


def _leaving() -> bool:
    """Whether the screen that this worker works for is being taken away."""
    try:
        node = get_current_worker().node
    except NoActiveWorker:  # a message is handled: its widget does not go before it is
        return False
    # Textual says so by a display that no style has asked for.
    return not node.is_attached or (not node.display and node.styles.display != "none")


def let_keys_through() -> None:
    """From now on a thread that computes hands the interpreter over after a millisecond, not after five: between a key
    and its paint it is handed over several times, and a poller works out ten thousand rows each second."""
    sys.setswitchinterval(0.001)


def _fail(future: Future[T], error: BaseException) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(error)
