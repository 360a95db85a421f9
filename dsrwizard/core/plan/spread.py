"""The plan for other directors that announce the VIPs by BGP beside this one. Pure.

Each of them is planned as this machine is: what it would do with the same file of its own, which names no peers. So all
have the same table, and each one's guard reads a file of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec

from dsrwizard.core.model.changes import AddressChange, Change, DestinationChange, DestinationState, ServiceChange
from dsrwizard.core.model.deployment import Deployment, PeerDirector
from dsrwizard.core.model.facts import DirectorFacts, Observed
from dsrwizard.core.model.steps import HostPlan, Step
from dsrwizard.core.plan.director import plan_director
from dsrwizard.core.plan.standing import standing
from dsrwizard.core.plan.unlooked import unseen
from dsrwizard.core.record.owed import identity

UNSEEN = "Nobody has looked at it as a director yet. Run this again."


def as_there(deployment: Deployment, peer: PeerDirector) -> Deployment:
    """The deployment as that director has it."""
    director = deployment.director
    names = {one.name for one in director.peers}
    theirs = msgspec.structs.replace(director, interface=director.interface_of(peer), address=peer.address, peers=())
    servers = tuple(server for server in deployment.servers if server.name not in names)
    return msgspec.structs.replace(deployment, director=theirs, servers=servers)


def plan_peers(
    deployment: Deployment, observed: Observed, able: frozenset[str], leaving: Collection[Change] = ()
) -> list[HostPlan]:
    """The plans of the other directors, in the order of the file; none without BGP."""
    if not deployment.director.spread:
        return []
    hosts = []
    for peer in deployment.director.peers:
        facts = observed.servers.get(peer.name)
        if facts is None:
            hosts.append(unseen(peer.name, observed))
        elif facts.director is None:
            hosts.append(HostPlan(host=peer.name, problem=UNSEEN))
        else:
            hosts.append(on(peer.name, plan_director(as_there(deployment, peer), facts.director, able, leaving)))
    return hosts


def on(name: str, made: HostPlan) -> HostPlan:
    """A plan for this machine as one for another director."""
    steps = tuple(msgspec.structs.replace(step, host=name) for step in made.steps)
    return msgspec.structs.replace(made, host=name, steps=steps)


def not_taken(steps: Sequence[Step], facts: DirectorFacts) -> list[str]:
    """Titles of steps that are done and whose table or VIP is not there. A weight is a guard's to change."""
    last = {identity(change): (change, step) for step in steps for change in step.changes}
    return [
        step.title
        for change, step in last.values()
        if isinstance(change, AddressChange | ServiceChange | DestinationChange)
        and _but_weight(standing(change, facts)) != _but_weight(change.new)
    ]


def _but_weight(state: object) -> object:
    return msgspec.structs.replace(state, weight=0) if isinstance(state, DestinationState) else state
