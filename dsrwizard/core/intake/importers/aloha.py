"""The reader of ALOHA's LB Layer4 tab: sections `director` with what is in them. Source: "LB Layer4 reference" of the
ALOHA documentation 13.5 and 15.5, and "Enabling health checks for LB Layer 4" of 12.0, whose options have arguments.

`read_config` keeps what is written and says what it did not understand; `parse` makes a farm of it. A director without
`mode` counts as NAT: what the box takes then is not documented for this text, and NAT is the default of its API.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.importers.common import MAX_NOTES, Collector, Imported, lines_of, listed, not_taken
from dsrwizard.core.intake.importers.farm import Balanced, Behind, taken
from dsrwizard.core.intake.importers.ports import split_endpoint
from dsrwizard.core.intake.problems import shown
from dsrwizard.core.model.products import ALOHA

DEFAULT_BALANCE = "leastconn"
DEFAULT_MODE = "nat"
DEFAULT_WEIGHT = 1
HEAVIEST = 256
_NAME = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
_SECONDS = re.compile(r"([0-9]{1,9})s?", re.ASCII)
_BALANCES = {
    "roundrobin": "wrr",
    "leastconn": "wlc",
    "leastconn localitybased": "lblc",
    "leastconn localitybased replication": "lblcr",
    "source": "sh",
    "srcdst": "",
    "dest": "dh",
    "shortestexpected": "sed",
    "neverqueue": "nq",
}
"""The words of `balance` → the IPVS scheduler; empty: none means the same."""
_MODES = {"gateway": "dr", "nat": "nat", "tunnel": "tun"}
_CHECKS = {
    "tcpcheck": {"interval", "timeout", "source", "port"},
    "arpcheck": {"interval", "timeout", "source", "iface"},
    "icmpcheck": {"interval", "timeout", "source"},
    "httpcheck": {"interval", "timeout", "source", "port", "uri", "statuscode", "vhost"},
}
_TIMING = {"timeout", "interval", "source", "port", "rise", "fall"}
_MOST_DIRECTORS = 2_000
_MOST_SERVERS = 20_000


@dataclass
class AlohaServer:
    """One `server` line."""

    name: str
    address: str
    port: int | None
    weight: int = DEFAULT_WEIGHT
    check: bool = False
    sorry: bool = False
    line: int = 0


@dataclass
class AlohaDirector:
    """One `director` section. `mode` and `balance` are empty where they are not written; `port` is None where it is
    not, which is every port. `checks`: the options that say how servers are checked; `persistence`: seconds, 0 for none
    and None for one whose timeout is not written."""

    name: str
    line: int
    vip: str = ""
    port: int | None = None
    protocol: str = "tcp"
    balance: str = ""
    mode: str = ""
    persistence: int | None = 0
    netmask: str = ""
    checks: list[str] = field(default_factory=list)
    servers: list[AlohaServer] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def place(self) -> str:
        return f"director {shown(self.name)[1:-1]}, line {self.line}"


@dataclass
class AlohaConfig:
    """What stands in the tab. `problems`: what stands outside of every director and was not understood."""

    directors: list[AlohaDirector] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def parse(text: str) -> Imported:
    """Imports the directors in gateway mode. Never raises."""
    found = Collector()
    config = _read(lines_of(text, found))
    for problem in config.problems:
        found.note(problem)
    checks: dict[str, None] = {}
    services = []
    for one in config.directors:
        for problem in one.problems:
            found.note(problem)
        checks |= dict.fromkeys(one.checks)
        services.append(_balanced(one, found))
    if checks:
        found.note(not_taken(f"the health checks ({listed(list(checks))})", "they stay with the ALOHA"))
    result = taken(services, found)
    result.external, result.engine = True, ALOHA.engine
    return result


def read_config(text: str) -> AlohaConfig:
    """What is written, with every line that was not understood. Never raises."""
    found = Collector()
    config = _read(lines_of(text, found))
    config.problems += found.imported().notes
    return config


def scheduler_of(balance: str) -> str:
    """The IPVS scheduler that these words of `balance` stand for; empty: there is none."""
    return _BALANCES.get(balance, "")


def _read(lines: Sequence[tuple[int, str]]) -> AlohaConfig:
    config = AlohaConfig()
    servers = 0
    for number, line in lines:
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        head, *rest = words
        if head == "director":
            if len(config.directors) >= _MOST_DIRECTORS:
                config.problems.append(f"Only the first {_MOST_DIRECTORS} directors were read.")
                break
            config.directors.append(_director(rest, number))
            continue
        if not config.directors:
            if len(config.problems) < MAX_NOTES:
                config.problems.append(f"Line {number} stands before every director.")
            continue
        here = config.directors[-1]
        if head == "server" and (servers := servers + 1) > _MOST_SERVERS:
            config.problems.append(f"Only the first {_MOST_SERVERS} servers were read.")
            break
        problem = _taken_in(here, head, rest, number)
        if problem and len(here.problems) < MAX_NOTES:
            here.problems.append(f"Line {number} ({here.name}): {problem}")
        elif problem and len(here.problems) == MAX_NOTES:
            here.problems.append(f"More lines of {here.name} were not understood.")
    for one in config.directors:
        _whole(one)
    return config


def _director(words: list[str], number: int) -> AlohaDirector:
    name, *rest = words or [""]
    made = AlohaDirector(name=shown(name)[1:-1], line=number)
    if not _NAME.fullmatch(name):
        made.problems.append(f"Line {number}: {shown(name)} is not a valid name of a director.")
    if rest:
        host, port = split_endpoint(rest[0])
        made.vip = host
        made.port = fields.whole_number(port) if port else None
        if fields.parsed(host) is None or "%" in host:
            made.problems.append(f"Line {number}: {shown(host)} is not an IP address.")
        if port and not (port.isdigit() and fields.port(port) is None):
            made.problems.append(f"Line {number}: {shown(port)} is not a port. A range needs a flow in the Flows tab.")
            made.port = 0
    if len(rest) > 1:
        made.protocol = rest[1].lower()
    if made.protocol not in ("tcp", "udp") or len(rest) > 2:
        made.problems.append(f"Line {number}: after the address comes TCP or UDP, and nothing else.")
    return made


def _taken_in(here: AlohaDirector, head: str, rest: list[str], number: int) -> str:
    """Takes one line into its director, and returns what is wrong with it."""
    said = " ".join(rest)
    match head:
        case "balance":
            if said not in _BALANCES:
                return f"balance cannot be {shown(said)}."
            again, here.balance = here.balance, said
            return "balance is written twice." if again else ""
        case "mode":
            if said not in _MODES:
                return f"mode cannot be {shown(said)}."
            again, here.mode = here.mode, said
            return "mode is written twice." if again else ""
        case "check":
            return _arguments(rest, _TIMING, {"inhibit"})[1]
        case "option" if rest:
            return _option(here, rest[0], rest[1:])
        case "server" if len(rest) > 1:
            return _server(here, rest, number)
        case _:
            return f"{shown(head)} was not understood."


def _option(here: AlohaDirector, name: str, rest: list[str]) -> str:
    if name == "persistence":
        given, problem = _arguments(rest, {"timeout", "netmask"}, set())
        seconds = _SECONDS.fullmatch(given.get("timeout", ""))
        here.persistence = int(seconds[1]) if seconds else None
        here.netmask = given.get("netmask", "")
        if "timeout" in given and seconds is None:
            return problem or f"the timeout {shown(given['timeout'])} is not in seconds."
        return problem
    if name not in _CHECKS:
        return f"option {shown(name)} was not understood."
    here.checks.append(name)
    return _arguments(rest, _CHECKS[name], set())[1]


def _server(here: AlohaDirector, rest: list[str], number: int) -> str:
    name, where, *more = rest
    host, port = split_endpoint(where)
    made = AlohaServer(name=name[:300], address=host[:300], port=None, line=number)
    here.servers.append(made)
    given, problem = _arguments(more, {"weight"}, {"check", "sorry"})
    made.check, made.sorry = "check" in given, "sorry" in given
    if not _NAME.fullmatch(name):
        problem = problem or f"{shown(name)} is not a valid name of a server."
    if fields.parsed(host) is None:
        problem = problem or f"{shown(host)} is not an IP address."
    if port:
        made.port = fields.whole_number(port) if port.isdigit() and fields.port(port) is None else 0
        problem = problem or (f"{shown(port)} is not a port." if made.port == 0 else "")
    if "weight" in given:
        weight = fields.whole_number(given["weight"])
        made.weight = weight if weight is not None and 0 <= weight <= HEAVIEST else -1
        problem = problem or (
            f"the weight {shown(given['weight'])} is not in 0 to {HEAVIEST}." if made.weight < 0 else ""
        )
    if made.sorry and made.check:
        problem = problem or "a sorry server is never checked."
    return problem


def _arguments(words: list[str], valued: set[str], plain: set[str]) -> tuple[dict[str, str], str]:
    """Words with a value each, and words without. The second part says what was not understood."""
    given: dict[str, str] = {}
    at = 0
    while at < len(words):
        word = words[at]
        if word in valued and at + 1 < len(words) and word not in given:
            given[word] = words[at + 1]
            at += 2
        elif word in plain and word not in given:
            given[word] = ""
            at += 1
        else:
            return given, f"{shown(word)} was not understood."
    return given, ""


def _whole(one: AlohaDirector) -> None:
    """What is wrong with a director as a whole."""
    if sum(server.sorry for server in one.servers) > 1:
        one.problems.append(f"Two servers of {one.name} are sorry servers, and a director has one at most.")
    if len(one.checks) > 1:
        one.problems.append(f"{one.name} has several checks: {listed(one.checks)}.")
    if not one.mode:
        one.problems.append(
            f"{one.name} has no mode: it counts as {DEFAULT_MODE}. Write mode gateway for direct routing."
        )


def _balanced(one: AlohaDirector, found: Collector) -> Balanced:
    balance = one.balance or DEFAULT_BALANCE
    scheduler = scheduler_of(balance)
    if not scheduler and one.mode == "gateway":
        scheduler = "wlc"
        found.note(not_taken(f"balance {balance} ({one.place})", "IPVS has no such scheduler; wlc was set"))
    if one.persistence is None:
        found.note(not_taken(f"the persistence of {one.place}", "its timeout is not written"))
    behind = []
    for server in one.servers:
        if server.sorry:
            found.note(not_taken(f"the sorry server {shown(server.name)} of {one.place}", "a deployment has none"))
            continue
        behind.append(
            Behind(
                address=server.address, port=server.port, weight=server.weight, name=server.name,
                method=_MODES[one.mode or DEFAULT_MODE],
            )
        )  # fmt: skip
    return Balanced(
        vip=one.vip, protocol=one.protocol, port=one.port or 0, scheduler=scheduler, persistence=one.persistence or 0,
        behind=tuple(behind), place=one.place, extras=[f"the netmask {shown(one.netmask)}"] if one.netmask else [],
    )  # fmt: skip
