"""The structure check of a deployment file: unknown keys, missing keys, values of a wrong type.

msgspec stops at the first of these and speaks of objects and arrays; an operator wants all of them, in the words of the
file. The rules are not repeated here; they are read from the types of `model`.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import cast

import msgspec.inspect as types

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.problems import Problem, Refusal, shown
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.foreign import harmless

_TABLES = {
    "": "the top of the file",
    "director": "[director]",
    "peers": "[[director.peers]]",
    "vrrp": "[director.vrrp]",
    "bgp": "[director.bgp]",
    "client": "[client]",
    "balancer": "[balancer]",
    "vips": "[[vips]]",
    "services": "[[vips.services]]",
    "servers": "[[servers]]",
}
_SECRET_WORDS = ("pass", "secret", "token", "credential", "private_key", "privatekey")
_OTHER_NAMES = {
    "algorithm": "scheduler",
    "algo": "scheduler",
    "balance": "scheduler",
    "fqdn": "dns_name",
    "tls_name": "dns_name",
    "kerberos_name": "dns_name",
    "spn": "kerberos_service",
    "dip": "interface",
    "dev": "interface",
    "device": "interface",
    "host": "address",
    "hostname": "address",
    "iface": "interface",
    "as": "local_as",
    "asn": "local_as",
    "my_as": "local_as",
    "peer_as": "neighbour_as",
    "remote_as": "neighbour_as",
    "neighbor": "neighbour",
    "neighbor_as": "neighbour_as",
    "advert_int": "advert_seconds",
    "peer": "peers",
    "vrid": "router_id",
    "virtual_router_id": "router_id",
    "identity": "identity_file",
    "ip": "address",
    "lbmethod": "method",
    "nsip": "addresses",
    "ip6": "address6",
    "ipv6": "address6",
    "key": "identity_file",
    "key_file": "identity_file",
    "nic": "interface",
    "persistent": "persistence",
    "proto": "protocol",
    "rip": "address",
    "rip6": "address6",
    "ssh_key": "identity_file",
    "ssh_port": "port",
    "ssh_user": "user",
    "username": "user",
    "real_servers": "servers",
    "server": "servers",
    "service": "services",
    "timeout": "persistence",
    "vip": "vips",
    "virtual_server": "vips",
}
_NOT_NEEDED = {
    "prefix": "dsrwizard always uses /32 (IPv6: /128) for a VIP",
    "netmask": "dsrwizard always uses /32 (IPv6: /128) for a VIP",
    "forwarding": "dsrwizard always uses direct routing",
    "method": "dsrwizard always uses direct routing",
    "lvs_method": "dsrwizard always uses direct routing",
    "mac": "dsrwizard finds the MAC itself",
}
_INT64 = 2**63
MOST_PROBLEMS = 100
"""The most problems reported: each takes a while, because the nearest key is searched for."""


def structure_problems(data: dict[str, object]) -> list[Problem]:
    """The problems of a decoded file with the types of `model`, in order: the first hundred."""
    return list(islice(_struct(data, _of(Deployment), ""), MOST_PROBLEMS))


def _of(cls: type) -> types.StructType:
    return cast("types.StructType", types.type_info(cls))


def _struct(data: dict[str, object], info: types.StructType, key: str) -> Iterator[Problem]:
    known = {field.encode_name: field for field in info.fields}
    for name, value in data.items():
        here = f"{key}.{_plain(name)}" if key else _plain(name)
        if name in known:
            yield from _value(value, known[name].type, here)
        else:
            yield _unknown(name, list(known), _table(key)).at(here)
    for name, field in known.items():
        if field.required and name not in data:
            yield _missing(name, field.type, _table(key)).at(f"{key}.{name}" if key else name)


def _plain(name: str) -> str:
    """A key of the file for a message."""
    return shown(name)[1:-1]


def _table(key: str) -> str:
    """How the table of a key is written in the file: `servers[2]` is `[[servers]]`."""
    return _TABLES.get(key.rpartition(".")[2].partition("[")[0], key)


def _unknown(name: str, known: list[str], table: str) -> Refusal:
    lower = name.lower().replace("-", "_")
    if any(word in lower for word in _SECRET_WORDS):
        return Refusal(
            "A secret does not belong in this file.",
            "Remove the line. dsrwizard asks for the secret; never store it here.",
        )
    message = f"Unknown key {shown(name)} in {table}."
    if lower in _NOT_NEEDED:
        return Refusal(message, f"Remove it: {_NOT_NEEDED[lower]}.")
    if lower in known or _OTHER_NAMES.get(lower) in known:
        return Refusal(message, f"Did you mean {lower if lower in known else _OTHER_NAMES[lower]}?")
    elsewhere = [_TABLES[place] for place, names in _places() if lower in names]
    if elsewhere:
        return Refusal(message, f"{lower} belongs in {' or '.join(elsewhere)}.")
    close = get_close_matches(lower, known, n=1, cutoff=0.6)
    return Refusal(message, f"Did you mean {close[0]}?" if close else f"Known keys: {', '.join(known)}.")


def _places() -> Iterator[tuple[str, list[str]]]:
    """Every table of the file with the keys it knows."""
    info = _of(Deployment)
    yield "", [field.encode_name for field in info.fields]
    for field in info.fields:
        inner = _inner_struct(field.type)
        if inner is None:
            continue
        yield field.encode_name, [each.encode_name for each in inner.fields]
        for each in inner.fields:
            deeper = _inner_struct(each.type)
            if deeper is not None:
                yield each.encode_name, [one.encode_name for one in deeper.fields]


def _inner_struct(info: types.Type) -> types.StructType | None:
    info = _given(info)
    if isinstance(info, types.VarTupleType):
        info = _given(info.item_type)
    return info if isinstance(info, types.StructType) else None


def _given(info: types.Type) -> types.Type:
    """A type without its None: TOML cannot express None."""
    if isinstance(info, types.UnionType):
        return next(each for each in info.types if not isinstance(each, types.NoneType))
    return info


def _missing(name: str, info: types.Type, table: str) -> Refusal:
    info = _given(info)
    if isinstance(info, types.StructType):
        return Refusal(f"The table [{name}] is missing.", _example(name))
    if isinstance(info, types.VarTupleType):
        nested = f"vips.{name}" if name == "services" else name
        return Refusal(f"[[{nested}]] is missing in {table}.", _example(name))
    return Refusal(f"{name} is missing in {table}.", _example(name))


def _example(name: str) -> str:
    examples = {
        "name": 'Add name = "web1".',
        "director": 'Add [director] and below it interface = "eth0".',
        "interface": 'Add interface = "eth0": the interface in the real servers\' network.',
        "vips": 'Add [[vips]] and below it address = "10.0.0.10".',
        "services": "Add [[vips.services]] and below it port = 80.",
        "servers": 'Add [[servers]] and below it name = "web1" and address = "10.0.0.101".',
        "address": 'Add address = "10.0.0.10".',
        "neighbour": 'Add neighbour = "10.0.0.1": the router that is told of the VIPs.',
        "local_as": "Add local_as = 65010: the AS number of the directors.",
        "neighbour_as": "Add neighbour_as = 65000: the AS number of the router.",
        "port": "Add port = 80.",
    }
    return examples.get(name, f"Add {name} = ….")


def _value(value: object, info: types.Type, key: str) -> Iterator[Problem]:
    info = _given(info)
    leaf = key.rpartition(".")[2].partition("[")[0]
    if isinstance(info, types.StructType):
        if isinstance(value, dict):
            yield from _struct(value, info, key)
        else:
            yield Refusal(
                f"{leaf} is {_got(value)}; it must be a table.", f"Write {_table(key)} and its keys below it."
            ).at(key)
    elif isinstance(info, types.VarTupleType):
        yield from _list(value, info, key, leaf)
    elif isinstance(info, types.LiteralType):
        yield from _choice(value, [str(each) for each in info.values], key, leaf)
    elif isinstance(info, types.IntType):
        yield from _whole(value, key, leaf)
    elif isinstance(info, types.FloatType):
        if not isinstance(value, int | float) or isinstance(value, bool):
            hint = f"Write it without quotes, for example {leaf} = 0.1."
            yield Refusal(f"{leaf} is {_got(value)}; it must be a number.", hint).at(key)
    elif isinstance(info, types.BoolType):
        if not isinstance(value, bool):
            hint = f"Write {leaf} = true or {leaf} = false, without quotes."
            yield Refusal(f"{leaf} is {_got(value)}; it must be true or false.", hint).at(key)
    elif isinstance(value, str):
        if not value.isprintable() or not harmless(value):
            hint = fields.HEX_PAYLOAD if leaf == "payload" else "Type it again without them."
            yield Refusal(f"{leaf} contains control characters.", hint).at(key)
    else:
        yield Refusal(f"{leaf} is {_got(value)}; it must be a quoted text.", _quoted(value, leaf)).at(key)


def _list(value: object, info: types.VarTupleType, key: str, leaf: str) -> Iterator[Problem]:
    if isinstance(value, list):
        for number, each in enumerate(value):
            yield from _value(each, info.item_type, f"{key}[{number}]")
    elif _inner_struct(info) is None:
        hint = f"Write {leaf} = [{shown(value)}]." if isinstance(value, str) else f'Write {leaf} = ["10.0.0.10"].'
        yield Refusal(f"{leaf} is {_got(value)}; it must be a list of texts.", hint).at(key)
    else:
        table = _table(key)
        hint = (
            f"Write {table} with double brackets."
            if isinstance(value, dict)
            else f"Write {table} and its keys below it."
        )
        yield Refusal(f"{leaf} is {_got(value)}; each entry must be a table of its own.", hint).at(key)


def _choice(value: object, known: list[str], key: str, leaf: str) -> Iterator[Problem]:
    if value in known:
        return
    options = " or ".join(f'"{each}"' for each in known)
    if not isinstance(value, str):
        yield Refusal(f"{leaf} is {_got(value)}; it must be one quoted word.", f"Write {options}.").at(key)
        return
    meant = fields.suggestion(value, known)
    hint = f'Did you mean "{meant}"?' if meant else f"Write {options}."
    yield Refusal(f"{leaf} cannot be {shown(value)}.", hint).at(key)


def _whole(value: object, key: str, leaf: str) -> Iterator[Problem]:
    if isinstance(value, int) and not isinstance(value, bool):
        if not -_INT64 <= value < _INT64:
            yield Refusal(f"{leaf} is too large.", f"Write a whole number, for example {leaf} = 1.").at(key)
        return
    hint = f"Write a whole number without quotes, for example {leaf} = {80 if 'port' in leaf else 1}."
    if isinstance(value, str):
        fault = fields.persistence(value) if leaf == "persistence" else None
        if fields.whole_number(value) is not None:
            hint = f"Write {leaf} = {fields.whole_number(value)} without quotes."
        elif fault is not None:
            hint = fault.hint
    yield Refusal(f"{leaf} is {_got(value)}; it must be a whole number.", hint).at(key)


def _quoted(value: object, leaf: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and leaf == "name":
        return f'Write {leaf} = "{shown(value)}" with quotes.'
    return f'Write {leaf} = "…" with quotes.'


def _got(value: object) -> str:
    words: list[tuple[type, str]] = [
        (bool, "true or false"),
        (int, "a number"),
        (float, "a number with a decimal point"),
        (str, "a text"),
        (list, "a list"),
        (dict, "a table"),
    ]
    return next((word for kind, word in words if isinstance(value, kind)), "a date or time")
