"""Whether one rule of a packet filter applies to the first packet of a client's connection to a VIP. Pure.

Three answers: `yes`, `no`, and `some`: it applies to some clients or at some times, or its condition is not known here.
What a rule asks for is read in `filter_iptables` and `filter_nft`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Literal

import msgspec

Applies = Literal["yes", "some", "no"]
RuleVerdict = Literal["accept", "drop", "return", "jump", "goto", "elsewhere", "ask", "mark", "notrack", ""]
"""What a rule does with a packet it applies to; empty: it only counts or changes it."""
_NEGATED: dict[Applies, Applies] = {"yes": "no", "no": "yes", "some": "some"}

EPHEMERAL = (1024, 65535)
"""Ports that clients connect from."""
LENGTHS = (40, 1500)
"""How long a packet of a client's connection may be."""


class ClientPacket(msgspec.Struct, frozen=True, kw_only=True):
    """A packet of a client to a VIP, at one hook.

    `client` empty: some client elsewhere. `own`: addresses of the farm's own machines, which are no clients. `incoming`
    and `outgoing`: interfaces, empty where the hook has none. `marks`: marks that rules have set, `sure` whether they
    surely did.
    """

    family: Literal[4, 6]
    vip: str
    protocol: str
    port: int
    client: str = ""
    own: frozenset[str] = frozenset()
    incoming: str = ""
    outgoing: str = ""
    untracked: bool = False
    marks: tuple[int, ...] = ()
    sets: dict[str, tuple[str, ...]] = {}
    """Named sets that rules may ask for."""


class FilterRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: whether it applies, what it does then, and where it jumps to."""

    applies: Applies
    verdict: RuleVerdict = ""
    target: str = ""
    mark: int = 0
    packets: int | None = None
    random: bool = False
    """It hits a part of the packets, whoever sends them."""


def both(*answers: Applies) -> Applies:
    """All of them at once."""
    return "no" if "no" in answers else "some" if "some" in answers else "yes"


def no_less(answer: Applies) -> Applies:
    """The negation."""
    return _NEGATED[answer]


def any_of(answers: Iterable[Applies]) -> Applies:
    """One of them is enough."""
    found = set(answers)
    return "yes" if "yes" in found else "some" if "some" in found else "no"


def between(address: str, text: str) -> Applies:
    """Whether an address is in a range, `FIRST-LAST`."""
    first, _, last = text.partition("-")
    try:
        ends, one = (ip_address(first), ip_address(last)), ip_address(address)
    except ValueError:
        return "some"
    if not ends[0].version == ends[1].version == one.version:
        return "some"
    return "yes" if int(ends[0]) <= int(one) <= int(ends[1]) else "no"


def from_network(packet: ClientPacket, text: str) -> Applies:
    """Whether the client is in a network."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        return "some"
    if network.version != packet.family:
        return "no"
    if packet.client:
        return "yes" if ip_address(packet.client) in network else "no"
    if network.prefixlen == 0:
        return "yes"
    if network.num_addresses <= len(packet.own) and all(str(one) in packet.own for one in network):
        return "no"  # only the farm's own machines are there
    return "some"


def to_network(packet: ClientPacket, text: str) -> Applies:
    try:
        return "yes" if ip_address(packet.vip) in ip_network(text, strict=False) else "no"
    except ValueError:
        return "some"


def in_ranges(port: int | tuple[int, int], text: str) -> Applies:
    """Whether a port, or any of a range of them, is in `80,443,1000:2000` or `80, 443, 1000-2000`."""
    low, high = port if isinstance(port, tuple) else (port, port)
    whole = False
    touched = False
    for part in re.split(r"[\s,]+", text.strip("{} ")):
        start, _, end = part.replace("-", ":").partition(":")
        try:
            first, last = int(start or 0), int(end or (65535 if ":" in part.replace("-", ":") else start))
        except ValueError:
            if part in _SERVICES:
                first = last = _SERVICES[part]
            else:
                return "some"
        touched = touched or (first <= high and low <= last)
        whole = whole or (first <= low and high <= last)
    return "yes" if whole else "some" if touched else "no"


_SERVICES = {"http": 80, "https": 443, "ssh": 22, "domain": 53, "smtp": 25, "ftp": 21}


def by_interface(packet: ClientPacket, name: str, *, outgoing: bool = False, negated: bool = False) -> Applies:
    """Whether it comes in (goes out) there; iptables ends a prefix with `+`, nft with `*`. `negated`: the rule is for
    all other interfaces."""
    actual = packet.outgoing if outgoing else packet.incoming
    name = name.strip('"')
    if not actual:
        return "no" if name == "lo" else "some"
    if name.endswith(("+", "*")):
        return "yes" if actual.startswith(name[:-1]) else "no"
    if name == actual:
        return "yes"
    # Clients may come in by another interface than the one that leads to the real servers.
    return "no" if name == "lo" or outgoing or packet.client or negated else "some"


def in_states(packet: ClientPacket, states: Iterable[str]) -> Applies:
    wanted = {state.strip().upper() for state in states}
    if packet.untracked:
        return "yes" if "UNTRACKED" in wanted else "no"
    if "NEW" in wanted:
        return "yes"
    return "some" if "SNAT" in wanted or "DNAT" in wanted else "no"


NUMBERS = {"tcp": "6", "udp": "17"}


def by_mark(packet: ClientPacket, text: str) -> Applies:
    value, _, mask = text.partition("/")
    wanted, bits = integer(value), integer(mask) if mask else 0xFFFFFFFF
    if any(mark & bits == wanted for mark in packet.marks):
        return "some"
    return "yes" if wanted == 0 else "no"


def integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return -1


def by_length(low: str, high: str) -> Applies:
    """Any packet of a client's connection counts: a rule that takes the large ones harms it, too."""
    least, most = integer(low or "0"), integer(high or "65535")
    return "yes" if least <= LENGTHS[1] and LENGTHS[0] <= most else "no"
