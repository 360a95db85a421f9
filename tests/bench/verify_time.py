"""How long a verification takes: 3 and 50 servers, with a client host, the real engine on a farm in memory.

    python -m tests.bench.verify_time

The hosts and the wire of the farm take what real ones take: a login, a script and each round trip their time, an audit
its whole deadline. What is printed is wall time, and what of it each part took where they run side by side.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

sys.path.insert(0, str(Path(__file__).parents[2]))

from dsrwizard.core.model.answers import Connected, Owners, Ping, Probed, Sent, Talked
from dsrwizard.core.model.deployment import Client, Deployment, Service
from dsrwizard.core.model.facts import HalfOpenLook, ServerFacts
from dsrwizard.core.ports import Answer, OnLine, ProbeTarget, ServerPort
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from tests.fakes.client_host import FakeClientHost
from tests.unit.diagnosed import Altered, Farm, Nobody

LOGIN, SCRIPT, TRIP = 0.25, 0.45, 0.001
"""Seconds: an SSH login, a look's script on a host (measured by `ssh_farm`), a round trip on the link."""
LIMITS = {3: 3.0, 50: 10.0}


class Slow:
    """A real server that takes its time."""

    def __init__(self, port: ServerPort) -> None:
        self._port, self._in = port, False

    def _log_in(self) -> None:
        if not self._in:
            time.sleep(LOGIN)
            self._in = True

    def observe(self, deployment: Deployment, *, closely: bool = False, clients: Sequence[str] = ()) -> ServerFacts:
        self._log_in()
        time.sleep(SCRIPT)
        return self._port.observe(deployment, closely=closely, clients=clients)

    def half_open(self, sources: Sequence[str], expected: int, ready: Callable[[], None]) -> HalfOpenLook:
        self._log_in()
        time.sleep(0.1)
        return self._port.half_open(sources, expected, ready)

    def close(self) -> None:
        self._port.close()


class SlowWire(Altered):
    """A wire that takes what a link takes; `took` has what each question cost."""

    def __init__(self, farm: Farm, took: dict[str, float]) -> None:
        super().__init__(farm)
        self.took = took

    def _timed(self, name: str, seconds: float) -> None:
        time.sleep(seconds)
        self.took[name] = max(self.took.get(name, 0.0), seconds)

    def ping(self, addresses: Sequence[str], deadline: float = 1.0, size: int = 0) -> Mapping[str, Ping]:
        self._timed("ping", TRIP)
        return super().ping(addresses, deadline, size)

    def connect(self, targets: Sequence[tuple[str, int]], deadline: float = 2.0) -> Sequence[Connected]:
        self._timed("connect", TRIP)
        return super().connect(targets, deadline)

    def owners(self, interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
        self._timed("audit", deadline)
        return super().owners(interface, addresses, deadline)

    def probe(
        self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0
    ) -> Sequence[Probed]:
        self._timed("probe", 2 * TRIP)
        return super().probe(interface, targets, deadline, pace)

    def offlink(
        self, interface: str, targets: Sequence[ProbeTarget], sources: Mapping[int, str], deadline: float = 1.0
    ) -> Sequence[Sent]:
        self._timed("client-like", TRIP)
        return super().offlink(interface, targets, sources, deadline)

    def talk(self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 2.0) -> Sequence[Talked]:
        self._timed("talk", 5 * TRIP)
        return super().talk(interface, targets, deadline)


class SlowClient(FakeClientHost):
    """A client host that takes its time, a few milliseconds for each connection."""

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        began = len(self.arrived)
        answer = super().run(script, deadline=deadline, on_line=on_line)
        time.sleep((LOGIN if len(self.runs) == 1 else 0) + 0.5 + 0.005 * (len(self.arrived) - began))
        return answer


def verified(servers: int) -> tuple[float, dict[str, float], str]:
    """Seconds of a first verification, logins and all; what the wire took; the verdict."""

    def with_client(deployment: Deployment) -> Deployment:
        return msgspec.structs.replace(deployment, client=Client(address="203.0.113.10"))

    farm = Farm(servers=servers, services=(Service(port=80, scheduler="rr"),), change=with_client)
    took: dict[str, float] = {}
    host = SlowClient(farm.world)
    with tempfile.TemporaryDirectory() as where:
        engine = Engine(
            director=lambda _: farm.world.director(),
            wire=SlowWire(farm, took),
            connect=lambda *_: host,
            asker=Nobody(),
            journals=Journals(Path(where)),
            open_server=lambda server: Slow(farm.world.open_server(server, Nobody())),  # type: ignore[arg-type,return-value]
        )
        began = time.monotonic()
        report = engine.verify(farm.deployment)
        seconds = time.monotonic() - began
        engine.close()
    return seconds, took, report.verdict


def main() -> int:
    wrong = False
    print(f"{'servers':>8}{'seconds':>9}{'at most':>9}  verdict  parts")
    for servers, most in LIMITS.items():
        seconds, took, verdict = verified(servers)
        wrong = wrong or seconds > most or verdict != "pass"
        parts = ", ".join(f"{name} {value:.2f}" for name, value in sorted(took.items(), key=lambda one: -one[1]))
        print(f"{servers:>8}{seconds:>9.2f}{most:>9.1f}  {verdict:<7}  {parts}")
    return int(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
