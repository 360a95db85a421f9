"""A round of VIP probes beside a plain loop that asks one server after the other.

    sudo python -m tests.bench.probe_round

Two network namespaces and a cable: 100 RIPs and 100 VIPs are on the far side, and a kernel answers for them. The loop
is what a script does: one SYN, its answer or a second of waiting, one RST, the next, and its socket stays open. Both
are told the MACs. Silent servers are VIPs that nobody holds.
"""

from __future__ import annotations

import os
import random
import select
import subprocess
import sys
import time
from collections.abc import Callable

import msgspec

from backends.packets import ethernet, ip, transport
from backends.packets.addresses import pack
from backends.packets.capture import Capture, to_addresses
from backends.packets.ethernet import mac_bytes
from backends.packets.link import look_up
from backends.packets.port import Wire
from dsrwizard.core.ports import ProbeTarget

SERVERS = VIPS = 100
SILENT = 5
PACE = 2000
OWN = "10.77.0.2"
INSIDE = "DSRWIZARD_BENCH_NAMESPACE"
LISTEN = "import socket, sys; made = socket.create_server(('', 80), backlog=4096); print(flush=True); sys.stdin.read()"


def farm() -> subprocess.Popen[str]:
    """The far side: its namespace lives as long as its listener."""
    listener = subprocess.Popen(
        ["unshare", "-n", "sh", "-c", f'ip link set lo up && exec {sys.executable} -c "{LISTEN}"'],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert listener.stdout is not None
    listener.stdout.readline()
    lines = [f"link add eth0 type veth peer name far netns {listener.pid}", "link set eth0 up"]
    told("ip -batch -", [*lines, f"addr add {OWN}/16 dev eth0"])
    addresses = [f"addr add 10.77.1.{number}/16 dev far" for number in range(1, SERVERS + 1)]
    addresses += [f"addr add 10.77.2.{number}/32 dev lo" for number in range(1, VIPS + 1)]
    told(f"nsenter -t {listener.pid} -n ip -batch -", ["link set far up", *addresses])
    return listener


def told(command: str, lines: list[str]) -> None:
    subprocess.run(command.split(), input="".join(f"{line}\n" for line in lines), text=True, check=True)


def targets(vips: int, silent: int = 0) -> list[ProbeTarget]:
    """Every server with so many VIPs; those of the first `silent` servers nobody holds."""
    return [
        ProbeTarget(rip=f"10.77.1.{server}", vip=f"10.77.{3 if server <= silent else 2}.{vip}", port=80)
        for vip in range(1, vips + 1)
        for server in range(1, SERVERS + 1)
    ]


def known(wanted: list[ProbeTarget]) -> list[ProbeTarget]:
    """With the MACs of the servers, for both sides."""
    found = Wire().resolve("eth0", list(dict.fromkeys(one.rip for one in wanted)))
    return [msgspec.structs.replace(one, mac=found[one.rip].macs[0]) for one in wanted]


def loop(wanted: list[ProbeTarget]) -> list[bool]:
    """One after the other."""
    link, source = look_up("eth0"), packed(OWN)
    answered = []
    with Capture("eth0", ethernet.IPV4, to_addresses(ethernet.IPV4, [source])) as capture:
        poll = select.poll()
        poll.register(capture.fileno(), select.POLLIN)
        for target in wanted:
            ports = (source, packed(target.vip), random.randrange(32768, 61000), target.port)
            sequence = random.getrandbits(32)

            def frame(packet: bytes, mac: bytes = mac_bytes(target.mac) or b"") -> bytes:
                return ethernet.build(mac, link.mac, ethernet.IPV4, packet)

            capture.send(frame(transport.syn(*ports, sequence)))
            answered.append(awaited(capture, poll, sequence))
            capture.send(frame(transport.rst(*ports, sequence + 1)))
    return answered


def awaited(capture: Capture, poll: select.poll, sequence: int) -> bool:
    end = time.monotonic() + 1
    while (left := end - time.monotonic()) > 0:
        poll.poll(left * 1000)
        for frame in capture.frames():
            packet = ip.parse(frame)
            segment = transport.parse_tcp(packet, checksums=frame.checksums) if packet is not None else None
            if segment is not None and segment.acknowledged == sequence + 1 & 0xFFFFFFFF:
                return bool(segment.flags & transport.SYN)
    return False


def packed(text: str) -> bytes:
    found = pack(text)
    assert found is not None
    return found


def timed(work: Callable[[], list[bool]], good: int) -> tuple[float, float]:
    """Wall seconds and CPU seconds; the work must have seen so many servers answer."""
    wall, cpu = time.monotonic(), time.process_time()
    answers = work()
    took = time.monotonic() - wall, time.process_time() - cpu
    assert sum(answers) == good, f"{sum(answers)} of {good} answered"
    return took


def rounds(wanted: list[ProbeTarget], pace: int = 0) -> list[bool]:
    return [one.good for one in Wire().probe("eth0", wanted, 1.0, pace)]


def main() -> None:
    if INSIDE not in os.environ:
        command = ["unshare", "-n", sys.executable, "-m", "tests.bench.probe_round"]
        sys.exit(subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode)
    listener = farm()
    rounds(targets(1))
    print(f"{'VIP probes':44} {'dsrwizard':>16} {'plain loop':>16} {'times faster':>13}")
    for words, wanted, silent in (
        (f"{SERVERS} servers, all answer", targets(1), 0),
        (f"{SERVERS} servers, 1 silent", targets(1, 1), 1),
        (f"{SERVERS} servers, {SILENT} silent", targets(1, SILENT), SILENT),
    ):
        good, same = len(wanted) - silent, known(wanted)
        ours = timed(lambda: rounds(same), good)  # noqa: B023
        plain = timed(lambda: loop(same), good)  # noqa: B023
        print(f"{words:44} {ours[0]:14.2f} s {plain[0]:14.2f} s {plain[0] / ours[0]:13.1f}", flush=True)
    wanted = targets(VIPS)
    for pace in (0, PACE):
        wall, cpu = timed(lambda: rounds(wanted, pace), len(wanted))  # noqa: B023
        bound = f", at most {pace} a second" if pace else ""
        least = f"{len(wanted) / pace:.1f} s is the least" if pace else ""
        print(f"{f'{SERVERS} × {VIPS} pairs{bound}':44} {wall:14.2f} s   {cpu / wall:.0%} of a core   {least}")
    listener.kill()


if __name__ == "__main__":
    main()
