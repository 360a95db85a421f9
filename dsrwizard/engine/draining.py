"""Waiting for the connections of real servers that get no new ones, before their destinations are removed.

With `expire_nodest_conn` on, which the plan sets, the kernel ends every connection of a destination at its next packet
once the destination is gone (net/netfilter/ipvs/ip_vs_core.c). So the removal waits.

- TCP: the destination's active connections, which IPVS counts from the packets of the client: established ones.
- UDP has no end. A server is done with it when no datagram has gone to it for some seconds.
- Persistence: templates keep no client there. `expire_quiescent_template` is on, so a client of a server at weight 0 is
  given another one with its next connection.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from dsrwizard.core.api import Patience
from dsrwizard.core.model.changes import DestinationChange
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Destination, VirtualService
from dsrwizard.core.model.steps import Step
from dsrwizard.core.model.values import canonical

LOOK_SECONDS = 1.0
QUIET_SECONDS = 5.0
"""Without a datagram; the kernel brings its counters up to date every two seconds (ip_vs_est.c)."""

DestinationKey = tuple[str, str, int, str, int]
"""A destination: VIP, protocol and port of the service, RIP and port."""


def removed(steps: Sequence[Step]) -> dict[DestinationKey, Step]:
    """The destinations that these steps remove, with the step that does it."""
    return {
        _place(change): step
        for step in steps
        for change in step.changes
        if isinstance(change, DestinationChange) and change.new is None
    }


class Drain:
    """One wait for all destinations that a run removes. `services` reads IPVS, `tell` gets the servers that still have
    connections, how many, and the seconds left."""

    def __init__(
        self,
        leaving: Mapping[DestinationKey, Step],
        services: Callable[[], Sequence[VirtualService]],
        tell: Callable[[Sequence[str], int, float], None],
        patience: Patience,
        stop: threading.Event,
    ) -> None:
        self._leaving = leaving
        self._services = services
        self._tell = tell
        self._patience = patience
        self._stop = stop
        self._quiet_since: dict[DestinationKey, float] = {}
        self._packets: dict[DestinationKey, int] = {}

    def wait(self) -> dict[str, int]:
        """Returns when no connection is left, the time is over, or it is skipped or stopped: how many connections are
        left behind each step, by its id. Where IPVS cannot be read nothing is waited for."""
        began = time.monotonic()
        told: tuple[Sequence[str], int] | None = None
        self._patience.waiting.set()
        try:
            while True:
                found = self._left()
                seconds = self._patience.seconds - (time.monotonic() - began)
                if not found or seconds <= 0 or self._patience.skip.is_set() or self._stop.is_set():
                    return self._by_step(found)
                names = sorted({self._name(place) for place in found})
                now = (names, sum(found.values()))
                if now != told or int(seconds) % 10 == 0:
                    self._tell(*now, seconds)
                    told = now
                self._patience.skip.wait(min(LOOK_SECONDS, seconds))
        finally:
            self._patience.waiting.clear()

    def _name(self, place: DestinationKey) -> str:
        return self._leaving[place].server or place[3]

    def _by_step(self, found: Mapping[DestinationKey, int]) -> dict[str, int]:
        steps: dict[str, int] = {}
        for place, count in found.items():
            if place[1] == "tcp":  # what UDP loses nobody can count
                steps[self._leaving[place].id] = steps.get(self._leaving[place].id, 0) + count
        return steps

    def _left(self) -> dict[DestinationKey, int]:
        """Connections that are left, of the destinations that have some."""
        try:
            services = self._services()
        except DsrError:
            return {}
        found: dict[DestinationKey, int] = {}
        for service in services:
            for one in service.destinations:
                place = (
                    canonical(service.key.address), service.key.protocol, service.key.port,
                    canonical(one.address), one.port,
                )  # fmt: skip
                count = self._of(place, one) if place in self._leaving else 0
                if count:
                    found[place] = count
        return found

    def _of(self, place: DestinationKey, one: Destination) -> int:
        if place[1] == "tcp":
            return one.active
        if not one.inactive:
            return 0
        now, packets = time.monotonic(), one.stats.in_packets
        if self._packets.get(place) != packets:
            self._packets[place], self._quiet_since[place] = packets, now
        return one.inactive if now - self._quiet_since[place] < QUIET_SECONDS else 0


def _place(change: DestinationChange) -> DestinationKey:
    key = change.service
    return canonical(key.address), key.protocol, key.port, canonical(change.address), change.port
