"""A rule of iptables, as iptables-save prints it, against the first packet of a client's connection to a VIP. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import lru_cache

from dsrwizard.core.diagnosis.filter_match import (
    EPHEMERAL,
    NUMBERS,
    Applies,
    ClientPacket,
    FilterRule,
    RuleVerdict,
    any_of,
    both,
    by_interface,
    by_length,
    by_mark,
    from_network,
    in_ranges,
    in_states,
    integer,
    no_less,
    to_network,
)

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


def iptables(packet: ClientPacket, text: str) -> FilterRule:
    """A rule as `iptables-save -c` prints it."""
    packets, words = _iptables_words(text)
    answers: list[Applies] = []
    modules: set[str] = set()
    verdict: RuleVerdict = ""
    target, mark = "", 0
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
            mark = integer(value.partition("/")[0])
        elif word == "--tcp-flags":
            answer = _flags(value, words[at] if at < len(words) else "")
            answers.append(no_less(answer) if negated else answer)
            at += 1
        elif word == "--match-set":
            side = words[at] if at < len(words) else ""
            at += 1
            answer = "some"
            if value in packet.sets and side in ("src", "dst"):
                look = from_network if side == "src" else to_network
                answer = any_of(look(packet, one) for one in packet.sets[value])
            answers.append(no_less(answer) if negated else answer)
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
        applies=both(*answers), verdict=verdict, target=target, mark=mark,
        packets=packets, random="statistic" in modules,
    )  # fmt: skip


def _protocol(packet: ClientPacket, value: str, negated: bool) -> Applies:
    del negated
    return "yes" if value in (packet.protocol, "all", NUMBERS.get(packet.protocol)) else "no"


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
    "--mark": lambda packet, value, _: by_mark(packet, value),
    "--length": lambda _, value, __: by_length(value.partition(":")[0], value.rpartition(":")[2]),
}  # fmt: skip
_WITH_VALUE = frozenset({"--mode", "--probability", "--every", "--packet", "--comment", "--reject-with"})


_KNOWN = frozenset(
    {
        "tcp",
        "udp",
        "multiport",
        "conntrack",
        "state",
        "addrtype",
        "pkttype",
        "mark",
        "length",
        "comment",
        "statistic",
        "set",
    }
)
_TARGETS: dict[str, RuleVerdict] = {
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
