"""Whether a guard takes out a server that is well: flapping, load and healthy noise for as long as is asked for.

    python -m tests.bench.guard_soak [--minutes M] [--seed S]

`dsrwizard guard` runs on the lab's director over the rich deployment. All the time one client opens 50 connections a
second and holds transfers, and things happen that a farm lives through: lost and late packets, neighbours forgotten,
announcements, a busy server, a burst of connections, sshd started anew. Now and then one server really dies, in one
of several ways, and is cured; sometimes the same one again before the damping of its last time is over.

A removal (weight 0 in the table) is wrong where it is not of the server that is dead, or just was. What happens is
seeded. The exit status is 1 where a removal was wrong, or a death of five seconds was not noticed.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backends.lab import network
from tests.bench.guard_times import act, guarding
from tests.failover.figures import Records, seen
from tests.failover.world import program
from tests.lab.harness import RICH_FILE, SERVERS, Lab, Process

DEATHS = ("service-down", "vip-missing", "rip-only-listener", "firewall", "unreachable")
GRACE = 3.0
"""Seconds after a cure: the guard's last round of the dead server may still be under way."""
NOTICED = 5.0
"""Seconds of death after which the guard has to have acted."""
ROUTER, DIRECTOR, CLIENT = network.ROUTER.name, network.DIRECTOR.name, network.CLIENT.name
WATCH = r"""
import os, select, sys, time
known = {}
while not select.select([0], [], [], 0.1)[0]:
    vip = ""
    for line in open("/proc/net/ip_vs"):
        words = line.split()
        if words and words[0] in ("TCP", "UDP"):
            vip = " ".join(words[:2])
        elif words and words[0] == "->" and len(words) > 4 and words[3].isdigit():
            key, weight = f"{vip} {words[1]}", int(words[3])
            if known.get(key, weight) != weight:
                print(f"{time.time():.2f} {weight} {key}", flush=True)
            known[key] = weight
"""
NOISE: tuple[tuple[str, str], ...] = (
    (DIRECTOR, "ip neigh flush dev eth0"),
    (ROUTER, "ip neigh flush dev eth0"),
    ("SERVER", "ip neigh flush dev eth0"),
    ("SERVER", "arping -q -U -c 3 -w 3 -I eth0 $(ip -o -4 addr show eth0 | sed 's/.*inet //; s/[/].*//')"),
    ("SERVER", "timeout 2 sh -c 'while :; do :; done'; true"),
    ("SERVER", "pkill -HUP -o -x sshd --ns $$ --nslist net; true"),
    ("SERVER", "tc qdisc add dev eth0 root netem delay 20ms 15ms && sleep 4; tc qdisc del dev eth0 root"),
    ("SERVER", "tc qdisc add dev eth0 root netem loss 2% && sleep 4; tc qdisc del dev eth0 root"),
    (ROUTER, "tc qdisc add dev eth0 root netem loss 2% delay 5ms && sleep 4; tc qdisc del dev eth0 root"),
    (CLIENT, f"for i in $(seq 40); do curl -s -m 4 -o /dev/null http://{network.VIP}/large & done; wait; true"),
    (CLIENT, f"ping -q -f -c 400 {network.VIP} >/dev/null; true"),
)
"""Host (SERVER: any real server) and what happens there."""


@dataclass
class Death:
    """A server that is dead: for certain from the end of the fault's script to the start of its cure, perhaps from the
    start of the one to the end of the other. On a busy machine a script takes seconds."""

    server: str
    cause: str
    asked: float
    began: float = 0.0
    cured: float = 0.0
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        return self.cured - self.began

    def __str__(self) -> str:
        clocks = (time.strftime("%H:%M:%S", time.gmtime(at)) for at in (self.asked, self.began, self.cured, self.ended))
        return f"{self.cause}@{self.server} {' '.join(clocks)}"


@dataclass
class Soak:
    """What happened, and what the table became."""

    deaths: list[Death] = field(default_factory=list)
    noises: list[tuple[float, str]] = field(default_factory=list)

    def wrong(self, removals: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
        """The removals, as (when, server), that no death explains."""
        found = []
        for when, server in removals:
            near = [one for one in self.deaths if one.server == server and one.asked <= when]
            if not any(when <= (one.ended or when) + GRACE for one in near):
                found.append((when, server))
        return found

    def before(self, when: float) -> str:
        """What happened in the seconds before, and the deaths of about that time."""
        noises = [f"{when - at:.1f} s before: {what}" for at, what in self.noises if 0 < when - at < 6]
        return "; ".join([*noises, *(str(one) for one in self.deaths if -5 < when - one.asked < 40)])

    def missed(self, removals: Sequence[tuple[float, str]], out: Sequence[tuple[float, float, str]]) -> list[Death]:
        """Deaths of some seconds after which the server stayed in. `out`: when a server was out already."""
        return [
            one
            for one in self.deaths
            if one.seconds >= NOTICED
            and not any(server == one.server and one.asked <= when <= one.ended for when, server in removals)
            and not any(server == one.server and began <= one.began <= end for began, end, server in out)
        ]


def run(lab: Lab, minutes: float, chance: random.Random) -> Soak:
    """Noise, and deaths in between, for so long."""
    soak = Soak()
    end = time.monotonic() + 60 * minutes
    following = time.monotonic() + 10
    while time.monotonic() < end:
        noisy = [_noise(lab, soak, chance) for _ in range(chance.choice((0, 1, 1, 2)))]
        if time.monotonic() >= following:
            again = soak.deaths and chance.random() < 0.4
            server = soak.deaths[-1].server if again else chance.choice(SERVERS)
            death = Death(server, chance.choice(DEATHS), time.time())
            death.began = act(lab, "fault", f"{death.cause}@{server}")
            soak.deaths.append(death)
            time.sleep(chance.choice((1.0, 2.0, 6.0, 12.0)))
            death.cured = time.time()
            death.ended = act(lab, "mend", f"{death.cause}@{server}")
            following = time.monotonic() + chance.uniform(5, 25)
        time.sleep(chance.uniform(0.5, 2.0))
        for process in noisy:
            process.wait()
    return soak


def _noise(lab: Lab, soak: Soak, chance: random.Random) -> Process:
    host, script = chance.choice(NOISE)
    host = chance.choice(SERVERS) if host == "SERVER" else host
    soak.noises.append((time.time(), f"{host}: {script}"))
    return lab.spawn(host, script)


def changes(watch: Process) -> tuple[list[tuple[float, str]], list[tuple[float, float, str]]]:
    """From what the table became: removals as (when, server), and from when to when a place was out."""
    names = {host.address: host.name for host in network.SERVERS} | {
        host.address6: host.name for host in network.SERVERS
    }
    removals, out, open_ = [], [], dict[str, tuple[float, str]]()
    for line in watch.stdout.splitlines():
        when, weight, *key = line.split()
        server = names[_address(key[-1])]
        if weight == "0":
            removals.append((float(when), server))
            open_[" ".join(key)] = (float(when), server)
        elif (before := open_.pop(" ".join(key), None)) is not None:
            out.append((before[0], float(when), before[1]))
    return removals, [*out, *((began, began + 1e6, server) for began, server in open_.values())]


def said_about(events: Sequence[Mapping[str, Any]], first: float, last: float) -> list[str]:
    """What the deployment's timeline says of that time."""
    return [
        f"{time.strftime('%H:%M:%S', time.gmtime(one['at']))} {one['message']}"
        for one in events
        if first <= one["at"] <= last
    ]


def _address(text: str) -> str:
    """`0A000065:0050` and `[fd00:0010:0000:…]:0050` as /proc/net/ip_vs writes them."""
    import ipaddress

    place = text.rpartition(":")[0]
    if place.startswith("["):
        return str(ipaddress.IPv6Address(place.strip("[]")))
    return str(ipaddress.IPv4Address(int(place, 16)))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    wanted = parser.parse_args()
    with Lab() as lab:
        lab.dsrwizard("apply", RICH_FILE, "--yes").ok()
        with guarding(lab) as guard, lab.spawn(DIRECTOR, [sys.executable, "-I", "-S", "-c", WATCH]) as watch:
            load = lab.spawn(CLIENT, program("load", network.VIP, str(network.SERVICE_PORT), "50", "6"))
            load.expect("ready")
            soak = run(lab, wanted.minutes, random.Random(wanted.seed))
            load.close_input()
            told = json.loads(load.wait().stdout.splitlines()[-1])
            watch.close_input()
            watch.wait()
            removals, out = changes(watch)
            alive = guard.status is None
        events = lab.dsrwizard("events", RICH_FILE, "--json").ok().json["events"]
    records = Records.read(told, {}, {})
    clients = seen(records, 0.0, records.new[-1].began + 2)
    wrong, missed = soak.wrong(removals), soak.missed(removals, out)
    print(
        f"{wanted.minutes:g} minutes, seed {wanted.seed}: {len(soak.noises)} disturbances, {len(soak.deaths)} deaths, "
        f"{len(removals)} removals of a service's server, {len(wrong)} of them wrong, {len(missed)} deaths of "
        f"{NOTICED:.0f} s and more not noticed; {clients.new} connections, {clients.lost} lost, {clients.slow} slow; "
        f"load {os.getloadavg()[0]:.1f}"
    )
    for when, server in wrong:
        why = [one["message"] for one in events if abs(one["at"] - when) < 1.5 and server in one["message"]]
        clock = time.strftime("%H:%M:%S", time.gmtime(when))
        print(f"  wrong: {server} at {clock}. {' '.join(why)} {soak.before(when)}")
    for one in missed:
        others = sorted({server for began, end, server in out if began < one.cured and end > one.began})
        print(f"  not noticed: {one}, {one.seconds:.0f} s; out meanwhile: {', '.join(others) or 'nobody'}")
        for line in said_about(events, one.began - 5, one.ended + 5):
            print(f"    {line}")
    if not alive:
        print("  the guard has ended")
    return 0 if alive and not wrong and not missed else 1


if __name__ == "__main__":
    sys.exit(main())
