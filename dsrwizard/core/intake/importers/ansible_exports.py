"""Exports of inventories in JSON, brought into the shape of a YAML inventory.

`ansible-inventory --list` and dynamic inventories have `_meta.hostvars` and lists of hosts and children; AWX and the
Automation Controller export objects with `name` and `variables`, which are a text of YAML or JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping


def in_yaml_shape(data: Mapping[str, object], load: Callable[[str], object], *, json: bool) -> Mapping[str, object]:
    """The same inventory as groups with `hosts`, `children` and `vars`; what is in that shape already is left alone.

    `load` reads a text of variables; it gives None for what it cannot read. `json`: in other YAML a list is no group.
    """
    objects = _objects(data)
    if objects is not None:
        return _of_awx(objects, load)
    if "_meta" in data or (json and any(isinstance(node, list) for node in data.values())):
        return _of_lists(data)
    return data


def _of_lists(data: Mapping[str, object]) -> dict[str, object]:
    shaped: dict[str, object] = {}
    for name, node in data.items():
        if name == "_meta":
            continue
        node = {"hosts": node} if isinstance(node, list) else node  # noqa: PLW2901
        if isinstance(node, dict):
            node = {**node, "children": _keys(node.get("children")), "hosts": _keys(node.get("hosts"))}  # noqa: PLW2901
        shaped[name] = node
    meta = data.get("_meta")
    hostvars = meta.get("hostvars") if isinstance(meta, dict) else None
    if isinstance(hostvars, dict):
        every = shaped.get("all")
        mine = every if isinstance(every, dict) else {}
        there = mine.get("hosts")
        shaped["all"] = {**mine, "hosts": {**(there if isinstance(there, dict) else {}), **hostvars}}
    return shaped


def _keys(node: object) -> object:
    return {each: None for each in node if isinstance(each, str)} if isinstance(node, list) else node


def _objects(data: Mapping[str, object]) -> list[Mapping[str, object]] | None:
    """The inventories of an export, or its hosts alone as one; None: it is no export of AWX."""
    inventories = data.get("inventory")
    if isinstance(inventories, list):
        return [one for one in inventories if isinstance(one, dict)]
    for key in ("hosts", "results"):
        hosts = data.get(key)
        if isinstance(hosts, list) and any(isinstance(one, dict) and "name" in one for one in hosts):
            return [{"related": {"hosts": hosts, "groups": data.get("groups")}}]
    return None


def _of_awx(inventories: list[Mapping[str, object]], load: Callable[[str], object]) -> dict[str, object]:
    hosts: dict[str, object] = {}
    shaped: dict[str, object] = {"all": {"hosts": hosts, "vars": {}}}
    for inventory in inventories:
        related = _mapping(inventory.get("related"))
        shaped["all"]["vars"].update(_variables(inventory, load))  # type: ignore[index]
        for one in _list(related.get("hosts")):
            if isinstance(one.get("name"), str) and str(one.get("enabled", "true")).lower() != "false":
                hosts[str(one["name"])] = _variables(one, load)
        for group in _list(related.get("groups")):
            inner = _mapping(group.get("related"))
            shaped[str(group.get("name"))] = {
                "vars": _variables(group, load),
                "hosts": {str(one["name"]): None for one in _list(inner.get("hosts")) if one.get("name")},
                "children": {str(one["name"]): None for one in _list(inner.get("children")) if one.get("name")},
            }
    return shaped


def _variables(one: Mapping[str, object], load: Callable[[str], object]) -> dict[str, object]:
    told = one.get("variables")
    loaded = load(told) if isinstance(told, str) and told.strip() else told
    return dict(loaded) if isinstance(loaded, dict) else {}


def _mapping(node: object) -> Mapping[str, object]:
    return node if isinstance(node, dict) else {}


def _list(node: object) -> list[Mapping[str, object]]:
    return [one for one in node if isinstance(one, dict)] if isinstance(node, list) else []
