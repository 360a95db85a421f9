"""The real process is killed (-9) at the records of its journal: apply, apply of an edited file, mend, teardown. What
follows brings the farm to the deployment, or back to what it was.

`make kills` tries every record, at once and a moment later, with an apply or a teardown afterwards; `make test` a few.
"""

from __future__ import annotations

import os
import random
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends.lab.guest import wizard_command
from tests.lab.harness import SERVERS, VIP, Lab
from tests.lab.test_deploy import answers, deployment, state, write

pytestmark = pytest.mark.long

ALL = os.environ.get("DSRWIZARD_KILLS") == "all"
SCRIPT = Path(__file__).parent / "scripts" / "kill_at.py"
JOURNAL = "~/.local/state/dsrwizard/journal/shop.jsonl"
BASE, EDITED = "/root/shop.toml", "/root/edited.toml"
LATER = 0.04
"""Seconds. Within this time after a record the change that it speaks of is being made."""
_MINE = 'here=$(readlink /proc/self/ns/net); n=0; for p in /proc/[0-9]*; do [ "$(readlink $p/ns/net 2>/dev/null)" = '
_MINE += '"$here" ] && n=$((n+1)); done; '


@dataclass
class Tally:
    tried: int = 0
    survived: int = 0


@pytest.fixture(scope="module")
def farm(lab: Lab) -> Lab:
    """The lab with both files."""
    lab.know_hosts()
    lab.run("director", "modprobe ip_vs").ok()
    lab.put("/root/kill_at.py", SCRIPT.read_text())
    write(lab, deployment(client=False), BASE)
    servers = "".join(
        f'[[servers]]\nname = "{name}"\naddress = "10.0.0.{100 + number}"\n'
        for number, name in enumerate(SERVERS[:2], 1)
    )
    vips = (
        f'[[vips]]\naddress = "{VIP}"\n[[vips.services]]\nprotocol = "udp"\nport = 7\npayload = "hello"\n'
        '[[vips]]\naddress = "10.0.0.11"\n[[vips.services]]\nport = 80\nscheduler = "rr"\n'
    )
    write(lab, deployment(vips=vips, servers=servers, client=False), EDITED)
    for server in SERVERS:
        lab.run(server, f"{_MINE} echo $n >/root/quiet").ok()
    return lab


class Round:
    """One kill, and what follows."""

    def __init__(self, lab: Lab, former: dict[str, str]) -> None:
        self.lab = lab
        self._former = former

    def kill(self, lines: int, seconds: float, *arguments: str) -> int:
        """How many lines the journal had when the command was killed; 0: it ended before."""
        command = shlex.join(wizard_command(*arguments))
        said = self.lab.run(
            "director", f"python3 /root/kill_at.py {JOURNAL} {lines} {seconds} {command} 2>&1", timeout=240
        ).ok()
        word, _, number = said.stdout.splitlines()[-1].partition(" ")
        for server in SERVERS:  # a script that runs on a server when its connection breaks comes to its own end
            self.lab.wait(server, f"{_MINE} [ $n -le $(cat /root/quiet) ]")
        assert word in ("killed", "ended"), said.stdout
        return int(number) if word == "killed" else 0

    def towards(self, file: str, served: set[str]) -> None:
        """An apply brings the farm to the file, and nothing is left to do."""
        self.lab.dsrwizard("apply", file, "--yes", "--drain", "0").ok()
        assert self.lab.dsrwizard("plan", file, "--json").ok().json["changes"] == 0
        address = VIP if file == BASE else "10.0.0.11"
        assert set(answers(self.lab, f"http://{address}/", 2 * len(served))) == served

    def back(self, file: str) -> None:
        """A teardown brings the farm back, whatever was killed."""
        self.lab.dsrwizard("teardown", file, "--yes", "--drain", "0").ok()
        now = state(self.lab)
        for host, text in self._former.items():
            assert now[host].splitlines() == text.splitlines(), host


@dataclass(frozen=True)
class Killed:
    """A command that is killed, a record in the middle of its journal, what was there before it, and what an apply
    afterwards is to bring: the file, and how many servers."""

    name: str
    command: tuple[str, ...]
    middle: int
    applied: bool = True
    spoilt: tuple[tuple[str, str], ...] = ()
    """Host and command."""
    file: str = BASE
    served: int = len(SERVERS)

    def round(self, one: Round, lines: int, seconds: float, forwards: bool) -> int:
        """How many records the journal had when it was killed; 0: it was over before."""
        if self.applied:
            one.lab.dsrwizard("apply", BASE, "--yes").ok()
        for host, command in self.spoilt:
            one.lab.run(host, command).ok()
        reached = one.kill(lines, seconds, *self.command)
        if forwards:
            one.towards(self.file, set(SERVERS[: self.served]))
        one.back(self.file)
        return reached


SPOILT = (("web2", f"ip addr del {VIP}/32 dev lo"), ("director", f"ipvsadm -d -t {VIP}:80 -r 10.0.0.101"))
APPLY = Killed("apply", ("apply", BASE, "--yes"), middle=13, applied=False)
EDITED_APPLY = Killed("edited", ("apply", EDITED, "--yes", "--drain", "0"), middle=17, file=EDITED, served=2)
"""A service gets another protocol, a VIP is new, a server leaves."""
MEND = Killed("mend", ("mend", BASE, "--yes"), middle=4, spoilt=SPOILT)
TEARDOWN = Killed("teardown", ("teardown", BASE, "--yes", "--drain", "0"), middle=9)


@pytest.mark.parametrize(
    "what",
    [
        pytest.param(APPLY, id="apply"),
        pytest.param(EDITED_APPLY, id="edited", marks=pytest.mark.cases),
        pytest.param(MEND, id="mend"),
        pytest.param(TEARDOWN, id="teardown", marks=pytest.mark.cases),
    ],
)
def test_killed_at_a_record_of_the_journal(farm: Lab, what: Killed, capsys: pytest.CaptureFixture[str]) -> None:
    one, tally = Round(farm, state(farm)), Tally()
    chance = random.Random(what.name)
    lines = 1 if ALL else what.middle
    while True:
        reached = 0
        ways = [(0.0, True), (0.0, False), (chance.uniform(0, LATER), chance.random() < 0.5)]
        for seconds, forwards in ways if ALL else [ways[lines % 3]]:
            tally.tried += 1
            reached = what.round(one, lines, seconds, forwards)
            if not reached:
                tally.tried -= 1
                break
            tally.survived += 1
        if not ALL or not reached:
            break
        lines = reached + 1
    assert tally.tried, "it was over before the journal had that many records"
    with capsys.disabled():
        print(f"\n{what.name}: {tally.survived} of {tally.tried} kill points survived", flush=True)
