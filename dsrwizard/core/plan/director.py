"""The plan for the director: IPVS, its kernel settings, the VIP on its interface, services and destinations.

Facts in, steps out. Settings: kernel Documentation/networking/ipvs-sysctl and ip-sysctl.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address

import msgspec

from dsrwizard.core.intake.own_addresses import own_address
from dsrwizard.core.model.bird import BirdFacts
from dsrwizard.core.model.changes import (
    AddressChange,
    AnnounceChange,
    Change,
    DestinationChange,
    DestinationState,
    ServiceChange,
    ServiceKey,
    ServiceState,
)
from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.facts import DirectorFacts, VirtualService
from dsrwizard.core.model.steps import DIRECTOR, Gate, HostPlan, Step
from dsrwizard.core.plan.bird import plan_bird
from dsrwizard.core.plan.director_boot import notes as boot_notes
from dsrwizard.core.plan.director_boot import persistence
from dsrwizard.core.plan.director_settings import settings_steps
from dsrwizard.core.plan.guard_unit import guard_notes, guard_place, guard_steps


def sysctls(interface: str) -> dict[str, tuple[str, str, str]]:
    """Settings of the director: key → (wanted, default where it is not there yet, reason)."""
    nic = interface.replace(".", "/")
    redirects = (
        "The director forwards packets out of the interface they came in on. It must not tell clients to bypass it."
    )
    found = {
        "net.ipv4.vs.expire_nodest_conn": (
            "1", "0", "Connections to a removed real server end at once instead of timing out.",
        ),
        "net.ipv4.vs.expire_quiescent_template": (
            "1", "0", "A persistent client moves away from a drained real server instead of staying on it.",
        ),
        "net.ipv4.conf.all.send_redirects": ("0", "1", redirects),
    }  # fmt: skip
    if nic:  # else none has been chosen yet
        found[f"net.ipv4.conf.{nic}.send_redirects"] = ("0", "1", redirects)
    return found


def sysctl_keys(interface: str) -> tuple[str, ...]:
    """The keys to observe on the director."""
    return tuple(sysctls(interface))


SPREAD = {
    "net.ipv4.conf.all.arp_ignore": (
        "1", "0", "Several directors have the VIP at once: none of them may answer ARP for it.",
    ),
    "net.ipv4.conf.all.arp_announce": ("2", "0", "No director says by ARP that it has the VIP."),
    "net.ipv4.vs.sloppy_tcp": (
        "1", "0", "A connection that the router moves to another director goes on there, though it began elsewhere.",
    ),
}  # fmt: skip
"""Settings more, where a router spreads clients over several directors."""
BY_CLIENT = {"mh": 0x18, "sh": 0x18}
"""Schedulers that choose by the client, and their flags for its port and for the next server where one is drained
(IP_VS_SVC_F_SCHED1 and 2, linux/ip_vs.h)."""


def by_client(deployment: Deployment, service: Service) -> int:
    """The flags that a service has where several directors must choose the same server for a client and its port."""
    director = deployment.director
    several = director.bgp is not None or director.engine == "keepalived"
    return BY_CLIENT.get(service.scheduler, 0) if several else 0


def settings_of(deployment: Deployment) -> dict[str, tuple[str, str, str]]:
    """As `sysctls`, of a deployment."""
    found = sysctls(deployment.director.interface)
    return found if deployment.director.bgp is None else found | SPREAD


def key_of(vip: Vip, service: Service) -> ServiceKey:
    """Identity of a service in IPVS."""
    return ServiceKey(address=str(vip.ip), protocol=service.protocol, port=service.port)


def plan_director(
    deployment: Deployment, facts: DirectorFacts, able: frozenset[str], leaving: Collection[Change] = ()
) -> HostPlan:
    """The steps that bring the director to the deployment.

    `able` names the real servers that can be configured or are configured by hand; no destination is made for others.
    `leaving` are changes that other steps of the same run take back.
    A VIP that none of them serves is left as it is: the director would refuse its clients, and take it from whoever
    serves it today.
    """
    problem = _problem(deployment, facts)
    if problem:
        return HostPlan(host=DIRECTOR, problem=problem)
    served = [vip for vip in deployment.vips if _stands(facts, vip) or _able(deployment, vip, able)]
    notes = [
        f"{vip.address} is left as it is: none of its real servers can be set up now."
        for vip in deployment.vips
        if vip not in served
    ]
    notes += _notes(deployment, facts, leaving)
    if not served:
        return HostPlan(host=DIRECTOR, notes=tuple(notes))
    steps = [*settings_steps(DIRECTOR, settings_of(deployment), facts.sysctls, loaded=facts.module_loaded is not False)]
    vips = [step for vip in served for step in _vip(deployment, facts, vip)]
    steps += [step for step in vips if not step.awaits]
    for vip in served:
        for service in vip.services:
            steps += _service(facts, vip, service, by_client(deployment, service))
    for server in deployment.servers:
        if server.name in able:
            for vip in deployment.vips_of(server):
                for service in vip.services:
                    steps += _destination(facts, server, vip, service)
    steps += [step for step in vips if step.awaits]
    if facts.bird is not None:
        spread = plan_bird(deployment, DIRECTOR, facts.interfaces, facts.bird)
        steps += spread.steps
        notes += spread.notes
    steps += persistence(deployment, facts, tuple(settings_of(deployment)))
    steps += guard_steps(deployment, guard_place(DIRECTOR, facts))
    return HostPlan(host=DIRECTOR, steps=tuple(steps), notes=tuple(notes))


def _able(deployment: Deployment, vip: Vip, able: frozenset[str]) -> bool:
    return any(server.name in able and server.rip_for(vip) is not None for server in deployment.servers_of(vip))


def _stands(facts: DirectorFacts, vip: Vip) -> bool:
    """Whether a real server is behind the VIP already."""
    found = (facts.service(key_of(vip, service)) for service in vip.services)
    return any(service is not None and service.destinations for service in found)


def _problem(deployment: Deployment, facts: DirectorFacts) -> str:
    if not facts.privileged:
        return "Setting up IPVS and addresses needs root, or CAP_NET_ADMIN and CAP_NET_RAW. Run it with sudo."
    loadable = facts.module_loaded is False and facts.module_available is not False
    if facts.services is None and not loadable:
        return f"{facts.ipvs_problem} {facts.ipvs_next}".strip()
    if deployment.director.bgp is not None:
        spread = plan_bird(deployment, DIRECTOR, facts.interfaces, facts.bird or BirdFacts())
        if spread.problem:
            return spread.problem
    if facts.interface(deployment.director.interface) is None:
        names = ", ".join(interface.name for interface in facts.interfaces if interface.name != "lo")
        return f"This machine has no interface {deployment.director.interface!r}. Its interfaces: {names}."
    for vip in deployment.vips:
        if refusal := own_address(facts.interfaces, vip.address):
            return f"The VIP cannot be used: {refusal.message} {refusal.hint}"
    for server in deployment.servers:
        for rip in filter(None, (server.address, server.address6)):
            if any(interface.has(rip) for interface in facts.interfaces):
                return (
                    f"{server.name} ({rip}) is this machine. A director that is also a real server bounces packets. "
                    "Run dsrwizard on the director and name other machines as real servers."
                )
    return ""


def _vip(deployment: Deployment, facts: DirectorFacts, vip: Vip) -> list[Step]:
    interface = deployment.director.vip_interface
    if any(link.has(vip.address) for link in facts.interfaces):
        return []
    if deployment.director.bgp is not None:
        return [_vip_for_bgp(facts, vip, interface)]
    return [
        Step(
            id=f"vip {vip.address}",
            purpose="vip",
            vip=vip.address,
            host=DIRECTOR,
            phase="vip",
            title=f"VIP {vip.address}/{vip.prefix} on {interface}, announced to the neighbours",
            why="Only the director answers for the VIP. The announcement replaces any other MAC that neighbours know.",
            changes=(
                AddressChange(interface=interface, address=vip.address, prefix=vip.prefix, old=False, new=True),
                AnnounceChange(interface=interface, address=vip.address),
            ),
            interrupts=f"Clients of {vip.address} start reaching the director.",
            awaits=not _stands(facts, vip),
        )
    ]


def _vip_for_bgp(facts: DirectorFacts, vip: Vip, interface: str) -> Step:
    return Step(
        id=f"vip {vip.address}", purpose="vip", vip=vip.address, host=DIRECTOR, phase="vip",
        title=f"VIP {vip.address}/{vip.prefix} on {interface}",
        why="The kernel takes packets for it. Clients find it by the router, which BIRD tells of it.",
        changes=(AddressChange(interface=interface, address=vip.address, prefix=vip.prefix, old=False, new=True),),
        awaits=not _stands(facts, vip),
    )  # fmt: skip


def wanted_state(service: Service, present: VirtualService | None, flags: int = 0) -> ServiceState:
    """The service as the deployment has it, with the flags of `by_client`; what the deployment does not speak of stays
    as it is."""
    if present is None:
        return ServiceState(scheduler=service.scheduler, persistence=service.persistence, flags=flags)
    return msgspec.structs.replace(
        present.state, scheduler=service.scheduler, persistence=service.persistence, flags=present.state.flags | flags
    )


def _service(facts: DirectorFacts, vip: Vip, service: Service, flags: int) -> list[Step]:
    key = key_of(vip, service)
    present = facts.service(key)
    wanted = wanted_state(service, present, flags)
    if present is not None and present.state == wanted:
        return []
    persistence = f", persistence {service.persistence} s" if service.persistence else ""
    return [
        Step(
            id=f"service {vip.address} {service.label}",
            purpose="service",
            vip=vip.address,
            service=service.label,
            host=DIRECTOR,
            phase="service",
            title=f"Service {vip.address} {service.label}, scheduler {service.scheduler}{persistence}",
            why="The kernel balances the traffic to this address and port.",
            changes=(ServiceChange(service=key, old=present.state if present else None, new=wanted),),
            interrupts="This service is in use, and its scheduler or persistence changes." if present else "",
        )
    ]


def _destination(facts: DirectorFacts, server: RealServer, vip: Vip, service: Service) -> list[Step]:
    key = key_of(vip, service)
    rip = server.rip_for(vip)
    if rip is None:
        return []
    found = facts.service(key)
    present = found.destination(rip, service.port) if found else None
    steps = []
    label = f"{vip.address} {service.label} {server.name}"
    before = present.state if present else None
    at_zero = before
    if before is None or before.method != "dr":
        # What has another forwarding method is a new way to the server: it is proved like a new server.
        at_zero = msgspec.structs.replace(before or DestinationState(weight=0), method="dr", weight=0)
        steps.append(
            Step(
                id=f"destination {label}",
                purpose="destination",
                vip=vip.address,
                service=service.label,
                host=DIRECTOR,
                phase="destination",
                title=f"{server.name} ({rip}) behind {vip.address} {service.label}, direct, weight 0",
                why="Weight 0 keeps clients away until a probe proves that the VIP answers through this server.",
                changes=(DestinationChange(service=key, address=rip, port=service.port, old=before, new=at_zero),),
                interrupts=f"It is in use with method {before.method}. It gets no new clients until it is proved."
                if before is not None and before.weight
                else "",
                server=server.name,
            )
        )
    if at_zero is not None and at_zero.weight != server.weight:
        new = msgspec.structs.replace(at_zero, weight=server.weight)
        steps.append(
            Step(
                id=f"weight {label}",
                purpose="weight",
                vip=vip.address,
                service=service.label,
                host=DIRECTOR,
                phase="weight",
                title=f"Weight {server.weight} for {server.name} in {vip.address} {service.label}, once proved",
                why="A server gets clients only after the VIP has answered through it.",
                changes=(DestinationChange(service=key, address=rip, port=service.port, old=at_zero, new=new),),
                proof=None if server.weight == 0 else Gate(
                    server=server.name, rip=rip, vip=vip.address, protocol=service.protocol, port=service.port
                ),
                server=server.name,
            )
        )  # fmt: skip
    return steps


def _notes(deployment: Deployment, facts: DirectorFacts, leaving: Collection[Change]) -> list[str]:
    services = {change.service for change in leaving if isinstance(change, ServiceChange)}
    destinations = {
        (change.service, ip_address(change.address), change.port)
        for change in leaving
        if isinstance(change, DestinationChange)
    }
    ours = {key_of(vip, service) for vip in deployment.vips for service in vip.services}
    notes = [*boot_notes(deployment, facts), *guard_notes(deployment, guard_place(DIRECTOR, facts))]
    notes += [
        f"IPVS service {text} is not in this deployment. It is left unchanged." for text in facts.foreign_services
    ]
    for service in facts.services or ():
        name = f"{service.key.address} {service.key.protocol}/{service.key.port}"
        if service.key in services:
            continue
        if service.key not in ours:
            notes.append(f"IPVS service {name} is not in this deployment. It is left unchanged.")
            continue
        rips = {
            ip_address(rip)
            for vip in deployment.vips
            if str(vip.ip) == service.key.address
            for server in deployment.servers_of(vip)
            if (rip := server.rip_for(vip))
        }
        for destination in service.destinations:
            if (service.key, ip_address(destination.address), destination.port) in destinations:
                continue
            if ip_address(destination.address) not in rips or destination.port != service.key.port:
                notes.append(
                    f"{destination.address} is behind {name} but not in this deployment. It is left unchanged."
                )
    return notes
