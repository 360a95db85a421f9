"""The check `director.beside` of every other director that announces the VIPs by BGP: whether its table is the one that
this deployment has everywhere, and whether it announces.

What would have to be planned there is what differs. Directors whose tables differ send one client to different real
servers, and its connections break when the router moves them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from dsrwizard.core.diagnosis.director_bgp import announced
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.model.causes import UNPROVED, Cause
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Deployment, PeerDirector
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.steps import Step
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.director import key_of, plan_director
from dsrwizard.core.plan.spread import as_there

_APPLY = "dsrwizard apply FILE makes all directors alike."


class _Differs(msgspec.Struct, frozen=True):
    """What is other than it should be there: the cause, which VIP and service, and half a sentence."""

    cause: Cause
    words: str
    vip: str = ""
    service: str = ""


def beside(evidence: Evidence, faults: Found) -> list[Check]:
    """One check for each of them, and one more for one that does not announce."""
    director = evidence.deployment.director
    return [check for peer in director.peers if director.spread for check in _of(evidence, faults, peer)]


def _of(evidence: Evidence, faults: Found, peer: PeerDirector) -> list[Check]:
    where = Where(check="director.beside", host=peer.name)
    seen = evidence.observed.servers.get(peer.name)
    if seen is None or seen.director is None:
        failure = evidence.observed.failed.get(peer.name)
        return [
            where.unknown(
                f"Could not check whether {peer.name} balances as this director does.",
                failure.what if failure is not None else "It was not looked at.",
                (failure.next if failure is not None else "") or f"Try: ssh {peer.user or 'root'}@{peer.address}",
            )
        ]
    if not evidence.deployed:
        return [where.skipped(f"The deployment is not set up on {peer.name}.")]
    there, facts = as_there(evidence.deployment, peer), seen.director
    made = plan_director(there, facts, frozenset(server.name for server in there.servers))
    if made.problem:
        return [where.unknown(f"Could not check whether {peer.name} balances as this director does.", made.problem)]
    steps = [
        step for step in made.steps
        if not step.server or not faults.find(step.server, *UNPROVED, vip=step.vip, service=step.service)
    ]  # fmt: skip
    differs = [*_differs(steps, facts), *_beyond(evidence, there, facts)]
    if differs:
        first = differs[0]
        fault = Fault(
            host=peer.name, cause=first.cause, vip=first.vip, service=first.service, aside=first.cause != "director-vip"
        )
        said = "; ".join(one.words for one in differs)
        return [faults.fail(where, fault, f"{peer.name} does not balance as it should: {first.words}.", said, _APPLY)]
    silent = list(announced(evidence, faults, where, facts))
    if silent:
        return silent
    count = sum(len(one.destinations) for one in facts.services or ())
    bird = f", BGP {facts.bird.state}" if facts.bird is not None else ""
    return [where.passed(f"{peer.name} balances as this director does.", f"{count} destinations{bird}")]


def _differs(steps: Sequence[Step], facts: DirectorFacts) -> Iterator[_Differs]:
    """By the steps that a plan would have there; the worst first, as a plan has it."""
    held = {
        (canonical(one.place.vip), one.place.service, one.place.server)
        for one in (facts.guard.held if facts.guard is not None and facts.guarded else ())
    }
    for step in sorted(steps, key=lambda one: one.purpose != "vip"):
        old = step.changes[0].old if step.changes else None
        if step.purpose == "vip":
            yield _Differs("director-vip", f"it does not have {step.vip}", step.vip)
        elif step.purpose in ("service", "destination"):
            cause: Cause = "ipvs-missing" if old is None else "ipvs-differs"
            what = step.title.partition(",")[0]
            yield _Differs(cause, f"{what} {'is missing' if old is None else 'is otherwise'}", step.vip, step.service)
        elif step.purpose == "weight" and not any(one.id == step.id.replace("weight", "destination") for one in steps):
            if (canonical(step.vip), step.service, step.server) not in held:
                now = getattr(old, "weight", 0)
                yield _Differs(
                    "ipvs-differs",
                    f"{step.server} has weight {now} in {step.vip} {step.service}",
                    step.vip,
                    step.service,
                )
        elif step.purpose in ("setting", "bgp"):
            yield _Differs("director-setting", step.title)


def _beyond(evidence: Evidence, there: Deployment, facts: DirectorFacts) -> Iterator[_Differs]:
    """Destinations of others in services of ours that this director does not have: they get a share of the clients."""
    here = evidence.observed.director
    for vip in there.vips:
        for service in vip.services:
            own = here.service(key_of(vip, service)) if here is not None else None
            theirs = facts.service(key_of(vip, service))
            if own is None or theirs is None:
                continue
            known = {canonical(one.address) for one in own.destinations}
            known |= {canonical(rip) for server in there.servers if (rip := server.rip_for(vip)) is not None}
            for one in theirs.destinations:
                if canonical(one.address) not in known:
                    words = f"{one.address} is in {vip.address} {service.label}, and not here"
                    yield _Differs("ipvs-differs", words, vip.address, service.label)
