"""The check `director.filter`: whether a packet filter of the director stops clients' packets before or after IPVS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_interface, ip_network

from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.filter_fix import admitting, removing, undo
from dsrwizard.core.diagnosis.filter_match import ClientPacket
from dsrwizard.core.diagnosis.filter_walk import Followed, Hit, fate
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.director_facts import ROOT_ALONE
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical

ServicePlace = tuple[Vip, Service]
_SHOWN = 3
_SENDER = re.compile(r"(?<!! )(?:-s|\bip6? saddr) (\S+)")


def filters(evidence: Evidence, faults: Found) -> list[Check]:
    """`director.filter` for every service; nothing where nobody looked."""
    look = evidence.director_look
    if look is None:
        return []
    if look.chains is None:
        where = Where(check="director.filter", host=DIRECTOR)
        if look.chains_problem == ROOT_ALONE:
            return [where.skipped("The packet filter of the director was not looked at.", ROOT_ALONE)]
        unread = where.unknown(
            "The packet filter of the director could not be read, so it may drop clients' packets.",
            look.chains_problem, "Run dsrwizard as root, and compare with: iptables-save -c; nft list ruleset",
        )  # fmt: skip
        # A client host that is answered shows that it is let in; without one nobody knows.
        return [unread if isinstance(evidence.client, ClientView) else faults.doubt(unread)]
    every = [(vip, service) for vip in evidence.deployment.vips for service in vip.services]
    judged = [(place, _fates(evidence, *place)) for place in every]
    alike: dict[tuple[Hit, ...], list[ServicePlace]] = {}
    for place, found in judged:
        if hits := _hits(found):
            alike.setdefault(hits, []).append(place)
    filtering = any(chain.hook for chain in look.chains)
    checks = []
    for place, found in judged:
        hits = _hits(found)
        if hits:
            checks.append(convict(evidence, faults, place, alike[hits], hits))
        else:
            checks.append(_open(evidence, faults, place, found, filtering))
    return checks


def packet_of(evidence: Evidence, vip: Vip, service: Service, client: str = "", interface: str = "") -> ClientPacket:
    """The first packet of a client's connection as it comes in."""
    return ClientPacket(
        family=6 if vip.ip.version == 6 else 4, vip=canonical(vip.address), protocol=service.protocol,
        port=service.port, client=client, own=farm(evidence),
        incoming=interface or evidence.deployment.director.interface, home=_home(evidence, client),
    )  # fmt: skip


def _home(evidence: Evidence, client: str) -> str:
    """The interface by which the director would reply to a client."""
    look = evidence.director_look
    way = look.ways.get(canonical(client)) if look is not None and client else None
    return way.interface if way is not None and way.kind == "unicast" else ""


def follow(evidence: Evidence, packet: ClientPacket) -> Followed:
    """What the director's filters make of it."""
    look = evidence.director_look
    tracked = bool(look) and look.settings.get("net.ipv4.vs.conntrack") == "1" if look else False
    chains = (look.chains if look else None) or ()
    return fate(chains, packet, evidence.deployment.director.interface, tracked=tracked)


def farm(evidence: Evidence) -> frozenset[str]:
    """Addresses of the farm's own machines."""
    found = {canonical(rip) for one in evidence.deployment.servers for rip in (one.address, one.address6) if rip}
    links = evidence.observed.director.interfaces if evidence.observed.director else ()
    return frozenset(found | {canonical(entry.address) for link in links for entry in link.addresses})


def clients(evidence: Evidence, vip: Vip) -> tuple[str, ...]:
    """Addresses of the client host as the director sees them: those it connected from, where they came in so."""
    view = evidence.client
    if not isinstance(view, ClientView):
        return ()
    seen = view.of(vip)
    told = {canonical(one.client) for one in seen.tries if one.client} if seen else set()
    arrived = {canonical(one.client) for one in evidence.arrivals.seen} if evidence.arrivals else set()
    return tuple(sorted(told & arrived or told))


def _fates(evidence: Evidence, vip: Vip, service: Service) -> list[Followed]:
    """Of the client host's packets, or where there is none of some client's."""
    known = clients(evidence, vip) or ("",)
    return [follow(evidence, packet_of(evidence, vip, service, one)) for one in known]


def _hits(found: Iterable[Followed]) -> tuple[Hit, ...]:
    return tuple(dict.fromkeys(hit for one in found for hit in one.hits))


def _where(place: ServicePlace) -> Where:
    return Where(check="director.filter", host=DIRECTOR, vip=place[0].address, service=place[1].label)


def _near(evidence: Evidence, rule: str) -> bool:
    """Whether a rule lets in senders of the director's own networks alone."""
    senders = _SENDER.findall(rule)
    links = evidence.observed.director.interfaces if evidence.observed.director else ()
    own = [ip_interface(f"{entry.address}/{entry.prefix}").network for link in links for entry in link.addresses]
    try:
        asked = [ip_network(sender, strict=False) for sender in senders]
    except ValueError:
        return False
    return bool(asked) and all(
        any(one.version == net.version and one.subnet_of(net) for net in own)  # type: ignore[arg-type]
        for one in asked
    )


def _open(evidence: Evidence, faults: Found, place: ServicePlace, found: Iterable[Followed], filtering: bool) -> Check:
    where, target = _where(place), f"{place[0].address} {place[1].label}"
    perhaps = next((one for one in found if one.perhaps), None)
    if perhaps is not None and all(_near(evidence, text) for text in perhaps.lets):
        fixes = dict.fromkeys(_fix(evidence, hit, *place) for hit in perhaps.perhaps)
        return faults.doubt(
            where.unknown(
                f"The packet filter of the director lets nobody in to {target} but machines of its own networks.",
                f"{perhaps.perhaps[0].text}; before it: {_listed(perhaps.lets)}",
                f"If clients are elsewhere, on the director: {' && '.join(fixes)}",
            )
        )
    if perhaps is not None:
        return where.unknown(
            f"It depends on the client whether the packet filter of the director lets it in to {target}.",
            f"{perhaps.perhaps[0].text}; before it: {_listed(perhaps.lets)}",
            "Name a client host in the deployment, and verify again: then its own packets decide.",
        )
    some = [hit for one in found for hit in one.some]
    if not filtering:
        return where.passed("No packet filter runs on the director.")
    return where.passed(
        f"The packet filter of the director lets clients in to {target}.",
        f"not for all: {_listed(hit.text for hit in some)}" if some else "",
    )


def convict(
    evidence: Evidence, faults: Found, place: ServicePlace, alike: Sequence[ServicePlace], hits: Sequence[Hit]
) -> Check:
    """The failing check of rules that take a service's packets; `alike` are all that the same rules take them from."""
    vip, service = place
    one = len(alike) == 1
    first = hits[0]
    what = f"clients' packets to {vip.address} {service.label}"
    if not one:
        what = f"clients' packets to {', '.join(f'{vip.address} {service.label}' for vip, service in alike)}"
    part = "a part of " if all(hit.random for hit in hits) else ""
    verb = "sends" if first.kind == "elsewhere" else "drops"
    end = " elsewhere" if first.kind == "elsewhere" else ""
    counted = "; ".join(
        f"{hit.text}" + (f" ({hit.packets} packets so far)" if hit.packets is not None else "") for hit in hits[:_SHOWN]
    )
    fixes = list(dict.fromkeys(_fix(evidence, hit, *other) for hit in hits for other in alike))
    of = {vip.address for vip, _ in alike}
    fault = Fault(
        host=DIRECTOR, cause="firewall", vip=of.pop() if len(of) == 1 else "", service=service.label if one else "",
    )  # fmt: skip
    return faults.fail(
        _where(place), fault,
        f"The packet filter of the director {verb} {part}{what}{end}.", counted,
        f"On the director: {' && '.join(fixes)}{undo(fixes)}",
    )  # fmt: skip


def _listed(texts: Iterable[str]) -> str:
    every = list(dict.fromkeys(texts))
    more = f" and {len(every) - _SHOWN} more" if len(every) > _SHOWN else ""
    return "; ".join(every[:_SHOWN]) + more


def _fix(evidence: Evidence, hit: Hit, vip: Vip, service: Service) -> str:
    """One command that lets this service in and changes nothing else."""
    packet = packet_of(evidence, vip, service)
    return removing(hit, packet) or admitting(hit, packet, evidence.deployment.director.interface)
