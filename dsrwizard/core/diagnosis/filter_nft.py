"""A rule of nftables, as `nft list ruleset` prints it, against the first packet of a client's connection. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from dsrwizard.core.diagnosis.filter_match import (
    EPHEMERAL,
    NUMBERS,
    Applies,
    ClientPacket,
    FilterRule,
    RuleVerdict,
    any_of,
    between,
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

_TOKEN = re.compile(r'"[^"]*"|\{[^{}]*\}|\S+')
_OPERATORS = frozenset({"==", "!=", "<", ">", "<=", ">=", "in"})
_NFT_VERDICTS: dict[str, RuleVerdict] = {
    "accept": "accept", "drop": "drop", "reject": "drop", "return": "return", "queue": "ask",
}  # fmt: skip
_TO_CHAIN: dict[str, RuleVerdict] = {"jump": "jump", "goto": "goto"}


@lru_cache(maxsize=65_536)
def _nft_words(text: str) -> tuple[str, ...]:
    return tuple(_TOKEN.findall(re.sub(r'\bcomment "[^"]*"', "", text)))


def nft(packet: ClientPacket, text: str) -> FilterRule:
    """A rule as `nft list ruleset` prints it."""
    words = list(_nft_words(text))
    answers: list[Applies] = []
    verdict: RuleVerdict = ""
    target, mark, packets = "", 0, None
    at = 0
    while at < len(words):
        word = words[at]
        if word == "counter":
            if words[at + 1 : at + 2] == ["packets"]:
                packets = integer(words[at + 2]) if at + 2 < len(words) else None
                at += 5
                continue
        elif word in _NFT_VERDICTS:
            verdict = _NFT_VERDICTS[word]
            break
        elif word in _TO_CHAIN:
            verdict, target = _TO_CHAIN[word], words[at + 1] if at + 1 < len(words) else ""
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
                verdict, mark = "mark", integer(words[at + 3]) if at + 3 < len(words) else -1
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
    return FilterRule(applies=both(*answers), verdict=verdict, target=target, mark=mark, packets=packets)


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
    several = [part.strip() for part in value.strip("{} ").split(",")]
    if value.startswith("@"):
        if value[1:] not in packet.sets or any(" " in one for one in packet.sets[value[1:]]):
            return "some"  # of elements with more than a value of their own, too
        several = list(packet.sets[value[1:]])
        value = f"{{ {', '.join(several)} }}"
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
            found = ["no"] if (key == "ip daddr") != (packet.family == 4) else [_held(packet, one) for one in several]
        case "ip protocol" | "ip6 nexthdr" | "l4proto":
            found = ["yes" if one in (packet.protocol, NUMBERS.get(packet.protocol)) else "no" for one in several]
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
            found = [by_mark(packet, one) for one in several]
        case "pkttype":
            found = ["yes" if {"host", "unicast"} & set(several) else "no"]
        case "length" | "ip length":
            found = [by_length(*(part.partition("-")[::2] if "-" in part else (part, part))) for part in several]
        case "icmp type" | "icmpv6 type":
            found = ["no"]
        case "fib":
            found = ["yes" if "local" in several else "no"]
        case _:
            found = ["some"]
    return any_of(found)


def _held(packet: ClientPacket, text: str) -> Applies:
    """Whether the VIP is in a network or, as nft writes it, between two addresses."""
    return between(packet.vip, text) if "-" in text else to_network(packet, text)


def _family(key: str) -> int:
    return 4 if key.startswith("ip ") else 6


def _spanned(packet: ClientPacket, text: str) -> Applies:
    if "-" in text:
        return between(packet.client, text)
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
            if word in _TO_CHAIN:
                best = FilterRule(applies=answer, verdict=_TO_CHAIN[word], target=words[-1])
            else:
                best = FilterRule(applies=answer, verdict=_NFT_VERDICTS.get(word, ""))
    return best
