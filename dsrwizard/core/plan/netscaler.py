"""The plan for a NetScaler: feature and mode, virtual servers, real servers kept out until they are proved, the saving.
Pure: facts in, steps out, each with the exact calls of NITRO and those that take it back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import msgspec

from dsrwizard.core.dialects.netscaler import words
from dsrwizard.core.dialects.netscaler.calls import calls, take
from dsrwizard.core.dialects.netscaler.reading import learns, members
from dsrwizard.core.model.balancer_facts import BalancerFacts, Box
from dsrwizard.core.model.changes import (
    Change,
    DestinationChange,
    DestinationState,
    ModeChange,
    SaveChange,
    ServiceChange,
    ServiceState,
)
from dsrwizard.core.model.deployment import Deployment, RealServer, Vip
from dsrwizard.core.model.facts import DirectorFacts, Observed
from dsrwizard.core.model.steps import DIRECTOR, Gate, HostPlan, Plan, Step
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.order import leaves
from dsrwizard.core.record.owed import Owed

SAVING = "save"
UNSAVED = "It has unsaved changes: another administrator's, or those of an interrupted run. This saves all of them."


def plan_netscaler(deployment: Deployment, facts: DirectorFacts, able: frozenset[str]) -> HostPlan:
    """The steps that bring the NetScaler to the deployment; as in `plan_director`, for the servers in `able`."""
    balancer = facts.balancer
    if balancer is None:
        return HostPlan(host=DIRECTOR, problem="The NetScaler could not be read.")
    problem = next(_problems(deployment, balancer.box), "")
    if problem:
        return HostPlan(host=DIRECTOR, problem=problem)
    steps: list[Step] = [*_ground(balancer)]
    served = [vip for vip in deployment.vips if _stands(facts, vip) or _able(deployment, vip, able)]
    notes = [
        f"{vip.address} is left as it is: none of its real servers can be set up now."
        for vip in deployment.vips if vip not in served
    ]  # fmt: skip
    for vip in served:
        for port in words.ports_of(vip):
            steps += _service(deployment, facts, vip, port)
    for server in deployment.servers:
        for vip in deployment.vips_of(server) if server.name in able else ():
            for port in words.ports_of(vip):
                steps += _destination(facts, server, vip, port)
    if balancer.save and (steps or balancer.unsaved):
        steps.append(_save(balancer))
    return HostPlan(host=DIRECTOR, steps=tuple(steps), notes=(*notes, *_notes(deployment, facts), *balancer.pair))


def _problems(deployment: Deployment, box: Box) -> Iterator[str]:
    """What would have to be undone by hand first, in sentences."""
    for vip in deployment.vips:
        for port in words.ports_of(vip):
            name = words.vserver_at(box, deployment.name, str(vip.ip), port)
            fields = box.vservers.get(name, {})
            if name and fields.get("servicetype") != "ANY":
                yield (
                    f"Virtual server {name} has {vip.address} port {port} and is of type {fields.get('servicetype')}. "
                    "DSR needs type ANY, and the type cannot be changed: remove that virtual server, or use another "
                    "VIP or port."
                )
            if box.grouped.get(name):
                yield (
                    f"Virtual server {name} has service groups ({', '.join(box.grouped[name])}). dsrwizard changes "
                    "single services only: unbind the groups first."
                )
            if fields.get("persistencetype", "NONE") not in ("NONE", "SOURCEIP"):
                yield (
                    f"Virtual server {name} has persistence {fields['persistencetype']}, which nothing in a deployment "
                    "stands for. Set it to NONE or SOURCEIP first."
                )
            for server, rip in members(deployment, vip):
                found = words.service_at(box, deployment, server, rip, port)
                if found and not learns(box, found):
                    yield (
                        f"Service {found} for {server.name} has no monitor that teaches the NetScaler its MAC: packets "
                        "would come back to the NetScaler. Bind a ping or tcp monitor to it first (CTX138969)."
                    )


def _ground(balancer: BalancerFacts) -> Iterator[Step]:
    if "LB" not in balancer.box.features:
        yield Step(
            id="feature LB", host=DIRECTOR, phase="prepare", purpose="setting", title="Load balancing is on",
            why="Without this feature a virtual server is configured and stays down.",
            changes=(ModeChange(of="feature", name="LB", old=False, new=True),),
        )  # fmt: skip
    if "MBF" not in balancer.box.modes:
        yield Step(
            id="mode MBF", host=DIRECTOR, phase="prepare", purpose="setting", title="MAC-based forwarding is on",
            why="A virtual server in MAC mode forwards nothing without it.",
            changes=(ModeChange(of="mode", name="MBF", old=False, new=True),),
            interrupts="It is global: replies of all the NetScaler's services go to the MAC that the request came "
            "from, and no longer by its routes. Connections whose two ways differ are cut.",
        )  # fmt: skip


def _able(deployment: Deployment, vip: Vip, able: frozenset[str]) -> bool:
    return any(server.name in able for server, _ in members(deployment, vip))


def _stands(facts: DirectorFacts, vip: Vip) -> bool:
    found = (facts.service(words.key_at(vip, port)) for port in words.ports_of(vip))
    return any(service is not None and service.destinations for service in found)


def _service(deployment: Deployment, facts: DirectorFacts, vip: Vip, port: int) -> list[Step]:
    key, service = words.key_at(vip, port), words.one_of(vip, port)
    present = facts.service(key)
    wanted = ServiceState(scheduler=service.scheduler, persistence=service.persistence)
    if present is not None and present.state == wanted:
        return []
    method = words.method_of(deployment, service.scheduler)
    keeps = f", persistence {service.persistence} s" if service.persistence else ""
    both = " for TCP and UDP alike" if sum(one.port == port for one in vip.services) > 1 else ""
    return [
        Step(
            id=f"service {vip.address} {service.label}", purpose="service", vip=vip.address, service=service.label,
            host=DIRECTOR, phase="service",
            title=f"Virtual server {vip.address} port {port}, type ANY{both}, MAC mode, {method}{keeps}",
            why="The NetScaler sends what comes for this address to a real server's MAC and changes nothing in it.",
            changes=(ServiceChange(service=key, old=present.state if present else None, new=wanted),),
            interrupts="This virtual server is in use, and its method, mode or persistence changes." if present
            else f"The NetScaler takes {vip.address}.",
        )
    ]  # fmt: skip


def _destination(facts: DirectorFacts, server: RealServer, vip: Vip, port: int) -> list[Step]:
    key, service, rip = words.key_at(vip, port), words.one_of(vip, port), server.rip_for(vip)
    if rip is None:
        return []
    found = facts.service(key)
    present = found.destination(rip, port) if found else None
    label = f"{vip.address} {service.label} {server.name}"
    steps = []
    before = present.state if present else None
    if before is None:
        steps.append(
            Step(
                id=f"destination {label}", purpose="destination", vip=vip.address, service=service.label,
                host=DIRECTOR, phase="destination", server=server.name,
                title=f"{server.name} ({rip}) behind {vip.address} port {port}, kept out",
                why="It gets no clients until a probe proves that the VIP answers through it. Weight 0 does not exist "
                "on a NetScaler: the service is disabled, or not bound yet where other VIPs have it, too.",
                changes=(DestinationChange(service=key, address=rip, port=port, old=None,
                                           new=DestinationState(weight=0)),),
            )
        )  # fmt: skip
        before = DestinationState(weight=0)
    if before.weight != server.weight:
        gates = tuple(
            Gate(server=server.name, rip=rip, vip=vip.address, protocol=one.protocol, port=port)
            for one in vip.services if one.port == port and server.weight
        )  # fmt: skip
        new = msgspec.structs.replace(before, weight=server.weight)
        steps.append(
            Step(
                id=f"weight {label}", purpose="weight", vip=vip.address, service=service.label, host=DIRECTOR,
                phase="weight", server=server.name,
                title=f"Weight {server.weight} for {server.name} in {vip.address} port {port}, once proved",
                why="A server gets clients only after the VIP has answered through it.",
                changes=(DestinationChange(service=key, address=rip, port=port, old=before, new=new),),
                proof=gates[0] if gates else None, beside=gates[1:],
            )
        )  # fmt: skip
    return steps


def _notes(deployment: Deployment, facts: DirectorFacts) -> Iterator[str]:
    box = facts.balancer.box if facts.balancer else Box()
    for vip in deployment.vips:
        for name, fields in box.vservers.items():
            if fields.get("port") == "65535" and fields.get("ipv46") == str(vip.ip):
                yield f"Virtual server {name} takes every port of {vip.address} that no other one has."
        for port in words.ports_of(vip):
            found = facts.service(words.key_at(vip, port))
            rips = {canonical(rip) for _, rip in members(deployment, vip)}
            for one in found.destinations if found else ():
                if canonical(one.address) not in rips:
                    yield f"{one.address} is behind {vip.address} port {port} but not in this deployment. It stays."
    subnets = [vip.address for vip in deployment.vips if vip.ip.version == 6]
    if subnets:
        yield f"MAC mode with IPv6 ({', '.join(subnets)}) was never tried on a NetScaler."


# --- what goes with every plan ---------------------------------------------------------------------------------------


def in_use(change: Change, facts: DirectorFacts, owed: Collection[Owed]) -> str:
    """Why a feature or a mode that we turned on stays on: virtual servers of others need it. Empty: it goes."""
    if not isinstance(change, ModeChange) or facts.balancer is None:
        return ""
    mine = {(item.change.service.address, item.change.service.port) for item in owed
            if isinstance(item.change, ServiceChange) and not _in_mac_mode(item.change.old)}  # fmt: skip
    others = [
        name for name, fields in facts.balancer.box.vservers.items()
        if (fields.get("ipv46", ""), words.number(fields.get("port", ""))) not in mine
        and (change.of == "feature" or fields.get("m") == "MAC")
    ]  # fmt: skip
    return (
        f"{change.name} stays on: {', '.join(others[:3])} {'needs' if len(others) == 1 else 'need'} it."
        if others
        else ""
    )


def _in_mac_mode(state: ServiceState | None) -> bool:
    """Whether a virtual server was in MAC mode before we came."""
    parts = state.scheduler.split(words.LEARN) if state is not None else ["", "none"]
    return parts[1:2] in ([], ["MAC"])


def spelled(plan: Plan, deployment: Deployment, observed: Observed) -> Plan:
    """The plan with the exact calls of each step about the NetScaler and what takes it back, and with the saving."""
    facts = observed.director
    balancer = facts.balancer if facts is not None else None
    if balancer is None:
        return plan
    hosts = [_spelled(host, deployment, balancer) if host.host == DIRECTOR else host for host in plan.hosts]
    return msgspec.structs.replace(plan, hosts=tuple(hosts))


def _spelled(host: HostPlan, deployment: Deployment, balancer: BalancerFacts) -> HostPlan:
    box = balancer.box.copy()
    steps = [step for step in host.steps if step.id != SAVING]
    if balancer.save and not host.problem and (steps or host.steps):
        steps.append(_save(balancer))
    told = {step.id: _with_calls(step, deployment, box) for step in _in_turn(steps)}
    return msgspec.structs.replace(host, steps=tuple(told[step.id] for step in steps))


def _in_turn(steps: Sequence[Step]) -> list[Step]:
    """In the order of execution: what concerns one real server after what concerns none, what leaves last."""
    return sorted(steps, key=lambda step: (step.id == SAVING, leaves(step)))


def _with_calls(step: Step, deployment: Deployment, box: Box) -> Step:
    """Its calls, and those that take it back afterwards; the box goes on as after it."""
    made, before = [], box.copy()
    for change in step.changes:
        for call in calls(change, box, deployment, leaves=leaves(step)):
            take(box, call)
            made.append(call)
    undo, after = [], box.copy()
    for change in step.inverse().changes:
        if isinstance(change, SaveChange) or after == before:
            continue
        for call in calls(change, after, deployment):
            take(after, call)
            undo.append(call)
    return msgspec.structs.replace(
        step, calls=tuple(call.text for call in made), undo=tuple(call.text for call in undo)
    )


def _save(balancer: BalancerFacts) -> Step:
    return Step(
        id=SAVING, host=DIRECTOR, phase="prepare", purpose="persistence", title="Save the NetScaler's configuration",
        why="What is not saved is gone when it reboots.", changes=(SaveChange(),),
        interrupts=UNSAVED if balancer.unsaved else "",
    )  # fmt: skip
