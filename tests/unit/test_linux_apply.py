"""The script that changes a Linux host, run for real by this machine's shells, and the reader of its progress.

Files are real ones in a scratch folder; `ip`, `sysctl` and `systemctl` are stand-ins that keep state and refuse what
the real ones refuse. The lab runs the same script with the real ones.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dsrwizard.core.dialects.commands import HERE_DOC
from dsrwizard.core.dialects.linux.apply import LineProgress, apply_script
from dsrwizard.core.model.changes import (
    AddressChange,
    Change,
    FileChange,
    FileState,
    LinkChange,
    SysctlChange,
    UnitChange,
)
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import CommandFailed, ConnectionLost, HostError
from dsrwizard.core.model.facts import ServerFacts
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import HostPlan, Plan, Step
from dsrwizard.core.ports import Answer, OnLine
from dsrwizard.core.record.owed import owed
from dsrwizard.engine.apply import Applier
from dsrwizard.engine.hosts import Hosts
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.servers.linux import LinuxServer
from tests.fakes.step_watch import Told
from tests.fakes.world import World

SHELLS = [shell for shell in (["sh"], ["bash"], ["busybox", "sh"]) if shutil.which(shell[0])]

_IP = """#!/bin/sh
# addresses and links are files below $STATE; the words are those of ip(8)
case "$1 $2" in
'addr add') [ ! -e "$STATE/$5 ${3%/*}" ] || { echo 'RTNETLINK answers: File exists' >&2; exit 2; }
  echo "$*" >"$STATE/$5 ${3%/*}" ;;
'addr del') rm "$STATE/$5 ${3%/*}" 2>/dev/null || {
  echo 'RTNETLINK answers: Cannot assign requested address' >&2; exit 2; } ;;
'link add') [ ! -e "$STATE/link $3" ] || { echo 'RTNETLINK answers: File exists' >&2; exit 2; }
  echo down >"$STATE/link $3" ;;
'link set') [ ! -e "$STATE/no up" ] || { echo 'RTNETLINK answers: Operation not permitted' >&2; exit 2; }
  echo up >"$STATE/link $3" ;;
'link del') [ ! -e "$STATE/no del" ] || { echo 'RTNETLINK answers: Operation not permitted' >&2; exit 2; }
  rm "$STATE/link $3" ;;
*) exit 0 ;;
esac
"""
_SYSCTL = """#!/bin/sh
[ ! -e "$STATE/no sysctl" ] || { echo "sysctl: permission denied on key" >&2; exit 1; }
echo "$2" >>"$STATE/sysctl"
"""
_SYSTEMCTL = """#!/bin/sh
[ ! -e "$STATE/no systemd" ] || { echo 'Failed to reload daemon: Connection reset by peer' >&2; exit 1; }
echo "$*" >>"$STATE/systemctl"
"""


@dataclass
class Host:
    """A host made of a scratch folder. `run` is a connector's."""

    folder: Path
    shell: list[str] = field(default_factory=lambda: ["sh"])
    log: list[str] = field(default_factory=list)
    scripts: int = 0

    def __post_init__(self) -> None:
        self.state.mkdir()
        self.programs.mkdir()
        for name, text in (("ip", _IP), ("sysctl", _SYSCTL), ("systemctl", _SYSTEMCTL)):
            path = self.programs / name
            path.write_text(text)
            path.chmod(0o755)

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def programs(self) -> Path:
        return self.folder / "bin"

    def file(self, name: str) -> str:
        return str(self.folder / "etc" / name)

    def refuse(self, what: str) -> None:
        (self.state / f"no {what}").touch()

    def has(self) -> dict[str, str]:
        """What the stand-ins were left with."""
        return {path.name: path.read_text().strip() for path in self.state.iterdir() if not path.name.startswith("no ")}

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        self.scripts += 1
        # A busybox may prefer its own `ip` and `sysctl` to those of the PATH, and those are this machine's.
        safe = "".join(f'{name}() {{ "{self.programs}/{name}" "$@"; }}\n' for name in ("ip", "sysctl")) + script
        environment = os.environ | {"PATH": f"{self.programs}:{os.environ['PATH']}", "STATE": str(self.state)}
        done = subprocess.run(
            [*self.shell, "-s"], input=f"{{ :\n{safe}\n}} </dev/null\n".encode(), capture_output=True,
            env=environment, timeout=deadline, check=False,
        )  # fmt: skip
        text = done.stdout.decode()
        for line in text.splitlines():
            if on_line is not None:
                on_line(line)
        return Answer(status=done.returncode, stdout=text, stderr=done.stderr.decode())

    def close(self) -> None:
        pass

    def carry_out(self, *steps: Step, afterwards: str = ":") -> tuple[LineProgress, Answer]:
        """The bare script; what was told as it came is in `log`."""
        progress = LineProgress("n0nce", steps, Told(self.log))
        answer = self.run(apply_script("n0nce", steps, afterwards), deadline=60, on_line=progress.feed)
        return progress, answer


@pytest.fixture(params=SHELLS, ids=" ".join)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """One after the other in each shell that is here."""
    return Host(tmp_path, request.param)


@pytest.fixture
def plain(tmp_path: Path) -> Host:
    """In /bin/sh alone: for what does not depend on the shell."""
    return Host(tmp_path)


def step(*changes: Change, name: str = "one") -> Step:
    return Step(id=name, host="web1", phase="vip", title=f"Step {name}", why="", changes=changes)


def written(path: str, content: str, mode: int = 0o644, old: FileState | None = None) -> FileChange:
    return FileChange(path=path, old=old, new=FileState(content=content, mode=mode))


ADD = AddressChange(interface="lo", address="10.0.0.10", prefix=32, old=False, new=True)
NO_SUCH = SysctlChange(key="net.ipv4.conf.all.arp_ignore", old="77", new="1")
"""Fails: the setting is never 77."""

CONTENTS = {
    "plain": "net.ipv4.conf.all.arp_ignore = 1\n",
    "no newline at the end": "a\nb",
    "empty": "",
    "newlines only": "\n\n\n",
    "carriage returns": "a\r\nb\r\n",
    "the here-document's end": f"a\n{HERE_DOC}\nb\n",
    "not ASCII": "Größe „naïve“ 日本\n",
    "shell": "$HOME `id` $(id) \\n 'x' \"y\" !! %s\n\\\n",
    "tabs, blanks and controls": " \t a \x01\x1b[0m \t\n",
    "much": "0123456789abcdef" * 8000 + "\n",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_a_file_is_written_byte_for_byte_and_taken_back_byte_for_byte(host: Host, content: str) -> None:
    path = Path(host.file("new folder/it's a file"))
    there = written(str(path), content, 0o640)
    _, answer = host.carry_out(step(there))
    assert host.log == ["start one", "done one"], answer
    assert path.read_bytes() == content.encode()
    assert path.stat().st_mode & 0o777 == 0o640
    other = FileChange(path=str(path), old=there.new, new=FileState(content="other\n"))
    host.carry_out(step(other))
    assert path.read_bytes() == b"other\n"
    host.carry_out(step(other.inverse()))
    assert path.read_bytes() == content.encode()
    host.carry_out(step(there.inverse()))
    assert not path.exists()
    assert [line for line in host.log if not line.startswith(("start", "done"))] == []


def test_links(host: Host) -> None:
    path = Path(host.file("wants/unit service"))
    there = FileChange(path=str(path), old=None, new=FileState(target="../it's there"))
    host.carry_out(step(there))
    assert path.readlink() == Path("../it's there")
    host.carry_out(step(there.inverse()))
    assert not path.is_symlink()
    assert host.log == ["start one", "done one"] * 2


def test_what_a_link_points_to_is_never_written_to(host: Host) -> None:
    target = host.folder / "somebody's"
    target.write_text("theirs\n")
    for content in ("ours\n", "ours without newline"):
        path = Path(host.file(f"link {len(content)}"))
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(target)
        change = written(str(path), content, old=FileState(target=str(target)))
        host.carry_out(step(change))
        assert not path.is_symlink()
        assert path.read_text() == content
        host.carry_out(step(change.inverse()))
        assert path.readlink() == target
    assert target.read_text() == "theirs\n"
    assert host.log == ["start one", "done one"] * 4


@pytest.mark.parametrize(
    ("there", "old"),
    [
        (None, FileState(content="observed\n")),
        ("other\n", FileState(content="observed\n")),
        ("other\n", None),
        ("->x", None),
        ("->x", FileState(content="observed\n")),
        ("->x", FileState(target="y")),
        ("observed\n", FileState(target="y")),
    ],
)
def test_a_file_that_changed_meanwhile_is_left_alone(plain: Host, there: str | None, old: FileState | None) -> None:
    path = Path(plain.file("f"))
    path.parent.mkdir()
    if there is not None and there.startswith("->"):
        path.symlink_to(there[2:])
    elif there is not None:
        path.write_text(there)
    progress, _ = plain.carry_out(step(written(str(path), "new\n", old=old)))
    assert progress.failed is not None
    assert not progress.halfway
    assert "changed meanwhile" in progress.said
    assert str(path) in progress.said
    if there is None:
        assert not path.exists()
    elif there.startswith("->"):
        assert str(path.readlink()) == there[2:]
    else:
        assert path.read_text() == there


def test_a_setting_that_changed_meanwhile_is_left_alone_and_both_values_are_told(plain: Host) -> None:
    value = Path("/proc/sys/net/ipv4/conf/all/arp_ignore").read_text().strip()
    progress, _ = plain.carry_out(step(NO_SUCH))
    assert progress.said == f"changed meanwhile: /proc/sys/net/ipv4/conf/all/arp_ignore is {value}, was 77"
    assert "sysctl" not in plain.has()


def test_settings_are_set_by_key_and_taken_back_to_the_value_before(plain: Host) -> None:
    value = Path("/proc/sys/net/ipv4/conf/all/arp_announce").read_text().strip()
    change = SysctlChange(key="net.ipv4.conf.all.arp_announce", old=value, new="2")
    plain.carry_out(step(change, NO_SUCH))
    assert plain.has()["sysctl"].splitlines() == [
        "net.ipv4.conf.all.arp_announce=2",
        f"net.ipv4.conf.all.arp_announce={value}",
    ]


def test_a_failed_step_takes_back_all_it_did_and_nothing_after_it_runs(host: Host) -> None:
    kept = Path(host.file("kept"))
    kept.parent.mkdir()
    kept.write_bytes(b"as it was")
    made = step(ADD, name="made")
    failing = step(
        written(host.file("new"), "x\n"),
        written(str(kept), "changed\n", old=FileState(content="as it was")),
        LinkChange(interface="dsr0", old=False, new=True),
        NO_SUCH,
        name="failing",
    )
    never = step(written(host.file("never"), "x\n"), name="never")
    progress, _ = host.carry_out(made, failing, never, afterwards="echo observed")
    assert [line for line in host.log if line.startswith(("start", "done", "failed"))] == [
        "start made", "done made", "start failing", "failed failing",
    ]  # fmt: skip
    assert progress.failed is failing
    assert not progress.halfway
    assert kept.read_bytes() == b"as it was"
    assert sorted(path.name for path in kept.parent.iterdir()) == ["kept"]
    assert host.has() == {"lo 10.0.0.10": "addr add 10.0.0.10/32 dev lo"}
    assert "observed" not in host.log


def test_what_was_there_before_survives_a_step_that_fails_on_it(plain: Host) -> None:
    """Somebody else added the address meanwhile: taking the step back must not take theirs."""
    (plain.state / "lo 10.0.0.10").write_text("theirs")
    progress, _ = plain.carry_out(step(written(plain.file("f"), "x\n"), ADD))
    assert progress.failed is not None
    assert "File exists" in progress.said
    assert plain.has() == {"lo 10.0.0.10": "theirs"}
    assert not Path(plain.file("f")).exists()


def test_a_change_of_two_commands_that_fails_at_the_second_is_taken_back(plain: Host) -> None:
    plain.refuse("up")
    progress, _ = plain.carry_out(step(LinkChange(interface="dsr0", old=False, new=True)))
    assert "Operation not permitted" in progress.said
    assert not progress.halfway
    assert plain.has() == {}


def test_a_file_that_does_not_fit_on_the_disk_is_put_back_or_removed(plain: Host) -> None:
    """The disk is full half-way through the new content; the old and shorter one fits."""
    kept = Path(plain.file("kept"))
    kept.parent.mkdir()
    kept.write_text("short\n")
    full = "ulimit -f 8; trap '' XFSZ\n"  # 4 or 8 KiB, depending on the shell
    changes = (written(plain.file("new"), "n\n"), written(str(kept), "x" * 40_000 + "\n", old=FileState("short\n")))
    progress = LineProgress("n0nce", [one := step(*changes)], Told())
    plain.run(full + apply_script("n0nce", [one], ":"), deadline=60, on_line=progress.feed)
    assert progress.failed is one
    assert not progress.halfway
    assert kept.read_text() == "short\n"
    assert not Path(plain.file("new")).exists()


def test_a_step_that_cannot_be_taken_back_says_so(host: Host) -> None:
    host.refuse("up")
    host.refuse("del")
    progress, _ = host.carry_out(
        step(written(host.file("f"), "x\n"), LinkChange(interface="dsr0", old=False, new=True)), step(ADD, name="two")
    )
    assert progress.halfway
    assert progress.said.splitlines() == ["RTNETLINK answers: Operation not permitted"] * 2
    assert "failed one" not in host.log
    assert not Path(host.file("f")).exists()  # what could be taken back was
    assert host.has() == {"link dsr0": "down"}


def test_units_are_read_again_after_their_files(plain: Host) -> None:
    plain.carry_out(step(written(plain.file("unit"), "x\n"), UnitChange()))
    assert plain.has() == {"systemctl": "daemon-reload"}


def test_lines_that_look_like_markers_are_the_hosts_own_words(plain: Host) -> None:
    (plain.programs / "systemctl").write_text(
        "#!/bin/sh\nfor w in done:1 done:9 done:x begin: start:0; do echo ==dsr:guess:$w==; done; exit 1\n"
    )
    progress, _ = plain.carry_out(step(UnitChange()))
    assert progress.failed is not None
    assert len(progress.said.splitlines()) == 5


def test_markers_out_of_range_are_passed_over() -> None:
    told = Told()
    progress = LineProgress("n", [step()], told)
    for word in ("start:0", "start:2", "start:", "start:²", "done:-1", "failed:x", "halfway:7", "other:1"):
        progress.feed(f"==dsr:n:{word}==")
    assert told.log == []
    assert progress.failed is None


# --- through the port and the engine ---------------------------------------------------------------------------------

SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0", engine="external"),
    vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
    servers=(RealServer(name="web1", address="10.0.0.101"),),
)


def told(host: Host, *steps: Step) -> tuple[ServerFacts | None, list[tuple[str, bool, str]]]:
    watch = Told(host.log)
    server = LinuxServer(SHOP.servers[0], lambda: host)
    return server.apply(steps, watch), watch.ends


def real_ip(host: Host) -> None:
    """The observing script's `ip -j` is this machine's."""
    (host.programs / "ip").write_text(f'#!/bin/sh\n[ "$1" != -j ] || exec {shutil.which("ip")} "$@"\nexit 0\n')


def test_the_port_gives_the_facts_afterwards_in_the_same_run(plain: Host) -> None:
    real_ip(plain)
    server = LinuxServer(SHOP.servers[0], lambda: plain)
    server.observe(SHOP)
    before = plain.scripts
    facts = server.apply([step(written(plain.file("f"), "x\n"))], Told(plain.log))
    assert facts is not None
    assert facts.interface("lo") is not None
    assert plain.scripts == before + 1
    assert plain.log == ["start one", "done one"]


def test_facts_that_cannot_be_read_afterwards_do_not_make_the_steps_fail(plain: Host) -> None:
    facts, ends = told(plain, step(written(plain.file("f"), "x\n")))  # its `ip` prints nothing
    assert facts is None
    assert ends == [("one", True, "")]


def test_the_port_tells_what_the_host_said_and_what_became_of_the_step(plain: Host) -> None:
    plain.refuse("systemd")
    with pytest.raises(CommandFailed) as problem:
        told(plain, step(written(plain.file("f"), "x\n"), UnitChange()))
    assert "its changes were undone" in problem.value.what
    assert "Connection reset by peer" in problem.value.why
    assert not problem.value.halfway


def test_the_port_does_not_claim_that_a_step_was_taken_back_when_it_was_not(plain: Host) -> None:
    plain.refuse("up")
    plain.refuse("del")
    with pytest.raises(CommandFailed) as problem:
        told(plain, step(LinkChange(interface="dsr0", old=False, new=True)))
    assert problem.value.halfway
    assert "changes were undone" not in str(problem.value)
    assert "its changes could not be undone" in problem.value.what


def test_a_script_that_ends_early_is_a_lost_connection(plain: Host) -> None:
    (plain.programs / "systemctl").write_text("#!/bin/sh\nkill -9 $PPID\n")
    with pytest.raises(ConnectionLost, match="before all its steps"):
        told(plain, step(UnitChange()), step(ADD, name="two"))


def run_of(host: Host, tmp_path: Path, *steps: Step, connect: Callable[[], Host] | None = None) -> RunResult:
    """The engine's run over one server reached through the scripts; its journal is for `shop`."""
    world = World.lab(1)
    applier = Applier(
        SHOP,
        hosts=Hosts(world.director, lambda server: LinuxServer(server, connect or (lambda: host))),
        wire=world.wire(),
        run=Journals(tmp_path / "journal").of("shop").begin("apply", SHOP),
        watch=lambda event: None,
    )
    return applier.apply(Plan(deployment="shop", hosts=(HostPlan(host="web1", steps=steps),)))


def test_the_books_hold_what_could_not_be_taken_back(plain: Host, tmp_path: Path) -> None:
    plain.refuse("up")
    plain.refuse("del")
    link = LinkChange(interface="dsr0", old=False, new=True)
    result = run_of(plain, tmp_path, step(ADD, name="made"), step(link, name="half"), step(UnitChange(), name="after"))
    (web1,) = result.hosts
    assert {entry.step: entry.outcome for entry in web1.steps} == {
        "made": Outcome.CHANGED, "half": Outcome.UNKNOWN, "after": Outcome.NOT_ATTEMPTED,
    }  # fmt: skip
    assert web1.outcome is Outcome.UNKNOWN
    standing = {
        item.step: (item.change, item.certain) for item in owed(Journals(tmp_path / "journal").of("shop").entries())
    }
    assert standing == {"made": (ADD, True), "half": (link, False)}


def test_a_connection_that_cannot_be_opened_leaves_nothing_owed(plain: Host, tmp_path: Path) -> None:
    def refuse() -> Host:
        raise HostError("web1: its SSH server does not open a session.")

    result = run_of(plain, tmp_path, step(ADD), connect=refuse)
    assert [entry.outcome for entry in result.hosts[0].steps] == [Outcome.NOT_ATTEMPTED]
    assert owed(Journals(tmp_path / "journal").of("shop").entries()) == []


def test_an_error_after_the_script_began_leaves_its_steps_uncertain(plain: Host, tmp_path: Path) -> None:
    class Breaks(Host):
        def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
            answer = super().run(script, deadline=deadline, on_line=None)
            lines = answer.stdout.splitlines()
            for line in lines[: next((i + 1 for i, text in enumerate(lines) if ":start:1" in text), 0)]:
                assert on_line is not None
                on_line(line)
            if on_line is not None:
                raise HostError("web1: something else went wrong while it ran.")
            return answer

    folder = tmp_path / "other"
    folder.mkdir()
    result = run_of(Breaks(folder), tmp_path, step(ADD), step(UnitChange(), name="two"))
    assert [entry.outcome for entry in result.hosts[0].steps] == [Outcome.UNKNOWN] * 2
    (item,) = owed(Journals(tmp_path / "journal").of("shop").entries())
    assert not item.certain
