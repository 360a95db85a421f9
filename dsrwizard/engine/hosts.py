"""All hosts of a deployment: one port each for the life of the engine, worked on side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import cached_property, partial
from typing import TypeVar

from dsrwizard.core.api import HostSeen
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import DirectorFacts, Failure, Observed, ServerFacts
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.ports import DirectorPort, ServerPort
from dsrwizard.engine.defects import failure_of, guarded

T = TypeVar("T")
Looked = DirectorFacts | ServerFacts | str
"""What a look gives; a text: another run has the server, and says so of itself."""
MOST_AT_ONCE = 64
"""Threads: each mostly waits for its host, so a dead one costs its own deadline and nobody else's time."""


def side_by_side(work: Iterable[tuple[str, Callable[[], T]]], finished: Callable[[str, T | Failure], None]) -> None:
    """Runs each piece in a thread of its own; `finished` is called in the caller's thread as each ends. An interrupt
    waits for none of them."""
    pieces = list(work)
    if not pieces:
        return
    patient = True
    pool = ThreadPoolExecutor(min(MOST_AT_ONCE, len(pieces)), thread_name_prefix="host")
    try:
        futures: dict[Future[T], str] = {pool.submit(piece): name for name, piece in pieces}
        for future in _as_they_end(futures):
            problem = future.exception()
            finished(futures[future], failure_of(problem) if problem is not None else future.result())
    except KeyboardInterrupt:
        patient = False
        raise
    finally:
        pool.shutdown(wait=patient, cancel_futures=not patient)


def _as_they_end(futures: Iterable[Future[T]]) -> Iterator[Future[T]]:
    """Each as it ends. A signal that comes just before the thread begins to sleep wakes it in no way, and Python heeds
    it when the sleep ends: so no sleep is long."""
    left = set(futures)
    while left:
        ended, left = wait(left, timeout=0.5, return_when=FIRST_COMPLETED)
        yield from ended


class HeldByOthers(Exception):
    """Other runs have the locks of these servers: name → the line about the run, empty where it is not known."""

    def __init__(self, holders: Mapping[str, str]) -> None:
        super().__init__(f"{', '.join(holders)} held by other runs")
        self.holders = holders


class Hosts:
    """The ports of a deployment's hosts, opened when first needed. `close()` ends them all, for good."""

    def __init__(
        self, make_director: Callable[[], DirectorPort], open_server: Callable[[RealServer], ServerPort]
    ) -> None:
        self._make_director = make_director
        self._open_server = open_server
        self._ports: dict[RealServer, ServerPort] = {}
        self._lock = threading.Lock()
        self._over = False

    @cached_property
    def director(self) -> DirectorPort:
        """This machine, when it is first needed: with another product balancing it may never be."""
        return guarded(self._make_director(), DIRECTOR)

    def port(self, server: RealServer) -> ServerPort:
        """This server's port: the same one as long as nothing about how it is reached changes. Raises LookError after
        `close()`."""
        with self._lock:
            if self._over:
                raise LookError(f"{server.name} was not checked: its connection is closed.")
            if server not in self._ports:
                self._ports[server] = guarded(self._open_server(server), server.name)
            return self._ports[server]

    def observe(
        self,
        deployment: Deployment,
        seen: HostSeen | None = None,
        *,
        director_too: bool = True,
        closely: bool = False,
        clients: Sequence[str] = (),
        holder: str = "",
    ) -> Observed:
        """Facts of every server that is not manual, and of the director unless it has no part in what is done.
        `clients`: addresses to which the servers' way back is asked for, with a close look. `holder`: each server is
        locked before it is looked at (`ServerPort.hold`). Raises HeldByOthers where other runs have some of them."""
        director: list[DirectorFacts] = []
        servers: dict[str, ServerFacts] = {}
        failed: dict[str, Failure] = {}
        others: dict[str, str] = {}

        def piece(server: RealServer) -> Callable[[], Looked]:
            def work() -> Looked:
                port = self.port(server)
                by = port.hold(holder) if holder else None
                return by if by is not None else port.observe(deployment, closely=closely, clients=clients)

            return work

        def finished(name: str, what: Looked | Failure) -> None:
            match what:
                case str():
                    others[name] = what
                    return
                case DirectorFacts():
                    director.append(what)
                case ServerFacts():
                    servers[name] = what
                case Failure():
                    failed[name] = what
            if seen is not None:
                seen(name, what)

        work: list[tuple[str, Callable[[], Looked]]] = [
            (server.name, piece(server)) for server in deployment.servers if server.connect != "manual"
        ]
        if director_too:
            work.append((DIRECTOR, lambda: self.director.observe(deployment)))
        side_by_side(work, finished)
        order = [server.name for server in deployment.servers]
        if others:
            raise HeldByOthers({name: others[name] for name in order if name in others})
        return Observed(
            director=director[0] if director else None,
            servers={name: servers[name] for name in order if name in servers},
            failed=failed,
        )

    def let_go(self, holder: str) -> None:
        """Gives the servers' locks back, where this run has them."""
        with self._lock:
            ports = list(self._ports.values())
        side_by_side(
            ((str(number), partial(port.let_go, holder)) for number, port in enumerate(ports)), lambda name, what: None
        )

    def give_up(self, server: RealServer) -> None:
        """Closes the connection to a server whose answer nobody waits for any more: what runs over it is lost. The next
        use opens another."""
        with self._lock:
            port = self._ports.pop(server, None)
        if port is not None:
            port.close()

    def close(self) -> None:
        with self._lock:
            self._over = True
            ports, self._ports = list(self._ports.values()), {}
        closing = [port.close for port in ports]
        end = getattr(self.director, "close", None) if "director" in self.__dict__ else None
        if end is not None:
            closing.append(end)  # an appliance has a session of ours; this machine has none
        side_by_side(((str(number), close) for number, close in enumerate(closing)), lambda name, what: None)
