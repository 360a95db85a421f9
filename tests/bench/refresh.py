"""What one refresh of the live picture costs: 10, 1,000 and 10,000 destinations, beside `ipvsadm -Ln --stats`.

Anywhere:  python -m tests.bench.refresh       what dsrwizard does with a dump: rows, states, rates, trends, timeline
In the lab:  dsrwizard lab -- python3 tests/bench/refresh.py --kernel       the dump too, and ipvsadm's

Every counter moves between refreshes and every probe is answered anew as the budget of packets allows, so nothing can
be reused that would change in a farm under load. CPU seconds of this process; a refresh is made every second.
"""

from __future__ import annotations

import argparse
import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from dsrwizard.core.live.readings import Reading, RowPlace
from dsrwizard.core.live.schedule import BUDGET, PACKETS_A_PROBE
from dsrwizard.core.model.answers import Owners, Probed
from dsrwizard.core.model.changes import DestinationState, ServiceKey, ServiceState
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.facts import Destination, Stats, VirtualService
from dsrwizard.core.model.snapshot import Round
from dsrwizard.engine.watch.board import Board
from tests.bench.ipvs_dump import CLONE_NEWNET, VIP, best, by_ipvsadm

SIZES = {10: (1, 10), 1000: (10, 100), 10_000: (100, 100)}
"""Destinations: (VIPs or services, servers)."""
SHARE = 0.25
"""Of a core, at most, for 10,000 destinations."""


class Farm:
    """A farm in memory whose counters move."""

    def __init__(self, vips: int, servers: int) -> None:
        self.deployment = Deployment(
            name="farm",
            director=Director(interface="eth0"),
            vips=tuple(Vip(address=f"10.1.0.{number + 1}", services=(Service(port=80),)) for number in range(vips)),
            servers=tuple(
                RealServer(name=f"web{number + 1}", address=f"10.0.0.{number + 1}") for number in range(servers)
            ),
        )
        self.at = 1_000_000.0
        self.count = 0
        self.board = Board(self.deployment, lambda: self.at, None, threading.Event())
        self.answers: dict[RowPlace, Probed] = {
            (vip.address, "tcp/80", server.name): Probed(
                vip=vip.address, port=80, protocol="tcp", rip=server.address, mac=f"m-{server.name}",
                signature="syn-ack", answered_by=f"m-{server.name}", milliseconds=0.8,
            )
            for vip in self.deployment.vips
            for server in self.deployment.servers
        }  # fmt: skip
        self.board.probed(self.at, self.answers, Round())
        self.board.audited(self.at, {vip.address: Owners(address=vip.address) for vip in self.deployment.vips})

    def dump(self) -> tuple[VirtualService, ...]:
        """What the kernel would say: every counter has moved."""
        self.count += 10
        stats = Stats(connections=self.count, in_packets=6 * self.count, in_bytes=480 * self.count)
        return tuple(
            VirtualService(
                key=ServiceKey(vip.address, "tcp", 80),
                state=ServiceState("wlc"),
                stats=stats,
                destinations=tuple(
                    Destination(
                        address=server.address, port=80, state=DestinationState(1), active=self.count,
                        stats=Stats(connections=self.count, in_packets=6 * self.count, in_bytes=480 * self.count),
                    )
                    for server in self.deployment.servers
                ),
            )
            for vip in self.deployment.vips
        )  # fmt: skip

    def refresh(self) -> float:
        """CPU seconds of one refresh, with what a second brings of probes and audits."""
        self.at += 1.0
        services = self.dump()
        places = list(self.answers)
        size = min(len(places), BUDGET // PACKETS_A_PROBE)
        first = self.count // 10 * size % len(places)
        answers = {place: self.answers[place] for place in (places + places)[first : first + size]}
        owners = {vip.address: Owners(address=vip.address) for vip in self.deployment.vips}
        begun = time.process_time()
        self.board.probed(self.at, answers, Round())
        self.board.audited(self.at, owners)
        self.board.read(Reading(at=self.at, services=services), 1.0)
        snapshot = self.board.snapshot()
        spent = time.process_time() - begun
        rows = [row for service in snapshot.services for row in service.rows]
        if len(rows) != len(places) or {row.state for row in rows} != {"up"}:
            raise SystemExit("The farm is not up: nothing was measured.")
        return spent


def refreshes(times: int) -> bool:
    fine = True
    for destinations, (vips, servers) in SIZES.items():
        farm = Farm(vips, servers)
        for _ in range(8):  # until there is a reading to compare with, and the kernel's caches are warm
            farm.refresh()
        seconds = median(farm.refresh() for _ in range(times))
        print(
            f"{destinations:>6} destinations   {1000 * seconds:8.2f} ms   {100 * seconds:5.1f} % of a core", flush=True
        )
        fine = fine and seconds < SHARE
    return fine


def kernels(times: int) -> None:
    """The dump and what is made of it, beside ipvsadm; in a network namespace of its own."""
    from backends.netlink.ipvs import Ipvs

    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        raise SystemExit("Needs root: it makes a network namespace of its own.")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    for destinations, (services, servers) in SIZES.items():
        deployment = fill(services, servers)
        reader = Ipvs()
        if sum(len(service.destinations) for service in reader.services()) != destinations:
            raise SystemExit("The kernel has not what was put there: nothing was measured.")
        board = Board(deployment, time.time, None, threading.Event())

        def refresh(reader: Ipvs = reader, board: Board = board) -> None:
            board.read(Reading(at=time.time(), services=reader.services()), 1.0)
            board.snapshot()

        figures: list[tuple[str, Callable[[], object]]] = [
            ("ipvsadm -Ln --stats", by_ipvsadm), ("one dump", reader.services), ("dump and picture", refresh),
        ]  # fmt: skip
        print(f"{destinations} destinations")
        base = 0.0
        for name, work in figures:
            milliseconds = best(work, times)
            base = base or milliseconds
            print(f"  {name:<24} {milliseconds:9.1f} ms   {milliseconds / base:6.2f} x ipvsadm", flush=True)
        reader.close()
        subprocess.run(["ipvsadm", "-C"], check=True)


def fill(services: int, servers: int) -> Deployment:
    """Puts services with these servers behind each into IPVS; the deployment that says so."""
    deployment = Deployment(
        name="farm",
        director=Director(interface="lo"),
        vips=(Vip(address=VIP, services=tuple(Service(port=1000 + n, scheduler="rr") for n in range(services))),),
        servers=tuple(RealServer(name=f"web{n + 1}", address=f"10.100.0.{n + 1}") for n in range(servers)),
    )
    lines = []
    for service in deployment.vips[0].services:
        lines.append(f"-A -t {VIP}:{service.port} -s rr")
        lines += [f"-a -t {VIP}:{service.port} -r {one.address}:{service.port} -g -w 1" for one in deployment.servers]
    subprocess.run(["ipvsadm", "-R"], input="\n".join(lines) + "\n", text=True, check=True)
    return deployment


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=15)
    parser.add_argument("--kernel", action="store_true", help="with the kernel's dump, beside ipvsadm")
    wanted = parser.parse_args()
    if wanted.kernel:
        kernels(wanted.times)
        return 0
    return 0 if refreshes(wanted.times) else 1


if __name__ == "__main__":
    sys.exit(main())
