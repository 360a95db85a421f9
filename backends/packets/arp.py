"""ARP for IPv4 on Ethernet (RFC 826): who-has, is-at, and the gratuitous forms (RFC 5227)."""

from __future__ import annotations

import struct

import msgspec

from backends.packets import ethernet

REQUEST = 1
REPLY = 2
NOBODY = bytes(6)
UNSPECIFIED = bytes(4)


class Arp(msgspec.Struct, frozen=True):
    """An ARP message: it says that `sender_ip` is at `sender_mac`. `by`: the MAC it came from, its Ethernet source."""

    operation: int
    sender_mac: bytes
    sender_ip: bytes
    target_mac: bytes
    target_ip: bytes
    by: bytes

    def replies_to(self, mac: bytes) -> bool:
        """Whether it is a reply to a question of `mac`. Some devices leave the target's MAC empty."""
        return self.operation == REPLY and self.target_mac in (mac, NOBODY, ethernet.BROADCAST)


def who_has(own_mac: bytes, own_ip: bytes, wanted: bytes) -> bytes:
    """A broadcast frame asking who has an address; `own_ip` all zeros asks without claiming an address (RFC 5227)."""
    return _frame(REQUEST, own_mac, own_ip, NOBODY, wanted)


def gratuitous(own_mac: bytes, address: bytes) -> tuple[bytes, bytes]:
    """Two broadcast frames saying that the address lives here: as a request and as a reply, because some neighbours
    heed only the one and some only the other (arping -U and -A; keepalived sends them for the same reason)."""
    return (
        _frame(REQUEST, own_mac, address, NOBODY, address),
        _frame(REPLY, own_mac, address, own_mac, address),
    )


def parse(frame: ethernet.Frame) -> Arp | None:
    """The ARP message in a frame, or None where it is none, cut short, or names no machine as sender."""
    if frame.ethertype != ethernet.ARP or len(frame.payload) < 28:
        return None
    hardware, protocol, mac_length, ip_length, operation = struct.unpack_from("!HHBBH", frame.payload)
    if (hardware, protocol, mac_length, ip_length) != (1, ethernet.IPV4, 6, 4) or operation not in (REQUEST, REPLY):
        return None
    sender_mac, sender_ip, target_mac, target_ip = struct.unpack_from("!6s4s6s4s", frame.payload, 8)
    if not ethernet.is_unicast(sender_mac):
        return None
    return Arp(operation, sender_mac, sender_ip, target_mac, target_ip, frame.source)


def _frame(operation: int, sender_mac: bytes, sender_ip: bytes, target_mac: bytes, target_ip: bytes) -> bytes:
    head = struct.pack("!HHBBH", 1, ethernet.IPV4, 6, 4, operation)
    body = head + sender_mac + sender_ip + target_mac + target_ip
    return ethernet.build(ethernet.BROADCAST, sender_mac, ethernet.ARP, body)
