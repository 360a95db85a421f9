"""The way of a packet through every packet filter of a host. Pure.

A packet for the VIP comes by prerouting and input before IPVS or a socket takes it; what IPVS sends on, and what a
socket answers, passes output and postrouting (kernel net/netfilter/ipvs: NF_INET_LOCAL_IN, and ip_vs_send_or_cont with
NF_INET_LOCAL_OUT). A chain of nat sees the first packet of a connection that is tracked, and no other (nf_nat_core.c,
nf_nat_inet_fn).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from dsrwizard.core.diagnosis.filter_iptables import iptables
from dsrwizard.core.diagnosis.filter_match import NOT_READ, Applies, ClientPacket, FilterRule, both, marked
from dsrwizard.core.diagnosis.filter_nft import nft
from dsrwizard.core.model.packet_filter import FilterChain, Hook

IN: tuple[Hook, ...] = ("ingress", "prerouting", "input")
OUT: tuple[Hook, ...] = ("output", "postrouting", "egress")
_TRACKING = -200
"""The priority at which connection tracking looks at a packet (NF_IP_PRI_CONNTRACK)."""
_UNTRACKED = frozenset({"UNTRACKED"})
_MOST = 60_000
"""Rules that are asked of one packet in one chain that the kernel begins with, those jumped to included."""
_DEEP = 40
"""Jumps in jumps that are followed: more than any kernel allows (NFT_JUMP_STACK_SIZE is 16)."""


class Hit(msgspec.Struct, frozen=True):
    """A rule, or the policy of a chain, that takes the packet: `base` is the chain that the kernel begins with.

    `rule` empty: it is the policy. `packets`: its counter. `random`: it takes a part of them only. `ask`: another
    program decides what becomes of it, or that is not known.
    """

    base: FilterChain
    chain: FilterChain
    rule: str = ""
    packets: int | None = None
    kind: Literal["drop", "elsewhere", "ask"] = "drop"
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


class FilterWay:
    """One packet on its way through the hooks of a host; `packet` is as the rules have left it."""

    def __init__(self, chains: Sequence[FilterChain], packet: ClientPacket) -> None:
        self._chains, self.packet = chains, packet
        self._tables: dict[_Table, dict[str, FilterChain]] = {}
        for one in chains:
            self._tables.setdefault(_table(one), {})[one.name] = one
        self._hits: list[Hit] = []
        self._perhaps: list[Hit] = []
        self._lets: list[str] = []
        self._some: list[Hit] = []
        self._marks: list[tuple[int, str, bool]] = []

    def through(self, *hooks: Hook) -> Hit | None:
        """Follows it through these hooks. The first rule that surely sends it elsewhere, if one does."""
        away = None
        for hook in hooks:
            for base in self._bases(hook):
                found = self._walk(base)
                away = away or (found if found is not None and found.kind == "elsewhere" else None)
        return away

    def found(self) -> Followed:
        return Followed(
            tuple(self._hits), tuple(self._perhaps), tuple(self._lets), tuple(self._some), tuple(self._marks)
        )

    def _bases(self, hook: Hook) -> list[FilterChain]:
        packet = self.packet
        device = packet.outgoing if hook == "egress" else packet.incoming
        found = [
            one for one in self._chains
            if one.hook == hook and one.family in (0, packet.family)
            and (not one.devices or device in one.devices)
        ]  # fmt: skip
        return sorted(found, key=lambda one: one.priority)

    def _walk(self, base: FilterChain) -> Hit | None:
        """What surely takes it in one chain that the kernel begins with."""
        packet = self.packet
        if base.nat and not packet.states & {"NEW"}:
            return None
        early = base.hook == "ingress" or (base.hook in ("prerouting", "output") and base.priority < _TRACKING)
        if early and packet.states != _UNTRACKED:
            # Before it is tracked, a packet is of no connection, which rules call invalid (xt_conntrack.c, nft_ct.c).
            packet = msgspec.structs.replace(packet, states=frozenset({"INVALID"}))
        walk = _Walk(self._tables[_table(base)], base, packet)
        found = walk.end()
        self._some += walk.some
        self._marks += walk.marks
        states = _UNTRACKED if walk.untracked and early else self.packet.states
        self.packet = msgspec.structs.replace(self.packet, marks=walk.packet.marks, states=states)
        if found is None:
            return None
        (self._perhaps if walk.lets else self._hits).append(found)
        self._lets += walk.lets
        return None if walk.lets else found


def fate(chains: Sequence[FilterChain], packet: ClientPacket, outgoing: str, *, tracked: bool = False) -> Followed:
    """Follows a client's packet through all hooks of the director. `outgoing`: the interface IPVS sends it out of;
    `tracked`: IPVS keeps it in connection tracking (net.ipv4.vs.conntrack)."""
    way = FilterWay(chains, packet)
    way.through(*IN)
    before = way.found().marks
    states = way.packet.states if tracked else _UNTRACKED
    way.packet = msgspec.structs.replace(way.packet, incoming="", outgoing=outgoing, states=states)
    way.through(*OUT)
    return msgspec.structs.replace(way.found(), marks=before)


_Table = tuple[str, str, int]


def _table(chain: FilterChain) -> _Table:
    return chain.tool, chain.table, chain.family


class _Walk:
    """One packet from the beginning of one base chain. `names`: the chains of its table."""

    def __init__(self, names: Mapping[str, FilterChain], base: FilterChain, packet: ClientPacket) -> None:
        self._base, self.packet = base, msgspec.structs.replace(packet, sets=dict(base.sets))
        self._names = names
        self._parse = iptables if base.legacy else nft
        self.lets: list[str] = []
        self.some: list[Hit] = []
        self.marks: list[tuple[int, str, bool]] = []
        self.untracked = False
        self._asked = 0

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
        kind: Literal["drop", "elsewhere", "ask"] = "drop"
        if rule.verdict == "elsewhere":
            kind = "elsewhere"
        elif rule.verdict != "drop":
            kind = "ask"
        return Hit(self._base, chain, text, rule.packets, kind, rule.random, frozenset(self._names))

    def _through(self, chain: FilterChain, reached: Applies, depth: int) -> Hit | Literal["accept"] | None:
        """A hit or `accept` where that is sure, else None: the packet comes back from the chain, or what becomes of it
        has been noted."""
        for text in chain.rules:
            self._asked += 1
            if self._asked > _MOST:
                if self._asked == _MOST + 1:
                    self._ask(chain, text, NOT_READ)
                return None
            rule = self._parse(self.packet, text)
            applies = both(reached, rule.applies)
            if applies == "no":
                continue
            sure, ends = applies == "yes", rule.applies == "yes"
            match rule.verdict:
                case "accept":
                    if sure:
                        return "accept"
                    self.lets.append(text)
                    if ends:
                        return None
                case "drop" | "elsewhere":
                    hit = self._hit(chain, text, rule)
                    if sure:
                        return hit
                    self.some.append(hit)
                    if ends:
                        return None
                case "return":
                    if ends:
                        return None
                    self.lets.append(text)
                case "ask":
                    self._ask(chain, text, rule)
                case "jump" | "goto":
                    target = self._names.get(rule.target)
                    if target is None:
                        self._ask(chain, text, rule)  # an extension of its own, of which nothing is known here
                        continue
                    inside = self._through(target, applies, depth + 1) if depth < _DEEP else None
                    if inside is not None:
                        return inside
                    if rule.verdict == "goto" and ends:
                        return None
                case "mark":
                    self.marks.append((rule.mark, text, sure))
                    marks = marked(self.packet, rule)
                    self.packet = msgspec.structs.replace(
                        self.packet, marks=marks if sure else self.packet.marks | marks
                    )
                case "notrack":
                    self.untracked = self.untracked or sure
                case _:
                    pass
        return None

    def _ask(self, chain: FilterChain, text: str, rule: FilterRule) -> None:
        self.lets.append(text)
        self.some.append(self._hit(chain, text, rule))
