"""How long a run that is to stop waits for a real server: as long as something comes from it, and a little longer.

Without a bound, a server whose machine has died would hold the run until the deadline of its script, which is minutes
for many steps.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

from dsrwizard.core.api import STOP_SECONDS
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import ConnectionLost, DsrError
from dsrwizard.engine.hosts import Hosts
from dsrwizard.engine.telling import Telling

_TICK = 0.25


def _never() -> float:
    return 0.0


class BoundedStop:
    """Ends the wait for servers from which nothing more comes after `stop` is set."""

    def __init__(self, hosts: Hosts, stop: threading.Event, telling: Telling) -> None:
        self._hosts, self._stop, self._tell = hosts, stop, telling

    @contextlib.contextmanager
    def wait(self, server: RealServer, heard: Callable[[], float] = _never) -> Iterator[None]:
        """What is asked of a server within it ends soon after a stop. `heard`: when something came last, by the
        monotonic clock. Raises ConnectionLost where the server was given up: what its script did is unknown."""
        over, given_up = threading.Event(), threading.Event()
        watcher = threading.Thread(
            target=self._bound, args=(server, heard, over, given_up), name=f"stop-{server.name}", daemon=True
        )
        watcher.start()
        try:
            yield
        except DsrError as problem:
            if given_up.is_set():
                raise _silent(server, problem) from problem
            raise
        finally:
            over.set()

    def _bound(
        self, server: RealServer, heard: Callable[[], float], over: threading.Event, given_up: threading.Event
    ) -> None:
        asked: float | None = None
        patience = STOP_SECONDS[server.connect]
        while not over.wait(_TICK):
            if not self._stop.is_set():
                continue
            if asked is None:
                asked = time.monotonic()
                self._tell.said(server.name, f"Waiting for its script, until nothing comes for {patience:.0f} s.")
            if time.monotonic() - max(asked, heard()) >= patience:
                given_up.set()
                with contextlib.suppress(DsrError):
                    self._hosts.give_up(server)
                return


def _silent(server: RealServer, problem: DsrError) -> ConnectionLost:
    lost = ConnectionLost(
        f"{server.name}: nothing came from it for {STOP_SECONDS[server.connect]:.0f} s after the run was told to stop.",
        "So it is not waited for. Its script may still be running; what it has done is unknown.",
        "Run plan when the host answers again; it looks at what is there first.",
    )
    lost.begun = getattr(problem, "begun", True)
    return lost
