"""A director's interface of every kind, and a real server at its other end; run in a network namespace of its own.

    unshare -n python tests/lab/links.py vlan|bond|vlan-on-bond|bridge|going

Prints as one JSON document what the wire's instruments see. The real server is a second network namespace; its end of a
bond is a switch, so that broadcasts come back to the director by the other cable, as they do in a machine room.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backends.packets.announce import announce
from backends.packets.port import Wire
from dsrwizard.core.model.answers import Claim, Probed
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.ports import ProbeTarget

RIP, RIP6, VIP, VIP6 = "10.9.0.101", "fd09::101", "10.9.0.10", "fd09::10"
NOWHERE = {4: "192.0.2.7", 6: "2001:db8::7"}
SERVER = """
import socket, sys, threading
def echo(made):
    while True:
        data, sender, = made.recvfrom(2000)[:2]
        made.sendto(data, sender)
def answer(made):  # one socket per address: the answer comes from the address that was asked
    threading.Thread(target=echo, args=(made,), daemon=True).start()
for family, everything, vip in ((socket.AF_INET, "0.0.0.0", sys.argv[1]), (socket.AF_INET6, "::", sys.argv[2])):
    web, made = socket.socket(family), socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        web.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    web.bind((everything, 80)); web.listen(); globals()[f"web{family}"] = web
    made.bind((vip, 7)); answer(made)
print("serving", flush=True)
for interface in sys.stdin:  # told to announce both VIPs as its own
    from backends.packets.announce import announce
    for vip in sys.argv[1:]:
        announce(interface.strip(), vip, 2)
    print("said", flush=True)
"""
NEAR = {
    "vlan": ("eth0.10", "link add link eth0 name eth0.10 type vlan id 10"),
    "bond": ("bond0", "link set eth0 master bond0\nlink set eth1 master bond0"),
    "vlan-on-bond": (
        "bond0.10",
        "link set eth0 master bond0\nlink set eth1 master bond0\nlink add link bond0 name bond0.10 type vlan id 10",
    ),
    "bridge": ("br0", "link add br0 type bridge forward_delay 0\nlink set eth0 master br0\nlink set eth1 master br0"),
    "going": ("eth0", ""),
}


def sh(command: str, batch: str = "") -> str:
    done = subprocess.run(["sh", "-c", command], input=batch, text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout


class Bench:
    """Two machines with a cable between them, or two by way of a switch."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.interface, setup = NEAR[kind]
        self.server = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "ip link set lo up; read forever"], stdin=subprocess.PIPE
        )
        self.far = f"nsenter -t {self.server.pid} -n"
        self.wait(lambda: "lo" in sh(f"{self.far} ip -br link show up"))
        cables = ("eth0", "eth1") if kind in ("bond", "vlan-on-bond") else ("eth0",)
        end = self._far(cables)
        for cable in cables:
            sh(f"ip link add {cable} type veth peer name {cable}f netns {self.server.pid}")
        if "bond" in kind:
            sh("ip link add bond0 type bond mode active-backup miimon 50")
        if kind == "bridge":
            sh("ip link add eth1 type dummy")
        sh("ip -batch -", setup)
        names = ["lo", *cables, *(["bond0"] if "bond" in kind else []), self.interface]
        sh("ip -batch -", "".join(f"link set {name} up\n" for name in names))
        sh(f"ip addr add 10.9.0.2/24 dev {self.interface} && ip addr add fd09::2/64 dev {self.interface} nodad")
        sh(f"{self.far} ip -batch -", end)
        sh(f"{self.far} sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2")
        self.wait(lambda: "state UP" in sh(f"ip link show {self.interface}"))

    def _far(self, cables: tuple[str, ...]) -> str:
        """What `ip` is told at the real server's end."""
        lines = [f"link set {cable}f up" for cable in cables]
        at = "eth0f"
        if len(cables) > 1:
            at = "sw0"
            lines += ["link add sw0 type bridge forward_delay 0 mcast_snooping 0"]
            lines += [f"link set {cable}f master sw0" for cable in cables]
            lines += ["link set sw0 up"]
        if "vlan" in self.kind:
            lines += [f"link add link {at} name {at}.10 type vlan id 10", f"link set {at}.10 up"]
            at = f"{at}.10"
        self.end = at
        lines += [f"addr add {RIP}/24 dev {at}", f"addr add {RIP6}/64 dev {at} nodad", f"addr add {VIP}/32 dev lo"]
        lines += [
            f"addr add {VIP6}/128 dev lo nodad",
            "route add default via 10.9.0.1",
            "route add default via fd09::1",
        ]
        return "".join(f"{line}\n" for line in lines)

    def serve(self) -> None:
        self.web = subprocess.Popen(
            [*self.far.split(), sys.executable, "-c", SERVER, VIP, VIP6],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._expect("serving")

    def says(self, end: str = "") -> None:
        """The real server announces both VIPs as its own."""
        assert self.web.stdin is not None
        self.web.stdin.write(f"{end or self.end}\n")
        self.web.stdin.flush()
        self._expect("said")

    def _expect(self, word: str) -> None:
        assert self.web.stdout is not None
        assert self.web.stdout.readline() == f"{word}\n"

    def mac(self) -> str:
        return next(word for word in sh(f"{self.far} ip -br link show {self.end}").split() if word.count(":") == 5)

    @staticmethod
    def wait(condition: Callable[[], bool]) -> None:
        for _ in range(200):
            if condition():
                return
            time.sleep(0.05)
        raise AssertionError("it did not come about in ten seconds")


@contextmanager
def heard(interface: str) -> Iterator[list[Claim]]:
    found: list[Claim] = []
    hearing = Wire().hear(interface, [VIP, VIP6], found.append)
    assert hearing.problem == "", hearing.problem
    yield found
    hearing.close()


def of_kind(kind: str) -> dict[str, Any]:
    bench = Bench(kind)
    bench.serve()
    wire, interface = Wire(), bench.interface
    mac = bench.mac()
    bench.wait(lambda: bool(wire.owners(interface, [RIP6], 0.2)[RIP6].macs))
    owners = wire.owners(interface, [RIP, RIP6, VIP, VIP6], 1.0)
    services = (Service(port=80), Service(port=81), Service(protocol="udp", port=7))
    pairs = ((RIP, VIP), (RIP6, VIP6))
    targets = [ProbeTarget.of(rip, vip, service) for rip, vip in pairs for service in services]
    probed = wire.probe(interface, targets)
    sent = wire.offlink(interface, [one for one in targets if one.port == 80], NOWHERE)
    bench.wait(lambda: all(address in half_open(bench) for address in NOWHERE.values()))
    with heard(interface) as claims:
        bench.says()
        bench.wait(lambda: len(claims) >= 2)
        for address in (VIP, VIP6):
            announce(interface, address, 2)  # comes back by the other cable of a bond
        time.sleep(0.2)
    with heard("eth0") as elsewhere:  # what is below the interface is another link, or nobody's
        bench.says()
        time.sleep(0.2)
    with heard(interface) as untagged:
        if kind == "vlan":
            bench.says("eth0f")
            time.sleep(0.2)
    return {
        "macs": {address: ["server" if one == mac else one for one in found.macs] for address, found in owners.items()},
        "signatures": [one.signature for one in probed],
        "answered by the server": all(one.answered_by == mac for one in probed),
        "sent": [one.problem for one in sent],
        "claims": sorted((claim.address, "server" if claim.mac == mac else claim.mac, claim.kind) for claim in claims),
        "heard on eth0": len(elsewhere),
        "heard untagged": len(untagged),
    }


def half_open(bench: Bench) -> str:
    return sh(f"{bench.far} ss -Hnt state syn-recv")


def packets_sent(interface: str) -> int:
    """Packets that left by it."""
    (link,) = json.loads(sh(f"ip -s -j link show dev {interface}"))
    return int(link["stats64"]["tx"]["packets"])


def going() -> dict[str, Any]:
    """The interface goes down, and then away, while answers are waited for."""
    bench = Bench("going")
    missing = [ProbeTarget(rip=RIP, vip=f"10.9.0.{number}", port=80) for number in range(50, 90)]
    found: dict[str, Any] = {}
    for what, command in (("down", "ip link set eth0 down"), ("away", "ip link del eth0")):
        sh("ip link set eth0 up")
        bench.wait(lambda: "state UP" in sh("ip link show eth0"))
        results: list[Probed] = []
        thread = threading.Thread(target=lambda: results.extend(Wire().probe("eth0", missing, 20.0, 5)))  # noqa: B023
        claims: list[Claim] = []
        hearing = Wire().hear("eth0", [VIP], claims.append)
        before = packets_sent("eth0")
        thread.start()
        bench.wait(lambda: packets_sent("eth0") > before + len(missing) // 2)  # noqa: B023
        sh(command)
        thread.join(10)
        owners = Wire().owners("eth0", [VIP], 0.1)[VIP].problem
        bench.wait(lambda: hearing.problem == owners)  # noqa: B023
        found[what] = {
            "over": not thread.is_alive(),
            "results": len(results),
            "signatures": sorted({one.signature for one in results}),
            "problems": sorted({one.problem for one in results}),
            "hearing": hearing.problem,
            "owners": owners,
        }
        hearing.close()
    return found


if __name__ == "__main__":
    sh("modprobe -a 8021q bonding dummy || true")
    Path("/proc/sys/net/ipv4/conf/all/rp_filter").write_text("0")
    json.dump(going() if sys.argv[1] == "going" else of_kind(sys.argv[1]), sys.stdout)
