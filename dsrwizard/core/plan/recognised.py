"""What dsrwizard left on hosts and nobody's books tell of, recognised by its names. Pure.

Where a journal is lost, the hosts are looked at: files, units, adapters and rules carry dsrwizard's name, and units and
stanzas the deployment's. What was there before is not known. Kernel settings then go to the kernel's own default, which
is what the next boot gives without dsrwizard's file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from dsrwizard.core.dialects.appliances import dialect_of
from dsrwizard.core.dialects.linux.plan import GUARD, ifupdown_file, key, unit_file, unit_link
from dsrwizard.core.dialects.windows.firewall import rule_name
from dsrwizard.core.dialects.windows.plan import nic_of, target
from dsrwizard.core.model.balancer_facts import BalancerFacts
from dsrwizard.core.model.changes import (
    FORMER_GUARD_FILE,
    GUARD_FILE,
    AddressChange,
    Change,
    DestinationChange,
    FileChange,
    ServiceChange,
)
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import DirectorFacts, Failure, Interface, Observed, ServerFacts
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan, Step
from dsrwizard.core.model.values import parsed
from dsrwizard.core.plan.appliance import PLANNERS
from dsrwizard.core.plan.bird import bare_bird
from dsrwizard.core.plan.director import key_of, plan_director, settings_of
from dsrwizard.core.plan.keepalived_found import SETTINGS_STAY, keepalived_found
from dsrwizard.core.plan.plan import host_plan
from dsrwizard.core.plan.spread import as_there, on
from dsrwizard.core.plan.standing import NOT_SEEN, as_director, standing
from dsrwizard.core.plan.unit_words import OURS
from dsrwizard.core.plan.unlooked import unseen
from dsrwizard.core.record.owed import STATELESS, Owed, identity

_NOT_KNOWN = "What was there before is not known"


@dataclass
class FoundByName:
    """`items` stand, as if owed; `notes` by host say what cannot be known. `strange`: host → what stands as the
    deployment's file says, though nothing shows that dsrwizard put it there."""

    items: list[Owed] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    strange: dict[str, list[str]] = field(default_factory=dict)
    blocked: dict[str, HostPlan] = field(default_factory=dict)
    """Hosts where nothing can be told or taken back, with why."""


def recognised(deployment: Deployment, observed: Observed) -> FoundByName:
    """What stands of a deployment on the hosts that were looked at."""
    found = FoundByName()
    for server in deployment.servers:
        facts = observed.servers.get(server.name)
        if facts is None:
            continue
        if _ours(deployment, server, facts):
            plan = host_plan(deployment, server, _bare(deployment, server, facts))
            if plan.problem:
                found.blocked[server.name] = plan
                continue
            _take(found, server.name, server.address, facts, plan.steps)
            _former(found, server, facts)
            found.notes.setdefault(server.name, []).extend(_weak(server, facts))
            if _guarded(facts):
                found.notes.setdefault(server.name, []).append(
                    f"{_NOT_KNOWN}: arp_ignore and arp_announce go to 0, the kernel's default."
                )
        else:
            held = [vip.address for vip in deployment.vips_of(server) if facts.carrying(vip.address)]
            found.strange |= {server.name: held} if held else {}
    if observed.director is not None and deployment.director.engine == "netlink":
        _director(found, deployment, observed.director, DIRECTOR, "local")
    for peer in deployment.director.peers if deployment.director.spread else ():
        there = as_director(observed.servers.get(peer.name))
        if isinstance(there, DirectorFacts):
            _director(found, as_there(deployment, peer), there, peer.name, peer.address)
    if observed.director is not None and deployment.director.engine in PLANNERS:
        _appliance(found, deployment, observed.director)
    for item in keepalived_found(deployment, observed):
        found.items.append(item)
        found.notes.setdefault(item.host, [SETTINGS_STAY])
    return found


def set_up_by_themselves(deployment: Deployment, observed: Observed, owed: Sequence[Owed]) -> list[Owed]:
    """What other directors have of the deployment by an apply of their own: the journal here tells nothing of them, and
    they would go on announcing VIPs that no real server has any more."""
    known = {item.host for item in owed}
    peers = {peer.name for peer in deployment.director.peers if deployment.director.spread} - known
    return [item for item in recognised(deployment, observed).items if item.host in peers] if peers and owed else []


def _take(
    found: FoundByName, host: str, address: str, facts: ServerFacts | DirectorFacts, steps: Sequence[Step]
) -> None:
    """Those changes of a plan for a bare host that are there already."""
    for step in steps:
        for change in step.changes:
            if isinstance(change, STATELESS) or _is_weight(change):
                continue
            there = standing(change, facts)
            if there in (None, False) or there is NOT_SEEN:
                continue
            if isinstance(change, ServiceChange | DestinationChange | FileChange):
                change = msgspec.structs.replace(change, new=there)  # noqa: PLW2901 - whatever it is now
            if there == change.new:
                _add(found, host, address, step, change)


def _add(found: FoundByName, host: str, address: str, step: Step, change: Change) -> None:
    found.items.append(
        Owed(
            host=host, address=address, server=step.server, phase=step.phase, step=step.id, title=step.title,
            change=change, order=len(found.items) + 1,
        )
    )  # fmt: skip


def _is_weight(change: Change) -> bool:
    """Whether it sets the weight of a destination that an earlier step makes."""
    return isinstance(change, DestinationChange) and change.old is not None


# --- a real server ---------------------------------------------------------------------------------------------------


def _ours(deployment: Deployment, server: RealServer, facts: ServerFacts) -> bool:
    """Whether something on it carries dsrwizard's name."""
    if facts.windows is not None:
        adapter = facts.windows.adapter(target(server))
        carries = adapter is not None and any(
            parsed(entry.address) == vip.ip for entry in adapter.addresses for vip in deployment.vips_of(server)
        )
        names = {rule_name(vip, service) for vip in deployment.vips_of(server) for service in vip.services}
        rules = facts.windows.rules if facts.windows.rules is not None else facts.windows.own_rules
        return carries or any(rule.name in names for rule in rules or ())
    return _named(deployment.name, facts) or _guarded(facts)


def _named(name: str, facts: ServerFacts) -> bool:
    """Whether there is a file of the deployment's name that dsrwizard wrote."""
    link = facts.files.get(unit_link(name))
    if link is not None and link.target == unit_file(name):
        return True
    written = (facts.files.get(path) for path in (unit_file(name), ifupdown_file(name)))
    return any(one is not None and one.content.startswith("# Written by dsrwizard ") for one in written)


def _guarded(facts: ServerFacts) -> bool:
    written = (facts.files.get(path) for path in (GUARD_FILE, FORMER_GUARD_FILE))
    return any(one is not None and one.content.startswith("# dsrwizard: ") for one in written)


def _weak(server: RealServer, facts: ServerFacts) -> list[str]:
    """What is said of the setting of the adapter to the network, which carries no name of ours."""
    nic = nic_of(server, facts.windows) if facts.windows is not None else None
    weak = [
        f"IPv{family}" for family in (4, 6) if nic is not None and (row := nic.of(family)) and row.weak_host_receive
    ]
    if nic is None or not weak:
        return []
    return [
        f"{_NOT_KNOWN}: weak-host receive of {nic.name} ({' and '.join(weak)}) stays on. Windows has it off by default."
    ]


def _former(found: FoundByName, server: RealServer, facts: ServerFacts) -> None:
    """The guard's file of earlier versions, which no plan makes."""
    there = facts.files.get(FORMER_GUARD_FILE)
    if there is not None and there.content.startswith("# dsrwizard: "):
        step = Step(id="guard", host=server.name, phase="guard", title="Guard", why="", changes=())
        change = FileChange(path=FORMER_GUARD_FILE, old=None, new=there)
        _add(found, server.name, server.address, step, change)


def _bare(deployment: Deployment, server: RealServer, facts: ServerFacts) -> ServerFacts:
    """The host as if dsrwizard had never been there."""
    vips = {(vip.ip, vip.prefix) for vip in deployment.vips}

    def made(interface: Interface) -> bool:
        """A dummy of the file's name with nothing on it but the VIPs."""
        own = [one for one in interface.addresses if one.scope != "link"]
        ours = all((parsed(one.address), one.prefix) in vips for one in own)
        return interface.kind == "dummy" and interface.name == server.vip_interface and ours

    def without(interface: Interface) -> Interface:
        silent = facts.windows is not None or interface.name == "lo" or interface.kind == "dummy"
        kept = tuple(one for one in interface.addresses if not silent or (parsed(one.address), one.prefix) not in vips)
        return msgspec.structs.replace(interface, addresses=kept)

    name = deployment.name
    gone = (GUARD_FILE, FORMER_GUARD_FILE, unit_file(name), unit_link(name), ifupdown_file(name))
    settings = dict(facts.sysctls)
    for setting, value in GUARD.items() if _guarded(facts) else ():
        if settings.get(key("all", setting)) == value:
            settings[key("all", setting)] = "0"
    windows = facts.windows
    if windows is not None:
        names = {rule_name(vip, service) for vip in deployment.vips for service in vip.services}
        carrying = {vip.ip for vip in deployment.vips}
        windows = msgspec.structs.replace(
            windows,
            adapters=tuple(
                one for one in windows.adapters if not any(parsed(entry.address) in carrying for entry in one.addresses)
            ),
            rules=None if windows.rules is None else tuple(one for one in windows.rules if one.name not in names),
        )
    return msgspec.structs.replace(
        facts,
        interfaces=tuple(without(one) for one in facts.interfaces if not made(one)),
        files={path: None if path in gone else state for path, state in facts.files.items()},
        sysctls=settings,
        windows=windows,
    )


# --- the director ----------------------------------------------------------------------------------------------------


def _director(found: FoundByName, deployment: Deployment, facts: DirectorFacts, name: str, address: str) -> None:
    """Its table and its VIPs carry no name: they are ours where a real server shows that dsrwizard was there."""
    keys = {key_of(vip, service) for vip in deployment.vips for service in vip.services}
    standing = [
        f"the service {one.key.address} {one.key.protocol}/{one.key.port}"
        for one in facts.services or ()
        if one.key in keys
    ]
    held = [vip.address for vip in deployment.vips if any(link.has(vip.address) for link in facts.interfaces)]
    if not found.items:
        if standing or held:
            found.strange[name] = [*held, *standing]
        return
    others = any(one.key not in keys for one in facts.services or ()) or bool(facts.foreign_services)
    settings = dict(facts.sysctls)
    ours = [one for one, (wanted, *_) in settings_of(deployment).items() if settings.get(one) == wanted]
    if ours and not others:
        for one in ours:
            settings[one] = settings_of(deployment)[one][1]
        text = f"{_NOT_KNOWN}: {', '.join(ours)} go to the kernel's default."
    else:
        text = f"{_NOT_KNOWN}, and other services use them: {', '.join(ours)} stay." if ours else ""
    if text:
        found.notes.setdefault(name, []).append(text)
    vips = {vip.ip for vip in deployment.vips}
    nic = deployment.director.vip_interface
    bare = msgspec.structs.replace(
        facts,
        interfaces=tuple(
            msgspec.structs.replace(
                link, addresses=tuple(one for one in link.addresses if parsed(one.address) not in vips)
            )
            for link in facts.interfaces
        ),
        services=None if facts.services is None else tuple(one for one in facts.services if one.key not in keys),
        sysctls=settings,
        bird=bare_bird(facts.bird),
        boot=_bare_boot(deployment.name, facts.boot),
        guarded=False,
    )
    plan = plan_director(deployment, bare, frozenset(server.name for server in deployment.servers))
    if plan.problem:
        found.blocked[name] = plan if name == DIRECTOR else on(name, plan)
    _take(found, name, address, facts, [step for step in plan.steps if not _elsewhere(step, facts, nic)])


def _bare_boot(deployment: str, boot: DirectorBoot | None) -> DirectorBoot | None:
    """What a boot runs without our units, scripts and the file that they read."""
    if boot is None:
        return None
    ours = OURS.format(name=deployment).rstrip()
    units = {path for path, state in boot.files.items() if state is not None and ours in state.content}
    gone = units | {path for path, state in boot.files.items() if state is not None and state.target in units}
    files = {path: None if path in gone else state for path, state in boot.files.items()}
    return msgspec.structs.replace(boot, files=files, saved="missing" if gone else boot.saved)


def _elsewhere(step: Step, facts: DirectorFacts, nic: str) -> bool:
    """Whether the VIP of the step is on another interface than dsrwizard would put it on."""
    link = facts.interface(nic)
    return any(
        isinstance(change, AddressChange) and (link is None or not link.has(change.address)) for change in step.changes
    )


def _appliance(found: FoundByName, deployment: Deployment, facts: DirectorFacts) -> None:
    """Its virtual services and what is behind them, by their names alone; of others', what they were set to before is
    not known, and they stay."""
    balancer = facts.balancer
    if balancer is None:
        return
    dialect = dialect_of(deployment)
    nothing = BalancerFacts(product=balancer.product, at=balancer.at, save=False)
    bare = msgspec.structs.replace(facts, services=(), balancer=nothing)
    every = frozenset(server.name for server in deployment.servers)
    steps = [
        step for step in PLANNERS[deployment.director.engine](deployment, bare, every).steps
        if all(dialect.made_by_us(deployment, balancer, change) for change in step.changes)
    ]  # fmt: skip
    before = len(found.items)
    _take(found, DIRECTOR, "local", facts, steps)
    ours = {item.change.service for item in found.items[before:] if isinstance(item.change, ServiceChange)}
    theirs = [
        f"the {dialect.noun} {one.key.address} {one.key.protocol}/{one.key.port}"
        for one in facts.services or () if one.key not in ours
    ]  # fmt: skip
    if len(found.items) == before:
        if theirs:
            found.strange[DIRECTOR] = theirs
        return
    notes = [f"{_NOT_KNOWN}: {text}" for text in dialect.unnamed(deployment, balancer)]
    notes += [f"{_NOT_KNOWN}: {one} has another name than dsrwizard's and stays as it is set." for one in theirs]
    found.notes.setdefault(DIRECTOR, []).extend(notes)


# --- the plan --------------------------------------------------------------------------------------------------------


def missing(found: FoundByName, owed: Sequence[Owed]) -> list[Owed]:
    """What was found and is not owed anyway."""
    known = {(item.host, identity(item.change)) for item in owed}
    return [item for item in found.items if (item.host, identity(item.change)) not in known]


def told(plan: Plan, found: FoundByName, deployment: Deployment, observed: Observed) -> Plan:
    """The plan with what cannot be known, what stands and is nobody's, and the hosts that could not be looked at."""
    hosts = {host.host: host for host in plan.hosts}
    balances = deployment.director.engine == "netlink" or deployment.director.engine in PLANNERS
    others = [peer.name for peer in deployment.director.peers if deployment.director.spread]
    names = [
        *([DIRECTOR] if balances else []),
        *others,
        *(one.name for one in deployment.servers if one.connect != "manual"),
    ]
    for name in names:
        looked = observed.director is not None if name == DIRECTOR else name in observed.servers
        host = hosts.get(name)
        if host is None and not looked:
            hosts[name] = unseen(name, observed)
        elif host is None and name in found.blocked:
            hosts[name] = found.blocked[name]
        elif host is None and name in found.strange:
            what = f"{name} has {' and '.join(found.strange[name])}, as the deployment's file says."
            failure = Failure(
                kind="left",
                what=what,
                why="No journal here tells of it, and nothing there shows that dsrwizard put it there. It stays.",
                next="If dsrwizard did, run this as the user who applied it, on the machine it was applied on. "
                "Otherwise remove it by hand.",
            )
            hosts[name] = HostPlan(host=name, problem=failure.text, failure=failure)
        elif host is not None and name in found.notes:
            hosts[name] = msgspec.structs.replace(host, notes=(*host.notes, *found.notes[name]))
    return msgspec.structs.replace(plan, hosts=tuple(hosts.values()))


def record(items: Sequence[Owed]) -> list[tuple[str, Step]]:
    """Address and step for each step that is to be written into the books, with the values before and now."""
    steps: dict[tuple[str, str], list[Owed]] = {}
    for item in items:
        steps.setdefault((item.host, item.step), []).append(item)
    return [
        (
            group[0].address,
            Step(
                id=group[0].step, host=group[0].host, phase=group[0].phase, title=group[0].title,
                why="It was found there, and no journal told of it.", server=group[0].server,
                changes=tuple(item.change for item in group),
            ),
        )
        for group in steps.values()
    ]  # fmt: skip
