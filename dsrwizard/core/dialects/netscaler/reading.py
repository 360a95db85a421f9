"""A NetScaler's configuration in the words of a deployment: services with their real servers and weights. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dsrwizard.core.dialects.netscaler import words
from dsrwizard.core.model.balancer_facts import Box, BoxState, Fields
from dsrwizard.core.model.changes import DestinationState
from dsrwizard.core.model.deployment import Deployment, RealServer, Vip
from dsrwizard.core.model.facts import Destination, Stats, VirtualService
from dsrwizard.core.model.values import canonical

Counters = Mapping[str, Fields]
"""Service → its row of `stat/service`."""


def services(deployment: Deployment, box: Box, counters: Counters | None = None) -> tuple[VirtualService, ...]:
    """One for each VIP and port that has a virtual server, by the protocol that stands for both (`words.one_of`)."""
    return tuple(
        _service(deployment, box, vip, port, name, counters or {})
        for vip in deployment.vips
        for port in words.ports_of(vip)
        if (name := words.vserver_at(box, deployment.name, str(vip.ip), port))
    )


def for_every_protocol(deployment: Deployment, found: tuple[VirtualService, ...]) -> tuple[VirtualService, ...]:
    """The same once more for the other protocol of a port: for whoever shows or counts, and changes nothing."""
    more = list(found)
    have = {one.key: one for one in found}
    for vip in deployment.vips:
        for service in vip.services:
            first = have.get(words.key_at(vip, service.port))
            if first is not None and first.key.protocol != service.protocol:
                key = type(first.key)(address=first.key.address, protocol=service.protocol, port=service.port)
                more.append(VirtualService(key=key, state=first.state, stats=first.stats,
                                           destinations=first.destinations))  # fmt: skip
    return tuple(more)


def _service(deployment: Deployment, box: Box, vip: Vip, port: int, vserver: str, counters: Counters) -> VirtualService:
    bound = box.bindings.get(vserver, {})
    found = [
        _destination(fields.get("ipaddress", ""), port, weight if words.enabled(fields) else 0, counters.get(name, {}))
        for name, weight in bound.items()
        if (fields := box.services.get(name)) is not None and _address(fields.get("ipaddress", ""))
    ]
    there = {canonical(one.address) for one in found}
    for server, rip in members(deployment, vip):
        if canonical(rip) not in there and _held(deployment, box, server, rip, port, vserver):
            found.append(_destination(rip, port, 0, {}))
    state = words.state_of(deployment, words.one_of(vip, port), box.vservers[vserver])
    return VirtualService(key=words.key_at(vip, port), state=state, destinations=tuple(found),
                          stats=_sum(found))  # fmt: skip


def _held(deployment: Deployment, box: Box, server: RealServer, rip: str, port: int, vserver: str) -> bool:
    """Whether a server that is not bound to a VIP is held for it: a service of ours is there for nothing else. Behind a
    virtual server of others its server object alone says that a run was cut off."""
    name = words.service_at(box, deployment, server, rip, port)
    if name:
        return words.of_ours(deployment.name, name, box.services[name])
    there = words.server_name(deployment.name, server.name, rip)
    theirs = not words.of_ours(deployment.name, vserver, box.vservers[vserver])
    return theirs and there in box.servers and words.of_ours(deployment.name, there, box.servers[there])


def members(deployment: Deployment, vip: Vip) -> Iterator[tuple[RealServer, str]]:
    for server in deployment.servers_of(vip):
        rip = server.rip_for(vip)
        if rip is not None:
            yield server, rip


def _address(text: str) -> bool:
    try:
        canonical(text)
    except ValueError:
        return False
    return True


def _destination(address: str, port: int, weight: int, row: Fields) -> Destination:
    stats = Stats(
        connections=_number(row, "vsvrservicehits"), in_bytes=_number(row, "totalrequestbytes"),
        out_bytes=_number(row, "totalresponsebytes"),
    )  # fmt: skip
    return Destination(
        address=canonical(address), port=port, state=DestinationState(weight=weight),
        active=_number(row, "curclntconnections"), stats=stats,
    )  # fmt: skip


def _number(row: Fields, key: str) -> int:
    return words.number(row.get(key, "0"))


def _sum(found: list[Destination]) -> Stats:
    return Stats(
        connections=sum(one.stats.connections for one in found), in_bytes=sum(one.stats.in_bytes for one in found),
        out_bytes=sum(one.stats.out_bytes for one in found),
    )  # fmt: skip


def states(
    deployment: Deployment, box: Box, said: Mapping[str, tuple[str, str]], counters: Counters | None
) -> tuple[BoxState, ...]:
    """What it says of each real server in each service that it has there. `said`: service → a monitor that is bound to
    it, and that one's last answer; `counters` None: they were not read."""
    found = []
    for vip in deployment.vips:
        for service in vip.services:
            vserver = words.vserver_at(box, deployment.name, str(vip.ip), service.port)
            bound = box.bindings.get(vserver, {})
            for server, rip in members(deployment, vip):
                name = words.service_at(box, deployment, server, rip, service.port)
                if name not in bound:
                    continue
                row = None if counters is None else counters.get(name, {})
                monitor, answer = said.get(name, ("", ""))
                found.append(BoxState(
                    vip=vip.address, service=service.label, server=server.name,
                    state=box.services[name].get("svrstate", ""), monitor=monitor, said=answer,
                    learns_mac=learns(box, name),
                    request_bytes=None if row is None else _number(row, "totalrequestbytes"),
                    response_bytes=None if row is None else _number(row, "totalresponsebytes"),
                ))  # fmt: skip
    return tuple(found)


def learns(box: Box, service: str) -> bool:
    """Whether a monitor teaches the box this server's MAC. Without one of its own a service has the built-in one, which
    does."""
    if box.services[service].get("healthmonitor", "YES") == "NO":
        return False
    bound = box.monitored.get(service, [])
    return not bound or any(box.monitors.get(one, "").upper() not in words.SCRIPTED for one in bound)
