"""The plan for a NetScaler: feature and mode, virtual servers, real servers kept out until they are proved, the saving.
Pure: facts in, steps out, each with the exact calls of NITRO and those that take it back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from dsrwizard.core.dialects.netscaler import words
from dsrwizard.core.dialects.netscaler.reading import learns, members
from dsrwizard.core.model.balancer_facts import BalancerFacts, Box
from dsrwizard.core.model.changes import ModeChange, SaveChange, ServiceChange, ServiceState
from dsrwizard.core.model.deployment import Deployment, Service, Vip
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Step
from dsrwizard.core.plan import appliance_steps
from dsrwizard.core.plan.appliance_steps import ApplianceWords, OneService
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
    served = appliance_steps.served(deployment, facts, NETSCALER_WORDS, able)
    steps = [*_ground(balancer), *appliance_steps.steps_of(deployment, facts, NETSCALER_WORDS, able, served)]
    if balancer.save and (steps or balancer.unsaved):
        steps.append(save_step(balancer))
    notes = appliance_steps.left_out(deployment, served)
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


def _listed(vip: Vip) -> list[OneService]:
    """One virtual server for TCP and UDP alike."""
    return [
        OneService(vip, words.key_at(vip, port), (words.one_of(vip, port), *_others(vip, port)))
        for port in words.ports_of(vip)
    ]


def _others(vip: Vip, port: int) -> Iterator[Service]:
    first = words.one_of(vip, port)
    return (one for one in vip.services if one.port == port and one is not first)


def _where(one: OneService) -> str:
    return f"{one.vip.address} port {one.key.port}"


def _title(deployment: Deployment, one: OneService) -> str:
    service = one.services[0]
    method = words.method_of(deployment, service.scheduler)
    keeps = f", persistence {service.persistence} s" if service.persistence else ""
    both = " for TCP and UDP alike" if len(one.services) > 1 else ""
    return f"Virtual server {_where(one)}, type ANY{both}, MAC mode, {method}{keeps}"


NETSCALER_WORDS = ApplianceWords(
    listed=_listed,
    where=_where,
    title=_title,
    why="The NetScaler sends what comes for this address to a real server's MAC and changes nothing in it.",
    taken=lambda vip: f"The NetScaler takes {vip.address}.",
    changed="This virtual server is in use, and its method, mode or persistence changes.",
    held="It gets no clients until a probe proves that the VIP answers through it. Weight 0 does not exist on a "
    "NetScaler: the service is disabled, or not bound yet where other VIPs have it, too.",
)


def _notes(deployment: Deployment, facts: DirectorFacts) -> Iterator[str]:
    box = facts.balancer.box if facts.balancer else Box()
    for vip in deployment.vips:
        for name, fields in box.vservers.items():
            if fields.get("port") == "65535" and fields.get("ipv46") == str(vip.ip):
                yield f"Virtual server {name} takes every port of {vip.address} that no other one has."
        yield from appliance_steps.strangers(deployment, facts, NETSCALER_WORDS, vip)
    subnets = [vip.address for vip in deployment.vips if vip.ip.version == 6]
    if subnets:
        yield f"MAC mode with IPv6 ({', '.join(subnets)}) was never tried on a NetScaler."


def needed_by(change: ModeChange, balancer: BalancerFacts, owed: Collection[Owed]) -> list[str]:
    """Virtual servers of others that need a feature or a mode that we turned on."""
    mine = {(item.change.service.address, item.change.service.port) for item in owed
            if isinstance(item.change, ServiceChange) and not _in_mac_mode(item.change.old)}  # fmt: skip
    return [
        name for name, fields in balancer.box.vservers.items()
        if (fields.get("ipv46", ""), words.number(fields.get("port", ""))) not in mine
        and (change.of == "feature" or fields.get("m") == "MAC")
    ]  # fmt: skip


def _in_mac_mode(state: ServiceState | None) -> bool:
    """Whether a virtual server was in MAC mode before we came."""
    parts = state.scheduler.split(words.LEARN) if state is not None else ["", "none"]
    return parts[1:2] in ([], ["MAC"])


def save_step(balancer: BalancerFacts) -> Step:
    """The last one of every plan that changes something there."""
    return Step(
        id=SAVING, host=DIRECTOR, phase="prepare", purpose="persistence", title="Save the NetScaler's configuration",
        why="What is not saved is gone when it reboots.", changes=(SaveChange(),),
        interrupts=UNSAVED if balancer.unsaved else "",
    )  # fmt: skip
