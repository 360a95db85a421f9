"""A rule of nftables, as `nft list ruleset` prints it, against a packet between a client and a VIP. Pure.

The words are those of nft(8), of its releases since 0.9.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

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

_TOKEN = re.compile(r'"[^"]*"|\{[^{}]*\}|\([^()]*\)|[^\s{]+')
_COMMENT = re.compile(r'\bcomment "[^"]*"')
_ELEMENT = re.compile(r'(?:"[^"]*"|[^",])+')
_OPERATORS = frozenset({"==", "!=", "!", "<", ">", "<=", ">=", "in"})
_NFT_VERDICTS: dict[str, RuleVerdict] = {
    "accept": "accept", "drop": "drop", "reject": "drop", "return": "return", "queue": "ask",
}  # fmt: skip
_TO_CHAIN: dict[str, RuleVerdict] = {"jump": "jump", "goto": "goto"}
_ELSEWHERE = ("dnat", "redirect", "tproxy", "synproxy", "fwd")
_ENDS = frozenset({*_NFT_VERDICTS, *_TO_CHAIN, *_ELSEWHERE, "counter", "log"})
_SINGLE = frozenset({"iif", "iifname", "oif", "oifname", "mark"})
_FIELDS = frozenset(
    {
        "ip saddr", "ip daddr", "ip protocol", "ip6 saddr", "ip6 daddr", "ip6 nexthdr", "tcp dport", "udp dport",
        "th dport", "tcp sport", "udp sport", "th sport", "sctp dport", "sctp sport", "tcp flags", "ct state",
        "ct status", "ct direction", "meta l4proto", "meta nfproto", "meta mark", "meta iif", "meta iifname",
        "meta oif", "meta oifname", "meta pkttype", "meta length", "ip length", "icmp type", "icmpv6 type",
        "meta protocol", "ether type",
    }
)  # fmt: skip


@lru_cache(maxsize=65_536)
def _nft_words(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(_COMMENT.sub("", text)))


def nft(packet: ClientPacket, text: str) -> FilterRule:
    """A rule as `nft list ruleset` prints it."""
    if text.endswith(CUT):
        return NOT_READ
    words = _nft_words(text)
    answers: list[Applies] = []
    verdict: RuleVerdict = ""
    target, mark, mask, packets = "", 0, 0xFFFFFFFF, None
    at = 0
    while at < len(words):
        word = words[at]
        if word == "counter":
            if words[at + 1 : at + 2] == ("packets",):
                packets = integer(words[at + 2]) if at + 2 < len(words) else None
                at += 5
            else:
                at += 3 if words[at + 1 : at + 2] == ("name",) else 1
        elif word in _NFT_VERDICTS:
            verdict = _NFT_VERDICTS[word]
            break
        elif word in _TO_CHAIN:
            verdict, target = _TO_CHAIN[word], words[at + 1] if at + 1 < len(words) else ""
            break
        elif word in _ELSEWHERE:
            verdict = "elsewhere"
            break
        elif word == "notrack":
            verdict, at = "notrack", at + 1
        elif word == "log":
            at = _past(words, at)
        elif word in ("limit", "quota"):
            answers.append("some")
            at = _past(words, at)
        elif word in ("add", "update", "delete") and words[at + 1 : at + 2] and words[at + 1].startswith("@"):
            answers += ("some",) if "limit" in " ".join(words[at + 2 : at + 3]) else ()
            at += 3
        elif "set" in words[at + 1 : at + 3]:
            if word == "mark" or words[at : at + 2] == ("meta", "mark"):
                verdict = "mark"
                mark, mask = _mark(words[words.index("set", at) + 1 : _past(words, at)])
            at = _past(words, at)
        elif word == "continue":
            at += 1
        else:
            answer, at = _nft_match(packet, words, at)
            if isinstance(answer, FilterRule):
                return FilterRule(applies=both(*answers, answer.applies), verdict=answer.verdict, target=answer.target,
                            packets=packets)  # fmt: skip
            answers.append(answer)
    return FilterRule(applies=both(*answers), verdict=verdict, target=target, mark=mark, mask=mask, packets=packets)


def _mark(words: tuple[str, ...]) -> tuple[int, int]:
    """`0x1`, or `meta mark | 0x00004000` and the like, as a mark and the mask that goes with it."""
    if len(words) == 1:
        return integer(words[0]), 0xFFFFFFFF
    words = words[1:] if words[:1] == ("meta",) else words
    if words[:1] == ("mark",) and len(words) == 3:
        value = integer(words[2])
        if value >= 0 and words[1] in ("|", "or"):
            return value, value
        if value >= 0 and words[1] in ("^", "xor"):
            return value, 0
        if value >= 0 and words[1] in ("&", "and"):
            return 0, 0xFFFFFFFF & ~value
    return -1, 0xFFFFFFFF


def _past(words: Sequence[str], at: int) -> int:
    """The end of a statement with options of its own: the next word that begins another."""
    at += 1
    while at < len(words) and words[at] not in _ENDS:
        at += 1
    return at


def _key(words: Sequence[str], at: int) -> tuple[str, int]:
    """The field that an expression begins with, and where it ends; empty: one that is not known here."""
    if words[at] in _SINGLE:
        return words[at], at + 1
    if tuple(words[at : at + 3]) == ("fib", "daddr", "type"):
        return "fib", at + 3
    if tuple(words[at : at + 2]) == ("fib", "saddr") and "oif" in words[at : at + 8]:
        end = words.index("oif", at) + 1
        return "fib strict" if "iif" in words[at:end] else "fib loose", end
    key = " ".join(words[at : at + 2])
    return (key.removeprefix("meta "), at + 2) if key in _FIELDS else ("", at)


def _nft_match(packet: ClientPacket, words: Sequence[str], at: int) -> tuple[Applies | FilterRule, int]:
    """What the expression at `at` asks for, and where it ends."""
    key, end = _key(words, at)
    keys = [key]
    while key and words[end : end + 1] == (".",) and end + 1 < len(words):
        key, end = _key(words, end + 1)
        keys.append(key)
    if "" in keys:
        return "some", _past(words, at)
    at = end
    if at < len(words) and words[at] == "vmap":
        return _mapped(packet, keys, words[at + 1] if at + 1 < len(words) else ""), at + 2
    operator = ""
    if at < len(words) and words[at] in _OPERATORS:
        operator, at = words[at], at + 1
    value = words[at] if at < len(words) else ""
    at += 1
    if keys == ["tcp flags"]:
        start = at - 1
        while at < len(words) and (words[at] in ("&", "|", "/", "==", "!=") or words[at - 1] in _JOINS):
            at += 1
        return _nft_flags(packet, operator, " ".join(words[start:at])), at
    while at < len(words) and words[at] in ("&", "|", "/", "^", "and", "or"):
        value, at = f"{value} {words[at]} {' '.join(words[at + 1 : at + 2])}", at + 2
        if at < len(words) and words[at] in ("==", "!="):
            value, at = f"{value} {words[at]} {' '.join(words[at + 1 : at + 2])}", at + 2
    if value in ("&", "and"):
        return _masked(packet, keys, words, at)
    if operator in ("<", ">", "<=", ">="):
        return _compared(packet, keys, operator, value), at
    negated = operator in ("!=", "!")
    answer = _among(packet, keys, value, negated=negated)
    return (no_less(answer) if negated else answer), at


_JOINS = ("&", "|", "/", "==", "!=")


def _masked(packet: ClientPacket, keys: Sequence[str], words: Sequence[str], at: int) -> tuple[Applies, int]:
    """`meta mark & 0x8000 == 0x8000`; of other fields it is not known."""
    mask, rest = " ".join(words[at : at + 1]), tuple(words[at + 1 : at + 3])
    end = at + 1 + (2 if rest[:1] in (("==",), ("!=",)) else 0)
    if list(keys) != ["mark"] or len(rest) < 2 or rest[0] not in ("==", "!="):
        return "some", max(end, at + 1)
    answer = by_mark(packet, f"{rest[1]}/{mask}")
    return (no_less(answer) if rest[0] == "!=" else answer), end


def _compared(packet: ClientPacket, keys: Sequence[str], operator: str, value: str) -> Applies:
    """`tcp dport >= 1024`, `meta length > 1300`."""
    number = integer(value)
    if number < 0 or len(keys) != 1:
        return "some"
    low, high = {
        "<": (0, number - 1), "<=": (0, number), ">": (number + 1, 65535), ">=": (number, 65535),
    }[operator]  # fmt: skip
    if low > high:
        return "no"
    if keys[0].endswith(("dport", "sport", "length")):
        return _nft_value(packet, keys[0], f"{low}-{high}")
    return "some"


def _parts(text: str) -> list[str]:
    return [part.strip() for part in _ELEMENT.findall(text.strip("{} ")) if part.strip()]


def _among(packet: ClientPacket, keys: Sequence[str], value: str, *, negated: bool = False) -> Applies:
    """Whether the fields have a value, or one of several, or one of a named set."""
    if value.startswith("@"):
        elements = packet.sets.get(value[1:])
        if elements is None:
            return "some"
    elif value.startswith("{"):
        elements = tuple(_parts(value))
    elif len(keys) == 1:
        return _nft_value(packet, keys[0], value, negated=negated)
    else:
        elements = (value,)
    return among(elements, (_element(packet, keys, one, negated=negated) for one in elements if one != CUT))


def _element(packet: ClientPacket, keys: Sequence[str], text: str, *, negated: bool = False) -> Applies:
    """Whether the fields have the values of one element, which has as many (`10.0.0.10 . tcp . 80`)."""
    if text == "*":
        return "yes"  # of a map: whatever else comes
    values = [part.strip() for part in text.split(" . ")]
    if len(values) != len(keys):
        return "some"
    return both(*(_nft_value(packet, key, one, negated=negated) for key, one in zip(keys, values, strict=True)))


def _nft_value(packet: ClientPacket, key: str, value: str, *, negated: bool = False) -> Applies:
    four = packet.family == 4
    match key:
        case "iif" | "iifname" | "oif" | "oifname":
            return by_interface(packet, value, outgoing=key.startswith("o"), negated=negated)
        case "ip saddr" | "ip6 saddr":
            return from_network(packet, value) if (key == "ip saddr") == four else "no"
        case "ip daddr" | "ip6 daddr":
            return to_network(packet, value) if (key == "ip daddr") == four else "no"
        case "ip protocol" | "ip6 nexthdr":
            return of_protocol(packet, value) if (key == "ip protocol") == four else "no"
        case "l4proto":
            return _span_of(packet, value)
        case "nfproto":
            return "yes" if value == f"ipv{packet.family}" else "no"
        case "protocol" | "ether type":
            return "yes" if value == ("ip" if four else "ip6") else "no"
        case "tcp dport" | "udp dport" | "th dport" | "sctp dport":
            return in_ranges(packet.dport, value) if _carries(packet, key) else "no"
        case "tcp sport" | "udp sport" | "th sport" | "sctp sport":
            return in_ranges(packet.sport, value) if _carries(packet, key) else "no"
        case "ct state":
            return in_states(packet, re.split(r"[,|\s]+", value))
        case "ct direction":
            return "yes" if (value == "reply") == packet.reply else "no"
        case "ct status":
            return "yes" if value == "dnat" and "DNAT" in packet.states else "some" if packet.reply else "no"
        case "mark":
            return by_mark(packet, value)
        case "pkttype":
            return "yes" if value in ("host", "unicast") else "no"
        case "length" | "ip length":
            low, dash, high = value.partition("-")
            return by_length(packet, low, high if dash else low, negated=negated)
        case "icmp type" | "icmpv6 type":
            return of_icmp(packet, [value]) if (key == "icmp type") == four else "no"
        case "fib strict" | "fib loose":
            back = by_home(packet, loose=key == "fib loose")
            return no_less(back) if value in ("missing", "0") else back if value == "exists" else "some"
        case "fib":
            return "yes" if value == ("local" if packet.local and not packet.reply else "unicast") else "no"
        case _:
            return "some"


def _span_of(packet: ClientPacket, value: str) -> Applies:
    first, dash, last = value.partition("-")
    if dash and first.isdecimal() and last.isdecimal():
        number = {"tcp": 6, "udp": 17, "icmp": 1, "ipv6-icmp": 58}.get(packet.protocol, -1)
        return "yes" if int(first) <= number <= int(last) else "no"
    return of_protocol(packet, value)


def _carries(packet: ClientPacket, key: str) -> bool:
    return key.partition(" ")[0] in (packet.protocol, "th") and packet.ports


_FLAGS = ("fin", "syn", "rst", "psh", "ack", "urg")
_NUMBERS = {flag: 1 << at for at, flag in enumerate(_FLAGS)} | {"ecn": 64, "cwr": 128}


def _bits(text: str) -> int | None:
    """`syn`, `fin,syn`, `(fin | syn)`, `0x12`."""
    total = 0
    for word in re.split(r"[\s,|()]+", text.strip()):
        if not word:
            continue
        value = _NUMBERS.get(word, integer(word))
        if value < 0:
            return None
        total |= value
    return total


def _nft_flags(packet: ClientPacket, operator: str, text: str) -> Applies:
    """`syn`, `!= syn / fin,syn,rst,ack`, `& (fin | syn | rst | ack) == syn`, `{ syn, syn | ack }`."""
    if packet.protocol != "tcp":
        return "no"
    has = sum(_NUMBERS[flag.lower()] for flag in packet.flags)
    if text.startswith("{"):
        every = [_bits(one) for one in _parts(text)]
        if None in every:
            return "some"
        inside = has in every
        return "yes" if inside != (operator == "!=") else "no"
    masked = re.fullmatch(r"& (\([^()]*\)|\S+) (==|!=) (.+)", text)
    slash = re.fullmatch(r"([^/]+) / (.+)", text)
    if masked is not None:
        mask, wanted, equal = _bits(masked[1]), _bits(masked[3]), masked[2] == "=="
    elif slash is not None:
        mask, wanted, equal = _bits(slash[2]), _bits(slash[1]), operator not in ("!=", "!")
    else:
        wanted, equal = _bits(text), operator not in ("!=", "!")
        mask = 0xFF if operator in ("==", "!=") else wanted
        if mask is not None and operator in ("", "!"):
            # Without an operator nft asks whether any of these is set, with `!` whether none is.
            return "yes" if bool(has & mask) == (not operator) else "no"
    if mask is None or wanted is None:
        return "some"
    return "yes" if ((has & mask) == wanted) == equal else "no"


def _mapped(packet: ClientPacket, keys: Sequence[str], text: str) -> FilterRule:
    """A verdict map: `{ 22 : accept, 80 : drop }`, or the name of one. An element that surely fits is the one."""
    elements = packet.sets.get(text[1:]) if text.startswith("@") else tuple(_parts(text))
    if elements is None:
        return FilterRule(applies="some", verdict="ask")
    best = FilterRule(applies="some" if CUT in elements else "no", verdict="ask" if CUT in elements else "")
    for part in sorted(elements, key=lambda one: one.startswith("* ")):
        if part == CUT:
            continue
        value, colon, verdict = part.rpartition(" : ")
        if not colon:
            return FilterRule(applies="some", verdict="ask")
        answer = _element(packet, keys, value.strip())
        words = verdict.split()
        word = words[0] if words else ""
        if answer == "no" or best.applies == "yes":
            continue
        if answer == "some" and best.applies == "some" and best.verdict != _NFT_VERDICTS.get(word, ""):
            best = FilterRule(applies="some", verdict="ask")
        elif word in _TO_CHAIN:
            best = FilterRule(applies=answer, verdict=_TO_CHAIN[word], target=words[-1])
        else:
            best = FilterRule(applies=answer, verdict=_NFT_VERDICTS.get(word, ""))
    return best
