"""A server's own questions: whose words they are is seen, and no password is given to one that it was not meant for."""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from backends.ssh import config, open_ssh
from backends.ssh.conversation import MOST_QUESTIONS, asks_for_password
from dsrwizard.cli.asking import question_rows
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import LoginRefused
from dsrwizard.core.model.foreign import harmless, one_line
from dsrwizard.core.ports import SecretQuestion
from tests.hostile.conftest import Tally
from tests.hostile.ssh_server import CODE, ESCAPES, PASSWORD, Round, Server, Way, asking
from tests.ssh.sshd import Operator

Scale = Callable[[int, int], int]
Tallies = Callable[[str], Tally]
MASTER = "canary-db-master-31"


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Way], Server]]:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "no-such-file")
    servers: list[Server] = []

    def start(way: Way) -> Server:
        servers.append(Server(way))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


Serve = Callable[[Way], Server]


def ask(prompt: str, echo: bool = False, name: str = "", instruction: str = "") -> Round:
    return name, instruction, ((prompt, echo),)


def login(server: Server, operator: Operator, user: str = "root") -> str:
    opened = open_ssh("web1", RealServer(name="web1", address="127.0.0.1", port=server.port, user=user), operator)
    try:
        return opened.run("true", deadline=20).stdout
    finally:
        opened.close()


def learnt(server: Server) -> list[str]:
    return [word for served in server.served for word in served.learnt]


@pytest.mark.parametrize("prompt", ["Password: ", "password:", "Password for root: ", "root@web1's password: "])
def test_the_login_password_is_given_to_the_question_for_it(serve: Serve, prompt: str) -> None:
    server, operator = serve(asking(ask(prompt))), Operator([PASSWORD], accepts=True)
    assert login(server, operator) == "hello\n"
    assert [(question.kind, question.host) for question in operator.secrets] == [("password", "web1")]
    assert learnt(server) == [PASSWORD]


@pytest.mark.parametrize(
    "prompt",
    [
        *("Verification code: ", "Password of root on db-master: ", "Password for root on db-master: ", ""),
        *("Password for admin: ", "admin@web1's password: ", "New password: ", "Password", "Password: Password: "),
        *("Password:\nPassword: ", "\x1b[2KPassword: ", "sudo password: ", "Passwort: ", "password: " + " " * 300),
    ],
)
def test_every_other_question_goes_to_the_operator_as_the_servers_words(serve: Serve, prompt: str) -> None:
    server, operator = serve(asking(ask(prompt))), Operator([CODE], accepts=True)
    assert login(server, operator) == "hello\n"
    [question] = operator.secrets
    assert (question.kind, question.host, question.user) == ("prompt", "web1", "root")
    assert all(map(harmless, question.asked.split("\n")))
    assert learnt(server) == [CODE]


def test_a_question_that_would_be_echoed_is_not_the_one_for_the_password(serve: Serve) -> None:
    server, operator = serve(asking(ask("Password: ", echo=True))), Operator([CODE], accepts=True)
    login(server, operator)
    assert [question.kind for question in operator.secrets] == ["prompt"]


def test_a_second_question_is_never_answered_from_memory(serve: Serve) -> None:
    """The very words that get the password once do not get it again, nor what was typed for it."""
    server = serve(asking(ask("Password: "), ask(f"{ESCAPES}Password: "), ask("Password: ")))
    operator = Operator([PASSWORD, MASTER], accepts=True)
    with pytest.raises(LoginRefused) as caught:
        login(server, operator)
    assert [question.kind for question in operator.secrets] == ["password", "prompt", "prompt"]
    phishing = operator.secrets[1].asked
    assert "db-master" in phishing
    assert "\x1b" not in phishing
    assert r"\x1b]0;PWNED" in phishing
    assert learnt(server) == [PASSWORD, MASTER], "no empty answer was sent for the third"
    told = "".join(traceback.format_exception(caught.value))
    assert "Its question was not answered" in caught.value.why
    assert PASSWORD not in told
    assert MASTER not in told


def test_several_questions_of_one_round_are_one_quotation_each(serve: Serve) -> None:
    text = "Duo two-factor login for root\n\n 1. Push to +49 xx 12\n 2. Code\n"
    server = serve(asking(("Duo", text, (("Password: ", False), ("Passcode or option (1-2): ", True)))))
    operator = Operator([PASSWORD, "1"], accepts=True)
    assert login(server, operator) == "hello\n"
    assert [question.kind for question in operator.secrets] == ["password", "prompt"]
    assert operator.secrets[1].asked == "Passcode or option (1-2):"
    assert learnt(server) == [PASSWORD, "1"]
    alone = Operator(["1"], accepts=True)
    login(serve(asking(("Duo", text, (("Passcode: ", True),)))), alone)
    assert alone.secrets[0].asked.splitlines() == [
        *("Duo", "Duo two-factor login for root", "", " 1. Push to +49 xx 12", " 2. Code", "Passcode:"),
    ]


def test_nobody_is_asked_without_end(serve: Serve) -> None:
    server = serve(asking(ask("Code: "), without_end=True))
    operator = Operator([CODE] * 100, accepts=True)
    with pytest.raises(LoginRefused):
        login(server, operator)
    assert len(operator.secrets) <= MOST_QUESTIONS


def test_long_texts_are_shortened_and_say_so(serve: Serve) -> None:
    server = serve(asking(ask("x" * 3000, name="n" * 3000, instruction="line\n" * 600)))
    operator = Operator([CODE], accepts=True)
    login(server, operator)
    detail = operator.secrets[0].asked
    assert len(detail) < 1300
    assert detail.count("characters more") == 3


def test_what_was_typed_is_in_no_error_and_no_log(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    server = serve(asking(ask("Password: "), ask("Code: "), ask("Again: ")))
    operator = Operator([PASSWORD, CODE], accepts=True)
    with caplog.at_level(logging.DEBUG), pytest.raises(LoginRefused) as caught:
        login(server, operator)
    told = "".join(traceback.format_exception(caught.value)) + caplog.text
    assert PASSWORD not in told
    assert CODE not in told


PARTS = (
    *("Password: ", "Password of root on db-master: ", "root@db-master's password: ", "“", "”", '"', "(", "): ", "\n"),
    *("\n\n", "x" * 70, "web1 asks: ", "Answer for root@web1 only: ", "  | ", "字" * 30, "e" + "\u0301" * 9, "\t"),
    *("Verification code: ", " ", "Is that the key of this host? [y/N]: ", "\U0001f469\u200d\U0001f467", "\u202e"),
    *("\x1b[2K", "\x9b1A", "\r", "\x85", "\u2028"),
)


def test_no_words_of_a_server_look_like_dsrwizards_own(scale: Scale, tally: Tallies) -> None:
    """On a terminal of any width: each line of it is marked, fits, and only dsrwizard's own stand without the mark."""
    counted = tally("SSH: questions on a terminal")
    for seed in range(scale(1500, 40_000)):
        dice = random.Random(seed)
        said = "".join(dice.choice(PARTS) for _ in range(dice.randint(0, 6)))
        columns = dice.choice((20, 40, 60, 80, 132, 200))
        with counted.case(f"seed {seed}"):
            question = SecretQuestion(kind="prompt", host="web1", user="root", asked=said)
            first, *others = map(one_line, question_rows(question, columns))
            assert others.pop() == "Answer for root@web1 only (hidden; Enter gives none): "
            if others:
                assert first == "web1 asks:"
                assert all(line.startswith("  | ") for line in others)
                assert all(cell_len(line) <= max(columns, 40) + 12 for line in others)
                assert len(others) < 40
            elif not said.replace("\r\n", "\n").strip(" \t\n"):
                assert first == "web1 asks an empty question."
            else:
                assert first.startswith("web1 asks: “")
                assert first.count("“") == first.count("”") == 1
                assert first.endswith("”")
                assert cell_len(first) < 60
    counted.settle()


def test_only_whole_questions_for_the_password_are_taken_for_one(scale: Scale, tally: Tallies) -> None:
    counted, usual = tally("SSH: questions for the password"), ("password:", "root@db-master's password:")
    for seed in range(scale(1500, 40_000)):
        dice = random.Random(seed)
        prompt = "".join(dice.choice(PARTS) for _ in range(dice.randint(1, 4)))
        with counted.case(f"seed {seed}: {prompt!r}"):
            assert asks_for_password(prompt, "root") == (prompt.strip(" \r\n").lower() in usual)
    counted.settle()
