"""The checks of a conversation with each real server's application: whether it says anything, and whether a packet of
full size gets to it.

Both are judged by comparison within one look: what every server leaves unanswered may be an application that waits for
a request unknown here, and what one server leaves unanswered, twice, while others answer the same, is its fault.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.answers import Sized, Talked
from dsrwizard.core.model.causes import STOPS
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.values import canonical, endpoint

TWICE = 2
"""Conversations that must end alike before anybody is convicted."""


def answering(view: ServerView, faults: Found, views: Sequence[ServerView]) -> list[Check]:
    """`vip.answer` and `vip.size` for every VIP and TCP service that was talked to; `views` are all servers."""
    checks: list[Check] = []
    for vip in view.vips:
        for service in vip.services:
            talked = view.talked(vip, service)
            if talked is None or talked.result in ("unopened", "unknown"):
                continue
            others = [
                found
                for one in views
                if one is not view and (found := one.talked(vip, service)) is not None
            ]  # fmt: skip
            checks.append(_answer(view, faults, vip, service, talked, others))
            if talked.large is not None:
                checks.append(_size(view, faults, vip, service, talked, others))
    return checks


def sizes(view: ServerView, faults: Found, views: Sequence[ServerView]) -> list[Check]:
    """`server.size` of each RIP that was sent echoes of full size; they go both ways, so that after the conversation
    what is lost is the way back."""
    return [_echo(view, faults, views, rip, one) for rip in view.rips if (one := _sized(view, rip)) is not None]


def _sized(view: ServerView, rip: str) -> Sized | None:
    return view.evidence.sized.get(canonical(rip))


def _echo(view: ServerView, faults: Found, views: Sequence[ServerView], rip: str, one: Sized) -> Check:
    name = view.name
    where = Where(check="server.size", host=name)
    if one.answered:
        return where.passed(
            f"Packets of full size pass between the director and {name} both ways.", f"{one.size} bytes"
        )
    seen = f"{one.lost} echoes of {one.size} bytes to {rip} without an answer; small ones are answered"
    known = faults.out_of_reach(name) or faults.find(name, "path-mtu")
    if known is not None:
        return where.follows(known, evidence=seen)
    others = [
        found for other in views if other is not view for at in other.rips if (found := _sized(other, at)) is not None
    ]
    passed = [found for found in others if found.answered and found.size >= one.size]
    if passed and one.lost >= TWICE and not view.platform.echoes_stopped(view, rip, one.size):
        return faults.fail(
            where, Fault(host=name, cause="path-mtu"), sentences.large_replies_lost(name, one.size),
            f"{seen}; other servers answered theirs", sentences.find_mtu(name), shared=True,
        )  # fmt: skip
    message = f"Replies of full size from {name} do not seem to arrive, or a filter drops large echoes."
    check = where.unknown(message, seen, f"On {name}: ping -M do -s {one.size - 28} to the director, and back.")
    return faults.doubt(check) if passed else check


def _answer(
    view: ServerView, faults: Found, vip: Vip, service: Service, talked: Talked, others: Sequence[Talked]
) -> Check:
    name, target = view.name, f"{vip.address} {service.label}"
    where = Where(check="vip.answer", host=name, vip=vip.address, service=service.label)
    asked = f"asked in {talked.asked}" if talked.asked else "its greeting was waited for"
    if talked.result == "answered":
        took = "" if talked.milliseconds is None else f", first byte after {talked.milliseconds:.1f} ms"
        return where.passed(f"The application behind {target} on {name} answers.", f"{asked}{took}")
    ended = {
        "hung": f"it took the connection and said nothing for {talked.waited:.0f} s",
        "closed": "it closed the connection without a word",
        "reset": "it reset the connection",
    }[talked.result]
    seen = f"{asked}: {ended}" + (f", {talked.tries} times" if talked.tries > 1 else "")
    known = faults.find(name, *STOPS, vip=vip.address, service=service.label)
    if known is not None:
        return where.follows(known, evidence=seen)
    answered = [one for one in others if one.result == "answered"]
    if answered and talked.result == "hung" and talked.tries >= TWICE:
        return faults.fail(
            where, Fault(host=name, cause="service-hung", service=service.label),
            sentences.service_hung(name, service),
            f"{seen}; {len(answered)} other server{'s' if len(answered) > 1 else ''} answered the same at once",
            sentences.restart_service(name, service),
        )  # fmt: skip
    decide = f"Open {endpoint(vip.address, service.port)} from a client as its users do, until {name} has answered."
    if answered:
        return faults.doubt(
            where.unknown(f"The application behind {target} on {name} said nothing to the director, others did.", seen,
                          decide)
        )  # fmt: skip
    if talked.asked and talked.result == "hung":
        return faults.doubt(
            where.unknown(
                f"The application behind {target} on {name} did not answer {talked.asked}: it may be another protocol, "
                "or hang.", seen, decide,
            )
        )  # fmt: skip
    if talked.result != "hung":
        return where.skipped(
            f"The application behind {target} on {name} is there, but has no words for the director.", seen
        )
    return where.skipped(
        f"The application behind {target} waits for its client to speak, so {name} was not heard.", seen
    )


def _size(
    view: ServerView, faults: Found, vip: Vip, service: Service, talked: Talked, others: Sequence[Talked]
) -> Check:
    name = view.name
    where = Where(check="vip.size", host=name, vip=vip.address, service=service.label)
    if talked.large:
        return where.passed(f"Packets of full size reach {name} at {vip.address}.", f"{talked.size} bytes")
    lost = f"{3 * talked.tries} packets of {talked.size} bytes to {vip.address} through {name} were lost"
    seen = f"{lost}; small ones arrived"
    known = faults.find(name, "path-mtu", *STOPS, vip=vip.address, service=service.label)
    if known is not None:
        return where.follows(known, evidence=seen)
    passed = [one for one in others if one.large and one.size >= talked.size]
    if passed and talked.tries >= TWICE:
        return faults.fail(
            where, Fault(host=name, cause="path-mtu"),
            sentences.large_lost(name, talked.size), f"{seen}; other servers got theirs", sentences.find_mtu(name),
            shared=True,
        )  # fmt: skip
    return faults.doubt(
        where.unknown(
            f"Packets of full size do not seem to reach {name} at {vip.address}.", seen,
            f"From the director: ping -M do -s {talked.size - 28} {view.rip_for(vip)}",
        )
    )  # fmt: skip
