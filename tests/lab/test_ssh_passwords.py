"""Passwords where they are real: logins and sudo on the lab's servers; a changed key; a jump through a server."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from tests.lab.harness import OPS_HOST, OPS_PASSWORD, OPS_USER, ROOT_PASSWORD, Lab

pytestmark = pytest.mark.long

WRONG = "canary-wrong-5e77"
ADDRESSES = {"web1": "10.0.0.101", "web2": "10.0.0.102", "web3": "10.0.0.103"}

# Runs on the director: one connection and one script, the operator's answers from a list.
PROGRAM = """
import json, sys, traceback
from backends.ssh import open_ssh
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.secret import Secret

job = json.loads(sys.stdin.read())
class Operator:
    asked = []
    def secret(self, question):
        self.asked.append([question.kind, question.refused])
        return Secret(job["answers"].pop(0)) if job["answers"] else None
    def accept_key(self, question):
        self.asked.append(["key", question.fingerprint])
        return False
told = {"stdout": None, "status": None, "error": None, "trace": ""}
try:
    connector = open_ssh(job["server"]["name"], RealServer(**job["server"]), Operator())
    for script in job["scripts"]:
        answer = connector.run(script, deadline=60)
        told |= {"stdout": answer.stdout, "status": answer.status}
    connector.close()
except DsrError as error:
    told |= {"error": error.kind, "message": str(error), "trace": traceback.format_exc()}
print(json.dumps(told | {"asked": Operator.asked}))
"""


def connect(lab: Lab, host: str, *answers: str, user: str = "root", scripts: tuple[str, ...] = ("id -u",)) -> Any:
    server = {"name": host, "address": ADDRESSES[host], "user": user}
    job = {"server": server, "answers": answers, "scripts": scripts}
    result = lab.run("director", [sys.executable, "-c", PROGRAM], stdin=json.dumps(job)).ok()
    assert result.stderr == ""
    assert WRONG not in result.stdout, "a secret got out"
    return result.json


@pytest.fixture
def no_keys(lab: Lab) -> Any:
    """The director has no key to offer, as on a machine where everybody types passwords."""
    config = lab.run("director", "cat ~/.ssh/config 2>/dev/null; true").stdout
    lab.run("director", "mkdir -p ~/.ssh; printf 'Host *\\n IdentityFile none\\n' > ~/.ssh/config").ok()
    yield
    lab.run("director", "cat > ~/.ssh/config", stdin=config).ok()


@pytest.mark.usefixtures("no_keys")
def test_a_login_password(lab: Lab) -> None:
    told = connect(lab, "web1", ROOT_PASSWORD)
    assert (told["stdout"], told["asked"]) == ("0\n", [["password", False]])


@pytest.mark.usefixtures("no_keys")
def test_a_wrong_login_password_is_asked_again(lab: Lab) -> None:
    told = connect(lab, "web1", WRONG, ROOT_PASSWORD)
    assert (told["stdout"], told["asked"]) == ("0\n", [["password", False], ["password", True]])


@pytest.mark.usefixtures("no_keys")
def test_wrong_passwords_end_in_a_refusal(lab: Lab) -> None:
    told = connect(lab, "web1", WRONG, WRONG + "2", WRONG + "3", ROOT_PASSWORD)
    assert told["error"] == "login"
    assert "password (3 times)" in told["message"]


@pytest.mark.usefixtures("no_keys")
def test_login_and_sudo_password(lab: Lab) -> None:
    told = connect(lab, OPS_HOST, OPS_PASSWORD, WRONG, OPS_PASSWORD, user=OPS_USER, scripts=("id -u", "cat; id -u"))
    assert told["stdout"] == "0\n"
    assert told["asked"] == [["password", False], ["sudo", False], ["sudo", True]]


def test_a_key_and_the_sudo_password_with_a_big_script(lab: Lab) -> None:
    big = f"# {'x' * 100}\n" * 12000 + "id -u; head -c 1500000 /dev/zero | tr '\\0' a"
    told = connect(lab, OPS_HOST, OPS_PASSWORD, user=OPS_USER, scripts=(big,))
    assert told["stdout"] == "0\n" + "a" * 1_500_000


def test_a_sudo_password_wrong_three_times(lab: Lab) -> None:
    told = connect(lab, OPS_HOST, WRONG, WRONG + "2", WRONG + "3", OPS_PASSWORD, user=OPS_USER)
    assert (told["error"], len(told["asked"])) == ("privilege", 3)


def test_a_user_whom_sudo_does_not_know(lab: Lab) -> None:
    sudoers = lab.read(OPS_HOST, "/etc/sudoers")
    lab.put("/etc/sudoers", "root ALL=(ALL:ALL) ALL\n", host=OPS_HOST)
    try:
        told = connect(lab, OPS_HOST, OPS_PASSWORD, user=OPS_USER)
    finally:
        lab.put("/etc/sudoers", sudoers, host=OPS_HOST)
    assert told["error"] == "privilege"
    assert "not in the sudoers file" in told["message"]


def test_sudo_that_wants_no_password(lab: Lab) -> None:
    sudoers = lab.read(OPS_HOST, "/etc/sudoers")
    lab.put("/etc/sudoers", f"{sudoers}{OPS_USER} ALL=(ALL) NOPASSWD: ALL\n", host=OPS_HOST)
    try:
        told = connect(lab, OPS_HOST, user=OPS_USER)
    finally:
        lab.put("/etc/sudoers", sudoers, host=OPS_HOST)
    assert (told["stdout"], told["asked"]) == ("0\n", [])


def test_a_jump_through_another_server(lab: Lab) -> None:
    config = lab.run("director", "cat ~/.ssh/config 2>/dev/null; true").stdout
    lab.put("/tmp/jump", f"Host {ADDRESSES['web2']}\n ProxyJump root@{ADDRESSES['web1']}\n{config}")
    lab.run("director", "cp /tmp/jump ~/.ssh/config").ok()
    try:
        told = connect(lab, "web2", scripts=("hostname; echo $SSH_CONNECTION",))
    finally:
        lab.run("director", "cat > ~/.ssh/config", stdin=config).ok()
    host, path = told["stdout"].splitlines()
    assert host == "web2"
    assert path.startswith(f"{ADDRESSES['web1']} "), "the server sees the jump host"


def test_a_changed_key_is_refused_and_not_offered(lab: Lab) -> None:
    lab.change_host_key("web1")
    told = connect(lab, "web1", ROOT_PASSWORD)
    assert (told["error"], told["asked"]) == ("key-changed", [])
    assert "ssh-keygen -f" in told["message"]
