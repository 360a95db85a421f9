"""The client-like probe and the half-open 2×2: whether clients get in, and whether the answers reach them.

What the plain VIP probe cannot see, because it comes from a neighbour: reverse-path filtering, filters by source, and a
network that drops frames with a client's address or replies that carry the VIP (field guide, probes D and E, A7, B3).
"""

from __future__ import annotations

import msgspec

from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.handshakes import Traffic
from dsrwizard.core.diagnosis.linux.settings import filtered
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.dialects.linux.half_open import REVERSE_PATH
from dsrwizard.core.model.causes import STOPS, Cause
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical, endpoint

_MISDIRECTS: tuple[Cause, ...] = ("ipvs-differs", "duplicate-vip", "spoof-filter")
"""Causes on the director that send a handshake elsewhere."""
_EMITS_FIX = (
    "Allow the director's port to send from any address (port security, IP source guard, SpoofGuard, "
    "source/destination check): direct routing passes clients' packets on with the clients' addresses."
)


def client_like(view: ServerView, faults: Found, emits: frozenset[int]) -> list[Check]:
    """`probe.client_like` for every VIP and TCP service. `emits`: the families (4, 6) in which a client-like SYN has
    arrived at some real server."""
    checks: list[Check] = []
    for vip in view.vips:
        for service in vip.services:
            if service.protocol == "tcp" and view.rip_for(vip) is not None:
                checks += _client_like(view, faults, vip, service, emits)
    return checks


def emits(views: list[ServerView]) -> frozenset[int]:
    """The families in which the director's link lets frames with a client's address out: some server had one."""
    return frozenset(family for family in (4, 6) if any(view.accepts(family) for view in views))


def _client_like(view: ServerView, faults: Found, vip: Vip, service: Service, emits: frozenset[int]) -> list[Check]:
    name = view.name
    where = Where(check="probe.client_like", host=name, vip=vip.address, service=service.label)
    fate, seen = view.fate(vip, service), _seen(view, vip, service)
    target = f"{vip.address} {service.label}"
    if fate == "accepted":
        return [where.passed(f"{name} accepts clients from other networks at {target}.", seen)]
    if fate == "filtered":
        fault = faults.find(name, "gateway") if view.way(4, vip) is None else None
        return [where.follows(fault, evidence=seen) if fault else filtered(view, faults, where, vip, seen)]
    known = faults.out_of_reach(view.name) or faults.find(name, *STOPS, vip=vip.address, service=service.label)
    if known:
        return [where.follows(known, evidence=seen)]
    if fate in ("unsent", "unseen"):
        return [_unseen(view, where, vip, service)]
    if not view.good(vip, service):
        return [
            where.unknown(
                f"Could not check whether {name} accepts clients from other networks at {target}: the plain probe did "
                "not succeed either.", seen, "See vip.probe of the same server.",
            )
        ]  # fmt: skip
    if not view.serves_itself(vip, service):
        return [
            where.unknown(
                f"Could not check whether {name} accepts clients from other networks at {target}: no socket of its own "
                "serves it, so what is half-open shows in a container or on another host.", seen,
                f"Open {endpoint(vip.address, service.port)} from a client in another network.",
            )
        ]  # fmt: skip
    return _lost(view, faults, where, vip, service, emits, seen)


def _lost(
    view: ServerView, faults: Found, where: Where, vip: Vip, service: Service, emits: frozenset[int], seen: str
) -> list[Check]:
    """A neighbour's SYN is answered and a client's leaves no trace: dropped by this server where others get theirs,
    by the director's own port where nobody does."""
    name, family = view.name, vip.ip.version
    if family in emits:
        rules = view.platform.rules_seen(view, vip, service)
        return [
            faults.fail(
                where, Fault(host=name, cause="firewall", vip=vip.address, service=service.label),
                f"A firewall on {name} allows its neighbours but no clients from other networks at {service.label}.",
                f"{seen}; other real servers get such packets through the same port of the director"
                f"{f'; {rules}' if rules else ''}",
                view.platform.opening(view, vip, service),
                shared=True,
            )
        ]  # fmt: skip
    fault = Fault(host=DIRECTOR, cause="spoof-filter")
    known = faults.find(DIRECTOR, "spoof-filter")
    if known is None:
        at_director = Where(check=where.check, host=DIRECTOR, vip=vip.address, service=service.label, server=name)
        failed = faults.fail(
            at_director, fault,
            "Frames with a client's address as source do not reach the real servers from the director: the network "
            "drops them.", seen, _EMITS_FIX,
        )  # fmt: skip
        return [failed, where.follows(fault, evidence=seen)]
    return [where.follows(known, evidence=seen)]


def _unseen(view: ServerView, where: Where, vip: Vip, service: Service) -> Check:
    name = view.name
    message = f"Could not check whether {name} accepts clients from other networks at {vip.address} {service.label}."
    looked = view.evidence.client_like.get(name)
    found = looked.last(canonical(vip.address), service.port) if looked else None
    if found is not None and not found[0].problem:
        return where.unknown(
            message, f"{name} cannot list its connections of IPv6",
            f"Open {endpoint(vip.address, service.port)} from a client in another network.",
        )  # fmt: skip
    if found is not None:
        return where.unknown(message, found[0].problem, "Run dsrwizard as root or with CAP_NET_RAW on the director.")
    if looked is not None and looked.problem:
        return where.unknown(message, looked.problem, looked.next or "Verify again.")
    return where.unknown(
        message, "there is no login to check from",
        f"Give dsrwizard a login on {name}, or open {endpoint(vip.address, service.port)} from a client in another "
        "network.",
    )  # fmt: skip


def _seen(view: ServerView, vip: Vip, service: Service) -> str:
    """The SYN and what the server's own counts say of it."""
    looked = view.evidence.client_like.get(view.name)
    found = looked.last(canonical(vip.address), service.port) if looked else None
    if found is None or found[0].problem:
        return ""
    sent, one = found
    text = f"SYN from {endpoint(sent.source, sent.source_port)} to {endpoint(vip.address, service.port)} via {sent.mac}"
    match one.fate(sent):
        case "accepted":
            return f"{text}: {'half-open there' if one.half_open(sent) else 'answered, as the counters there say'}"
        case "filtered":
            before, after = one.look.before.get(REVERSE_PATH), one.look.after.get(REVERSE_PATH)
            return f"{text}: not half-open there, {REVERSE_PATH} went from {before} to {after}"
        case _:
            return f"{text}: not half-open there, and no counter rose"


# -- clients' own connections


def half_open(view: ServerView, faults: Found) -> list[Check]:
    """`server.half_open` for every VIP and TCP service; run after all others, because what they found explains it."""
    return [
        _half_open(view, faults, vip, service, rip)
        for vip in view.vips
        if (rip := view.rip_for(vip)) is not None
        for service in vip.services
        if service.protocol == "tcp"
    ]


def _half_open(view: ServerView, faults: Found, vip: Vip, service: Service, rip: str) -> Check:
    evidence, name = view.evidence, view.name
    where = Where(check="server.half_open", host=name, vip=vip.address, service=service.label)
    if evidence.deployment.director.engine == "external":
        return where.skipped("Another product is the load balancer; its connection table is not on this machine.")
    if evidence.traffic is None or evidence.traffic_problem:
        return where.unknown(
            f"Could not read the clients' connections through {name}.",
            evidence.traffic_problem or "nobody looked",
            "On the director, as root: ipvsadm -Lnc",
        )  # fmt: skip
    key = (canonical(rip), canonical(vip.address), service.port)
    traffic = evidence.traffic.get(key, Traffic(connections=0))
    seen = _counts(traffic, name)
    away = faults.out_of_reach(view.name)
    if traffic.verdict == "quiet" and away:
        return where.follows(away)
    if traffic.verdict == "quiet":
        return where.skipped(f"No client is connected to {vip.address} {service.label} through {name} now.")
    if traffic.verdict == "fine":
        return where.passed(f"Clients' handshakes with {name} do not hang.", seen)
    known = faults.find(name, *STOPS, vip=vip.address, service=service.label) or _misdirected(faults, view, vip)
    if known:
        return where.follows(known, f"clients' handshakes with {name} hang.", seen)
    # Those that a filter on the server's own way out drops are soon forgotten there: few are half-open then.
    accepted = view.fate(vip, service) == "accepted"
    if traffic.verdict == "return" or (traffic.verdict == "unclear" and accepted):
        return faults.fail(
            where, Fault(host=name, cause="spoof-filter"),
            f"{name} answers clients, but its answers do not reach them: the network drops packets from the VIP.",
            seen,
            f"Allow the port of {name} to send from {vip.address} (port security, IP source guard, SpoofGuard, "
            "source/destination check). An outbound filter has the same symptoms.",
            shared=True,
        )  # fmt: skip
    plain = view.good(vip, service) and view.serves_itself(vip, service)
    if traffic.verdict == "forward" and plain and not accepted:
        return faults.fail(
            msgspec.structs.replace(where, host=DIRECTOR, server=name), Fault(host=DIRECTOR, cause="spoof-filter"),
            f"Clients' packets do not reach {name} from the director: the network drops frames with their addresses.",
            seen, _EMITS_FIX, shared=True,
        )  # fmt: skip
    return where.unknown(
        f"Clients' handshakes with {name} hang; the place could not be determined.", seen,
        view.advice.see_handshakes(vip, service),
    )  # fmt: skip


def _misdirected(faults: Found, view: ServerView, vip: Vip) -> Fault | None:
    """What on the director keeps clients' packets from this server."""
    return next(
        (
            fault
            for fault in faults.of(DIRECTOR)
            if fault.cause in _MISDIRECTS and fault.server in ("", view.name) and fault.touches(vip.address)
        ),
        None,
    )


def _counts(traffic: Traffic, name: str) -> str:
    """The 2×2 in numbers."""
    text = f"connections at the director: {traffic.connections}"
    if not traffic.waiting:
        return text
    text += f", {traffic.waiting} waiting for the client's answer, {traffic.completed} completed during the check"
    return text if traffic.arrived is None else f"{text}, half-open on {name}: {traffic.arrived}"
