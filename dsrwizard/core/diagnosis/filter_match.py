"""Whether one rule of a packet filter applies to the first packet of a client's connection to a VIP. Pure.

Three answers: `yes`, `no`, and `some`: it applies to some clients or at some times, or its condition is not known here.
What a rule asks for is read as iptables-save and `nft list ruleset` write it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network
from typing import Literal

import msgspec

Applies = Literal["yes", "some", "no"]

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


class FilterRule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule: whether it applies, what it does then, and where it jumps to."""

    applies: Applies
    verdict: Literal["accept", "drop", "return", "jump", "goto", "elsewhere", "ask", "mark", "notrack", ""] = ""
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
    return {"yes": "no", "no": "yes", "some": "some"}[answer]  # type: ignore[return-value]


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


# -- iptables

_COUNTER = re.compile(r"^\[(\d+):\d+\] ")


@lru_cache(maxsize=65_536)
def _iptables_words(text: str) -> tuple[int | None, tuple[str, ...]]:
    """The counter and the words of a rule. Kept, because each service of each VIP goes through the same rules."""
    counted = _COUNTER.match(text)
    rest = text[counted.end() :] if counted else text
    try:
        words = shlex.split(rest) if '"' in rest else rest.split()
    except ValueError:
        words = rest.split()
    return int(counted[1]) if counted else None, tuple(words)


@lru_cache(maxsize=65_536)
def _nft_words(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(re.sub(r'\bcomment "[^"]*"', "", text)))


def iptables(packet: ClientPacket, text: str) -> FilterRule:
    """A rule as `iptables-save -c` prints it."""
    packets, words = _iptables_words(text)
    answers: list[Applies] = []
    modules: set[str] = set()
    target, verdict, mark = "", "", 0
    negated, at = False, 2  # after -A CHAIN
    while at < len(words):
        word, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 2
        if word == "!":
            negated, at = True, at - 1
            continue
        if word in ("-m", "--match"):
            modules.add(value)
            answers += () if value in _KNOWN else ("some",)
        elif word in ("-j", "--jump", "-g", "--goto"):
            target, verdict = value, "goto" if word in ("-g", "--goto") else _TARGETS.get(value, "jump")
        elif word in ("--set-mark", "--set-xmark"):
            mark = _integer(value.partition("/")[0])
        elif word == "--tcp-flags":
            answer = _flags(value, words[at] if at < len(words) else "")
            answers.append(no_less(answer) if negated else answer)
            at += 1
        elif word in _OPTIONS and not (word == "--mark" and ("connmark" in modules or target)):
            answer = _OPTIONS[word](packet, value, negated)
            answers.append(no_less(answer) if negated else answer)
        elif word not in _WITH_VALUE:
            at -= 1
            if word == "--syn":
                answers.append("no" if negated else "yes")
            verdict = "notrack" if word == "--notrack" else verdict
        negated = False
    return FilterRule(
        applies=both(*answers), verdict=verdict, target=target, mark=mark,  # type: ignore[arg-type]
        packets=packets, random="statistic" in modules,
    )  # fmt: skip


def _protocol(packet: ClientPacket, value: str, negated: bool) -> Applies:
    del negated
    return "yes" if value in (packet.protocol, "all", _NUMBERS.get(packet.protocol)) else "no"


def _either_port(packet: ClientPacket, value: str, negated: bool) -> Applies:
    del negated
    return "yes" if in_ranges(packet.port, value) == "yes" else in_ranges(EPHEMERAL, value)


def _one_of(*wanted: str) -> Callable[[ClientPacket, str, bool], Applies]:
    return lambda packet, value, negated: "yes" if set(wanted) & set(value.split(",")) else "no"


_OPTIONS: dict[str, Callable[[ClientPacket, str, bool], Applies]] = {
    "-s": lambda packet, value, _: from_network(packet, value),
    "-d": lambda packet, value, _: to_network(packet, value),
    "-i": lambda packet, value, negated: by_interface(packet, value, negated=negated),
    "-o": lambda packet, value, _: by_interface(packet, value, outgoing=True),
    "-p": _protocol,
    **dict.fromkeys(("--dport", "--dports"), lambda packet, value, _: in_ranges(packet.port, value)),
    **dict.fromkeys(("--sport", "--sports"), lambda _, value, __: in_ranges(EPHEMERAL, value)),
    "--ports": _either_port,
    **dict.fromkeys(("--ctstate", "--state"), lambda packet, value, _: in_states(packet, value.split(","))),
    "--dst-type": _one_of("LOCAL"),
    "--src-type": _one_of("UNICAST"),
    "--pkt-type": _one_of("unicast", "host"),
    "--mark": lambda packet, value, _: _marked(packet, value),
    "--length": lambda _, value, __: _long(value.partition(":")[0], value.rpartition(":")[2]),
}  # fmt: skip
_WITH_VALUE = frozenset({"--mode", "--probability", "--every", "--packet", "--comment", "--reject-with"})


_NUMBERS = {"tcp": "6", "udp": "17"}
_KNOWN = frozenset(
    {"tcp", "udp", "multiport", "conntrack", "state", "addrtype", "pkttype", "mark", "length", "comment", "statistic"}
)
_TARGETS = {
    "ACCEPT": "accept", "DROP": "drop", "REJECT": "drop", "TARPIT": "drop", "STEAL": "drop", "RETURN": "return",
    "DNAT": "elsewhere", "REDIRECT": "elsewhere", "TPROXY": "elsewhere", "NETMAP": "elsewhere", "QUEUE": "ask",
    "NFQUEUE": "ask", "MARK": "mark", "NOTRACK": "notrack", "SYNPROXY": "elsewhere",
    **dict.fromkeys(
        (
            "LOG", "NFLOG", "ULOG", "CT", "CONNMARK", "TCPMSS", "TOS", "DSCP", "TTL", "HL", "SET", "CLASSIFY", "AUDIT",
            "SECMARK", "CONNSECMARK", "CHECKSUM", "TRACE", "TEE", "MASQUERADE", "SNAT", "ECN", "HMARK", "IDLETIMER",
            "LED", "RATEEST", "TCPOPTSTRIP", "CLUSTERIP",
        ),
        "",
    ),
}  # fmt: skip


def _flags(mask: str, wanted: str) -> Applies:
    """The first packet has SYN alone."""
    looked = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"} if mask == "ALL" else set(mask.split(","))
    expected = set() if wanted == "NONE" else looked if wanted == "ALL" else set(wanted.split(","))
    return "yes" if looked & {"SYN"} == expected else "no"


def _long(low: str, high: str) -> Applies:
    """Any packet of a client's connection counts: a rule that takes the large ones harms it, too."""
    least, most = _integer(low or "0"), _integer(high or "65535")
    return "yes" if least <= LENGTHS[1] and LENGTHS[0] <= most else "no"


def _marked(packet: ClientPacket, text: str) -> Applies:
    value, _, mask = text.partition("/")
    wanted, bits = _integer(value), _integer(mask) if mask else 0xFFFFFFFF
    if any(mark & bits == wanted for mark in packet.marks):
        return "some"
    return "yes" if wanted == 0 else "no"


def _integer(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        return -1


# -- nftables

_TOKEN = re.compile(r'"[^"]*"|\{[^{}]*\}|\S+')
_OPERATORS = frozenset({"==", "!=", "<", ">", "<=", ">=", "in"})
_NFT_VERDICTS = {"accept": "accept", "drop": "drop", "reject": "drop", "return": "return", "queue": "ask"}


def nft(packet: ClientPacket, text: str) -> FilterRule:
    """A rule as `nft list ruleset` prints it."""
    words = list(_nft_words(text))
    answers: list[Applies] = []
    verdict, target, mark, packets = "", "", 0, None
    at = 0
    while at < len(words):
        word = words[at]
        if word == "counter":
            if words[at + 1 : at + 2] == ["packets"]:
                packets = _integer(words[at + 2]) if at + 2 < len(words) else None
                at += 5
                continue
        elif word in _NFT_VERDICTS:
            verdict = _NFT_VERDICTS[word]
            break
        elif word in ("jump", "goto"):
            verdict, target = word, words[at + 1] if at + 1 < len(words) else ""
            break
        elif word in ("dnat", "redirect", "tproxy", "synproxy"):
            verdict = "elsewhere"
            break
        elif word == "notrack":
            verdict = "notrack"
        elif word in ("log", "limit", "quota"):
            if word != "log":
                answers.append("some")
            at = _past(words, at)
            continue
        elif word in ("meta", "ct") and words[at + 1 : at + 3] == ["mark", "set"]:
            if word == "meta":
                verdict, mark = "mark", _integer(words[at + 3]) if at + 3 < len(words) else -1
            at += 4
            continue
        elif word != "continue":
            answer, at = _nft_match(packet, words, at)
            if isinstance(answer, FilterRule):
                return FilterRule(applies=both(*answers, answer.applies), verdict=answer.verdict, target=answer.target,
                            packets=packets)  # fmt: skip
            answers.append(answer)
            continue
        at += 1
    return FilterRule(applies=both(*answers), verdict=verdict, target=target, mark=mark, packets=packets)  # type: ignore[arg-type]


def _past(words: Sequence[str], at: int) -> int:
    """The end of a statement with options of its own: the next word that begins another."""
    at += 1
    while at < len(words) and words[at] not in _NFT_VERDICTS and words[at] not in ("jump", "goto", "counter", "dnat"):
        at += 1
    return at


def _nft_match(packet: ClientPacket, words: Sequence[str], at: int) -> tuple[Applies | FilterRule, int]:
    """What the expression at `at` asks for, and where it ends."""
    keys = {
        1: ("iif", "iifname", "oif", "oifname"),
        2: (
            "ip saddr", "ip daddr", "ip protocol", "ip6 saddr", "ip6 daddr", "ip6 nexthdr", "tcp dport", "udp dport",
            "th dport", "tcp sport", "udp sport", "th sport", "tcp flags", "ct state", "ct status", "meta l4proto",
            "meta nfproto", "meta mark", "meta iif", "meta iifname", "meta oif", "meta oifname", "meta pkttype",
            "meta length", "ip length", "ip ttl", "icmp type", "icmpv6 type", "meta protocol", "ether type",
        ),
    }  # fmt: skip
    key = " ".join(words[at : at + 2])
    if key in keys[2]:
        at += 2
    elif words[at] in keys[1]:
        key, at = words[at], at + 1
    elif words[at : at + 3] == ["fib", "daddr", "type"]:
        key, at = "fib", at + 3
    else:
        return "some", _past(words, at)
    if at < len(words) and words[at] == "vmap":
        return _mapped(packet, key, words[at + 1] if at + 1 < len(words) else ""), at + 2
    operator = "=="
    if at < len(words) and words[at] in _OPERATORS:
        operator, at = words[at], at + 1
    value = words[at] if at < len(words) else ""
    at += 1
    while value.startswith("{") is False and at < len(words) and words[at] in ("&", "|", "/"):
        value, at = f"{value} {words[at]} {' '.join(words[at + 1 : at + 2])}", at + 2
        if at < len(words) and words[at] in ("==", "!="):
            operator, value, at = words[at], f"{value} == {' '.join(words[at + 1 : at + 2])}", at + 2
    if operator in ("<", ">", "<=", ">="):
        return "some", at
    answer = _nft_value(packet, key.removeprefix("meta "), value, negated=operator == "!=")
    return (no_less(answer) if operator == "!=" else answer), at


def _nft_value(packet: ClientPacket, key: str, value: str, *, negated: bool = False) -> Applies:
    if value.startswith("@"):
        return "some"
    several = [part.strip() for part in value.strip("{} ").split(",")]
    found: list[Applies]
    match key:
        case "iif" | "iifname":
            found = [by_interface(packet, one, negated=negated) for one in several]
        case "oif" | "oifname":
            found = [by_interface(packet, one, outgoing=True) for one in several]
        case "ip saddr" | "ip6 saddr":
            found = (
                ["no"] if (key == "ip saddr") != (packet.family == 4) else [_spanned(packet, one) for one in several]
            )
        case "ip daddr" | "ip6 daddr":
            found = (
                ["no"] if (key == "ip daddr") != (packet.family == 4) else [to_network(packet, one) for one in several]
            )
        case "ip protocol" | "ip6 nexthdr" | "l4proto":
            found = ["yes" if one in (packet.protocol, _NUMBERS.get(packet.protocol)) else "no" for one in several]
        case "nfproto":
            found = ["yes" if value == f"ipv{packet.family}" else "no"]
        case "protocol" | "ether type":
            found = ["yes" if ("ip" if packet.family == 4 else "ip6") in several else "no"]
        case "tcp dport" | "udp dport" | "th dport":
            found = ["no"] if key[:3] not in (packet.protocol, "th ") else [in_ranges(packet.port, value)]
        case "tcp sport" | "udp sport" | "th sport":
            found = ["no"] if key[:3] not in (packet.protocol, "th ") else [in_ranges(EPHEMERAL, value)]
        case "ct state":
            found = [in_states(packet, re.split(r"[,|\s]+", value.strip("{} ")))]
        case "ct status":
            found = ["no"]
        case "tcp flags":
            found = [_nft_flags(packet, value)]
        case "mark":
            found = [_marked(packet, one) for one in several]
        case "pkttype":
            found = ["yes" if {"host", "unicast"} & set(several) else "no"]
        case "length" | "ip length":
            found = [_long(*(part.partition("-")[::2] if "-" in part else (part, part))) for part in several]
        case "icmp type" | "icmpv6 type":
            found = ["no"]
        case "fib":
            found = ["yes" if "local" in several else "no"]
        case _:
            found = ["some"]
    return "yes" if "yes" in found else "some" if "some" in found else "no"


def _family(key: str) -> int:
    return 4 if key.startswith("ip ") else 6


def _spanned(packet: ClientPacket, text: str) -> Applies:
    if "-" in text:
        if not packet.client:
            return "some"
        first, _, last = text.partition("-")
        try:
            return "yes" if ip_address(first) <= ip_address(packet.client) <= ip_address(last) else "no"  # type: ignore[operator]
        except (ValueError, TypeError):
            return "some"
    return from_network(packet, text)


def _nft_flags(packet: ClientPacket, value: str) -> Applies:
    if packet.protocol != "tcp":
        return "no"
    if value.strip() in ("syn", "syn / syn,ack", "syn / fin,syn,rst,ack"):
        return "yes"
    return "some"


def _mapped(packet: ClientPacket, key: str, text: str) -> FilterRule:
    """A verdict map: `{ 22 : accept, 80 : drop }`."""
    best = FilterRule(applies="no")
    for part in text.strip("{} ").split(","):
        value, colon, verdict = part.strip().rpartition(" : ")
        if not colon:
            return FilterRule(applies="some", verdict="ask")
        answer = _nft_value(packet, key.removeprefix("meta "), value.strip())
        words = verdict.split()
        word = words[0] if words else ""
        if answer != "no" and best.applies != "yes":
            if word in ("jump", "goto"):
                best = FilterRule(applies=answer, verdict=word, target=words[-1])  # type: ignore[arg-type]
            else:
                best = FilterRule(applies=answer, verdict=_NFT_VERDICTS.get(word, ""))  # type: ignore[arg-type]
    return best
