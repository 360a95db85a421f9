"""What a Barracuda tells of its services, held against a deployment. Pure.

No document of the maker's schema was found. Services are nested in groups; servers of the sister product have
`ip_address`, `port`, `status` and `weight`. So whatever has an address is looked at, and what it is not clear about is
unverified. How the switch of Direct Server Return is called is not known at all: fields that might be it are shown.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import msgspec

from dsrwizard.core.model.balancer_facts import Fields
from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.values import canonical, endpoint

BarracudaSaid = Literal["same", "differs", "unverified"]
_ADDRESSES = ("ip_address", "virtual_ip", "virtual_ip_address", "vip", "ip", "address", "hostname", "identifier")
_PORTS = ("port", "service_port", "real_server_port")
_TYPES = ("type", "service_type", "protocol")
_SWITCH = ("direct_server_return", "dsr", "direct_return")
_ON, _OFF = frozenset({"on", "yes", "true", "1", "enable", "enabled"}), frozenset({"off", "no", "false", "0", "disable",
                                                                                "disabled"})  # fmt: skip
_DEEPEST, _MOST, _LONGEST = 24, 20_000, 120
_SHOWN = 6


class BarracudaLine(Shown, frozen=True, kw_only=True):
    """One thing that it says, or does not: `said` about `what`, in a sentence. `unverified`: it is not clear from its
    answer, or no document says what that means."""

    said: BarracudaSaid
    what: str
    message: str


class _Found(msgspec.Struct):
    """An object that has an address: what it is set to, and what is below it."""

    fields: Fields
    below: list[_Found]


def held_against(deployment: Deployment, answer: Any) -> tuple[BarracudaLine, ...]:
    """Line by line, whatever the answer is."""
    found = list(_with_address(answer))
    lines: list[BarracudaLine] = []
    for vip in deployment.vips:
        for service in vip.services:
            lines += _service(deployment, vip, service, found)
    return tuple(lines)


def _line(said: BarracudaSaid, what: str, message: str) -> BarracudaLine:
    return BarracudaLine(said=said, what=what, message=message)


def _service(deployment: Deployment, vip: Vip, service: Service, found: list[_Found]) -> Iterator[BarracudaLine]:
    what = f"{endpoint(vip.address, service.port)} {service.protocol}"
    there = [one for one in found if _at(one.fields, vip.address) and _port(one.fields) in (str(service.port), "all")]
    if not there:
        yield _line("differs", what, f"Among {len(found)} services none was seen with this address and port.")
        return
    mine = next((one for one in there if service.protocol in _type(one.fields)), there[0])
    kind = _type(mine.fields)
    if "layer 4" in kind or "layer4" in kind or kind.startswith("l4"):
        yield _line("same", what, f"It is of type {kind}.")
    elif any(word in kind for word in ("proxy", "layer 7", "layer7", "http", "ssl", "ftp")):
        yield _line("differs", what, f"It is of type {kind}: Direct Server Return needs Layer 4 - {service.protocol}.")
    else:
        yield _line("unverified", what, f"Its type is {kind or 'not told'}: it must be Layer 4 - {service.protocol}.")
    servers: dict[str, Fields] = {}
    for server in deployment.servers_of(vip):
        rip = server.rip_for(vip)
        behind = next((one.fields for one in _all_below(mine) if rip is not None and _at(one.fields, rip)), None)
        if behind is not None:
            servers[server.name] = behind
        yield from _server(server, rip, behind, what)
    known = {one for server in deployment.servers if (one := server.rip_for(vip)) is not None}
    for other in _all_below(mine):
        if not any(_at(other.fields, rip) for rip in known) and not _at(other.fields, vip.address):
            address = next((other.fields[key] for key in _ADDRESSES if key in other.fields), "")
            yield _line("differs", what, f"It sends clients to {address}, too, which the deployment has not.")
    yield from _unlike(servers, what)


def _server(server: RealServer, rip: str | None, behind: Fields | None, what: str) -> Iterator[BarracudaLine]:
    where = f"{server.name} of {what}"
    if behind is None:
        yield _line("differs", where, f"{rip or 'An address of that family'} is not behind it.")
        return
    status = behind.get("status", "").lower()
    takes = "enable" in status
    if not status:
        yield _line("unverified", where, "It does not tell whether that server is enabled.")
    elif takes == bool(server.weight):
        yield _line("same", where, f"Its status is {status}.")
    else:
        yield _line("differs", where, f"Its status is {status}, and the deployment has weight {server.weight}.")
    weight = behind.get("weight", "")
    if weight.isascii() and weight.isdigit() and server.weight and int(weight[:9]) != server.weight:
        yield _line("differs", where, f"Its weight is {weight}; the deployment has {server.weight}.")
    name = next((key for key in behind if key.endswith(_SWITCH)), "")
    if not name:
        yield _line("unverified", where, "No field of Direct Server Return was seen. Its replies show it: verify.")
    elif behind[name].lower() in _OFF:
        yield _line("differs", where, f"{name} is {behind[name]}: its replies go through the Barracuda, as it seems.")
    else:
        sure = "" if behind[name].lower() in _ON else " What that means is not known."
        yield _line("unverified", where, f"{name} is {behind[name]}. No document names that field: verify.{sure}")


def _unlike(servers: dict[str, Fields], what: str) -> Iterator[BarracudaLine]:
    """Fields in which the servers are unlike: a switch that was forgotten on one of them shows here."""
    plain = {*_ADDRESSES, *_PORTS, "status", "weight", "name", "id"}
    keys = dict.fromkeys(key for fields in servers.values() for key in fields if key not in plain)
    unlike = [key for key in keys if len({fields.get(key) for fields in servers.values()}) > 1]
    for key in unlike[:_SHOWN]:
        told = ", ".join(f"{name} {fields.get(key, 'without it')}" for name, fields in [*servers.items()][:_SHOWN])
        yield _line("unverified", what, f"Its servers are unlike in {key}: {told}.")


def _all_below(found: _Found) -> Iterator[_Found]:
    for one in found.below:
        yield one
        yield from _all_below(one)


def _type(fields: Fields) -> str:
    return next((fields[key].lower() for key in _TYPES if fields.get(key)), "").replace("_", " ")


def _port(fields: Fields) -> str:
    return next((fields[key].lower() for key in _PORTS if key in fields), "")


def _at(fields: Fields, address: str) -> bool:
    return any(_canonical(fields.get(key, "")) == canonical(address) for key in _ADDRESSES)


def _canonical(text: str) -> str:
    try:
        return canonical(text)
    except ValueError:
        return ""


def _with_address(answer: Any) -> Iterator[_Found]:
    """The objects with an address, each with those below it, whatever is between them."""
    left = [_MOST]

    def walk(value: Any, depth: int) -> Iterator[_Found]:
        left[0] -= 1
        if depth > _DEEPEST or left[0] < 0:
            return
        if isinstance(value, dict):
            fields = {_key(key): _text(one) for key, one in value.items() if not isinstance(one, dict | list)}
            below = [one for child in value.values() for one in walk(child, depth + 1)]
            if any(_canonical(fields.get(key, "")) for key in _ADDRESSES):
                yield _Found(fields, below)
            else:
                yield from below
        elif isinstance(value, list):
            for child in value:
                yield from walk(child, depth + 1)

    return walk(answer, 0)


def _key(name: object) -> str:
    return one_line(str(name), _LONGEST).strip().lower().replace("-", "_").replace(" ", "_")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return one_line(str(value), _LONGEST).strip() if isinstance(value, str | int | float) else ""
