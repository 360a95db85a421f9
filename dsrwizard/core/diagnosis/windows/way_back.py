"""Where a Windows server's replies leave, and whether they can arrive.

With weak-host send the way out is not tied to the adapter of the VIP: of all default routes of the family the one with
the lowest sum of route and interface metric wins, on whichever adapter (Microsoft, "The Default Gateway: multiple
default gateways"; RFC 1122, 3.3.4.2). Windows keeps a gateway's MAC while it believes that it is reachable.
"""

from __future__ import annotations

from typing import Literal

from dsrwizard.core.diagnosis.evidence import mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.diagnosis.windows.view import advice_of, facts_of
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.facts import Route
from dsrwizard.core.model.values import canonical, parsed
from dsrwizard.core.model.windows_facts import WindowsAdapter

_GLBP = "00:07:b4:"
"""Cisco's GLBP gives one gateway several MACs, each host another."""
_UNKNOWN = 1 << 40


def default_routes(view: ServerView) -> tuple[Route, ...]:
    """Those that lead to a network, the one in force first; where metrics are not known, that of the director's frames
    before others."""
    facts = facts_of(view)
    nic = view.nic.name if view.nic else ""
    ranked = [
        ((_UNKNOWN if (cost := adapter.cost(gateway)) is None else cost, adapter.name != nic), _route(adapter, gateway))
        for adapter, gateway in (facts.ways_out() if facts else ())
    ]
    return tuple(route for _, route in sorted(ranked, key=lambda one: one[0]))


def _route(adapter: WindowsAdapter, gateway: str) -> Route:
    found = parsed(gateway)  # 0.0.0.0: whoever is on the link
    return Route(gateway="" if found.is_unspecified else gateway, interface=adapter.name, family=found.version)


def doubt(view: ServerView, faults: Found, where: Where, family: int) -> Check | None:
    """What is wrong or not known with the way that the replies of a family take; None: nothing. There is a way, and it
    is not the director's."""
    route = view.way(family)
    if route is None or view.nic is None or _back(view, family) == "through":
        return None
    if route.interface != view.nic.name or _undecided(view, family):
        return _by_another(view, faults, where, route)
    return _stale(view, faults, where, route)


# -- by another adapter


def _by_another(view: ServerView, faults: Found, where: Where, route: Route) -> Check:
    """Replies leave by an adapter that the director's frames do not come in by, or may."""
    assert view.nic is not None  # noqa: S101 - `doubt` made sure
    name, family = view.name, route.family
    facts = facts_of(view)
    told = facts.ways_shown(family) if facts else ""
    if _undecided(view, family):
        return where.unknown(
            f"Could not check by which of its default gateways {name} replies to clients: their metrics are not known.",
            told, f"On {name}: {view.advice.show_gateway(family)}",
        )  # fmt: skip
    what = f"{name} replies to clients by {route.interface}, not by {view.nic.name}, where their requests arrive"
    if _back(view, family) == "lost":
        return faults.fail(
            where, Fault(host=name, cause="gateway", family=family), f"{what}, and the replies do not arrive.", told,
            _fix(view, route),
        )  # fmt: skip
    return where.unknown(
        f"{what}. Could not check whether the network of {route.interface} lets replies from the VIP through.", told,
        f"Open the VIP from a client in another network, or let the replies leave by {view.nic.name}. "
        f"{_fix(view, route)}",
    )  # fmt: skip


def _fix(view: ServerView, route: Route) -> str:
    assert view.nic is not None  # noqa: S101 - `doubt` made sure
    ways = [one for one in default_routes(view) if one.family == route.family and one.interface == view.nic.name]
    if ways:
        return f"On {view.name}: {advice_of(view).drop_gateway(route.family, route.interface, route.gateway)}"
    return f"On {view.name}: {view.advice.set_gateway(route.family, '<router>', route)}"


def _undecided(view: ServerView, family: int) -> bool:
    """Whether several adapters have a default gateway, and it is not known which of them wins."""
    facts = facts_of(view)
    ways = [(adapter.name, adapter.cost(gateway)) for adapter, gateway in (facts.ways_out(family) if facts else ())]
    return len({name for name, _ in ways}) > 1 and any(cost is None for _, cost in ways)


# -- to the wrong MAC


def _stale(view: ServerView, faults: Found, where: Where, route: Route) -> Check | None:
    """The gateway answers the director's who-has with another MAC than the one this server sends to."""
    facts = facts_of(view)
    adapter = facts.adapter(route.interface) if facts else None
    kept = mac(adapter.neighbours.get(route.gateway, "")) if adapter and route.gateway else ""
    owners = view.evidence.owner(route.gateway) if kept else None
    if owners is None or owners.problem:
        return None
    heard = {mac(one) for one in owners.where}
    if not heard or kept in heard or (kept.startswith(_GLBP) and any(one.startswith(_GLBP) for one in heard)):
        return None
    return faults.fail(
        where, Fault(host=view.name, cause="gateway", family=route.family),
        f"{view.name} sends its replies to a wrong MAC: that of its gateway {route.gateway} has changed.",
        f"{view.name} has {kept}, who-has is answered by {', '.join(sorted(heard))}",
        f"On {view.name}: {advice_of(view).forget_neighbour(route.gateway)}",
    )  # fmt: skip


# -- what clients show


def _back(view: ServerView, family: int) -> Literal["through", "lost", ""]:
    """Whether clients were seen to get this server's replies."""
    results = {_connections(view, family), _tries(view, family)} - {""}
    if "through" in results:
        return "through"
    return "lost" if results else ""


def _connections(view: ServerView, family: int) -> Literal["through", "lost", ""]:
    """By the clients' own connections at the director."""
    found = [
        seen
        for (rip, vip, _), seen in (view.evidence.traffic or {}).items()
        if rip in map(canonical, view.rips) and parsed(vip).version == family
    ]
    if any(seen.completed for seen in found):
        return "through"
    return "lost" if any(seen.verdict == "return" for seen in found) else ""


def _tries(view: ServerView, family: int) -> Literal["through", "lost", ""]:
    """By the connections of the client host that the director gave to this server."""
    client = view.evidence.client
    if not isinstance(client, ClientView):
        return ""
    given = [
        one.result
        for vip in view.vips
        if vip.ip.version == family and (seen := client.of(vip)) is not None
        for one in seen.tries
        if (passage := seen.passages.get(one.port)) is not None
        and canonical(passage.given.get(one.client_port, "0.0.0.0")) == canonical(view.rip_for(vip) or "::")
    ]
    if "open" in given:
        return "through"
    arrived = any(view.fate(vip, one) == "accepted" for vip in view.vips for one in vip.services)
    return "lost" if "silent" in given and arrived else ""
