"""The parser for Ansible inventories in YAML format.

Every scalar is read as text, so no value is guessed to be a number, a date or an object, and a tag such as `!vault`
builds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from dsrwizard.core.intake.importers.ansible_exports import in_yaml_shape
from dsrwizard.core.intake.importers.ansible_ini import expand
from dsrwizard.core.intake.importers.common import LONGEST_VALUE, Collector, is_list
from dsrwizard.core.intake.importers.inventory import Inventory, kept
from dsrwizard.core.intake.problems import shown

_MAX_NODES = 50_000
_MAX_EVENTS = 200_000
_MAX_DEPTH = 64
_YAML_LINE = re.compile(r"[^\s#\[{=][^=\[]*:(\s|$)")


def looks_like_yaml(text: str) -> bool:
    """Whether an inventory is YAML rather than INI, judged by its first significant line."""
    for line in text.splitlines():
        stripped = line.strip("\N{ZERO WIDTH NO-BREAK SPACE}").strip()
        if stripped and stripped[0] not in "#;":
            return stripped.startswith(("---", "{", "%YAML")) or _YAML_LINE.match(stripped) is not None
    return False


def parse_yaml(text: str, found: Collector) -> Inventory:
    """Parses the inventory; parts that are not understood become notes. Aliases and cycles are followed once each."""
    inventory = Inventory()
    data = _load(text, found)
    if not isinstance(data, dict):
        if data is not None:
            found.note("The YAML is not an inventory: it has no groups.")
        return inventory
    if isinstance(data.get("plugin"), str):
        found.note("These are the settings of an inventory plugin. Import the output of `ansible-inventory --list`.")
        return inventory
    json = text.lstrip().startswith("{")
    data = in_yaml_shape(data, lambda told: _load(told, Collector()), json=json)
    waiting: list[tuple[str, object]] = [(str(name), node) for name, node in data.items()]
    seen: set[tuple[str, int]] = set()
    for name, node in waiting:  # which grows meanwhile
        if len(seen) >= _MAX_NODES:
            break
        if (name, id(node)) in seen:
            continue
        seen.add((name, id(node)))
        group = inventory.group(name)
        if not isinstance(node, dict):
            if node not in (None, ""):
                found.note(f"The group {shown(name)} was not understood.")
            continue
        group.variables.update(kept(_variables(node.get("vars")), found))
        _hosts(name, node.get("hosts"), inventory, found)
        children = node.get("children")
        for child, inner in children.items() if isinstance(children, dict) else ():
            group.children[str(child)] = None
            waiting.append((str(child), inner))
        for key in node:
            if key not in ("vars", "hosts", "children"):
                found.note(f"The key {shown(str(key))} in the group {shown(name)} was not understood.")
    inventory.tell(found)
    return inventory


def _load(text: str, found: Collector) -> object:
    """The YAML as texts, lists and mappings; None with a note if it cannot be read."""
    import yaml

    if not is_list(text, found):
        return None
    loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)  # of libyaml, ten times as fast
    try:
        return _Tree().built(yaml.parse(text, Loader=loader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        found.note(f"This is not valid YAML{f' (line {line})' if line else ''}.")
    except _TooMuch as error:
        found.note(f"Line {error.line + 1}: the inventory is nested deeper than {_MAX_DEPTH} levels, or is too large.")
    except (yaml.YAMLError, RecursionError, ValueError, TypeError):
        found.note("This is not valid YAML.")
    return None


class _TooMuch(Exception):
    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class _Tree:
    """Builds a document from YAML events, without recursion. Every scalar is its text, and tags build nothing."""

    def __init__(self) -> None:
        self._open: list[tuple[dict[str, object] | list[object], list[str]]] = []
        """The open containers, each with the key that waits for its value, if any."""
        self._anchors: dict[str, object] = {}
        self._root: object = None
        self._documents = 0

    def built(self, events: Iterable[Any]) -> object:
        """Raises ValueError for what BaseLoader would refuse, and _TooMuch."""
        for number, event in enumerate(events):
            if number > _MAX_EVENTS or len(self._open) > _MAX_DEPTH:
                raise _TooMuch(event.start_mark.line)
            self._take(event)
        return self._root

    def _take(self, event: Any) -> None:
        match type(event).__name__:
            case "ScalarEvent":
                self._put(event.value, event)
            case "AliasEvent":
                if event.anchor not in self._anchors:
                    raise ValueError("an alias of nothing")
                self._put(self._anchors[event.anchor], event, anchor=False)
            case "MappingStartEvent" | "SequenceStartEvent" as kind:
                made: dict[str, object] | list[object] = {} if kind == "MappingStartEvent" else []
                self._put(made, event)
                self._open.append((made, []))
            case "MappingEndEvent" | "SequenceEndEvent":
                self._open.pop()
            case "DocumentStartEvent":
                self._documents += 1
                if self._documents > 1:
                    raise ValueError("a second document")

    def _put(self, value: object, event: Any, *, anchor: bool = True) -> None:
        if anchor and event.anchor:
            self._anchors[event.anchor] = value
        if not self._open:
            self._root = value
            return
        container, key = self._open[-1]
        if isinstance(container, list):
            container.append(value)
        elif key:
            container[key.pop()] = value
        elif isinstance(value, str):
            key.append(value)
        else:
            raise ValueError("a key that is not a text")


def _hosts(group: str, node: object, inventory: Inventory, found: Collector) -> None:
    if isinstance(node, str):
        node = {node: None} if node else None
    if isinstance(node, list):
        node = {each: None for each in node if isinstance(each, str)}
    for name, variables in node.items() if isinstance(node, dict) else ():
        if len(name) > LONGEST_VALUE:
            found.note(f"The host {shown(name)} was left out: it is not a valid host name.")
            continue
        mine = kept(_variables(variables), found)
        for host in expand(name.strip()):
            if host and not inventory.add_host(group, host, mine):
                found.note("The inventory has too many hosts: only the first ones were imported.")
                return


def _variables(node: object) -> dict[str, str]:
    """The plain variables of a mapping; its own keys override a merge (`<<: *defaults`)."""
    if not isinstance(node, dict):
        return {}
    merged: dict[str, str] = {}
    extra = node.get("<<")
    for each in extra if isinstance(extra, list) else [extra]:
        if isinstance(each, dict):
            merged.update({str(key): value for key, value in each.items() if isinstance(value, str)})
    merged.update({str(key): value for key, value in node.items() if isinstance(value, str) and key != "<<"})
    return merged
