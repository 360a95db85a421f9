"""The checks `director.balancer` and `director.persistent` of an appliance: what it says against what is so.

An appliance asks each real server at its own address. It cannot see that the VIP is dead behind it, which a probe
through that server shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.probe_verdict import judge
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.dialects.appliances import dialect_of
from dsrwizard.core.dialects.netscaler import words
from dsrwizard.core.model.balancer_facts import BalancerFacts, BoxState
from dsrwizard.core.model.causes import Cause
from dsrwizard.core.model.changes import ServiceState
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.steps import DIRECTOR

_APPLY = "dsrwizard apply sets it."


def told(evidence: Evidence, faults: Found, views: Sequence[ServerView]) -> list[Check]:
    """All of it, where the load balancer was asked."""
    deployment, facts = evidence.deployment, evidence.observed.director
    if deployment.director.in_kernel or not deployment.director.driven:
        return []
    where = Where(check="director.balancer", host=DIRECTOR)
    failure = evidence.observed.failed.get(DIRECTOR)
    if failure is not None or facts is None or facts.balancer is None:
        why = failure.text if failure is not None else "nobody looked"
        return [where.unknown("The load balancer could not be asked.", why, "Check [balancer] in the file.")]
    return [*_whole(evidence, faults, facts.balancer), *_parts(evidence, faults, views, facts, facts.balancer)]


def _whole(evidence: Evidence, faults: Found, balancer: BalancerFacts) -> Iterator[Check]:
    where = Where(check="director.balancer", host=DIRECTOR)
    off = [name for name, on in (("LB", balancer.box.features), ("MBF", balancer.box.modes)) if name not in on]
    if off and balancer.box.vservers:
        what = "feature LB" if off[0] == "LB" else "mode MBF"
        yield faults.fail(
            where, Fault(host=DIRECTOR, cause="director-setting"),
            f"The {balancer.product} forwards nothing: its {what} is off.", f"{' and '.join(off)} off at {balancer.at}",
            f"{_APPLY} On it: enable ns {what}",
        )  # fmt: skip
    for vip in balancer.off:
        yield faults.fail(
            Where(check="director.balancer", host=DIRECTOR, vip=vip),
            Fault(host=DIRECTOR, cause="director-vip", vip=vip),
            f"The virtual server of {vip} is disabled on the {balancer.product}.", "state DISABLED",
            f"On the {balancer.product}: enable lb vserver "
            + words.vserver_name(evidence.deployment.name, vip, _first_port(evidence, vip)),
        )  # fmt: skip
    floating = balancer.ldirectord.floating
    for one in evidence.deployment.vips if floating is not None else ():
        if floating is not None and str(one.ip) not in floating:
            yield faults.fail(
                Where(check="director.balancer", host=DIRECTOR, vip=one.address),
                Fault(host=DIRECTOR, cause="director-vip", vip=one.address),
                f"{one.address} is no floating IP of the {balancer.product}: it does not take it.",
                f"floating IPs: {', '.join(sorted(floating)[:5]) or 'none'}", _APPLY,
            )  # fmt: skip
    kept = Where(check="director.persistent", host=DIRECTOR)
    if balancer.unsaved:
        by_file = "" if balancer.save else " The file has save = false."
        yield faults.fail(
            kept, Fault(host=DIRECTOR, cause="not-persistent", aside=True),
            f"The {balancer.product} loses what is not saved at its next reboot.",
            f"configchanged is true: this deployment's or somebody else's changes are not saved.{by_file}",
            f"On the {balancer.product}: save ns config" if not balancer.save else
            f"dsrwizard apply saves it. Or on the {balancer.product}: save ns config",
        )  # fmt: skip
    elif balancer.unsaved is False:
        yield kept.passed(f"The {balancer.product} comes back as it is now after a reboot.", "configchanged is false")


def _first_port(evidence: Evidence, vip: str) -> int:
    return next(one.services[0].port for one in evidence.deployment.vips if one.address == vip)


def _parts(
    evidence: Evidence, faults: Found, views: Sequence[ServerView], facts: DirectorFacts, balancer: BalancerFacts
) -> Iterator[Check]:
    states = {(one.vip, one.service, one.server): one for one in balancer.states}
    dialect = dialect_of(evidence.deployment)
    for vip in evidence.deployment.vips:
        for service in vip.services:
            where = Where(check="director.balancer", host=DIRECTOR, vip=vip.address, service=service.label)
            found = facts.service(dialect.key_at(vip, service))
            if found is None:
                count = len(balancer.box.vservers) + len(balancer.ldirectord.virtuals)
                yield faults.fail(
                    where, Fault(host=DIRECTOR, cause="ipvs-missing", vip=vip.address, service=service.label),
                    f"The {balancer.product} has no {dialect.noun} {vip.address} port {service.port}.",
                    f"none of {count} there", _APPLY,
                )  # fmt: skip
                continue
            wanted = ServiceState(scheduler=service.scheduler, persistence=service.persistence)
            if found.state != wanted:
                yield faults.fail(
                    where, Fault(host=DIRECTOR, cause="ipvs-differs", vip=vip.address, service=service.label),
                    f"The {dialect.noun} {vip.address} port {service.port} is set to something else.",
                    _set(found.state), _APPLY,
                )  # fmt: skip
            for view in views:
                rip = view.server.rip_for(vip)
                if rip is None or vip not in evidence.deployment.vips_of(view.server):
                    continue
                there = found.destination(rip, service.port)
                state = states.get((vip.address, service.label, view.name))
                weight = there.state.weight if there is not None else None
                yield _server(evidence, faults, view, vip, service, rip, weight, state, balancer)


def _set(state: ServiceState) -> str:
    keeps = f"persistence {state.persistence} s" if state.persistence else "no persistence"
    return f"{' '.join(state.scheduler.split(words.LEARN))}, {keeps}"


def _server(
    evidence: Evidence, faults: Found, view: ServerView, vip: Vip, service: Service, rip: str, weight: int | None,
    state: BoxState | None, balancer: BalancerFacts,
) -> Check:  # fmt: skip
    name, product = view.name, balancer.product
    where = Where(check="director.balancer", host=DIRECTOR, vip=vip.address, service=service.label, server=name)
    dead = judge(evidence.probe(rip, vip, service), view.facts)
    known = faults.find(name, *_STOPS, vip=vip.address, service=service.label) or faults.out_of_reach(name)
    if weight is None or (weight == 0 and view.server.weight):
        cause: Cause = "ipvs-missing" if weight is None else "drained"
        said = "does not have it" if weight is None else "keeps it out"
        if known is not None:
            return where.follows(known, f"The {product} {said}: {name} cannot serve {vip.address}.")
        return faults.fail(
            where, Fault(host=DIRECTOR, cause=cause, vip=vip.address, service=service.label, server=name),
            f"{name} gets no clients of {vip.address} {service.label}: the {product} {said}.",
            _kept_out(balancer, weight, dialect_of(evidence.deployment).noun), _APPLY,
        )  # fmt: skip
    if state is None or weight == 0:
        return where.passed(f"The {product} sends no clients to {name}, as the file says.", "weight 0")
    monitor = f" ({state.monitor} asks {rip}{f': {state.said}' if state.said else ''})" if state.monitor else ""
    if not state.state:
        return _untold(where, known, dead, product, f"weight {weight}{monitor}", (name, vip, service))
    if state.state.upper() == "UP":
        if dead:
            what = known.cause if known is not None else "no answer"
            message = f"The {product} says {name} UP; the VIP is dead through it: {what}. It sends clients there."
            seen = f"{product}: {state.state}{monitor}. Through {name}, {vip.address} {service.label}: {dead}"
            if known is not None:
                return where.follows(known, message, seen)
            return where.unknown(message, seen, "Look at the checks of that server.")
        if state.response_bytes:
            return where.unknown(
                f"Replies of {name} pass the {product}, so it is not direct server return there.",
                f"response bytes {state.response_bytes}, request bytes {state.request_bytes}",
                f"On {name}, look at the way back: its gateway is to be the router, not the {product}.",
            )
        return where.passed(
            f"The {product} says {name} UP, and the VIP answers through it.",
            f"{state.state}{monitor}; response bytes 0: replies go past it"
            if state.response_bytes == 0
            else state.state,
        )
    if dead:
        message = f"The {product} says {name} {state.state}, and the VIP does not answer through it either."
        return where.follows(known, message, state.state) if known is not None else where.unknown(message, dead)
    return where.unknown(
        f"The {product} says {name} {state.state}; the VIP answers through it, and gets no clients.",
        f"{state.state}{monitor}", f"Look at that monitor, and at the way from the {product} to {rip}.",
    )  # fmt: skip


def _kept_out(balancer: BalancerFacts, weight: int | None, noun: str) -> str:
    if weight is None:
        return f"not behind the {noun}"
    return "disabled or not bound" if balancer.box.vservers else "weight 0"


def _untold(
    where: Where, known: Fault | None, dead: str, product: str, seen: str, place: tuple[str, Vip, Service]
) -> Check:
    """A server of a product that does not say whether it is up."""
    name, vip, service = place
    if not dead:
        return where.passed(f"The {product} has {name}, and the VIP answers through it.", seen)
    what = known.cause if known is not None else "no answer"
    message = f"The {product} may send clients to {name}; the VIP is dead through it: {what}."
    seen = f"{seen}. Through {name}, {vip.address} {service.label}: {dead}"
    if known is not None:
        return where.follows(known, message, seen)
    return where.unknown(message, seen, "Look at the checks of that server.")


_STOPS: tuple[Cause, ...] = (
    "vip-missing", "vip-prefix", "weak-host", "windows-adapter", "service-down", "service-hung", "rip-only-listener",
    "firewall", "second-director", "duplicate-rip", "not-on-link", "unreachable", "gateway", "rp-filter",
)  # fmt: skip
