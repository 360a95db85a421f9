"""The client-like probe and the half-open 2×2: whether clients get in, and whether the answers reach them.

What the plain VIP probe cannot see, because it comes from a neighbour: reverse-path filtering, filters by source, and a
network that drops frames with a client's address or replies that carry the VIP (field guide, probes D and E, A7, B3).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.handshakes import Traffic
from dsrwizard.core.diagnosis.linux.settings import filtered
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.dialects.linux.half_open import REVERSE_PATH
from dsrwizard.core.model.causes import STOPS, Cause
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.steps import CLIENT, DIRECTOR
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
    known = faults.out_of_reach(view.name) or faults.find(name, *STOPS, vip=vip.address, service=service.label)
    if fate == "lost" and known:
        return [where.follows(known, evidence=seen)]
    met = view.met(vip, service)
    if fate in ("lost", "filtered") and met:
        return [
            where.passed(
                f"{name} serves clients from other networks at {target}; it only drops the address of this probe.",
                f"{met}; {seen}",
            )
        ]
    if fate == "filtered":
        return [_filtered(view, faults, where, vip, service, seen)]
    if known:
        return [where.follows(known, evidence=seen)]
    if fate in ("unsent", "unseen"):
        cut_off = faults.cut_off(name) if view.facts is None else None
        return [where.follows(cut_off) if cut_off else _unseen(view, where, vip, service)]
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
    if not view.asked_as_client(vip, service):
        return [_untold(view, faults, where, vip, service, emits, seen)]
    return _lost(view, faults, where, vip, service, emits, seen)


def _filtered(view: ServerView, faults: Found, where: Where, vip: Vip, service: Service, seen: str) -> Check:
    """Its reverse-path filter dropped the SYN. That of a documentation address counts where the settings say the same
    of every client: a host may well have no way to such an address alone."""
    way = view.way(4, vip)
    if way is None and (fault := faults.find(view.name, "gateway")) is not None:
        return where.follows(fault, evidence=seen)
    strict = view.setting("rp_filter") == 1 and way is not None and view.nic is not None
    if view.asked_as_client(vip, service) or (strict and way and view.nic and way.interface != view.nic.name):
        return filtered(view, faults, where, vip, seen)
    return faults.doubt(
        where.unknown(
            f"{view.name} drops a SYN from a documentation address by its reverse-path filter; whether it drops "
            "clients could not be checked.", seen, _decide(view, vip, service),
        )
    )  # fmt: skip


def _untold(
    view: ServerView, faults: Found, where: Where, vip: Vip, service: Service, emits: frozenset[int], seen: str
) -> Check:
    """A neighbour's SYN is answered, and one from a documentation address leaves no trace. Many hosts and networks drop
    these on purpose, so it is nobody's fault by itself."""
    name = view.name
    source = _source(view, vip, service)
    stops = view.platform.stopping(view, vip, service, source)
    message = (
        f"{name} shows no trace of a SYN from a documentation address: it filters those, or it drops clients; this "
        "probe cannot tell which."
    )
    rules = view.platform.rules_seen(view, vip, service, source) if stops not in ("none", "unknown") else ""
    check = where.unknown(message, "; ".join(filter(None, (seen, rules))), _decide(view, vip, service))
    # Where the others take it and a rule there drops more than such addresses, clients may be among what it drops.
    return faults.doubt(check) if stops in ("stops", "undecided") and vip.ip.version in emits else check


def _decide(view: ServerView, vip: Vip, service: Service) -> str:
    """What would tell whether clients get in."""
    target = endpoint(vip.address, service.port)
    return (
        "Name a [client] host in the deployment, which stands where clients stand, and verify again; or open "
        f"{target} from there until {view.name} has answered."
    )


def _source(view: ServerView, vip: Vip, service: Service) -> str:
    looked = view.evidence.client_like.get(view.name)
    found = looked.last(canonical(vip.address), service.port) if looked else None
    return found[0].source if found else ""


def _lost(
    view: ServerView, faults: Found, where: Where, vip: Vip, service: Service, emits: frozenset[int], seen: str
) -> list[Check]:
    """The SYN of a neighbour is answered, the client host's leaves no trace: this server's doing where a rule drops it;
    where no server gets any and none has such a rule, it is the director's own port."""
    name, family = view.name, vip.ip.version
    source = _source(view, vip, service)
    stops = view.platform.stopping(view, vip, service, source)
    rules = view.platform.rules_seen(view, vip, service, source)
    if stops in ("stops", "narrow"):
        return [
            faults.fail(
                where, Fault(host=name, cause="firewall", vip=vip.address, service=service.label),
                f"A firewall on {name} allows its neighbours but no clients from other networks at {service.label}.",
                "; ".join(filter(None, (seen, rules))),
                view.platform.opening(view, vip, service, source),
                shared=True,
            )
        ]  # fmt: skip
    if family in emits:
        return [
            faults.doubt(
                where.unknown(
                    f"{name} shows no trace of the client host's SYN, which other real servers take; no rule of a "
                    "packet filter that explains it is known.",
                    f"{seen}; {rules}" if stops == "undecided" else seen, view.advice.see_handshakes(vip, service),
                )
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


def half_open(views: Sequence[ServerView], faults: Found, emits: frozenset[int]) -> list[Check]:
    """`server.half_open` for every VIP and TCP service of every server; run after all others, because what they found
    explains it. `emits` as in `client_like`."""
    return [
        _half_open(view, faults, vip, service, views, emits)
        for view in views
        for vip in view.vips
        if view.rip_for(vip) is not None
        for service in vip.services
        if service.protocol == "tcp"
    ]


def _traffic(view: ServerView, vip: Vip, service: Service) -> Traffic:
    rip = view.rip_for(vip)
    key = (canonical(rip or ""), canonical(vip.address), service.port)
    return (view.evidence.traffic or {}).get(key, Traffic(connections=0))


def _hangs(view: ServerView, vip: Vip, service: Service) -> bool:
    """Whether clients' SYNs are answered on it and the answers do not reach them. Those that a filter on the server's
    own way out drops are soon forgotten there: few are half-open then."""
    found = _traffic(view, vip, service).verdict
    return found == "return" or (found == "unclear" and view.fate(vip, service) == "accepted")


def _unserved(view: ServerView, vip: Vip, service: Service) -> bool:
    """Whether most of clients' handshakes hang there, be they too few to convict it alone, and none ended well."""
    traffic = _traffic(view, vip, service)
    most = 0 < traffic.connections <= 2 * traffic.waiting
    hanging = most and not traffic.completed and not view.met(vip, service)
    return hanging or _hangs(view, vip, service)


def _half_open(
    view: ServerView, faults: Found, vip: Vip, service: Service, views: Sequence[ServerView], emits: frozenset[int]
) -> Check:
    evidence, name = view.evidence, view.name
    where = Where(check="server.half_open", host=name, vip=vip.address, service=service.label)
    if not evidence.deployment.director.in_kernel:
        return where.skipped("Another product is the load balancer; its connection table is not on this machine.")
    if evidence.traffic is None or evidence.traffic_problem:
        return where.unknown(
            f"Could not read the clients' connections through {name}.",
            evidence.traffic_problem or "nobody looked",
            "On the director, as root: ipvsadm -Lnc",
        )  # fmt: skip
    traffic = _traffic(view, vip, service)
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
    if _hangs(view, vip, service):
        return _unreturned(view, faults, where, vip, service, views, seen)
    accepted = view.fate(vip, service) == "accepted"
    plain = view.good(vip, service) and view.serves_itself(vip, service)
    if traffic.verdict == "forward" and plain and not accepted:
        source = _stopped(view, vip, service, traffic.hung or ("",))
        if source is not None:
            rules = view.platform.rules_seen(view, vip, service, source)
            return faults.fail(
                where, Fault(host=name, cause="firewall", vip=vip.address, service=service.label),
                f"A firewall on {name} allows its neighbours but no clients from other networks at {service.label}.",
                "; ".join(filter(None, (seen, rules))), view.platform.opening(view, vip, service, source), shared=True,
            )  # fmt: skip
        others = any(_traffic(one, vip, service).completed or one.met(vip, service) for one in views if one is not view)
        if vip.ip.version not in emits and not others:
            return faults.fail(
                msgspec.structs.replace(where, host=DIRECTOR, server=name), Fault(host=DIRECTOR, cause="spoof-filter"),
                f"Clients' packets do not reach {name} from the director: the network drops frames with their "
                "addresses.", seen, _EMITS_FIX, shared=True,
            )  # fmt: skip
    return faults.doubt(
        where.unknown(
            f"Clients' handshakes with {name} hang; the place could not be determined.", seen,
            view.advice.see_handshakes(vip, service),
        )
    )  # fmt: skip


def _stopped(view: ServerView, vip: Vip, service: Service, clients: Sequence[str]) -> str | None:
    """The first of these clients whose packets the server's rules surely drop; None: of none."""
    for client in clients:
        if view.platform.stopping(view, vip, service, client) in ("stops", "narrow"):
            return client
    return None


def _unreturned(
    view: ServerView, faults: Found, where: Where, vip: Vip, service: Service, views: Sequence[ServerView], seen: str
) -> Check:
    """Answers of this server do not reach clients: its own port where others' do, what lies between the farm and the
    clients where nobody's do."""
    having = [one for one in views if _traffic(one, vip, service).connections]
    if len(having) > 1 and all(_unserved(one, vip, service) for one in having):
        return faults.fail(
            msgspec.structs.replace(where, host=CLIENT), Fault(host=CLIENT, cause="spoof-filter", vip=vip.address),
            sentences.replies_lost_outside([one.name for one in having], vip.address), seen,
            sentences.REPLIES_OUTSIDE_FIX, shared=True,
        )  # fmt: skip
    if (fault := faults.find(CLIENT, "spoof-filter", vip=vip.address)) is not None:
        return where.follows(fault, evidence=seen)
    hung = _traffic(view, vip, service).hung
    own = view.platform.replies_stopped(view, faults, vip, service, where, seen, hung)
    if own is not None:
        return own
    return faults.fail(
        where, Fault(host=view.name, cause="spoof-filter"),
        f"{view.name} answers clients, but its answers do not reach them: the network drops packets from the VIP.",
        seen,
        f"Allow the port of {view.name} to send from {vip.address} (port security, IP source guard, SpoofGuard, "
        "source/destination check). An outbound filter has the same symptoms.",
        shared=True,
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
