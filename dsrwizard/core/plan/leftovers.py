"""Leftovers of earlier runs: servers, VIPs and services that are no longer in the deployment. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_address

import msgspec

from dsrwizard.core.model.changes import AddressChange, DestinationChange, ServiceChange
from dsrwizard.core.model.deployment import Deployment, RealServer, same_in
from dsrwizard.core.model.keepalived import hosts_of
from dsrwizard.core.model.steps import DIRECTOR, Plan
from dsrwizard.core.plan.bird import refuse_other_way
from dsrwizard.core.plan.departed import departed, without_the_dead
from dsrwizard.core.plan.director import key_of
from dsrwizard.core.plan.keepalived_back import refuse_change_back
from dsrwizard.core.plan.order import leaves, leftovers_last, nothing_able
from dsrwizard.core.plan.plan import plan
from dsrwizard.core.plan.sending import kept_where_sent
from dsrwizard.core.plan.teardown import teardown_plan
from dsrwizard.core.plan.waves import staked
from dsrwizard.core.plan.whereabouts import Whereabouts
from dsrwizard.core.record.owed import Owed

Needed = tuple[Sequence[Owed], Sequence[Deployment], Mapping[str, Collection[str] | None]]
"""What other deployments owe, themselves, and those whose journals cannot be read: see `teardown_plan`."""


PERSISTENCE = "persistence"
"""The step that has a boot bring back what netlink set."""


def obsolete(deployment: Deployment, owed: Sequence[Owed]) -> list[Owed]:
    """The owed changes nobody asks for any more."""
    return [item for item in owed if not _wanted(deployment, item)]


def _wanted(deployment: Deployment, item: Owed) -> bool:
    change = item.change
    if item.host != DIRECTOR:
        server = next((entry for entry in hosts_of(deployment) if entry.name == item.host), None)
        if server is None or server.address != item.address:
            return False
        if not (deployment.director.spread and any(peer.name == item.host for peer in deployment.director.peers)):
            return not isinstance(change, AddressChange) or any(
                same_in(change.address, (vip.address,)) for vip in deployment.vips_of(server)
            )
    if not deployment.director.driven:
        return False  # another product balances now
    if item.step == PERSISTENCE and deployment.director.engine == "keepalived":
        return False  # keepalived's unit brings everything back at boot
    services = {key_of(vip, service): vip for vip in deployment.vips for service in vip.services}
    match change:
        case AddressChange(address=address):
            return any(same_in(address, (vip.address,)) for vip in deployment.vips)
        case ServiceChange(service=key):
            return key in services
        case DestinationChange(service=key, address=address):
            if key not in services:
                return False
            rips = {server.rip_for(services[key]) for server in deployment.servers_of(services[key])}
            return ip_address(address) in {ip_address(rip) for rip in rips if rip}
        case _:
            return True


def with_leftovers(
    deployment: Deployment, where: Whereabouts, owed: Sequence[Owed], needed: Needed, leaving: Sequence[RealServer]
) -> Plan:
    """The whole plan of an apply: the deployment is brought about, then goes what nobody asks for any more.

    `owed` is what stands by the deployment's journal, `needed` what other deployments need, `leaving` servers that may
    have left.
    """
    refuse_change_back(deployment, owed)
    if deployment.director.in_kernel:
        refuse_other_way(deployment, owed)
    seen = where.seen()
    gone = obsolete(deployment, where.rehomed(owed))
    made = plan(deployment, seen, [item.change for item in gone])
    if gone and not nothing_able(made, {server.name for server in deployment.servers}):
        made = leftovers_last(made, teardown_plan(deployment.name, gone, seen, *needed))
        director = next((host.steps for host in made.hosts if host.host == DIRECTOR), ())
        ground = [step for step in director if not step.server or leaves(step)]
        made = kept_where_sent(made, deployment, seen, (*leaving, *deployment.servers), ground)
    made = without_the_dead(made, departed(leaving, where.rehomed(owed)), seen, deployment)
    return staked(_with_owners(where.noted(made, owed), deployment, owed, needed[1]), deployment, seen)


def _with_owners(made: Plan, deployment: Deployment, owed: Sequence[Owed], others: Sequence[Deployment]) -> Plan:
    """The plan with a note about services that another deployment set up and still has: it may be this one's former
    name, and the journal goes by the name."""
    mine = {item.change.service for item in owed if isinstance(item.change, ServiceChange)}
    keys = {key_of(vip, service) for vip in deployment.vips for service in vip.services} - mine
    notes = []
    for other in others:
        shared = [key for vip in other.vips for service in vip.services if (key := key_of(vip, service)) in keys]
        if shared and other.director.engine == deployment.director.engine == "netlink":
            what = ", ".join(f"{key.address} {key.protocol}/{key.port}" for key in shared)
            notes.append(
                f"The deployment {other.name} is in force and has {what} as well. If {deployment.name} is its new "
                f"name, keep the name {other.name} in the file, or run the teardown of {other.name} first: what "
                f"dsrwizard changed is in the journal of {other.name}, and only its teardown undoes that."
            )
    hosts = tuple(
        msgspec.structs.replace(host, notes=(*notes, *host.notes)) if host.host == DIRECTOR else host
        for host in made.hosts
    )
    return msgspec.structs.replace(made, hosts=hosts)


def taken_back(
    deployment: Deployment,
    where: Whereabouts,
    owed: Sequence[Owed],
    back: Sequence[Owed],
    needed: Needed,
    leaving: Sequence[RealServer],
) -> Plan:
    """The whole plan that takes `back` changes, which are under the deployment's own names for the hosts. `owed` is all
    that its journal says, of which something may be on no host of it."""
    seen = where.seen()
    made = teardown_plan(deployment.name, back, seen, *needed)
    director = next((host.steps for host in made.hosts if host.host == DIRECTOR), ())
    before = [step for step in director if step.phase != "prepare"]
    return where.noted(kept_where_sent(made, deployment, seen, (*leaving, *deployment.servers), before), owed)
