"""The packet filters of the director: the script that prints them whole, and the parser of what it prints.

Of a real server only what drops is kept; of the director every rule is, because an earlier rule may let the VIP's
clients in, and only the order of all tells what becomes of their packets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from dsrwizard.core.dialects.linux.observe import sections
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.director_facts import ROOT_ALONE, FilterChain, Hook

LINES = 20_000
"""Of one tool's answer, as many lines are read."""
LENGTH = 4000
"""Characters of one such line."""

_SCRIPT = body(__package__, "director_filter.sh")
_REFUSED = re.compile(r"[Pp]ermission denied|Operation not permitted|^unseen$")
_COUNTED = re.compile(r"^(\[\d+:\d+\] )?-A (\S+) ?(.*)$")
_POLICY = re.compile(r"^:(\S+) (\S+)(?: \[(\d+):\d+\])?")
_HOOKS: dict[str, Hook] = {
    "PREROUTING": "prerouting", "INPUT": "input", "OUTPUT": "output", "POSTROUTING": "postrouting",
    "FORWARD": "elsewhere",
}  # fmt: skip
_QUOTED = re.compile(r'"([^"]*)"')
_NFT_HOOKS: dict[str, Hook] = {
    "ingress": "ingress", "prerouting": "prerouting", "input": "input", "output": "output",
    "postrouting": "postrouting",
}  # fmt: skip


def filter_script(nonce: str) -> str:
    """The script; `nonce` is unguessable text without spaces."""
    return filled(_SCRIPT, {"@LINES@": str(LINES), "@NONCE@": nonce})


def parse_chains(nonce: str, text: str) -> tuple[tuple[FilterChain, ...] | None, str]:
    """Every chain of every table, and why there is none (None) where they could not be read."""
    found = sections(nonce, text)
    if "end" not in found:
        return None, "The list of the packet filter's rules ended early."
    answers = {name: [line[:LENGTH] for line in lines] for name, lines in found.items()}
    if any(lines[:1] == ["hidden"] for lines in answers.values()):
        return None, ROOT_ALONE
    if any(_REFUSED.search(line) for lines in answers.values() for line in lines[:5]):
        return None, "Only root may read the rules of the packet filter, and a program that lists them must be there."
    if any(len(lines) >= LINES for lines in answers.values()):
        return None, "The packet filter has more rules than are read."
    chains: list[FilterChain] = []
    written: set[str] = set()
    sets = _ipsets(answers.get("ipset", ()))
    for name, family in (("legacy4", 4), ("legacy6", 6), ("nft4", 4), ("nft6", 6)):
        lines = answers.get(name, [])
        if lines:
            told = _iptables(lines, 4 if family == 4 else 6, sets)
            chains += told
            if name.startswith("nft"):
                written |= {f"{'ip' if family == 4 else 'ip6'} {one.table}" for one in told}
    chains += [one for one in _nft(answers.get("nft", [])[1:]) if one.table not in written]
    return tuple(chains), ""


def _ipsets(lines: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The sets that `ipset save` prints, of plain addresses and networks alone."""
    found: dict[str, list[str]] = {}
    for line in lines:
        words = line.split()
        if words[:1] == ["create"] and len(words) > 2 and words[2] in ("hash:ip", "hash:net", "bitmap:ip"):
            found[words[1]] = []
        elif words[:1] == ["add"] and len(words) > 2 and words[1] in found:
            found[words[1]].append(words[2])
    return {name: tuple(elements) for name, elements in found.items()}


def _iptables(lines: Sequence[str], family: Literal[4, 6], sets: dict[str, tuple[str, ...]]) -> list[FilterChain]:
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
                policy_packets=int(policy[3]) if policy[3] else None,
            )  # fmt: skip
        elif table and (rule := _COUNTED.match(line)):
            rules.setdefault((table, rule[2]), []).append(line.strip())
    return [
        msgspec.structs.replace(one, rules=tuple(rules.get(key, ())), sets=tuple(sets.items()))
        for key, one in chains.items()
    ]


def _nft(lines: Iterable[str]) -> list[FilterChain]:
    found: list[FilterChain] = []
    table, name, named = "", "", ""
    sets: dict[str, dict[str, tuple[str, ...]]] = {}
    head: dict[str, object] = {}
    rules: list[str] = []
    elements = ""
    dormant: set[str] = set()
    for line in lines:
        words = line.split()
        if line.startswith("table ") and len(words) > 2:
            table, name, named = f"{words[1]} {words[2]}", "", ""
        elif words[:1] == ["flags"] and "dormant" in words and not name and not named:
            dormant.add(table)
        elif words[:1] == ["set"] and len(words) > 1 and table and not name:
            named, elements = words[1], ""
        elif named and (words[:1] == ["elements"] or elements):
            elements += f" {line.strip()}"
            if elements.endswith("}"):
                inside = elements.partition("{")[2].rpartition("}")[0]
                sets.setdefault(table, {})[named] = tuple(part.strip() for part in inside.split(",") if part.strip())
                named, elements = "", ""
        elif named and words == ["}"]:
            named = ""
        elif words[:1] == ["chain"] and len(words) > 1 and table and not name:
            name, head, rules = words[1], {}, []
        elif name and words == ["}"]:
            found.append(_nft_chain(table, name, head, rules))
            name = ""
        elif name and words[:1] == ["type"] and "hook" in words[:-1]:
            head = {
                "hook": _NFT_HOOKS.get(words[words.index("hook") + 1], "elsewhere"),
                "drops": "policy drop" in line,
                "devices": tuple(_QUOTED.findall(line)),
            }
        elif name and words:
            rules.append(line.strip())
    return [
        msgspec.structs.replace(one, sets=tuple(sets.get(one.table, {}).items()))
        for one in found
        if one.table not in dormant
    ]


def _nft_chain(table: str, name: str, head: dict[str, object], rules: list[str]) -> FilterChain:
    families: dict[str, Literal[4, 6]] = {"ip": 4, "ip6": 6}
    kind = table.split(maxsplit=1)[0]
    hook = head.get("hook", "")
    if kind not in ("ip", "ip6", "inet", "netdev"):
        hook = "elsewhere" if hook else ""
    return FilterChain(
        tool="nft", family=families.get(kind, 0), table=table, name=name,
        hook=hook, drops=bool(head.get("drops")), rules=tuple(rules),  # type: ignore[arg-type]
        devices=head.get("devices", ()),  # type: ignore[arg-type]
    )  # fmt: skip
