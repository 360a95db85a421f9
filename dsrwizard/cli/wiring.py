"""Builds the engine with this machine's backends; each backend is imported on first use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsrwizard.core.model.answers import Claim, Connected, Owners, Ping, Probed, Sent, Talked
from dsrwizard.core.model.balancer_facts import ApplianceAnswer, Box, Ldirectord
from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.deployment import Balancer, Client, Deployment, RealServer
from dsrwizard.core.model.products import LOADBALANCER_ORG, PRODUCTS
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import Arriving, Asker, BalancerPort, Connector, DirectorPort, Hearing, ProbeTarget
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.locks import SHARED, Locks
from dsrwizard.engine.silent_asker import Quiet
from dsrwizard.session import state_dir

if TYPE_CHECKING:
    from backends.metrics import MetricsServer
    from backends.packets.port import Wire
    from dsrwizard.core.guard.policy import Limits
    from dsrwizard.engine.guard import Guard
    from dsrwizard.engine.timeline import Timeline, note


def build_engine(asker: Asker) -> Engine:
    """Builds the product's engine: local netlink, SSH, WinRM, packets from this machine, journals below
    `state_dir()`."""
    return _engine(asker, state_dir() / "journal")


@contextmanager
def build_guard(
    deployment: Deployment, limits: Limits, every: float, tell: Callable[[str], None]
) -> Iterator[Guard]:  # fmt: skip
    """The guard of this machine, the only one of its deployment here. Raises DsrError."""
    from backends.notify import watchdog
    from dsrwizard.engine import guard_file
    from dsrwizard.engine.guard import Guard

    journals = state_dir() / "journal"
    locks = Locks(journals, SHARED, state_dir())
    with guard_file.alone(deployment.name):
        yield Guard(
            deployment,
            director=_director(deployment.director.interface),
            wire=_LazyWire(),
            journal=Journals(journals).of(deployment.name),
            hold=lambda: locks.hold("guard", deployment.name),
            limits=limits,
            every=every,
            tell=tell,
            record=lambda line: note(Timeline(state_dir() / "events", deployment.name), f"guard: {line}"),
            pid=os.getpid(),
            watchdog=watchdog(),
        )


def rehearsal_folder() -> Path:
    """Where rehearsals keep their journals, apart from those of deployments."""
    return state_dir() / "rehearsal"


def rehearsal_engine(asker: Asker) -> Engine:
    """The same engine over the journals of rehearsals."""
    return _engine(asker, rehearsal_folder())


def _engine(asker: Asker, journals: Path) -> Engine:
    asker = Quiet(asker)  # here and not in the engine alone: what is forgotten is what was kept for this very asker
    return Engine(
        director=_director,
        wire=_LazyWire(),
        connect=_connect,
        asker=asker,
        journals=Journals(journals),
        forget=lambda: _forget(asker),
        events=state_dir() / "events",
        find_winrm=_find_winrm,
        locks=Locks(journals, SHARED, state_dir()),
        open_balancer=_open_balancer,
    )


def _open_balancer(deployment: Deployment, asker: Asker) -> BalancerPort:
    if PRODUCTS[deployment.director.engine] is LOADBALANCER_ORG:
        from backends.loadbalancer_org import open_loadbalancer_org

        return open_loadbalancer_org(deployment, asker)
    from backends.netscaler import open_netscaler

    return open_netscaler(deployment, asker)


def read_balancer(deployment: Deployment, asker: Asker, heard: Callable[[ApplianceAnswer], None]) -> None:
    """Makes every read of a run on an appliance that is driven, and changes nothing there. Raises DsrError; `heard` has
    then been told what was answered until then."""
    if PRODUCTS[deployment.director.engine] is LOADBALANCER_ORG:
        from backends.loadbalancer_org import read_loadbalancer_org

        read_loadbalancer_org(deployment, asker, heard)
        return
    from backends.netscaler import read_netscaler

    read_netscaler(deployment, asker, heard)


def netscaler_farm(balancer: Balancer, asker: Asker) -> Box:
    """The virtual servers in MAC mode of a NetScaler, with what is behind them; changes nothing. Raises DsrError."""
    from backends.netscaler import farm_of

    return farm_of(balancer, asker)


def loadbalancer_org_farm(balancer: Balancer, asker: Asker) -> Ldirectord:
    """Every virtual service of a Loadbalancer.org; changes nothing. Raises DsrError."""
    from backends import loadbalancer_org

    return loadbalancer_org.farm_of(balancer, asker)


def read_barracuda(balancer: Balancer, asker: Asker) -> Any:
    """What a Barracuda has of services, as JSON; changes nothing. Raises DsrError."""
    from backends import barracuda

    return barracuda.read_barracuda(balancer, asker)


def _director(interface: str) -> DirectorPort:
    del interface  # this machine is the director whatever its interface; observe is told the deployment
    from backends.director.port import LocalDirector

    return LocalDirector()


def _connect(host: str, target: RealServer | Client, asker: Asker) -> Connector:
    if isinstance(target, RealServer) and target.connect == "winrm":
        from backends.winrm import open_winrm

        return open_winrm(host, target, asker)
    from backends.ssh import open_ssh

    return open_ssh(host, target, asker)


def _find_winrm(server: RealServer) -> Contact:
    from backends.winrm import find_winrm

    return find_winrm(server)


def _forget(asker: Asker) -> None:
    if "backends.memory" in sys.modules:
        from backends.memory import forget

        forget(asker)


class _LazyWire:
    """The packet backend, imported on first use."""

    def _real(self) -> Wire:
        from backends.packets.port import Wire

        return Wire()

    def ping(self, addresses: Sequence[str], deadline: float = 1.0, size: int = 0) -> Mapping[str, Ping]:
        return self._real().ping(addresses, deadline, size)

    def connect(self, targets: Sequence[tuple[str, int]], deadline: float = 2.0) -> Sequence[Connected]:
        return self._real().connect(targets, deadline)

    def owners(self, interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
        return self._real().owners(interface, addresses, deadline)

    def probe(
        self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0
    ) -> Sequence[Probed]:
        return self._real().probe(interface, targets, deadline, pace)

    def offlink(
        self, interface: str, targets: Sequence[ProbeTarget], sources: Mapping[int, str], deadline: float = 1.0
    ) -> Sequence[Sent]:
        return self._real().offlink(interface, targets, sources, deadline)

    def talk(self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 2.0) -> Sequence[Talked]:
        return self._real().talk(interface, targets, deadline)

    def arrivals(self, interface: str, vips: Sequence[str]) -> Arriving:
        return self._real().arrivals(interface, vips)

    def hear(self, interface: str, addresses: Sequence[str], heard: Callable[[Claim], None]) -> Hearing:
        return self._real().hear(interface, addresses, heard)


def metrics_server(
    address: str, port: int, text: Callable[[], str], names: Sequence[str] = (), token: Secret | None = None
) -> MetricsServer:
    """Serves `text()` over HTTP: also for these host names, and only to clients with the token. Raises DsrError when
    it cannot listen there."""
    from backends.metrics import Access, MetricsServer

    return MetricsServer(address, port, text, Access(names=frozenset(names), token=token))


def notify(*lines: str) -> bool:
    """Tells systemd how this service fares; False: no systemd started it."""
    from backends.notify import notify as sent

    return sent(*lines)


def run_lab(command: Sequence[str], faults: Sequence[str] = (), directors: int = 1) -> int:
    """Boots the lab with these faults and so many directors. Runs the command (none: the wizard) on its director.
    Returns its exit status."""
    from backends.lab import run

    return run(command, faults=faults, directors=directors)


def run_inside_lab(words: Sequence[str]) -> int:
    """Runs `fault …` or `mend …` on the director of the lab. Returns the exit code."""
    from backends.lab import run_inside

    return run_inside(words)
