"""Hostile frames: no parser raises, and an answer is believed only where it is one to the question that was asked."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from backends.packets import arp, dns, ethernet, icmp, ip, ndp, transport
from backends.packets.checksum import transport_checksum
from backends.packets.ethernet import mac_text
from backends.packets.hear import Claims
from backends.packets.offlink import _refusal
from backends.packets.owners import ArpQuestions
from backends.packets.probe import _Round
from backends.packets.shots import Shot, Shots
from dsrwizard.core.model.answers import Sent
from dsrwizard.core.ports import ProbeTarget
from tests.hostile.conftest import Tally
from tests.unit.test_packets_frames import ANSWERS, DIRECTOR_MAC, FORWARDER_MAC, SERVER_MAC, packed
from tests.unit.test_packets_fuzz import LINK, TAGS, read_everything, repaired
from tests.unit.test_packets_shots import shot
from tests.unit.test_packets_udp import REFERRAL, REFUSED
from tests.unit.test_packets_udp import shot as udp_shot

VIP, VIP6, RIP, RIP6 = packed("10.0.0.10"), packed("fd00::10"), packed("10.0.0.101"), packed("fd00::101")
OWN, OWN6 = packed("10.0.0.2"), packed("fd00::2")
OTHER = bytes.fromhex("02000a0000ee")
_NUMBER, _PORT = bytes.fromhex("11223345"), bytes.fromhex("9c40")
"""What acknowledges the probes' sequence number, and the port they left."""
ASKED = (VIP, VIP6, RIP, RIP6)


def framed(packet: bytes, mac: bytes = SERVER_MAC) -> bytes:
    return ethernet.build(DIRECTOR_MAC, mac, ethernet.IPV4 if packet[0] >> 4 == 4 else ethernet.IPV6, packet)


def bases() -> list[bytes]:
    """Frames of every kind that is understood, good ones."""
    made = list(ANSWERS.values())
    for mac in (SERVER_MAC, OTHER):
        made += [*arp.gratuitous(mac, VIP), arp.who_has(mac, VIP, OWN), ndp.unsolicited(mac, VIP6)]
        made += [ndp.solicitation(mac, VIP6, OWN6), ndp.solicitation(mac, bytes(16), VIP6)]
    body = bytes.fromhex("0001 0800 06 04 0002") + SERVER_MAC + VIP + DIRECTOR_MAC + OWN
    made.append(DIRECTOR_MAC + SERVER_MAC + b"\x08\x06" + body)
    for payload in (REFUSED, REFERRAL, b"dsrwizard", b""):
        made += [framed(transport.datagram(VIP, OWN, port, 40000, payload)) for port in (53, 7, 69, 5000)]
        made.append(framed(transport.datagram(VIP6, OWN6, 53, 40000, payload)))
    return made


def questions() -> list[Shot]:
    """Every kind of probe, all from one port: what answers one of them is thrown at all."""
    return [
        shot(), shot(81), shot(six=True), shot(mac=FORWARDER_MAC), shot(7, "udp"), shot(8, "udp"), shot(9, "udp"),
        shot(69, "udp"), shot(7, "udp", six=True), udp_shot("dns"), udp_shot("dns", six=True), udp_shot("echo"),
        udp_shot("any"),
    ]  # fmt: skip


class Spoiler:
    """One frame after another from a seed."""

    def __init__(self, seed: int, good: list[bytes]) -> None:
        self._chance = random.Random(seed)
        self._good = good

    def frame(self) -> bytes:
        chance = self._chance
        data = bytearray(chance.choice(self._good))
        if chance.random() < 0.05:
            return bytes(chance.randrange(256) for _ in range(chance.randrange(200)))
        for _ in range(chance.choice([0, 1, 1, 2, 3, 8])):
            if not data:
                break
            at = chance.randrange(len(data))
            match chance.randrange(6):
                case 0:
                    data[at] ^= 1 << chance.randrange(8)
                case 1:
                    data[at : at + 2] = struct.pack(
                        "!H", chance.choice([0, 1, 0xFFFF, len(data), chance.randrange(65536)])
                    )
                case 2:
                    del data[at:]
                case 3:
                    data[at:at] = bytes(chance.randrange(256) for _ in range(chance.choice([1, 4, 40])))
                case 4:
                    wanted = chance.choice(
                        [VIP, RIP, OWN, SERVER_MAC, OTHER, DIRECTOR_MAC, b"\x11\x22\x33\x45", b"\x9c\x40"]
                    )
                    data[at : at + len(wanted)] = wanted
                case _:
                    data[at : at + 8] = bytes(8)
        if chance.random() < 0.15:
            data[12:12] = chance.choice(TAGS)
        if chance.random() < 0.3:
            data = fitted(data)
        return righted(repaired(bytes(data))) if chance.random() < 0.7 else bytes(data)


def fitted(data: bytearray) -> bytearray:
    """The length that the IP header tells is the one that is there: what is cut is cut short, and not damaged."""
    if data[12:14] == b"\x08\x00" and len(data) >= 34:
        data[16:18] = (len(data) - 14).to_bytes(2, "big")
    elif data[12:14] == b"\x86\xdd" and len(data) >= 54:
        data[18:20] = (len(data) - 54).to_bytes(2, "big")
    return data


def righted(data: bytes) -> bytes:
    """Checksums of TCP, UDP and ICMPv6 put right, where there is room for them: a forger takes that trouble."""
    whole = bytearray(data)
    if whole[12:14] == b"\x08\x00" and len(whole) >= 34:
        start, end = 14 + (whole[14] & 0x0F) * 4, 14 + int.from_bytes(whole[16:18], "big")
        kind, source, destination = whole[23], bytes(whole[26:30]), bytes(whole[30:34])
    elif whole[12:14] == b"\x86\xdd" and len(whole) >= 54:
        start, end = 54, 54 + int.from_bytes(whole[18:20], "big")
        kind, source, destination = whole[20], bytes(whole[22:38]), bytes(whole[38:54])
    else:
        return data
    at = {ip.TCP: 16, ip.UDP: 6, ip.ICMPV6: 2}.get(kind)
    if at is None or not start + at + 2 <= end <= len(whole):
        return data
    whole[start + at : start + at + 2] = b"\0\0"
    right = transport_checksum(source, destination, kind, bytes(whole[start:end])) or 0xFFFF
    whole[start + at : start + at + 2] = right.to_bytes(2, "big")
    return bytes(whole)


def believed(data: bytes, parsed: ethernet.Frame) -> None:
    """An answer that counts holds all that only who was asked can say. Looked for in the bytes, as they came."""
    for one in questions():
        table = Shots(DIRECTOR_MAC, [one])
        table.take(parsed, 100.001)
        found = table.result(one)
        if one.answer is None:
            continue
        assert parsed.destination == DIRECTOR_MAC
        assert one.source_port.to_bytes(2, "big") in data
        if one.tcp:
            numbers = (one.sequence, one.sequence + 1)  # quoted by an error, or acknowledged
            assert any(number.to_bytes(4, "big") in data for number in numbers), found.signature
        if not found.good:
            continue
        assert data[6:12] == one.mac
        assert one.vip in data
        assert one.source in data
        if one.target.expects == "dns":
            assert one.sequence.to_bytes(4, "big")[2:] in data
        if one.target.expects == "echo":
            assert one.asked in data


def owned(data: bytes, parsed: ethernet.Frame) -> None:
    """Who is said to own an address said so itself, or who said so is told beside it."""
    audit = ArpQuestions(LINK, ASKED)
    audit.take(parsed)
    for address, asked in audit.asked.items():
        assert asked.claims + asked.answers in ([], [data[6:12]])
        assert all(by == data[6:12] != mac and ethernet.is_unicast(mac) for mac, by in asked.told)
        assert not (asked.answers or asked.claims or asked.told) or address in data
    for claim in Claims(["10.0.0.10", "fd00::10"], frozenset).take(parsed, 5.0, 5.0):
        assert (claim.by or claim.mac) == mac_text(data[6:12])
        assert packed(claim.address) in data


def test_no_frame_makes_a_parser_raise_or_an_answer_believed_that_is_none(
    scale: Callable[[int, int], int], tally: Callable[[str], Tally]
) -> None:
    frames = tally("frames")
    good = bases()
    accepted = 0
    for seed in range(scale(30, 1000)):
        spoiler = Spoiler(seed, good)
        for number in range(100):
            data = spoiler.frame()
            with frames.case(f"seed {seed}, frame {number}: {data.hex()}"):
                parsed = ethernet.parse(data, checksums=number % 3 != 0)
                if parsed is None:
                    continue
                read_everything(parsed)
                dns.is_answer(data[number % 60 :], 0x3344)
                accepted += sum(name in ("syn-ack", "reply") for name in signatures(parsed))
                believed(data, parsed)
                owned(data, parsed)
    frames.settle()
    assert accepted, "not one frame was good: nothing was shown"


def signatures(parsed: ethernet.Frame) -> list[str]:
    """What the frame is to each question by itself."""
    found: list[str] = []
    for one in questions():
        table = Shots(DIRECTOR_MAC, [one])
        table.take(parsed, 100.001)
        found.append(table.result(one).signature)
    return found


def test_the_good_frames_are_believed_as_they_are(tally: Callable[[str], Tally]) -> None:
    """The frames that the hostile ones are made from, or a parser that takes nothing would pass."""
    frames = tally("frames, unspoiled")
    seen: set[str] = set()
    for data in bases():
        with frames.case(data.hex()):
            parsed = ethernet.parse(data)
            assert parsed is not None
            believed(data, parsed)
            owned(data, parsed)
            seen |= set(signatures(parsed))
    frames.settle()
    assert seen >= {"syn-ack", "reply", "rst", "port-unreachable", "redirect", "wrong-source", "wrong-reply", "silence"}


def test_no_target_makes_the_rules_of_sending_raise(
    scale: Callable[[int, int], int], tally: Callable[[str], Tally]
) -> None:
    """What a deployment names, and hosts say, is checked before a frame is built of it."""
    targets = tally("targets of probes")
    words = ["10.0.0.10", "fd00::10", "10.0.0.2", "", "x", "10.0.0.999", "::ffff:10.0.0.10", "fe80::1%eth0", "\0"]
    macs = ["", "02:00:0a:00:00:65", "zz", "ff:ff:ff:ff:ff:ff"]
    for seed in range(scale(500, 5000)):
        chance = random.Random(seed)
        target = ProbeTarget(
            rip=chance.choice(words), vip=chance.choice(words), port=chance.choice([0, 80, -1, 65536, 10**9]),
            protocol=chance.choice(["tcp", "udp"]), mac=chance.choice(macs),
            payload=b"x" * chance.choice([0, 9, 1400, 1401, 70_000]), expects=chance.choice(["any", "dns", "echo"]),
        )  # fmt: skip
        with targets.case(f"seed {seed}: {target}"[:300]):
            round_ = _Round("eth0", [target], 1.0, 0)
            for one in round_._aim(LINK):
                one.mac = one.mac or SERVER_MAC
                assert len(one.opening(DIRECTOR_MAC)) <= 1514
                assert len(one.reset(DIRECTOR_MAC)) >= 60
            sent = Sent(rip=target.rip, vip=target.vip, port=target.port, source=chance.choice(words), mac=target.mac)
            assert isinstance(_refusal(LINK, target, sent), str)
    targets.settle()


def test_hostile_link_messages_raise_nothing(scale: Callable[[int, int], int], tally: Callable[[str], Tally]) -> None:
    """What neighbour discovery's options and ICMP's quotes may be."""
    messages = tally("options and quotes")
    for seed in range(scale(1000, 20_000)):
        chance = random.Random(seed)
        data = bytes(chance.choice([0, 1, 2, 255, chance.randrange(256)]) for _ in range(chance.randrange(80)))
        with messages.case(f"seed {seed}: {data.hex()}"):
            assert all(len(value) <= len(data) for _, value in icmp.options(data))
            ip.quoted(data)
            icmp.echo_reply(4, data)
            icmp.echo_reply(6, data)
            ethernet.mac_bytes(data.decode("latin-1"))
    messages.settle()
