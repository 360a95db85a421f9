"""TCP segments (RFC 9293) and UDP datagrams (RFC 768): built, and read only when length and checksum are right."""

from __future__ import annotations

import struct

import msgspec

from backends.packets import ip
from backends.packets.checksum import transport_checksum

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


class Segment(msgspec.Struct, frozen=True):
    """`size`: bytes of payload; `largest`: the maximum segment size that the sender takes, 0 where it names none."""

    source_port: int
    destination_port: int
    sequence: int
    acknowledged: int
    flags: int
    size: int = 0
    largest: int = 0


class Datagram(msgspec.Struct, frozen=True):
    source_port: int
    destination_port: int
    payload: bytes


def syn(source: bytes, destination: bytes, source_port: int, port: int, sequence: int) -> bytes:
    """The packet that opens a connection, with the maximum segment size of Ethernet."""
    size = 1460 if len(source) == 4 else 1440
    return _tcp(source, destination, source_port, port, sequence, flags=SYN, options=struct.pack("!BBH", 2, 4, size))


def rst(source: bytes, destination: bytes, source_port: int, port: int, sequence: int) -> bytes:
    """The packet that ends a half-open connection; `sequence` is the next the peer expects (RFC 9293 3.10.7.4)."""
    return _tcp(source, destination, source_port, port, sequence, flags=RST)


def segment(
    source: bytes, destination: bytes, source_port: int, port: int, sequence: int, acknowledged: int, payload: bytes
) -> bytes:
    """A packet of a connection that is open, with data or as an acknowledgement alone."""
    flags = ACK | PSH if payload else ACK
    return _tcp(
        source, destination, source_port, port, sequence, flags=flags, acknowledged=acknowledged, payload=payload
    )  # fmt: skip


def _tcp(
    source: bytes,
    destination: bytes,
    source_port: int,
    port: int,
    sequence: int,
    *,
    flags: int,
    options: bytes = b"",
    acknowledged: int = 0,
    payload: bytes = b"",
) -> bytes:
    window = 0 if flags & RST else 64240
    offset = (20 + len(options)) // 4 << 4
    numbers = (sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF)
    head = struct.pack("!HHIIBBHHH", source_port, port, *numbers, offset, flags, window, 0, 0)
    segment = head + options + payload
    right = transport_checksum(source, destination, ip.TCP, segment).to_bytes(2, "big")
    return ip.build(source, destination, ip.TCP, segment[:16] + right + segment[18:])


def datagram(source: bytes, destination: bytes, source_port: int, port: int, payload: bytes) -> bytes:
    """A UDP packet. A checksum that comes out as 0 is sent as 0xffff, because 0 means none (RFC 768)."""
    message = struct.pack("!HHHH", source_port, port, 8 + len(payload), 0) + payload
    right = transport_checksum(source, destination, ip.UDP, message) or 0xFFFF
    return ip.build(source, destination, ip.UDP, message[:6] + right.to_bytes(2, "big") + message[8:])


def parse_tcp(packet: ip.Packet, *, checksums: bool = True) -> Segment | None:
    """The TCP segment of a packet; None where it is none or damaged. `checksums` false: see `ethernet.Frame`."""
    data = packet.payload
    if packet.protocol != ip.TCP or len(data) < 20 or not packet.complete:
        return None
    source_port, port, sequence, acknowledged, offset, flags = struct.unpack_from("!HHIIBB", data)
    if not 20 <= (offset >> 4) * 4 <= len(data):
        return None
    if checksums and transport_checksum(packet.source, packet.destination, ip.TCP, data) != 0:
        return None
    head = (offset >> 4) * 4
    largest = _largest(data[20:head]) if flags & SYN else 0
    return Segment(source_port, port, sequence, acknowledged, flags, len(data) - head, largest)


def _largest(options: bytes) -> int:
    """The maximum segment size among the options (RFC 9293 3.2), 0 where there is none."""
    at = 0
    while at < len(options) and options[at] != 0:
        if options[at] == 1:
            at += 1
            continue
        size = options[at + 1] if at + 1 < len(options) else 0
        if size < 2 or at + size > len(options):
            return 0
        if options[at] == 2 and size == 4:
            return int.from_bytes(options[at + 2 : at + 4], "big")
        at += size
    return 0


def parse_udp(packet: ip.Packet, *, checksums: bool = True) -> Datagram | None:
    """The UDP datagram of a packet; None where it is none or damaged. Of a first fragment the ports are taken as they
    are: what would prove them is in the fragments to come. IPv6 knows no datagram without checksum (RFC 8200 8.1)."""
    data = packet.payload
    if packet.protocol != ip.UDP or len(data) < 8:
        return None
    source_port, port, length, given = struct.unpack_from("!HHHH", data)
    if packet.complete:
        if not 8 <= length <= len(data):
            return None
        data = data[:length]
        if not given and len(packet.source) == 16:
            return None
        if checksums and given and transport_checksum(packet.source, packet.destination, ip.UDP, data) != 0:
            return None
    return Datagram(source_port, port, data[8:])
