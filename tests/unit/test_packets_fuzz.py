"""Whatever arrives on the wire: no parser raises, no forged frame becomes a good answer, and what is built is read."""

from __future__ import annotations

from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from backends.packets import arp, ethernet, icmp, ip, ndp, transport
from backends.packets.checksum import checksum, transport_checksum
from backends.packets.link import EthernetLink, LinkAddress, address_message
from backends.packets.owners import ArpQuestions
from backends.packets.shots import Shots
from tests.unit.test_packets_frames import ANSWERS, DIRECTOR_MAC, frame, packed
from tests.unit.test_packets_shots import shot

ADDRESSES4 = st.binary(min_size=4, max_size=4)
ADDRESSES6 = st.binary(min_size=16, max_size=16)
PAIRS = st.tuples(ADDRESSES4, ADDRESSES4) | st.tuples(ADDRESSES6, ADDRESSES6)
PORTS = st.integers(1, 65535)
NUMBERS = st.integers(0, 0xFFFFFFFF)
ETHERTYPES = st.sampled_from([ethernet.IPV4, ethernet.IPV6, ethernet.ARP, 0x8100, 0x88A8]) | st.integers(0, 0xFFFF)
LINK = EthernetLink("eth0", DIRECTOR_MAC, (LinkAddress(packed("10.0.0.2"), 24), LinkAddress(packed("fd00::2"), 64)))


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A real answer with pieces overwritten and the end cut off or grown; often with its checksums made right again,
    as whoever means harm would do."""
    data = bytearray(ANSWERS[draw(st.sampled_from(sorted(ANSWERS)))])
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(12, len(data) - 1))
        piece = draw(st.binary(min_size=1, max_size=6))
        data[at : at + len(piece)] = piece
    data = data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data
    data += draw(st.binary(max_size=20))
    if draw(st.booleans()):
        data[12:12] = draw(st.sampled_from(TAGS))
    return repaired(bytes(data)) if draw(st.booleans()) else bytes(data)


TAGS = [bytes.fromhex(tag) for tag in ("81000000", "8100000a", "88a80005 81000007", "8100", "810000", "88a8ffff 8100")]
"""802.1Q and 802.1ad tags, whole and cut."""


def repaired(data: bytes) -> bytes:
    """IPv4 header and ICMP checksums put right where there is room for them."""
    if len(data) < 42 or data[12:14] != b"\x08\x00":
        return data
    whole = bytearray(data)
    head = 14 + (whole[14] & 0x0F) * 4
    whole[24:26] = b"\0\0"
    whole[24:26] = checksum(bytes(whole[14:head])).to_bytes(2, "big")
    end = 14 + int.from_bytes(whole[16:18], "big")
    if whole[23] == ip.ICMP and head + 4 <= end <= len(whole):
        whole[head + 2 : head + 4] = b"\0\0"
        whole[head + 2 : head + 4] = checksum(bytes(whole[head:end])).to_bytes(2, "big")
    return bytes(whole)


def read_everything(one: ethernet.Frame) -> None:
    arp.parse(one)
    ndp.parse(one)
    packet = ip.parse(one)
    if packet is not None:
        icmp.error(packet)
        transport.parse_tcp(packet, checksums=one.checksums)
        transport.parse_udp(packet, checksums=one.checksums)
        icmp.echo_reply(4, packet.payload)
    ip.quoted(one.payload)
    icmp.options(one.payload)
    address_message(one.payload, 1)


@given(st.binary(max_size=120), ETHERTYPES, st.booleans())
@example(bytes.fromhex("46") + bytes(19), ethernet.IPV4, True)
@example(bytes.fromhex("60000000000800ff") + bytes(32) + bytes(8), ethernet.IPV6, True)
def test_no_bytes_make_a_parser_raise(payload: bytes, ethertype: int, checksums: bool) -> None:
    parsed = ethernet.parse(DIRECTOR_MAC + bytes(6) + ethertype.to_bytes(2, "big") + payload, checksums=checksums)
    if parsed is not None:
        read_everything(parsed)


@given(mangled(), st.booleans())
def test_a_mangled_answer_raises_nothing_and_is_good_only_when_it_still_answers(data: bytes, checksums: bool) -> None:
    parsed = ethernet.parse(data, checksums=checksums)
    if parsed is None:
        return
    read_everything(parsed)
    shots = [shot(), shot(81), shot(7, "udp"), shot(8, "udp"), shot(six=True), shot(7, "udp", six=True)]
    for one in shots:
        table = Shots(DIRECTOR_MAC, [one])
        table.take(parsed, 100.001)
        if table.result(one).good:
            packet = ip.parse(parsed)
            assert packet is not None
            assert (packet.source, packet.destination) == (one.vip, one.source)
            assert parsed.source == one.mac
    audit = ArpQuestions(LINK, [packed("10.0.0.10"), packed("fd00::10")])
    audit.take(parsed)
    for asked in audit.asked.values():
        assert all(ethernet.is_unicast(mac) for mac in asked.answers + asked.claims)


@given(st.integers(0, 65535), NUMBERS)
def test_a_forged_syn_ack_needs_our_port_and_sequence_number(port: int, acknowledged: int) -> None:
    one = shot()
    segment = transport.Segment(80, port, 1, acknowledged, transport.SYN | transport.ACK)
    head = b"".join(
        value.to_bytes(size, "big")
        for value, size in (
            (segment.source_port, 2), (port, 2), (1, 4), (acknowledged, 4), (0x5012, 2), (1000, 2), (0, 2), (0, 2),
        )
    )  # fmt: skip
    right = transport_checksum(one.vip, one.source, ip.TCP, head).to_bytes(2, "big")
    packet = ip.build(one.vip, one.source, ip.TCP, head[:16] + right + head[18:])
    table = Shots(DIRECTOR_MAC, [one])
    table.take(frame(ethernet.build(DIRECTOR_MAC, one.mac, ethernet.IPV4, packet)), 100.001)
    assert table.result(one).good == ((port, acknowledged) == (one.source_port, one.sequence + 1))


@given(
    st.sampled_from([(3, 0), (3, 1), (3, 3), (3, 13), (5, 1), (11, 0)]),
    st.fixed_dictionaries(
        {},
        optional={
            "source": st.sampled_from(["10.0.0.3", "10.0.0.10"]),
            "vip": st.sampled_from(["10.0.0.11", "10.0.0.2"]),
            "source_port": PORTS,
            "port": PORTS,
            "sequence": NUMBERS,
            "protocol": st.sampled_from([ip.TCP, ip.UDP, 1, 47]),
        },
    ),
    st.integers(20, 60),
)
def test_an_icmp_error_counts_only_when_it_quotes_our_very_packet(
    kind: tuple[int, int], forged: dict[str, Any], length: int
) -> None:
    one = shot()
    own = {"source": "10.0.0.2", "vip": "10.0.0.10", "source_port": 40000, "port": 80, "sequence": 0x11223344}
    said = {**own, "protocol": ip.TCP, **forged}
    syn = transport.syn(
        packed(said["source"]), packed(said["vip"]), said["source_port"], said["port"], said["sequence"]
    )
    quote = (syn[:9] + bytes([said["protocol"]]) + syn[10:])[:length]
    message = bytes([*kind, 0, 0]) + packed("10.0.0.10") + quote
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    packet = ip.build(packed("10.0.0.101"), one.source, ip.ICMP, message)
    table = Shots(DIRECTOR_MAC, [one])
    table.take(frame(ethernet.build(DIRECTOR_MAC, one.mac, ethernet.IPV4, packet)), 100.001)
    quoted = {**own, "protocol": ip.TCP} == said and length >= 28
    assert (one.answer is not None) == quoted
    assert not table.result(one).good


@given(PAIRS, PORTS, PORTS, NUMBERS, st.binary(max_size=60))
def test_what_is_built_is_read_back(
    pair: tuple[bytes, bytes], source_port: int, port: int, sequence: int, payload: bytes
) -> None:
    ethertype = ethernet.IPV4 if len(pair[0]) == 4 else ethernet.IPV6

    def back(built: bytes) -> ip.Packet:
        packet = ip.parse(frame(ethernet.build(DIRECTOR_MAC, DIRECTOR_MAC, ethertype, built)))
        assert packet is not None
        assert (packet.source, packet.destination) == pair
        return packet

    syn = transport.parse_tcp(back(transport.syn(*pair, source_port, port, sequence)))
    largest = 1460 if len(pair[0]) == 4 else 1440
    assert syn == transport.Segment(source_port, port, sequence, 0, transport.SYN, largest=largest)
    sent = transport.parse_udp(back(transport.datagram(*pair, source_port, port, payload)))
    assert sent == transport.Datagram(source_port, port, payload)
