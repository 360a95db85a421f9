"""A rule of iptables, as iptables-save prints it, against a packet between a client and a VIP. Pure.

What its options mean is in iptables-extensions(8).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise

from dsrwizard.core.diagnosis.filter_match import (
    NOT_READ,
    Applies,
    ClientPacket,
    FilterRule,
    RuleVerdict,
    among,
    both,
    by_home,
    by_interface,
    by_length,
    by_mark,
    from_network,
    in_ranges,
    in_states,
    integer,
    no_less,
    of_icmp,
    of_protocol,
    to_network,
)
from dsrwizard.core.model.packet_filter import CUT

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
    if text.endswith(CUT):
        return NOT_READ
    packets, words = _iptables_words(text)
    answers: list[Applies] = []
    modules: set[str] = set()
    negated, at = False, 2  # after -A CHAIN
    target: tuple[str, ...] = ()
    while at < len(words):
        word, value = words[at], words[at + 1] if at + 1 < len(words) else ""
        at += 2
        if word == "!":
            negated, at = True, at - 1
            continue
        if word in ("-j", "--jump", "-g", "--goto"):
            target = words[at - 2 :]
            break
        answer: Applies | None = None
        if word in ("-m", "--match"):
            modules.add(value)
            answer = None if value in _KNOWN else "some"
        elif word == "--tcp-flags":
            answer = _flags(packet, value, words[at] if at < len(words) else "")
            at += 1
        elif word == "--match-set":
            answer = _in_set(packet, value, words[at] if at < len(words) else "")
            at += 1
        elif word in _REVERSE_PATH and "rpfilter" in modules:
            at -= 1
        elif word in _BARE:
            answer, at = _BARE[word](packet), at - 1
        elif word in _OPTIONS and not (word == "--mark" and "connmark" in modules):
            answer = _OPTIONS[word](packet, value, negated)
        elif word.startswith("--") and word not in _SAYS_NOTHING:
            answer = "some"  # a condition that is not known here
            at -= 1
        elif word not in _SAYS_NOTHING:
            at -= 1
        if answer is not None:
            answers.append(no_less(answer) if negated else answer)
        negated = False
    if "rpfilter" in modules:
        back = by_home(packet, loose="--loose" in words)
        answers.append(no_less(back) if "--invert" in words else back)
    return _rule(both(*answers), target, packets, random="statistic" in modules)


def _rule(applies: Applies, target: tuple[str, ...], packets: int | None, *, random: bool) -> FilterRule:
    """What it does with a packet, by `-j TARGET` and the options of the target."""
    if len(target) < 2:
        return FilterRule(applies=applies, packets=packets)
    name, options = target[1], dict(pairwise(target))
    goes = target[0] in ("-g", "--goto")
    verdict: RuleVerdict = "goto" if goes else _TARGETS.get(name, "jump")
    if name == "CT" and "--notrack" in target:
        verdict = "notrack"
    if random and verdict not in ("drop", "elsewhere"):
        applies = both(applies, "some")
    mark, mask = 0, 0xFFFFFFFF
    if verdict == "mark":
        told = next((options[one] for one in ("--set-xmark", "--set-mark") if one in options), "")
        value, _, bits = told.partition("/")
        mark, mask = integer(value), integer(bits) if bits else 0xFFFFFFFF
        if "--set-mark" in options and mark >= 0:
            mask |= mark  # xt_mark: the bits that are set are cleared before, too
    return FilterRule(
        applies=applies, verdict=verdict, target=name, mark=mark, mask=mask, packets=packets, random=random,
    )  # fmt: skip


def _in_set(packet: ClientPacket, name: str, side: str) -> Applies:
    if name not in packet.sets or side not in ("src", "dst"):
        return "some"
    look = from_network if side == "src" else to_network
    elements = packet.sets[name]
    return among(elements, (look(packet, one) for one in elements if one != CUT))


def _either_port(packet: ClientPacket, value: str) -> Applies:
    found = {in_ranges(packet.sport, value), in_ranges(packet.dport, value)}
    return "yes" if "yes" in found else "some" if "some" in found else "no"


def _flags(packet: ClientPacket, mask: str, wanted: str) -> Applies:
    every = {"FIN", "SYN", "RST", "PSH", "ACK", "URG"}
    looked = every if mask == "ALL" else set(mask.split(","))
    expected = set() if wanted == "NONE" else every if wanted == "ALL" else set(wanted.split(","))
    return "yes" if looked & packet.flags == expected else "no"


def _one_of(*wanted: str) -> Callable[[ClientPacket, str, bool], Applies]:
    return lambda packet, value, negated: "yes" if set(wanted) & set(value.split(",")) else "no"


def _receiver(packet: ClientPacket, value: str, negated: bool) -> Applies:
    del negated
    kind = "LOCAL" if packet.local and not packet.reply else "UNICAST"
    return "yes" if kind in value.split(",") else "no"


def _sender(packet: ClientPacket, value: str, negated: bool) -> Applies:
    del negated
    return "yes" if ("LOCAL" if packet.reply else "UNICAST") in value.split(",") else "no"


def _seen(packet: ClientPacket, value: str, negated: bool) -> Applies:
    """`--ctstatus`: a connection whose first packet is on its way has seen no reply and is not assured."""
    del negated
    wanted = set(value.split(","))
    if wanted <= {"SEEN_REPLY", "ASSURED", "EXPECTED", "NONE", "CONFIRMED"} and not packet.reply:
        return "yes" if "NONE" in wanted and "NEW" in packet.states else "no" if wanted != {"CONFIRMED"} else "some"
    return "some"


_BARE: dict[str, Callable[[ClientPacket], Applies | None]] = {
    "--syn": lambda packet: _flags(packet, "FIN,SYN,RST,ACK", "SYN"),
    "-f": lambda packet: "no",
    "--fragment": lambda packet: "no",
    "--limit-iface-in": lambda packet: "some",
    "--limit-iface-out": lambda packet: "some",
}
_OPTIONS: dict[str, Callable[[ClientPacket, str, bool], Applies]] = {
    "-s": lambda packet, value, _: from_network(packet, value),
    "-d": lambda packet, value, _: to_network(packet, value),
    "--src-range": lambda packet, value, _: from_network(packet, value),
    "--dst-range": lambda packet, value, _: to_network(packet, value),
    "-i": lambda packet, value, negated: by_interface(packet, value, negated=negated),
    "-o": lambda packet, value, _: by_interface(packet, value, outgoing=True),
    "-p": lambda packet, value, _: of_protocol(packet, value),
    **dict.fromkeys(("--dport", "--dports"), lambda packet, value, _: in_ranges(packet.dport, value)),
    **dict.fromkeys(("--sport", "--sports"), lambda packet, value, _: in_ranges(packet.sport, value)),
    "--ports": lambda packet, value, _: _either_port(packet, value),
    **dict.fromkeys(("--ctstate", "--state"), lambda packet, value, _: in_states(packet, value.split(","))),
    "--ctstatus": _seen,
    "--ctdir": lambda packet, value, _: "yes" if (value == "REPLY") == packet.reply else "no",
    "--dst-type": _receiver,
    "--src-type": _sender,
    "--pkt-type": _one_of("unicast", "host"),
    "--mark": lambda packet, value, _: by_mark(packet, value),
    "--length": lambda packet, value, negated: by_length(
        packet, value.partition(":")[0], value.rpartition(":")[2], negated=negated
    ),
    **dict.fromkeys(("--icmp-type", "--icmpv6-type"), lambda packet, value, _: of_icmp(packet, [value])),
    "--rt-type": lambda packet, value, _: "no",
}  # fmt: skip
_SAYS_NOTHING = frozenset({"--mode", "--probability", "--every", "--packet", "--comment"})


_REVERSE_PATH = frozenset({"--loose", "--validmark", "--accept-local", "--invert"})
_KNOWN = frozenset(
    {
        "rpfilter",
        "tcp",
        "udp",
        "icmp",
        "icmp6",
        "icmpv6",
        "multiport",
        "conntrack",
        "state",
        "addrtype",
        "pkttype",
        "iprange",
        "mark",
        "length",
        "comment",
        "statistic",
        "set",
        "rt",
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
