"""Becoming root by sudo on a real sshd; sudo itself is a stand-in that asks and refuses in sudo's own words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from backends.ssh import open_ssh
from dsrwizard.core.model.errors import NoPrivilege
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import Connector, SecretQuestion
from tests.fakes.clock import Clock
from tests.ssh.sshd import LOGIN, Operator, Sshd

MakeSshd = Callable[..., Sshd]
CANARY = "canary-8d1f"


@pytest.fixture
def connect(make_sshd: MakeSshd, key: Path) -> Callable[[str, Operator], Connector]:
    def connect(sudo: str, operator: Operator) -> Connector:
        server = make_sshd(sudo=sudo, account=True)
        server.word = "sudo-word"
        server.allow(key)
        return open_ssh("web1", server.server(key), operator)

    return connect


Connect = Callable[[str, Operator], Connector]


def test_sudo_without_password_asks_nobody(connect: Connect, operator: Operator) -> None:
    assert connect("open", operator).run("echo out", deadline=60).stdout == "out\n"
    assert operator.secrets == []


def test_the_sudo_password_is_asked_once_for_many_runs(connect: Connect, operator: Operator) -> None:
    operator.answers = ["sudo-word"]
    connector = connect("asks", operator)
    answers = [connector.run(f"cat; echo {number}; echo err >&2", deadline=60) for number in range(2)]
    assert [(answer.stdout, answer.stderr) for answer in answers] == [("0\n", "err\n"), ("1\n", "err\n")]
    assert [(question.kind, question.host, question.refused) for question in operator.secrets] == [
        ("sudo", "web1", False)
    ]


def test_a_wrong_sudo_password_is_asked_again(connect: Connect, operator: Operator) -> None:
    operator.answers = [CANARY, "sudo-word"]
    assert connect("asks", operator).run("echo out", deadline=60).stdout == "out\n"
    assert [question.refused for question in operator.secrets] == [False, True]


def test_three_wrong_sudo_passwords_are_enough(connect: Connect, operator: Operator) -> None:
    operator.answers = [CANARY, CANARY + "2", CANARY + "3", "sudo-word"]
    with pytest.raises(NoPrivilege) as caught:
        connect("asks", operator).run("echo out", deadline=60)
    assert "3 times" in caught.value.what
    assert CANARY not in str(caught.value)
    assert len(operator.secrets) == 3


def test_no_answer_is_no_privilege(connect: Connect, operator: Operator) -> None:
    with pytest.raises(NoPrivilege) as caught:
        connect("asks", operator).run("echo out", deadline=60)
    assert "none was given" in caught.value.what
    assert f"`{LOGIN} ALL=(root) NOPASSWD: /bin/sh`" in caught.value.next


@pytest.mark.parametrize(
    ("sudo", "said", "next_"),
    [
        ("not-in", "not in the sudoers", f"Allow it in /etc/sudoers.d on web1: `{LOGIN} ALL=(root) /bin/sh`"),
        ("tty", "must have a tty", "Remove requiretty"),
        ("missing", "not found", "Install sudo there"),
    ],
)
def test_what_sudo_says_is_quoted(connect: Connect, operator: Operator, sudo: str, said: str, next_: str) -> None:
    with pytest.raises(NoPrivilege) as caught:
        connect(sudo, operator).run("echo out", deadline=60)
    assert said in caught.value.why
    assert caught.value.next.startswith(next_)


def test_time_the_operator_takes_is_not_the_hosts(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    class SlowTypist(Operator):
        __hash__ = object.__hash__

        def secret(self, question: SecretQuestion) -> Secret | None:
            clock.ahead += 600
            return super().secret(question)

    monkeypatch.setattr("backends.ssh.session.time", clock)
    connector = connect("asks", SlowTypist(answers=["sudo-word"], accepts=True))
    assert connector.run("echo out", deadline=60).stdout == "out\n"
    assert clock.ahead == 600
