"""The commands as scripts see them: exit codes, one JSON document, and errors as what, why, next."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from dsrwizard import __version__, out
from dsrwizard.cli import main as cli
from dsrwizard.cli import wiring
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.deployment import Service
from dsrwizard.engine.engine import Engine
from dsrwizard.session import state_dir
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.started import heeding
from tests.fakes.world import World


class Shell:
    """Commands over one world, with what they printed and returned."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.world = World.lab()
        self.folder = folder
        self.capture = capture
        self.file = folder / "shop.toml"
        self.out = self.err = ""
        self.write(self.world.deployment())

    def write(self, deployment: Any) -> None:
        self.file.write_text(dumps(deployment))

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), state_dir() / "journal", state_dir() / "events")

    def __call__(self, *arguments: str) -> int:
        code = cli.run(arguments)
        self.out, self.err = self.capture.readouterr()
        assert "Traceback" not in self.out + self.err
        return code

    def document(self) -> Any:
        """Standard output as the one JSON document it must be."""
        return json.loads(self.out)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Shell(tmp_path, capsys)
    monkeypatch.setattr(wiring, "build_engine", lambda asker: made.engine())
    return made


def test_from_nothing_to_traffic_and_back(shell: Shell) -> None:
    file = str(shell.file)
    assert shell("plan", file) == 0
    assert "ip addr add 10.0.0.10/32 dev lo" in shell.out
    assert "ipvsadm -A -t 10.0.0.10:80 -s wlc" in shell.out
    assert shell.world.done == []
    assert shell("apply", file, "--yes") == 0
    assert set(shell.world.requests(3)) == {"web1", "web2", "web3"}
    assert shell("verify", file) == 0
    assert "Verdict: pass" in shell.out
    assert shell("status", file) == 0
    assert shell("apply", file) == 0  # nothing to do asks nothing
    assert "No change." in shell.out
    assert shell("teardown", file, "--yes") == 0
    assert shell.world.requests(1) == [""]
    assert shell("teardown", file) == 0
    assert "Nothing to do" in shell.out
    assert shell.err == ""


def test_plan_json(shell: Shell) -> None:
    assert shell("plan", str(shell.file), "--json") == 0
    document = shell.document()
    assert set(document) == {"deployment", "changes", "waves", "hosts"}
    assert document["changes"] == sum(len(host["steps"]) for host in document["hosts"]) > 0
    assert [host["host"] for host in document["hosts"]] == ["director", "web1", "web2", "web3"]
    for host in document["hosts"]:
        assert set(host) == {"host", "problem", "notes", "steps"}
        for step in host["steps"]:
            assert set(step) == {"id", "phase", "title", "why", "interrupts", "commands", "undo"}
            assert step["commands"]
            assert step["undo"] or step["id"] == "module"
    guard = document["hosts"][1]["steps"][0]
    assert guard["commands"][0] == "sysctl -qw net.ipv4.conf.all.arp_ignore=1"
    assert guard["undo"][-1] == "sysctl -qw net.ipv4.conf.all.arp_ignore=0"


def test_apply_verify_status_and_teardown_json(shell: Shell) -> None:
    file = str(shell.file)
    assert shell("apply", file, "--yes", "--json") == 0
    applied = shell.document()
    assert (applied["deployment"], applied["ok"]) == ("shop", True)
    assert applied["changed"] > 10
    assert {host["outcome"] for host in applied["hosts"]} == {"changed"}
    assert shell("verify", file, "--json") == 0
    verified = shell.document()
    assert set(verified) == {"deployment", "verdict", "checks", "bypass", "not_seen"}
    assert verified["bypass"] is None  # no client host has counted
    keys = ["check", "outcome", "host", "vip", "service", "cause", "message", "evidence", "fix"]
    for check in verified["checks"]:
        assert list(check)[: len(keys)] == keys
        assert check["outcome"] in ("pass", "skipped", "unknown")
    assert shell("status", file, "--json") == 0
    (service,) = shell.document()["services"]
    assert {row["state"] for row in service["rows"]} == {"up"}
    assert shell("teardown", file, "--yes", "--json") == 0
    assert shell.document()["ok"] is True
    assert shell.err == ""


# --- 1: it is not so -------------------------------------------------------------------------------------------------


def test_a_dead_server_is_one_failure_and_the_rest_is_done(shell: Shell) -> None:
    shell.world.servers["web2"].reachable = False
    assert shell("plan", str(shell.file)) == 1
    assert shell("apply", str(shell.file), "--yes") == 1
    assert "web2 does not answer" in shell.err
    assert set(shell.world.requests(2)) == {"web1", "web3"}
    assert shell("verify", str(shell.file)) == 1
    assert shell("status", str(shell.file)) == 1


def test_a_failed_check_names_cause_and_fix(shell: Shell) -> None:
    shell("apply", str(shell.file), "--yes")
    del shell.world.servers["web3"].machine.links["lo"].addresses["10.0.0.10"]
    assert shell("verify", str(shell.file), "--json") == 1
    document = shell.document()
    assert document["verdict"] == "fail"
    failed = [check for check in document["checks"] if check["outcome"] == "fail" and not check["consequence_of"]]
    assert {(check["host"], check["cause"]) for check in failed} == {("web3", "vip-missing")}
    assert all(check["fix"] for check in failed)
    assert shell("status", str(shell.file)) == 1
    assert "vip-dead" in shell.out


def test_a_server_held_at_weight_zero_is_not_done(shell: Shell) -> None:
    shell.world.servers["web1"].machine.listeners.clear()
    assert shell("apply", str(shell.file), "--yes") == 1
    assert "web1 stays at weight 0 in 10.0.0.10 tcp/80" in shell.err


def test_a_failed_step_quotes_the_host(shell: Shell) -> None:
    shell.world.servers["web1"].fails["guard"] = "sysctl: permission denied on key"
    assert shell("apply", str(shell.file), "--yes") == 1
    assert "permission denied on key" in shell.err


# --- 2: bad usage, bad file ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["plan"], "Missing argument 'FILE'"),
        (["plan", "--nonsense"], "--nonsense"),
        (["nonsense"], "nonsense"),
        (["my shop.toml"], "Watch it: dsrwizard watch 'my shop.toml'."),
        (["apply", "x.toml", "y.toml"], "y.toml"),
    ],
)
def test_bad_usage(shell: Shell, arguments: list[str], words: str) -> None:
    assert shell(*arguments) == 2
    assert words in shell.err
    assert "--help" in shell.err
    assert shell.out == ""


@pytest.mark.parametrize("command", ["plan", "apply", "verify", "status", "teardown"])
def test_bad_files(shell: Shell, command: str, tmp_path: Path) -> None:
    shell.file.write_text(shell.file.read_text().replace("port = 80", "prot = 80"))
    assert shell(command, str(shell.file)) == 2
    assert str(shell.file) in shell.err
    assert "prot" in shell.err
    assert shell(command, str(tmp_path / "missing.toml")) == 2
    assert "missing.toml" in shell.err
    assert shell(command, str(tmp_path)) == 2
    shell.file.write_bytes(b"\xff\xfe\x00")
    assert shell(command, str(shell.file)) == 2
    assert shell.out == ""


@pytest.mark.parametrize("command", ["apply", "teardown"])
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_nothing_is_changed_when_nobody_can_be_asked(shell: Shell, command: str, options: list[str]) -> None:
    if command == "teardown":
        shell("apply", str(shell.file), "--yes")
    touched = len(shell.world.done)
    assert shell(command, str(shell.file), *options) == 2
    assert "--yes" in shell.err
    assert len(shell.world.done) == touched
    assert not options or shell.document()["error"]["kind"] == "usage"


@pytest.mark.parametrize("arguments", [[], ["watch", "shop.toml"]])
def test_screens_need_a_terminal_and_name_the_command_that_does_not(shell: Shell, arguments: list[str]) -> None:
    assert shell(*arguments) == 2
    assert "terminal" in shell.err
    assert "dsrwizard" in shell.err


class Terminal:
    """Standard input on which somebody types."""

    def __init__(self, typed: str) -> None:
        self.typed = typed

    def isatty(self) -> bool:
        return True

    def readline(self, *_: object) -> str:
        return self.typed


@pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("n\n", 3), ("\n", 3), ("", 3)])
def test_the_operator_is_asked_and_no_is_no(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, typed: str, code: int
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    assert shell("apply", str(shell.file)) == code
    assert "Continue?" in shell.err
    assert bool(shell.world.done) is (code == 0)


# --- 3: could not look -----------------------------------------------------------------------------------------------


def test_without_privilege_it_could_not_look(shell: Shell) -> None:
    shell.world.privileged = False
    assert shell("plan", str(shell.file)) == 3
    assert "sudo" in shell.out
    assert shell("apply", str(shell.file), "--yes") == 3
    assert "sudo" in shell.err
    assert shell.world.ipvs.table == {}


def test_without_ipvs_status_could_not_look(shell: Shell) -> None:
    shell("apply", str(shell.file), "--yes")
    shell.world.unload_ipvs()
    assert shell("status", str(shell.file)) == 3
    assert "modprobe ip_vs" in shell.out
    assert "bypass" not in shell.out
    assert "replies not counted" in shell.out


def test_status_says_which_way_replies_go_only_where_it_is_seen(shell: Shell) -> None:
    assert shell("status", str(shell.file)) == 1
    assert "VIP owner: director; not in IPVS" in shell.out
    shell("apply", str(shell.file), "--yes")
    assert shell("status", str(shell.file)) == 0
    assert "replies bypass the director" in shell.out


def test_a_journal_that_cannot_be_written_changes_nothing(shell: Shell) -> None:
    state_dir().parent.mkdir(exist_ok=True)
    state_dir().write_text("a file where the folder should be")
    assert shell("apply", str(shell.file), "--yes") == 3
    assert "journal" in shell.err
    assert "XDG_STATE_HOME" in shell.err
    assert shell.world.done == []


def test_interrupted_in_the_middle_finishes_what_runs_and_begins_nothing_new(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = threading.Event()
    complain = out.complaint

    def complained(*lines: str) -> None:
        complain(*lines)
        told.set()

    def interrupt() -> None:
        if shell.world.held("director"):
            os.kill(os.getpid(), signal.SIGINT)
            told.wait(60)
        shell.world.release("director")

    monkeypatch.setattr(out, "complaint", complained)
    shell.world.hold("director")
    thread = threading.Thread(target=interrupt)
    with heeding():
        thread.start()
        code = shell("apply", str(shell.file), "--yes")
        thread.join()
    assert code == 3
    assert "Stopping: running commands finish" in shell.err
    assert "Stopped before everything was done" in shell.err
    assert len(shell.world.done) == 1
    assert shell("teardown", str(shell.file), "--yes") == 0


# --- a fault of dsrwizard itself -------------------------------------------------------------------------------------


def test_a_crash_leaves_a_file_for_its_owner_alone_and_no_traceback(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(asker: object) -> Engine:
        raise RuntimeError("injected")

    monkeypatch.setattr(wiring, "build_engine", broken)
    assert shell("plan", str(shell.file), "--json") == 3
    assert shell.document()["error"]["kind"] == "defect"
    crash = state_dir() / "crash.txt"
    assert shell.err.splitlines() == [
        "dsrwizard itself failed: RuntimeError.",
        f"Details are in {crash}. Please report them, with what you did.",
    ]
    assert "injected" in crash.read_text()
    assert crash.stat().st_mode & 0o777 == 0o600


def test_a_crash_that_cannot_be_written_down_is_told_all_the_same(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(wiring, "build_engine", lambda asker: 1 / 0)
    monkeypatch.setenv("XDG_STATE_HOME", str(shell.file))  # a file, no folder
    assert shell("plan", str(shell.file)) == 3
    assert "ZeroDivisionError" in shell.err


def test_the_crash_file_is_never_readable_by_others_and_no_link_is_followed(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    state_dir().mkdir(parents=True)
    (state_dir() / "crash.txt").symlink_to(victim)
    monkeypatch.setattr(wiring, "build_engine", lambda asker: 1 / 0)
    assert shell("plan", str(shell.file)) == 3
    assert victim.read_text() == "theirs"
    assert (state_dir() / "crash.txt").stat().st_mode & 0o777 == 0o600


# --- the program -----------------------------------------------------------------------------------------------------


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "dsrwizard", *arguments],
        capture_output=True, check=False, env=os.environ | environment, timeout=60, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def test_version_is_answered_before_anything_heavy_is_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "dsrwizard", "--version"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == f"dsrwizard {__version__}\n"
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}
    assert imported & {"textual", "paramiko", "pyroute2", "rich", "click", "msgspec", "winrm", "yaml"} == set()


def test_a_command_without_screen_imports_no_screen(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom dsrwizard.cli.main import run\nrun(['plan', 'missing.toml'])\n"
        "print(*{'textual', 'paramiko', 'pyroute2', 'screens', 'winrm'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60, cwd=tmp_path
    )
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["plan", "--help"], ["lab", "--help"]])
def test_help(shell: Shell, arguments: list[str]) -> None:
    assert shell(*arguments) == 0
    assert "Usage: dsrwizard" in shell.out


def test_the_version_as_an_option_of_the_group(shell: Shell) -> None:
    assert shell("-V") == 0
    assert shell.out == f"dsrwizard {__version__}\n"


def test_a_reader_that_goes_away_is_no_crash(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "dsrwizard", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"XDG_STATE_HOME": str(tmp_path), "PYTHONUNBUFFERED": "1"},
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == ""
        assert child.wait(60) == 3
    assert list(tmp_path.iterdir()) == []


def test_output_that_nobody_reads_leaves_the_exit_status_as_it_is() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    code = "import sys\nfrom dsrwizard import __main__\nsys.stdout.write('left')\n__main__._leave(1)"
    done = subprocess.run(
        [sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=False, timeout=60,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )  # fmt: skip
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_output_that_the_terminal_cannot_show_is_replaced(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "import sys\nfrom dsrwizard.cli import main as cli, printing, wiring\nfrom pathlib import Path\n"
        "from tests.fakes.world import World\nfrom tests.fakes.engine import engine_of\n"
        "from tests.fakes.operator import Nobody\nworld = World.lab()\n"
        "world.servers['web1'].fails['guard'] = '“näh” → nein'\n"
        f"wiring.build_engine = lambda asker: engine_of(world, Nobody(), Path({str(tmp_path)!r}))\n"
        f"sys.argv[1:] = ['apply', {str(shell.file)!r}, '--yes']\n"
        "from dsrwizard.__main__ import main\nmain()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "latin-1", "XDG_STATE_HOME": str(tmp_path / "s")},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "?näh? ? nein".encode("latin-1") in done.stdout
    assert b"itself failed" not in done.stderr


def test_an_exit_code_reaches_the_shell(tmp_path: Path) -> None:
    done = program("plan", str(tmp_path / "no.toml"))
    assert done.returncode == 2
    assert b"no.toml" in done.stderr


def test_lab_passes_the_command_and_its_status_on(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[tuple[str, ...], tuple[str, ...], int]] = []

    def run(command: tuple[str, ...], faults: tuple[str, ...], directors: int) -> int:
        asked.append((command, faults, directors))
        return 7

    monkeypatch.setattr(wiring, "run_lab", run)
    assert shell("lab", "--", "ip", "-br", "addr") == 7
    assert shell("lab", "--directors", "2", "--fault", "firewall@web1", "bash") == 7
    assert asked == [(("ip", "-br", "addr"), (), 1), (("bash",), ("firewall@web1",), 2)]
    assert shell("lab", "--directors", "9", "bash") == 2


def test_services_of_every_kind_are_shown(shell: Shell) -> None:
    shell.write(shell.world.deployment(services=(Service(port=80), Service(protocol="udp", port=7, persistence=60))))
    assert shell("apply", str(shell.file), "--yes") == 0
    assert shell("status", str(shell.file)) == 0
    assert "tcp/80" in shell.out
    assert "udp/7" in shell.out


def test_a_server_that_is_not_proved_says_when_it_puts_itself_back(shell: Shell) -> None:
    file = str(shell.file)
    shell.world.servers["web2"].machine.listeners.clear()
    assert shell("apply", file, "--yes", "--revert-after", "45") == 1
    for name in ("web1", "web2", "web3"):
        assert f"{name:<10} armed         puts itself back in 45 s unless proved" in shell.out
        assert (f"{name:<10} kept " in shell.out) is (name != "web2")
    assert "web2 is not proved, so it puts itself back 45 s after its last step" in shell.out + shell.err
    assert shell("apply", file, "--yes", "--revert-after", "0") == 1
    assert "unless proved" not in shell.out
    assert not shell.world.silence("web2"), "never ends also what the first run had armed"
    for command in ("apply", "mend"):
        assert shell(command, file, "--yes", "--revert-after", "5") == 2
        assert "30 or more, or 0 for never" in shell.err
