"""Two directors whose scheduler counts connections: daemons of the kernel tell each other of them, one that stopped is
named, and what is said against it starts it again; a director that comes back says when it takes the VIPs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from backends.lab import network
from tests.lab.harness import Lab
from tests.lab.keepalived import HOLDS, apply, two
from tests.lab.test_pair_fixes import commands

pytestmark = pytest.mark.cases
ONE, OTHER = network.directors(2)


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    with Lab(directors=2) as running:
        apply(running, two().replace("port = 80\n", 'port = 80\nscheduler = "wlc"\n', 1))
        running.wait(ONE.name, HOLDS)
        yield running


def checks(lab: Lab, name: str) -> dict[str, Any]:
    report = lab.dsrwizard("verify", "/tmp/shop.toml", "--json").json
    return {one["host"]: one for one in report["checks"] if one["check"] == name}


def test_the_daemons_are_seen_and_one_that_stopped_is_started_by_what_is_said(pair: Lab) -> None:
    seen = checks(pair, "director.keepalived")
    assert "synchronisation: master on eth0, id 51" in seen[ONE.name]["evidence"]
    assert "synchronisation: backup on eth0, id 51" in seen[OTHER.name]["evidence"]
    assert {one["outcome"] for one in seen.values()} == {"pass"}

    pair.run(OTHER.name, "ipvsadm --stop-daemon backup").ok()
    lost = checks(pair, "director.keepalived")[OTHER.name]
    assert (lost["cause"], "no synchronisation daemon" in lost["message"]) == ("no-standby", True)
    for command, _ in commands(lost["fix"]):
        pair.run(command.host, command.text).ok()
    pair.wait(OTHER.name, "ipvsadm -l --daemon | grep -q backup")
    assert checks(pair, "director.keepalived")[OTHER.name]["outcome"] == "pass"


def test_one_that_comes_back_says_when_it_takes_the_vips(pair: Lab) -> None:
    pair.run(ONE.name, "kill $(cat /run/keepalived.pid); while [ -e /run/keepalived.pid ]; do sleep 0.1; done").ok()
    pair.wait(OTHER.name, HOLDS)
    pair.run(ONE.name, "keepalived").ok()
    assert "in about " in checks(pair, "director.role")[ONE.name]["evidence"]
    (row,) = [
        one
        for one in json.loads(pair.dsrwizard("status", "/tmp/shop.toml", "--json").stdout)["directors"]
        if one["name"] == ONE.name
    ]
    assert 0 < row["preempts_in"] <= 60
