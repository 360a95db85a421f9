"""An existing farm as a deployment: from this director's own IPVS or from people's files, with what was seen on it.

Nothing here changes anything. Every thing that a deployment cannot say has a note; the notes stand in the deployment
file as comments, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from ipaddress import ip_interface

import msgspec

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.intake.draft import Draft, DraftBalancer, DraftServer
from dsrwizard.core.intake.expressible import product_problems
from dsrwizard.core.intake.importers.common import Collector, Imported, listed, not_taken
from dsrwizard.core.intake.importers.farm import Balanced, Behind, taken
from dsrwizard.core.intake.problems import shown
from dsrwizard.core.model.deployment import Address, Deployment, RealServer
from dsrwizard.core.model.facts import DirectorFacts, Failure, Interface, ServerFacts, VirtualService
from dsrwizard.core.model.foreign import one_line

_LOGIN = ("user", "port", "identity_file", "connect", "winrm", "auth", "ca_file", "dns_name", "kerberos_service")
_BLANK = DraftServer()
_ONE_PACKET = 0x4
"""IP_VS_SVC_F_ONEPACKET (linux/ip_vs.h)."""


def live(facts: DirectorFacts, names: Mapping[str, str]) -> Imported:
    """The farm in this director's IPVS. `names`: address → name, from /etc/hosts."""
    found = Collector()
    for text in facts.foreign_services:
        found.note(
            not_taken(
                f"the IPVS service {shown(text)}", "a deployment names a VIP with a TCP or UDP port, and nothing else"
            )
        )
    own = [entry.address for interface in facts.interfaces for entry in interface.addresses]
    ordered = sorted(facts.services or (), key=lambda one: (_order(one.key.address), one.key.protocol, one.key.port))
    result = taken([_balanced(service) for service in ordered], found, names, own)
    result.interface = director_interface(facts, result, "")
    return result


def _order(address: str) -> tuple[int, int]:
    """The kernel lists by its hash table; people count addresses."""
    ip = fields.parsed(address)
    return (ip.version, int(ip)) if ip is not None else (9, 0)


def _balanced(service: VirtualService) -> Balanced:
    state = service.state
    extras = []
    if state.flags:
        extras.append("one-packet scheduling" if state.flags & _ONE_PACKET else f"the flags {state.flags:#x}")
    if state.netmask is not None:
        extras.append("the netmask of its persistence")
    if state.persistence_engine:
        extras.append(f"the persistence engine {shown(state.persistence_engine)}")
    return Balanced(
        vip=service.key.address, protocol=service.key.protocol, port=service.key.port, scheduler=state.scheduler,
        persistence=state.persistence, extras=extras,
        behind=[
            Behind(
                address=one.address, port=one.port, weight=one.state.weight, method=one.state.method,
                thresholds=bool(one.state.upper or one.state.lower),
            )
            for one in sorted(service.destinations, key=lambda one: _order(one.address))
        ],
    )  # fmt: skip


def director_interface(facts: DirectorFacts, farm: Imported, told: str) -> str:
    """The director's interface in the real servers' network: where most of their addresses are on the link; else the
    one that the file tells, if it is here; else the one that has a VIP. Empty: it cannot be seen."""
    rips = [ip for one in farm.servers for text in (one.address, one.address6) if (ip := fields.parsed(text))]
    usable = [one for one in facts.interfaces if not _silent(one) and fields.director_interface(one.name) is None]
    votes = {
        one.name: sum(
            any(ip in ip_interface(f"{entry.address}/{entry.prefix}").network for entry in one.addresses) for ip in rips
        )
        for one in usable
    }
    best = max(votes, key=lambda name: votes[name], default="")
    if best and votes[best]:
        return best
    if told in votes:
        return told
    return next((one.name for one in usable if any(one.has(vip.address) for vip in farm.vips)), "")


def _silent(interface: Interface) -> bool:
    """Whether this cannot be where the servers are."""
    return interface.name == "lo" or interface.kind in ("dummy", "ifb", "ip6tnl", "ipip", "sit", "tunl")


def merged(
    farm: Imported, lists: Sequence[Imported], addresses: Mapping[str, Collection[str]]
) -> tuple[Imported, frozenset[str]]:
    """The farm with names and logins from lists of servers, by address; and the servers whose login is from a list.

    `addresses`: those of a name, from /etc/hosts, for lists that give names alone.
    """
    told: dict[Address, DraftServer] = {}
    for server in (server for one in lists for server in one.servers):
        texts = [server.address, server.address6, *addresses.get(server.address.lower(), ())]
        for ip in (ip for text in texts if (ip := fields.parsed(text)) is not None):
            told.setdefault(ip, server)
    used = {server.name.lower() for server in farm.servers}
    merged_as: dict[int, DraftServer] = {}
    servers: list[DraftServer] = []
    logins: set[str] = set()
    for server in farm.servers:
        known = next((told[ip] for ip in _addresses(server) if ip in told), None)
        if known is None:
            servers.append(server)
        elif id(known) in merged_as:
            _join(merged_as[id(known)], server, len(farm.vips))
        else:
            new = _named(server, known, used)
            merged_as[id(known)] = new
            servers.append(new)
            if any(getattr(known, key) != getattr(_BLANK, key) for key in _LOGIN):
                logins.add(new.name)
    notes = [*farm.notes, *(note for one in lists for note in one.notes)]
    for one in lists:
        spare = [server.name for server in one.servers if id(server) not in merged_as]
        if spare:
            notes.append(not_taken(listed(spare), "no service of the farm sends to an address of theirs"))
    joined = Imported(
        servers=servers, notes=list(dict.fromkeys(notes)), vips=farm.vips, interface=farm.interface,
        external=farm.external, engine=farm.engine, name=farm.name,
    )  # fmt: skip
    return joined, frozenset(logins)


def _addresses(server: DraftServer) -> list[Address]:
    return [ip for text in (server.address, server.address6) if (ip := fields.parsed(text)) is not None]


def _named(server: DraftServer, known: DraftServer, used: set[str]) -> DraftServer:
    """A server of the farm with the name and the login of a list."""
    new = msgspec.structs.replace(server, **{key: getattr(known, key) for key in _LOGIN})
    name = known.name.lower()
    if fields.server_name(known.name) is None and (name == server.name.lower() or name not in used):
        new.name = known.name
        used.add(name)
    return new


def _join(first: DraftServer, again: DraftServer, vips: int) -> None:
    """One machine that stands in the farm twice: with an address of each family."""
    ip, other = fields.parsed(first.address), fields.parsed(again.address)
    if ip is not None and other is not None and ip.version != other.version:
        pair = (first.address, again.address)
        first.address, first.address6 = pair if ip.version == 4 else pair[::-1]
    served = [*(first.vips or ()), *(again.vips or ())]
    first.vips = None if len(set(served)) >= vips else list(dict.fromkeys(served))


def drafted(farm: Imported, name: str, interface: str, balancer: DraftBalancer | None = None) -> Draft:
    """The farm as a draft, to be validated; `balancer`: where it was read, kept if it is driven. A product is named
    where the deployment can say what stands there, such as weights that its scheduler does not heed; otherwise it is
    any other product."""
    draft = Draft(name=name, interface=interface, engine=farm.engine, vips=farm.vips, servers=farm.servers)
    if not farm.engine or any(product_problems(draft)):
        draft.engine = "external" if farm.external else "netlink"
    elif balancer is not None:
        draft.balancer = balancer
    return draft


def seen_here(farm: Imported, facts: DirectorFacts | None, interface: str) -> list[str]:
    """Notes on what this machine shows of the farm: whether it is its director, where the VIPs and the router are."""
    if facts is None or farm.external:
        return []
    notes = []
    names = ", ".join(vip.address for vip in farm.vips if not _carrying(facts.interfaces, vip.address))
    if facts.interface(interface) is None:
        notes.append(f"This machine has no interface {shown(interface)}: run verify on the director.")
    elif names:
        notes.append(f"This machine does not have {names}: run verify on the director.")
    for vip in farm.vips:
        on = [one.name for one in _carrying(facts.interfaces, vip.address)]
        if on:
            notes.append(f"{vip.address} is on {' and '.join(on)} of this machine.")
    for route in facts.default_routes:
        if route.gateway:
            notes.append(f"The router is {route.gateway} on {route.interface}.")
    return notes


def _carrying(interfaces: Collection[Interface], address: str) -> list[Interface]:
    return [one for one in interfaces if fields.parsed(address) is not None and one.has(address)]


def with_looks(
    deployment: Deployment, seen: Mapping[str, ServerFacts], failed: Mapping[str, Failure], told: Collection[str]
) -> tuple[Deployment, list[str]]:
    """The deployment with what a look at its servers showed: where each has its VIPs, and whether it can be logged in.

    A server without a login is set to `manual`: verify then proves it from the wire alone. `told`: servers whose login
    is from a file; they keep it.
    """
    servers: list[RealServer] = []
    notes: list[str] = []
    untried: list[str] = []
    for server in deployment.servers:
        new = server
        if server.name in seen:
            new = _placed(deployment, server, seen[server.name], notes)
        elif server.connect != "manual":
            why = failed[server.name].text if server.name in failed else ""
            if server.name not in told:
                new = msgspec.structs.replace(server, connect="manual", user=None, port=None, identity_file=None)
                if why:
                    notes.append(f'{server.name} got connect = "manual", so verify sees it from the wire only: {why}')
                else:
                    untried.append(server.name)
            elif why:
                notes.append(f"{server.name} could not be looked at: {why}")
        servers.append(new)
    if untried:
        more = f" and {len(untried) - 4} more" if len(untried) > 4 else ""
        notes.append(f'{", ".join(untried[:4])}{more} got connect = "manual", so verify sees them from the wire only.')
    return msgspec.structs.replace(deployment, servers=tuple(servers)), notes


def _placed(deployment: Deployment, server: RealServer, facts: ServerFacts, notes: list[str]) -> RealServer:
    votes: Counter[str] = Counter()
    for vip in deployment.vips_of(server):
        there = facts.carrying(vip.address)
        quiet = [one for one in there if one.name == "lo" or one.kind == "dummy"]
        for one in quiet[:1]:
            votes[one.name] += 1
        for one in there:
            if one not in quiet:
                notes.append(
                    f"{server.name} has {vip.address} on {one.name}, which is neither lo nor a dummy interface."
                )
        if not there and not facts.addresses_unknown:
            notes.append(f"{server.name} does not have {vip.address}.")
    if facts.windows is not None or not votes:
        return server
    (chosen, _), *others = votes.most_common()
    if others:
        notes.append(f"{server.name} has VIPs on {' and '.join(votes)}: {chosen} was set.")
    return msgspec.structs.replace(server, vip_interface=chosen) if fields.vip_interface(chosen) is None else server


def written(deployment: Deployment, sources: Sequence[str], notes: Sequence[str]) -> str:
    """The deployment file: where it is from and what was not imported as comments, then the deployment."""
    head = [f"Adopted from {' and '.join(sources)}. Nothing was changed on any host.", *notes]
    return "".join(f"# {one_line(line)}\n" for line in head) + dumps(deployment)
