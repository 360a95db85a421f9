"""The lab with a deployment in force, for cases: what is made, what users notice, what verify and status say of it.

A case is one or several of `backends.lab.naming`, made together on different hosts.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from backends.lab.making import HEALTHY, Made
from backends.lab.naming import parse
from tests.lab.harness import DEPLOYMENT_FILE, SERVERS, VIP, Lab

BLIND_FILE = "/lab/blind.toml"
"""The same deployment without its client host."""
BAD_STATES = frozenset({"vip-dead", "leaking", "drifted", "unreachable"})
SETTINGS = (
    "ip -o addr | sed 's/valid_lft.*//; s/ tentative//'; ip route; ip rule; ip -o link | sed 's/ .*//'; "
    "ip -o link | sed 's/.* mtu /mtu /; s/ .*//2g'; ip neigh show nud permanent; "
    "iptables-legacy -S 2>/dev/null; iptables-legacy -t raw -S 2>/dev/null; iptables-legacy -t mangle -S 2>/dev/null; "
    "sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce net.ipv4.conf.all.rp_filter "
    "net.ipv4.conf.eth0.arp_ignore net.ipv4.conf.eth0.arp_announce net.ipv4.conf.eth0.rp_filter net.ipv4.ip_forward "
    "net.ipv4.conf.all.accept_redirects net.ipv4.conf.eth0.accept_redirects; "
    "sysctl net.ipv4.vs.am_droprate net.ipv4.vs.drop_packet 2>/dev/null; "
    "ls -A /etc/sysctl.d /etc/network/interfaces.d /etc/tuned 2>/dev/null; cat /etc/sysctl.conf 2>/dev/null; "
    "ss -Hltn 'sport = :80'; ipvsadm -Sn 2>/dev/null; ls /run/netns"
)
"""What belongs to a host and a fault or its fix can change, as one text."""
_REQUEST = "timeout {patience} curl -s http://{vip}/{large} | tail -n 1"
_LARGE = 'large -H "X-Long: $(printf %02500d 0)"'


@dataclass(frozen=True)
class Said:
    """What verify and status said of one case."""

    verdict: str
    failed: tuple[dict[str, str], ...]
    status: int
    snapshot: dict[str, Any] = field(default_factory=dict)

    @property
    def named(self) -> set[tuple[str, str]]:
        return {(check["cause"], check["host"]) for check in self.failed}

    @property
    def green(self) -> bool:
        return self.verdict == "pass"

    @property
    def every_row(self) -> list[dict[str, Any]]:
        return [row for service in self.snapshot.get("services", ()) for row in service["rows"]]

    @property
    def rows(self) -> dict[str, str]:
        """The worst state of each server."""
        found: dict[str, str] = {}
        for service in self.snapshot.get("services", ()):
            for row in service["rows"]:
                if row["state"] != "up" or row["server"] not in found:
                    found[row["server"]] = row["state"]
        return found

    @property
    def in_status(self) -> set[str]:
        """Every cause that status tells."""
        services = self.snapshot.get("services", ())
        rows = {row["cause"] for service in services for row in service["rows"]}
        return (rows | {one["cause"] for one in services} | {one["cause"] for one in self.snapshot["faults"]}) - {""}


@dataclass(frozen=True)
class CaseLab:
    """A lab with its deployment in force."""

    lab: Lab
    file: str = DEPLOYMENT_FILE

    @classmethod
    def deployed(cls, lab: Lab, file: str = DEPLOYMENT_FILE) -> CaseLab:
        for host in ("director", "router", *SERVERS):
            for table in ("filter", "raw", "mangle"):
                lab.run(host, f"iptables-legacy -t {table} -S").ok()  # loads the table, which then stays
        lab.dsrwizard("apply", file, "--yes").ok()
        return cls(lab, file)

    @contextmanager
    def made(self, names: Iterable[str]) -> Iterator[list[Made]]:
        """These are there until the block ends."""
        chosen = [parse(name) for name in names]
        self.lab.dsrwizard("lab", "fault", *names).ok()
        try:
            yield chosen
        finally:
            self.lab.dsrwizard("lab", "mend").ok()

    def users(self, count: int = 6, *, large: bool = False, patience: int = 30) -> tuple[int, int]:
        """How many of so many requests of the client were answered in `patience` seconds, and by how many servers."""
        request = _REQUEST.format(vip=VIP, large=_LARGE if large else "", patience=patience)
        loop = f"for i in $(seq {count}); do {request} 2>/dev/null & done; wait"
        answers = self.lab.run("client", loop).stdout.split()
        return len(answers), len(set(answers))

    def verify(self, *, blind: bool = False) -> Said:
        """`blind`: without the client host."""
        file = self.file
        if blind:
            file = BLIND_FILE
            self.lab.run("director", f"sed '/^\\[client\\]/,$d' {self.file} >{file}").ok()
        report = self.lab.dsrwizard("verify", file, "--json").json
        failed = tuple(check for check in report["checks"] if check["outcome"] == "fail")
        return Said(report["verdict"], failed, 0)

    def status(self) -> Said:
        done = self.lab.dsrwizard("status", self.file, "--json")
        return Said(done.json["verdict"], (), done.status, done.json)

    def settings(self) -> dict[str, str]:
        return {host: self.lab.run(host, SETTINGS).stdout for host in ("director", "router", *SERVERS)}


def grouped(groups: Sequence[tuple[str, ...]], small: int = 1) -> list[object]:
    """For `parametrize`: the first few run always, the others where all cases are asked for."""
    return [
        pytest.param(group, id=" ".join(group), marks=() if number < small else pytest.mark.cases)
        for number, group in enumerate(groups)
    ]


def expected(made: Iterable[Made]) -> set[tuple[str, str]]:
    return {one.reported for one in made if one.fault.cause != HEALTHY}


def difference(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The lines that differ, each with its host."""
    lines = []
    for host, text in before.items():
        for line in difflib.ndiff(sorted(text.splitlines()), sorted(after[host].splitlines())):
            if line[0] in "+-":
                lines.append(f"{host}: {line}")
    return lines
