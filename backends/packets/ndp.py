"""IPv6 neighbour discovery (RFC 4861): solicitations and advertisements, what ARP is to IPv4."""

from __future__ import annotations

import struct

import msgspec

from backends.packets import ethernet, icmp, ip
from backends.packets.checksum import transport_checksum

UNSPECIFIED = bytes(16)
ALL_NODES = bytes.fromhex("ff020000000000000000000000000001")
_SOLICITED_NODE = bytes.fromhex("ff0200000000000000000001ff")
_SOLICITATION = 135
_ADVERTISEMENT = 136
_SOURCE_MAC = 1
_TARGET_MAC = 2
_OVERRIDE = 0x20000000
_SOLICITED = 0x40000000


class Advertisement(msgspec.Struct, frozen=True):
    """It says that `target` is at `mac`. `solicited`: said in answer to a question, not out of the blue. `by`: the MAC
    it came from, its Ethernet source."""

    source: bytes
    destination: bytes
    target: bytes
    mac: bytes
    solicited: bool
    by: bytes


class Solicitation(msgspec.Struct, frozen=True):
    """Somebody at `mac` asks for `target`; `source` all zeros means it is about to take that address itself. `by` as
    in `Advertisement`."""

    source: bytes
    target: bytes
    mac: bytes
    by: bytes


def solicitation(own_mac: bytes, own_ip: bytes, wanted: bytes) -> bytes:
    """A frame to the solicited-node multicast group of an address; `own_ip` all zeros asks as duplicate detection
    does, without telling the own MAC (RFC 4861 section 4.3)."""
    group = _SOLICITED_NODE + wanted[-3:]
    option = b"" if own_ip == UNSPECIFIED else bytes((_SOURCE_MAC, 1)) + own_mac
    message = struct.pack("!BBHI16s", _SOLICITATION, 0, 0, 0, wanted) + option
    return _frame(own_mac, own_ip, group, message)


def unsolicited(own_mac: bytes, address: bytes) -> bytes:
    """A frame to all nodes saying that the address lives here, with the override flag (RFC 4861 section 7.2.6)."""
    option = bytes((_TARGET_MAC, 1)) + own_mac
    message = struct.pack("!BBHI16s", _ADVERTISEMENT, 0, 0, _OVERRIDE, address) + option
    return _frame(own_mac, address, ALL_NODES, message)


def parse(frame: ethernet.Frame) -> Advertisement | Solicitation | None:
    """The neighbour message in a frame; None where it is none or fails a check of RFC 4861 section 7.1."""
    packet = ip.parse(frame)
    if packet is None or packet.protocol != ip.ICMPV6 or packet.hops != 255 or not packet.complete:
        return None
    data = packet.payload
    if len(data) < 24 or data[0] not in (_SOLICITATION, _ADVERTISEMENT) or data[1] != 0:
        return None
    if transport_checksum(packet.source, packet.destination, ip.ICMPV6, data) != 0:
        return None
    flags, target = struct.unpack_from("!4xI16s", data)
    options = icmp.options(data[24:])
    if target[0] == 0xFF or (len(data) > 24 and not options):
        return None
    wanted = _TARGET_MAC if data[0] == _ADVERTISEMENT else _SOURCE_MAC
    mac = next((value for kind, value in options if kind == wanted and len(value) == 6), frame.source)
    if not ethernet.is_unicast(mac):
        return None
    if data[0] == _SOLICITATION:
        return Solicitation(packet.source, target, mac, frame.source)
    return Advertisement(packet.source, packet.destination, target, mac, bool(flags & _SOLICITED), frame.source)


def _frame(own_mac: bytes, source: bytes, group: bytes, message: bytes) -> bytes:
    """Hop limit 255 proves to the receiver that no router has passed it on; the group's MAC is RFC 2464 section 7."""
    right = transport_checksum(source, group, ip.ICMPV6, message).to_bytes(2, "big")
    packet = ip.build(source, group, ip.ICMPV6, message[:2] + right + message[4:], hops=255)
    return ethernet.build(b"\x33\x33" + group[-4:], own_mac, ethernet.IPV6, packet)
