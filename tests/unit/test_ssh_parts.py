"""Parts of the SSH connector that need no server: memory of answers, known_hosts lines, framing of output."""

from __future__ import annotations

import base64
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.memory import Memory
from backends.ssh import known
from backends.ssh.connector import framed
from backends.ssh.expand import plain_path
from backends.ssh.privilege import sudo_command
from backends.ssh.route import route_to
from backends.ssh.session import Clock, CommandOutput
from backends.ssh.trust import check_key
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import HostError
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion

QUESTION = SecretQuestion(kind="password", host="web1", user="root")
BLOB = b"\0\0\0\x0bssh-ed25519" + b"\0" * 36


class Answers:
    def __init__(self, *answers: str | None) -> None:
        self.left, self.questions = list(answers), [QUESTION][:0]

    def secret(self, question: SecretQuestion) -> Secret | None:
        self.questions.append(question)
        answer = self.left.pop(0)
        return None if answer is None else Secret(answer)

    def accept_key(self, question: HostKeyQuestion) -> bool:
        raise AssertionError(question)


def test_an_answer_is_kept_until_it_fails() -> None:
    memory, asker = Memory(), Answers("wrong", "right")
    first = memory.obtain(asker, "slot", QUESTION)
    assert memory.obtain(asker, "slot", QUESTION) is first
    second = memory.obtain(asker, "slot", QUESTION, first)
    assert second is not None
    assert second.reveal() == "right"
    assert memory.obtain(asker, "slot", QUESTION, first) is second, "another host had the old answer, too"
    assert [question.refused for question in asker.questions] == [False, True]


def test_a_no_counts_for_all_who_waited_and_not_for_those_who_come_later() -> None:
    asked, gate, memory = threading.Event(), threading.Event(), Memory()

    class Waits(Answers):
        def secret(self, question: SecretQuestion) -> Secret | None:
            asked.set()
            assert gate.wait(60)
            return super().secret(question)

    asker = Waits(None, "later")
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(memory.obtain, asker, "slot", QUESTION)
        assert asked.wait(60)
        came = threading.Event()

        def second() -> Secret | None:
            came.set()
            return memory.obtain(asker, "slot", QUESTION)

        waiting = pool.submit(second)
        assert came.wait(60)
        while not waiting.running():
            pass
        threading.Timer(0.2, gate.set).start()
        assert first.result() is None
        assert waiting.result() is None
    later = memory.obtain(asker, "slot", QUESTION)
    assert later is not None


def test_many_threads_add_many_keys(tmp_path: Path) -> None:
    file = tmp_path / "new" / "known_hosts"
    with ThreadPoolExecutor(16) as pool:
        list(
            pool.map(
                lambda number: known.add(plain_path(file), f"h{number % 50}", "ssh-ed25519", BLOB, hashed=False),
                range(200),
            )
        )
    assert sorted(file.read_text().splitlines()) == sorted(
        f"h{number} ssh-ed25519 {base64.b64encode(BLOB).decode()}" for number in range(50)
    )


@pytest.mark.parametrize("line", ["|1|xx|yy ssh-ed25519 AAAA", "a b", "@revoked", "a ssh-rsa %%%", "|1|a ssh-rsa AAAA"])
def test_a_damaged_line_spoils_nothing(tmp_path: Path, line: str) -> None:
    file = tmp_path / "known_hosts"
    known.add(plain_path(file), "web1", "ssh-ed25519", BLOB, hashed=True)
    file.write_text(f"{line}\n{file.read_text()}")
    assert known.host_keys([plain_path(file), plain_path(tmp_path / "missing")], ("web1",)).has(BLOB)


def test_algorithms_of_known_keys_come_first(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text("web1 ssh-rsa AAAA\n")
    default = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")
    assert known.host_keys([plain_path(file)], ("web1",)).algorithms(default) == (
        "rsa-sha2-512",
        "rsa-sha2-256",
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
    )


def test_a_short_rsa_host_key_is_refused_before_anybody_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Short:
        def asbytes(self) -> bytes:
            return BLOB

        def get_name(self) -> str:
            return "ssh-rsa"

        def get_bits(self) -> int:
            return 768

    monkeypatch.setenv("HOME", str(tmp_path))
    there = route_to("web1", RealServer(name="web1", address="10.0.0.101"))
    with pytest.raises(HostError, match="768 bits"):
        check_key(there, known.host_keys([], ("web1",)), Short(), Answers())  # type: ignore[arg-type]


@given(st.binary(max_size=50), st.lists(st.text(alphabet="ab\n\u00e9", max_size=9)), st.integers(1, 7))
def test_output_is_the_same_however_it_is_cut(noise: bytes, parts: list[str], size: int) -> None:
    text = "".join(parts)
    lines: list[str] = []
    stream = CommandOutput(b"MARK", lines.append)
    data = noise + b"MARK\n" + text.encode()
    for start in range(0, len(data), size):
        stream.feed(data[start : start + size])
    stream.end()
    assert stream.text == text
    assert lines == (text.removesuffix("\n").split("\n") if text else [])
    assert stream.noise.encode() == noise or not noise.isascii()


@pytest.mark.parametrize("shell", [["/bin/sh"], ["/bin/bash"], ["/bin/bash", "--posix"]])
def test_a_script_cut_anywhere_does_nothing(shell: list[str], tmp_path: Path) -> None:
    done = tmp_path / "done"
    whole = framed(f"touch {done}\nif true; then\necho x\nfi", "MARK")
    for cut in range(0, len(whole) - 13, 7):
        subprocess.run([*shell, "-s"], input=whole[:cut], capture_output=True, check=False)
        assert not done.exists()
    subprocess.run([*shell, "-s"], input=whole, capture_output=True, check=True)
    assert done.exists()


def test_the_sudo_command_holds_nothing_a_login_shell_would_change() -> None:
    command = sudo_command("[prompt]", "ready")
    inside = command.removeprefix("/bin/sh -c '").removesuffix("'")
    assert not set(inside) & set("'!\n\\")


def test_a_script_that_goes_on_printing_has_its_time_again_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("backends.ssh.session.time.monotonic", lambda: now[0])
    clock = Clock(20.0, now[0])
    now[0] += 19.0
    clock.goes_on()
    assert clock.left == 20.0
    now[0] += 19.5
    assert round(clock.left, 3) == 0.5
    clock.goes_on()
    now[0] += 20.0
    clock.goes_on()
    now[0] += 20.0
    clock.goes_on()
    assert clock.left < 20.0  # four times its deadline is all it gets
    now[0] += 3.0
    clock.goes_on()
    assert clock.left < 0


def test_a_silent_script_gains_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("backends.ssh.session.time.monotonic", lambda: now[0])
    clock = Clock(20.0, now[0])
    now[0] += 20.5
    assert clock.left < 0


def test_whole_lines_count_and_drops_do_not() -> None:
    output = CommandOutput(b"marker")
    output.feed(b"marker\nfirst")
    output.feed(b" drop by drop")
    assert output.lines == 0
    output.feed(b"\nsecond\n")
    assert output.lines == 1
