"""The fifth source: a whole verification now and then, as `verify` runs it, without anybody being asked for anything.

It takes seconds, logs in where logins are open, and connects from the client host. So one runs at a time, in a thread
of its own, and it rests for a multiple of the time it took. What it found stands until the next one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure, Observed
from dsrwizard.core.ports import ServerPort
from dsrwizard.engine.defects import failure_of
from dsrwizard.engine.silent_asker import Quiet
from dsrwizard.engine.watch.board import Board
from dsrwizard.engine.watch.timepiece import SETTLES

PROOF_SECONDS = 60.0
"""From the end of one verification to the next, while nothing changes."""
AGAIN_SECONDS = 10.0
"""The same, where a state has changed or the operator did something."""
FIRST_SECONDS = 3.0
"""The quick sources go first."""
RESTS = 9.0
"""Times as long as a verification took, it rests: it works for a tenth of the time at most."""
RESTS_DOUBTFUL = 2.0
RETRY_SECONDS = 60.0
REFUSED_SECONDS = 900.0
LOGIN_KINDS = frozenset({"login", "privilege", "key-unknown", "key-changed"})

Prove = Callable[[Observed], Report]
"""A verification with these facts. May raise DsrError."""


class Proof:
    """Verifies over and over. `look` is used from one thread at a time."""

    def __init__(self, prove: Prove, observe: Callable[[], Observed], board: Board) -> None:
        self._prove = prove
        self._observe = observe
        self._board = board

    def look(self, seen: Observed | None = None, *, picky: bool = False) -> None:
        """One verification. `seen`: facts of this moment, where somebody has them. `picky`: what it found counts only
        if no state changed meanwhile and this machine did not stand still; else its parts are of different moments. May
        raise DsrError."""
        began = self._board.clock()
        report = self._prove(self._observe() if seen is None else seen)
        if not self._board.over and not (picky and self._mixed(began)):
            self._board.proved(report, began)

    def _mixed(self, began: float) -> bool:
        return self._board.doubtful.is_set() or self._board.time.interrupted(began - SETTLES)

    def over_and_over(self, running: threading.Event, guarded: Callable[[str, Callable[[], None]], None]) -> None:
        """Until the watch is over; not while it is paused."""
        doubtful, picky = self._board.doubtful, True
        self._rest(FIRST_SECONDS)
        while not self._board.over:
            running.wait()
            doubtful.clear()
            began, at = time.monotonic(), self._board.clock()
            guarded("proof", partial(self.look, picky=picky))
            picky = not (picky and self._mixed(at))  # where something always changes, every second one counts
            took = time.monotonic() - began
            self._rest(max(AGAIN_SECONDS, RESTS_DOUBTFUL * took))
            left = max(PROOF_SECONDS, RESTS * took) - (time.monotonic() - began - took)
            doubtful.wait(max(0.0, left if picky else min(left, AGAIN_SECONDS)))

    def _rest(self, seconds: float) -> None:
        """Until the time is over, or the watch."""
        self._board.rest(seconds)


class QuietClient:
    """The client host, for a verification that nobody waits for: no question is asked, and a host that refused a login
    is left alone for longer."""

    def __init__(
        self, look: Callable[[], ClientView | Failure], quiet: Quiet, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._quiet = quiet
        self._clock = clock
        self._held: tuple[float, Failure] | None = None
        """Until when it is left alone, and why."""

    def reached(self) -> None:
        """The operator's own doing has opened it."""
        self._held = None

    def __call__(self) -> ClientView | Failure:
        if self._held is not None and self._clock() < self._held[0]:
            return self._held[1]
        with self._quiet.quietly() as unasked:
            try:
                found = self._look()
            except DsrError as problem:
                found = failure_of(problem)
        self._held = None
        if isinstance(found, Failure):
            seconds = REFUSED_SECONDS if found.kind in LOGIN_KINDS else RETRY_SECONDS
            if unasked.questions:
                seconds = float("inf")
                kinds = " and ".join(dict.fromkeys(unasked.questions))
                found = Failure(kind="asks", what=f"It needs your input ({kinds}).", next="Run verify once to log in.")
            self._held = (self._clock() + seconds, found)
        return found


class QuietPort:
    """A real server's port whose methods ask nobody anything."""

    def __init__(self, port: ServerPort, quiet: Quiet) -> None:
        self._port = port
        self._quiet = quiet

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def quietly(*words: Any, **named: Any) -> Any:
            with self._quiet.quietly():
                return method(*words, **named)

        return quietly if callable(method) else method


def quiet_port(port: ServerPort, quiet: Quiet) -> ServerPort:
    """The same port; nobody is asked anything through it."""
    return cast(ServerPort, QuietPort(port, quiet))
