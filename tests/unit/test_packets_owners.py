"""The ARP audit's rules: every answer, each once, told from claims nobody asked for; and where we speak from."""

from __future__ import annotations

import struct

import pytest

from backends.packets import arp, capture, ethernet, link, ndp
from backends.packets.link import EthernetLink, LinkAddress
from backends.packets.owners import AddressAsked, ArpQuestions
from tests.unit import test_packets_frames as frames
from tests.unit.test_packets_frames import DIRECTOR_MAC, SERVER_MAC, frame, packed

VIP, VIP6, RIP, RIP6 = packed("10.0.0.10"), packed("fd00::10"), packed("10.0.0.101"), packed("fd00::101")
OTHER = bytes.fromhex("02000a0000ee")
ETH0 = EthernetLink(
    "eth0",
    DIRECTOR_MAC,
    (
        LinkAddress(VIP, 32),
        LinkAddress(packed("10.0.0.2"), 24),
        LinkAddress(packed("10.0.0.130"), 25),
        LinkAddress(VIP6, 128),
        LinkAddress(packed("fe80::2"), 64),
        LinkAddress(packed("fd00::2"), 64),
    ),
)


def reply(sender: bytes, mac: bytes = SERVER_MAC, to: bytes = DIRECTOR_MAC, target: str = "10.0.0.2") -> ethernet.Frame:
    """An is-at, byte by byte (RFC 826)."""
    body = bytes.fromhex("0001 0800 06 04 0002") + mac + sender + to + packed(target)
    return frame(to + mac + b"\x08\x06" + body)


def test_every_machine_that_answers_is_listed_once_in_order_of_answer() -> None:
    audit = ArpQuestions(ETH0, [VIP, RIP])
    for mac in (OTHER, SERVER_MAC, OTHER):
        audit.take(reply(VIP, mac))
    assert audit.asked[VIP].answers == [OTHER, SERVER_MAC]
    assert audit.asked[VIP].claims == audit.asked[RIP].answers == []


def test_a_kernels_own_answers_count() -> None:
    heard: list[AddressAsked] = []
    audit = ArpQuestions(ETH0, [RIP, RIP6], heard=heard.append)
    audit.take(frame(frames.ARP_REPLY))
    audit.take(frame(frames.ADVERTISEMENT))
    assert [asked.wanted for asked in heard] == [RIP, RIP6]
    assert [asked.answers for asked in heard] == [[SERVER_MAC], [SERVER_MAC]]


def test_what_nobody_asked_for_is_a_claim_and_no_answer() -> None:
    audit = ArpQuestions(ETH0, [VIP, VIP6])
    for data in arp.gratuitous(SERVER_MAC, VIP):
        audit.take(frame(data))
    audit.take(frame(arp.who_has(OTHER, VIP, packed("10.0.0.1"))))
    audit.take(frame(ndp.unsolicited(SERVER_MAC, VIP6)))
    audit.take(frame(ndp.solicitation(OTHER, VIP6, packed("fd00::1"))))
    for address in (VIP, VIP6):
        assert audit.asked[address].answers == []
        assert audit.asked[address].claims == [SERVER_MAC, OTHER]


def test_who_is_about_to_take_an_ipv6_address_claims_it() -> None:
    audit = ArpQuestions(ETH0, [VIP6])
    audit.take(frame(ndp.solicitation(OTHER, bytes(16), VIP6)))
    assert audit.asked[VIP6].claims == [OTHER]


def test_our_own_announcements_are_no_claim() -> None:
    audit = ArpQuestions(ETH0, [VIP])
    for data in arp.gratuitous(DIRECTOR_MAC, VIP):
        audit.take(frame(data))
    assert audit.asked[VIP].claims == []


def test_somebody_elses_question_about_the_address_says_nothing() -> None:
    audit = ArpQuestions(ETH0, [VIP, VIP6])
    audit.take(frame(arp.who_has(OTHER, packed("10.0.0.1"), VIP)))
    audit.take(frame(ndp.solicitation(OTHER, packed("fd00::1"), VIP6)))
    assert [asked.claims + asked.answers for asked in audit.asked.values()] == [[], []]


def test_the_question_comes_from_our_address_in_that_subnet_or_from_none() -> None:
    assert ArpQuestions.source(ETH0, packed("10.0.0.99")) == packed("10.0.0.2")
    assert ArpQuestions.source(ETH0, packed("10.0.0.200")) == packed("10.0.0.130")
    assert ArpQuestions.source(ETH0, packed("192.0.2.1")) == bytes(4)
    assert ArpQuestions.source(ETH0, packed("fd00::99")) == packed("fd00::2")
    assert ArpQuestions.source(ETH0, packed("2001:db8::1")) == packed("fe80::2")
    assert ArpQuestions.source(EthernetLink("eth0", DIRECTOR_MAC), packed("fd00::99")) == bytes(16)


def test_an_answer_to_a_question_from_no_address_counts_though_it_goes_to_all() -> None:
    audit = ArpQuestions(EthernetLink("eth0", DIRECTOR_MAC), [VIP, VIP6])
    audit.take(reply(VIP, target="0.0.0.0"))
    audit.take(frame(ndp.unsolicited(SERVER_MAC, VIP6)))
    assert [asked.answers for asked in audit.asked.values()] == [[SERVER_MAC], [SERVER_MAC]]


def test_probes_come_from_a_real_subnet_and_never_from_a_vip() -> None:
    assert ETH0.source(RIP, VIP) == packed("10.0.0.2")
    assert ETH0.source(RIP6, VIP6) == packed("fd00::2")
    assert ETH0.source(packed("192.0.2.1"), packed("192.0.2.2")) == packed("10.0.0.2")
    assert EthernetLink("eth0", DIRECTOR_MAC, (LinkAddress(VIP, 32),)).source(RIP, VIP) is None


def rtnetlink(family: int, prefix: int, flags: int, index: int, *attributes: tuple[int, bytes]) -> bytes:
    """The body of RTM_NEWADDR (rtnetlink(7))."""
    body = struct.pack("=BBBBI", family, prefix, flags, 0, index)
    for kind, value in attributes:
        body += struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)
    return body


def test_addresses_come_from_rtnetlink_and_unusable_ones_do_not() -> None:
    local, peer = packed("10.0.0.2"), packed("10.0.0.9")
    assert link.address_message(rtnetlink(2, 24, 0x80, 7, (1, peer), (2, local), (3, b"eth0\0")), 7) == LinkAddress(
        local, 24
    )
    assert link.address_message(rtnetlink(2, 24, 0x80, 8, (2, local)), 7) is None
    six = packed("fd00::2")
    assert link.address_message(rtnetlink(10, 64, 0x80, 7, (1, six)), 7) == LinkAddress(six, 64)
    for flag in (0x40, 0x08):  # tentative, dadfailed
        assert link.address_message(rtnetlink(10, 64, 0, 7, (1, six), (8, struct.pack("=I", flag))), 7) is None
    assert link.address_message(rtnetlink(2, 24, 0, 7, (2, local))[:-3], 7) is None


def passes(program: bytes, data: bytes) -> bool:
    """A classic BPF machine with the four instructions the filters use (kernel doc networking/filter)."""
    lines = list(struct.iter_unpack("HBBI", program))
    at = accumulator = 0
    while True:
        code, yes, no, value = lines[at]
        at += 1
        if code == 0x06:
            return bool(value)
        if code == 0x15:
            at += yes if accumulator == value else no
        else:
            size = {0x20: 4, 0x30: 1}[code]
            accumulator = int.from_bytes(data[value : value + size], "big")


@pytest.mark.parametrize("number", [1, 2, 200])
def test_the_kernel_filter_lets_our_answers_through_and_nothing_else(number: int) -> None:
    others = [packed(f"10.1.0.{n}") for n in range(1, number)]
    four = capture.to_addresses(ethernet.IPV4, [packed("10.0.0.2"), *others])
    assert passes(four, frames.SYN_ACK)
    assert passes(four, frames.REDIRECT)
    assert not passes(four, frames.SYN)  # to the VIP: a client's request is what a director sees most
    six = capture.to_addresses(ethernet.IPV6, [packed("fd00::2")])
    assert passes(six, frames.SYN_ACK6)
    assert not passes(six, frames.SYN6)
    assert passes(capture.only_icmpv6(), frames.ADVERTISEMENT)
    assert not passes(capture.only_icmpv6(), frames.SYN_ACK6)
    assert capture.to_addresses(ethernet.IPV4, [bytes([10, 1, n // 250, n % 250]) for n in range(201)]) == b""
