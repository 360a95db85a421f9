"""The VIP probe's rules: every answer has its signature, and nothing that is no answer to our own packet has one."""

from __future__ import annotations

import pytest

from backends.packets import ethernet, ip, transport
from backends.packets.checksum import checksum
from backends.packets.shots import Shot, Shots
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.ports import ProbeTarget
from tests.unit import test_packets_frames as frames
from tests.unit.test_packets_frames import DIRECTOR_MAC, FORWARDER_MAC, SERVER_MAC, frame, packed

OTHER_MAC = bytes.fromhex("02000a0000ee")


def shot(port: int = 80, protocol: str = "tcp", *, six: bool = False, mac: bytes = SERVER_MAC) -> Shot:
    vip, rip, source = ("fd00::10", "fd00::101", "fd00::2") if six else ("10.0.0.10", "10.0.0.101", "10.0.0.2")
    target = ProbeTarget(rip=rip, vip=vip, port=port, protocol="udp" if protocol == "udp" else "tcp")
    made = Shot(0, target, packed(vip), packed(rip), packed(source), 40000, 0x11223344, mac)
    made.sent_at = 100.0
    return made


def take(one: Shot, data: bytes, now: float = 100.005, *, checksums: bool = True) -> tuple[Probed, bytes | None]:
    table = Shots(DIRECTOR_MAC, [one])
    _, answer = table.take(frame(data, checksums=checksums), now)
    return table.result(one), answer


def from_mac(data: bytes, mac: bytes) -> bytes:
    return data[:6] + mac + data[12:]


@pytest.mark.parametrize(
    ("one", "data", "signature", "source"),
    [
        (shot(), frames.SYN_ACK, "syn-ack", "10.0.0.10"),
        (shot(81), frames.RST, "rst", "10.0.0.10"),
        (shot(7, "udp"), frames.UDP_REPLY, "reply", "10.0.0.10"),
        (shot(9, "udp"), frames.UDP_WRONG, "wrong-source", "10.0.0.101"),
        (shot(8, "udp"), frames.UDP_CLOSED, "port-unreachable", "10.0.0.10"),
        (shot(six=True), frames.SYN_ACK6, "syn-ack", "fd00::10"),
        (shot(81, six=True), frames.RST6, "rst", "fd00::10"),
        (shot(7, "udp", six=True), frames.UDP_REPLY6, "reply", "fd00::10"),
        (shot(8, "udp", six=True), frames.UDP_CLOSED6, "port-unreachable", "fd00::10"),
    ],
)
def test_each_answer_of_a_kernel_has_its_signature(one: Shot, data: bytes, signature: str, source: str) -> None:
    found, _ = take(one, data)
    assert (found.signature, found.source) == (signature, source)
    assert found.answered_by == found.mac == "02:00:0a:00:00:65"
    assert found.milliseconds == pytest.approx(5.0)
    assert found.good == (signature in ("syn-ack", "reply"))
    assert one.final


@pytest.mark.parametrize(
    ("data", "six", "source"),
    [(frames.REDIRECT, False, "10.0.0.104"), (frames.REDIRECT6, True, "fe80::a831:bcff:fe4d:a83")],
)
def test_a_forwarding_server_without_the_vip_redirects(data: bytes, six: bool, source: str) -> None:
    found, _ = take(shot(six=six, mac=FORWARDER_MAC), data)
    assert (found.signature, found.source, found.answered_by) == ("redirect", source, "02:00:0a:00:00:68")
    assert found.detail == f"redirect to {found.vip}"
    assert not found.good


def test_a_redirect_counts_for_the_other_ports_of_that_vip_on_that_server_only() -> None:
    seen, silent = shot(mac=FORWARDER_MAC), shot(443, mac=FORWARDER_MAC)
    silent.source_port = 40001
    elsewhere = shot(443)
    elsewhere.source_port = 40002
    table = Shots(DIRECTOR_MAC, [seen, silent, elsewhere])
    table.take(frame(frames.REDIRECT), 100.001)
    assert [table.result(one).signature for one in (seen, silent, elsewhere)] == ["redirect", "redirect", "silence"]


def test_without_an_answer_it_is_silence() -> None:
    found = shot().result()
    assert (found.signature, found.answered_by, found.milliseconds) == ("silence", "", None)


def test_a_syn_ack_is_reset_at_the_mac_it_came_from() -> None:
    for mac in (SERVER_MAC, OTHER_MAC):
        _, answer = take(shot(), from_mac(frames.SYN_ACK, mac))
        assert answer is not None
        sent = frame(answer)
        assert (sent.destination, sent.source) == (mac, DIRECTOR_MAC)
        inner = ip.parse(sent)
        assert inner is not None
        assert inner.destination == packed("10.0.0.10")
        assert transport.parse_tcp(inner) == transport.Segment(40000, 80, 0x11223345, 0, transport.RST)


def test_no_reset_is_sent_after_a_reset() -> None:
    one = shot(81)
    _, answer = take(one, frames.RST)
    assert answer is None
    assert one.resetting


def test_the_sequence_number_after_the_last_one_is_zero() -> None:
    one = shot()
    one.sequence = 0xFFFFFFFF
    inner = ip.parse(frame(one.reset(DIRECTOR_MAC)))
    assert inner is not None
    reset = transport.parse_tcp(inner)
    assert reset is not None
    assert reset.sequence == 0


def test_another_machine_answering_is_told_but_the_right_one_has_the_last_word() -> None:
    one = shot()
    table = Shots(DIRECTOR_MAC, [one])
    table.take(frame(from_mac(frames.SYN_ACK, OTHER_MAC)), 100.001)
    assert (table.result(one).signature, table.result(one).answered_by) == ("syn-ack", "02:00:0a:00:00:ee")
    assert not table.result(one).good
    assert not one.final
    table.take(frame(frames.SYN_ACK), 100.002)
    assert table.result(one).good
    table.take(frame(from_mac(frames.SYN_ACK, OTHER_MAC)), 100.003)
    assert table.result(one).good


def test_a_reset_from_the_rip_is_no_answer_of_the_vip() -> None:
    data = bytearray(frames.RST)
    data[26:30] = packed("10.0.0.101")
    data[24:26] = b"\0\0"
    data[24:26] = checksum(bytes(data[14:34])).to_bytes(2, "big")
    found, _ = take(shot(81), bytes(data), checksums=False)
    assert (found.signature, found.source) == ("wrong-source", "10.0.0.101")


def test_a_packet_filter_that_rejects_tcp_is_told_from_a_closed_port() -> None:
    quote = frames.SYN[14 : 14 + 28]
    message = bytes.fromhex("0303 0000 00000000") + quote
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    packet = ip.build(packed("10.0.0.101"), packed("10.0.0.2"), ip.ICMP, message)
    found, _ = take(shot(), ethernet.build(DIRECTOR_MAC, SERVER_MAC, ethernet.IPV4, packet))
    assert (found.signature, found.detail) == ("unreachable", "port unreachable")


def test_tftp_may_answer_from_another_port_of_the_vip_and_only_from_the_server_asked() -> None:
    reply = transport.datagram(packed("10.0.0.10"), packed("10.0.0.2"), 51234, 40000, b"data")
    good, _ = take(shot(69, "udp"), ethernet.build(DIRECTOR_MAC, SERVER_MAC, ethernet.IPV4, reply))
    assert good.signature == "reply"
    other, _ = take(shot(69, "udp"), ethernet.build(DIRECTOR_MAC, OTHER_MAC, ethernet.IPV4, reply))
    assert other.signature == "silence"


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("another port of ours", {"source_port": 40001}),
        ("another sequence number", {"sequence": 0x11223345}),
        ("another VIP: a resetting middlebox", {"vip": packed("10.0.0.99")}),
        ("another source of ours", {"source": packed("10.0.0.3")}),
        ("a probe that was never sent", {"sent_at": 0.0}),
    ],
)
@pytest.mark.parametrize("name", ["SYN_ACK", "REDIRECT"])
def test_what_answers_another_packet_is_no_answer(what: str, change: dict[str, object], name: str) -> None:
    one = shot(mac=FORWARDER_MAC if name == "REDIRECT" else SERVER_MAC)
    for field, value in change.items():
        setattr(one, field, value)
    found, _ = take(one, frames.ANSWERS[name])
    assert not found.good, what
    assert found.signature == ("wrong-source" if name == "SYN_ACK" and "vip" in change else "silence")


def test_a_frame_for_somebody_else_is_no_answer() -> None:
    found, answer = take(shot(), OTHER_MAC + frames.SYN_ACK[6:])
    assert (found.signature, answer) == ("silence", None)


def test_an_acknowledgement_without_syn_is_no_answer() -> None:
    """A connection of the director's own kernel on the same port, say."""
    data = frames.SYN_ACK[:47] + bytes([transport.ACK]) + frames.SYN_ACK[48:]
    found, answer = take(shot(), data, checksums=False)
    assert (found.signature, answer) == ("silence", None)


@pytest.mark.parametrize(
    ("data", "one"),
    [
        (frames.SYN_ACK, shot()),
        (frames.RST, shot(81)),
        (frames.REDIRECT, shot(mac=FORWARDER_MAC)),
        (frames.UDP_REPLY, shot(7, "udp")),
        (frames.UDP_WRONG, shot(9, "udp")),
        (frames.UDP_CLOSED, shot(8, "udp")),
    ],
)
def test_no_single_damaged_bit_leaves_an_answer(data: bytes, one: Shot) -> None:
    """After the MACs everything is under a checksum; Ethernet's own trailer is gone by the time we read."""
    length = 14 + int.from_bytes(data[16:18], "big")
    table = Shots(DIRECTOR_MAC, [one])
    for bit in range(12 * 8, length * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 0x80 >> bit % 8
        table.take(frame(bytes(damaged)), 100.001)
        assert one.answer is None, f"byte {bit // 8}, bit {bit % 8}"
    table.take(frame(data), 100.001)
    assert one.answer is not None
