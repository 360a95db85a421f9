"""Frames a Linux 6.18 kernel sent (checksum offload off) in answer to the probes below, and what is read from them.

The director is 10.0.0.2 / fd00::2 at 02:00:0a:00:00:02, the real server 10.0.0.101 / fd00::101 at …:65, one that lost
the VIP 10.0.0.104 at …:68; the VIP is 10.0.0.10 / fd00::10; the probes leave port 40000 with sequence 0x11223344.
"""

from __future__ import annotations

import struct

import pytest

from backends.packets import arp, ethernet, icmp, ip, ndp, transport
from backends.packets.addresses import pack
from backends.packets.checksum import checksum

DIRECTOR_MAC = bytes.fromhex("02000a000002")
SERVER_MAC = bytes.fromhex("02000a000065")
FORWARDER_MAC = bytes.fromhex("02000a000068")

# What was sent.
SYN = bytes.fromhex(
    "02 00 0a 00 00 65 02 00 0a 00 00 02 08 00"
    "45 00 00 2c 00 00 40 00 40 06 26 c1 0a 00 00 02 0a 00 00 0a 9c 40 00 50 11 22 33 44 00 00 00 00"
    "60 02 fa f0 a8 33 00 00 02 04 05 b4 00 00"
)
SYN6 = bytes.fromhex(
    "02 00 0a 00 00 65 02 00 0a 00 00 02 86 dd"
    "60 00 00 00 00 18 06 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 fd 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 10 9c 40 00 50 11 22 33 44 00 00 00 00 60 02 fa f0 c2 3f 00 00 02 04 05 a0"
)
DATAGRAM = bytes.fromhex(
    "02 00 0a 00 00 65 02 00 0a 00 00 02 08 00"
    "45 00 00 25 00 00 40 00 40 11 26 bd 0a 00 00 02 0a 00 00 0a 9c 40 00 07 00 11 49 a1 64 73 72 77"
    "69 7a 61 72 64 00 00 00 00 00 00 00 00 00"
)
DATAGRAM6 = bytes.fromhex(
    "02 00 0a 00 00 65 02 00 0a 00 00 02 86 dd"
    "60 00 00 00 00 11 11 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 fd 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 10 9c 40 00 07 00 11 63 99 64 73 72 77 69 7a 61 72 64"
)

# What came back.
SYN_ACK = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 08 00"
    "45 00 00 2c 00 00 40 00 40 06 26 c1 0a 00 00 0a 0a 00 00 02 00 50 9c 40 c6 3a ff 03 11 22 33 45"
    "60 12 fa f0 e2 e3 00 00 02 04 05 b4"
)
RST = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 08 00"
    "45 00 00 28 00 00 40 00 40 06 26 c5 0a 00 00 0a 0a 00 00 02 00 51 9c 40 00 00 00 00 11 22 33 45"
    "50 14 00 00 ba cc 00 00"
)
REDIRECT = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 68 08 00"
    "45 c0 00 48 6e 58 00 00 40 01 f7 33 0a 00 00 68 0a 00 00 02 05 01 05 1f 0a 00 00 0a 45 00 00 2c"
    "00 00 40 00 3f 06 27 c1 0a 00 00 02 0a 00 00 0a 9c 40 00 50 11 22 33 44 00 00 00 00 60 02 fa f0"
    "a8 33 00 00 02 04 05 b4"
)
UDP_REPLY = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 08 00"
    "45 00 00 25 bf 2b 40 00 40 11 67 91 0a 00 00 0a 0a 00 00 02 00 07 9c 40 00 11 49 a1 64 73 72 77"
    "69 7a 61 72 64"
)
UDP_WRONG = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 08 00"
    "45 00 00 25 5e f2 40 00 40 11 c7 6f 0a 00 00 65 0a 00 00 02 00 63 9c 40 00 11 48 ea 64 73 72 77"
    "69 7a 61 72 64"
)
UDP_CLOSED = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 08 00"
    "45 c0 00 41 7a 1f 00 00 40 01 eb d1 0a 00 00 0a 0a 00 00 02 03 03 11 2b 00 00 00 00 45 00 00 25"
    "00 00 40 00 40 11 26 bd 0a 00 00 02 0a 00 00 0a 9c 40 00 08 00 11 49 a0 64 73 72 77 69 7a 61 72"
    "64"
)
ARP_REPLY = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 08 06"
    "00 01 08 00 06 04 00 02 02 00 0a 00 00 65 0a 00 00 65 02 00 0a 00 00 02 0a 00 00 02"
)
ADVERTISEMENT = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 86 dd"
    "60 00 00 00 00 20 3a ff fd 00 00 00 00 00 00 00 00 00 00 00 00 00 01 01 fd 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 02 88 00 10 38 60 00 00 00 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 01 01"
    "02 01 02 00 0a 00 00 65"
)
SYN_ACK6 = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 86 dd"
    "60 00 84 73 00 18 06 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 fd 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 02 00 50 9c 40 dc 60 24 89 11 22 33 45 60 12 fd 20 bf 14 00 00 02 04 05 a0"
)
RST6 = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 86 dd"
    "60 0c 90 29 00 14 06 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 fd 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 02 00 51 9c 40 00 00 00 00 11 22 33 45 50 14 00 00 d4 c4 00 00"
)
REDIRECT6 = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 68 86 dd"
    "60 00 00 00 00 70 3a ff fe 80 00 00 00 00 00 00 a8 31 bc ff fe 4d 0a 83 fd 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 02 89 00 a8 69 00 00 00 00 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10"
    "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 04 09 00 00 00 00 00 00 60 00 00 00 00 18 06 40"
    "fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 02 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10"
    "9c 40 00 50 11 22 33 44 00 00 00 00 60 02 fa f0 c2 3f 00 00 02 04 05 a0"
)
UDP_REPLY6 = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 86 dd"
    "60 08 55 b9 00 11 11 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 fd 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 02 00 07 9c 40 00 11 63 99 64 73 72 77 69 7a 61 72 64"
)
UDP_CLOSED6 = bytes.fromhex(
    "02 00 0a 00 00 02 02 00 0a 00 00 65 86 dd"
    "60 0c cc b3 00 41 3a 40 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 fd 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 02 01 04 93 3d 00 00 00 00 60 00 00 00 00 11 11 40 fd 00 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 02 fd 00 00 00 00 00 00 00 00 00 00 00 00 00 00 10 9c 40 00 08 00 11 63 98"
    "64 73 72 77 69 7a 61 72 64"
)

ANSWERS = {
    name: value
    for name, value in dict(globals()).items()
    if isinstance(value, bytes)
    and name.isupper()
    and len(value) > 6
    and name not in ("SYN", "SYN6", "DATAGRAM", "DATAGRAM6")
}
"""Every frame that came back, by name."""


def packed(text: str) -> bytes:
    found = pack(text)
    assert found is not None
    return found


def frame(data: bytes, *, checksums: bool = True) -> ethernet.Frame:
    parsed = ethernet.parse(data, checksums=checksums)
    assert parsed is not None
    return parsed


def packet(data: bytes) -> ip.Packet:
    parsed = ip.parse(frame(data))
    assert parsed is not None
    return parsed


def test_checksum_of_the_example_in_rfc_1071() -> None:
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == ~0xDDF2 & 0xFFFF
    assert checksum(b"\x01") == 0xFEFF


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (transport.syn(packed("10.0.0.2"), packed("10.0.0.10"), 40000, 80, 0x11223344), SYN),
        (transport.syn(packed("fd00::2"), packed("fd00::10"), 40000, 80, 0x11223344), SYN6),
        (transport.datagram(packed("10.0.0.2"), packed("10.0.0.10"), 40000, 7, b"dsrwizard"), DATAGRAM),
        (transport.datagram(packed("fd00::2"), packed("fd00::10"), 40000, 7, b"dsrwizard"), DATAGRAM6),
    ],
)
def test_probes_are_the_bytes_the_kernel_answered(built: bytes, expected: bytes) -> None:
    ethertype = ethernet.IPV4 if built[0] >> 4 == 4 else ethernet.IPV6
    assert ethernet.build(SERVER_MAC, DIRECTOR_MAC, ethertype, built) == expected


def test_syn_ack_is_read() -> None:
    found = packet(SYN_ACK)
    assert (found.source, found.destination) == (packed("10.0.0.10"), packed("10.0.0.2"))
    assert transport.parse_tcp(found) == transport.Segment(80, 40000, 0xC63AFF03, 0x11223345, 0x12, largest=1460)


def test_padding_after_a_packet_is_no_part_of_it() -> None:
    padded = packet(SYN_ACK + b"\xaa" * 30)
    assert padded == packet(SYN_ACK)


@pytest.mark.parametrize("tag", ["8100 0000", "8100 2000", "88a8 0005 8100 0007"])
def test_vlan_tags_are_passed_over_and_the_outer_one_told(tag: str) -> None:
    tagged = frame(SYN_ACK[:12] + bytes.fromhex(tag) + SYN_ACK[12:])
    assert (tagged.ethertype, tagged.payload) == (ethernet.IPV4, SYN_ACK[14:])
    assert tagged.vlan == (5 if tag.startswith("88") else 0)


def test_a_checksum_the_kernel_has_not_filled_in_yet_is_not_held_against_a_frame() -> None:
    unfinished = SYN_ACK[:50] + b"\x14\x4a" + SYN_ACK[52:]
    assert transport.parse_tcp(packet(unfinished)) is None
    assert transport.parse_tcp(packet(unfinished), checksums=False) is not None


def test_udp_without_checksum_counts_in_ipv4_and_not_in_ipv6() -> None:
    assert transport.parse_udp(packet(UDP_REPLY[:40] + b"\0\0" + UDP_REPLY[42:])) is not None
    assert transport.parse_udp(packet(UDP_REPLY6[:60] + b"\0\0" + UDP_REPLY6[62:])) is None


def with_ip_checksum(data: bytearray) -> bytes:
    data[24:26] = b"\0\0"
    data[24:26] = checksum(bytes(data[14:34])).to_bytes(2, "big")
    return bytes(data)


def test_the_first_fragment_of_a_large_reply_is_known_by_its_ports_and_later_ones_are_ignored() -> None:
    first = bytearray(UDP_REPLY)
    first[20:22] = b"\x20\x00"
    first[38:40] = b"\x0b\xb8"  # the datagram is longer than this fragment
    found = transport.parse_udp(packet(with_ip_checksum(first)))
    assert found is not None
    assert (found.source_port, found.destination_port) == (7, 40000)
    later = bytearray(UDP_REPLY)
    later[20:22] = b"\x00\xb9"
    assert ip.parse(frame(with_ip_checksum(later))) is None


def test_errors_are_read_with_the_packet_they_are_about() -> None:
    ours = ip.Quoted(packed("10.0.0.2"), packed("10.0.0.10"), ip.TCP, 40000, 80, 0x11223344)
    assert icmp.error(packet(REDIRECT)) == icmp.Error("redirect", ours, "redirect", packed("10.0.0.10"))
    ours6 = ip.Quoted(packed("fd00::2"), packed("fd00::10"), ip.TCP, 40000, 80, 0x11223344)
    assert icmp.error(packet(REDIRECT6)) == icmp.Error("redirect", ours6, "redirect", packed("fd00::10"))
    for data in (UDP_CLOSED, UDP_CLOSED6):
        closed = icmp.error(packet(data))
        assert closed is not None
        assert (closed.kind, closed.words, closed.about.destination_port) == ("port-unreachable", "port unreachable", 8)


def test_an_ipv6_redirect_from_beyond_the_link_is_refused() -> None:
    far = bytearray(REDIRECT6)
    far[21] = 254
    assert icmp.error(packet(bytes(far))) is None


def test_arp_and_neighbour_answers_are_read() -> None:
    assert arp.parse(frame(ARP_REPLY)) == arp.Arp(
        arp.REPLY, SERVER_MAC, packed("10.0.0.101"), DIRECTOR_MAC, packed("10.0.0.2"), by=SERVER_MAC
    )
    assert ndp.parse(frame(ADVERTISEMENT)) == ndp.Advertisement(
        packed("fd00::101"), packed("fd00::2"), packed("fd00::101"), SERVER_MAC, solicited=True, by=SERVER_MAC
    )
    assert ndp.parse(frame(ADVERTISEMENT[:21] + b"\xfe" + ADVERTISEMENT[22:])) is None


@pytest.mark.parametrize("sender", ["ffffffffffff", "000000000000", "01005e000001"])
def test_arp_from_no_single_machine_is_refused(sender: str) -> None:
    forged = ARP_REPLY[:22] + bytes.fromhex(sender) + ARP_REPLY[28:]
    assert arp.parse(frame(forged)) is None


def test_questions_and_announcements_are_the_bytes_of_the_standards() -> None:
    head = "ffffffffffff 02000a000002 0806 0001 0800 06 04"
    pad = bytes(18)
    asked = arp.who_has(DIRECTOR_MAC, packed("10.0.0.2"), packed("10.0.0.10"))
    assert asked == bytes.fromhex(head + "0001 02000a000002 0a000002 000000000000 0a00000a") + pad
    request, reply = arp.gratuitous(DIRECTOR_MAC, packed("10.0.0.10"))
    assert request == bytes.fromhex(head + "0001 02000a000002 0a00000a 000000000000 0a00000a") + pad
    assert reply == bytes.fromhex(head + "0002 02000a000002 0a00000a 02000a000002 0a00000a") + pad
    solicited = ndp.solicitation(DIRECTOR_MAC, packed("fd00::2"), packed("fd00::1234:5678"))
    assert solicited[:14] == bytes.fromhex("3333ff345678 02000a000002 86dd")
    assert solicited[38:54] == packed("ff02::1:ff34:5678")
    assert solicited[-8:] == bytes.fromhex("0101 02000a000002")
    duplicate = ndp.solicitation(DIRECTOR_MAC, bytes(16), packed("fd00::1234:5678"))
    assert len(duplicate) == len(solicited) - 8
    announced = ndp.parse(frame(ndp.unsolicited(DIRECTOR_MAC, packed("fd00::10"))))
    assert announced == ndp.Advertisement(
        packed("fd00::10"), packed("ff02::1"), packed("fd00::10"), DIRECTOR_MAC, solicited=False, by=DIRECTOR_MAC
    )


@pytest.mark.parametrize("text", ["52:54:00:AA:bb:cc", "52-54-00-aa-bb-cc"])
def test_macs_are_read_as_people_write_them(text: str) -> None:
    assert ethernet.mac_bytes(text) == struct.pack("!6B", 0x52, 0x54, 0, 0xAA, 0xBB, 0xCC)


@pytest.mark.parametrize("text", ["", "52:54:00:aa:bb", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", "52:54:00:aa:bb:cg"])
def test_what_is_no_machines_mac_is_refused(text: str) -> None:
    assert ethernet.mac_bytes(text) is None
