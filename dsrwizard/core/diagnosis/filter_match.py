"""Whether one rule of a packet filter applies to a packet between a client and a VIP. Pure.

Three answers: `yes`, `no`, and `some`: it applies to some clients or at some times, or its condition is not known here.
What a rule asks for is read in `filter_iptables` and `filter_nft`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Literal

import msgspec

from dsrwizard.core.model.packet_filter import CUT

Applies = Literal["yes", "some", "no"]
RuleVerdict = Literal["accept", "drop", "return", "jump", "goto", "elsewhere", "ask", "mark", "notrack", ""]
"""What a rule does with a packet it applies to; empty: it only counts or changes it. `ask`: another program decides, or
what it does is not known here."""
_NEGATED: dict[Applies, Applies] = {"yes": "no", "no": "yes", "some": "some"}

EPHEMERAL = (1024, 65535)
"""Ports that clients connect from."""
LENGTHS = (40, 1500)
"""How long a packet of a client's connection may be."""
UNKNOWN_MARK = -1
PortSpan = int | tuple[int, int]


class ClientPacket(msgspec.Struct, frozen=True, kw_only=True):
    """A packet of a client to a VIP, or of a VIP to a client, at one hook. Without more it is a connection's first.

    `client` empty: some client elsewhere. `own`: addresses of the farm's own machines, which are no clients. `incoming`
    and `outgoing`: interfaces, empty where the hook has none. `states`: those of connection tracking that it has.
    `marks`: those it may have.
    """

    family: Literal[4, 6]
    vip: str
    protocol: str
    port: int
    client: str = ""
    client_port: PortSpan = EPHEMERAL
    reply: bool = False
    """It goes from the VIP to the client."""
    ordinary: bool = False
    """Some client is one that no list of networks names: a rule for named networks alone is not for it."""
    roaming: bool = True
    """Clients may come in by another interface than `incoming`."""
    local: bool = True
    """The VIP is an address of the machine."""
    own: frozenset[str] = frozenset()
    incoming: str = ""
    outgoing: str = ""
    home: str = ""
    """The interface by which the machine would reply to the sender; empty: not known."""
    states: frozenset[str] = frozenset({"NEW"})
    flags: frozenset[str] = frozenset({"SYN"})
    length: tuple[int, int] = LENGTHS
    """The least and the most that it may be; with `every`, those of all packets of its connection."""
    every: bool = True
    marks: frozenset[int] = frozenset({0})
    sets: dict[str, tuple[str, ...]] = {}
    """Named sets that rules may ask for."""

    @property
    def sport(self) -> PortSpan:
        return self.port if self.reply else self.client_port

    @property
    def dport(self) -> PortSpan:
        return self.client_port if self.reply else self.port

    @property
    def ports(self) -> bool:
        return self.protocol in ("tcp", "udp")


class FilterRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: whether it applies, what it does then, and where it jumps to. `mark` and `mask`: it keeps the bits of
    the old mark outside `mask` and turns those of `mark` over."""

    applies: Applies
    verdict: RuleVerdict = ""
    target: str = ""
    mark: int = 0
    mask: int = 0xFFFFFFFF
    packets: int | None = None
    random: bool = False
    """It hits a part of the packets, whoever sends them."""


NOT_READ = FilterRule(applies="some", verdict="ask")
"""A rule whose end is cut off."""


def both(*answers: Applies) -> Applies:
    """All of them at once."""
    return "no" if "no" in answers else "some" if "some" in answers else "yes"


def by_home(packet: ClientPacket, *, loose: bool) -> Applies:
    """Whether the machine would reply to the sender by the interface that the packet came in by; `loose`: by any
    (kernel xt_rpfilter.c, nft_fib.c)."""
    if not packet.home or not packet.incoming or packet.reply:
        return "some"
    return "yes" if loose or packet.home == packet.incoming else "no"


def no_less(answer: Applies) -> Applies:
    """The negation."""
    return _NEGATED[answer]


def any_of(answers: Iterable[Applies]) -> Applies:
    """One of them is enough."""
    found = set(answers)
    return "yes" if "yes" in found else "some" if "some" in found else "no"


def from_network(packet: ClientPacket, text: str) -> Applies:
    """Whether the sender is in a network or, as `FIRST-LAST`, in a range."""
    return _vip_in(packet, text) if packet.reply else _client_in(packet, text)


def to_network(packet: ClientPacket, text: str) -> Applies:
    """The same of the destination."""
    return _client_in(packet, text) if packet.reply else _vip_in(packet, text)


def _span(text: str) -> tuple[int, int, int] | None:
    """IP version, first and last address as numbers; None for what is none, such as a mask with holes."""
    try:
        first, _, last = text.partition("-")
        if last:
            low, high = ip_address(first.strip()), ip_address(last.strip())
            return (low.version, int(low), int(high)) if low.version == high.version else None
        network = ip_network(text, strict=False)
        return network.version, int(network[0]), int(network[-1])
    except ValueError:
        return None


def _vip_in(packet: ClientPacket, text: str) -> Applies:
    return _inside(packet.vip, text)


def _inside(address: str, text: str) -> Applies:
    span = _span(text)
    if span is None:
        return "some"
    one = ip_address(address)
    return "yes" if one.version == span[0] and span[1] <= int(one) <= span[2] else "no"


def _client_in(packet: ClientPacket, text: str) -> Applies:
    if packet.client:
        return _inside(packet.client, text)
    span = _span(text)
    if span is None:
        return "some"
    version, first, last = span
    if version != packet.family:
        return "no"
    if first == 0 and last == (1 << (32 if version == 4 else 128)) - 1:
        return "yes"
    if packet.ordinary:
        return "no"
    known = {int(ip_address(one)) for one in packet.own if (":" in one) == (version == 6)}
    if last - first < len(known) and all(one in known for one in range(first, last + 1)):
        return "no"  # only the farm's own machines are there
    return "some"


def among(elements: tuple[str, ...], answers: Iterable[Applies]) -> Applies:
    """Whether it is in a set, by the answers for its elements; what was not read of the set may be it."""
    found = any_of(answers)
    return "some" if found == "no" and CUT in elements else found


def in_ranges(port: PortSpan, text: str) -> Applies:
    """Whether a port, or any of a range of them, is in `80,443,1000:2000` or `80, 443, 1000-2000`."""
    low, high = port if isinstance(port, tuple) else (port, port)
    whole = False
    touched = False
    for part in re.split(r"[\s,]+", text.strip("{} ")):
        start, _, end = part.replace("-", ":").partition(":")
        try:
            first, last = int(start or 0), int(end or (65535 if ":" in part.replace("-", ":") else start))
        except ValueError:
            if part not in _SERVICES:
                return "some"
            first = last = _SERVICES[part]
        touched = touched or (first <= high and low <= last)
        whole = whole or (first <= low and high <= last)
    return "yes" if whole else "some" if touched else "no"


_SERVICES = {
    "ftp": 21, "ssh": 22, "telnet": 23, "smtp": 25, "domain": 53, "bootps": 67, "bootpc": 68, "tftp": 69, "http": 80,
    "kerberos": 88, "pop3": 110, "sunrpc": 111, "ntp": 123, "imap2": 143, "snmp": 161, "ldap": 389, "https": 443,
    "submission": 587, "ldaps": 636, "imaps": 993, "pop3s": 995, "mysql": 3306, "http-alt": 8080,
}  # fmt: skip
"""Names of ports, as nft before 0.9.1 prints them (/etc/services)."""


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
    return "some" if packet.roaming and not (name == "lo" or outgoing or packet.client or negated) else "no"


def in_states(packet: ClientPacket, states: Iterable[str]) -> Applies:
    return "yes" if packet.states & {state.strip().upper() for state in states} else "no"


NUMBERS = {"tcp": "6", "udp": "17", "icmp": "1", "ipv6-icmp": "58", "vrrp": "112"}


def of_protocol(packet: ClientPacket, name: str) -> Applies:
    """`tcp`, `6`, `all`."""
    names = {packet.protocol, NUMBERS.get(packet.protocol), "all", "0"}
    return "yes" if name in names or (name == "icmpv6" and packet.protocol == "ipv6-icmp") else "no"


ECHO = frozenset({"8", "8/0", "128", "128/0", "any", "echo-request"})
"""Types of ICMP and of ICMPv6 by which an echo is asked for, and `any`."""
_ECHOED = frozenset({"0", "0/0", "129", "129/0", "any", "echo-reply"})


def of_icmp(packet: ClientPacket, types: Iterable[str]) -> Applies:
    wanted = _ECHOED if packet.reply else ECHO
    return "yes" if packet.protocol in ("icmp", "ipv6-icmp") and wanted & set(types) else "no"


def by_mark(packet: ClientPacket, text: str) -> Applies:
    value, _, mask = text.partition("/")
    wanted, bits = integer(value), integer(mask) if mask else 0xFFFFFFFF
    if wanted < 0 or bits < 0:
        return "some"
    found = {"some" if mark == UNKNOWN_MARK else "yes" if mark & bits == wanted else "no" for mark in packet.marks}
    return "yes" if found == {"yes"} else "no" if found == {"no"} else "some"


def marked(packet: ClientPacket, rule: FilterRule) -> frozenset[int]:
    """The marks that it may have after a rule that sets one."""
    if rule.mark < 0 or rule.mask < 0:
        return frozenset({UNKNOWN_MARK})
    keep = 0xFFFFFFFF & ~rule.mask
    return frozenset(
        (rule.mark if not keep else UNKNOWN_MARK) if mark == UNKNOWN_MARK else (mark & keep) ^ rule.mark
        for mark in packet.marks
    )


def integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return -1


def by_length(packet: ClientPacket, low: str, high: str, *, negated: bool = False) -> Applies:
    """Whether its length is in a range, as the answer before a negation: `negated` says that the rule is for all other
    lengths. Where all packets of a connection are meant, one of them is enough: a rule that takes the large ones harms
    it, too."""
    least, most = integer(low or "0"), integer(high or "65535")
    shortest, longest = packet.length
    whole, touched = least <= shortest and longest <= most, least <= longest and shortest <= most
    if not packet.every:
        return "yes" if whole else "some" if touched else "no"
    return "yes" if (whole if negated else touched) else "no"
