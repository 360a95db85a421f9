"""How long reading all IPVS counters takes: `ipvsadm -Ln --stats`, pyroute2's own IPVS classes, and dsrwizard.

Run as root where the kernel has IPVS, such as the lab:  dsrwizard lab -- python3 tests/bench/ipvs_dump.py
It works in a network namespace of its own, so nobody's table is touched. Each figure is the best of several readings;
starting Python is not in them, starting ipvsadm is (it is what one reading with it costs).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from backends.netlink.ipvs import Ipvs

VIP = "10.99.0.10"
PER_SERVICE = 100
CLONE_NEWNET = 0x40000000


def fill(destinations: int) -> None:
    """Services of a hundred destinations each, by ipvsadm from a file."""
    lines = []
    for number in range(destinations):
        port = 1000 + number // PER_SERVICE
        if number % PER_SERVICE == 0:
            lines.append(f"-A -t {VIP}:{port} -s rr")
        host = number % PER_SERVICE
        lines.append(f"-a -t {VIP}:{port} -r 10.{100 + port % 100}.{host // 200}.{host % 200 + 1}:{port} -g -w 1")
    done = subprocess.run(["ipvsadm", "-R"], input="\n".join(lines) + "\n", text=True, check=False, capture_output=True)
    if done.returncode:
        raise SystemExit(f"ipvsadm -R: {done.stderr.splitlines()[:1]}")


def best(work: Callable[[], object], times: int) -> float:
    """Milliseconds of the quickest of several runs."""
    found = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        found.append(time.perf_counter() - begun)
    return min(found) * 1000


def by_ipvsadm() -> None:
    with Path(os.devnull).open("wb") as nowhere:
        subprocess.run(["ipvsadm", "-Ln", "--stats"], stdout=nowhere, check=True)


def by_pyroute2() -> int:
    """The wrapper's documented way: its service and destination dumps, attributes and all."""
    from pyroute2 import IPVS, IPVSService

    count = 0
    with IPVS() as ipvs:
        for found in ipvs.service("dump"):
            for destination in ipvs.dest("dump", service=IPVSService.from_message(found)):
                attributes = destination.get_attr("IPVS_CMD_ATTR_DEST")
                attributes.get_attr("IPVS_DEST_ATTR_STATS64").get_attr("IPVS_STATS_ATTR_INPKTS")
                count += 1
    return count


def read_with(reader: str, times: int) -> float:
    """Milliseconds of one reader, in this process."""
    if reader == "ipvsadm":
        return best(by_ipvsadm, times)
    if reader == "pyroute2":
        return best(by_pyroute2, min(times, 2))
    ours = Ipvs()
    try:
        return best(ours.services, times)
    finally:
        ours.close()


def in_own_process(reader: str, times: int) -> float:
    """The same in a fresh process: a big heap makes every reader slower, so none may inherit another's."""
    argv = [sys.executable, str(Path(__file__).resolve()), "--times", str(times), "--reader", reader]
    return float(subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout)


def measure(destinations: int, times: int, readers: dict[str, str]) -> None:
    fill(destinations)
    ours = Ipvs()
    counted = sum(len(service.destinations) for service in ours.services())
    ours.close()
    if counted != destinations:
        raise SystemExit(f"read {counted} destinations of {destinations}")
    print(f"{destinations} destinations in {-(-destinations // PER_SERVICE)} services")
    base = 0.0
    for reader, name in readers.items():
        milliseconds = in_own_process(reader, times)
        base = base or milliseconds
        print(f"  {name:<30} {milliseconds:9.1f} ms   {milliseconds / base:6.2f} x ipvsadm", flush=True)
    subprocess.run(["ipvsadm", "-C"], check=True)


READERS = {
    "ipvsadm": "ipvsadm -Ln --stats",
    "services": "dsrwizard services() (typed)",
    "pyroute2": "pyroute2 IPVS classes",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--no-pyroute2", action="store_true", help="leave the slow one out")
    parser.add_argument("--reader", choices=READERS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.reader:
        print(read_with(chosen.reader, chosen.times))
        return
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):  # a namespace of its own: nobody's table is touched
        raise SystemExit("Needs root: it makes a network namespace of its own.")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)  # before that no address counts as a host's
    readers = {reader: name for reader, name in READERS.items() if reader != "pyroute2" or not chosen.no_pyroute2}
    for destinations in (1000, 10000):
        measure(destinations, chosen.times, readers)


if __name__ == "__main__":
    main()
