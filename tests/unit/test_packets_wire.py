"""The wire as the engine sees it, on this machine's loopback: connects, and problems in words instead of errors."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, NoReturn

import pytest

from backends.packets import capture, connect, link, ping
from backends.packets.announce import announce
from backends.packets.port import Wire
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.ports import ProbeTarget, WirePort
from tests.unit.test_packets_frames import DIRECTOR_MAC, packed

WIRE: WirePort = Wire()
TARGET = ProbeTarget(rip="10.0.0.101", vip="10.0.0.10", port=80)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Bound, so that nobody else listens there, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def eth0(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interface to speak from."""
    found = link.EthernetLink("eth0", DIRECTOR_MAC, (link.LinkAddress(packed("10.0.0.2"), 24),))
    for module in ("owners", "probe", "announce"):
        monkeypatch.setattr(f"backends.packets.{module}.look_up", lambda _name: found)


@pytest.fixture
def unprivileged(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that refuses raw and ping sockets, as it does an ordinary user."""

    def refuse(*_: Any) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    for module in (capture, ping):
        monkeypatch.setattr(module.socket, "socket", refuse)


def test_connects_come_back_in_order_each_with_its_result(listener: socket.socket, closed_port: int) -> None:
    port = listener.getsockname()[1]
    targets = [("127.0.0.1", port), ("127.0.0.1", closed_port), ("web1", 80), ("127.0.0.1", 70000)]
    found = WIRE.connect(targets)
    assert [(one.address, one.port) for one in found] == targets
    assert [one.result for one in found] == ["open", "refused", "unknown", "unknown"]
    assert found[0].milliseconds is not None
    assert "not an IP address" in found[2].problem
    assert "70000 is not a valid port" in found[3].problem


def test_an_open_connection_is_ended_politely(listener: socket.socket) -> None:
    WIRE.connect([listener.getsockname()])
    accepted, _ = listener.accept()
    with accepted:
        assert accepted.recv(10) == b""  # the end of the stream; a reset would raise


def test_a_server_that_takes_no_more_connections_is_silent(listener: socket.socket) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        where = full.getsockname()
        with socket.create_connection(where):
            found = WIRE.connect([where, listener.getsockname()], deadline=0.2)
    assert [one.result for one in found] == ["silent", "open"]


def test_more_connects_than_descriptors_are_all_made(
    listener: socket.socket, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_room", lambda: 3)
    targets = [listener.getsockname(), ("127.0.0.1", closed_port)] * 20
    assert [one.result for one in WIRE.connect(targets)] == ["open", "refused"] * 20


@pytest.mark.parametrize("interface", ["none-such", "", "a-name-too-long-for-any-interface", "x\0y"])
def test_an_interface_that_is_not_there_is_named(interface: str) -> None:
    (probed,) = WIRE.probe(interface, [TARGET])
    assert probed.signature == "unknown"
    assert "This machine has no interface" in probed.problem
    assert WIRE.owners(interface, ["10.0.0.10"])["10.0.0.10"].problem == probed.problem
    with pytest.raises(LookError, match="This machine has no interface"):
        announce(interface, "10.0.0.10")


def test_loopback_is_refused_because_it_has_no_layer_2() -> None:
    assert "lo is not an Ethernet interface" in WIRE.owners("lo", ["10.0.0.10"])["10.0.0.10"].problem


@pytest.mark.usefixtures("eth0", "unprivileged")
def test_without_privilege_every_result_says_what_is_missing() -> None:
    words = "raw sockets need root or CAP_NET_RAW"
    probed = WIRE.probe("eth0", [TARGET, TARGET])
    assert [one.signature for one in probed] == ["unknown", "unknown"]
    assert all(words in one.problem for one in probed)
    assert words in WIRE.owners("eth0", ["10.0.0.10"])["10.0.0.10"].problem
    pings = WIRE.ping(["10.0.0.101", "fd00::101"])
    assert all(words in one.problem for one in pings.values())
    with pytest.raises(LookError, match=words):
        announce("eth0", "10.0.0.10")


@pytest.mark.usefixtures("eth0", "unprivileged")
@pytest.mark.parametrize(
    ("target", "words"),
    [
        (ProbeTarget(rip="web1", vip="10.0.0.10", port=80), "'web1' is not an IP address"),
        (ProbeTarget(rip="10.0.0.101", vip="fd00::10", port=80), "different address families"),
        (ProbeTarget(rip="fd00::101", vip="fd00::10", port=80), "no address of its own"),
        (ProbeTarget(rip="10.0.0.101", vip="10.0.0.10", port=80, mac="web1"), "not a machine's MAC"),
        (ProbeTarget(rip="10.0.0.2", vip="10.0.0.10", port=80), "this machine itself"),
        (ProbeTarget(rip="10.0.0.101", vip="10.0.0.10", port=0), "Port 0"),
    ],
)
def test_a_target_that_cannot_be_probed_says_why_and_spares_the_others(target: ProbeTarget, words: str) -> None:
    impossible, possible = WIRE.probe("eth0", [target, TARGET])
    assert impossible.signature == possible.signature == "unknown"
    assert words in impossible.problem
    assert "CAP_NET_RAW" in possible.problem


def test_nothing_asked_is_nothing_answered() -> None:
    assert (WIRE.ping([]), WIRE.connect([]), WIRE.owners("none-such", []), WIRE.probe("none-such", [])) == (
        {}, [], {}, [],
    )  # fmt: skip


def test_an_address_that_is_none_is_told_beside_good_ones() -> None:
    assert "'10.0.0' is not an IP address" in WIRE.owners("none-such", ["10.0.0"])["10.0.0"].problem
    assert "'x' is not an IP address" in WIRE.ping(["x"])["x"].problem
