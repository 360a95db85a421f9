"""The check `client.bypass`: whether replies reach the client without the director, and how much traffic that is.

Three witnesses. Frames: on the client's own link the sender's MAC says it at once; behind a router only how many hops a
reply took, against the director's own answer to the ping: a reply that passed the director took one more. IPVS counts
replies that come back through it, as with masquerading (NAT). Its count of zero alone proves nothing, for in direct
routing it counts none even where the director would forward them.
"""

from __future__ import annotations

import re

from dsrwizard.core.diagnosis.balancing import strangers
from dsrwizard.core.diagnosis.client_answers import Served
from dsrwizard.core.diagnosis.evidence import Evidence, director_macs, mac
from dsrwizard.core.diagnosis.found import Fault
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import ClientView, Reply, Tried
from dsrwizard.core.model.snapshot import Bypass
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical

_FRAME = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5} \(([^() ]+)\)")
"""A MAC and the real server that has it."""
STARTS = (64, 128, 255)
"""TTLs and hop limits that hosts send with (Linux and BSD, Windows, network gear)."""


def bypass(served: Served) -> Check:
    """`client.bypass` of one service."""
    where = served.where("client.bypass")
    answered = [one for one in served.tries if one.result == "open" and one.client_port not in served.passage.missing]
    if not answered:
        return where.skipped(f"No connection to {served.target} was answered through the director: no reply to check.")
    counted = _counted(served)
    grown = [rip for rip, count in served.passage.grown.items() if count > 0 and _replied(served, rip)]
    if grown:
        return _through(served, ", ".join(map(served.name, grown)), "IPVS counted their replies during the look")
    framed = [one for one in answered if one.replies]
    unseen = f"Could not check on the client host whether the replies of {served.target} bypass the director."
    if not framed:
        return where.unknown(
            unseen, _joined(served.seen.untapped or "No reply frames were captured.", counted),
            "Install python3 on the client host, and log in as root or as a user with sudo.",
        )  # fmt: skip
    names = _names(served, framed)
    macs = {mac(reply.mac) for one in framed for reply in one.replies if reply.mac}
    own = _director(served)
    if macs & own:
        mine = ", ".join(sorted(macs & own))
        return _through(served, names, _joined(f"reply frames from {mine}, the director's MAC", counted))
    if own and macs and served.seen.on_link:
        by = ", ".join(f"{one} ({_owner(served, one)})" for one in sorted(macs))  # `witnesses` reads it
        return where.passed(
            f"Replies of {served.target} bypass the director.", _joined(f"reply frames from {by}", counted)
        )
    replies = [reply for one in framed for reply in one.replies]
    return _by_hops(served, unseen, names, replies, counted)


def _by_hops(served: Served, unseen: str, names: str, replies: list[Reply], counted: str) -> Check:
    where, ttl = served.where("client.bypass"), served.seen.ttl
    took = sorted({reply.ttl for reply in replies})
    seen = f"replies of {names} arrive with TTL {', '.join(map(str, took))}"
    if ttl is None:
        return where.unknown(
            unseen, _joined(f"{seen}; the director's own TTL is not known", counted),
            f"Let {served.vip.address} answer ping: its TTL shows how far away the director is.",
        )  # fmt: skip
    seen += f", the director's own answer to ping with {ttl}"
    if max(map(hops, took)) <= hops(ttl):
        return where.passed(
            f"Replies of {served.target} bypass the director: they take no more hops than the director's own answers.",
            _joined(f"{seen}; through the director the TTL would be one less", counted),
        )
    translated = [view.name for view in served.expected.values() if not view.serves_itself(served.vip, served.service)]
    if translated:
        return where.unknown(
            unseen,
            _joined(f"{seen}: a container or another translation on {', '.join(translated)} takes a hop, too", counted),
            f"On the director: tcpdump -ni {served.evidence.deployment.director.interface} src {served.vip.address} "
            "shows any reply that passes it.",
        )  # fmt: skip
    return where.unknown(
        unseen, _joined(f"{seen}: they take another path, which may lead through the director", counted),
        f"Check the default gateways of {names}.",
    )  # fmt: skip


def _replied(served: Served, rip: str) -> bool:
    """Whether what IPVS counted of a real server may be replies: where it cannot be reached, the director's own errors
    of ICMP to the client are counted, too (kernel ip_vs_core.c, handle_response_icmp)."""
    tries = served.of(rip)
    if tries and all(one.result != "open" for one in tries):
        return False
    return served.faults.out_of_reach(served.name(rip)) is None or bool(tries)


def _through(served: Served, names: str, evidence: str) -> Check:
    """Replies do come through the director."""
    where = served.where("client.bypass")
    message = f"Replies of {served.target} come back through the director ({names})."
    fault = _explains(served)
    if fault is not None:
        return where.follows(fault, message, evidence)
    return where.result(
        "fail", message, evidence,
        "Let the real servers' default gateway be the router, and IPVS forward by direct routing (dr).",
    )  # fmt: skip


def _explains(served: Served) -> Fault | None:
    for view in served.expected.values():
        # A server behind a router: the router returns the packets to the VIP's owner, and IPVS counts them again.
        fault = served.faults.find(
            view.name, "gateway", "not-on-link", vip=served.vip.address, service=served.service.label
        )
        if fault is not None:
            return fault
    by_router = served.faults.find(DIRECTOR, "not-on-link")  # of the director's own routes: the same happens
    return by_router or served.faults.find(
        DIRECTOR, "ipvs-differs", vip=served.vip.address, service=served.service.label
    )


def carried(evidence: Evidence, proved: set[tuple[str, str]]) -> Bypass | None:
    """Payload bytes of the client host's connections to services whose replies are `proved` (VIP, label) to bypass the
    director; None where nobody counted any."""
    if not isinstance(evidence.client, ClientView):
        return None
    ports = {(canonical(vip), label) for vip, label in proved}
    counted: list[Tried] = [
        one
        for seen in evidence.client.vips
        for one in seen.tries
        if (canonical(seen.vip), f"tcp/{one.port}") in ports
        and one.result == "open"
        and one.sent is not None
        and one.received
    ]
    sent, received = sum(one.sent or 0 for one in counted), sum(one.received or 0 for one in counted)
    return Bypass(request_bytes=sent, reply_bytes=received, at=evidence.client.at) if sent else None


def witnesses(check: Check) -> frozenset[str]:
    """The real servers whose reply frames a `client.bypass` that passed saw, by their own MAC; empty where it was not
    the frames that told."""
    if check.outcome != "pass":
        return frozenset()
    return frozenset(_FRAME.findall(check.evidence.partition("reply frames from ")[2].partition(";")[0]))


def hops(ttl: int) -> int:
    """How many routers a packet has passed, by the TTL it has left."""
    return next(start for start in STARTS if ttl <= start) - ttl


def _director(served: Served) -> frozenset[str]:
    if not served.evidence.deployment.director.in_kernel:
        named = frozenset(strangers(served.evidence, served.vip, served.views))
        told = served.evidence.owner(served.vip.address).told
        return named | {mac(one.by) for one in told if mac(one.mac) in named}
    return director_macs(served.evidence)


def _owner(served: Served, found: str) -> str:
    return next((one.name for one in served.views if mac(found) in one.macs), "not the director's")


def _names(served: Served, framed: list[Tried]) -> str:
    given = {served.passage.given[one.client_port] for one in framed if one.client_port in served.passage.given}
    return ", ".join(sorted(map(served.name, given))) or "the real servers"


def _counted(served: Served) -> str:
    """What IPVS says, where it says anything."""
    replies = served.passage.replies
    if not replies:
        return ""
    total = sum(replies.values())
    return "IPVS has counted no reply" if not total else f"IPVS has counted {total} reply packets, none of them now"


def _joined(*parts: str) -> str:
    return "; ".join(part for part in parts if part)
