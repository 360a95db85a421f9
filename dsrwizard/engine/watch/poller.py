"""The poller: a thread per source, and one that shows what they saw.

A look starts when the one before it has ended, so a slow one makes its part older and never piles up. What changes on
the wire is shown at once, with the numbers of the last reading.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from dsrwizard.core.live.readings import KERNEL_SECONDS
from dsrwizard.core.live.schedule import BUDGET
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.connection_table import ConnectionTable
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.snapshot import Happening, Snapshot
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.ports import DirectorPort, WirePort
from dsrwizard.engine.defects import failure_of
from dsrwizard.engine.hosts import Hosts
from dsrwizard.engine.journal import Journal
from dsrwizard.engine.silent_asker import Quiet
from dsrwizard.engine.timeline import Recorder
from dsrwizard.engine.watch.board import Board
from dsrwizard.engine.watch.clients import clients_of
from dsrwizard.engine.watch.counters import CounterReader
from dsrwizard.engine.watch.inside import Drift
from dsrwizard.engine.watch.probing import AUDIT_LISTENS, Ear, OwnerAudit, Probes
from dsrwizard.engine.watch.proof import Proof, Prove
from dsrwizard.engine.watch.timepiece import Timepiece
from dsrwizard.engine.watch.weights import Weights

PROBE_SECONDS = 1.0
DRIFT_SECONDS = 20.0
SOON_SECONDS = 1.0
"""Looks from within are this far apart at least, whatever happens on the wire."""
SHARE = 0.03
"""Of the time at most goes into diagnosing a farm over and over."""


class Poller:
    """Implements `core.api.Watcher`. `clock`: see `Board`; without `hosts` nobody looks from within;
    without `prove` no verification runs by itself; `budget` in packets a second; `hold` gives the right to set weights,
    for a block."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        director: DirectorPort,
        wire: WirePort,
        journal: Journal,
        interval: float = 1.0,
        clock: Timepiece | Callable[[], float] | None = None,
        record: Recorder | None = None,
        hosts: Hosts | None = None,
        quiet: Quiet | None = None,
        prove: Prove | None = None,
        read_only: bool = False,
        budget: int = BUDGET,
        hold: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self.deployment = deployment.name
        self._deployment = deployment
        self._director = director
        self._record = record
        self._interval = interval
        self._ended = threading.Event()
        self._running = threading.Event()
        self._running.set()
        self._read_now = threading.Event()
        self._look_now = threading.Event()
        self._threads: list[threading.Thread] = []
        self.board = Board(deployment, Timepiece() if clock is None else clock, record, self._ended)
        self._counters = CounterReader(deployment, director, self.board)
        self._probes = Probes(deployment, wire, self.board, budget)
        self._audit = OwnerAudit(deployment, wire, self.board)
        self._ear = Ear(deployment, wire, self.board)
        self._weights = Weights(deployment, director, journal, read_only=read_only, hold=hold)
        self._drift = None
        if hosts is not None and quiet is not None:
            self._drift = Drift(deployment, hosts, wire, quiet, self.board, journal)
        self._proof = None
        if prove is not None and self._drift is not None:
            self._proof = Proof(prove, self._drift.observed, self.board)

    # --- core.api.Watcher ----------------------------------------------------------------------------------------

    def start(self, show: Callable[[Snapshot], None]) -> None:
        works: list[tuple[str, Callable[[], None]]] = [
            ("numbers", lambda: self._numbers(show)),
            ("probes", lambda: self._over_and_over("probes", self._probes.slice, PROBE_SECONDS)),
            ("audit", lambda: self._over_and_over("audit", self._listen, AUDIT_LISTENS)),
        ]
        if self._drift is not None:
            drift = self._drift
            works.append(("drift", lambda: self._looks_within(drift)))
        if self._proof is not None:
            proof = self._proof
            works.append(("proof", lambda: proof.over_and_over(self._running, self._guarded)))
        self.board.time.beats()
        self._guarded("ear", self._ear.open)
        for name, work in works:
            thread = threading.Thread(target=work, name=f"watch-{name}", daemon=True)
            thread.start()  # before it is listed: closing waits for those that are, and must not find one that is not
            self._threads.append(thread)

    def once(self) -> Snapshot:
        began = time.monotonic()
        looks: list[tuple[str, Callable[[], None]]] = [("probes", self._probes.all), ("audit", self._audit.all)]
        threads = [threading.Thread(target=self._guarded, args=look, daemon=True) for look in looks]
        self._counters.look()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if self.board.heard.missed:  # nobody looks a second time later
            self._guarded("probes", self._probes.all)
        if self.board.heard.unheard:
            self._guarded("audit", self._audit.all)
        self.board.refresh()
        if self._drift is not None:
            self.board.take_unsettled()
            self._look_in(self._drift)
        if self._deployment.director.in_kernel:
            self._ended.wait(max(0.0, KERNEL_SECONDS - (time.monotonic() - began)))
        self._counters.look()
        return self.snapshot()

    def _look_in(self, drift: Drift) -> None:
        """One look from within, and one verification with the same facts beside it."""
        proof = self._proof
        if proof is None:
            self._guarded("drift", drift.look)
            return
        seen = drift.observed()
        beside = threading.Thread(target=self._guarded, args=("proof", lambda: proof.look(seen)), daemon=True)
        beside.start()
        self._guarded("drift", lambda: drift.look(known=seen))
        beside.join()

    def snapshot(self) -> Snapshot:
        """The picture as of the last looks."""
        return self.board.snapshot()

    def set_weight(self, server: str, weight: int | None, vip: str = "", service: str = "") -> None:
        """Journaled like every change. Raises DsrError."""
        try:
            self.board.noted(self._weights.set(server, weight, vip, service))
        finally:
            self.look_now()

    def connections(self, vip: str, service: str, server: str = "") -> ConnectionTable:
        at = self.board.time.shown(self.board.clock())
        return clients_of(self._deployment, self._director, vip, service, server, at)

    def look_now(self) -> None:
        self._read_now.set()
        self._look_within()
        self.board.doubtful.set()
        self.board.changed.set()

    def _look_within(self) -> None:
        self._look_now.set()
        self.board.unsettled.set()

    def pause(self, paused: bool) -> None:
        if paused:
            self._running.clear()
        else:
            self._running.set()
            self._read_now.set()
            self.board.changed.set()

    def set_interval(self, seconds: float) -> None:
        self._interval = seconds
        self._read_now.set()
        self.board.changed.set()

    def close(self) -> None:
        self._ended.set()
        self._running.set()
        for event in (self.board.changed, self._look_now, self.board.unsettled, self.board.doubtful):
            event.set()
        self._ear.close()
        for thread in self._threads:
            thread.join(timeout=3)
        if self._record is not None:
            self._record.close()

    @property
    def over(self) -> bool:
        """It was closed."""
        return self.board.over

    # --- what the engine tells -----------------------------------------------------------------------------------

    def reached(self, servers: Iterable[str]) -> None:
        """These hosts were logged in to: they may be looked at from within."""
        if self._drift is not None:
            self._drift.reached(servers)
            self._look_within()

    def acted(self, lines: Iterable[Happening]) -> None:
        """The operator did something: it is told, and looked at."""
        self.board.noted(lines)
        self.look_now()

    def verified(self, report: Report) -> None:
        """A verification that the operator asked for has ended: it stands until the next one, what it measured of the
        bypass until the next one that measures it."""
        self.board.proved(report, self.board.clock())
        failed = len(report.failures)
        words = f", {failed} check{'' if failed == 1 else 's'} failed" if failed else ""
        self.board.note(DIRECTOR, f"verify: {report.verdict}{words}")

    def verified_before(self, report: Report, age: float) -> None:
        """The last verification ended so many seconds before the watch began, and nothing was changed since."""
        self.board.proved(report, self.board.clock() - age)

    # --- the threads ---------------------------------------------------------------------------------------------

    def _numbers(self, show: Callable[[Snapshot], None]) -> None:
        """Reads at every interval; shows after each reading, and in between when something has changed."""
        due = time.monotonic()
        while not self._ended.is_set():
            self._running.wait()
            self.board.changed.clear()
            if time.monotonic() >= due or self._read_now.is_set():
                self._read_now.clear()
                self._guarded("numbers", self._counters.look)
                due = time.monotonic() + self._interval
            else:
                self._guarded("numbers", self.board.refresh)
            with contextlib.suppress(Exception):  # a screen that is going away must not end the watch
                show(self.snapshot())
            self.board.changed.wait(max(0.0, due - time.monotonic()))

    def _listen(self) -> None:
        self._audit.look()
        self._ear.look()

    def _over_and_over(self, name: str, look: Callable[[], None], seconds: float) -> None:
        while not self._ended.is_set():
            self._running.wait()
            began = time.monotonic()
            self._guarded(name, look)
            self._ended.wait(max(0.0, seconds - (time.monotonic() - began)))

    def _looks_within(self, drift: Drift) -> None:
        """All servers now and then, and those of which the wire says something new at once."""
        self._ended.wait(min(SOON_SECONDS, self._interval))  # the probes go first
        pause, full = DRIFT_SECONDS, 0.0
        while not self._ended.is_set():
            self._running.wait()
            began, worked = time.monotonic(), time.thread_time()
            names = self.board.take_unsettled()
            everything = self._look_now.is_set() or began >= full
            self._look_now.clear()
            if everything:
                self._guarded("drift", drift.look)
                pause = max(DRIFT_SECONDS, (time.thread_time() - worked) / SHARE)
                full = time.monotonic() + pause
            elif names:
                self._guarded("drift", partial(drift.look, names))
            self._ended.wait(max(0.0, SOON_SECONDS - (time.monotonic() - began)))
            self.board.unsettled.wait(max(0.0, full - time.monotonic()))

    def _guarded(self, name: str, look: Callable[[], None]) -> None:
        """Whatever goes wrong is told, and looked again: a dead thread would leave old green."""
        try:
            look()
        except Exception as problem:  # noqa: BLE001 - as above
            self.board.problem(name, failure_of(problem).text)
        else:
            self.board.problem(name, "")
