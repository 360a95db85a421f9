"""IPv4 (RFC 791) and IPv6 (RFC 8200) packets: headers built, headers checked and taken off."""

from __future__ import annotations

import struct

import msgspec

from backends.packets import ethernet
from backends.packets.checksum import checksum

ICMP = 1
TCP = 6
UDP = 17
ICMPV6 = 58
_FRAGMENT = 44
_SKIPPED = (0, 43, 60)
"""IPv6 extension headers that may stand before the message: hop-by-hop, routing, destination options."""


class Packet(msgspec.Struct, frozen=True):
    """What an IP packet carries. `complete` is false for the first fragment of a larger one: its message is cut, so
    lengths and checksums in it cannot be held against it."""

    source: bytes
    destination: bytes
    protocol: int
    payload: bytes
    hops: int
    complete: bool = True


def build(source: bytes, destination: bytes, protocol: int, payload: bytes, hops: int = 64) -> bytes:
    """An IPv4 or IPv6 packet, by the length of the addresses."""
    if len(source) == 16:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, hops) + source + destination + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0x4000, hops, protocol, 0) + source + destination
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def parse(frame: ethernet.Frame) -> Packet | None:
    """The packet in a frame, without padding; None for what is no IP, cut short, damaged, or a later fragment."""
    if frame.ethertype == ethernet.IPV4:
        return parse4(frame.payload)
    if frame.ethertype == ethernet.IPV6:
        return parse6(frame.payload)
    return None


def parse4(data: bytes) -> Packet | None:
    """As `parse`, for the bytes of an IPv4 packet."""
    if len(data) < 20 or data[0] >> 4 != 4:
        return None
    head = (data[0] & 0x0F) * 4
    total, fragment, hops, protocol, source, destination = struct.unpack_from("!2xH2xHBB2x4s4s", data)
    if head < 20 or not head <= total <= len(data) or checksum(data[:head]) != 0 or fragment & 0x1FFF:
        return None
    return Packet(source, destination, protocol, data[head:total], hops, not fragment & 0x2000)


def parse6(data: bytes) -> Packet | None:
    """As `parse`, for the bytes of an IPv6 packet."""
    if len(data) < 40 or data[0] >> 4 != 6:
        return None
    length, protocol, hops, source, destination = struct.unpack_from("!4xHBB16s16s", data)
    if length > len(data) - 40:
        return None
    return _after_extensions(Packet(source, destination, protocol, data[40 : 40 + length], hops))


def _after_extensions(packet: Packet) -> Packet | None:
    protocol, payload, complete = packet.protocol, packet.payload, True
    while protocol in _SKIPPED or protocol == _FRAGMENT:
        size = 8 if protocol == _FRAGMENT else (payload[1] + 1) * 8 if len(payload) >= 8 else 0
        if not 8 <= size <= len(payload):
            return None
        if protocol == _FRAGMENT:
            offset = int.from_bytes(payload[2:4], "big")
            if offset >> 3:
                return None
            complete = not offset & 1
        protocol, payload = payload[0], payload[size:]
    return Packet(packet.source, packet.destination, protocol, payload, packet.hops, complete)


class Quoted(msgspec.Struct, frozen=True):
    """The packet an ICMP error is about, as far as it is quoted: 8 bytes of its message at least (RFC 792)."""

    source: bytes
    destination: bytes
    protocol: int
    source_port: int
    destination_port: int
    sequence: int
    """The TCP sequence number; for UDP the length and checksum that stand there."""


def quoted(data: bytes) -> Quoted | None:
    """The packet quoted in an ICMP or ICMPv6 error. Its length and checksum are not checked: quotes are cut, and
    routers on the way have changed them."""
    protocol = 0
    if len(data) >= 28 and data[0] >> 4 == 4:
        head = (data[0] & 0x0F) * 4
        protocol, source, destination = struct.unpack_from("!9xB2x4s4s", data)
        if head < 20 or int.from_bytes(data[6:8], "big") & 0x1FFF:
            return None
        payload = data[head:]
    elif len(data) >= 48 and data[0] >> 4 == 6:
        source, destination = data[8:24], data[24:40]
        packet = _after_extensions(Packet(source, destination, data[6], data[40:], data[7]))
        if packet is None:
            return None
        protocol, payload = packet.protocol, packet.payload
    else:
        return None
    if len(payload) < 8 or protocol not in (TCP, UDP):
        return None
    source_port, destination_port, sequence = struct.unpack_from("!HHI", payload)
    return Quoted(source, destination, protocol, source_port, destination_port, sequence)
