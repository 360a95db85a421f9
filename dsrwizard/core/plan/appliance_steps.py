"""Steps of every appliance that balances: its services, and real servers that are kept out until they are proved.

Pure. What one make calls them, and how it keeps a server out, is said by its `ApplianceWords`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import msgspec

from dsrwizard.core.model.changes import DestinationChange, DestinationState, ServiceChange, ServiceKey, ServiceState
from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.steps import DIRECTOR, Gate, Step
from dsrwizard.core.model.values import canonical


class OneService(NamedTuple):
    """A service of the appliance, and the services of the deployment that it is; the first stands for them."""

    vip: Vip
    key: ServiceKey
    services: tuple[Service, ...]


class ApplianceWords(msgspec.Struct, frozen=True, kw_only=True):
    """How one make speaks. `listed`: its services of a VIP; `where` names one in a title; `title`: what a step makes of
    it; `taken`: what making one interrupts."""

    listed: Callable[[Vip], list[OneService]]
    where: Callable[[OneService], str]
    title: Callable[[Deployment, OneService], str]
    why: str
    taken: Callable[[Vip], str]
    changed: str
    held: str


def members(deployment: Deployment, vip: Vip) -> Iterator[tuple[RealServer, str]]:
    """The VIP's real servers with their addresses of its family."""
    for server in deployment.servers_of(vip):
        rip = server.rip_for(vip)
        if rip is not None:
            yield server, rip


def served(deployment: Deployment, facts: DirectorFacts, words: ApplianceWords, able: frozenset[str]) -> list[Vip]:
    """The VIPs that serve already, or have a real server that can be set up."""
    return [
        vip for vip in deployment.vips
        if any(server.name in able for server, _ in members(deployment, vip))
        or any((found := facts.service(one.key)) is not None and found.destinations for one in words.listed(vip))
    ]  # fmt: skip


def left_out(deployment: Deployment, kept: list[Vip]) -> list[str]:
    """What is said of the other VIPs."""
    return [
        f"{vip.address} is left as it is: none of its real servers can be set up now."
        for vip in deployment.vips if vip not in kept
    ]  # fmt: skip


def strangers(deployment: Deployment, facts: DirectorFacts, words: ApplianceWords, vip: Vip) -> Iterator[str]:
    """What is said of real servers that are there and not in the deployment."""
    rips = {canonical(rip) for _, rip in members(deployment, vip)}
    for one in words.listed(vip):
        found = facts.service(one.key)
        for there in found.destinations if found else ():
            if canonical(there.address) not in rips:
                yield f"{there.address} is behind {words.where(one)} but not in this deployment. It stays."


def steps_of(
    deployment: Deployment, facts: DirectorFacts, words: ApplianceWords, able: frozenset[str], kept: list[Vip]
) -> list[Step]:
    """First the services, then each server."""
    steps: list[Step] = []
    for vip in kept:
        for one in words.listed(vip):
            steps += _service(deployment, facts, words, one)
    for server in deployment.servers:
        for vip in deployment.vips_of(server) if server.name in able else ():
            for one in words.listed(vip):
                steps += _destination(facts, words, server, one)
    return steps


def _service(deployment: Deployment, facts: DirectorFacts, words: ApplianceWords, one: OneService) -> list[Step]:
    service = one.services[0]
    present = facts.service(one.key)
    wanted = ServiceState(scheduler=service.scheduler, persistence=service.persistence)
    if present is not None and present.state == wanted:
        return []
    return [
        Step(
            id=f"service {one.vip.address} {service.label}", purpose="service", vip=one.vip.address,
            service=service.label, host=DIRECTOR, phase="service", title=words.title(deployment, one), why=words.why,
            changes=(ServiceChange(service=one.key, old=present.state if present else None, new=wanted),),
            interrupts=words.changed if present else words.taken(one.vip),
        )
    ]  # fmt: skip


def _destination(facts: DirectorFacts, words: ApplianceWords, server: RealServer, one: OneService) -> list[Step]:
    rip, service, port = server.rip_for(one.vip), one.services[0], one.key.port
    if rip is None:
        return []
    found = facts.service(one.key)
    present = found.destination(rip, port) if found else None
    vip = one.vip.address
    label = f"{vip} {service.label} {server.name}"
    steps = []
    before = present.state if present else None
    if before is None:
        steps.append(
            Step(
                id=f"destination {label}", purpose="destination", vip=vip, service=service.label, host=DIRECTOR,
                phase="destination", server=server.name,
                title=f"{server.name} ({rip}) behind {words.where(one)}, kept out", why=words.held,
                changes=(DestinationChange(service=one.key, address=rip, port=port, old=None,
                                           new=DestinationState(weight=0)),),
            )
        )  # fmt: skip
        before = DestinationState(weight=0)
    if before.weight != server.weight:
        gates = tuple(
            Gate(server=server.name, rip=rip, vip=vip, protocol=each.protocol, port=port)
            for each in one.services if server.weight
        )  # fmt: skip
        new = msgspec.structs.replace(before, weight=server.weight)
        steps.append(
            Step(
                id=f"weight {label}", purpose="weight", vip=vip, service=service.label, host=DIRECTOR, phase="weight",
                server=server.name,
                title=f"Weight {server.weight} for {server.name} in {words.where(one)}, once proved",
                why="A server gets clients only after the VIP has answered through it.",
                changes=(DestinationChange(service=one.key, address=rip, port=port, old=before, new=new),),
                proof=gates[0] if gates else None, beside=gates[1:],
            )
        )  # fmt: skip
    return steps
