"""The close look at a Linux real server: ways to clients, neighbours, what it takes for its own, its own IPVS.

Lines of another form than the kernel's and iproute2's are passed over: these facts decide little alone, and a host that
tells nonsense in them is told of by others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_network
from itertools import pairwise
from typing import Any, Literal

from dsrwizard.core.dialects.linux import boot, packet_filter, values
from dsrwizard.core.dialects.linux.values import Impossible
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.doc_addresses import SOMEWHERE
from dsrwizard.core.model.facts import Route
from dsrwizard.core.model.linux_facts import ClientWay, LinuxFacts, Neighbour, OwnBalancer, WayState

LINES = 2000
"""Lines read of each answer at most."""
_LENGTH = 4000

_SCRIPT = body(__package__, "observe_close.sh")


def script(vips: Iterable[str]) -> str:
    """The part of the observing script that looks closely. `vips` are addresses; files that name one are read."""
    names = ["arp_(ignore|announce)", "@reboot", *(re.escape(vip) for vip in vips)]
    return filled(_SCRIPT, {"@LINES@": str(LINES), "@NAMES@": "|".join(names)})


def parse(found: Mapping[str, Sequence[str]], *, systemd: bool) -> LinuxFacts | None:
    """What it printed; None where it was not part of the script. Raises Impossible for values that cannot be."""
    if "boot" not in found:
        return None
    chains, problem = packet_filter.parse_chains(found)
    return LinuxFacts(
        ways=tuple(ways(found)),
        neighbours=tuple(_neighbours(_lines(found, "neighbours"))),
        local_networks=tuple(dict.fromkeys(_networks(_lines(found, "local")))),
        balancer=_balancer(_lines(found, "balancer")),
        chains=chains,
        chains_problem=problem,
        boot=boot.parse(found, systemd=systemd),
    )


def _lines(found: Mapping[str, Sequence[str]], name: str) -> list[str]:
    return [line[:_LENGTH] for line in list(found.get(name, ()))[:LINES]]


# -- ways


def ways(found: Mapping[str, Sequence[str]]) -> Iterator[ClientWay]:
    """The sections `way:VIP>CLIENT`, and `off:` for those where the kernel had none. Raises Impossible."""
    for name, lines in found.items():
        vip, arrow, client = name.removeprefix("way:").partition(">")
        if name.startswith("way:") and arrow:
            off = found.get(f"off:{vip}>{client}", ())
            yield _way(values.address(vip), values.address(client), "\n".join(lines), off)


def _way(vip: str, client: str, text: str, off: Sequence[str]) -> ClientWay:
    real = client not in SOMEWHERE.values()
    said = _json(text) or _spoken(text)
    if said is None:
        state = _refused(text)
        refusing = _refusing(client, off) if state not in ("route", "unknown") else ""
        return ClientWay(vip=vip, client=client, real=real, state=state, refusing=refusing)
    gateway, interface, table, mtu = said
    return ClientWay(
        vip=vip, client=client, real=real, state="route", gateway="" if gateway == "" else values.address(gateway),
        interface="" if interface == "" else values.interface(interface), table=_short(table), mtu=mtu,
    )  # fmt: skip


def chosen(found: Sequence[ClientWay]) -> dict[str, Route | None]:
    """VIP → the way by which it is judged: that of a client who was seen, otherwise that to a documentation address,
    of which a route that refuses on purpose says nothing."""
    ways: dict[str, Route | None] = {}
    for one in sorted(found, key=lambda one: not one.real):
        if one.state in ("route", "none"):
            ways.setdefault(one.vip, route_of(one))
    return ways


def route_of(way: ClientWay) -> Route | None:
    if way.state != "route":
        return None
    return Route(gateway=way.gateway, interface=way.interface, family=6 if ":" in way.client else 4)


_Said = tuple[object, object, object, int]


def _json(text: str) -> _Said | None:
    try:
        routes = values.objects(values.document(text))
    except Impossible:
        raise
    except ValueError:
        return None
    if len(routes) > 1:
        raise Impossible("list of one route", routes)
    if not routes or values.word(routes[0], "type", "unicast") != "unicast" or not values.word(routes[0], "dst"):
        return None
    route: Mapping[str, Any] = routes[0]
    metrics = route.get("metrics")
    mtu = next((one.get("mtu") for one in values.objects(metrics) if "mtu" in one), 0) if metrics is not None else 0
    gateway = route.get("gateway", values.part(route, "via").get("host", ""))
    return gateway, route.get("dev", ""), route.get("table", ""), mtu if isinstance(mtu, int) else 0


def _spoken(text: str) -> _Said | None:
    """`192.0.2.1 from 10.0.0.10 via 10.0.0.1 dev eth0 table 200 …`, of an `ip` that knows no JSON for routes."""
    kind, *rest = text.partition("\n")[0].split() or [""]
    if "dev" not in rest[:-1] or not re.fullmatch(r"[0-9a-fA-F.:]+", kind):
        return None
    after = dict(pairwise(rest))
    gateway = after.get("via", "")
    gateway = after.get(gateway, "") if gateway in ("inet", "inet6") else gateway
    mtu = after.get("mtu", "0")
    return gateway, after["dev"], after.get("table", ""), int(mtu) if re.fullmatch(r"[0-9]{1,6}", mtu) else 0


def _short(table: object) -> str:
    text = str(table)[:32]
    return text if re.fullmatch(r"[\w.-]+", text) else ""


def _refused(text: str) -> WayState:
    """Errors of the kernel by the kind of route behind them (net/ipv4/fib_semantics.c, fib_props)."""
    said: dict[str, WayState] = {
        "Network is unreachable": "none", "No route to host": "unreachable", "Permission denied": "prohibit",
        "Invalid argument": "blackhole",
    }  # fmt: skip
    found = next((state for words, state in said.items() if words in text), None)
    return found or ("none" if "unreachable" in text else "unknown")


_OFF = re.compile(r"(?:[0-9]+:.*\s)?(?:blackhole|unreachable|prohibit|throw)(?:\s|$)")


def _refusing(client: str, lines: Sequence[str]) -> str:
    """The route or rule that refuses, the narrowest network first; `ip rule` prints rules with their number."""
    found = [line.strip()[:_LENGTH] for line in lines[:LINES] if _OFF.match(line.strip())]
    rules = [line for line in found if re.match(r"[0-9]+:", line)]
    routes = [line for line in found if line not in rules]

    def width(line: str) -> int:
        word = [*line.split(), "", ""][1]
        try:
            return ip_network(word, strict=False).prefixlen if word not in ("", "default") else 0
        except ValueError:
            return -1

    return next(iter((*sorted(routes, key=width, reverse=True), *rules)), "")


# -- neighbours and local networks

_NEIGHBOUR = re.compile(r"(\S+) dev (\S+)(?: lladdr (\S+))?((?: \w+)*?) ([A-Z]+)$")


def _neighbours(lines: Iterable[str]) -> Iterator[Neighbour]:
    """Lines of `ip neigh`: `10.0.0.250 dev eth0 FAILED`, `fe80::1 dev eth0 lladdr … router STALE`."""
    for line in lines:
        match = _NEIGHBOUR.match(" ".join(line.split()))
        if match is None:
            continue
        try:
            mac = values.mac(match[3]) if match[3] else ""
            yield Neighbour(
                address=values.address(match[1]), interface=values.interface(match[2]), mac=mac, state=match[5]
            )
        except Impossible:
            continue


def _networks(lines: Iterable[str]) -> Iterator[str]:
    """`local 10.0.0.10 dev lo …`, `local 10.0.0.0/28 dev lo …`."""
    for line in lines:
        words = line.split()
        if words[:1] != ["local"] or len(words) < 2:
            continue
        try:
            yield str(ip_network(words[1]))
        except ValueError:
            continue


# -- its own IPVS

_SERVICE = re.compile(r"(TCP|UDP|SCTP|FWM)\s+(\S+)\s")
_DESTINATION = re.compile(r"\s*->\s+(\S+)\s+(Route|Tunnel|Masq|Local)\s+(-?[0-9]{1,10})\s")
_KINDS: dict[str, Literal["tcp", "udp", "sctp", "fwm"]] = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp", "FWM": "fwm"}


def _balancer(lines: Sequence[str]) -> tuple[OwnBalancer, ...] | None:
    """`/proc/net/ip_vs`: hexadecimal addresses and ports, IPv6 in brackets, firewall marks alone."""
    if lines[:1] != ["read"]:
        return () if lines[:1] == ["none"] else None
    found: list[tuple[Literal["tcp", "udp", "sctp", "fwm"], str, int]] = []
    behind: list[list[str]] = []
    here: list[bool] = []
    for line in lines[1:]:
        service, destination = _SERVICE.match(line + " "), _DESTINATION.match(line + " ")
        if service is not None:
            place = ("", int(service[2], 16)) if re.fullmatch(r"[0-9A-F]{8}", service[2]) else _place(service[2])
            if place is not None:
                found.append((_KINDS[service[1]], *place))
                behind.append([])
                here.append(False)
        elif destination is not None and behind and int(destination[3]) > 0:
            where = _place(destination[1])
            if destination[2] in ("Local", "Masq"):
                here[-1] = True
            elif where is not None:
                behind[-1].append(where[0])
    return tuple(
        OwnBalancer(protocol=protocol, address=address, port=port, elsewhere=tuple(there), here=local)
        for (protocol, address, port), there, local in zip(found, behind, here, strict=True)
    )


def _place(text: str) -> tuple[str, int] | None:
    word, _, port = text.rpartition(":")
    try:
        if word.startswith("["):
            address: IPv4Address | IPv6Address = IPv6Address(word.strip("[]"))
        elif re.fullmatch(r"[0-9A-F]{8}", word):
            address = IPv4Address(int(word, 16))
        else:
            return None
        return str(address), int(port, 16) if re.fullmatch(r"[0-9A-F]{4}", port) else 0
    except ValueError:
        return None
