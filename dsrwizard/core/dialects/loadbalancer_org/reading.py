"""A Loadbalancer.org's configuration in the words of a deployment. Pure. Its API has no counters and says nothing of a
server's health."""

from __future__ import annotations

from dsrwizard.core.dialects.loadbalancer_org import words
from dsrwizard.core.model.balancer_facts import BoxState, Fields, Ldirectord
from dsrwizard.core.model.changes import DestinationState
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import Destination, VirtualService
from dsrwizard.core.model.values import canonical


def services(deployment: Deployment, config: Ldirectord) -> tuple[VirtualService, ...]:
    """One for each service of the deployment that has a virtual service there. Weight 0: a server is kept out."""
    found = []
    for vip in deployment.vips:
        for service in vip.services:
            key = words.key_of(vip, service)
            label = words.virtual_at(config, deployment.name, key)
            if label:
                state = words.state_of(service, config.virtuals[label])
                behind = config.reals.get(label, {}).values()
                destinations = tuple(
                    _destination(one, key.port) for one in behind if words.is_address(one.get("server", ""))
                )
                found.append(VirtualService(key=key, state=state, destinations=destinations))
    return tuple(found)


def _destination(fields: Fields, port: int) -> Destination:
    weight = min(words.number(fields.get("weight", "")), 65_535)
    return Destination(address=canonical(fields["server"]), port=port, state=DestinationState(weight=weight))


def states(deployment: Deployment, config: Ldirectord) -> tuple[BoxState, ...]:
    """What checks each real server that it has, for there is nothing about what came of it."""
    found = []
    for vip in deployment.vips:
        for service in vip.services:
            label = words.virtual_at(config, deployment.name, words.key_of(vip, service))
            for server in deployment.servers_of(vip):
                rip = server.rip_for(vip)
                if rip is not None and label and words.real_at(config, label, rip):
                    check = config.virtuals[label].get("check", "")
                    found.append(BoxState(vip=vip.address, service=service.label, server=server.name, state="",
                                          monitor=check))  # fmt: skip
    return tuple(found)
