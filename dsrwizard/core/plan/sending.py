"""Whether the director sends clients to a real server, which then must keep the VIP and its guard. Pure.

Any service counts, also one of others: whoever sends, a server without the VIP drops what comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from dsrwizard.core.dialects.keepalived.reading import destinations_in
from dsrwizard.core.model.changes import (
    GUARD_FILE,
    AddressChange,
    Change,
    DestinationChange,
    DestinationState,
    FileChange,
    LinkChange,
    ServiceChange,
    ServiceKey,
    SysctlChange,
)
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import DirectorFacts, Observed, ServerFacts, VirtualService
from dsrwizard.core.model.keepalived import is_services_file
from dsrwizard.core.model.steps import DIRECTOR, UNDO, HostPlan, Plan, Step
from dsrwizard.core.model.values import canonical

_NEEDS_VIP = ("dr", "tun")
"""Forwarding methods under which a packet for the VIP reaches the server."""
_SILENT = ("1", "2")
"""Values of arp_ignore under which a VIP on lo is not told of (ip-sysctl)."""
_SHOWN = 3


class SentTo(msgspec.Struct, frozen=True):
    """A destination that gets clients: the service in words, its VIP (empty: a service by firewall mark, which may have
    any), the server's address and its weight."""

    service: str
    vip: str
    address: str
    weight: int


def sent_now(services: Iterable[VirtualService], facts: DirectorFacts | None = None) -> list[SentTo]:
    """Every destination with a weight that is reached with the VIP as its address."""
    found = [
        SentTo(_label(service.key), canonical(service.key.address), canonical(one.address), one.state.weight)
        for service in services
        for one in service.destinations
        if _reached(one.state)
    ]
    for other in facts.others if facts else ():
        found += [
            SentTo(other.label, "", canonical(address), state.weight)
            for address, _port, state in other.destinations
            if _reached(state)
        ]
    return found


def _label(key: ServiceKey) -> str:
    return f"{key.address} {key.protocol}/{key.port}"


def _reached(state: DestinationState) -> bool:
    return state.weight > 0 and state.method in _NEEDS_VIP


def _afterwards(found: Sequence[SentTo], steps: Iterable[Step]) -> list[SentTo]:
    """What is sent once the director's steps have run."""
    left = {(sent.service, sent.address): sent for sent in found}
    for change in (change for step in steps for change in step.changes):
        match change:
            case DestinationChange(service=key, address=address, new=new):
                place = (_label(key), canonical(address))
                left.pop(place, None)
                if new is not None and _reached(new):
                    left[place] = SentTo(_label(key), canonical(key.address), canonical(address), new.weight)
            case FileChange(path=path, old=old, new=rest) if is_services_file(path):
                there, stays = destinations_in(old), destinations_in(rest)
                left = {place: sent for place, sent in left.items() if place not in there or place in stays}
            case ServiceChange(service=key, new=None):
                left = {place: sent for place, sent in left.items() if sent.service != _label(key)}
            case _:
                pass
    return list(left.values())


def taken(step: Step) -> tuple[str, ...] | None:
    """The VIPs that a server's step takes away; the guard and its adapter count for all of them (an empty tuple). None:
    it takes none. A VIP whose prefix is put right in the same step is not taken."""
    vips = []
    for number, change in enumerate(step.changes):
        match change:
            case AddressChange(address=address, new=False):
                if not any(_brings(later, address) for later in step.changes[number + 1 :]):
                    vips.append(canonical(address))
            case _ if _relaxes(change):
                return ()
    return tuple(vips) or None


def _brings(change: Change, address: str) -> bool:
    return isinstance(change, AddressChange) and change.new and canonical(change.address) == canonical(address)


def _relaxes(change: Change) -> bool:
    match change:
        case LinkChange(new=False):
            return True
        case SysctlChange(key=key, old=old, new=new) if key.endswith(".arp_ignore"):
            return old in _SILENT and new not in _SILENT
        case SysctlChange(key=key, old=old, new=new) if key.endswith(".arp_announce"):
            return old == "2" != new
        case FileChange(path=path, new=None):
            return path == GUARD_FILE
        case _:
            return False


def addresses_of(server: RealServer | None, facts: ServerFacts | None) -> frozenset[str]:
    """Every address by which the director may reach this machine."""
    known = {server.address, server.address6 or server.address} if server is not None else set()
    known |= {entry.address for link in (facts.interfaces if facts else ()) for entry in link.addresses}
    return frozenset(map(canonical, known))


def still_sent(steps: Iterable[Step], addresses: frozenset[str], sent: Iterable[SentTo]) -> list[SentTo]:
    """What is still sent to this machine that these steps take the VIP or its guard from. `addresses`: all that it has,
    its VIPs with them: the guard is there for those alone."""
    mine = [one for one in sent if one.address in addresses]
    takes = [vips for step in steps if (vips := taken(step)) is not None]
    return [one for one in mine if any(not one.vip or one.vip in (vips or addresses) for vips in takes)]


def told(sent: Sequence[SentTo]) -> str:
    """`10.0.0.10 tcp/80 to 10.0.0.101, weight 1`."""
    words = [f"{one.service} to {one.address}, weight {one.weight}" for one in sent]
    more = f"; and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return "; ".join(words[:_SHOWN]) + more


def kept_where_sent(
    plan: Plan, deployment: Deployment, observed: Observed, servers: Sequence[RealServer], before: Sequence[Step]
) -> Plan:
    """The plan without steps that would take the VIP from a machine that the director still sends to when it is their
    turn; a note says why they wait. `before` are the director's steps that run earlier.

    A load balancer that cannot be asked is left to the operator, with a word of warning in the steps.
    """
    named = {server.name: server for server in servers}
    asked = deployment.director.driven or observed.director is not None
    facts = observed.director
    sent = _afterwards(sent_now((facts.services or ()) if facts else (), facts), before)
    hosts = []
    for host in plan.hosts:
        if host.host == DIRECTOR or all(taken(step) is None for step in host.steps):
            hosts.append(host)
            continue
        addresses = addresses_of(named.get(host.host), observed.servers.get(host.host))
        warned = _warned(host, named.get(host.host)) if not deployment.director.driven else host
        hosts.append(_held(warned, addresses, sent) if asked else warned)
    return msgspec.structs.replace(plan, hosts=tuple(hosts))


def _held(host: HostPlan, addresses: frozenset[str], sent: Sequence[SentTo]) -> HostPlan:
    still = still_sent(host.steps, addresses, sent)
    if not still:
        return host
    # All that is taken back, for a VIP without what belongs to it serves nobody; and what the next boot would do.
    steps = tuple(step for step in host.steps if not step.id.startswith(UNDO) and step.purpose != "persistence")
    note = (
        f"The VIP stays on {host.host}, because the director still sends clients there: {told(still)}. Set that weight "
        "to 0 or remove the destination, then run this again."
    )
    return msgspec.structs.replace(host, steps=steps, notes=(*host.notes, note))


def _warned(host: HostPlan, server: RealServer | None) -> HostPlan:
    where = f"{host.host} ({server.address})" if server is not None else host.host
    word = f"Before this, make sure that the load balancer no longer sends to {where}: dsrwizard cannot ask it."
    steps = tuple(
        msgspec.structs.replace(step, interrupts=f"{step.interrupts} {word}".strip())
        if taken(step) is not None
        else step
        for step in host.steps
    )
    return msgspec.structs.replace(host, steps=steps)
