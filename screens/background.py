"""Blocking work on daemon threads, awaited by a screen: nothing it does can delay a key press or the end of the app."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T], name: str = "dsrwizard-screen") -> T:
    """Runs `work` on a thread of its own and returns or raises what it does.

    Not asyncio's pool: that one has few threads, and asyncio waits for them at exit, so hosts that do not answer would
    delay the other screens and the way out. Cancelling the caller stops the waiting; the thread ends by its own
    deadline.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits
            _settle(future, error=error)
        else:
            _settle(future, result=result)

    Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)


def _settle(future: Future[T], *, result: T | None = None, error: BaseException | None = None) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)  # type: ignore[arg-type]
