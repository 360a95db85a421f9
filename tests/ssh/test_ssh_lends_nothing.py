"""A server gets a command to run and nothing else: not the operator's agent, no display, no way into their network."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from backends.ssh import open_ssh
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import HostError
from tests.ssh.sshd import Operator, Sshd

WISHES = """Host *
  ForwardAgent yes
  ForwardX11 yes
  ForwardX11Trusted yes
  RemoteForward 127.0.0.1:47811 127.0.0.1:22
  SendEnv LANG CANARY_*
  SetEnv CANARY_TWO=set
"""


@pytest.fixture
def agent(tmp_path: Path, key: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    place = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(place)], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert "SSH_AUTH_SOCK" in process.stdout.readline()
    monkeypatch.setenv("SSH_AUTH_SOCK", str(place))
    subprocess.run(["ssh-add", "-q", str(key)], check=True, stdin=subprocess.DEVNULL)
    yield
    process.terminate()
    process.wait()


@pytest.mark.usefixtures("agent")
def test_not_even_what_the_configuration_lends_to_others(
    sshd: Sshd, operator: Operator, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / ".ssh/config").write_text(WISHES)
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setenv("CANARY_ONE", "of the operator")
    connector = open_ssh("web1", sshd.server(), operator)
    there = connector.run(
        "env; tty; (exec 3<>/dev/tcp/127.0.0.1/47811) 2>/dev/null && echo FORWARDED; true", deadline=20
    )
    connector.close()
    assert "PATH=" in there.stdout
    for lent in ("SSH_AUTH_SOCK", "DISPLAY", "CANARY", "SSH_TTY", "FORWARDED"):
        assert lent not in there.stdout
    assert "not a tty" in there.stdout


class _Grabbing(paramiko.ServerInterface):
    def check_auth_none(self, username: str) -> int:
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return True


HERE, THERE = ("127.0.0.1", 22), ("127.0.0.1", 4711)
Address = tuple[str, int] | None
GRABS: dict[str, tuple[Address, Address]] = {
    "auth-agent@openssh.com": (None, None),
    "x11": (None, THERE),
    "forwarded-tcpip": (HERE, THERE),
    "direct-tcpip": (HERE, THERE),
    "session": (None, None),
}


@pytest.mark.parametrize("kind", GRABS)
def test_no_channel_that_a_server_opens_is_taken(kind: str, operator: Operator) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    outcome: list[str] = []

    def serve() -> None:
        sock, _ = listener.accept()
        transport = paramiko.Transport(sock)
        transport.add_server_key(paramiko.ECDSAKey.generate())
        transport.start_server(server=_Grabbing())
        channel = transport.accept(20)
        try:
            transport.open_channel(kind, *GRABS[kind], timeout=15)
            outcome.append("taken")
        except paramiko.ChannelException as refused:
            outcome.append(f"refused {refused.code}")
        if channel is not None:
            channel.close()
        transport.close()

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    target = RealServer(name="web1", address="127.0.0.1", port=listener.getsockname()[1], user="root")
    with contextlib.suppress(HostError):  # it runs nothing, so the script ends without an answer
        open_ssh("web1", target, operator).run("true", deadline=60)
    server.join(30)
    listener.close()
    assert outcome == ["refused 1"]  # administratively prohibited (RFC 4254, 5.1)
