"""Facts, deployments and the world after a plan, for the tests of planning."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.dialects.linux.plan import plan_server
from dsrwizard.core.model.changes import (
    AddressChange,
    Change,
    DestinationChange,
    DestinationState,
    FileChange,
    LinkChange,
    ModuleChange,
    ServiceChange,
    ServiceKey,
    ServiceState,
    SysctlChange,
)
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.facts import (
    Destination,
    DirectorFacts,
    Interface,
    InterfaceAddress,
    ServerFacts,
    VirtualService,
)
from dsrwizard.core.model.steps import HostPlan, Step
from dsrwizard.core.plan.director import plan_director, sysctls

IGNORE, ANNOUNCE = "net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_announce"
V4, V6 = Vip(address="10.0.0.10", services=(Service(port=80),)), Vip(address="fd00::10", services=(Service(port=80),))


def shop(*vips: Vip, interface: str = "eth0", **server: Any) -> Deployment:
    """One real server behind the VIPs (one IPv4 VIP if none is given)."""
    return Deployment(
        name="shop",
        director=Director(interface=interface),
        vips=vips or (V4,),
        servers=(RealServer(**({"name": "web1", "address": "10.0.0.101", "address6": "fd00::101"} | server)),),
    )


def link(name: str, *addresses: str, kind: str = "", up: bool = True) -> Interface:
    pairs = [address.split("/") for address in addresses]
    return Interface(
        name=name,
        up=up,
        kind=kind,
        addresses=tuple(InterfaceAddress(address=address, prefix=int(prefix)) for address, prefix in pairs),
    )


LO, ETH0 = link("lo", "127.0.0.1/8"), link("eth0", "10.0.0.101/24", "fd00::101/64")


def server(*interfaces: Interface, sysctl: dict[str, str] | None = None, **others: Any) -> ServerFacts:
    values: dict[str, Any] = {
        "host": "web1",
        "privileged": True,
        "persistence": "systemd",
        "interfaces": interfaces or (LO, ETH0),
        "sysctls": {IGNORE: "0", ANNOUNCE: "0", "net.ipv4.conf.eth0.arp_ignore": "0"} | (sysctl or {}),
    }
    return ServerFacts(**(values | others))


def of(deployment: Deployment, facts: ServerFacts) -> HostPlan:
    return plan_server(deployment, deployment.servers[0], facts)


def lines(*steps: Step) -> list[str]:
    """The commands without the files' text."""
    return [line.splitlines()[0] for step in steps for change in step.changes for line in commands(change)]


WEB = ServiceKey("10.0.0.10", "tcp", 80)
READY = {key: wanted for key, (wanted, _, _) in sysctls("eth0").items()}


def virtual(*destinations: Destination, key: ServiceKey = WEB, state: ServiceState | None = None) -> VirtualService:
    return VirtualService(key=key, state=state or ServiceState("wlc"), destinations=destinations)


def behind(address: str = "10.0.0.101", port: int = 80, **state: Any) -> Destination:
    return Destination(address=address, port=port, state=DestinationState(**({"weight": 1} | state)))


def director(*services: VirtualService, held: tuple[str, ...] = ("10.0.0.2/24",), **others: Any) -> DirectorFacts:
    values: dict[str, Any] = {
        "privileged": True,
        "interfaces": (LO, link("eth0", *held)),
        "module_loaded": True,
        "services": services,
        "sysctls": READY,
    }
    return DirectorFacts(**(values | others))


HELD = ("10.0.0.2/24", "10.0.0.10/32")


def balance(deployment: Deployment, facts: DirectorFacts, *able: str) -> HostPlan:
    return plan_director(deployment, facts, frozenset(able or ("web1",)))


def applied(facts: ServerFacts, made: HostPlan) -> ServerFacts:
    """The facts after the planned changes; a change that would not apply fails the test."""
    for step in made.steps:
        for change in step.changes:
            facts = after(facts, change)
    return facts


def after(facts: ServerFacts, change: Change) -> ServerFacts:
    match change:
        case SysctlChange():
            assert facts.sysctls.get(change.key, "0") == change.old
            return msgspec.structs.replace(facts, sysctls=facts.sysctls | {change.key: change.new})
        case FileChange():
            assert facts.files.get(change.path) == change.old
            return msgspec.structs.replace(facts, files=facts.files | {change.path: change.new})
        case LinkChange():
            return msgspec.structs.replace(facts, interfaces=(*facts.interfaces, link(change.interface, kind="dummy")))
        case AddressChange():
            return msgspec.structs.replace(facts, interfaces=readdressed(facts.interfaces, change))
        case _:
            return facts


def readdressed(interfaces: tuple[Interface, ...], change: AddressChange) -> tuple[Interface, ...]:
    entry = InterfaceAddress(address=change.address, prefix=change.prefix)
    (chosen,) = (interface for interface in interfaces if interface.name == change.interface)
    rest = tuple(own for own in chosen.addresses if own != entry)
    assert (len(rest) < len(chosen.addresses)) is change.old
    new = msgspec.structs.replace(chosen, addresses=(*rest, entry) if change.new else rest)
    return tuple(new if interface is chosen else interface for interface in interfaces)


def directed(facts: DirectorFacts, made: HostPlan) -> DirectorFacts:
    table = {service.key: service for service in facts.services or ()}
    for change in (change for step in made.steps for change in step.changes):
        match change:
            case ModuleChange():
                facts = msgspec.structs.replace(facts, module_loaded=True, services=())
            case SysctlChange():
                facts = msgspec.structs.replace(facts, sysctls=facts.sysctls | {change.key: change.new})
            case AddressChange():
                facts = msgspec.structs.replace(facts, interfaces=readdressed(facts.interfaces, change))
            case ServiceChange(new=ServiceState() as state):
                present = table.get(change.service)
                assert (present.state if present else None) == change.old
                table[change.service] = virtual(
                    *(present.destinations if present else ()), key=change.service, state=state
                )
            case DestinationChange(new=DestinationState() as state):
                found = table[change.service]
                old = found.destination(change.address, change.port)
                assert (old.state if old else None) == change.old
                rest = [entry for entry in found.destinations if entry != old]
                entry = Destination(address=change.address, port=change.port, state=state)
                table[change.service] = virtual(*rest, entry, key=change.service, state=found.state)
            case _:
                pass
    return facts if facts.services is None else msgspec.structs.replace(facts, services=tuple(table.values()))


SERVICES = st.lists(
    st.builds(
        Service,
        protocol=st.sampled_from(["tcp", "udp"]),
        port=st.sampled_from([53, 80]),
        scheduler=st.sampled_from(["wlc", "rr"]),
        persistence=st.sampled_from([0, 60]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda service: service.label,
).map(tuple)
VIPS = st.lists(
    st.builds(Vip, address=st.sampled_from(["10.0.0.10", "10.0.0.11", "fd00::10"]), services=SERVICES),
    min_size=1,
    max_size=3,
    unique_by=lambda vip: vip.address,
)
