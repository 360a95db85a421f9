"""A run that is told to stop while a server is gone: the connection stands, and nothing comes over it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.ssh import open_ssh
from dsrwizard.core import api
from dsrwizard.core.model.changes import FileChange, FileState
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.events import Event, HostSaid
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import HostPlan, Plan, Step
from dsrwizard.core.ports import Answer, Connector, OnLine
from dsrwizard.core.record.owed import owed
from dsrwizard.engine.apply import Applier
from dsrwizard.engine.hosts import Hosts
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.servers.linux import LinuxServer
from tests.fakes.world import World
from tests.ssh.sshd import Operator, Sshd

_PATIENCE = 60.0


class Dies:
    """A host whose SSH server stops as soon as the script of a run has begun."""

    def __init__(self, sshd: Sshd, connector: Connector, gone: Callable[[], None]) -> None:
        self._sshd, self._connector, self._gone = sshd, connector, gone

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        dead = " ".join(map(str, self._sshd.processes()))

        def heard(line: str) -> None:
            self._gone()

        return self._connector.run(
            f"echo last; sleep .5; kill -STOP {dead}; exec sleep 120", deadline=300, on_line=heard
        )

    def close(self) -> None:
        self._connector.close()


def stopped(sshd: Sshd, key: Path, operator: Operator, journals: Path, said: list[str]) -> tuple[RunResult, float]:
    """A run over that host which is told to stop as soon as it is gone, and how long it still took in seconds."""
    server = sshd.server(key)
    shop = Deployment(
        name="shop", director=Director(interface="eth0"), servers=(server,),
        vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
    )  # fmt: skip
    stop, at = threading.Event(), [0.0]

    def gone() -> None:
        at[0] = time.monotonic()
        stop.set()

    def told(event: Event) -> None:
        if isinstance(event, HostSaid):
            said.append(event.line)

    def connect(server: RealServer) -> LinuxServer:
        return LinuxServer(server, lambda: Dies(sshd, open_ssh(server.name, server, operator), gone))

    world = World.lab(1)
    applier = Applier(
        shop, hosts=Hosts(world.director, connect), wire=world.wire(), watch=told, stop=stop,
        run=Journals(journals).of("shop").begin("apply", shop),
    )  # fmt: skip
    change = FileChange(path="/nowhere/f", old=None, new=FileState(content="x\n"))
    step = Step(id="s1", host="web1", phase="vip", title="Write a file", why="", changes=(change,))
    result = applier.apply(Plan(deployment="shop", hosts=(HostPlan(host="web1", steps=(step,)),)))
    return result, time.monotonic() - at[0]


def test_a_run_that_is_to_stop_gives_a_dead_server_up(
    sshd: Sshd, key: Path, operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(api.STOP_SECONDS, "ssh", 2.0)
    said: list[str] = []
    try:
        result, took = stopped(sshd, key, operator, tmp_path / "journal", said)
    finally:
        sshd.cut()
    assert took < _PATIENCE, "it waited for the deadline of the script"
    (web1,) = result.hosts
    assert web1.outcome is Outcome.UNKNOWN
    assert web1.failure is not None
    assert "nothing came from it for 2 s after the run was told to stop" in web1.failure.what
    assert "unknown" in web1.failure.why
    assert "Waiting for its script, until nothing comes for 2 s." in said
    assert [item.certain for item in owed(Journals(tmp_path / "journal").of("shop").entries())] == [False]
