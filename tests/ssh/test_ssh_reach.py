"""Getting to an SSH server: refused, silent, foreign or unknown addresses, jump hosts, proxy commands."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backends.ssh import open_ssh
from dsrwizard.core.model.deployment import Client, RealServer
from dsrwizard.core.model.errors import (
    ConnectionRefused,
    ConnectTimeout,
    HostError,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
    NameUnknown,
)
from tests.ports import free_port
from tests.ssh.sshd import USER, Operator, Sshd, keygen, public

MakeSshd = Callable[..., Sshd]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """Takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock


def config(home: Path, text: str) -> None:
    (home / ".ssh" / "config").write_text(text)


def at(port: int, key: Path, address: str = "127.0.0.1") -> RealServer:
    return RealServer(name="web1", address=address, port=port, user=USER, identity_file=str(key))


def test_nobody_listens(key: Path, operator: Operator) -> None:
    port = free_port()
    with pytest.raises(ConnectionRefused) as caught:
        open_ssh("web1", at(port, key), operator)
    assert caught.value.what == f"web1: 127.0.0.1 port {port} refused the connection."


def test_a_server_that_never_speaks(key: Path, operator: Operator, listener: socket.socket, home: Path) -> None:
    config(home, "Host *\n  ConnectTimeout 1\n")
    begin = time.monotonic()
    with pytest.raises(ConnectTimeout) as caught:
        open_ssh("web1", at(listener.getsockname()[1], key), operator)
    assert time.monotonic() - begin < 30
    assert "within 1 s" in caught.value.what


def test_an_address_where_packets_vanish(
    key: Path, operator: Operator, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    config(home, "ConnectTimeout 1\n")
    with socket.socket() as full:
        # A queue that is full makes the kernel drop the handshake, as a firewall would.
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()), pytest.raises(ConnectTimeout) as caught:
            open_ssh("web1", at(full.getsockname()[1], key), operator)
    assert "did not answer within 1 s" in caught.value.what or "did not speak SSH within 1 s" in caught.value.what


def test_another_kind_of_server(key: Path, operator: Operator, listener: socket.socket) -> None:
    def serve() -> None:
        taken, _ = listener.accept()
        with taken:
            taken.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(ConnectionRefused) as caught:
        open_ssh("web1", at(listener.getsockname()[1], key), operator)
    thread.join()
    assert "not an SSH server" in caught.value.what


def test_a_name_without_address(key: Path, operator: Operator, home: Path) -> None:
    config(home, "Host 127.0.0.1\n  HostName no-such-host.invalid\n")
    with pytest.raises(NameUnknown) as caught:
        open_ssh("web1", at(22, key), operator)
    assert "no-such-host.invalid" in caught.value.what


def test_a_broken_configuration_names_its_line(key: Path, operator: Operator, home: Path) -> None:
    config(home, "# mine\nPort http\n")
    with pytest.raises(HostError) as caught:
        open_ssh("web1", RealServer(name="web1", address="127.0.0.1"), operator)
    assert "config line 2" in caught.value.what


@pytest.mark.parametrize("hop_of_hop", [False, True])
def test_through_jump_hosts(make_sshd: MakeSshd, key: Path, operator: Operator, home: Path, hop_of_hop: bool) -> None:
    goal, hop, first = make_sshd(), make_sshd(), make_sshd()
    for server in (goal, hop, first):
        server.allow(key)
    config(
        home,
        f"Host 127.0.0.1\n  ProxyJump hop\nHost hop first\n  HostName 127.0.0.1\n  User {USER}\n"
        f"  IdentityFile {key}\nHost hop\n  Port {hop.port}\n"
        + ("  ProxyJump first\n" if hop_of_hop else "")
        + f"Host first\n  Port {first.port}\n",
    )
    connectors = [open_ssh(f"web{number}", goal.server(key), operator) for number in range(2)]
    assert [connector.run("echo there", deadline=60).stdout for connector in connectors] == ["there\n"] * 2
    assert len(hop.sessions()) == 1, "hosts behind one jump host share its connection"
    assert len(first.sessions()) == int(hop_of_hop)
    connectors[0].close()
    assert connectors[1].run("echo still", deadline=60).stdout == "still\n"
    connectors[1].close()
    deadline = time.monotonic() + 60
    while hop.sessions() + first.sessions() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert hop.sessions() + first.sessions() == []


def test_many_hosts_behind_one_jump_host_ask_once(
    make_sshd: MakeSshd, key: Path, operator: Operator, home: Path
) -> None:
    goal, hop = make_sshd(), make_sshd(options=("MaxStartups 1",))
    goal.allow(key)
    hop.allow(key)
    config(home, f"Host 127.0.0.1\n  ProxyJump {USER}@localhost:{hop.port}\nHost localhost\n  IdentityFile {key}\n")

    def one(number: int) -> str:
        connector = open_ssh(f"web{number}", goal.server(key), operator)
        try:
            return connector.run("echo there", deadline=60).stdout
        finally:
            connector.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == ["there\n"] * 8
    assert sum("localhost" in question.address for question in operator.keys) == 1


def test_a_jump_host_that_fails_is_named(make_sshd: MakeSshd, key: Path, operator: Operator, home: Path) -> None:
    port = free_port()
    config(home, f"Host 127.0.0.1\n  ProxyJump bastion\nHost bastion\n  HostName localhost\n  Port {port}\n")
    with pytest.raises(ConnectionRefused) as caught:
        open_ssh("web1", at(22, key), operator)
    assert caught.value.what.startswith("web1: jump host bastion: ")


def test_a_login_refused_by_the_jump_host(sshd: Sshd, make_sshd: MakeSshd, operator: Operator, home: Path) -> None:
    hop = make_sshd()
    config(home, f"Host 127.0.0.1\n  ProxyJump localhost:{hop.port}\n")
    with pytest.raises(LoginRefused) as caught:
        open_ssh("web1", RealServer(name="web1", address="127.0.0.1", port=sshd.port), operator)
    assert "jump host localhost" in caught.value.what


def test_an_unknown_key_of_the_jump_host(sshd: Sshd, make_sshd: MakeSshd, key: Path, home: Path) -> None:
    hop = make_sshd()
    config(home, f"Host 127.0.0.1\n  ProxyJump localhost:{hop.port}\n")
    with pytest.raises(HostKeyUnknown) as caught:
        open_ssh("web1", sshd.server(key), Operator(accepts=False))
    assert "jump host localhost" in caught.value.what


@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("wrong", ["first", "last", "goal"])
def test_a_changed_key_anywhere_on_the_way_ends_it_there(
    make_sshd: MakeSshd, key: Path, operator: Operator, home: Path, hops: int, wrong: str
) -> None:
    """Each hop is looked up under its own name, and nothing behind the one that is wrong is reached."""
    chain = [make_sshd() for _ in range(hops)]
    goal = make_sshd()
    for server in (*chain, goal):
        server.allow(key)
    jumps = ",".join(f"{USER}@hop{number}:{server.port}" for number, server in enumerate(chain))
    config(
        home,
        f"Host 127.0.0.1\n  ProxyJump {jumps}\nHost hop*\n  HostName 127.0.0.1\n  IdentityFile {key}\n",
    )
    bad = {"first": 0, "last": hops - 1, "goal": hops}[wrong]
    lines = [server.known_line() for server in (*chain, goal)]
    lines[bad] = f"[127.0.0.1]:{[*chain, goal][bad].port} {public(keygen(home / 'other'))}\n"
    (home / ".ssh" / "known_hosts").write_text("".join(lines))
    with pytest.raises(HostKeyChanged) as caught:
        open_ssh("web1", goal.server(key), operator)
    assert operator.keys == [], "a changed key is not put to anybody"
    assert f"{[*chain, goal][bad].port}" in caught.value.what
    assert caught.value.what.startswith("web1: ")
    assert [bool(server.sessions()) for server in (*chain, goal)][bad + 1 :] == [False] * (hops - bad)


def test_what_the_jump_host_cannot_reach(make_sshd: MakeSshd, key: Path, operator: Operator, home: Path) -> None:
    hop, closed = make_sshd(), make_sshd(options=("AllowTcpForwarding no",))
    port = free_port()
    for server, kind, words in ((hop, ConnectTimeout, "nc -vz"), (closed, HostError, "AllowTcpForwarding")):
        server.allow(key)
        config(home, f"Host 127.0.0.1\n  ProxyJump {USER}@localhost:{server.port}\nHost *\n  IdentityFile {key}\n")
        with pytest.raises(kind) as caught:
            open_ssh("web1", at(port, key), operator)
        assert words in str(caught.value)
        assert f"localhost:{server.port}" in caught.value.what


def test_jump_hosts_in_a_circle(key: Path, operator: Operator, home: Path) -> None:
    config(home, "Host a\n  ProxyJump b\nHost *\n  ProxyJump a\n")
    with pytest.raises(HostError) as caught:
        open_ssh("web1", at(22, key), operator)
    assert "ProxyJump" in caught.value.why


def test_a_proxy_command(sshd: Sshd, key: Path, operator: Operator, home: Path) -> None:
    relay = home / "relay.py"
    relay.write_text(
        "import os, socket, sys, threading\n"
        "s = socket.create_connection((sys.argv[1], int(sys.argv[2])))\n"
        "def up():\n"
        "    while data := os.read(0, 65536): s.sendall(data)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while data := s.recv(65536): os.write(1, data)\n"
    )
    config(home, f"Host 127.0.0.1\n  ProxyCommand python3 {relay} %h %p\n")
    connector = open_ssh(
        "client", Client(address="127.0.0.1", port=sshd.port, user=sshd.user, identity_file=str(key)), operator
    )
    assert connector.run("echo there", deadline=60).stdout == "there\n"
    connector.close()


def test_a_proxy_command_that_fails_is_quoted(key: Path, operator: Operator, home: Path) -> None:
    config(home, "Host 127.0.0.1\n  ProxyCommand echo no way >&2; exit 1\n")
    with pytest.raises(HostError) as caught:
        open_ssh("web1", at(22, key), operator)
    assert "no way" in caught.value.why
