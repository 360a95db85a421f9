"""What goes with every plan that has an appliance in it: who makes it, its calls, and what of it stays. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import msgspec

from dsrwizard.core.dialects.appliances import Trial, dialect_of
from dsrwizard.core.model.balancer_facts import BalancerFacts
from dsrwizard.core.model.changes import Change, ModeChange, SaveChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import DirectorFacts, Observed
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan, Step
from dsrwizard.core.plan import loadbalancer_org, netscaler
from dsrwizard.core.plan.netscaler import SAVING, save_step
from dsrwizard.core.plan.order import leaves
from dsrwizard.core.record.owed import Owed

Planner = Callable[[Deployment, DirectorFacts, frozenset[str]], HostPlan]
PLANNERS: Mapping[str, Planner] = {
    "netscaler": netscaler.plan_netscaler,
    "loadbalancer.org": loadbalancer_org.plan_loadbalancer_org,
}
"""By `engine` under `[director]`: who brings an appliance to a deployment."""


def in_use(change: Change, facts: DirectorFacts, owed: Collection[Owed]) -> str:
    """Why a feature, a mode or an address that we turned on or added stays: others need it. Empty: it goes."""
    if not isinstance(change, ModeChange) or facts.balancer is None:
        return ""
    ask = loadbalancer_org.needed_by if change.of == "floating IP" else netscaler.needed_by
    others = ask(change, facts.balancer, owed)
    stays = "stays a floating IP" if change.of == "floating IP" else "stays on"
    need = f"{', '.join(others[:3])} {'needs' if len(others) == 1 else 'need'} it."
    return f"{change.name} {stays}: {need}" if others else ""


def spelled(plan: Plan, deployment: Deployment, observed: Observed) -> Plan:
    """The plan with the exact calls of each step about the appliance and what takes it back, and with the saving."""
    facts = observed.director
    balancer = facts.balancer if facts is not None else None
    if balancer is None:
        return plan
    hosts = [_spelled(host, deployment, balancer) if host.host == DIRECTOR else host for host in plan.hosts]
    return msgspec.structs.replace(plan, hosts=tuple(hosts))


def _spelled(host: HostPlan, deployment: Deployment, balancer: BalancerFacts) -> HostPlan:
    trial = dialect_of(deployment).trial(balancer)
    steps = [step for step in host.steps if step.id != SAVING]
    if balancer.save and not host.problem and (steps or host.steps):
        steps.append(save_step(balancer))
    told = {step.id: _with_calls(step, deployment, trial) for step in _in_turn(steps)}
    return msgspec.structs.replace(host, steps=tuple(told[step.id] for step in steps))


def _in_turn(steps: Sequence[Step]) -> list[Step]:
    """In the order of execution: what concerns one real server after what concerns none, what leaves last."""
    return sorted(steps, key=lambda step: (step.id == SAVING, leaves(step)))


def _with_calls(step: Step, deployment: Deployment, trial: Trial) -> Step:
    """Its calls, and those that take it back afterwards; the trial goes on as after it."""
    before = trial.copy()
    made = [text for change in step.changes for text in trial.carry_out(change, deployment, leaves=leaves(step))]
    undo: list[str] = []
    after = trial.copy()
    for change in step.inverse().changes:
        if isinstance(change, SaveChange) or after == before:
            continue
        undo += after.carry_out(change, deployment)
    return msgspec.structs.replace(step, calls=tuple(made), undo=tuple(undo))
