"""Ethernet II frames, with or without 802.1Q tags, and MAC addresses as text."""

from __future__ import annotations

import re
import struct

import msgspec

ARP = 0x0806
IPV4 = 0x0800
IPV6 = 0x86DD
_TAGS = (0x8100, 0x88A8)
"""IEEE 802.1Q and 802.1ad tag protocol identifiers."""

BROADCAST = b"\xff" * 6
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


class Frame(msgspec.Struct, frozen=True):
    """`vlan` is the outermost VLAN id, 0 where there is no tag or only a priority tag.

    `checksums` false: the frame comes from this machine's own kernel, which leaves TCP and UDP checksums to hardware
    that never was (veth, bridges); they are then not wrong, only not yet there.
    """

    destination: bytes
    source: bytes
    ethertype: int
    payload: bytes
    vlan: int = 0
    checksums: bool = True


def build(destination: bytes, source: bytes, ethertype: int, payload: bytes) -> bytes:
    """A frame, padded to the 60 bytes Ethernet wants without its check sequence (IEEE 802.3)."""
    frame = destination + source + ethertype.to_bytes(2, "big") + payload
    return frame.ljust(60, b"\0")


def parse(data: bytes, *, vlan: int = 0, checksums: bool = True) -> Frame | None:
    """The frame, or None where it is cut short. `vlan` and `checksums` are what the kernel says beside the bytes."""
    if len(data) < 14:
        return None
    destination, source, ethertype = struct.unpack_from("!6s6sH", data)
    at = 14
    while ethertype in _TAGS:
        if len(data) < at + 4:
            return None
        tag, ethertype = struct.unpack_from("!HH", data, at)
        vlan = vlan or tag & 0x0FFF
        at += 4
    return Frame(destination, source, ethertype, bytes(data[at:]), vlan, checksums)


def mac_text(mac: bytes) -> str:
    """`52:54:00:aa:bb:cc`."""
    return mac.hex(":")


def mac_bytes(text: str) -> bytes | None:
    """The six bytes of a MAC written with colons or dashes; None where it is no single machine's MAC."""
    plain = text.strip().lower().replace("-", ":")
    if not _MAC.fullmatch(plain):
        return None
    mac = bytes.fromhex(plain.replace(":", ""))
    return mac if is_unicast(mac) else None


def is_unicast(mac: bytes) -> bool:
    """One machine's MAC: neither a group address (IEEE 802 group bit) nor all zeros."""
    return len(mac) == 6 and not mac[0] & 1 and any(mac)
