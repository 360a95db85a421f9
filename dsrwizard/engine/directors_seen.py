"""The looks of a guard at the directors of its deployment: an alarm while something is wrong with them, and a line in
the timeline when that begins and when it is over, at most one a minute."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dsrwizard.core.guard.both_directors import Seen, after_look, amiss
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.ports import DirectorPort

QUIET_SECONDS = 60.0
"""What comes and goes is told once in so many seconds."""
OVER = "The directors are well again: one of them holds the VIPs."


class DirectorsSeen:
    """Those of one deployment. `record` puts a line into the timeline; `clock` in seconds."""

    def __init__(
        self, deployment: Deployment, director: DirectorPort, record: Callable[[str], None], clock: Callable[[], float]
    ) -> None:
        self._deployment, self._director, self._record, self._clock = deployment, director, record, clock
        self._seen = Seen()
        self._told: dict[str, float] = {}
        self._standing: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[str, ...]:
        return self._seen.alarms

    def look(self, owners: Mapping[str, Owners]) -> None:
        """One more look. `owners`: who answers for the VIPs and for the other directors' addresses."""
        if self._deployment.director.engine != "keepalived":
            return
        try:
            here = self._director.holdings(self._deployment)
        except DsrError:
            return  # it says nothing, neither that something is wrong nor that it is over
        self._seen = after_look(self._seen, amiss(self._deployment, here, owners))
        standing, now = self.alarms, self._clock()
        for line in standing:
            if line not in self._standing:
                self._tell(f"Alarm: {line}", now)
        if self._standing and not standing:
            self._tell(OVER, now)
        self._standing = standing

    def _tell(self, line: str, now: float) -> None:
        before = self._told.get(line)
        if before is None or not 0 <= now - before < QUIET_SECONDS:
            self._told[line] = now
            self._record(line)
