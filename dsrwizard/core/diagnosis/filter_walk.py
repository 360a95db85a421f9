"""The way of a client's packet through every packet filter of the director. Pure.

A packet for the VIP comes by prerouting and input before IPVS takes it, and what IPVS sends on passes output and
postrouting (kernel net/netfilter/ipvs: NF_INET_LOCAL_IN, and ip_vs_send_or_cont with NF_INET_LOCAL_OUT).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from dsrwizard.core.diagnosis.filter_iptables import iptables
from dsrwizard.core.diagnosis.filter_match import Applies, ClientPacket, FilterRule, both
from dsrwizard.core.diagnosis.filter_nft import nft
from dsrwizard.core.model.director_facts import FilterChain

_ORDER = {"raw": 0, "mangle": 1, "nat": 2, "filter": 3, "security": 4}
HOOKS = ("ingress", "prerouting", "input", "output", "postrouting")
_DEEP = 40
"""Jumps in jumps that are followed: more than any kernel allows (NFT_JUMP_STACK_SIZE is 16)."""


class Hit(msgspec.Struct, frozen=True):
    """A rule, or the policy of a chain, that takes the packet: `base` is the chain that the kernel begins with.

    `rule` empty: it is the policy. `packets`: its counter. `random`: it takes a part of them only.
    """

    base: FilterChain
    chain: FilterChain
    rule: str = ""
    packets: int | None = None
    kind: Literal["drop", "elsewhere"] = "drop"
    random: bool = False
    chains: frozenset[str] = frozenset()
    """Names of all chains of its table."""

    @property
    def text(self) -> str:
        what = self.rule or f"policy of {self.base.name}: drop"
        return f"{self.chain.tool} {self.chain.table} {self.chain.name}: {what}"


class Followed(msgspec.Struct, frozen=True):
    """What becomes of a packet. `hits`: what surely takes it, one for each chain that the kernel begins with;
    `perhaps`: what takes it unless one of `lets` applies; `some`: what takes it from some clients or at some times.
    `marks` are those that it may have when IPVS sees it, with the rule that sets each and whether that is sure."""

    hits: tuple[Hit, ...] = ()
    perhaps: tuple[Hit, ...] = ()
    lets: tuple[str, ...] = ()
    some: tuple[Hit, ...] = ()
    marks: tuple[tuple[int, str, bool], ...] = ()


def fate(chains: Sequence[FilterChain], packet: ClientPacket, outgoing: str, *, tracked: bool = False) -> Followed:
    """Follows the packet through all hooks. `outgoing`: the interface IPVS sends it out of; `tracked`: IPVS keeps it in
    connection tracking (net.ipv4.vs.conntrack)."""
    hits: list[Hit] = []
    perhaps: list[Hit] = []
    some: list[Hit] = []
    lets: list[str] = []
    marks: list[tuple[int, str, bool]] = []
    for hook in HOOKS:
        if hook == "output":
            untracked = packet.untracked or not tracked
            packet = msgspec.structs.replace(packet, incoming="", outgoing=outgoing, untracked=untracked)
        for base in _bases(chains, hook, packet):
            walk = _Walk(chains, base, packet)
            found = walk.end()
            some += walk.some
            if hook in ("ingress", "prerouting", "input"):
                marks += walk.marks
            values = (*packet.marks, *(mark for mark, _, _ in walk.marks))
            packet = msgspec.structs.replace(packet, marks=values, untracked=packet.untracked or walk.untracked)
            if found is not None:
                (perhaps if walk.lets else hits).append(found)
                lets += walk.lets
    return Followed(tuple(hits), tuple(perhaps), tuple(lets), tuple(some), tuple(marks))


def _bases(chains: Iterable[FilterChain], hook: str, packet: ClientPacket) -> list[FilterChain]:
    found = [
        one for one in chains
        if one.hook == hook and one.family in (0, packet.family)
        and (not one.devices or packet.incoming in one.devices)
    ]  # fmt: skip
    return sorted(found, key=lambda one: _ORDER.get(one.table.rpartition(" ")[2], 3))


class _Walk:
    """One packet from the beginning of one base chain."""

    def __init__(self, chains: Sequence[FilterChain], base: FilterChain, packet: ClientPacket) -> None:
        self._base, self._packet = base, msgspec.structs.replace(packet, sets=dict(base.sets))
        self._names = {
            one.name: one for one in chains
            if (one.tool, one.table, one.family) == (base.tool, base.table, base.family)
        }  # fmt: skip
        self.lets: list[str] = []
        self.some: list[Hit] = []
        self.marks: list[tuple[int, str, bool]] = []
        self.untracked = False

    def end(self) -> Hit | None:
        """What takes the packet; None: it gets through."""
        found = self._through(self._base, "yes", 0)
        if isinstance(found, Hit):
            return found
        if found is None and self._base.drops:
            return self._hit(
                self._base, "", FilterRule(applies="yes", verdict="drop", packets=self._base.policy_packets)
            )
        return None

    def _hit(self, chain: FilterChain, text: str, rule: FilterRule) -> Hit:
        kind: Literal["drop", "elsewhere"] = "elsewhere" if rule.verdict == "elsewhere" else "drop"
        return Hit(self._base, chain, text, rule.packets, kind, rule.random, frozenset(self._names))

    def _through(self, chain: FilterChain, reached: Applies, depth: int) -> Hit | Literal["accept"] | None:
        """A hit or `accept` where that is sure, else None: the packet comes back from the chain."""
        parse = iptables if chain.legacy else nft
        for text in chain.rules:
            packet = self._packet
            if self.untracked or self.marks:
                packet = msgspec.structs.replace(
                    packet, untracked=packet.untracked or self.untracked,
                    marks=(*packet.marks, *(mark for mark, _, _ in self.marks)),
                )  # fmt: skip
            rule = parse(packet, text)
            applies = both(reached, rule.applies)
            if applies == "no":
                continue
            sure = applies == "yes"
            match rule.verdict:
                case "accept":
                    if sure:
                        return "accept"
                    self.lets.append(text)
                case "drop" | "elsewhere":
                    hit = self._hit(chain, text, rule)
                    if sure:
                        return hit
                    self.some.append(hit)
                case "return":
                    if rule.applies == "yes":
                        return None
                    self.lets.append(text)
                case "ask":
                    self.lets.append(text)
                case "jump" | "goto":
                    target = self._names.get(rule.target)
                    if target is None:
                        self.lets.append(text)  # an extension of its own, of which nothing is known here
                        continue
                    inside = self._through(target, applies, depth + 1) if depth < _DEEP else None
                    if inside is not None:
                        return inside
                    if rule.verdict == "goto" and sure:
                        return None
                case "mark":
                    self.marks.append((rule.mark, text, sure))
                case "notrack":
                    self.untracked = self.untracked or sure
                case _:
                    pass
        return None
