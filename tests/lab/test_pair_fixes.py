"""What is said against a fault of two directors is run on them, and the fault is gone. Before that, the guard of this
director has said what it sees, and has changed no health file for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from backends.lab import network
from backends.lab.naming import parse
from dsrwizard.core.model.keepalived import health_folder
from tests.lab.guards import rounds
from tests.lab.harness import Lab
from tests.lab.test_fixes import Command
from tests.lab.test_guard_keepalived import FILE, guarding, pair, until
from tests.lab.test_pair_faults import HOLDS, PAIR, named, ready

__all__ = ["pair"]
pytestmark = pytest.mark.cases
ONE, OTHER = network.directors(network.PAIR)
STATE = "/run/dsrwizard/guard-shop.json"
ALARMS = {"split-brain": "lb2 answers for", "orphan-vip": "keepalived does not run here"}


def commands(fix: str) -> list[tuple[Command, str]]:
    """The commands of a fix, on whichever directors, each with what takes it back."""
    found = []
    for part in re.split(r"\. (?=On )", fix):
        host = re.match(r"On (lb2|the director): (.*)$", part, re.DOTALL)
        assert host, part
        name = ONE.name if host[1] == "the director" else host[1]
        text = re.sub(r"\s*\(undo: .*?\)$", "", host[2])
        found.append((Command(name, text), text.replace(" -I ", " -D ") if "the same with -D" in part else ""))
    return found


def fixes(lab: Lab, cause: str) -> Sequence[str]:
    report = lab.dsrwizard("verify", FILE, "--json").json
    return [one["fix"] for one in report["checks"] if one["outcome"] == "fail" and one["cause"] == cause]


@pytest.mark.parametrize("name", PAIR)
def test_what_is_said_against_it_ends_it(pair: Lab, name: str) -> None:
    cause = parse(name).fault.kind
    ready(pair)
    with guarding(pair, ONE.name) as guard, guarding(pair, OTHER.name):
        for server in ("web1", "web2", "web3"):
            until(pair, server, 1)
        inodes = f"ls -i {health_folder('shop')}"
        before = pair.run(ONE.name, inodes).ok().stdout
        pair.dsrwizard("lab", "fault", name).ok()
        if cause == "orphan-vip":
            pair.wait(OTHER.name, HOLDS)  # it takes over, as it should
        if cause in ALARMS:
            guard.expect(ALARMS[cause])
            rounds(pair, ONE.name)
            assert pair.run(ONE.name, inodes).ok().stdout == before, "it drains nobody for it"
            assert ALARMS[cause] in pair.run(ONE.name, ["python3", "-m", "json.tool", STATE]).stdout
        undos = []
        (fix,) = fixes(pair, cause)
        for command, undo in commands(fix):
            done = pair.run(command.host, command.text)
            assert done.status == 0, (command, done)
            undos += [Command(command.host, undo)] if undo else []
        ready(pair)
        assert named(pair) == set()
        if cause in ALARMS:
            guard.expect("All alarms are over.")
    pair.dsrwizard("lab", "mend", name).ok()
    for command in undos:
        pair.run(command.host, command.text).ok()
    ready(pair)
    assert named(pair) == set()
