"""The watch in the lab: every transition of a real server as `dsrwizard watch --json` tells it, with its cause.

One lab, one watch. How quick it is within these bounds is measured by `tests/bench/detection.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from backends.lab import guest
from tests.lab.harness import DEPLOYMENT_FILE, VIP, Lab, Process

pytestmark = [pytest.mark.lab, pytest.mark.long]

SOON = 40.0
NEXT_LOOK = 60.0
"""Settings are looked at every twenty seconds, over SSH, on a machine that does other things too. A server that fell
silent is looked at sooner; only that look tells which of several causes it is."""
SERVICE = f"{VIP}:80"


@dataclass
class Watched:
    """A watch in the lab and the picture its lines make."""

    lab: Lab
    process: Process

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.process.stdout.rpartition("\n")[0].splitlines()]

    def picture(self) -> dict[str, tuple[str, str]]:
        """Each server's state and cause in tcp/80."""
        found = {}
        for line in self.lines():
            if line["type"] == "snapshot":
                rows = [row for one in line["services"] if one["service"] == "tcp/80" for row in one["servers"]]
                found = {row["host"]: (row["state"], row["cause"]) for row in rows}
            elif line["type"] == "change" and line["service"] == "tcp/80" and line["host"] in found:
                found[line["host"]] = (line["state"], line["cause"])
        return found

    def becomes(self, server: str, state: str, cause: str = "", seconds: float = SOON) -> None:
        """Waits until the server is in this state of this cause."""
        arrived = self.process.wait_for(lambda: self.picture().get(server) == (state, cause), seconds)
        assert arrived, f"{server} is not {state} ({cause}) after {seconds} s\n{self.process.stdout}"

    def run(self, host: str, command: str) -> None:
        self.lab.run(host, command).ok()


@pytest.fixture(scope="module")
def watched(lab: Lab) -> Iterator[Watched]:
    lab.dsrwizard("apply", DEPLOYMENT_FILE, "--yes").ok()
    with lab.spawn("director", guest.wizard_command("watch", DEPLOYMENT_FILE, "--json")) as process:
        made = Watched(lab, process)
        for server in ("web1", "web2", "web3"):
            made.becomes(server, "up", seconds=60)
        yield made


def test_every_state_comes_and_goes_with_its_cause(watched: Watched) -> None:
    watched.run("web3", "sysctl -qw net.ipv4.conf.all.arp_announce=0 net.ipv4.conf.eth0.arp_announce=0")  # seen later

    where = watched.lab.run("web1", f"ip -o addr show to {VIP}").ok().stdout.split()[1]
    watched.run("web1", f"ip addr del {VIP}/32 dev {where}")
    watched.becomes("web1", "vip-dead", "vip-missing", NEXT_LOOK)
    watched.run("web1", f"ip addr add {VIP}/32 dev {where}")
    watched.becomes("web1", "up")

    watched.run("web2", "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.eth0.arp_ignore=0")
    watched.becomes("web2", "leaking", "arp-leak")
    watched.run("web2", "sysctl -qw net.ipv4.conf.all.arp_ignore=1")
    watched.becomes("web2", "up")

    watched.lab.stop_service("web1")
    watched.becomes("web1", "vip-dead", "service-down", NEXT_LOOK)
    watched.lab.start_service("web1", "10.0.0.101")
    watched.becomes("web1", "vip-dead", "rip-only-listener", NEXT_LOOK)
    watched.lab.stop_service("web1")
    watched.lab.start_service("web1")
    watched.becomes("web1", "up")

    watched.run("director", f"ipvsadm -e -t {SERVICE} -r 10.0.0.102 -g -w 0")
    watched.becomes("web2", "draining", "drained")
    watched.run("director", f"ipvsadm -e -t {SERVICE} -r 10.0.0.102 -g -w 7")
    watched.becomes("web2", "drifted", "ipvs-differs")
    watched.run("director", f"ipvsadm -e -t {SERVICE} -r 10.0.0.102 -g -w 1")
    watched.becomes("web2", "up")

    watched.becomes("web3", "drifted", "arp-announce", NEXT_LOOK)
    watched.run("web3", "sysctl -qw net.ipv4.conf.all.arp_announce=2")

    watched.lab.dsrwizard("lab", "fault", "unreachable@web2").ok()
    watched.becomes("web2", "unreachable", "unreachable")
    watched.lab.dsrwizard("lab", "mend").ok()
    watched.becomes("web2", "up")

    watched.becomes("web3", "up", seconds=NEXT_LOOK)

    told = [line for line in watched.lines() if line["type"] == "change" and line["cause"]]
    assert all(line["message"] for line in told)
    blamed = {(line["host"], line["cause"]) for line in told}
    right = {
        ("web1", "vip-missing"), ("web2", "arp-leak"), ("web1", "service-down"), ("web1", "rip-only-listener"),
        ("web2", "drained"), ("web2", "ipvs-differs"), ("web3", "arp-announce"), ("web2", "unreachable"),
    }  # fmt: skip
    assert blamed == right, [line for line in told if (line["host"], line["cause"]) not in right]
