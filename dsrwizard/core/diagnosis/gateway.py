"""The check of a real server's default gateway: it must not be the director."""

from __future__ import annotations

from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.facts import Route
from dsrwizard.core.model.values import canonical


def _families(view: ServerView) -> list[int]:
    return sorted({vip.ip.version for vip in view.vips})


def gateways(view: ServerView, faults: Found) -> list[Check]:
    """`server.gateway` for each family of its VIPs."""
    return [_gateway_of(view, faults, family) for family in _families(view)]


def _gateway_of(view: ServerView, faults: Found, family: int) -> Check:
    """The worst way back of the VIPs of a family: a policy route may send one of them elsewhere than the rest."""
    where, name = Where(check="server.gateway", host=view.name), view.name
    command = view.advice.show_gateway(family)
    if view.facts is None:
        return setting_unseen(where, view, faults, "the default gateway", command)
    ways = view.platform.ways(view, family)
    asked = {canonical(vip) for vip, _, _ in ways}
    ways += [
        (vip.address, "", view.way(family, vip))
        for vip in view.vips
        if vip.ip.version == family and canonical(vip.address) not in asked
    ]
    fault, own = Fault(host=name, cause="gateway", family=family), own_addresses(view)
    router = _router(view, family)
    if any(route is None for _, _, route in ways) and view.facts.routes_unknown:
        return where.unknown(
            f"Could not check the default gateway of {name}.", view.facts.routes_unknown, f"On {name}: {command}"
        )
    for vip, client, route in ways:
        if route is None:
            text = f"{name} has no default gateway for IPv{family}: it cannot reply to clients in other networks."
            if client:
                text = f"{name} has no way to the client {client}: it cannot reply from {vip}."
            return faults.fail(
                where, fault, text,
                f"ip route get {client} from {vip}: none" if client else f"{command}: none",
                f"On {name}: {view.advice.set_gateway(family, router, None)}",
            )  # fmt: skip
        if route.gateway and canonical(route.gateway) in own:
            policy = _policy(view, route)
            text = (
                f"The default gateway of {name} is the director, which drops replies that carry its own VIP as source."
            )
            if policy:
                text = f"A policy route of {name} sends replies from {vip} to the director, which drops them."
            return faults.fail(
                where, fault, text, way_shown(view, vip, route),
                f"On {name}: {view.advice.leave_policy_route(family, vip, router)}" if policy
                else f"On {name}: {view.advice.set_gateway(family, router, route)}",
            )  # fmt: skip
    doubt = view.platform.way_back(view, faults, where, family)
    if doubt is not None:
        return doubt
    told = dict.fromkeys(way_shown(view, vip, route) for vip, _, route in ways if route)
    evidence = view.evidence
    if evidence.deployment.director.in_kernel and evidence.observed.director is None:
        return where.unknown(
            f"Could not check whether {name} bypasses the director in its replies: the director's addresses are "
            "unknown.", "; ".join(told), "On the director: ip addr show",
        )  # fmt: skip
    return where.passed(f"{name} replies to clients directly, bypassing the director.", "; ".join(told))


def own_addresses(view: ServerView) -> set[str]:
    """The addresses of the director, where it is this machine and was looked at."""
    director = view.evidence.observed.director
    if not view.evidence.deployment.director.in_kernel or director is None:
        return set()
    return {canonical(entry.address) for link in director.interfaces for entry in link.addresses}


def _policy(view: ServerView, route: Route) -> bool:
    """Whether another rule than the default route leads this way."""
    default = view.way(route.family)
    return default is None or (default.gateway, default.interface) != (route.gateway, route.interface)


def way_shown(view: ServerView, vip: str, route: Route) -> str:
    """A way back as `ip route` shows it; with the VIP where it is another than the default route."""
    way = f"{f'via {route.gateway} ' if route.gateway else ''}dev {route.interface}"
    return f"from {vip} {way}" if _policy(view, route) else f"default {way}"


def _router(view: ServerView, family: int) -> str:
    """The director's own gateway: it is in the same network, and what it uses to reach clients serves here as well."""
    director = view.evidence.observed.director
    routes = director.default_routes if director else ()
    return next((route.gateway for route in routes if route.family == family and route.gateway), "<router>")


def setting_unseen(where: Where, view: ServerView, faults: Found, what: str, command: str) -> Check:
    """What could not be seen on the server, and the command that shows it there."""
    fault = faults.cut_off(view.name) or faults.find(view.name, "path-mtu")
    if fault and view.facts is None:
        return where.follows(fault)
    why = "no login there" if view.facts is None else f"no interface there holds {view.server.address}"
    return where.unknown(f"Could not check {what} on {view.name}.", why, f"On {view.name}: {command}")
