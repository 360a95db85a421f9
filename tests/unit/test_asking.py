"""Questions on a real terminal, asked from a worker thread as the engine does, and ctrl+c while they stand."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsrwizard.cli.asking import TerminalAsker
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from tests.fakes.started import started

SHOWN = {number: "SHA256:" + letter * 43 for number, letter in ((1, "a"), (2, "b"), (10, "c"))}
"""The fingerprints that web1, web2 and web10 show."""
PROGRAM = """
import fcntl, sys, termios, threading
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from dsrwizard.cli import main as cli
from dsrwizard.cli.asking import TerminalAsker
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.engine.hosts import side_by_side
SHOWN = FINGERPRINTS

def secret():
    answer = TerminalAsker().secret(SecretQuestion(kind="password", host="web1", user="root"))
    return "nothing" if answer is None else f"{len(answer.reveal())} characters"

def twice():
    asker = TerminalAsker()
    question = SecretQuestion(kind="password", host="web1", user="root")
    return [asker.secret(question), asker.secret(question)]

def key():
    question = HostKeyQuestion(host="web1", address="10.0.0.101", key_type="ssh-ed25519", fingerprint="SHA256:abc")
    return "yes" if TerminalAsker().accept_key(question) else "no"

def keys():
    asker, accepted = TerminalAsker(), []
    def asked(number):
        question = HostKeyQuestion(
            host=f"web{number}", address=f"10.0.0.10{number}", key_type="ssh-ed25519", fingerprint=SHOWN[number]
        )
        if asker.accept_key(question):
            accepted.append(question.host)
    side_by_side([(str(n), lambda n=n: asked(n)) for n in SHOWN], lambda name, what: None)
    return sorted(accepted)

class Said:
    def __init__(self, says):
        self.says = says
    def said(self, within=0.0):
        return self.says

def dns():
    asker, accepted = TerminalAsker(), []
    def asked(number):
        question = HostKeyQuestion(
            host=f"web{number}", address=f"web{number}.example", key_type="ssh-ed25519",
            fingerprint="SHA256:" + str(number) * 43, in_dns=Said(ANSWERS[number]),
        )
        if asker.accept_key(question):
            accepted.append(question.host)
    side_by_side([(str(n), lambda n=n: asked(n)) for n in ANSWERS], lambda name, what: None)
    return sorted(accepted)

ANSWERS = {1: "signed", 2: "unsigned", 3: "weak", 4: "differs", 5: "none", 6: None, 7: None}

def impostor():
    question = HostKeyQuestion(
        host="web1", address="web1.example", key_type="ssh-ed25519", fingerprint="SHA256:abc", in_dns=Said("differs")
    )
    return "yes" if TerminalAsker().accept_key(question) else "no"

def certificate():
    question = HostKeyQuestion(
        host="win1", address="10.0.0.101 port 5986", key_type="certificate for WIN1, valid until 2030-01-01",
        fingerprint="SHA256:ABCD", untrusted="It is self-signed: no authority vouches for it.",
    )
    return "yes" if TerminalAsker().accept_key(question) else "no"

def prompt():
    detail = "Two-factor login\\n\\x1b[2KPassword of root on db-master: ".replace("\\x1b", chr(27))
    answer = TerminalAsker().secret(SecretQuestion(kind="prompt", host="web1", user="root", asked=detail))
    return "nothing" if answer is None else f"{len(answer.reveal())} characters"

def slow():
    print("slow begins", flush=True)
    threading.Event().wait(300)

@cli.commands.command()
def ask():
    side_by_side([("web1", WORK)], lambda name, what: print("got", what, flush=True))

from dsrwizard.__main__ import main
sys.argv[1:] = ["ask"]
main()
"""


class Dialogue:
    """A program on a terminal of its own."""

    def __init__(self, work: str) -> None:
        self._master, self._slave = os.openpty()
        self.said = ""
        self._child = subprocess.Popen(
            started([sys.executable, "-c", PROGRAM.replace("WORK", work).replace("FINGERPRINTS", repr(SHOWN))]),
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            start_new_session=True,
        )

    def expect(self, text: str) -> None:
        until = time.monotonic() + 30
        while text not in self.said:
            assert time.monotonic() < until, self.said
            if select.select([self._master], [], [], 0.5)[0]:
                self.said += os.read(self._master, 4096).decode()

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self._slave)[3] & termios.ECHO)

    def status(self) -> int:
        return self._child.wait(30)

    def close(self) -> None:
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        os.close(self._master)
        os.close(self._slave)


@pytest.fixture
def dialogue(request: pytest.FixtureRequest) -> Iterator[Dialogue]:
    made = Dialogue(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("dialogue", ["secret"], indirect=True)
def test_a_secret_is_not_shown_and_may_be_corrected(dialogue: Dialogue) -> None:
    dialogue.expect("Password of root on web1: ")
    assert not dialogue.echoes()
    dialogue.type("canaryx\x7f\r")
    dialogue.expect("got 6 characters")
    assert "canary" not in dialogue.said
    assert dialogue.status() == 0
    assert dialogue.echoes()


@pytest.mark.parametrize("dialogue", ["keys"], indirect=True)
@pytest.mark.parametrize(
    ("typed", "accepted"),
    [("y", "['web1', 'web10', 'web2']"), ("", "[]"), ("no", "[]"), ("/no/file", "[]"), ("~nobody-here/file", "[]")],
)
def test_unknown_keys_of_several_hosts_are_asked_for_once(dialogue: Dialogue, typed: str, accepted: str) -> None:
    dialogue.expect("or the path of a file that has them: ")
    assert "3 host keys are unknown." in dialogue.said
    assert [line.strip() for line in dialogue.said.split("\n") if "SHA256:" in line] == list(SHOWN.values())
    dialogue.type(f"{typed}\r")
    dialogue.expect(f"got {accepted}")
    assert dialogue.said.count("[y/N]") == 1
    assert ("cannot be read" in dialogue.said) == ("file" in typed)


@pytest.mark.parametrize("dialogue", ["keys"], indirect=True)
def test_keys_that_a_file_has_are_accepted_and_another_one_is_called_an_impostor(
    dialogue: Dialogue, tmp_path: Path
) -> None:
    kept = tmp_path / "keys"
    kept.write_text(f"256 {SHOWN[1]} web1 (ED25519)\n256 SHA256:{'x' * 43} web2 (ED25519)\n")
    dialogue.expect("or the path of a file that has them: ")
    dialogue.type(f"{kept}\r")
    dialogue.expect("got ['web1']")
    assert "has 1 of these 3 keys; the others are refused." in dialogue.said
    assert "It has another key for web2: that may be an impostor." in dialogue.said


@pytest.mark.parametrize("dialogue", ["dns"], indirect=True)
@pytest.mark.parametrize(
    ("typed", "accepted"),
    [("dns", "['web1']"), ("y", "['web1', 'web2', 'web3', 'web5', 'web6', 'web7']"), ("", "[]"), ("n", "[]")],
)
def test_what_dns_says_stands_beside_each_key_and_only_signed_records_are_enough(
    dialogue: Dialogue, typed: str, accepted: str
) -> None:
    dialogue.expect("[y/N], dns for the 1 that DNS has signed, or the path of a file that has them: ")
    hosts = dialogue.said.split("SHA256:")[1:]
    told = [[line.strip() for line in one.split("\n") if "In DNS" in line] for one in hosts]
    assert told == [
        ["In DNS      | the same key, signed by DNSSEC"],
        ["In DNS      | the same key, not signed by DNSSEC: compare it"],
        ["In DNS      | the same key, by SHA-1 only: compare it"],
        ["In DNS      | ANOTHER KEY: this may be an impostor"],
        [], [], [],
    ]  # fmt: skip
    assert "WARNING: DNS has another key for web4: that may be an impostor." in dialogue.said
    assert dialogue.said.count("DNS gave no usable answer about 2 of these hosts.") == 1
    dialogue.type(f"{typed}\r")
    dialogue.expect(f"got {accepted}")


@pytest.mark.parametrize("dialogue", ["impostor"], indirect=True)
@pytest.mark.parametrize(("typed", "answer"), [("\r", "no"), ("dns\r", "no"), ("y\r", "yes")])
def test_a_single_key_that_dns_contradicts_is_a_warning(dialogue: Dialogue, typed: str, answer: str) -> None:
    dialogue.expect("[y/N]: ")
    assert "In DNS      | ANOTHER KEY: this may be an impostor" in dialogue.said
    dialogue.type(typed)
    dialogue.expect(f"got {answer}")


@pytest.mark.parametrize("dialogue", ["prompt"], indirect=True)
def test_a_servers_own_question_is_marked_as_its_words(dialogue: Dialogue) -> None:
    dialogue.expect("Answer for root@web1 only (hidden; Enter gives none): ")
    assert "web1 asks:" in dialogue.said
    assert [line.strip("\r") for line in dialogue.said.split("\n") if "| " in line] == [
        "  | Two-factor login",
        r"  | \x1b[2KPassword of root on db-master:",
    ]
    assert "\x1b" not in dialogue.said
    assert not dialogue.echoes()
    dialogue.type("canary\r")
    dialogue.expect("got 6 characters")
    assert "canary" not in dialogue.said
    assert dialogue.status() == 0


@pytest.mark.parametrize("dialogue", ["twice"], indirect=True)
def test_ctrl_c_at_a_question_ends_it_all_and_leaves_the_terminal_as_it_was(dialogue: Dialogue) -> None:
    dialogue.expect("Password of root on web1: ")
    dialogue.type("half\x03")
    dialogue.expect("Interrupted.")
    assert dialogue.status() == 3
    assert dialogue.said.count("Password") == 1
    assert "half" not in dialogue.said
    assert dialogue.echoes()


@pytest.mark.parametrize("dialogue", ["key"], indirect=True)
@pytest.mark.parametrize(("typed", "answer"), [("y\r", "yes"), ("yes\r", "yes"), ("\r", "no"), ("n\r", "no")])
def test_only_yes_is_yes(dialogue: Dialogue, typed: str, answer: str) -> None:
    dialogue.expect("[y/N]: ")
    assert "| ssh-ed25519" in dialogue.said
    assert "\r\n    SHA256:abc\r\n" in dialogue.said
    dialogue.type(typed)
    dialogue.expect(f"got {answer}")


@pytest.mark.parametrize("dialogue", ["certificate"], indirect=True)
@pytest.mark.parametrize(("typed", "answer"), [("y\r", "yes"), ("\r", "no")])
def test_a_certificate_is_no_host_key(dialogue: Dialogue, typed: str, answer: str) -> None:
    dialogue.expect("[y/N]: ")
    assert "It is self-signed: no authority vouches for it." in dialogue.said
    assert "SHA256:ABCD" in dialogue.said
    assert "Cert:\\LocalMachine\\My" in dialogue.said
    assert "ssh-keygen" not in dialogue.said
    dialogue.type(typed)
    dialogue.expect(f"got {answer}")


@pytest.mark.parametrize("dialogue", ["slow"], indirect=True)
def test_an_interrupt_waits_for_no_slow_host(dialogue: Dialogue) -> None:
    dialogue.expect("slow begins")
    dialogue.type("\x03")
    dialogue.expect("Interrupted.")
    assert dialogue.status() == 3


def test_without_a_terminal_the_answer_is_no(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as nothing, os.fdopen(writing, "w"):
        monkeypatch.setattr(sys, "stdin", nothing)
        asker = TerminalAsker()
        assert asker.secret(SecretQuestion(kind="sudo", host="web1", user="ops")) is None
        assert not asker.accept_key(
            HostKeyQuestion(host="web1", address="10.0.0.101", key_type="ssh-ed25519", fingerprint="SHA256:abc")
        )


def test_a_terminal_closed_while_a_question_stands_answers_no(monkeypatch: pytest.MonkeyPatch) -> None:
    master, slave = os.openpty()

    def close() -> None:
        while termios.tcgetattr(slave)[3] & termios.ECHO:  # until the question stands
            time.sleep(0.01)
        os.close(master)

    with os.fdopen(slave) as terminal:
        monkeypatch.setattr(sys, "stdin", terminal)
        threading.Thread(target=close, daemon=True).start()
        asker = TerminalAsker()
        question = SecretQuestion(kind="sudo", host="web1", user="ops")
        assert asker.secret(question) is None
        assert asker.secret(question) is None
