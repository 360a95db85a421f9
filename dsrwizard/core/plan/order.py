"""The order of a plan between what comes and what leaves. Pure.

What leaves goes last, and only when all that comes is proved: a service at another port, a VIP at another address, a
server in the place of another one serve before the old ones stop.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from dsrwizard.core.model.changes import DestinationChange
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan, Step


def leaves(step: Step) -> bool:
    """Whether the step takes back what is no longer in the deployment."""
    return step.phase == "withdraw"


def leftovers_last(plan: Plan, leaving: Plan) -> Plan:
    """The plan with the steps of what leaves last on each host."""
    gone = {host.host: host for host in leaving.hosts}
    hosts = []
    for host in plan.hosts:
        extra = gone.pop(host.host, None)
        hosts.append(host if extra is None else _joined(host, extra))
    hosts += [_joined(HostPlan(host=name), extra) for name, extra in gone.items()]
    return msgspec.structs.replace(plan, hosts=tuple(hosts))


def _joined(host: HostPlan, extra: HostPlan) -> HostPlan:
    return msgspec.structs.replace(
        host,
        steps=(*host.steps, *(_leaves(step) for step in extra.steps)),
        problem=host.problem or extra.problem,
        failure=host.failure or extra.failure,
        notes=(*host.notes, *extra.notes),
    )


def _leaves(step: Step) -> Step:
    return msgspec.structs.replace(step, phase="withdraw", why="It is no longer in the deployment.")


def nothing_able(plan: Plan, servers: Container[str]) -> bool:
    """Whether none of the real servers can be changed, and so nothing is done on the director either."""
    mine = [host for host in plan.hosts if host.host in servers]
    return bool(mine) and all(host.problem for host in mine)


def newcomers(plan: Plan) -> tuple[Step, ...]:
    """The steps that put a real server behind a service where it was not: what leaves waits for their proof."""
    return tuple(
        step
        for host in plan.hosts
        if host.host == DIRECTOR
        for step in host.steps
        if step.phase == "destination" and any(_adds(change) for change in step.changes)
    )


def _adds(change: object) -> bool:
    return isinstance(change, DestinationChange) and change.old is None and change.new is not None
