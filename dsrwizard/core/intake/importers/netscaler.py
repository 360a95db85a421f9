"""The importer for NetScaler's ns.conf: `lb vserver`s in MAC mode with their services, groups and servers.

`-m MAC` is direct server return; every other mode rewrites addresses. Sources: the product's documentation, "Direct
server return mode" and the command reference of `add lb vserver`, `add service` and `add serviceGroup`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.importers.common import Collector, Imported, lines_of, not_taken
from dsrwizard.core.intake.importers.farm import Balanced, Behind, taken
from dsrwizard.core.intake.problems import shown
from dsrwizard.core.model.balancer_facts import Box, Fields

_COMMAND = re.compile(r"\s*(add|bind|set|enable|disable|unset|rename|link)\s+", re.IGNORECASE)
_SCHEDULERS = {
    "LEASTCONNECTION": "wlc", "ROUNDROBIN": "wrr", "SOURCEIPHASH": "sh", "DESTINATIONIPHASH": "dh",
    "SOURCEIPSRCPORTHASH": "mh",
}  # fmt: skip
_DEFAULT_METHOD = "LEASTCONNECTION"
_DEFAULT_MINUTES = 2
_OURS, _COMMENT = "dsr_", "dsrwizard "
"""How the names and the comments of what dsrwizard makes begin."""
_OUT = "out"
"""Instead of the weight of a member that is disabled: the product has no weight 0."""
_EVERY_PORT = "65535"
"""What NITRO says for `*`."""
_UDP = {"UDP", "DNS", "RADIUS", "SIP_UDP", "TFTP", "SYSLOGUDP", "QUIC", "DTLS", "MSSQL_UDP", "PPTP"}
_MODES = {"": "IP (addresses are rewritten)", "IP": "IP (addresses are rewritten)", "IPTUNNEL": "IPTUNNEL",
          "TOS": "TOS (layer-3 DSR)"}  # fmt: skip


@dataclass
class _Vserver:
    kind: str
    vip: str
    port: str
    place: str
    options: dict[str, str]
    bound: list[tuple[str, str]] = field(default_factory=list)
    """Services and groups with the weight of the binding."""
    disabled: bool = False


@dataclass
class _Config:
    servers: dict[str, str] = field(default_factory=dict)
    services: dict[str, tuple[str, str, dict[str, str]]] = field(default_factory=dict)
    """Name → server, port, options."""
    groups: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    """Name → (server, port, weight)."""
    vservers: dict[str, _Vserver] = field(default_factory=dict)
    disabled: set[str] = field(default_factory=set)
    others: dict[str, None] = field(default_factory=dict)
    called: dict[str, str] = field(default_factory=dict)
    """Name of a server → what it is to be called, where that is another."""


def parse(text: str) -> Imported:
    """Imports the load balancing virtual servers in MAC mode. Never raises."""
    found = Collector()
    config = _Config()
    for number, line in lines_of(text, found):
        match = _COMMAND.match(line)
        if match is None:
            if line.strip() and not line.lstrip().startswith("#"):
                found.note(f"Line {number} was not understood.")
            continue
        try:
            words = shlex.split(line[match.end() :].replace("\\", "\\\\"))
        except ValueError:
            found.note(f"Line {number} was not understood: a quotation mark is not closed.")
            continue
        _take(match[1].lower(), words, number, config, found)
    services = [_balanced(name, one, config, found) for name, one in config.vservers.items()]
    if config.others:
        names = list(config.others)
        more = f" and {len(names) - 6} more" if len(names) > 6 else ""
        found.note(
            not_taken(
                f"{', '.join(shown(name)[1:-1] for name in names[:6])}{more}",
                "health checks, content switching and other settings stay with the NetScaler",
            )
        )
    result = taken(services, found)
    result.external = True
    return result


def live(box: Box) -> Imported:
    """The same from what the NetScaler is set to now. `engine` is set where a deployment can drive all of it."""
    found = Collector()
    config = _Config(
        servers={name: one.get("ipaddress", "") for name, one in box.servers.items()},
        services={
            name: (one.get("servername", "") or one.get("ipaddress", ""), _port(one), {})
            for name, one in box.services.items()
        },
        groups={name: [_member(one) for one in members] for name, members in box.members.items()},
        disabled={name for name, one in (*box.servers.items(), *box.services.items()) if _off(one)},
        called={name: _called(name, one) for name, one in box.servers.items()},
    )  # fmt: skip
    services: list[Balanced] = []
    undriven: list[str] = []
    for name, one in box.vservers.items():
        options = {f"-{key}": one[key] for key in ("m", "lbmethod", "persistencetype", "timeout") if one.get(key)}
        bound = [(service, str(weight)) for service, weight in box.bindings.get(name, {}).items()]
        bound += [(group, "") for group in box.grouped.get(name, [])]
        kind = one.get("servicetype", "").upper()
        vserver = _Vserver(kind, one.get("ipv46", ""), _port(one), "as it is now", options, bound)
        if one.get("m", "").upper() != "MAC":
            mode = _MODES.get(one.get("m", "").upper(), "another")
            found.note(not_taken(f"lb vserver {shown(name)[1:-1]}", f"its mode is {mode}, and not MAC"))
            continue
        services.append(_balanced(name, vserver, config, found))
        undriven += _undriven(name, box)
        for note in _besides(name, one):
            found.note(note)
    result = taken(services, found)
    result.external = True
    names = {_set_up_as(name, one) for name, one in box.vservers.items() if name in box.bindings}
    result.name = names.pop() if len(names) == 1 else ""
    if undriven:
        result.notes.append(f"dsrwizard does not set this NetScaler up: {undriven[0]}.")
    elif not result.refused:
        result.engine = "netscaler"
    return result


def _besides(name: str, one: Fields) -> list[str]:
    """Notes on what a virtual server is set to besides, and a deployment has no word for."""
    what, notes = f"lb vserver {shown(name)[1:-1]}", []
    if one.get("state", "").upper() == "DISABLED":
        notes.append(f"{what} is disabled there.")
    failover = one.get("connfailover", "").upper()
    if failover not in ("", "DISABLED"):
        notes.append(not_taken(f"-connfailover {shown(failover)[1:-1]} of {what}", "it stays there as it is"))
    by_client = one.get("lbmethod", "").upper() == "SOURCEIPHASH"
    if (one.get("sessionless", "").upper() == "ENABLED") is not by_client:
        wanted = "ENABLED" if by_client else "DISABLED"
        notes.append(f"{what}: an apply sets -sessionless to {wanted}, as its method needs.")
    return notes


def _undriven(name: str, box: Box) -> list[str]:
    """Why a deployment cannot drive a virtual server as it is, as clauses."""
    one, what = box.vservers[name], f"lb vserver {shown(name)[1:-1]}"
    kinds = {one.get("servicetype", ""), *(box.services.get(bound, {}).get("servicetype", "ANY")
                                           for bound in box.bindings.get(name, {}))}  # fmt: skip
    found = []
    if kinds != {"ANY"}:
        found.append(f"{what} or a service behind it is of type {shown(', '.join(sorted(kinds - {'ANY'})))[1:-1]}")
    if one.get("td", "") not in ("", "0"):
        found.append(f"{what} is in a traffic domain")
    if box.grouped.get(name):
        found.append(f"{what} has service groups")
    if one.get("lbmethod", _DEFAULT_METHOD).upper() not in _SCHEDULERS:
        found.append(f"the method of {what} is none that a scheduler of IPVS stands for")
    return found


def _set_up_as(name: str, one: Fields) -> str:
    """The deployment that dsrwizard made an object for; empty: somebody else made it."""
    comment = one.get("comment", "")
    return comment.removeprefix(_COMMENT) if name.startswith(_OURS) and comment.startswith(_COMMENT) else ""


def _called(name: str, one: Fields) -> str:
    """A server's name without what dsrwizard puts before it."""
    made_for = _set_up_as(name, one)
    return name.removeprefix(f"{_OURS}{made_for}_") if made_for else name


def _member(one: Fields) -> tuple[str, str, str]:
    """A member of a service group: server, port, weight."""
    weight = _OUT if _off(one) else one.get("weight", "")
    return one.get("servername", "") or one.get("ip", ""), _port(one), weight


def _port(one: Fields) -> str:
    return "*" if one.get("port") == _EVERY_PORT else one.get("port", "")


def _off(one: Fields) -> bool:
    return one.get("state", "").upper() == "DISABLED" or one.get("svrstate", "").upper() == "OUT OF SERVICE"


def _take(command: str, words: Sequence[str], number: int, config: _Config, found: Collector) -> None:
    head = [word.lower() for word in words[:2]]
    if command in ("enable", "disable") and head[:1] in (["server"], ["service"], ["servicegroup"]):
        for name in words[1:2]:
            (config.disabled.add if command == "disable" else config.disabled.discard)(name)
        return
    plain, options = _split(words)
    match [command, *head]:
        case ["add", "server", *_] if len(plain) > 2:
            config.servers[plain[1]] = plain[2]
            if options.get("-state", "").upper() == "DISABLED":
                config.disabled.add(plain[1])
        case ["add", "service", *_] if len(plain) > 4:
            config.services[plain[1]] = (plain[2], plain[4], options)
            if options.get("-state", "").upper() == "DISABLED":
                config.disabled.add(plain[1])
        case ["set", "service", *_] if len(plain) > 1 and plain[1] in config.services:
            config.services[plain[1]][2].update(options)
        case ["add", "servicegroup", *_] if len(plain) > 1:
            config.groups.setdefault(plain[1], [])
        case ["bind", "servicegroup", *_] if len(plain) > 3:
            member = (plain[2], plain[3], options.get("-weight", ""))
            config.groups.setdefault(plain[1], []).append(member)
        case ["bind", "servicegroup", *_]:
            config.others["bind serviceGroup -monitorName"] = None
        case ["add", "lb", "vserver"] | ["add", "lb"] if len(plain) > 3 and head[1] == "vserver":
            vip, port = [*plain[4:6], "", ""][:2]
            config.vservers[plain[2]] = _Vserver(plain[3].upper(), vip, port, f"line {number}", options)
        case ["set", "lb", *_] if head[1:] == ["vserver"] and len(plain) > 2 and plain[2] in config.vservers:
            config.vservers[plain[2]].options.update(options)
        case ["bind", "lb", *_] if head[1:] == ["vserver"] and len(plain) > 3:
            if plain[2] in config.vservers:
                config.vservers[plain[2]].bound.append((plain[3], options.get("-weight", "")))
            else:
                found.note(f"Line {number}: there is no lb vserver {shown(plain[2])} above.")
        case _:
            what = " ".join(words[: 1 if head[:1] in (["service"], ["server"], ["servicegroup"]) else 2])
            config.others[f"{command} {what}"[:60]] = None


def _split(words: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """The words without options, and the options in lower case with their values."""
    plain: list[str] = []
    options: dict[str, str] = {}
    at = 0
    while at < len(words):
        word = words[at]
        if word.startswith("-") and len(word) > 1 and word[1].isalpha():
            value = words[at + 1] if at + 1 < len(words) else ""
            options[word.lower()] = value
            at += 1
        else:
            plain.append(word)
        at += 1
    return plain, options


def _balanced(name: str, one: _Vserver, config: _Config, found: Collector) -> Balanced:
    mode = one.options.get("-m", "").upper()
    method = "dr" if mode == "MAC" else f"mode {_MODES.get(mode, mode)}"
    place = f"lb vserver {shown(name)[1:-1]}, {one.place}"
    chosen = one.options.get("-lbmethod", _DEFAULT_METHOD).upper()
    scheduler = _SCHEDULERS.get(chosen, "")
    if not scheduler and mode == "MAC":
        scheduler = "wlc"
        found.note(not_taken(f"-lbMethod {shown(chosen)[1:-1]} ({place})", "IPVS has no such scheduler; wlc was set"))
    behind: list[Behind] = []
    for bound, weight in one.bound:
        if bound in config.services:
            server, port, _ = config.services[bound]
            behind.append(_behind(server, port, weight, method, config, off=bound in config.disabled))
        elif bound in config.groups:
            behind += [
                _behind(server, port, own or weight, method, config, off=bound in config.disabled)
                for server, port, own in config.groups[bound]
            ]
        elif not one.options.get("-policyname"):
            found.note(not_taken(f"{shown(bound)} of {place}", "there is no such service or service group"))
    return Balanced(
        vip=one.vip, protocol="udp" if one.kind in _UDP else "tcp", port=fields.whole_number(one.port) or 0,
        scheduler=scheduler, persistence=_persistence(one, place, found) if mode == "MAC" else 0,
        behind=tuple(behind), place=place,
    )  # fmt: skip


def _behind(server: str, port: str, weight: str, method: str, config: _Config, *, off: bool) -> Behind:
    address = config.servers.get(server, server)
    number = fields.whole_number(weight) if weight else 1
    off = off or server in config.disabled
    return Behind(
        address=address,
        port=None if port == "*" else fields.whole_number(port) or 0,
        weight=0 if off or weight == _OUT else number or 1,
        method=method,
        name="" if server == address else config.called.get(server, server),
    )


def _persistence(one: _Vserver, place: str, found: Collector) -> int:
    """Seconds; the NetScaler counts in minutes."""
    kind = one.options.get("-persistencetype", "NONE").upper()
    if kind == "NONE":
        return 0
    if kind != "SOURCEIP":
        found.note(
            not_taken(f"-persistenceType {shown(kind)[1:-1]} ({place})", "IPVS keeps clients by their address only")
        )
        return 0
    minutes = fields.whole_number(one.options.get("-timeout", str(_DEFAULT_MINUTES)))
    return 60 * (_DEFAULT_MINUTES if minutes is None else minutes)
