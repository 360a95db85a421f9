"""The way that replies of a Linux server take to clients: refused on purpose, by a gateway that is not there, to a MAC
that is not the gateway's, or by an interface whose requests a strict filter drops.

A gateway is gone only where both that can tell say so, as far as they can: who-has on the director's link, and the
server's own neighbour table.
"""

from __future__ import annotations

import shlex
from ipaddress import ip_address, ip_interface

from dsrwizard.core.diagnosis.evidence import mac, own_macs
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.gateway import own_addresses
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.linux_facts import ClientWay, Neighbour
from dsrwizard.core.model.values import canonical

_TRIED = frozenset({"FAILED"})
_FIXED = frozenset({"PERMANENT", "NOARP"})


def doubt(view: ServerView, faults: Found, where: Where, family: int) -> Check | None:
    """What is wrong with the ways of a family that do not lead to the director; None: nothing is."""
    for way in judged(view, family):
        told = wrong(view, way)
        if told is not None:
            message, evidence, fix = told
            return faults.fail(
                where, Fault(host=view.name, cause="gateway", family=family), message, evidence, fix, shared=True
            )
    return None


def lost(view: ServerView, vip: str) -> tuple[str, str, str] | None:
    """Message, evidence and fix where nothing that this VIP sends elsewhere can arrive; None: no reason is seen."""
    ways = [way for way in judged(view, 6 if ":" in vip else 4) if canonical(way.vip) == canonical(vip)]
    found = [wrong(view, way) for way in ways]
    return next((one for one in found if one is not None), None)


def judged(view: ServerView, family: int) -> list[ClientWay]:
    """The ways that count: to clients that were seen or named; without any, to a documentation address."""
    looked = view.facts.linux if view.facts is not None else None
    ways = [
        way
        for way in (looked.ways if looked is not None else ())
        if family == (6 if ":" in way.vip else 4) and view.local(way.vip)
    ]
    real = [way for way in ways if way.real and way.state != "unknown"]
    return real or [way for way in ways if way.state == "route"]


def wrong(view: ServerView, way: ClientWay) -> tuple[str, str, str] | None:
    """Message, evidence and fix of one way; None: it is well, or not known."""
    name = view.name
    if way.state in ("blackhole", "unreachable", "prohibit"):
        if not way.real or not way.refusing or _banned(view, way):
            return None
        return (
            f"{name} refuses to reply from {way.vip} to the client {way.client}: {_kind(way)} is in the way.",
            f"ip route get {way.client} from {way.vip}: {way.state}; {way.refusing}",
            f"On {name}: {_undone(way)}",
        )
    if way.state == "route" and not way.gateway:
        return _straight(view, way)
    if way.state != "route" or canonical(way.gateway) in own_addresses(view):
        return None
    entry = neighbour(view, way)
    owners = view.evidence.owner(way.gateway)
    asked = _shared_link(view, way) and not owners.problem
    heard = {mac(one) for one in owners.where} if asked else set()
    by = shown(way)
    silent = asked and not heard
    failed = entry is not None and entry.state in _TRIED
    if (silent and (entry is None or not entry.mac)) or (failed and not heard):
        seen = [f"from {way.vip} to {way.client}: {by}"]
        seen += [f"who-has {way.gateway}: no answer"] if silent else []
        seen += [f"ip neigh there: {way.gateway} {entry.state}"] if entry is not None else []
        return (
            f"Replies of {name} from {way.vip} go by {way.gateway}{_table(way)}, which nobody has.", "; ".join(seen),
            _leave(view, way),
        )  # fmt: skip
    if entry is None or not entry.mac or not heard:
        return None
    whose = _whose(view, entry.mac)
    if entry.mac in heard and not (whose and len(heard) > 1):
        return None
    if entry.state not in _FIXED and not whose:
        return None  # routers with several MACs give each host another
    there = ", ".join(sorted(heard))
    return (
        f"{name} sends its replies to {whose or 'another machine'} instead of its gateway {way.gateway}: its neighbour "
        "entry has the wrong MAC.",
        f"ip neigh there: {way.gateway} lladdr {entry.mac} {entry.state}; who-has {way.gateway}: {there}",
        _freed(view, way, whose) or f"On {name}: ip neigh del {way.gateway} dev {shlex.quote(way.interface)}",
    )  # fmt: skip


def _straight(view: ServerView, way: ClientWay) -> tuple[str, str, str] | None:
    """A way without a gateway to a client that is not on that link: nobody answers for it there. One whose address is
    of the link's network may only have gone since, unless it is the client host, which is there and asks."""
    entry = neighbour(view, way)
    links = [link for link in view.facts.interfaces if link.name == way.interface] if view.facts is not None else []
    networks = [
        str(network)
        for link in links
        for one in link.addresses
        if (":" in one.address) == (":" in way.client)
        and ip_address(way.client) in (network := ip_interface(f"{one.address}/{one.prefix}").network)
    ]
    client = view.evidence.deployment.client
    asks = client is not None and canonical(client.address) == canonical(way.client)
    if not way.real or entry is None or entry.state not in _TRIED or (networks and not asks):
        return None
    if networks:
        return (
            f"{view.name} takes the client {way.client} for a neighbour on {way.interface}, whose network is "
            f"{networks[0]}, and nobody answers for it there: replies from {way.vip} are lost.",
            f"from {way.vip} to {way.client}: {shown(way)}; ip neigh there: {way.client} {entry.state}",
            f"Give the network of {way.interface} on {view.name} another range than {networks[0]}: clients have "
            "addresses of it.",
        )
    return (
        f"{view.name} sends its replies from {way.vip} to the client {way.client} straight onto "
        f"{way.interface}{_table(way)}, where nobody answers for that address.",
        f"from {way.vip} to {way.client}: {shown(way)}; ip neigh there: {way.client} {entry.state}",
        _leave(view, way),
    )


def _freed(view: ServerView, way: ClientWay, whose: str) -> str:
    """The command that takes the gateway's address off another server that has it; empty: none has."""
    facts = view.evidence.observed.servers.get(whose)
    for link in facts.interfaces if facts is not None else ():
        entry = link.has(way.gateway)
        if entry is not None:
            return f"On {whose}: ip addr del {way.gateway}/{entry.prefix} dev {shlex.quote(link.name)}"
    return ""


def _shared_link(view: ServerView, way: ClientWay) -> bool:
    """Whether the director's who-has for the gateway says something: it is in the network of the RIP. Routers may pass
    over questions from addresses of other networks."""
    if view.nic is None or way.interface != view.nic.name:
        return False
    gateway = ip_address(way.gateway)
    rips = {canonical(rip) for rip in view.rips}
    networks = [ip_interface(f"{one.address}/{one.prefix}") for one in view.nic.addresses]
    return any(gateway in one.network for one in networks if str(one.ip) in rips)


def _banned(view: ServerView, way: ClientWay) -> bool:
    """Whether the route refuses this one address, as one who misbehaved is shut out; the client host never is that."""
    client = view.evidence.deployment.client
    if client is not None and client.address == way.client:
        return False
    words = way.refusing.split()
    return len(words) > 1 and words[1].partition("/")[0] == way.client


def neighbour(view: ServerView, way: ClientWay) -> Neighbour | None:
    """The server's own entry for the gateway of a way, or for the client where it needs none."""
    looked = view.facts.linux if view.facts is not None else None
    for one in looked.neighbours if looked is not None else ():
        if one.interface == way.interface and canonical(one.address) == canonical(way.gateway or way.client):
            return one
    return None


def shown(way: ClientWay) -> str:
    """A way as `ip route get` says it."""
    via = f"via {way.gateway} " if way.gateway else ""
    table = f" table {way.table}" if way.table not in ("", "main") else ""
    return f"{via}dev {way.interface}{table}{f' mtu {way.mtu}' if way.mtu else ''}"


def _table(way: ClientWay) -> str:
    return f" (table {way.table})" if way.table not in ("", "main") else ""


def _whose(view: ServerView, found: str) -> str:
    """A machine of the deployment with this MAC other than this server; empty: none, or unknown."""
    names = sorted(view.evidence.nics.get(found, frozenset()) - {view.name})
    if names:
        return names[0]
    return "the director" if found in own_macs(view.evidence) else view.evidence.peer_macs.get(found, "")


def _leave(view: ServerView, way: ClientWay) -> str:
    six = "-6 " if ":" in way.vip else ""
    router, name = _router(view, way)
    nic = shlex.quote(name)
    if way.table not in ("", "main"):
        return f"On {view.name}: ip {six}route replace default via {router} dev {nic} table {shlex.quote(way.table)}"
    return f"On {view.name}: ip {six}route replace default via {router} dev {nic}"


def _router(view: ServerView, way: ClientWay) -> tuple[str, str]:
    """Another gateway that is there, and its interface: the server's default one or the director's behind the same
    interface, else the director's behind the one that its packets come in by."""
    family = 6 if ":" in way.vip else 4
    director = view.evidence.observed.director
    known = [
        route.gateway
        for route in (view.facts.default_routes if view.facts else ())
        if route.family == family and route.interface == way.interface
    ]
    shared = [route.gateway for route in director.default_routes if route.family == family] if director else []
    nic = view.nic.name if view.nic is not None else ""
    places = [(one, way.interface) for one in known] + [(one, nic) for one in shared if nic]
    dead = canonical(way.gateway) if way.gateway else ""
    there = (place for place in places if place[0] and canonical(place[0]) != dead)
    return next((place for place in there if view.evidence.owner(place[0]).where), ("<router>", way.interface))


def _kind(way: ClientWay) -> str:
    rule = way.refusing.partition(":")[0].isdigit() and ":" in way.refusing
    return f"a {way.state} {'rule' if rule else 'route'}"


def _undone(way: ClientWay) -> str:
    """The command that takes the route or rule away which refuses."""
    six = "-6 " if ":" in way.vip else ""
    number, colon, _ = way.refusing.partition(":")
    if colon and number.isdigit():
        return f"ip {six}rule del pref {number}"
    words = way.refusing.split()
    kept = words[:2]
    for key in ("table", "metric"):
        if key in words[:-1]:
            kept += [key, words[words.index(key) + 1]]
    return f"ip {six}route del {' '.join(map(shlex.quote, kept))}"
