"""The poller behind the live pane: counters on one thread, probes and the ARP audit on another, one snapshot each time.

A poll starts when the one before it has ended, so a slow look makes the numbers older and never piles up.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec

from dsrwizard.core.changes import DestinationChange, ServiceKey
from dsrwizard.core.director import key_of
from dsrwizard.core.errors import DsrError, UsageError
from dsrwizard.core.facts import Destination, VirtualService
from dsrwizard.core.history import History
from dsrwizard.core.model import Deployment, Service, Vip
from dsrwizard.core.outcome import Outcome
from dsrwizard.core.ports import DirectorPort, ProbeTarget, WirePort
from dsrwizard.core.snapshot import Happening, ServiceRow, Snapshot, State
from dsrwizard.core.steps import DIRECTOR, Step
from dsrwizard.core.watching import (
    KERNEL_SECONDS,
    Heard,
    Place,
    Reading,
    compared,
    happenings,
    next_history,
    service_of,
    service_rows,
)
from dsrwizard.core.wire import Owners
from dsrwizard.engine.hosts import failure_of
from dsrwizard.engine.journal import Journal
from dsrwizard.engine.timeline import Recorder

PROBE_SECONDS = 2.0
AUDIT_SECONDS = 5.0
AUDIT_LISTENS = 1.0
KEPT_HAPPENINGS = 500
KEPT_SECONDS = 8.0
"""Readings older than this are of no use for a rate."""


class Poller:
    """Implements `core.api.Watcher`. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        director: DirectorPort,
        wire: WirePort,
        journal: Journal,
        interval: float = 1.0,
        clock: Callable[[], float] = time.time,
        record: Recorder | None = None,
    ) -> None:
        self._deployment = deployment
        self._record = record
        self._director = director
        self._wire = wire
        self._journal = journal
        self._interval = interval
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._nudge = threading.Event()
        self._running = threading.Event()
        self._running.set()
        self._threads: list[threading.Thread] = []
        self._readings: list[Reading] = []
        self._rows: tuple[ServiceRow, ...] = ()
        self._reading: Reading | None = None
        self._heard = Heard()
        self._history = History()
        self._since: dict[Place, tuple[State, float]] = {}
        self._log: list[Happening] = []
        self._problem = ""
        self._wire_problem = ""
        self._read_milliseconds: float | None = None

    # --- core.api.Watcher ----------------------------------------------------------------------------------------

    def start(self, show: Callable[[Snapshot], None]) -> None:
        def counters() -> None:
            while not self._ended.is_set():
                self._running.wait()
                self._count()
                with contextlib.suppress(Exception):  # a screen that is going away must not end the watch
                    show(self.snapshot())
                self._nudge.wait(self._interval)
                self._nudge.clear()

        def wire() -> None:
            audited = 0.0
            while not self._ended.is_set():
                self._running.wait()
                began = time.monotonic()
                try:
                    self._probe()
                    if began - audited >= AUDIT_SECONDS:
                        audited = began
                        self._audit()
                    self._wire_problem = ""
                except Exception as problem:  # noqa: BLE001 - told, and looked again: a dead thread would leave old green
                    self._wire_problem = failure_of(problem).text
                self._ended.wait(max(0.0, PROBE_SECONDS - (time.monotonic() - began)))

        for work in (counters, wire):
            thread = threading.Thread(target=work, name=f"watch-{work.__name__}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def once(self) -> Snapshot:
        began = time.monotonic()
        looks = [threading.Thread(target=look) for look in (self._probe, self._audit)]
        self._count()
        for look in looks:
            look.start()
        for look in looks:
            look.join()
        if self._deployment.director.engine == "netlink":
            self._ended.wait(max(0.0, KERNEL_SECONDS - (time.monotonic() - began)))
        self._count()
        return self.snapshot()

    def set_weight(self, server: str, weight: int | None) -> None:
        """Journaled like every change. Raises DsrError."""
        if self._deployment.director.engine == "external":
            raise UsageError(
                "The weight is not set here: another product balances.", "", "Set it on your load balancer."
            )
        wanted = self._deployment.server(server).weight if weight is None else weight
        present = {service.key: service for service in self._director.services()}
        if not self._endpoints(server, present):
            raise DsrError(f"{server} is behind no IPVS service.", "It has no weight there.", "Apply puts it back.")
        run = self._journal.begin("weight", self._deployment)
        ok = True
        try:
            for vip, service, destination in self._endpoints(server, present):
                if destination.state.weight == wanted:
                    continue
                new = msgspec.structs.replace(destination.state, weight=wanted)
                step = Step(
                    id=f"weight {vip.address} {service.label} {server}",
                    host=DIRECTOR,
                    phase="weight",
                    title=f"Weight {destination.state.weight} → {wanted} for {server} in {vip.address} {service.label}",
                    why="The operator asked for it.",
                    changes=(
                        DestinationChange(
                            service=key_of(vip, service),
                            address=destination.address,
                            port=destination.port,
                            old=destination.state,
                            new=new,
                        ),
                    ),
                    server=server,
                )
                run.intend("local", step)
                try:
                    self._director.apply(step)
                except DsrError as problem:
                    ok = False
                    run.result(DIRECTOR, step.id, Outcome.FAILED, str(problem))
                    raise
                run.result(DIRECTOR, step.id, Outcome.CHANGED)
                self._note(server, step.title)
        finally:
            run.end(ok)
            self._nudge.set()

    def _endpoints(
        self, server: str, present: Mapping[ServiceKey, VirtualService]
    ) -> list[tuple[Vip, Service, Destination]]:
        """Where the server is in IPVS."""
        found = []
        for vip, service in service_of(self._deployment, server):
            virtual, rip = present.get(key_of(vip, service)), self._deployment.server(server).rip_for(vip)
            destination = virtual.destination(rip, service.port) if virtual and rip else None
            if destination is not None:
                found.append((vip, service, destination))
        return found

    def pause(self, paused: bool) -> None:
        if paused:
            self._running.clear()
        else:
            self._running.set()
            self._nudge.set()

    def set_interval(self, seconds: float) -> None:
        self._interval = seconds
        self._nudge.set()

    def close(self) -> None:
        self._ended.set()
        self._running.set()
        self._nudge.set()
        for thread in self._threads:
            thread.join(timeout=3)
        if self._record is not None:
            self._record.close()

    # --- looking -------------------------------------------------------------------------------------------------

    def _count(self) -> None:
        if self._deployment.director.engine == "external":
            self._take(Reading(at=self._clock()), "")
            return
        began = time.perf_counter()
        try:
            services = self._director.services()
        except Exception as problem:  # noqa: BLE001 - as above
            with self._lock:
                self._problem = failure_of(problem).text
                if self._reading is None or self._reading.services is None:  # there are no numbers to keep
                    self._reading = Reading(at=self._clock())
                    self._rows = ()
            return
        self._read_milliseconds = 1000 * (time.perf_counter() - began)
        self._take(Reading(at=self._clock(), services=services), "")

    def _take(self, reading: Reading, problem: str) -> None:
        with self._lock:
            before = compared(self._readings, reading.at)
            if reading.services is not None:
                self._readings = [*(old for old in self._readings if old.at >= reading.at - KEPT_SECONDS), reading]
            self._reading, self._problem = reading, problem
            self._rows = service_rows(self._deployment, reading, before, self._heard, self._since)
            self._history = next_history(self._history, self._rows)
            self._since, lines = happenings(self._since, self._rows, reading.at)
            self._log = [*self._log, *lines][-KEPT_HAPPENINGS:]
        if self._record is not None:
            for line in lines:
                self._record(line)

    def _probe(self) -> None:
        deployment = self._deployment
        places: list[Place] = []
        targets: list[ProbeTarget] = []
        known = self._known_macs()
        for vip in deployment.vips:
            for server in deployment.servers_of(vip):
                rip = server.rip_for(vip)
                for service in vip.services if rip else ():
                    places.append((vip.address, service.label, server.name))
                    targets.append(
                        ProbeTarget(
                            rip=rip or "", vip=vip.address, port=service.port, protocol=service.protocol,
                            mac=known.get(rip or "", ""),
                        )
                    )  # fmt: skip
        answers = self._wire.probe(deployment.director.interface, targets)
        at = self._clock()
        names = dict(zip(places, answers, strict=True))
        with self._lock:
            macs = {answer.mac: place[2] for place, answer in names.items() if answer.mac}
            self._heard = Heard(
                probes={place: (at, answer) for place, answer in names.items()},
                owners=self._heard.owners,
                macs={**self._heard.macs, **macs},
            )

    def _known_macs(self) -> dict[str, str]:
        """MACs of the probes that succeeded; others are resolved anew, in case the machine was exchanged."""
        return {answer.rip: answer.mac for _, answer in self._heard.probes.values() if answer.good}

    def _audit(self) -> None:
        addresses = [vip.address for vip in self._deployment.vips]
        owners = self._wire.owners(self._deployment.director.interface, addresses, AUDIT_LISTENS)
        at = self._clock()
        with self._lock:
            timed: dict[str, tuple[float, Owners]] = {address: (at, found) for address, found in owners.items()}
            self._heard = Heard(probes=self._heard.probes, owners=timed, macs=self._heard.macs)

    # --- telling -------------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        """The picture as of the last looks."""
        with self._lock:
            reading = self._reading or Reading(at=self._clock())
            if not self._rows:
                self._rows = service_rows(self._deployment, reading, None, self._heard, self._since)
            audits = [at for at, _ in self._heard.owners.values()]
            return Snapshot(
                deployment=self._deployment.name,
                at=self._clock(),
                read_at=reading.at,
                read_milliseconds=self._read_milliseconds,
                services=self._rows,
                happenings=tuple(self._log),
                problem=self._problem or self._wire_problem,
                read_problem=self._problem,
                audit_age=self._clock() - min(audits) if audits else None,
                history=self._history,
            )

    def _note(self, host: str, message: str, state: State | Literal["info"] = "info") -> None:
        with self._lock:
            self._log.append(Happening(at=self._clock(), host=host, message=message, state=state))
