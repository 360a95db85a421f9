"""The parser for Ansible inventories in INI format, with ranges such as `web[01:03]`."""

from __future__ import annotations

import re
import shlex

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.importers.common import LONGEST_VALUE, Collector, bare, lines_of
from dsrwizard.core.intake.importers.inventory import Inventory, kept
from dsrwizard.core.intake.problems import shown

_SECTION = re.compile(r"\[([^\[\]:\s]+)(?::(\w+))?\]\s*(?:[#;].*)?$")
_RANGE = re.compile(r"\[([0-9]{1,9}|[a-zA-Z]):([0-9]{1,9}|[a-zA-Z])(?::([0-9]{1,9}))?\]", re.ASCII)
_MAX_RANGE = 4096
_NO_HOST = re.compile(r"[=<>(){}\"'\\;|&$]")


def parse_ini(text: str, found: Collector) -> Inventory:
    """Parses the inventory; lines that are not understood become notes."""
    inventory = Inventory()
    group, kind = "ungrouped", "hosts"
    for number, line in lines_of(text, found):
        stripped = line.strip()
        if not stripped or stripped[0] in "#;":
            continue
        section = _SECTION.match(stripped)
        if section:
            group, kind = section[1], section[2] or "hosts"
            inventory.group(group)
            if kind not in ("hosts", "children", "vars"):
                found.note(f"Line {number}: Ansible has no section {shown(stripped)}.")
        elif kind == "vars":
            name, equals, value = stripped.partition("=")
            if equals:
                told = {name.strip(): bare(re.sub(r"(?<!\s)\s+#.*$", "", value))}
                inventory.group(group).variables.update(kept(told, found))
            else:
                found.note(f"Line {number} was not understood: no “=” in a section of variables.")
        elif kind == "children":
            child = _words(stripped)[:1]
            inventory.group(group).children.update(dict.fromkeys(child))
            for name in child:
                inventory.group(name)
        elif kind == "hosts":
            _hosts(number, stripped, group, inventory, found)
    inventory.tell(found)
    return inventory


def _hosts(number: int, line: str, group: str, inventory: Inventory, found: Collector) -> None:
    words = _words(line)
    if not words:
        return
    variables: dict[str, str] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not (name and equals):
            found.note(f"Line {number} is no host of an inventory: after the host only name=value may follow.")
            inventory.odd += 1
            return
        variables[name] = value
    if _NO_HOST.search(words[0]):
        found.note(f"Line {number} is no host of an inventory.")
        inventory.odd += 1
        return
    variables = kept(variables, found)
    if len(words[0]) > LONGEST_VALUE:
        found.note(f"Line {number} was left out: it is not a valid host name.")
        return
    for host in expand(words[0]):
        if not inventory.add_host(group, host, variables):
            found.note("The inventory has too many hosts: only the first ones were imported.")
            return


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # an open quote
        return line.split()


def expand(host: str) -> list[str]:
    """`web[01:03]` as web01, web02, web03; also letters and a step. Anything else stays as it is."""
    hosts = [host]
    while len(hosts) <= _MAX_RANGE:
        match = _RANGE.search(hosts[0])
        values = _range(match) if match else None
        if match is None or not values or len(hosts) * len(values) > _MAX_RANGE:
            break
        hosts = [_RANGE.sub(value, each, count=1) for each in hosts for value in values]
    return hosts


def _range(match: re.Match[str]) -> list[str] | None:
    first, last, step = match[1], match[2], int(match[3] or 1)
    if first.isdigit() != last.isdigit() or step < 1:
        return None
    if first.isdigit():
        low, high = int(first), int(last)
        if high - low > _MAX_RANGE * step:
            return None
        width = len(first) if first.startswith("0") else 0
        return [str(number).zfill(width) for number in range(low, high + 1, step)]
    return [chr(code) for code in range(ord(first), ord(last) + 1, step)]


def split_port(host: str) -> tuple[str, str]:
    """`web1:2222` as host and port, as the INI form allows; a bare IPv6 address is left whole."""
    match = re.fullmatch(r"\[?([^\[\]]+?)\]?:([0-9]{1,5})", host, re.ASCII)
    if match is None or fields.parsed(host) is not None:
        return host.strip("[]") if fields.parsed(host.strip("[]")) else host, ""
    return match[1], match[2]
