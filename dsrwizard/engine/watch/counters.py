"""The first source: one dump of IPVS per refresh."""

from __future__ import annotations

import time

from dsrwizard.core.dialects.appliances import dialect_of
from dsrwizard.core.live.readings import Reading
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.ports import DirectorPort
from dsrwizard.engine.defects import failure_of
from dsrwizard.engine.watch.board import Board


class CounterReader:
    """Reads what IPVS counts."""

    def __init__(self, deployment: Deployment, director: DirectorPort, board: Board) -> None:
        self._deployment = deployment
        self._external = not deployment.director.driven
        self._director = director
        self._board = board

    def look(self) -> None:
        """One reading. Whatever goes wrong is told, and the next look goes on."""
        if self._external:
            self._board.read(Reading(at=self._board.clock()))
            return
        began = time.perf_counter()
        try:
            services = self._director.services()
        except Exception as problem:  # noqa: BLE001 - told in the snapshot
            self._board.read_failed(failure_of(problem).text)
            return
        milliseconds = 1000 * (time.perf_counter() - began)
        if not self._deployment.director.in_kernel:
            services = dialect_of(self._deployment).for_every_protocol(self._deployment, tuple(services))
        guard = self._director.guard(self._deployment.name)
        self._board.read(Reading(at=self._board.clock(), services=services, guard=guard), milliseconds)
