"""An engine of which every answer has a hostile text in every field."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, get_args

import msgspec

from dsrwizard.core.api import Patience, ServerTest
from dsrwizard.core.model import events
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import HostError, Locked
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.facts import DirectorFacts, Failure, Observed, ServerFacts
from dsrwizard.core.model.outcome import HostResult, Outcome, RunResult
from dsrwizard.core.model.snapshot import Happening, Snapshot
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.plan.departed import Departed
from dsrwizard.core.plan.mend import Mending, MendResult
from dsrwizard.engine.locks import Lease
from tests.hostile.filling import Filler


class Hostile:
    """An engine of which every answer has the text in every field."""

    revert_after = 60.0

    def __init__(self, fill: Filler, *, ends: bool = True) -> None:
        """`ends`: who watches is asked to end after the second picture."""
        self.fill = fill
        self.ends = ends
        self.raises: BaseException | None = None
        self.wave = "auto"
        self.patience = Patience()

    def observe(self, deployment: Deployment, seen: Callable[[str, Any], None] = lambda *_: None) -> Observed:
        if self.raises is not None:
            raise self.raises
        failed = {server.name: self.fill.of(Failure) for server in deployment.servers}
        for name, failure in failed.items():
            seen(name, self.fill.of(ServerFacts, windows=None))
            seen(name, failure)
        return Observed(failed=failed)

    def plan(self, *_: Any) -> Plan:
        return self.fill.of(Plan)

    @contextmanager
    def lease(self, *_: Any, waiting: Callable[[Locked], None] = lambda _: None, **__: Any) -> Iterator[Lease]:
        waiting(Locked(*[self.fill.text] * 3))
        yield Lease([self.fill.text])

    def remarks(self, *_: Any) -> tuple[str, ...]:
        return (self.fill.text,)

    def apply(self, deployment: Deployment, made: Any, watch: Observer, *_: Any) -> RunResult:
        for kind in get_args(events.Event):
            for event in self.fill.each(kind):
                watch(event)
        for outcome in Outcome:
            result = self.fill.of(HostResult, outcome=outcome)
            watch(self.fill.of(events.HostFinished, result=result))
            for step in result.steps:
                watch(self.fill.of(events.StepFinished, result=step))
        return self.fill.of(RunResult)

    teardown = apply
    teardown_plan = plan

    def verify(self, deployment: Deployment, seen: Callable[[Any], None] = lambda _: None) -> Report:
        report = self.fill.of(Report, verdict="fail")
        for check in report.checks:
            seen(check)
        return report

    def mend_plan(self, *_: Any) -> Mending:
        return self.fill.of(Mending)

    def mend(self, deployment: Deployment, made: Any, watch: Observer, *_: Any) -> MendResult:
        self.apply(deployment, made, watch)
        return self.fill.of(MendResult)

    def forgettable(self, *_: Any) -> Departed:
        return self.fill.of(Departed)

    def forget(self, *_: Any) -> None:
        pass

    def events(self, *_: Any) -> tuple[Happening, ...]:
        return self.fill.each(Happening)

    def seat(self, *_: Any) -> str:
        return ""

    def watch(self, *_: Any, **__: Any) -> Hostile:
        return self

    def once(self) -> Snapshot:
        return self.fill.of(Snapshot)

    def start(self, show: Callable[[Snapshot], None]) -> None:
        """Two pictures, and the end where it is asked for."""

        def later() -> None:
            show(self.once())
            services = tuple(msgspec.structs.replace(one, present=False, owner="") for one in self.once().services)
            if self.ends:
                show(msgspec.structs.replace(self.once(), services=services, problem="", at=8.0))
                time.sleep(0.5)  # `show` hands the picture over; nothing says when it is printed
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=later, daemon=True).start()

    # What only the screens ask.

    def director(self, *_: Any) -> DirectorFacts:
        return self.fill.of(DirectorFacts, services=None)

    def address_in_use(self, *_: Any) -> Owners:
        return self.fill.of(Owners)

    def test_server(self, *_: Any) -> ServerTest:
        return self.fill.of(ServerTest, facts=self.fill.of(ServerFacts, windows=None))

    def test_client(self, *_: Any) -> Failure:
        return self.fill.of(Failure)

    def roll_back(self, deployment: Deployment, hosts: Any, watch: Observer) -> RunResult:
        return self.apply(deployment, None, watch)

    def in_force(self, *_: Any) -> bool:
        return True

    def save(self, *_: Any) -> None:
        pass

    def set_weight(self, *_: Any) -> None:
        raise HostError(*[self.fill.text] * 3)

    def ignored(self, *_: Any) -> None:
        pass

    close = look_now = pause = set_interval = ignored
