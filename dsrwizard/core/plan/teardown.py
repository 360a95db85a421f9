"""The teardown plan: changes to undo and current facts in, steps out. Pure.

Only what is still as dsrwizard left it is undone; what somebody else has changed since is left alone, with a note. The
order is the order of safety in reverse: drain, take the destination out, then service, director's VIP, the
servers' VIPs, and the guard only when no VIP is left on that server.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import get_args

import msgspec

from dsrwizard.core.model.bird import BIRD_CONF
from dsrwizard.core.model.changes import (
    OPERATORS_FILES,
    AddressChange,
    Change,
    DestinationChange,
    FileChange,
    FileState,
    FolderChange,
    LinkChange,
    ModeChange,
    SavedTableChange,
    ServiceChange,
    SysctlChange,
    UnitChange,
    WindowsChange,
    aside,
    torn,
)
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import DirectorFacts, Observed, ServerFacts
from dsrwizard.core.model.guarding import GUARD_UNITS
from dsrwizard.core.model.restoring import saved_path
from dsrwizard.core.model.steps import DIRECTOR, UNDO, HostPlan, Phase, Plan, Step
from dsrwizard.core.model.values import parsed
from dsrwizard.core.plan.appliance import in_use
from dsrwizard.core.plan.bird import in_order, line_only, of_bird
from dsrwizard.core.plan.director_boot import NETWORKD
from dsrwizard.core.plan.guard_unit import GUARD_STEP
from dsrwizard.core.plan.keepalived_back import keepalived_back, of_keepalived, undo_keepalived
from dsrwizard.core.plan.standing import NOT_SEEN, as_director, standing
from dsrwizard.core.plan.unlooked import unseen
from dsrwizard.core.record.owed import Owed

_PHASES = get_args(Phase)


def teardown_plan(
    deployment: str,
    owed: Sequence[Owed],
    observed: Observed,
    shared: Sequence[Owed] = (),
    others: Sequence[Deployment] = (),
    unread: Mapping[str, Collection[str] | None] | None = None,
) -> Plan:
    """Steps that take back everything owed. `shared` is what other deployments still need on the same hosts; `others`
    are those deployments: a VIP that was there when they came is in nobody's books but ours, and theirs all the same.
    `unread`: deployments whose journals cannot be read, with the addresses of their servers as far as those are known:
    what they need is not known.
    """
    unread = unread or {}
    names = dict.fromkeys(item.host for item in owed)
    hosts = []
    if DIRECTOR in names:
        needed = any(item.host == DIRECTOR for item in shared)
        hosts.append(_director(DIRECTOR, owed, observed, needed, others, unread))
    for name in names:
        facts = observed.servers.get(name)
        if facts is not None and facts.director is not None:
            hosts.append(_other_director(name, owed, facts.director, shared, others, unread))
        elif name != DIRECTOR:
            mine = [item for item in owed if item.host == name]
            reached = {item.address for item in mine}
            here = [one for one, where in unread.items() if where is None or reached & set(where)]
            hosts.append(_server(name, mine, observed, shared, others, here))
    return Plan(deployment=deployment, hosts=tuple(hosts))


def _backwards(owed: Sequence[Owed]) -> list[Owed]:
    """By phase first: a guard that was set after the VIP, because somebody had cleared it, still outlives the VIP. A
    link after the addresses on it, also those from other books."""
    return sorted(owed, key=lambda item: (-_PHASES.index(item.phase), isinstance(item.change, LinkChange), -item.order))


# --- a real server ---------------------------------------------------------------------------------------------------


def _server(
    name: str,
    owed: Sequence[Owed],
    observed: Observed,
    shared: Sequence[Owed],
    others: Sequence[Deployment],
    unread: Sequence[str],
) -> HostPlan:
    facts = observed.servers.get(name)
    if facts is None:
        return unseen(name, observed)
    reached = {item.address for item in owed}
    theirs = {
        vip.ip: other.name
        for other in others
        for server in other.servers
        if server.address in reached
        for vip in other.vips_of(server)
    }
    leaving = {
        item.change.address
        for item in owed
        if isinstance(item.change, AddressChange) and ip_address(item.change.address) not in theirs
    }
    needed_by = _other_vips(facts, leaving, [item for item in shared if item.address in reached])
    steps: list[Step] = []
    notes: list[str] = []
    kept = [item for item in owed if of_keepalived(item)]
    steps += _keepalived(kept, facts, others, notes)
    guards = [item for item in owed if item.step == GUARD_STEP]
    steps += _no_boot(guards, facts, notes)
    owed = [item for item in owed if item not in kept and item not in guards]
    for step in dict.fromkeys(item.step for item in _backwards(owed)):
        items = [item for item in _backwards(owed) if item.step == step]
        if items[0].phase == "guard" and needed_by:
            notes.append(f"The guard stays because it is still needed for {', '.join(needed_by)}.")
            continue
        if items[0].phase == "guard" and unread:
            notes.append(f"The guard stays: {_perhaps(unread)}.")
            continue
        changes: list[Change] = []
        for item in items:
            note = _stays(item.change, facts, leaving, theirs)
            change = None
            if not note:
                change, note = _back(item, standing(item.change, facts))
            changes += _beside(item.change, facts)  # first: a file that is put back is written there
            changes += [change] if change else []
            notes += [note] if note else []
        if any(isinstance(change, FileChange) and "/systemd/" in change.path for change in changes):
            changes.append(UnitChange())
        if changes:
            steps.append(_undo(items[0], changes))
    return HostPlan(host=name, steps=tuple(steps), notes=tuple(notes))


def _beside(change: Change, facts: ServerFacts) -> list[Change]:
    """Removes what a host that was cut off left beside a file of ours."""
    if not isinstance(change, FileChange):
        return []
    left = facts.files.get(aside(change.path))
    return [FileChange(path=aside(change.path), old=left, new=None)] if left is not None else []


def _stays(
    change: Change, facts: ServerFacts, leaving: set[str], theirs: Mapping[IPv4Address | IPv6Address, str]
) -> str:
    """Why something of ours stays though we go: others use it. Empty: it does not."""
    match change:
        case AddressChange(address=address, new=True):
            other = theirs.get(ip_address(address))
            return f"The VIP {address} stays: the deployment {other} needs it." if other else ""
        case LinkChange(interface=name, new=True):
            link = facts.interface(name)
            taken_back_by_others = {ip_address(address) for address in leaving}
            left = [
                entry.address
                for entry in (link.addresses if link else ())
                if entry.scope != "link" and parsed(entry.address) not in taken_back_by_others
            ]
            return f"The interface {name} stays: it carries {', '.join(left)}." if left else ""
        case SysctlChange(key=name) if name.endswith(".keep_addr_on_down"):
            link = facts.interface(name.split(".")[-2].replace("/", "."))
            gone = {ip_address(address) for address in leaving}
            six = [
                entry.address
                for entry in (link.addresses if link else ())
                if entry.prefix == 128 and not parsed(entry.address).is_loopback and parsed(entry.address) not in gone
            ]
            return f"{name} stays: {', '.join(six)} needs it." if six else ""
        case _:
            return ""


def _other_vips(facts: ServerFacts, leaving: set[str], shared: Sequence[Owed]) -> list[str]:
    """VIPs that stay on the server: the guard is theirs too."""
    ours = {ip_address(address) for address in leaving}
    found = [
        entry.address
        for interface in facts.interfaces
        if interface.name == "lo" or interface.kind == "dummy"
        for entry in interface.addresses
        if entry.prefix == 32 and not ip_address(entry.address).is_loopback and ip_address(entry.address) not in ours
    ]
    found += [item.change.address for item in shared if isinstance(item.change, AddressChange)]
    return list(dict.fromkeys(found))


# --- the director ----------------------------------------------------------------------------------------------------


def _perhaps(unread: Collection[str]) -> str:
    names = ", ".join(unread)
    return f"the journal of {names} cannot be read, and that deployment may need it"


def _other_director(
    name: str,
    owed: Sequence[Owed],
    facts: DirectorFacts,
    shared: Sequence[Owed],
    others: Sequence[Deployment],
    unread: Collection[str],
) -> HostPlan:
    """A director beside this one that announces the VIPs, too: what is taken back there is what is taken back here."""
    reached = {item.address for item in owed if item.host == name}
    there = [one for one in others if reached & {peer.address for peer in one.director.peers}]
    needed = any(item.address in reached for item in shared)
    return _director(name, owed, Observed(director=facts), needed, there, unread)


def _director(
    name: str,
    owed: Sequence[Owed],
    observed: Observed,
    shared: bool,
    others: Sequence[Deployment],
    unread: Collection[str],
) -> HostPlan:
    """`shared`: other deployments owe something on it, too."""
    facts = observed.director
    if facts is None:
        return unseen(name, observed)
    if not facts.privileged and facts.balancer is None:
        return HostPlan(
            host=name,
            problem="Changing IPVS and addresses needs root, or CAP_NET_ADMIN and CAP_NET_RAW. Run it with sudo.",
        )
    mine = _backwards([item for item in owed if item.host == name])
    if facts.services is None and facts.module_loaded is not False and any(_of_ipvs(item.change) for item in mine):
        return HostPlan(host=name, problem=f"{facts.ipvs_problem} {facts.ipvs_next}".strip())
    notes: list[str] = []
    balancing = _keepalived([item for item in mine if of_keepalived(item)], facts, others, notes)
    mine = [item for item in mine if not of_keepalived(item)]
    drains = _drains(mine, facts)
    steps: list[Step] = []
    here = [other for other in others if other.director.in_kernel]
    needed = bool(here) or shared
    leaving = [item.change for item in mine if isinstance(item.change, DestinationChange)]
    ours = {item.change.service for item in mine if isinstance(item.change, ServiceChange | DestinationChange)}
    kept = {ip_address(service.key.address) for service in facts.services or () if service.key not in ours}
    kept |= {vip.ip for other in here for vip in other.vips}
    boots = [item for item in mine if isinstance(item.change, FileChange | SavedTableChange)]
    # First what a boot runs: a power cut in the middle must not bring the rest back. Last what keeps the VIP in place.
    bird = [item for item in boots if of_bird(item.change)]
    boots = [item for item in boots if item not in bird]
    keeping = [item for item in boots if isinstance(item.change, FileChange) and item.change.path.startswith(NETWORKD)]
    steps += _no_boot([item for item in boots if item not in keeping], facts, notes)
    steps += _no_bgp(bird, facts, here, notes)
    for item in mine:
        if item in boots or item in bird:
            continue
        if isinstance(item.change, ServiceChange) and item.change.old is None:
            strangers = _strangers(item.change, leaving, facts)
            if strangers:
                kept.add(ip_address(item.change.service.address))
                notes.append(
                    f"Service {item.change.service.address} {item.change.service.protocol}/{item.change.service.port} "
                    f"stays: dsrwizard did not add {', '.join(strangers)} behind it."
                )
                continue
        if isinstance(item.change, AddressChange) and item.change.new and ip_address(item.change.address) in kept:
            notes.append(f"The VIP {item.change.address} stays: another service uses it.")
            continue
        if stays := in_use(item.change, facts, mine):
            notes.append(stays)
            continue
        if item.phase == "prepare" and needed and facts.balancer is None:
            notes.append(f"{item.title} stays: another deployment on this director needs it.")
            continue
        if item.phase == "prepare" and unread:
            notes.append(f"{item.title} stays: {_perhaps(unread)}.")
            continue
        change, note = _back(item, standing(item.change, facts))
        if (
            isinstance(change, DestinationChange)
            and change.new is None
            and change.old is not None
            and change.old.weight
        ):
            change = msgspec.structs.replace(change, old=msgspec.structs.replace(change.old, weight=0))
        notes += [note] if note else []
        if change:
            steps.append(_undo(item, [change]))
    steps += _no_boot(keeping, facts, notes, " of the network manager")
    return HostPlan(host=name, steps=_distinct((*balancing, *drains, *steps)), notes=tuple(notes))


def _keepalived(
    items: Sequence[Owed], facts: DirectorFacts | ServerFacts, others: Sequence[Deployment], notes: list[str]
) -> list[Step]:
    """The step, if any, that takes back keepalived's part; `notes` get more of them."""
    by = facts.keepalived.by if facts.keepalived is not None else "unit"
    changes, told = keepalived_back(items, lambda change: standing(change, facts), _back, others, by)
    notes += told
    return [undo_keepalived(items, changes)] if changes else []


def _no_boot(items: Sequence[Owed], facts: DirectorFacts | ServerFacts, notes: list[str], what: str = "") -> list[Step]:
    """The step, if any, that takes back what keeps the director's table and VIPs; `notes` get more of them."""
    changes: list[Change] = []
    for item in items:
        change, note = _back(item, standing(item.change, facts))
        changes += [change] if change else []
        notes += [note] if note else []
    if not changes:
        return []
    paths = [change.path for change in changes if isinstance(change, FileChange)]
    for path in paths:
        if path.startswith(GUARD_UNITS) and path.endswith(".service"):
            unit = path.rpartition("/")[2]
            changes.insert(0, UnitChange(of="service", unit=unit, old="running", new="stopped"))
    if any(path.startswith("/etc/systemd/system/") for path in paths):
        changes.append(UnitChange())
    if any(path.startswith(NETWORKD) for path in paths):
        changes.append(UnitChange(of="networkd"))
    undo = _undo(items[0], changes)
    return [msgspec.structs.replace(undo, id=f"{undo.id}{what}", title=f"{undo.title}{what and ': the file'}{what}")]


def _no_bgp(items: Sequence[Owed], facts: DirectorFacts, here: Sequence[Deployment], notes: list[str]) -> list[Step]:
    """The step, if any, that takes BIRD's part back; `here`: other deployments on this director."""
    changes: list[Change] = []
    for item in items:
        present = standing(item.change, facts)
        if _name(item.change) == BIRD_CONF and any(other.director.bgp for other in here):
            notes.append(f"Our line in {BIRD_CONF} stays: another deployment on this director needs it.")
            continue
        change: Change | None = line_only(item.change, present)
        note = ""
        if change is None:
            change, note = _back(item, present)
        changes += [change] if change else []
        notes += [note] if note else []
    return [_undo(items[0], in_order(changes))] if changes else []


def _distinct(steps: Sequence[Step]) -> tuple[Step, ...]:
    """The steps with an id each: two servers may have had one name, one after the other."""
    found: dict[str, Step] = {}
    for step in steps:
        number, name = 1, step.id
        while name in found:
            number, name = number + 1, f"{step.id} ({number + 1})"
        found[name] = step if name == step.id else msgspec.structs.replace(step, id=name)
    return tuple(found.values())


def _of_ipvs(change: Change) -> bool:
    return isinstance(change, ServiceChange | DestinationChange)


def _drains(mine: Sequence[Owed], facts: DirectorFacts) -> list[Step]:
    """Weight 0 for all first, so that new clients go nowhere half-dismantled."""
    steps = []
    for item in mine:
        change = item.change
        if not isinstance(change, DestinationChange) or change.old is not None:
            continue
        service = facts.service(change.service)
        present = service.destination(change.address, change.port) if service else None
        if present is None or present.state.weight == 0:
            continue
        zero = msgspec.structs.replace(present.state, weight=0)
        label = f"{change.service.address} {change.service.protocol}/{change.service.port}"
        steps.append(
            Step(
                id=f"drain {label} {item.server}",
                host=item.host,
                phase="weight",
                title=f"Drain {item.server or change.address} in {label}: weight {present.state.weight} → 0",
                why="It gets no new connections before it is removed.",
                changes=(msgspec.structs.replace(change, old=present.state, new=zero),),
                interrupts=f"{item.server or change.address} gets no new clients.",
                server=item.server,
            )
        )
    return steps


def _strangers(change: ServiceChange, leaving: Sequence[DestinationChange], facts: DirectorFacts) -> list[str]:
    service = facts.service(change.service)
    taken_back_by_others = {(ip_address(item.address), item.port) for item in leaving if item.service == change.service}
    return [
        destination.address
        for destination in (service.destinations if service else ())
        if (ip_address(destination.address), destination.port) not in taken_back_by_others
    ]


# --- one change ------------------------------------------------------------------------------------------------------


def _undo(item: Owed, changes: Sequence[Change]) -> Step:
    phase: Phase = item.phase
    return Step(
        id=f"{UNDO}{item.step}" + (f" of {item.owner}" if item.owner else ""),
        host=item.host,
        phase=phase,
        title=f"Undo: {item.title}",
        why="It was not there before dsrwizard set it up."
        if changes[0].new in (None, False)
        else "This restores what was there before.",
        changes=tuple(changes),
        interrupts="Clients of the VIP are no longer served." if phase in ("vip", "service") else "",
        server=item.server,
        owner=item.owner,
    )


def _back(item: Owed, present: object) -> tuple[Change | None, str]:
    """The change that restores what was there before, and a note where there is none."""
    change = item.change
    if present == change.old:
        return None, ""
    for left in (change, *item.perhaps):
        if present == left.new:
            return left.inverse(), ""
    if isinstance(change, FileChange) and _half_written(item, present):
        return msgspec.structs.replace(change, old=present, new=change.old), ""
    created = change.old in (None, False) and not isinstance(change, FileChange | SysctlChange)
    if created and present is not NOT_SEEN:
        return msgspec.structs.replace(change, old=present, new=change.old), ""
    if present is NOT_SEEN:
        return None, f"{_name(change)} could not be read. It is left unchanged."
    return None, f"{_name(change)} was changed by someone else ({_shown(present)}). It is left unchanged."


def _half_written(item: Owed, present: object) -> bool:
    """Whether the file is what we wrote there, cut off on the way: half of it, or, where it takes another's place and
    that had to go first, none of it."""
    if isinstance(item.change, FileChange) and item.change.path in OPERATORS_FILES:
        return False
    wrote = [left.new for left in (item.change, *item.perhaps) if isinstance(left, FileChange)]
    if isinstance(present, FileState):
        return any(torn(present, whole) for whole in wrote)
    return present is None and not item.certain


def _name(change: Change) -> str:
    match change:
        case SysctlChange(key=key):
            return key
        case FileChange(path=path) | FolderChange(path=path):
            return path
        case AddressChange(address=address, interface=interface):
            return f"{address} on {interface}"
        case SavedTableChange(deployment=name):
            return saved_path(name)
        case ModeChange(of=of, name=name):
            return f"{of} {name}"
        case WindowsChange(item=item, key=key):
            return f"{item} {key}"
        case _:
            return type(change).__name__.removesuffix("Change")


def _shown(present: object) -> str:
    return (
        "now absent" if present in (None, False) else f"now {present}" if isinstance(present, str) else "now different"
    )


def taken_back_by_others(owed: Sequence[Owed], observed: Observed) -> list[Owed]:
    """What is owed and yet is as it was before dsrwizard came: somebody, or a reboot, took it back already."""
    found = []
    for item in owed:
        facts = observed.director if item.host == DIRECTOR else as_director(observed.servers.get(item.host))
        unread = isinstance(facts, DirectorFacts) and facts.services is None and facts.module_loaded is not False
        if facts is None or (unread and _of_ipvs(item.change)):
            continue
        if standing(item.change, facts) == item.change.old:
            found.append(item)
    return found


def struck_out(item: Owed) -> Step:
    """The step without commands that closes the account of a change that is gone already."""
    return Step(
        id=f"gone {item.order} {item.step}",
        host=item.host,
        phase=item.phase,
        title=f"Already gone: {item.title}",
        why="It is already as it was before dsrwizard.",
        changes=(item.change.inverse(),),
        server=item.server,
    )
