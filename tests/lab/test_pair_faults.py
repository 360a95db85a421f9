"""Faults of two directors with a real keepalived each: they are made and mended as the lab says."""

from __future__ import annotations

import pytest

from backends.lab import network
from backends.lab.naming import parse
from tests.lab.harness import VIP, Lab
from tests.lab.test_guard_keepalived import FILE, pair

__all__ = ["pair"]
pytestmark = pytest.mark.cases
PAIR = ("split-brain@director", "orphan-vip@director", "no-standby@lb2")
"""Faults that need two directors."""
ONE, OTHER = network.directors(network.PAIR)
OF_DIRECTORS = {"director-vip", "split-brain", "orphan-vip", "duplicate-vip", "arp-mismatch", "stale-arp", "no-standby"}
"""The rest is of servers and files: this lab was set up by hand."""
HOLDS = f"ip -o addr show to {VIP} | grep -q ."


@pytest.mark.parametrize("name", PAIR)
def test_it_is_named_and_nothing_else_of_the_directors(pair: Lab, name: str) -> None:
    ready(pair)
    assert named(pair) == set()
    pair.dsrwizard("lab", "fault", name).ok()
    made = parse(name)
    if name.startswith("orphan"):
        pair.wait(OTHER.name, HOLDS)  # it takes over, as it should
    assert named(pair) == {made.reported}
    pair.dsrwizard("lab", "mend", name).ok()
    ready(pair)
    assert named(pair) == set()


def ready(lab: Lab) -> None:
    """Waits until this director is the only one that holds the VIP, and the other one stands by."""
    lab.wait(ONE.name, HOLDS)
    lab.wait(OTHER.name, f"! {HOLDS}")
    lab.wait(OTHER.name, "kill -0 $(cat /run/keepalived.pid)")


def named(lab: Lab) -> set[tuple[str, str]]:
    """Causes and hosts of what is wrong with the directors."""
    report = lab.dsrwizard("verify", FILE, "--json").json
    found = {(one["cause"], one["host"]) for one in report["checks"] if one["outcome"] == "fail"}
    return {(cause, host) for cause, host in found if cause in OF_DIRECTORS}
