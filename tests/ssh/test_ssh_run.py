"""Scripts on a real sshd: whole or not at all, clean output, deadlines, broken connections, many at once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backends.ssh import open_ssh
from dsrwizard.core.model.errors import ConnectionLost, NoPrivilege
from tests.ssh.sshd import Operator, Sshd

MakeSshd = Callable[..., Sshd]


def test_a_script_answers_with_output_errors_and_status(sshd: Sshd, key: Path, operator: Operator) -> None:
    connector = open_ssh("web1", sshd.server(key), operator)
    answer = connector.run("echo out; echo err >&2; exit 7", deadline=60)
    assert (answer.status, answer.stdout, answer.stderr) == (7, "out\n", "err\n")
    again = connector.run("umask; echo $LC_ALL; pwd; command -v sysctl >/dev/null; printf end", deadline=60)
    assert (again.status, again.stdout) == (0, "0022\nC\n/\nend")
    connector.close()


def test_lines_arrive_while_the_script_runs(sshd: Sshd, key: Path, operator: Operator, tmp_path: Path) -> None:
    gate, lines = tmp_path / "gate", []

    def line(text: str) -> None:
        lines.append(text)
        gate.touch()

    script = f"echo one; while ! test -e {gate}; do sleep 0.02; done; printf 'two\\nthree'"
    answer = open_ssh("web1", sshd.server(key), operator).run(script, deadline=60, on_line=line)
    assert lines == ["one", "two", "three"]
    assert answer.stdout == "one\ntwo\nthree"


def test_a_command_cannot_swallow_the_rest_of_the_script(sshd: Sshd, key: Path, operator: Operator) -> None:
    answer = open_ssh("web1", sshd.server(key), operator).run("cat\necho after", deadline=60)
    assert answer.stdout == "after\n"


def test_a_script_that_cannot_be_parsed_does_nothing(sshd: Sshd, key: Path, operator: Operator, tmp_path: Path) -> None:
    done = tmp_path / "done"
    answer = open_ssh("web1", sshd.server(key), operator).run(f"touch {done}\nif", deadline=60)
    assert answer.status == 2
    assert not done.exists()


def test_big_scripts_and_big_answers_both_at_once(sshd: Sshd, key: Path, operator: Operator) -> None:
    filler = f"# {'x' * 1000}\n" * 4500
    script = f"{filler}head -c 3000000 /dev/zero | tr '\\0' a; head -c 3000000 /dev/zero | tr '\\0' b >&2"
    answer = open_ssh("web1", sshd.server(key), operator).run(script, deadline=60)
    assert answer.stdout == "a" * 3_000_000
    assert answer.stderr == "b" * 3_000_000


def test_a_script_that_starts_a_daemon_is_over_when_it_ends(sshd: Sshd, key: Path, operator: Operator) -> None:
    begin = time.monotonic()
    answer = open_ssh("web1", sshd.server(key), operator).run("sleep 300 & echo $!", deadline=200)
    os.kill(int(answer.stdout), signal.SIGKILL)
    assert answer.status == 0
    assert time.monotonic() - begin < 100


def test_noise_of_the_login_shell_stays_out_of_the_answer(make_sshd: MakeSshd, key: Path, operator: Operator) -> None:
    noisy = 'printf "Welcome, no newline"; echo complaint >&2; exec $SHELL -c "$SSH_ORIGINAL_COMMAND"'
    server = make_sshd(options=(f"ForceCommand {noisy}",))
    server.allow(key)
    answer = open_ssh("web1", server.server(key), operator).run("echo out; echo err >&2", deadline=60)
    assert (answer.stdout, answer.stderr) == ("out\n", "err\n")


def test_the_script_is_in_no_process_list(sshd: Sshd, key: Path, operator: Operator) -> None:
    script = "word=CANARY; cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -c 'word=CANARY; cat' || true"
    answer = open_ssh("web1", sshd.server(key), operator).run(script, deadline=60)
    # grep itself carries the words it looks for.
    assert answer.stdout in ("0\n", "1\n")
    direct = open_ssh("web1", sshd.server(key), operator).run("tr '\\0' ' ' </proc/$$/cmdline", deadline=60)
    assert "tr" not in direct.stdout


def test_an_account_without_shell_is_said_so(make_sshd: MakeSshd, key: Path, operator: Operator) -> None:
    server = make_sshd(options=("ForceCommand echo This account is currently not available. >&2; exit 1",))
    server.allow(key)
    with pytest.raises(NoPrivilege) as caught:
        open_ssh("web1", server.server(key), operator).run("echo out", deadline=60)
    assert "not available" in str(caught.value)


def test_a_deadline_lets_go_and_the_connection_lives(sshd: Sshd, key: Path, operator: Operator) -> None:
    connector = open_ssh("web1", sshd.server(key), operator)
    begin = time.monotonic()
    with pytest.raises(ConnectionLost) as caught:
        connector.run("echo begun; sleep 60", deadline=1)
    assert time.monotonic() - begin < 40
    assert "1 s" in caught.value.what
    assert "unknown" in caught.value.why
    assert connector.run("echo there", deadline=60).stdout == "there\n"


def test_a_connection_killed_in_the_middle_is_lost(sshd: Sshd, key: Path, operator: Operator) -> None:
    connector = open_ssh("web1", sshd.server(key), operator)

    def kill(_: str) -> None:
        sshd.cut()

    with pytest.raises(ConnectionLost) as caught:
        connector.run("echo begun; sleep 30", deadline=60, on_line=kill)
    assert caught.value.what.startswith("web1: ")
    assert "broke" in caught.value.what
    with pytest.raises(ConnectionLost) as later:
        connector.run("echo there", deadline=60)
    assert "not started" in later.value.why
    connector.close()


def test_closing_leaves_no_thread(sshd: Sshd, key: Path, operator: Operator) -> None:
    before = set(threading.enumerate())
    connector = open_ssh("web1", sshd.server(key), operator)
    connector.run("true", deadline=60)
    connector.close()
    connector.close()
    end = time.monotonic() + 60
    while not set(threading.enumerate()) <= before and time.monotonic() < end:
        time.sleep(0.02)
    assert set(threading.enumerate()) <= before


def test_many_hosts_side_by_side(sshd: Sshd, key: Path, operator: Operator, home: Path) -> None:
    def one(number: int) -> str:
        connector = open_ssh(f"web{number}", sshd.server(key), operator)
        try:
            return connector.run(f"echo {number}", deadline=60).stdout.strip()
        finally:
            connector.close()

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(one, range(20))) == [str(number) for number in range(20)]
    lines = (home / ".ssh" / "known_hosts").read_text().splitlines()
    assert lines == [sshd.known_line().strip()], "the accepted key is written once"
