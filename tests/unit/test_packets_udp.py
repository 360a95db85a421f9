"""UDP services that know what an answer is: DNS and echo; the bytes of both come from RFC 1035 and RFC 862."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.packets import dns, ethernet, ip, transport
from backends.packets.shots import Shot, Shots
from dsrwizard.core.diagnosis.probe_verdict import judge
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.ports import ProbeTarget
from tests.unit.test_packets_frames import DIRECTOR_MAC, SERVER_MAC, frame, packed

OTHER_MAC = bytes.fromhex("02000a0000ee")
QUESTION = bytes.fromhex("00 0002 0001")
"""The root, NS, IN."""
REFUSED = bytes.fromhex("3344 8005 0001 0000 0000 0000") + QUESTION
REFERRAL = bytes.fromhex("3344 8000 0001 0001 0000 0000") + QUESTION + bytes.fromhex(
    "00 0002 0001 0007e900 0014 01 61 0c 726f6f742d73657276657273 03 6e6574 00"
)  # fmt: skip


def shot(expects: str, *, payload: bytes = b"dsrwizard", six: bool = False) -> Shot:
    """A probe that left port 40000; its DNS query has the number 0x3344."""
    vip, rip, source = ("fd00::10", "fd00::101", "fd00::2") if six else ("10.0.0.10", "10.0.0.101", "10.0.0.2")
    target = ProbeTarget(
        rip=rip, vip=vip, port=53, protocol="udp", payload=payload,
        expects="dns" if expects == "dns" else "echo" if expects == "echo" else "any",
    )  # fmt: skip
    made = Shot(0, target, packed(vip), packed(rip), packed(source), 40000, 0x11223344, SERVER_MAC)
    made.sent_at = 100.0
    return made


def says(one: Shot, payload: bytes, *, source: bytes = b"", port: int = 53, mac: bytes = SERVER_MAC) -> Probed:
    """What the probe's result is once this datagram has come."""
    packet = transport.datagram(source or one.vip, one.source, port, one.source_port, payload)
    ethertype = ethernet.IPV4 if len(one.vip) == 4 else ethernet.IPV6
    table = Shots(DIRECTOR_MAC, [one])
    table.take(frame(ethernet.build(DIRECTOR_MAC, mac, ethertype, packet)), 100.002)
    return table.result(one)


def carried(one: Shot) -> bytes:
    """The payload of the datagram that leaves."""
    packet = ip.parse(frame(one.opening(DIRECTOR_MAC)))
    assert packet is not None
    datagram = transport.parse_udp(packet)
    assert datagram is not None
    return datagram.payload


@pytest.mark.parametrize("six", [False, True])
def test_the_query_is_for_the_name_servers_of_the_root_with_a_number_of_its_own(six: bool) -> None:
    assert carried(shot("dns", six=six)) == bytes.fromhex("3344 0000 0001 0000 0000 0000") + QUESTION


@pytest.mark.parametrize("said", [REFUSED, REFERRAL, bytes.fromhex("3344 8001 0000 0000 0000 0000")])
@pytest.mark.parametrize("six", [False, True])
def test_every_dns_answer_counts_a_refusal_and_an_error_too(said: bytes, six: bool) -> None:
    assert says(shot("dns", six=six), said).good


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("another number", bytes.fromhex("3345") + REFUSED[2:]),
        ("a query", dns.query(0x3344)),
        ("another question", REFUSED[:12] + bytes.fromhex("01 61 00 0001 0001")),
        ("two questions", REFUSED[:4] + b"\0\2" + REFUSED[6:]),
        ("another operation", bytes.fromhex("3344 a800") + REFUSED[4:]),
        ("cut short", REFUSED[:11]),
        ("nothing", b""),
        ("our own word", b"dsrwizard"),
    ],
)
def test_what_is_no_dns_answer_to_this_query_proves_nothing(what: str, said: bytes) -> None:
    found = says(shot("dns"), said)
    assert (found.signature, found.answered_by) == ("wrong-reply", "02:00:0a:00:00:65"), what
    assert "is not the service: it is not a DNS answer to the query" in judge(found)


def test_an_echo_is_the_same_bytes_and_nothing_else() -> None:
    assert says(shot("echo", payload=b"\0\xffx"), b"\0\xffx").good
    for said in (b"\0\xff", b"\0\xffxx", b"", b"x"):
        found = says(shot("echo", payload=b"\0\xffx"), said)
        assert found.signature == "wrong-reply"
        assert "does not echo" in judge(found)


def test_any_answer_counts_where_nobody_said_what_is_right() -> None:
    assert says(shot("any"), b"").good
    assert carried(shot("any", payload=b"status")) == b"status"


@pytest.mark.parametrize("expects", ["dns", "echo"])
def test_a_right_answer_after_a_wrong_one_is_what_counts(expects: str) -> None:
    one = shot(expects)
    assert says(one, b"late").signature == "wrong-reply"
    assert not one.final
    assert says(one, carried(one) if expects == "echo" else REFUSED).good
    assert says(one, b"later still").good


@pytest.mark.parametrize("expects", ["dns", "echo"])
def test_a_right_answer_from_the_rip_is_from_the_wrong_source(expects: str) -> None:
    one = shot(expects)
    found = says(one, carried(one) if expects == "echo" else REFUSED, source=one.rip)
    assert (found.signature, found.source) == ("wrong-source", "10.0.0.101")


@pytest.mark.parametrize("expects", ["dns", "echo"])
@pytest.mark.parametrize("where", ["rip", "port", "mac"])
def test_nonsense_from_elsewhere_is_not_even_a_wrong_answer(expects: str, where: str) -> None:
    one = shot(expects)
    found = says(
        one, b"nonsense", source=one.rip if where == "rip" else b"", port=5353 if where == "port" else 53,
        mac=OTHER_MAC if where == "mac" else SERVER_MAC,
    )  # fmt: skip
    assert found.signature == "silence"


def test_an_echo_cut_by_fragmentation_is_known_by_its_start() -> None:
    one = shot("echo", payload=b"x" * 1200)
    assert one.amiss(b"x" * 900, complete=False) == ""
    assert one.amiss(b"x" * 900) != ""
    assert one.amiss(b"y" * 900, complete=False) != ""


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda end: REFUSED[:4] + end), st.integers(0, 0xFFFF))
def test_only_a_response_with_this_number_is_a_dns_answer(message: bytes, number: int) -> None:
    if dns.is_answer(message, number):
        assert message[:2] == number.to_bytes(2, "big")
        assert message[2] & 0x80
