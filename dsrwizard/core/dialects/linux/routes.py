"""The parser of routes from a Linux host's `ip`: JSON, or text where `ip` is too old for JSON routes.

iproute2 tells of addresses in JSON since 4.13 and of routes some releases later: a host of 2018 (4.15) does one of the
two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, Literal

from dsrwizard.core.dialects.linux import values
from dsrwizard.core.dialects.linux.values import Impossible
from dsrwizard.core.model.facts import Route

Family = Literal[4, 6]


def default_routes(text: str, family: Family) -> list[Route]:
    """`ip -j route show default`: those that lead somewhere, several next hops as several. None where it says something
    else, such as that there is no IPv6. Raises Impossible."""
    routes = _document(text or "[]")
    if routes is None:
        return list(_spoken(text, family))
    return [
        hop
        for route in routes
        if route and values.word(route, "type", "unicast") == "unicast"
        for hop in ([_hop(one, family) for one in values.objects(route.get("nexthops", []))] or [_hop(route, family)])
    ]


def _document(text: str) -> list[Mapping[str, Any]] | None:
    try:
        return values.objects(values.document(text))
    except Impossible:
        raise
    except ValueError:
        return None


def _hop(hop: Mapping[str, Any], family: Family) -> Route:
    """A next hop; its gateway is empty where the link needs none, and in `via` where it has the other family (RFC
    5549)."""
    return _route(hop.get("gateway", values.part(hop, "via").get("host", "")), hop.get("dev", ""), family)


def _route(gateway: object, device: object, family: Family) -> Route:
    return Route(
        gateway="" if gateway == "" else values.address(gateway),
        interface="" if device == "" else values.interface(device),
        family=family,
    )


def _spoken(text: str, family: Family) -> Iterator[Route]:
    """`default via 10.0.0.1 dev eth0 …`, or `default` and a line `nexthop via … dev …` for each hop."""
    for line in text.splitlines():
        kind, *rest = line.split() or [""]
        if kind in ("default", "nexthop") and {"via", "dev"} & set(rest):
            yield _spoken_hop(rest, family)


def _spoken_hop(said: list[str], family: Family) -> Route:
    after = dict(pairwise(said))
    gateway = after.get("via", "")
    return _route(after.get(gateway, "") if gateway in ("inet", "inet6") else gateway, after.get("dev", ""), family)
