"""Chains of packet filters for tests, as iptables-save or nft prints them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from dsrwizard.core.dialects.linux.packet_filter import parse_chains
from dsrwizard.core.model.packet_filter import FilterChain


def legacy(
    *rules: str,
    family: Literal[4, 6] = 4,
    table: str = "filter",
    policies: Mapping[str, str] | None = None,
    more: Sequence[str] = (),
    tool: str = "iptables-legacy",
) -> list[str]:
    """What `iptables-save -c` prints of one table, after the name of the program. `rules` as in `-A RULE`; `more`: the
    names of chains that are jumped to."""
    names = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")
    lines = [tool.replace("iptables", "ip6tables") if family == 6 else tool, f"*{table}"]
    lines += [f":{name} {(policies or {}).get(name, 'ACCEPT')} [7:420]" for name in names]
    lines += [f":{name} - [0:0]" for name in more]
    return [*lines, *(f"[9:540] -A {rule}" for rule in rules), "COMMIT"]


def chains(*texts: Sequence[str], nft: str = "", ipset: Sequence[str] = ()) -> tuple[FilterChain, ...]:
    """The chains in what programs print: of iptables as from `legacy`, of nft as `nft list ruleset`."""
    found: dict[str, list[str]] = {"nft": nft.splitlines(), "ipset": list(ipset)}
    for lines in texts:
        place = f"{'nft' if '-nft' in lines[0] else 'legacy'}{6 if lines[0].startswith('ip6') else 4}"
        found[place] = [*(found.get(place) or lines[:1]), *lines[1:]]
    seen, problem = parse_chains(found)
    assert seen is not None, problem
    return seen


def input_drops(*rules: str, family: Literal[4, 6] = 4) -> tuple[FilterChain, ...]:
    """The chains of a host whose chain INPUT of iptables has these rules."""
    return chains(legacy(*(f"INPUT {rule}" for rule in rules), family=family))
