"""Logging in to a real sshd: keys, agent, passphrases, what refusal says, and that no secret gets out."""

from __future__ import annotations

import logging
import subprocess
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest

from backends.ssh import forget, open_ssh
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import LoginRefused
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import SecretQuestion
from tests.ssh.sshd import USER, Operator, Sshd, keygen

MakeSshd = Callable[..., Sshd]
CANARY = "canary-7c20"


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A running ssh-agent without keys."""
    place = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()  # printed once the socket is there
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    yield place
    process.terminate()
    process.wait(60)
    process.stdout.close()


def says_hello(server: Sshd, operator: Operator, key: Path | None = None) -> bool:
    connector = open_ssh("web1", server.server(key), operator)
    try:
        return connector.run("echo hello", deadline=60).stdout == "hello\n"
    finally:
        connector.close()


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa"])
def test_each_kind_of_key(sshd: Sshd, operator: Operator, home: Path, kind: str) -> None:
    key = keygen(home / kind, kind)
    sshd.allow(key)
    assert says_hello(sshd, operator, key)
    assert operator.secrets == []


@pytest.mark.parametrize("form", ["PEM", "PKCS8"])
def test_old_file_formats(sshd: Sshd, operator: Operator, home: Path, form: str) -> None:
    key = keygen(home / "old", "rsa")
    sshd.allow(key)
    subprocess.run(["ssh-keygen", "-q", "-p", "-m", form, "-P", "", "-N", "words", "-f", str(key)], check=True)
    operator.answers = ["words"]
    assert says_hello(sshd, operator, key)


def test_a_key_in_its_usual_place_needs_no_naming(sshd: Sshd, operator: Operator, home: Path) -> None:
    sshd.allow(keygen(home / ".ssh" / "id_ed25519"))
    assert says_hello(sshd, operator)


def test_the_agents_key_is_used(sshd: Sshd, operator: Operator, key: Path, agent: Path) -> None:
    subprocess.run(["ssh-add", "-q", str(key)], check=True)
    key.unlink()
    assert says_hello(sshd, operator)


def test_the_agent_spares_the_passphrase(sshd: Sshd, operator: Operator, home: Path, agent: Path) -> None:
    key = keygen(home / "locked")
    sshd.allow(key)
    subprocess.run(["ssh-add", "-q", str(key)], check=True)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", CANARY, "-f", str(key)], check=True)
    assert says_hello(sshd, operator, key)
    assert operator.secrets == []


def test_more_agent_keys_than_the_server_has_patience_for(
    make_sshd: MakeSshd, operator: Operator, home: Path, agent: Path
) -> None:
    server = make_sshd(options=("MaxAuthTries 2",))
    for number in range(5):
        key = keygen(home / f"key{number}")
        subprocess.run(["ssh-add", "-q", str(key)], check=True)
    server.allow(key)
    assert says_hello(server, operator)


def test_a_broken_agent_is_no_hindrance(
    sshd: Sshd, operator: Operator, key: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", str(home / "nothing-here"))
    assert says_hello(sshd, operator, key)


def test_one_passphrase_for_many_hosts(sshd: Sshd, operator: Operator, home: Path) -> None:
    key = keygen(home / "locked", passphrase=CANARY)
    sshd.allow(key)
    operator.answers = ["wrong", CANARY]
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda _: says_hello(sshd, operator, key), range(8)))
    assert [(question.kind, question.detail, question.refused) for question in operator.secrets] == [
        ("passphrase", "~/locked", False),
        ("passphrase", "~/locked", True),
    ]


def test_forgotten_secrets_are_asked_again(sshd: Sshd, operator: Operator, home: Path) -> None:
    key = keygen(home / "locked", passphrase=CANARY)
    sshd.allow(key)
    operator.answers = [CANARY, CANARY]
    assert says_hello(sshd, operator, key)
    forget(operator)
    assert says_hello(sshd, operator, key)
    assert len(operator.secrets) == 2


def test_a_passphrase_wrong_three_times(sshd: Sshd, operator: Operator, home: Path) -> None:
    key = keygen(home / "locked", passphrase="right")
    sshd.allow(key)
    operator.answers = [CANARY, CANARY + "b", CANARY + "c", "right"]
    with pytest.raises(LoginRefused) as caught:
        says_hello(sshd, operator, key)
    assert "~/locked: its passphrase was wrong 3 times" in caught.value.why
    assert len(operator.secrets) == 3


def test_refusal_says_what_was_tried_and_what_the_server_takes(
    make_sshd: MakeSshd, operator: Operator, home: Path
) -> None:
    key = keygen(home / "stranger")
    with pytest.raises(LoginRefused) as caught:
        says_hello(make_sshd(), operator, key)
    assert caught.value.what.startswith("web1: login as ")
    assert "Tried: key ~/stranger." in caught.value.why
    assert "The server accepts: publickey." in caught.value.why


def test_a_wrong_password_is_asked_three_times_and_never_told(
    make_sshd: MakeSshd, home: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    server = make_sshd(options=("PasswordAuthentication yes", "LogLevel VERBOSE"))
    operator = Operator([f"{CANARY}{number}" for number in range(5)], accepts=True)
    with caplog.at_level(logging.DEBUG), pytest.raises(LoginRefused) as caught:
        says_hello(server, operator)
    assert [question.refused for question in operator.secrets] == [False, True, True]
    assert {question.kind for question in operator.secrets} == {"password"}
    assert "password (3 times)" in caught.value.why
    assert "publickey, password" in caught.value.why
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + "".join(capfd.readouterr())
    assert CANARY not in told
    assert caplog.text == ""


def test_no_password_given_is_said_so(make_sshd: MakeSshd, operator: Operator) -> None:
    server = make_sshd(options=("PasswordAuthentication yes",))
    with pytest.raises(LoginRefused) as caught:
        says_hello(server, operator)
    assert "No password was given." in caught.value.why


def test_a_missing_identity_file_is_said_before_anything_else(operator: Operator, home: Path, sshd: Sshd) -> None:
    with pytest.raises(LoginRefused) as caught:
        says_hello(sshd, operator, home / "no-such-key")
    assert "~/no-such-key" in caught.value.what
    assert "no such file" in caught.value.why
    assert operator.keys == []


def test_a_damaged_identity_file_is_said(operator: Operator, home: Path, sshd: Sshd) -> None:
    key = home / "damaged"
    key.write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEA\n-----END OPENSSH PRIVATE KEY-----\n")
    with pytest.raises(LoginRefused) as caught:
        says_hello(sshd, operator, key)
    assert "~/damaged: it is not a readable private key" in caught.value.why


def test_a_server_that_hangs_up_while_the_operator_types(make_sshd: MakeSshd, home: Path) -> None:
    server = make_sshd()
    key = keygen(home / "locked", passphrase=CANARY)
    server.allow(key)

    class Interrupted(Operator):
        """While this operator types, the server loses patience."""

        def secret(self, question: SecretQuestion) -> Secret | None:
            server.cut()
            return super().secret(question)

        __hash__ = object.__hash__

    operator = Interrupted([CANARY], accepts=True)
    assert says_hello(server, operator, key)
    assert len(operator.secrets) == 1


@pytest.mark.parametrize("error", [paramiko.SSHException("No existing session"), EOFError(), OSError("reset")])
def test_a_server_that_hangs_up_when_the_key_is_offered_at_last(
    make_sshd: MakeSshd, home: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The passphrase was typed for a connection that breaks before anything is said of the key."""
    server = make_sshd()
    key = keygen(home / "locked", passphrase=CANARY)
    server.allow(key)
    offered: list[paramiko.Transport] = []
    real = paramiko.Transport.auth_publickey

    def offer(transport: paramiko.Transport, *given: Any, **more: Any) -> list[str]:
        offered.append(transport)
        if len(offered) == 1:
            transport.close()
            raise error
        return real(transport, *given, **more)

    monkeypatch.setattr(paramiko.Transport, "auth_publickey", offer)
    operator = Operator([CANARY], accepts=True)
    assert says_hello(server, operator, key)
    assert len(operator.secrets) == 1


def test_the_configurations_user_and_key_are_used(sshd: Sshd, operator: Operator, key: Path, home: Path) -> None:
    (home / ".ssh" / "config").write_text(
        f"Host web1\n  User {USER}\n  Port {sshd.port}\n  IdentityFile ~/{key.name}\n  IdentitiesOnly yes\n"
    )
    connector = open_ssh("web1", RealServer(name="web1", address="127.0.0.1"), operator)
    assert connector.run("echo hello", deadline=60).stdout == "hello\n"
    connector.close()
