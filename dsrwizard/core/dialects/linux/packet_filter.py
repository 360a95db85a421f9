"""The packet filters of a Linux host: the script that prints them whole, and what its answer adds up to.

Every rule is read, because an earlier one may let a packet in that a later one drops, and only the order of all tells
what becomes of it. Two things are left out on purpose: of a table nat, rules for single addresses that nobody asked
about, and of very large sets, all but their first elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address

from dsrwizard.core.dialects.linux import filter_lists
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.director_facts import ROOT_ALONE
from dsrwizard.core.model.packet_filter import CUT, FilterChain

LINES = 20_000
"""Of one tool's answer, as many lines are read."""
LENGTH = 4000
"""Characters of one such line: a rule may name hundreds of addresses."""
_ELEMENTS = 400
"""Lines of elements that one set of nftables is read of."""
_MEMBERS = 2000
"""Elements that one set of ipset is read of."""

_SCRIPT = body(__package__, "packet_filter.sh")
_REFUSED = re.compile(r"[Pp]ermission denied|Operation not permitted|^unseen$")
_SECTIONS = ("nft", "legacy4", "nft4", "legacy6", "nft6")


def filter_script(near: Iterable[str] = ()) -> str:
    """The part of a script that prints them; it wants a function `s` that prints the mark of a section. `near`: the
    addresses that packets are followed to, so that rules of the table nat for others can be left out."""
    known = [ip_address(one) for one in near]
    named = " ".join(f"{one}/{one.max_prefixlen}" for one in dict.fromkeys(known))
    return filled(
        _SCRIPT,
        {
            "@LINES@": str(LINES),
            "@ELEMENTS@": str(_ELEMENTS),
            "@MEMBERS@": str(_MEMBERS),
            "@CUT@": CUT,
            "@NEAR@": named,
        },
    )


def whole_script(nonce: str) -> str:
    """A script that prints the packet filters alone; `nonce` is unguessable text without spaces."""
    return f"s() {{ printf '\\n==dsr:%s:%s==\\n' '{nonce}' \"$1\"; }}\n{filter_script()}s end\n"


def parse_chains(found: Mapping[str, Sequence[str]]) -> tuple[tuple[FilterChain, ...] | None, str]:
    """Every chain of every table, and why there is none (None) where they could not be read. `found`: the sections of
    the script's answer by their names."""
    asked = (*_SECTIONS, "ipset", "programs")
    answers = {name: [_line(line) for line in found.get(name, ())[:LINES]] for name in asked}
    listed = [answers[name] for name in _SECTIONS]
    if any(lines[:1] == ["hidden"] for lines in listed):
        return None, ROOT_ALONE
    if any(_REFUSED.search(line) for lines in listed for line in lines[:5]):
        return None, "Only root may read the rules of the packet filter, and a program that lists them must be there."
    if any(len(lines) >= LINES for lines in listed):
        return None, "The packet filter has more rules than are read."
    if "programs" in found and not answers["programs"]:
        return None, "No program that lists the rules of the packet filter is there."
    chains: list[FilterChain] = []
    written: set[str] = set()
    # Of a list of sets that is cut, it is not known what is in them.
    sets = filter_lists.ipsets(answers["ipset"]) if len(answers["ipset"]) < LINES else {}
    for name in ("legacy4", "legacy6", "nft4", "nft6"):
        if answers[name]:
            told = filter_lists.iptables(answers[name], 4 if name.endswith("4") else 6, sets)
            chains += told
            if name.startswith("nft"):
                written |= {f"{'ip' if name.endswith('4') else 'ip6'} {one.table}" for one in told}
    chains += [one for one in filter_lists.nft(answers["nft"][1:]) if one.table not in written]
    return tuple(chains), ""


def _line(text: str) -> str:
    return text if len(text) <= LENGTH else f"{text[: LENGTH - 1]}{CUT}"
