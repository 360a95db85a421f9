"""Whoever names a VIP as its own is told, once a second and no more; what says nothing of it is not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.packets import arp, capture, ethernet, hear, ndp
from backends.packets.ethernet import mac_text
from backends.packets.hear import ClaimListener, Claims
from backends.packets.port import Wire
from dsrwizard.core.model.answers import Claim
from tests.unit.test_packets_frames import DIRECTOR_MAC, SERVER_MAC, frame, packed
from tests.unit.test_packets_fuzz import mangled
from tests.unit.test_packets_owners import passes, reply

VIP, VIP6, RIP, RIP6 = packed("10.0.0.10"), packed("fd00::10"), packed("10.0.0.101"), packed("fd00::101")
OTHER = bytes.fromhex("02000a0000ee")
ROUTER, ROUTER6 = packed("10.0.0.1"), packed("fd00::1")


def claims(own: frozenset[bytes] = frozenset({DIRECTOR_MAC})) -> Claims:
    return Claims(["10.0.0.10", "fd00::10"], lambda: own)


def advertised(address: bytes, mac: bytes) -> bytes:
    return ndp.unsolicited(mac, address)


@pytest.mark.parametrize(
    ("data", "address", "kind"),
    [
        (arp.who_has(SERVER_MAC, VIP, ROUTER), "10.0.0.10", "request"),
        (arp.gratuitous(SERVER_MAC, VIP)[0], "10.0.0.10", "gratuitous"),
        (arp.gratuitous(SERVER_MAC, VIP)[1], "10.0.0.10", "gratuitous"),
        (ndp.unsolicited(SERVER_MAC, VIP6), "fd00::10", "advertisement"),
        (ndp.solicitation(SERVER_MAC, VIP6, ROUTER6), "fd00::10", "solicitation"),
        (ndp.solicitation(SERVER_MAC, bytes(16), VIP6), "fd00::10", "solicitation"),
    ],
)
def test_each_way_to_name_an_address_is_told_by_its_kind(data: bytes, address: str, kind: str) -> None:
    (claim,) = claims().take(frame(data), 5.0, 1700000000.0)
    assert claim == Claim(at=1700000000.0, address=address, mac=mac_text(data[6:12]), kind=kind)  # type: ignore[arg-type]


def test_an_answer_to_somebodys_question_is_a_reply() -> None:
    (claim,) = claims().take(reply(VIP), 5.0, 6.0)
    assert (claim.kind, claim.mac) == ("reply", mac_text(SERVER_MAC))


@pytest.mark.parametrize(
    "data",
    [
        arp.who_has(SERVER_MAC, RIP, VIP),
        arp.who_has(SERVER_MAC, bytes(4), VIP),
        arp.gratuitous(SERVER_MAC, RIP)[0],
        ndp.solicitation(SERVER_MAC, RIP6, VIP6),
        ndp.unsolicited(SERVER_MAC, RIP6),
        arp.gratuitous(DIRECTOR_MAC, VIP)[0],
        ndp.unsolicited(DIRECTOR_MAC, VIP6),
        ndp.solicitation(DIRECTOR_MAC, bytes(16), VIP6),
    ],
)
def test_questions_about_it_others_addresses_and_our_own_word_are_no_claim(data: bytes) -> None:
    assert claims().take(frame(data), 5.0, 6.0) == []


def test_an_interface_that_came_later_is_our_own_too() -> None:
    own = {DIRECTOR_MAC}
    rules = Claims(["10.0.0.10"], lambda: frozenset(own))
    assert rules.take(frame(arp.gratuitous(OTHER, VIP)[0]), 5.0, 0.0)
    own.add(OTHER)
    assert rules.take(frame(arp.gratuitous(OTHER, VIP)[0]), 7.0, 0.0) == []


def test_the_same_claim_is_told_once_a_second_and_another_at_once() -> None:
    rules = claims()
    request, gratuitous = arp.who_has(SERVER_MAC, VIP, ROUTER), arp.gratuitous(SERVER_MAC, VIP)[0]
    told = [len(rules.take(frame(request), now, now)) for now in (5.0, 5.1, 5.999, 6.0, 6.5, 7.0)]
    assert told == [1, 0, 0, 1, 0, 1]
    assert rules.take(frame(gratuitous), 7.1, 7.1)
    assert rules.take(frame(arp.who_has(OTHER, VIP, ROUTER)), 7.1, 7.1)


def test_a_flood_of_made_up_macs_is_bounded_and_passes() -> None:
    rules = claims()
    told = 0
    for number in range(5000):
        mac = b"\x02\x00" + number.to_bytes(4, "big")
        told += len(rules.take(frame(arp.who_has(mac, VIP, ROUTER)), 5.0, 5.0))
    assert 0 < told <= 200
    assert rules.take(frame(arp.who_has(SERVER_MAC, VIP, ROUTER)), 6.1, 6.1)


def test_an_address_is_told_as_it_was_given() -> None:
    rules = Claims(["FD00:0::10", "fd00::10", "FD00:0::10"], frozenset)
    told = rules.take(frame(ndp.unsolicited(SERVER_MAC, VIP6)), 5.0, 5.0)
    assert [claim.address for claim in told] == ["FD00:0::10", "fd00::10"]


@given(mangled(), st.booleans())
def test_no_frame_makes_it_raise_or_name_what_nobody_asked_about(data: bytes, checksums: bool) -> None:
    parsed = ethernet.parse(data, checksums=checksums)
    if parsed is None:
        return
    for claim in Claims(["10.0.0.10", "10.0.0.101", "fd00::101"], frozenset).take(parsed, 5.0, 5.0):
        assert claim.address in ("10.0.0.10", "10.0.0.101", "fd00::101")
        assert packed(claim.address) in data
        assert claim.mac not in ("00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff")


@pytest.mark.parametrize("number", [1, 100, 1000])
def test_the_kernel_lets_claims_through_and_a_busy_network_stays_outside(number: int) -> None:
    many4 = [packed(f"10.7.{n // 250}.{n % 250}") for n in range(number - 1)]
    four = capture.only_claims(ethernet.ARP, [*many4, VIP])
    six = capture.only_claims(ethernet.IPV6, [*(packed(f"fd07::7:{n:x}") for n in range(1, number)), VIP6])
    assert 0 < len(four) // 8 <= 4096
    assert 0 < len(six) // 8 <= 4096
    for data in (arp.who_has(SERVER_MAC, VIP, ROUTER), *arp.gratuitous(SERVER_MAC, VIP)):
        assert passes(four, data)
    assert not passes(four, arp.who_has(SERVER_MAC, RIP, VIP))
    for data in (
        ndp.unsolicited(SERVER_MAC, VIP6), ndp.solicitation(SERVER_MAC, VIP6, ROUTER6),
        ndp.solicitation(SERVER_MAC, bytes(16), VIP6),
    ):  # fmt: skip
        assert passes(six, data)
    assert not passes(six, ndp.unsolicited(SERVER_MAC, RIP6))
    from tests.unit import test_packets_frames as frames

    for data in (frames.SYN6, frames.SYN_ACK6, frames.UDP_REPLY6, frames.REDIRECT6):
        assert not passes(six, data)


def test_more_addresses_than_a_filter_holds_are_let_through_and_sorted_out_here() -> None:
    assert capture.only_claims(ethernet.ARP, [number.to_bytes(4, "big") for number in range(1, 3000)]) == b""


# The thread, on a socket pair in place of the packet socket


class Pipe:
    """A capture that is fed by the test; `broken` is what the kernel says of an interface that went down."""

    def __init__(self) -> None:
        self.reading, self.writing = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.reading.setblocking(False)
        self.broken = False
        self.closed = False

    def __call__(self, *_: Any, **__: Any) -> Pipe:
        return self

    def fileno(self) -> int:
        return self.reading.fileno()

    def frames(self, most: int) -> Iterator[ethernet.Frame]:
        for _ in range(most):
            try:
                data = self.reading.recv(2000)
            except BlockingIOError:
                return
            if self.broken:
                self.broken = False
                raise OSError(100, "Network is down")
            yield frame(data)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipe]:
    made = Pipe()
    monkeypatch.setattr(hear, "Capture", made)
    monkeypatch.setattr(hear, "look_up", lambda name: None)
    monkeypatch.setattr(hear, "check_link", lambda name: None)
    monkeypatch.setattr(hear, "own_macs", lambda: frozenset({DIRECTOR_MAC}))
    yield made
    made.reading.close()
    made.writing.close()


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")


def test_it_listens_from_another_thread_until_it_is_closed(pipe: Pipe) -> None:
    heard: list[tuple[Claim, threading.Thread]] = []
    hearing = Wire().hear("eth0", ["10.0.0.10"], lambda claim: heard.append((claim, threading.current_thread())))
    assert hearing.problem == ""
    pipe.writing.send(arp.who_has(SERVER_MAC, VIP, ROUTER))
    until(lambda: heard)
    assert heard[0][1] is not threading.current_thread()
    hearing.close()
    hearing.close()
    assert pipe.closed
    assert not heard[0][1].is_alive()
    assert len(heard) == 1


def test_it_may_be_closed_from_what_it_calls(pipe: Pipe) -> None:
    heard: list[Claim] = []

    def one(claim: Claim) -> None:
        heard.append(claim)
        hearing.close()

    hearing = Wire().hear("eth0", ["10.0.0.10"], one)
    for mac in (SERVER_MAC, OTHER):
        pipe.writing.send(arp.who_has(mac, VIP, ROUTER))
    until(lambda: pipe.closed)
    assert len(heard) == 1


def test_after_an_error_of_the_interface_it_listens_again(pipe: Pipe) -> None:
    heard: list[Claim] = []
    hearing = Wire().hear("eth0", ["10.0.0.10"], heard.append)
    pipe.broken = True
    pipe.writing.send(b"x" * 60)
    until(lambda: not pipe.broken)
    pipe.writing.send(arp.who_has(SERVER_MAC, VIP, ROUTER))
    until(lambda: heard)
    assert hearing.problem == ""
    hearing.close()


def test_a_listener_that_died_says_so(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def breaks(_: Claim) -> NoReturn:
        raise RuntimeError("the caller's own defect")

    hearing = Wire().hear("eth0", ["10.0.0.10"], breaks)
    pipe.writing.send(arp.who_has(SERVER_MAC, VIP, ROUTER))
    until(lambda: hearing.problem)
    assert "Listening on eth0 has stopped" in hearing.problem
    hearing.close()


def test_what_cannot_be_heard_says_why() -> None:
    for interface, addresses, words in (
        ("none-such", ["10.0.0.10"], "This machine has no interface none-such"),
        ("lo", ["fd00::10"], "not an Ethernet interface"),
        ("none-such", ["10.0.0"], "'10.0.0' is not an IP address"),
    ):
        hearing = Wire().hear(interface, addresses, lambda _: None)
        assert words in hearing.problem
        hearing.close()


def test_without_privilege_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> NoReturn:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(hear, "look_up", lambda name: None)
    monkeypatch.setattr("backends.packets.capture.socket.socket", refuse)
    hearing = Wire().hear("eth0", ["10.0.0.10"], lambda _: None)
    assert "raw sockets need root or CAP_NET_RAW" in hearing.problem
    hearing.close()


def test_nothing_to_listen_for_is_no_problem() -> None:
    hearing = ClaimListener("none-such", [], lambda _: None)
    assert hearing.problem == ""
    hearing.close()
