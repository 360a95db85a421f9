"""The plan for a Loadbalancer.org appliance: its address, virtual services, real servers kept out until they are
proved. Pure: facts in, steps out."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dsrwizard.core.dialects.loadbalancer_org import words
from dsrwizard.core.model.balancer_facts import BalancerFacts, Ldirectord
from dsrwizard.core.model.changes import ModeChange, ServiceChange
from dsrwizard.core.model.deployment import Deployment, Vip
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.products import LOADBALANCER_ORG
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Step
from dsrwizard.core.plan import appliance_steps
from dsrwizard.core.plan.appliance_steps import ApplianceWords, OneService
from dsrwizard.core.record.owed import Owed


def plan_loadbalancer_org(deployment: Deployment, facts: DirectorFacts, able: frozenset[str]) -> HostPlan:
    """The steps that bring the appliance to the deployment; as in `plan_director`, for the servers in `able`."""
    balancer = facts.balancer
    if balancer is None:
        return HostPlan(host=DIRECTOR, problem="The Loadbalancer.org could not be read.")
    problem = next(_problems(deployment, balancer.ldirectord), "")
    if problem:
        return HostPlan(host=DIRECTOR, problem=problem)
    served = appliance_steps.served(deployment, facts, ORG_WORDS, able)
    steps = [step for vip in served for step in _address(balancer.ldirectord, vip)]
    steps += appliance_steps.steps_of(deployment, facts, ORG_WORDS, able, served)
    notes = [*appliance_steps.left_out(deployment, served)]
    for vip in deployment.vips:
        notes += appliance_steps.strangers(deployment, facts, ORG_WORDS, vip)
    return HostPlan(host=DIRECTOR, steps=tuple(steps), notes=(*notes, *balancer.pair))


def _problems(deployment: Deployment, config: Ldirectord) -> Iterator[str]:
    """What would have to be undone by hand first, in sentences."""
    for vip in deployment.vips:
        for one in _listed(vip):
            label = words.virtual_at(config, deployment.name, one.key)
            own = words.virtual_label(deployment.name, one.key)
            other = words.in_the_way(config, deployment.name, one.key)
            if other:
                yield (
                    f"Virtual service {other} takes {_where(one)} together with other ports or protocols, or in layer "
                    "7. dsrwizard needs a layer 4 service for it alone: change that one first, or use another VIP or "
                    "port."
                )
            elif not label and own in (*config.virtuals, *config.layer7):
                yield f"A virtual service with another address or port is called {own}. Rename it first."
            yield from _names(deployment, config, vip, label)


def _names(deployment: Deployment, config: Ldirectord, vip: Vip, label: str) -> Iterator[str]:
    """Names that cannot be sent: the appliance's API gives every value to a shell."""
    behind = config.reals.get(label, {})
    theirs = {words.real_at(config, label, rip) for _, rip in appliance_steps.members(deployment, vip)}
    for name in (label, *sorted(theirs)):
        if name and not words.HARMLESS_WORD.fullmatch(name):
            yield (
                f"“{name}” has signs that the appliance's API would give to a shell. Rename it there to letters, "
                "digits, “.”, “_”, “:” and “-” first."
            )
    for server, rip in appliance_steps.members(deployment, vip):
        there = behind.get(server.name)
        if there is not None and not words.same(there.get("server", ""), rip):
            yield (
                f"Another real server of {label} is called {server.name}: {there.get('server', '')}. Rename it there, "
                "or this one in the file."
            )


def _address(config: Ldirectord, vip: Vip) -> Iterator[Step]:
    address = str(vip.ip)
    if config.floating is not None and address not in config.floating:
        yield Step(
            id=f"floating IP {vip.address}", host=DIRECTOR, phase="prepare", purpose="vip", vip=vip.address,
            title=f"{vip.address} is a floating IP of the appliance",
            why="Of a pair, the active appliance has it; without it nobody answers ARP for the VIP.",
            changes=(ModeChange(of="floating IP", name=address, old=False, new=True),),
            interrupts="Its heartbeat reads its configuration again; no document says what a pair makes of that.",
        )  # fmt: skip


def _listed(vip: Vip) -> list[OneService]:
    return [OneService(vip, words.key_of(vip, service), (service,)) for service in vip.services]


def _where(one: OneService) -> str:
    return f"{one.vip.address} {one.services[0].label}"


def _title(deployment: Deployment, one: OneService) -> str:
    del deployment
    service = one.services[0]
    keeps = f", persistence {service.persistence} s" if service.persistence else ""
    return f"Virtual service {_where(one)}, layer 4, gate, {LOADBALANCER_ORG.methods[service.scheduler]}{keeps}"


ORG_WORDS = ApplianceWords(
    listed=_listed,
    where=_where,
    title=_title,
    why="Forwarding gate is direct server return: a packet gets a real server's MAC and is otherwise left as it is.",
    taken=lambda vip: f"The appliance takes {vip.address}.",
    changed="This virtual service is in use, and its scheduler, forwarding or persistence changes.",
    held="It gets no clients until a probe proves that the VIP answers through it: its weight is 0, and it is halted.",
)


def needed_by(change: ModeChange, balancer: BalancerFacts, owed: Collection[Owed]) -> list[str]:
    """Virtual services of others that need a floating IP that we added."""
    mine = {(item.change.service.address, item.change.service.protocol, str(item.change.service.port))
            for item in owed if isinstance(item.change, ServiceChange) and item.change.old is None}  # fmt: skip
    config = balancer.ldirectord
    return [
        label for label, one in (*config.virtuals.items(), *config.layer7.items())
        if words.same(one.get("server", ""), change.name)
        and (change.name, one.get("protocol", "").lower(), one.get("ports", "")) not in mine
    ]  # fmt: skip
