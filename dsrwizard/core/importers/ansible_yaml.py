"""The YAML form of an Ansible inventory.

Every scalar is read as text, so no value is guessed to be a number, a date or an object, and a tag such as `!vault`
builds nothing.
"""

from __future__ import annotations

import re

from dsrwizard.core.importers.ansible_ini import expand
from dsrwizard.core.importers.common import Collector
from dsrwizard.core.importers.inventory import Inventory
from dsrwizard.core.problems import shown

_MAX_CHARACTERS = 2_000_000
_MAX_NODES = 50_000
_YAML_LINE = re.compile(r"[^\s#\[{=][^=\[]*:(\s|$)")


def looks_like_yaml(text: str) -> bool:
    """Whether an inventory is YAML rather than INI, by its first line that says something."""
    for line in text.splitlines():
        stripped = line.strip("\N{ZERO WIDTH NO-BREAK SPACE}").strip()
        if stripped and stripped[0] not in "#;":
            return stripped.startswith(("---", "{", "%YAML")) or _YAML_LINE.match(stripped) is not None
    return False


def parse_yaml(text: str, found: Collector) -> Inventory:
    """The inventory; what is not understood becomes notes. Aliases and circles are followed once each."""
    inventory = Inventory()
    data = _load(text, found)
    if not isinstance(data, dict):
        if data is not None:
            found.note("The YAML is no inventory: it has no groups.")
        return inventory
    waiting: list[tuple[str, object]] = [(str(name), node) for name, node in data.items()]
    seen: set[tuple[str, int]] = set()
    while waiting and len(seen) < _MAX_NODES:
        name, node = waiting.pop(0)
        if (name, id(node)) in seen:
            continue
        seen.add((name, id(node)))
        group = inventory.group(name)
        if not isinstance(node, dict):
            if node not in (None, ""):
                found.note(f"The group {shown(name)} was not understood.")
            continue
        group.variables.update(_variables(node.get("vars")))
        _hosts(name, node.get("hosts"), inventory, found)
        children = node.get("children")
        for child, inner in children.items() if isinstance(children, dict) else ():
            group.children[str(child)] = None
            waiting.append((str(child), inner))
        for key in node:
            if key not in ("vars", "hosts", "children"):
                found.note(f"The key {shown(str(key))} in the group {shown(name)} was not understood.")
    return inventory


def _load(text: str, found: Collector) -> object:
    import yaml

    if len(text) > _MAX_CHARACTERS:
        found.note("The inventory is too big to be one.")
        return None
    try:
        loader = yaml.BaseLoader(text)
        try:
            return loader.get_single_data()
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        found.note(f"This is not valid YAML{f' (line {line})' if line else ''}.")
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        found.note("This is not valid YAML.")
    return None


def _hosts(group: str, node: object, inventory: Inventory, found: Collector) -> None:
    if isinstance(node, str):
        node = {node: None} if node else None
    if isinstance(node, list):
        node = {each: None for each in node if isinstance(each, str)}
    for name, variables in node.items() if isinstance(node, dict) else ():
        for host in expand(str(name).strip()):
            if host and not inventory.add_host(group, host, _variables(variables)):
                found.note("The inventory has too many hosts: the first ones were taken.")
                return


def _variables(node: object) -> dict[str, str]:
    """The plain variables of a mapping; a merge (`<<: *defaults`) counts less than what stands beside it."""
    if not isinstance(node, dict):
        return {}
    merged: dict[str, str] = {}
    extra = node.get("<<")
    for each in extra if isinstance(extra, list) else [extra]:
        if isinstance(each, dict):
            merged.update({str(key): value for key, value in each.items() if isinstance(value, str)})
    merged.update({str(key): value for key, value in node.items() if isinstance(value, str) and key != "<<"})
    return merged
