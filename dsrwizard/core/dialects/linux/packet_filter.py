"""The packet filters of a Linux host: the part of the observing script that reads them, and the parser of its output.

Only what a packet to or from the host may run into is kept: base chains of the way in and of the way out with a
dropping policy, and rules that drop or reject, there or in a chain they jump to. Looking loads nothing: the tables of
iptables-legacy are asked for only where the kernel has them already (/proc/net/ip_tables_names). Beside them: rules
that give packets another destination or a mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.facts import FilterTool, PacketFilter
from dsrwizard.core.model.linux_facts import Translation

LINES = 2000
"""Of one tool's answer, as many lines are read: a host of containers may have tens of thousands."""
LENGTH = 4000
"""Characters of one such line: a rule may name hundreds of addresses."""

SCRIPT = filled(body(__package__, "packet_filter.sh"), {"@LINES@": str(LINES)})

_WAY_IN = ("ingress", "prerouting", "input")
_WAY_OUT = ("output", "postrouting", "egress")
_CHAINS_IN = ("PREROUTING", "INPUT")
_CHAINS_OUT = ("OUTPUT", "POSTROUTING")
_REFUSED = re.compile(r"denied|ermitted|^unseen")
_COUNTED = re.compile(r"^(\[\d+:\d+\] )?-A (\S+) (.*)$")
_JUMP = re.compile(r"(?:\b(?:jump|goto)|\s-[jg])\s+([A-Za-z0-9_./-]+)")
_DROPS = re.compile(r"\b(drop|reject)\b|-j (DROP|REJECT)\b")


@dataclass
class _Chain:
    """One chain: where it hooks in (empty: it is jumped to), whether its policy drops, and its rules."""

    hook: str = ""
    drops: bool = False
    rules: list[str] = field(default_factory=list)


@dataclass
class _Table:
    """One table of one tool; `name` as its commands want it."""

    tool: FilterTool
    family: Literal[0, 4, 6]
    name: str
    chains: dict[str, _Chain] = field(default_factory=dict)


def parse_filters(sections: Mapping[str, Sequence[str]]) -> tuple[PacketFilter, ...] | None:
    """What may drop packets to the host, empty where nothing does; None where it could not be looked at."""
    tables, cut = _tables(sections)
    found = tuple(one for table in tables or () for one in _filters(table, _WAY_IN))
    return None if tables is None or (cut and not found) else found


def parse_leaving(sections: Mapping[str, Sequence[str]]) -> tuple[PacketFilter, ...]:
    """What may drop packets that the host sends, as far as it could be looked at."""
    return tuple(one for table in _tables(sections)[0] or () for one in _filters(table, _WAY_OUT))


def parse_translations(sections: Mapping[str, Sequence[str]]) -> tuple[Translation, ...] | None:
    """The rules before routing that translate, redirect or mark, each once; None where it could not be looked at."""
    tables, _ = _tables(sections)
    if tables is None:
        return None
    found = [
        Translation(kind=kind, address=_destination(rule), text=f"{table.tool} {table.name}: {rule}")
        for table in tables
        for name, chain in table.chains.items()
        if chain.hook == "prerouting"
        for rule in chain.rules
        if (kind := _kind(rule)) is not None
    ]
    return tuple(dict.fromkeys(found))


_TARGETS: tuple[tuple[re.Pattern[str], Literal["REDIRECT", "DNAT", "TPROXY", "MARK"]], ...] = (
    (re.compile(r"-j REDIRECT\b|\bredirect\b"), "REDIRECT"),
    (re.compile(r"-j DNAT\b|\bdnat\b"), "DNAT"),
    (re.compile(r"-j TPROXY\b|\btproxy\b"), "TPROXY"),
    (re.compile(r"-j MARK\b|\bmark set\b"), "MARK"),
)


def _kind(rule: str) -> Literal["REDIRECT", "DNAT", "TPROXY", "MARK"] | None:
    return next((kind for pattern, kind in _TARGETS if pattern.search(rule)), None)


_TO = re.compile(r"(?<!! )(?:-d|\bdaddr) ([0-9a-fA-F.:/]+)")


def _destination(rule: str) -> str:
    match = _TO.search(rule)
    return match[1] if match else ""


def _tables(sections: Mapping[str, Sequence[str]]) -> tuple[list[_Table] | None, bool]:
    """All tables that were seen, and whether there may be more; None where they could not be looked at."""
    nft = _lines(sections.get("filter", ()))
    legacy = {family: _lines(sections.get(f"filter{family}", ())) for family in (4, 6)}
    answers = [nft, *legacy.values()]
    if not any(answers) or any(_REFUSED.search(line) for lines in answers for line in lines):
        return None, False
    tables = [*_nft(nft[1:]), *_iptables(legacy[4], 4), *_iptables(legacy[6], 6)]
    return tables, any(len(lines) >= LINES for lines in answers)


def _lines(said: Sequence[str]) -> list[str]:
    """What is read of a tool's answer."""
    return [line[:LENGTH] for line in said[:LINES]]


def _nft(lines: Iterable[str]) -> list[_Table]:
    tables: list[_Table] = []
    chain = _Chain()
    for line in lines:
        words = line.split()
        if line.startswith("table ") and len(words) > 2:
            families: dict[str, Literal[4, 6]] = {"ip": 4, "ip6": 6}
            name = f"{words[1]} {words[2]}"
            tables.append(_Table("nft", families.get(words[1], 0), name))
        elif words[:1] == ["chain"] and len(words) > 1 and tables:
            chain = tables[-1].chains.setdefault(words[1], _Chain())
        elif words[:1] == ["type"] and "hook" in words[:-1]:
            chain.hook = words[words.index("hook") + 1]
            chain.drops = "policy drop" in line
        elif words and words[0] != "}":
            chain.rules.append(line.strip())
    for table in tables:
        table.tool = _owner(table)
    return tables


def _owner(table: _Table) -> FilterTool:
    """Which program writes this table of nftables."""
    if table.name.endswith(" firewalld"):
        return "firewalld"
    if {"ufw-user-input", "ufw6-user-input"} & set(table.chains):
        return "ufw"
    written = table.name in ("ip filter", "ip6 filter", "ip raw", "ip6 raw", "ip mangle", "ip6 mangle")
    return "iptables-nft" if written and set(_CHAINS_IN) & set(table.chains) else "nft"


def _iptables(lines: Sequence[str], family: Literal[4, 6]) -> list[_Table]:
    tables: list[_Table] = []
    heads: dict[str, FilterTool] = {"nft": "iptables-nft", "legacy": "iptables-legacy"}
    tool: FilterTool = heads.get(lines[0].partition("-")[2], "iptables") if lines else "iptables"
    for line in lines[1:]:
        if line.startswith("*"):
            tables.append(_Table(tool, family, line[1:].strip()))
        elif line.startswith(":") and tables:
            name, _, rest = line[1:].partition(" ")
            known = name in (*_CHAINS_IN, *_CHAINS_OUT)
            hook = name.lower() if known else "elsewhere" if rest[:1] not in ("-", "") else ""
            tables[-1].chains[name] = _Chain(hook, rest.startswith("DROP"))
        elif tables and (rule := _COUNTED.match(line)):
            tables[-1].chains.setdefault(rule[2], _Chain()).rules.append(line.strip())
    for table in tables:
        if {"ufw-user-input", "ufw6-user-input"} & set(table.chains):
            table.tool = "ufw"
        elif "INPUT_ZONES" in table.chains:
            table.tool = "firewalld"
    return tables


def _filters(table: _Table, hooks: Sequence[str]) -> list[PacketFilter]:
    """One for each base chain at one of these hooks that drops something."""
    found = []
    for name, chain in table.chains.items():
        if chain.hook not in hooks:
            continue
        rules = [f"policy of {name}: drop"] if chain.drops else []
        for reached in _reached(table, name):
            rules += [rule for rule in table.chains[reached].rules if _DROPS.search(rule)]
        if rules:
            found.append(
                PacketFilter(tool=table.tool, family=table.family, chain=f"{table.name} {name}", rules=tuple(rules))
            )
    return found


def _reached(table: _Table, start: str) -> list[str]:
    """The chain and those it jumps to, however deep."""
    found = [start]
    for name in found:
        for rule in table.chains[name].rules:
            target = _JUMP.search(rule)
            if target and target[1] in table.chains and target[1] not in found:
                found.append(target[1])
    return found
