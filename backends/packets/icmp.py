"""ICMP (RFC 792) and ICMPv6 (RFC 4443): echo, and the errors and redirects that answer a probe."""

from __future__ import annotations

import struct
from typing import Literal

import msgspec

from backends.packets import ip
from backends.packets.checksum import checksum, transport_checksum

_WORDS4 = {
    (3, 0): "network unreachable",
    (3, 1): "host unreachable",
    (3, 2): "protocol unreachable",
    (3, 3): "port unreachable",
    (3, 4): "packet too big",
    (3, 9): "network administratively prohibited",
    (3, 10): "host administratively prohibited",
    (3, 13): "administratively prohibited",
    (11, 0): "time to live exceeded",
}
_WORDS6 = {
    (1, 0): "no route to destination",
    (1, 1): "administratively prohibited",
    (1, 2): "beyond scope of source address",
    (1, 3): "address unreachable",
    (1, 4): "port unreachable",
    (1, 5): "source address failed policy",
    (1, 6): "route rejected",
    (3, 0): "hop limit exceeded",
}
_PORT_UNREACHABLE = ((4, 3, 3), (6, 1, 4))
_REDIRECT = ((4, 5), (6, 137))
_ERRORS = ((4, 3), (4, 11), (4, 12), (6, 1), (6, 2), (6, 3), (6, 4))


class Error(msgspec.Struct, frozen=True):
    """An ICMP message about a packet of ours. `words` says which error; `gateway` is where a redirect points."""

    kind: Literal["redirect", "port-unreachable", "unreachable"]
    about: ip.Quoted
    words: str
    gateway: bytes = b""


def echo_request(version: int, identifier: int, sequence: int, payload: bytes) -> bytes:
    """An echo request. In version 6 the checksum is left to the kernel, which knows the source address and always
    fills it in on ICMPv6 sockets (RFC 3542 section 3.1)."""
    kind = 8 if version == 4 else 128
    message = struct.pack("!BBHHH", kind, 0, 0, identifier, sequence) + payload
    if version == 6:
        return message
    return message[:2] + checksum(message).to_bytes(2, "big") + message[4:]


def echo_reply(version: int, message: bytes) -> tuple[int, bytes] | None:
    """Sequence number and payload of an echo reply; None for any other message. The kernel's ICMP layer has checked
    the checksum before a socket sees the message."""
    if len(message) < 8 or message[0] != (0 if version == 4 else 129) or message[1] != 0:
        return None
    return int.from_bytes(message[6:8], "big"), message[8:]


def error(packet: ip.Packet) -> Error | None:
    """The ICMP error or redirect in a packet; None for anything else or a wrong checksum."""
    version = 4 if len(packet.source) == 4 else 6
    data = packet.payload
    if packet.protocol != (ip.ICMP if version == 4 else ip.ICMPV6) or len(data) < 8 or not packet.complete:
        return None
    right = checksum(data) if version == 4 else transport_checksum(packet.source, packet.destination, ip.ICMPV6, data)
    if right != 0:
        return None
    kind, code = data[0], data[1]
    if (version, kind) in _REDIRECT:
        return _redirect4(data) if version == 4 else _redirect6(packet)
    if (version, kind) not in _ERRORS:
        return None
    about = ip.quoted(data[8:])
    if about is None or len(about.source) != len(packet.source):
        return None
    words = (_WORDS4 if version == 4 else _WORDS6).get((kind, code), f"type {kind} code {code}")
    if (version, kind, code) in _PORT_UNREACHABLE:
        return Error("port-unreachable", about, words)
    return Error("unreachable", about, words)


def _redirect4(data: bytes) -> Error | None:
    about = ip.quoted(data[8:])
    if about is None or len(about.source) != 4:
        return None
    return Error("redirect", about, "redirect", data[4:8])


def _redirect6(packet: ip.Packet) -> Error | None:
    """RFC 4861 section 4.5: target, destination, then options; option 4 quotes the packet."""
    data = packet.payload
    if packet.hops != 255 or len(data) < 40:
        return None
    for kind, value in options(data[40:]):
        if kind == 4 and len(value) >= 6:
            about = ip.quoted(value[6:])
            if about is not None and about.destination == data[24:40]:
                return Error("redirect", about, "redirect", data[8:24])
    return None


def options(data: bytes) -> list[tuple[int, bytes]]:
    """The neighbour discovery options (RFC 4861 section 4.6) as (type, value); empty where one is malformed."""
    found: list[tuple[int, bytes]] = []
    while data:
        size = data[1] * 8 if len(data) >= 2 else 0
        if not 8 <= size <= len(data):
            return []
        found.append((data[0], data[2:size]))
        data = data[size:]
    return found
