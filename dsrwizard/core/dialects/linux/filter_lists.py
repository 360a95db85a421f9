"""Parsers of the lists that packet filters are printed as: iptables-save, `nft list ruleset` and `ipset save`.

A line that none of them knows is passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import msgspec

from dsrwizard.core.model.packet_filter import CUT, FilterChain, Hook

_COUNTED = re.compile(r"^(\[\d+:\d+\] )?-A (\S+) ?(.*)$")
_POLICY = re.compile(r"^:(\S+) (\S+)(?: \[(\d+):\d+\])?")
_HOOKS: dict[str, Hook] = {
    "PREROUTING": "prerouting", "INPUT": "input", "FORWARD": "forward", "OUTPUT": "output",
    "POSTROUTING": "postrouting",
}  # fmt: skip
_NFT_HOOKS: dict[str, Hook] = {
    "ingress": "ingress", "prerouting": "prerouting", "input": "input", "forward": "forward", "output": "output",
    "postrouting": "postrouting", "egress": "egress",
}  # fmt: skip
_PRIORITIES = {"raw": -300, "mangle": -150, "dstnat": -100, "filter": 0, "security": 50, "srcnat": 100}
"""The names of nft(8), which are those of the kernel's enum nf_ip_hook_priorities."""
_PRIORITY = re.compile(r"\bpriority (?:([a-z]+)(?: ([+-]) (\d+))?|(-?\d+))")
_QUOTED = re.compile(r'"([^"]*)"')
_ELEMENT = re.compile(r'(?:"[^"]*"|[^",])+')
_EXTRA = re.compile(r"\s+(?:timeout|expires|comment|counter|limit|quota|last)\b[^:]*")
_MEMBERSHIP = ("hash:ip", "hash:net", "bitmap:ip")
"""Sets of plain addresses and networks."""


def ipsets(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The sets that `ipset save` prints, of plain addresses and networks alone."""
    found: dict[str, list[str]] = {}
    for line in lines:
        words = line.split()
        if words[:1] == ["create"] and len(words) > 2 and words[2] in _MEMBERSHIP:
            found[words[1]] = []
        elif words[:1] == ["add"] and len(words) > 2 and words[1] in found:
            # A network that a set leaves out (`nomatch`) is no element of it, and more than is judged here.
            found[words[1]].append(CUT if "nomatch" in words else words[2])
    return {name: tuple(elements) for name, elements in found.items()}


def iptables(lines: Sequence[str], family: Literal[4, 6], sets: dict[str, tuple[str, ...]]) -> list[FilterChain]:
    """The chains of `iptables-save -c`, whose first line here names the program."""
    chains: dict[tuple[str, str], FilterChain] = {}
    rules: dict[tuple[str, str], list[str]] = {}
    tool, table = lines[0].strip(), ""
    for line in lines[1:]:
        if line.startswith("*"):
            table = line[1:].strip()
        elif line.startswith(":") and table and (policy := _POLICY.match(line)):
            name, word = policy[1], policy[2]
            hook: Hook = "" if word == "-" else _HOOKS.get(name, "elsewhere")
            chains[table, name] = FilterChain(
                tool=tool, family=family, table=table, name=name, hook=hook, drops=word == "DROP",
                policy_packets=int(policy[3]) if policy[3] else None, nat=table == "nat",
                priority=_order(table, hook),
            )  # fmt: skip
        elif table and (rule := _COUNTED.match(line)):
            rules.setdefault((table, rule[2]), []).append(line.strip())
    bases = sum(bool(one.hook) for one in chains.values())
    asked = _asked_for(sets, _MATCH_SET, (rule for found in rules.values() for rule in found), bases)
    return [
        msgspec.structs.replace(one, rules=tuple(rules.get(key, ())), sets=asked if one.hook else ())
        for key, one in chains.items()
    ]


_MATCH_SET = re.compile(r"--match-set (\S+)")
_NAMED_SET = re.compile(r"@([\w./-]+)")
_MOST = 200_000
"""Elements that are kept, counted at each chain that the kernel begins with."""


def _asked_for(
    sets: Mapping[str, tuple[str, ...]], named: re.Pattern[str], rules: Iterable[str], bases: int
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The sets that rules ask for; none where they are too many: then what they hold is not known."""
    names = {name for rule in rules for name in named.findall(rule)}
    found = tuple((name, elements) for name, elements in sets.items() if name in names)
    weight = bases * sum(1 + len(elements) for _, elements in found)
    return found if weight <= _MOST else ()


def _order(table: str, hook: Hook) -> int:
    if table == "nat":
        return -100 if hook in ("prerouting", "output") else 100
    return _PRIORITIES.get(table, 0)


def nft(lines: Iterable[str]) -> list[FilterChain]:
    """The chains of `nft list ruleset`, those of tables that sleep left out."""
    found: list[FilterChain] = []
    table, name, named = "", "", ""
    sets: dict[str, dict[str, tuple[str, ...]]] = {}
    head: dict[str, Any] = {}
    rules: list[str] = []
    elements = ""
    dormant: set[str] = set()
    for line in lines:
        words = line.split()
        if line.startswith("table ") and len(words) > 2:
            table, name, named = f"{words[1]} {words[2]}", "", ""
        elif words[:1] == ["flags"] and "dormant" in words and not name and not named:
            dormant.add(table)
        elif words[:1] in (["set"], ["map"]) and len(words) > 1 and table and not name and not named:
            named, elements = words[1], ""
            sets.setdefault(table, {})[named] = ()
        elif named and (words[:1] == ["elements"] or elements):
            elements += f" {line.strip()}"
            if elements.endswith("}"):
                sets.setdefault(table, {})[named] = _elements(elements)
                named, elements = "", ""
        elif named and words == ["}"]:
            named = ""
        elif words[:1] == ["chain"] and len(words) > 1 and table and not name:
            name, head, rules = words[1], {}, []
        elif name and words == ["}"]:
            found.append(_nft_chain(table, name, head, rules))
            name = ""
        elif name and words[:1] == ["type"] and "hook" in words[:-1]:
            head = _head(words, line)
        elif name and words[:1] != ["comment"] and words:
            rules.append(line.strip())
    awake = [one for one in found if one.table not in dormant]
    written: dict[str, list[str]] = {}
    for one in awake:
        written.setdefault(one.table, []).extend(one.rules)
    bases = sum(bool(one.hook) for one in awake)
    asked = {table: _asked_for(known, _NAMED_SET, written.get(table, ()), bases) for table, known in sets.items()}
    return [msgspec.structs.replace(one, sets=asked.get(one.table, ()) if one.hook else ()) for one in awake]


def _elements(text: str) -> tuple[str, ...]:
    inside = text.partition("{")[2].rpartition("}")[0]
    parts = (_EXTRA.sub("", part.strip()).strip() for part in _ELEMENT.findall(inside))
    return tuple(part for part in parts if part)


def _head(words: Sequence[str], line: str) -> dict[str, Any]:
    priority = _PRIORITY.search(line)
    value = 0
    if priority is not None and priority[4]:
        value = int(priority[4])
    elif priority is not None:
        more = int(f"{priority[2]}{priority[3]}") if priority[3] else 0
        value = _PRIORITIES.get(priority[1], 0) + more
    return {
        "hook": _NFT_HOOKS.get(words[words.index("hook") + 1], "elsewhere"),
        "nat": words[1:2] == ["nat"],
        "priority": value,
        "drops": "policy drop" in line,
        "devices": tuple(_QUOTED.findall(line)),
    }


def _nft_chain(table: str, name: str, head: dict[str, Any], rules: list[str]) -> FilterChain:
    families: dict[str, Literal[4, 6]] = {"ip": 4, "ip6": 6}
    kind = table.split(maxsplit=1)[0]
    if kind not in ("ip", "ip6", "inet", "netdev") and head.get("hook"):
        head = {**head, "hook": "elsewhere"}
    return FilterChain(
        tool="nft", family=families.get(kind, 0), table=table, name=name, rules=tuple(rules), **head,
    )  # fmt: skip
