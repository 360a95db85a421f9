"""Two directors whose scheduler counts connections: IPVS's own daemons tell the other director of them, and verify and
status say so; and the preferred director that came back and waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.lab.harness import VIP, Lab, Process
from tests.lab.keepalived import HOLDS, apply, two

pytestmark = [pytest.mark.lab, pytest.mark.long]
STREAM = f"exec 3<>/dev/tcp/{VIP}/80; printf 'GET /stream HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
STREAMS = 5
KNOWN = f"[ $(ipvsadm -Lnc | grep -c 'ESTABLISHED.*{VIP}') -ge {STREAMS} ]"
DAEMONS = "ipvsadm -l --daemon | cut -d' ' -f1-4"


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    with Lab(directors=2) as running:
        yield running


def synchronises(lab: Lab, host: str, role: str) -> None:
    """Waits until the host runs one daemon, of that role: keepalived starts it after it has taken the VIP."""
    lab.wait(host, f'[ "$({DAEMONS})" = "{role} sync daemon (mcast=eth0," ]')


def of_directors(lab: Lab, host: str = "") -> dict[str, Any]:
    """The checks of the directors by name, those of keepalived on one host."""
    report = lab.dsrwizard("verify", "/tmp/shop.toml", "--json").json
    return {
        one["check"]: one
        for one in report["checks"]
        if one["check"] in ("director.role", "director.keepalived", "director.ipvs", "director.vip")
        and (one["check"] != "director.keepalived" or one["host"] == host)
    }


def go_on(streams: list[Process]) -> None:
    heard = [len(one.stdout) for one in streams]
    for one, before in zip(streams, heard, strict=True):
        assert one.wait_for(lambda one=one, before=before: len(one.stdout) > before + 20), one.stderr  # type: ignore[misc]


def test_connections_are_known_on_both_and_go_on_over_a_failover_and_back(pair: Lab) -> None:
    text = two().replace('scheduler = "mh"', 'scheduler = "wlc"')
    apply(pair, text.replace("\n[[director.peers]]", "\n[director.vrrp]\npreempt_delay = 300\n\n[[director.peers]]", 1))
    pair.wait("director", HOLDS)
    # keepalived 2.2.7 runs one daemon on each: who serves sends, who stands by hears.
    synchronises(pair, "director", "master")
    synchronises(pair, "lb2", "backup")
    streams = [pair.spawn("client", STREAM) for _ in range(STREAMS)]
    try:
        for one in streams:
            one.expect("web")
        pair.wait("lb2", KNOWN)

        pair.run("director", "kill $(cat /run/keepalived.pid)").ok()
        pair.wait("lb2", HOLDS)
        synchronises(pair, "lb2", "master")
        go_on(streams)

        pair.run("director", "keepalived").ok()
        began = time.monotonic()
        pair.wait("director", KNOWN)  # it hears of what lb2 serves
        synchronises(pair, "director", "backup")
        found = of_directors(pair, "director")
        assert pair.run("director", HOLDS).status != 0, f"a busy machine: {time.monotonic() - began:.0f} s"
        role, kept = found["director.role"], found["director.keepalived"]
        assert role["outcome"] == kept["outcome"] == "pass", found
        assert role["message"].startswith("lb2 is the active director"), role
        assert "preempt in progress, in about " in role["evidence"], role
        assert "synchronisation: backup on eth0, id 51" in kept["evidence"], kept
        assert found["director.ipvs"]["outcome"] == "pass", found["director.ipvs"]

        rows = pair.dsrwizard("status", "/tmp/shop.toml").ok().stdout
        assert "Directors: director backup, preempt in progress: has the VIPs in about " in rows, rows

        pair.run("director", "ipvsadm --stop-daemon backup").ok()
        kept = of_directors(pair, "director")["director.keepalived"]
        assert (kept["outcome"], kept["cause"]) == ("fail", "no-standby"), kept
        assert "no synchronisation daemon runs there" in kept["message"], kept
        go_on(streams)
    finally:
        for one in streams:
            one.kill()
