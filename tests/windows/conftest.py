"""Shared by the tests of Windows real servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import ConnectionLost
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.ports import Answer, OnLine
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.locks import Lease
from tests.fakes.world import World
from tests.ssh.sshd import Operator
from tests.windows.certificates import Certificate, issue
from tests.windows.endpoint import Endpoint, Runner
from tests.windows.host import WindowsHost
from tests.windows.host.runner import ModelRunner

VIP = "10.0.0.10"
VIP6 = "fd00::10"
PASSWORD = "canary-Pa55word"
_WHOLE = "DSRWIZARD_WINDOWS"
"""Set to `all`, every call of a script fails once; make undo-table sets it."""


def one_in(share: int) -> int:
    """How far apart the calls are that fail: `share` in make test, every one of them in make undo-table."""
    return 1 if os.environ.get(_WHOLE) == "all" else share


class ModelConnector:
    """A connection straight to the model, without a network. `cut_after` lines the connection is lost, once."""

    def __init__(self, host: WindowsHost, cut_after: int | None = None) -> None:
        self.host = host
        self.cut_after = cut_after
        self.scripts: list[str] = []

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        self.scripts.append(script)
        out: list[str] = []
        err: list[str] = []

        def said(line: str) -> None:
            out.append(line)
            if on_line is not None and not self._cut(len(out)):
                on_line(line)

        status = self.host.execute(script, said, err.append)
        if self.host.killed:
            lost = ConnectionLost("win1: its shell is gone.", "", "Try again.")
            lost.begun = True
            raise lost
        if self._cut(len(out)):
            self.cut_after = None
            lost = ConnectionLost("win1: the connection broke.", "", "Try again.")
            lost.begun = True
            raise lost
        return Answer(status=status, stdout="\n".join(out), stderr="\n".join(err))

    def _cut(self, lines: int) -> bool:
        return self.cut_after is not None and lines > self.cut_after

    def close(self) -> None:
        pass


class Farm:
    """One Windows real server behind somebody else's load balancer, so that nothing but its own side is looked at."""

    def __init__(self, folder: Path, host: WindowsHost, deployment: Deployment, revert_after: float = 0.0) -> None:
        self.host = host
        self.revert_after = revert_after
        self.deployment = deployment
        self.connector = ModelConnector(host)
        self.folder = folder
        self.engine = self.fresh()

    def fresh(self) -> Engine:
        """A new engine over the same host and journal, as after a restart."""
        world = World.lab()
        engine = Engine(
            director=lambda interface: world.director(),
            wire=world.wire(),
            connect=lambda name, target, asker: self.connector,
            asker=_Nobody(),
            journals=Journals(self.folder),
        )
        engine.revert_after = self.revert_after
        return engine

    def plan(self) -> Plan:
        return self.engine.plan(self.deployment, self.engine.observe(self.deployment))

    def apply(self, watch: Observer = lambda event: None) -> RunResult:
        return self.engine.apply(self.deployment, self.plan(), watch, None, Lease())

    def teardown(self) -> RunResult:
        plan = self.engine.teardown_plan(self.deployment)
        return self.engine.teardown(self.deployment, plan, lambda event: None, None, Lease())


class _Nobody:
    def secret(self, question: Any) -> None:
        return None

    def accept_key(self, question: Any) -> bool:
        return False


def shop(*vips: str, ports: tuple[int, ...] = (80,), name: str = "shop", vip_interface: str = "lo") -> Deployment:
    """A deployment with one Windows server."""
    services = tuple(Service(port=port) for port in ports)
    return Deployment(
        name=name,
        director=Director(interface="eth0", engine="external"),
        vips=tuple(Vip(address=vip, services=services) for vip in (vips or (VIP,))),
        servers=(
            RealServer(
                name="win1", address="10.0.0.101", address6="fd00::101", connect="winrm", vip_interface=vip_interface
            ),
        ),
    )


@pytest.fixture
def farm(tmp_path: Path) -> Callable[..., Farm]:
    """Makes a farm of one modelled Windows server."""

    def make(host: WindowsHost | None = None, deployment: Deployment | None = None) -> Farm:
        return Farm(tmp_path / "journal", host or WindowsHost(), deployment or shop())

    return make


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of dsrwizard's own state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "dsrwizard"


@pytest.fixture
def operator() -> Operator:
    """Knows the password, and accepts certificates."""
    return Operator(answers=[PASSWORD], accepts=True)


@pytest.fixture
def self_signed(tmp_path: Path) -> Certificate:
    return issue(tmp_path / "self.pem", "WIN1")


@pytest.fixture
def listen(tmp_path: Path, state: Path) -> Iterator[Callable[..., Endpoint]]:
    """Starts WinRM endpoints; at the end each has done without an error of its own, and has no shell left open."""
    endpoints: list[Endpoint] = []

    def make(runner: Runner | WindowsHost, *, certificate: Certificate | None = None, **options: Any) -> Endpoint:
        if isinstance(runner, WindowsHost):
            runner = ModelRunner(runner)
        if certificate is not None:
            options |= {"tls": certificate.context(), "certificate": certificate.der}
        endpoint = Endpoint(runner, **({"users": {"Administrator": PASSWORD}} | options))
        endpoints.append(endpoint)
        return endpoint.start()

    yield make
    left = [endpoint.shells for endpoint in endpoints]
    for endpoint in endpoints:
        endpoint.stop()
    assert [endpoint.errors for endpoint in endpoints] == [[]] * len(endpoints)
    assert left == [{}] * len(endpoints), "shells were left open"
