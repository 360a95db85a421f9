"""What a real server tells while its steps are carried out."""

from __future__ import annotations

import time

from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import Step
from dsrwizard.engine.telling import Telling


class ServerWatch:
    """What one server tells of its steps: booked as it comes, for the run's result and for whoever watches the run.

    `begun`: a step has started. `reported`: ids of the steps whose end is known. `heard`: when a step
    began or ended last, by the monotonic clock; what is said meanwhile may be our own waiting for the host.
    """

    def __init__(self, telling: Telling, server: RealServer, armed: set[str]) -> None:
        self._tell = telling
        self._armed = armed
        self._server = server
        self.begun = False
        self.heard = time.monotonic()
        self.reported: set[str] = set()

    def started(self, step: Step) -> None:
        self.heard = time.monotonic()
        self.begun = True
        self._tell.started(self._server.name, step)

    def said(self, text: str) -> None:
        self._tell.said(self._server.name, text)

    def made(self, step: Step, name: str, device: str, guid: str) -> None:
        self.heard = time.monotonic()
        self._tell.run.made(self._server.address, step, name, device, guid)

    def armed(self, seconds: float) -> None:
        self.heard = time.monotonic()
        self._armed.add(self._server.name)
        self._tell.armed(self._server.name, seconds)

    def disarmed(self) -> None:
        self.heard = time.monotonic()
        self._armed.discard(self._server.name)
        self._tell.kept(self._server.name, proved=False)

    def finished(self, step: Step, worked: bool, said: str) -> None:
        self.heard = time.monotonic()
        if step.id in self.reported:
            return
        self.reported.add(step.id)
        if worked:
            self._tell.result(step, Outcome.CHANGED)
        else:
            self._tell.result(step, Outcome.FAILED, said)
