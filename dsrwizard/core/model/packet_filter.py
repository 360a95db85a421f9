"""The chains of a host's packet filters, whole, as its own programs list them."""

from __future__ import annotations

from typing import Literal

from dsrwizard.core.model.shown import Shown

Hook = Literal["ingress", "prerouting", "input", "forward", "output", "postrouting", "egress", "elsewhere", ""]
"""Where a chain hooks in; `elsewhere`: where no packet of a VIP comes by, empty: it is jumped to."""


class FilterChain(Shown, frozen=True, kw_only=True):
    """One chain of a packet filter with all its rules, as the program lists them.

    `tool`: the program that rules are told to (`nft`, `iptables-legacy`, `iptables-nft`, `iptables`; with `ip6tables`
    for IPv6); `family` 0: both; `table` as its commands want it (nft: `inet filter`; iptables: `filter`). `priority`
    is the order within a hook (linux/netfilter_ipv4.h, enum nf_ip_hook_priorities); `nat`: only the first packet of a
    connection that is tracked comes by.
    """

    tool: str
    family: Literal[0, 4, 6]
    table: str
    name: str
    hook: Hook = ""
    priority: int = 0
    nat: bool = False
    drops: bool = False
    """Its policy drops."""
    policy_packets: int | None = None
    devices: tuple[str, ...] = ()
    """The interfaces that it is for, where it is for some alone."""
    rules: tuple[str, ...] = ()
    sets: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Named sets and maps that rules on the way from here may ask for (nft's, or those of ipset), with their elements;
    one that is cut short has `CUT` among them. Empty at a chain that is jumped to."""

    @property
    def legacy(self) -> bool:
        """Whether the rules are written in the words of iptables-save."""
        return self.tool != "nft"


CUT = "…"
"""Stands for what was not read: at the end of a rule, or among the elements of a set."""
