"""The conversation with an application: each answer of a server has its meaning, and nobody else's counts."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backends.packets import ip, transport
from backends.packets.ethernet import parse
from backends.packets.talk import Talk
from backends.packets.talk import talk as wire_talk
from backends.packets.transport import ACK, FIN, PSH, RST, SYN, Segment
from dsrwizard.core.model.first_words import client_hello, first_words
from dsrwizard.core.ports import ProbeTarget
from tests.unit.test_packets_frames import packed

WORDS = b"HEAD / HTTP/1.0\r\n\r\n"


def talk(words: bytes = WORDS) -> Talk:
    return Talk(
        target=ProbeTarget(rip="10.0.0.101", vip="10.0.0.10", port=80, mac="02:00:0a:00:00:65"),
        vip=packed("10.0.0.10"), source=packed("10.0.0.2"), source_port=40_000, own_mac=b"\2\0\0\0\0\2",
        mac=b"\2\0\0\0\0\x65", asked="HTTP", words=words, sequence=0xFFFFFFF0,
    )  # fmt: skip


def said(flags: int, past: int = 0, size: int = 0, largest: int = 0, ahead: int = 0) -> Segment:
    """A segment of the server's that acknowledges all up to `past` bytes of the request, so many bytes `ahead` of its
    first."""
    acknowledged = (0xFFFFFFF1 + past) & 0xFFFFFFFF
    return Segment(80, 40_000, (900 if flags & SYN else 901) + ahead, acknowledged, flags, size, largest)


def opened(one: Talk) -> Talk:
    one.take(said(SYN | ACK, largest=1460), 100.0)
    return one


def test_the_first_byte_is_an_answer_and_timed_from_the_opening() -> None:
    one = opened(talk())
    one.take(said(ACK, len(WORDS)), 100.001)
    one.take(said(ACK | PSH, len(WORDS), size=200), 100.005)
    told = one.told(2.0)
    assert (told.result, round(told.milliseconds or 0, 3), told.asked) == ("answered", 5.0, "HTTP")


@pytest.mark.parametrize(
    ("segments", "result"),
    [
        ([], "hung"),
        ([said(ACK, len(WORDS))], "hung"),
        ([said(ACK | FIN, len(WORDS))], "closed"),
        ([said(ACK | RST, len(WORDS))], "reset"),
        ([said(ACK | PSH, 0, size=20)], "answered"),
        # It overtook what was said before it.
        ([said(ACK | FIN, len(WORDS), ahead=20), said(ACK | PSH, len(WORDS), size=20)], "answered"),
        ([said(ACK | FIN, len(WORDS), ahead=20)], "hung"),
        ([said(ACK | RST, len(WORDS), ahead=20)], "answered"),
        ([said(ACK | RST, len(WORDS), ahead=1 << 20)], "hung"),
        # Not of this connection: it acknowledges what was never sent.
        ([said(ACK | PSH, 5000, size=20)], "hung"),
        ([said(ACK | RST, 5000)], "hung"),
    ],
)
def test_what_comes_after_the_handshake_tells_what_the_application_does(segments: list[Segment], result: str) -> None:
    one = opened(talk())
    for segment in segments:
        one.take(segment, 101.0)
    assert one.told(2.0).result == result


@pytest.mark.parametrize("flags", [RST | ACK, 0])
def test_without_a_handshake_nothing_is_said_of_the_application(flags: int) -> None:
    one = talk()
    if flags:
        one.take(said(flags), 100.0)
    one.take(said(ACK | PSH, size=20), 100.0)
    assert one.told(2.0).result == "unopened"


def test_the_large_segment_fills_a_packet_and_carries_nothing_new() -> None:
    one = opened(talk())
    frame = parse(one.filler(9000) or b"")
    packet = ip.parse(frame) if frame else None
    segment = transport.parse_tcp(packet) if packet else None
    assert packet is not None
    assert segment is not None
    assert len(packet.payload) + 20 == one.size == 1500
    assert (segment.sequence + segment.size) & 0xFFFFFFFF == (one.sequence + 1) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("mtu", "largest", "size"), [(1500, 1360, 1400), (1400, 1460, 1400), (1500, 0, 0), (500, 0, 0)]
)
def test_the_large_segment_is_no_larger_than_the_server_takes_and_the_interface_sends(
    mtu: int, largest: int, size: int
) -> None:
    one = talk()
    one.take(said(SYN | ACK, largest=largest), 100.0)
    assert (one.filler(mtu) is not None, one.size) == (bool(size), size)


def test_an_acknowledgement_before_the_request_is_of_the_large_segment() -> None:
    one = opened(talk())
    one.large = False
    one.take(said(ACK | PSH, size=20), 100.1)  # a greeting is none
    assert one.large is False
    one.take(said(ACK, len(WORDS)), 100.15)  # nor is what acknowledges the request, once the large one is given up
    assert one.large is False
    one.take(said(ACK), 100.2)
    assert (one.large, one.told(1.0).result) == (True, "answered")


def test_the_server_forgets_the_connection_whether_it_had_the_request_or_not() -> None:
    one = opened(talk())
    frames = [parse(data) for data in one.resets()]
    numbers = set()
    for frame in frames:
        packet = ip.parse(frame) if frame else None
        segment = transport.parse_tcp(packet) if packet else None
        assert segment is not None
        assert segment.flags == RST
        numbers.add(segment.sequence)
    assert numbers == {0xFFFFFFF1, (0xFFFFFFF1 + len(WORDS)) & 0xFFFFFFFF}


def test_a_syn_names_its_size_and_a_damaged_option_none() -> None:
    source, vip = packed("10.0.0.2"), packed("10.0.0.10")
    packet = ip.parse4(transport.syn(source, vip, 4000, 80, 7))
    segment = transport.parse_tcp(packet) if packet else None
    assert segment is not None
    assert (segment.largest, segment.size) == (1460, 0)


@pytest.mark.parametrize(
    ("port", "asked", "starts"),
    [
        (80, "HTTP", b"HEAD / HTTP/1.0\r\nHost: 10.0.0.10\r\n"),
        (8443, "TLS", b"\x16\x03\x01"),
        (53, "DNS", b"\x00\x11"),
        (5432, "PostgreSQL", b"\x00\x00\x00\x08"),
        (22, "", b""),
        (12345, "", b""),
    ],
)
def test_each_port_is_asked_in_its_protocol(port: int, asked: str, starts: bytes) -> None:
    found, words = first_words(port, "10.0.0.10")
    assert found == asked
    assert words.startswith(starts)
    assert bool(words) == bool(starts)


def test_the_lengths_in_the_requests_are_right() -> None:
    hello = client_hello()
    assert int.from_bytes(hello[3:5], "big") == len(hello) - 5
    assert int.from_bytes(hello[6:9], "big") == len(hello) - 9
    _, query = first_words(53, "10.0.0.10")
    assert int.from_bytes(query[:2], "big") == len(query) - 2
    assert b"Host: [fd00::10]\r\n" in first_words(80, "fd00::10")[1]


def test_more_conversations_than_there_are_ports_are_had_in_turn_and_each_says_why_it_could_not_be() -> None:
    targets = [ProbeTarget(rip=f"10.{n >> 8}.{n & 255}.1", vip="10.0.0.10", port=80) for n in range(40_000)]
    told = wire_talk("none-such", targets)
    assert [one.rip for one in told] == [target.rip for target in targets]
    assert {one.result for one in told} == {"unknown"}
    assert "none-such" in told[0].problem


def test_a_real_tls_library_takes_the_hello() -> None:
    """It goes on with the handshake or says why not, which is an answer, too."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(client_hello())
    shake: Callable[[], None] = server.do_handshake
    with pytest.raises(ssl.SSLError) as told:
        shake()
    assert "NO_SHARED_CIPHER" in str(told.value)  # without a certificate there is none: the hello itself was read
    assert outgoing.read()[:1] == b"\x15"
