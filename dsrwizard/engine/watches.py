"""The watches that run, and the last verification that the operator asked for: a watch that begins soon after it has it
from its first picture on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Deployment

if TYPE_CHECKING:
    from dsrwizard.engine.watch import Poller

STANDS_SECONDS = 60.0
"""A report that is older is not handed over: while nothing changes, a watch verifies anew after this time."""


def boottime() -> float:
    """Seconds since the machine was started, with the time it slept."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Kept(NamedTuple):
    """A report, what it was made of, and when by `clock` of `Watches`."""

    deployment: Deployment
    report: Report
    at: float


class Watches:
    """Iterates over the watches that are not closed, of one deployment where asked `of`. `clock`: seconds on a scale
    that never jumps and goes on while the machine sleeps."""

    def __init__(self, clock: Callable[[], float] = boottime) -> None:
        self._clock = clock
        self._pollers: list[Poller] = []
        self._last: dict[str, Kept] = {}

    def __iter__(self) -> Iterator[Poller]:
        return iter([poller for poller in self._pollers if not poller.over])

    def of(self, deployment: str) -> list[Poller]:
        return [poller for poller in self if poller.deployment == deployment]

    def begin(self, deployment: Deployment, poller: Poller) -> None:
        """Hands the last report over if it is of this very deployment, file and all, and still stands."""
        self._pollers = [*self, poller]
        last = self._last.get(deployment.name)
        if last is not None and last.deployment == deployment:
            age = self._clock() - last.at
            if age <= STANDS_SECONDS:
                poller.verified_before(last.report, age)

    def reached(self, servers: Iterable[str]) -> None:
        """See `Poller.reached`."""
        names = list(servers)
        for poller in self:
            poller.reached(names)

    def verified(self, deployment: Deployment, report: Report) -> None:
        """The operator asked for this verification, and it has just ended."""
        self._last[deployment.name] = Kept(deployment, report, self._clock())
        for poller in self.of(deployment.name):
            poller.verified(report)

    def changing(self, deployment: str) -> None:
        """A run begins or has ended: what was proved before is of a farm that is no more."""
        self._last.pop(deployment, None)
