"""The Internet checksum (RFC 1071) and the pseudo-headers it covers (RFC 9293 section 3.1, RFC 8200 section 8.1)."""

from __future__ import annotations

import struct


def checksum(data: bytes) -> int:
    """The 16-bit checksum to put into a header; 0 over data that already holds a right one."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def transport_checksum(source: bytes, destination: bytes, protocol: int, segment: bytes) -> int:
    """The checksum of a TCP, UDP or ICMPv6 message between two packed addresses of one family."""
    if len(source) == 4:
        pseudo = struct.pack("!4s4sBBH", source, destination, 0, protocol, len(segment) & 0xFFFF)
    else:
        pseudo = struct.pack("!16s16sI3xB", source, destination, len(segment), protocol)
    return checksum(pseudo + segment)
