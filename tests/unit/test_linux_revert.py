"""The revert of a Linux server, run for real by this machine's shells: the script that carries steps out is killed at
every place, and the host has to put itself back.

Files and kernel settings are real files in a scratch folder; `ip`, `sysctl`, `systemctl` and `systemd-run` are
stand-ins that keep state and refuse what the real ones refuse. The lab does the same with the real ones.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dsrwizard.core.dialects.linux import revert
from dsrwizard.core.dialects.linux.apply import LineProgress, apply_script
from dsrwizard.core.dialects.linux.observe import observe_script, sections
from dsrwizard.core.dialects.undo import undo_of
from dsrwizard.core.model.changes import (
    AddressChange,
    Change,
    FileChange,
    FileState,
    FolderChange,
    LinkChange,
    SysctlChange,
    UnitChange,
)
from dsrwizard.core.model.facts import Undo
from dsrwizard.core.model.steps import Step
from dsrwizard.core.ports import Answer
from tests.fakes.step_watch import Told

pytestmark = pytest.mark.long

SHELLS = [shell for shell in (["dash"], ["bash"], ["busybox", "sh"]) if shutil.which(shell[0])]
_IP = """#!/bin/sh
case "$1 $2" in
'addr add') [ ! -e "$STATE/a ${5} ${3%/*}" ] || { echo 'RTNETLINK answers: File exists' >&2; exit 2; }
  echo "${3#*/}" >"$STATE/a $5 ${3%/*}" ;;
'addr del') [ "$(cat "$STATE/a $5 ${3%/*}" 2>/dev/null)" = "${3#*/}" ] || {
  echo 'RTNETLINK answers: Cannot assign requested address' >&2; exit 2; }; rm "$STATE/a $5 ${3%/*}" ;;
'link add') [ ! -e "$STATE/link $3" ] || { echo 'RTNETLINK answers: File exists' >&2; exit 2; }
  echo down >"$STATE/link $3" ;;
'link set') echo up >"$STATE/link $3" ;;
'link del') rm "$STATE/link $3" ;;
'link show') [ -e "$STATE/link $4" ] || { echo "Device \\"$4\\" does not exist." >&2; exit 1; } ;;
'-o addr') case "$6" in
  to) [ "$(cat "$STATE/a $5 ${7%/*}" 2>/dev/null)" != "${7#*/}" ] || echo "1: $5 inet $7 scope global $5" ;;
  *) for f in "$STATE/a $5 "*; do [ ! -e "$f" ] || echo "1: $5 inet ${f##* } scope global $5"; done ;;
  esac ;;
esac
"""
_SYSCTL = """#!/bin/sh
case $2 in *=*) echo "${2#*=}" >"$PROC/$(echo "${2%%=*}" | tr ./ /.)" ;; esac
"""
_SYSTEMCTL = """#!/bin/sh
case $1 in
is-active) [ -e "$STATE/../timer" ] ;;
*) echo "$*" >>"$STATE/../systemctl.log" ;;
esac
"""
_SYSTEMD_RUN = """#!/bin/sh
[ ! -e "$STATE/../no timer" ] || { echo 'Failed to start transient timer unit' >&2; exit 1; }
: >"$STATE/../timer"
case " $* " in *" --on-active=60 "*) ;; *) exit 1 ;; esac
while [ "${1#--}" != "$1" ]; do shift; done; after=1
setsid sh -c 'sleep "$0"; exec "$@"' "$after" "$@" </dev/null >/dev/null 2>&1 &
"""


def stand_ins(programs: Path) -> str:
    """Functions that call them: a busybox may prefer its own `ip` and `sysctl` to those of the PATH, and those are
    this machine's."""
    return "".join(f'{name}() {{ "{programs}/{name}" "$@"; }}\n' for name in ("ip", "sysctl"))


@dataclass
class Host:
    """A server made of a scratch folder."""

    folder: Path
    shell: list[str]
    systemd: bool = False
    log: list[str] = field(default_factory=list)
    runs: int = 0

    def __post_init__(self) -> None:
        for name in ("state", "bin", "run", "proc/net/ipv4/conf/all", "etc", "theirs"):
            (self.folder / name).mkdir(parents=True)
        for name, text in (("ip", _IP), ("sysctl", _SYSCTL), ("systemctl", _SYSTEMCTL), ("systemd-run", _SYSTEMD_RUN)):
            path = self.folder / "bin" / name
            path.write_text(text)
            path.chmod(0o755)
        for name, value in (("arp_ignore", "0"), ("arp_announce", "0")):
            (self.folder / "proc/net/ipv4/conf/all" / name).write_text(f"{value}\n")
        if self.systemd:
            (self.folder / "systemd").mkdir()

    @property
    def places(self) -> tuple[str, ...]:
        return (str(self.folder / "nowhere"), str(self.folder / "run"))

    def path(self, name: str) -> str:
        return str(self.folder / "etc" / name)

    def here(self, script: str) -> str:
        """The script for a host whose root is the scratch folder."""
        for real, mine in (("/proc/sys/", "proc/"), ("/run/systemd/system", "systemd")):
            script = script.replace(real, f"{self.folder}/{mine}")
        script = script.replace('/bin/sh "$d/revert"', f'{" ".join(self.shell)} "$d/revert"')
        return script.replace("export LC_ALL=C\n", f"export LC_ALL=C\n{stand_ins(self.folder / 'bin')}")

    def sh(self, script: str) -> Answer:
        environment = os.environ | {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "STATE": str(self.folder / "state"),
            "PROC": str(self.folder / "proc"),
        }
        done = subprocess.run(
            [*self.shell, "-s"], input=f"{{ :\n{self.here(script)}\n}} </dev/null\n".encode(), capture_output=True,
            env=environment, timeout=60, check=False,
        )  # fmt: skip
        return Answer(status=done.returncode, stdout=done.stdout.decode(), stderr=done.stderr.decode())

    def apply(self, *steps: Step, after: float = 60) -> LineProgress:
        """Carries the steps out."""
        self.log.clear()
        self.runs += 1
        script = apply_script(f"n{self.runs}", steps, ":", after, self.places)
        progress = LineProgress(f"n{self.runs}", steps, Told(self.log))
        answer = self.sh(script)
        for line in answer.stdout.splitlines():
            progress.feed(line)
        assert answer.status == 0, answer
        return progress

    def keep(self) -> str:
        return revert.kept("k", self.sh(revert.keep_script("k", self.places)).stdout)

    def undo(self) -> Undo:
        """What a look says of it."""
        script = observe_script("l00k", [], brief=True, places=self.places)
        found = sections("l00k", self.sh(script.partition("\ns texts")[0]).stdout)
        return undo_of(found.get("undo", []))

    def picture(self) -> dict[str, str]:
        """Everything that the host is made of, with modes and owners."""
        found = {}
        for root in ("state", "proc", "etc", "theirs"):
            for path in sorted((self.folder / root).rglob("*")):
                status = path.lstat()
                text = f"-> {path.readlink()}" if path.is_symlink() else path.read_text() if path.is_file() else ""
                found[str(path)] = f"{status.st_mode:o} {status.st_uid} {text}"
        return found

    def settled(self) -> bool:
        """The time is over: waits until nothing is armed or under way any more."""
        for until in (self.folder / "run").glob("dsrwizard/run.*/until"):
            until.write_text("0\n")
        deadline = time.monotonic() + 30
        while list((self.folder / "run").glob("dsrwizard/run.*")):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        return True


@pytest.fixture(params=SHELLS, ids=" ".join)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path, request.param)
    yield made
    shutil.rmtree(tmp_path / "run")  # whatever still waits ends with its folder


def step(name: str, *changes: Change) -> Step:
    return Step(id=name, host="web1", phase="vip", title=name, why="", changes=changes)


def steps_of(host: Host) -> tuple[Step, ...]:
    """One step of every kind that an apply has."""
    unit = FileState(content="[Unit]\nDescription=it's ours\n")
    theirs = Path(host.path("theirs.conf"))
    theirs.write_text("somebody's\n")
    theirs.chmod(0o640)
    mask = Path(host.path("masked.conf"))
    mask.symlink_to(host.folder / "theirs" / "elsewhere")
    (host.folder / "theirs" / "elsewhere").write_text("not ours\n")
    (host.folder / "state" / "a eth0 10.0.0.10").write_text("24\n")
    return (
        step(
            "guard",
            SysctlChange(key="net.ipv4.conf.all.arp_ignore", old="0", new="1"),
            SysctlChange(key="net.ipv4.conf.all.arp_announce", old="0", new="2"),
            FolderChange(path=host.path("sysctl.d"), old=False, new=True),
            FileChange(path=host.path("sysctl.d/zzz.conf"), old=None, new=FileState(content="a = 1\n")),
            FileChange(
                path=str(theirs), old=FileState(content="somebody's\n", mode=0o640),
                new=FileState(content="ours\n", mode=0o640),
            ),
        ),
        step("link", LinkChange(interface="dsr0", old=False, new=True)),
        step(
            "vip",
            AddressChange(interface="eth0", address="10.0.0.10", prefix=24, old=True, new=False),
            AddressChange(interface="dsr0", address="10.0.0.10", prefix=32, old=False, new=True),
            AddressChange(interface="lo", address="fd00::10", prefix=128, old=False, new=True),
        ),
        step(
            "persistence",
            FileChange(path=host.path("unit.service"), old=None, new=unit),
            FolderChange(path=host.path("wants"), old=False, new=True),
            FileChange(path=host.path("wants/unit"), old=None, new=FileState(target=host.path("unit.service"))),
            FileChange(path=str(mask), old=FileState(target=str(mask.readlink())), new=FileState(content="ours\n")),
            UnitChange(),
        ),
    )  # fmt: skip


def cuts(script: str) -> list[str]:
    """Every line within a change: the script dies before it."""
    found = []
    for name, body in re.findall(r"^(s\d+c\d+)\(\) \{\n(.*?)\n\}$", script, re.MULTILINE | re.DOTALL):
        lines = [line for line in body.split("\n") if " || return 1" in line]
        found += [f"{name}:{number}" for number in range(len(lines) + 1)]
    return found


def killed(script: str, where: str) -> str:
    """The script, killed before that line of that change; after the last one where there is none."""
    name, _, number = where.partition(":")
    match = re.search(rf"^{name}\(\) \{{\n(.*?)\n\}}$", script, re.MULTILINE | re.DOTALL)
    assert match is not None
    lines = match[1].split("\n")
    places = [place for place, line in enumerate(lines) if " || return 1" in line] + [len(lines)]
    lines.insert(places[int(number)], "kill -9 $$")
    return script[: match.start(1)] + "\n".join(lines) + script[match.end(1) :]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_killed_before_and_after_every_command_a_host_puts_itself_back(shell: list[str], tmp_path: Path) -> None:
    model = Host(tmp_path / "model", shell)
    every = cuts(apply_script("n0nce", steps_of(model), ":", 60, model.places))
    assert len(every) > 50
    wanted = every if shell == SHELLS[0] else every[:: 1 + len(every) // 12]

    def tried(where: str) -> bool:
        host = Host(tmp_path / where.replace(":", "-"), shell)  # a colon would part the PATH
        steps = steps_of(host)
        before = host.picture()
        answer = host.sh(killed(apply_script("n0nce", steps, ":", 60, host.places), where))
        assert answer.status == -signal.SIGKILL, (where, answer)
        assert host.undo().armed, where
        assert host.settled(), where
        assert host.picture() == before, where
        undo = host.undo()
        assert undo.reverted > time.time() - 60, where
        assert undo.stays == (), where
        return True

    with ThreadPoolExecutor(4) as pool:
        reverted = sum(pool.map(tried, wanted))
    print(f"connection cuts tried / reverted ({' '.join(shell)}): {len(wanted)} / {reverted}")


def test_what_is_kept_stays_and_leaves_nothing_behind(host: Host) -> None:
    host.apply(*steps_of(host), after=40)
    assert host.log[0] == "armed 40"
    armed = host.undo().armed
    assert armed is not None
    assert 10 <= armed <= 40
    after = host.picture()
    assert host.keep() == "kept"
    assert host.undo() == Undo()
    assert not list((host.folder / "run").iterdir())
    assert host.picture() == after
    assert "a = 1\n" in Path(host.path("sysctl.d/zzz.conf")).read_text()
    assert host.keep() == "none"


def test_steps_done_and_never_proved_are_taken_back_and_whoever_comes_too_late_is_told(host: Host) -> None:
    steps = steps_of(host)
    before = host.picture()
    host.apply(*steps)
    assert host.picture() != before
    assert host.settled()
    assert host.picture() == before
    assert host.keep() == "back"


def test_what_somebody_changed_since_is_left_and_named(host: Host) -> None:
    steps = steps_of(host)
    host.apply(*steps)
    ours = Path(host.path("sysctl.d/zzz.conf"))
    ours.write_text("somebody else's\n")
    (host.folder / "proc/net/ipv4/conf/all/arp_ignore").write_text("8\n")
    (host.folder / "state" / "a dsr0 192.0.2.1").write_text("32\n")
    assert host.settled()
    assert ours.read_text() == "somebody else's\n"
    assert (host.folder / "proc/net/ipv4/conf/all/arp_ignore").read_text() == "8\n"
    assert (host.folder / "state" / "link dsr0").exists()
    assert set(host.undo().stays) == {"net.ipv4.conf.all.arp_ignore", str(ours), "the interface dsr0"}
    assert not Path(host.path("unit.service")).exists()


def test_a_step_that_fails_takes_itself_back_and_the_host_the_rest(host: Host) -> None:
    guard, *_ = steps_of(host)
    before = host.picture()
    bad = step("bad", AddressChange(interface="eth0", address="10.0.0.10", prefix=32, old=False, new=True))
    progress = host.apply(guard, bad)
    assert progress.failed == bad
    assert host.settled()
    assert host.picture() == before
    # and where nothing is left to take back, nothing waits
    progress = host.apply(bad)
    assert progress.failed == bad
    assert not progress.armed
    assert host.undo() == Undo()
    assert not list((host.folder / "run").iterdir())


def test_files_alone_and_zero_arm_nothing(host: Host) -> None:
    *_, persistence = steps_of(host)
    host.apply(persistence)
    assert host.log == ["start persistence", "done persistence"]
    assert not (host.folder / "run" / "dsrwizard").exists()
    host.apply(step("vip", AddressChange(interface="lo", address="10.0.0.9", prefix=32, old=False, new=True)), after=0)
    assert host.log == ["start vip", "done vip"]
    assert not (host.folder / "run" / "dsrwizard").exists()


def test_the_next_run_takes_over_from_one_that_died(host: Host) -> None:
    guard, *rest = steps_of(host)
    host.apply(guard)
    there = host.picture()
    host.apply(rest[0])
    assert host.settled()
    assert host.picture() == there  # its own step only: what the first run did is its own to answer for
    assert host.undo().reverted
    teardown = guard.inverse()
    host.apply(teardown, after=0)
    assert host.log[-1] == "done guard"
    assert not (host.folder / "run" / "dsrwizard").exists()


def test_a_folder_that_is_not_roots_alone_is_not_trusted(host: Host) -> None:
    steps = steps_of(host)
    before = host.picture()
    where = host.folder / "run" / "dsrwizard"
    where.mkdir(mode=0o777)
    where.chmod(0o777)
    (where / "somebody's").touch()
    progress = host.apply(*steps)
    assert progress.unarmed
    assert "not root's alone" in progress.said_last
    assert host.log == [f"{where} is not root's alone"]
    assert host.picture() == before
    where.chmod(0o700)
    where.rename(host.folder / "moved")
    where.symlink_to(host.folder / "moved")
    assert host.apply(*steps).unarmed
    assert host.picture() == before


@pytest.mark.parametrize("works", [True, False])
def test_systemd_counts_where_it_runs_and_a_shell_where_it_refuses(tmp_path: Path, works: bool) -> None:
    host = Host(tmp_path, SHELLS[0], systemd=True)
    if not works:
        (tmp_path / "no timer").touch()
    steps = steps_of(host)
    before = host.picture()
    host.apply(*steps)
    assert host.log[0] == "armed 60"
    assert (tmp_path / "timer").exists() is works
    assert host.settled()
    assert host.picture() == before
    host.apply(*steps)
    assert host.keep() == "kept"
    assert "stop dsrwizard-revert-n2.timer dsrwizard-revert-n2.service" in (tmp_path / "systemctl.log").read_text()


def test_a_step_puts_it_off(host: Host) -> None:
    """Each step is a sign of life: two slow ones of three fit into a time that all three would not."""
    numbers = ("1", "2", "3")
    slow = [
        step(n, AddressChange(interface="lo", address=f"10.0.0.{n}", prefix=32, old=False, new=True)) for n in numbers
    ]
    (host.folder / "bin" / "ip").write_text(_IP.replace("'addr add')", "'addr add') sleep 1.2;"))
    host.apply(*slow, after=3)
    assert host.log == ["armed 3", *(f"{word} {n}" for n in numbers for word in ("start", "done"))]
    assert host.keep() == "kept"


@pytest.mark.parametrize(
    ("lines", "undo"),
    [
        ([], Undo()),
        (["armed 100 59"], Undo(armed=41)),
        (["armed 10 59"], Undo(armed=0)),
        (["armed x 59", "armed 1", "reverted", "reverted -3", "reverted 99999999999999"], Undo()),
        (["going"], Undo(going=True)),
        (["reverted 1790000000", "stays /etc/x y"], Undo(reverted=1790000000, stays=("/etc/x y",))),
        (["ended", "failed NetBIOS of x: no"], Undo(ended=True, failed=("NetBIOS of x: no",))),
    ],
)
def test_what_a_look_says(lines: list[str], undo: Undo) -> None:
    assert undo_of(lines) == undo


def test_a_note_that_nobody_needs_any_more_goes(host: Host) -> None:
    host.apply(step("guard", SysctlChange(key="net.ipv4.conf.all.arp_ignore", old="0", new="1")))
    assert host.settled()
    assert host.undo().reverted
    host.sh(revert.clear_script("f", host.places))
    assert host.undo() == Undo()
    assert not (host.folder / "run/dsrwizard").exists()


def test_only_a_line_with_the_run_s_own_mark_says_that_steps_are_kept() -> None:
    assert revert.kept("k", "kept\n==dsr:other:kept==\nsaid ==dsr:k:kept==\n") == ""
    assert revert.kept("k", "kept\r\n==dsr:k:back==\r\n") == "back"
