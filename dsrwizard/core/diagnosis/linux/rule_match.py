"""Whether a dropping rule of a packet filter, as its program lists it, may be what stopped a packet.

Only what the text rules out counts: another destination, protocol, port, source, interface or connection state. What it
does not say, or says in words unknown here, may match. A rule that names the source's network drops that network on
purpose, and says nothing of other clients.
"""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import Literal

import msgspec

Reach = Literal["all", "source", "no"]
"""`all`: it may drop such packets of any client; `source`: only those of networks it names; `no`: it drops no such
packet."""

_SOURCE = re.compile(r"(?:^|\s)(?:(!) )?-s (?:(!) )?(\S+)|\bsaddr (!= )?(\{[^}]*\}|\S+)")
_DESTINATION = re.compile(r"(?:^|\s)(?:(!) )?-d (?:(!) )?(\S+)|\bdaddr (!= )?(\{[^}]*\}|\S+)")
_SETS = re.compile(r"--match-set \S+ src\b|\bsaddr (?:!= )?@")
_OTHER_SETS = re.compile(r"! --match-set \S+ src\b|\bsaddr != @")
_PORTS = re.compile(r"(?:(!) )?--(?:dport|dports) (\S+)|\bdport (!= )?(\{[^}]*\}|\S+)")
_PROTOCOL = re.compile(r"(?:(!) )?-p (\S+)|\b(?:meta l4proto|ip protocol|ip6 nexthdr) (!= )?(\S+)")
_LATER = re.compile(
    r"ctstate (?!\S*NEW)\S+|--state (?!\S*NEW)\S+|\bct state (?:invalid|established|related)\b|! --syn\b|! --tcp-flags"
)
"""States and flags that no first packet of a connection has."""
_INTERFACE = re.compile(r"(?:(!) )?-i (\S+)|\biif(?:name)? (!= )?\"?([^\s\"]+)\"?")


class FirstPacket(msgspec.Struct, frozen=True, kw_only=True):
    """A first packet: from `source` (empty: any client) to a VIP's service, come in by an interface (empty: any)."""

    source: str
    vip: str
    protocol: str
    port: int
    interface: str = ""


def reach(rule: str, asked: FirstPacket) -> Reach:
    """What a rule can have to do with such a packet. A policy drops whatever no rule has let in."""
    if _LATER.search(rule) or not _to(rule, asked):
        return "no"
    if _SETS.search(rule):
        return "all" if _OTHER_SETS.search(rule) else "source"
    found: Reach = "all"
    for one in _SOURCE.finditer(rule):
        negated, networks = bool(one[1] or one[2] or one[4]), one[3] or one[5]
        inside = _holds(networks, asked.source)
        if asked.source and inside is not None and inside == negated:
            return "no"
        if not negated and not _everything(networks):
            found = "source"
    return found


def _to(rule: str, asked: FirstPacket) -> bool:
    """Whether the rule is about packets to that service, as far as it says."""
    for one in _DESTINATION.finditer(rule):
        inside = _holds(one[3] or one[5], asked.vip)
        if inside is not None and inside == bool(one[1] or one[2] or one[4]):
            return False
    for one in _PROTOCOL.finditer(rule):
        named, negated = (one[2] or one[4]).lower(), bool(one[1] or one[3])
        if named in ("tcp", "udp", "icmp", "icmpv6", "ipv6-icmp", "sctp") and (named == asked.protocol) == negated:
            return False
    words = rule.split()
    if ("udp dport" if asked.protocol == "tcp" else "tcp dport") in rule or "icmp" in words:
        return False
    for one in _PORTS.finditer(rule):
        inside = _among(one[2] or one[4], asked.port)
        if inside is not None and inside == bool(one[1] or one[3]):
            return False
    for one in _INTERFACE.finditer(rule):
        named, negated = one[2] or one[4], bool(one[1] or one[3])
        if asked.interface and not named.endswith(("+", "*")) and (named == asked.interface) == negated:
            return False
    return True


def _parts(text: str) -> list[str]:
    return [part for part in text.strip("{} ").replace(",", " ").split() if part]


def _holds(text: str, address: str) -> bool | None:
    """Whether an address is in one of these networks; None where that cannot be told."""
    if not address:
        return None
    wanted = ip_address(address)
    for part in _parts(text):
        try:
            first, _, last = part.partition("-")
            if last and ip_address(first) <= wanted <= ip_address(last):  # type: ignore[operator]
                return True
            if not last and wanted in ip_network(part, strict=False):
                return True
        except (ValueError, TypeError):
            return None
    return False


def _everything(text: str) -> bool:
    return any(part.endswith("/0") for part in _parts(text))


def _among(text: str, port: int) -> bool | None:
    for part in _parts(text):
        first, _, last = part.replace("-", ":").partition(":")
        if not first.isdecimal() or (last and not last.isdecimal()):
            return None
        if int(first) <= port <= int(last or first):
            return True
    return False
