"""The plan for directors on which keepalived owns VIP, table and VRRP: this machine and the other one. Pure.

A step checks the files as they are to be, writes them, and has keepalived read them; nothing is written to the VIP or
the table. Measured: a reload loses no connection, a removed server loses all of its own at once, so it gets no new
clients first and goes when it has none left.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address
from typing import NamedTuple

import msgspec

from dsrwizard.core.dialects.keepalived import writer
from dsrwizard.core.dialects.keepalived.checks import FilesJudged, judged, leaving_from
from dsrwizard.core.dialects.keepalived.reading import only_ours, weights_in
from dsrwizard.core.dialects.keepalived.writer import Side
from dsrwizard.core.model.changes import (
    Change,
    DestinationChange,
    FileChange,
    FileState,
    FolderChange,
    KeepalivedChange,
    ServiceChange,
    UnitChange,
)
from dsrwizard.core.model.deployment import STARTUP_SECONDS, Deployment
from dsrwizard.core.model.facts import DirectorFacts, Interface, Observed, ServerFacts
from dsrwizard.core.model.guarding import DestinationPlace
from dsrwizard.core.model.keepalived import (
    ENABLED_LINK,
    INCLUDE_LINE,
    KEEPALIVED_CONF,
    KEEPALIVED_FOLDER,
    KeepalivedFacts,
    TableService,
    keepalived_drop_in,
    keepalived_folders,
    services_file,
    services_of,
    vrrp_file,
)
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Step
from dsrwizard.core.plan.director import by_client, key_of, sysctls, wanted_state
from dsrwizard.core.plan.director_settings import settings_steps
from dsrwizard.core.plan.guard_unit import as_seen_from, guard_notes, guard_place, guard_steps
from dsrwizard.core.plan.unlooked import unseen

KEEPALIVED_STEP, REMOVAL_STEP = "keepalived", "keepalived removal"
SETTLE_SECONDS = STARTUP_SECONDS + 1
"""How long a keepalived that starts takes until it has the VIPs, where nobody else has them."""


class DirectorHost(NamedTuple):
    """A director: its name in the plan, whether it is the preferred one, and what was seen there."""

    name: str
    preferred: bool
    interface: str
    facts: DirectorFacts | ServerFacts | None

    def guarded(self, deployment: Deployment) -> bool:
        """Whether the word of a guard counts here: one is at work, or a unit that runs it is there or is made."""
        if not deployment.director.guard or self.facts is None:
            return False
        seen, place = self.facts.keepalived, guard_place(self.name, self.facts)
        present = seen.files.get(services_file(deployment.name)) if seen is not None else None
        told = present is not None and "track_file" in present.content
        runs = self.facts.guarded if isinstance(self.facts, DirectorFacts) else seen is not None and seen.guarded
        return runs or told or (place is not None and place.able)

    @property
    def privileged(self) -> bool:
        return self.facts is not None and self.facts.privileged


def director_hosts(deployment: Deployment, observed: Observed) -> list[DirectorHost]:
    """The directors, this machine first."""
    director = deployment.director
    own = DirectorHost(DIRECTOR, True, director.interface, observed.director)
    peers = [
        DirectorHost(peer.name, False, director.interface_of(peer), observed.servers.get(peer.name))
        for peer in director.peers
    ]
    return [own, *peers]


def plan_keepalived(deployment: Deployment, observed: Observed, able: frozenset[str]) -> list[HostPlan]:
    """The plans of all directors, in the order in which they are changed."""
    hosts = director_hosts(deployment, observed)
    made = {host.name: _host(deployment, host, observed, able) for host in hosts}
    return [made[host.name] for host in in_turn(deployment, hosts)]


def in_turn(deployment: Deployment, hosts: Iterable[DirectorHost]) -> list[DirectorHost]:
    """Directors in the order in which they are changed: those without the VIPs first. But where the one that has them
    runs no keepalived, the other would hear nobody and take them at once, and with them connections that it does not
    know: measured, 12 of 20 broke."""

    def turn(host: DirectorHost) -> int:
        seen = host.facts.keepalived if host.facts is not None else None
        if not holds(deployment, host):
            return 1
        return 2 if seen is None or seen.running else 0

    return sorted(hosts, key=turn)


def holds(deployment: Deployment, host: DirectorHost) -> bool:
    """Whether it has any of the VIPs now."""
    links = host.facts.interfaces if host.facts is not None else ()
    return any(link.has(vip.address) for link in links for vip in deployment.vips)


def side_of(deployment: Deployment, host: DirectorHost, observed: Observed) -> Side | str:
    """What VRRP calls this director; a text says why that is not known."""
    director = deployment.director
    own = director.address or _own_address(deployment, observed.director)
    if not own and observed.director is None:
        return "This machine could not be looked at, so the address that both directors speak to is not known."
    if not own:
        return (
            f"{director.interface} of this director has no address that the other director could speak to. "
            "Add one, or write address in [director]."
        )
    other = next((peer.address for peer in director.peers), None)
    if host.name == DIRECTOR:
        return Side(own, host.interface, other, True)
    return Side(deployment.peer(host.name).address, host.interface, own, False)


def of_director(deployment: Deployment, name: str, side: Side) -> Deployment:
    """The deployment as the guard of a director is to read it."""
    return deployment if name == DIRECTOR else as_seen_from(deployment, deployment.peer(name), side.other or "")


def _own_address(deployment: Deployment, facts: DirectorFacts | None) -> str:
    """The first of the family of the peer, or of a VIP, on the director's interface."""
    director = deployment.director
    link = facts.interface(director.interface) if facts is not None else None
    wanted = {ip_address(peer.address).version for peer in director.peers} or {
        vip.ip.version for vip in deployment.vips
    }
    vips = {vip.ip for vip in deployment.vips}
    for entry in link.addresses if link is not None else ():
        ip = ip_address(entry.address)
        if entry.scope == "global" and ip not in vips and ip.version in wanted:
            return str(ip)
    return ""


def _host(deployment: Deployment, host: DirectorHost, observed: Observed, able: frozenset[str]) -> HostPlan:
    seen = host.facts.keepalived if host.facts is not None else None
    if host.facts is None or seen is None:
        return unseen(host.name, observed)
    side = side_of(deployment, host, observed)
    problem = side if isinstance(side, str) else _problem(deployment, host, seen)
    if problem or isinstance(side, str):
        return HostPlan(host=host.name, problem=problem)
    guarded = host.guarded(deployment)
    files = wanted_files(deployment, side, seen, held_back(deployment, seen, able), guarded=guarded)
    found = _judge(deployment, side, seen, files)
    if found.problems:
        what = " ".join(found.problems)
        return HostPlan(host=host.name, problem=f"keepalived's files would not do: {what}", notes=found.notes)
    steps = [
        *settings_steps(
            host.name, keepalived_settings(deployment, host.interface), seen.sysctls, loaded=seen.table is not None
        ),
        *_matched(deployment, host, seen),
    ]
    notes = [*found.notes, *_notes(deployment, seen)]
    place, theirs = guard_place(host.name, host.facts), of_director(deployment, host.name, side)
    steps += guard_steps(theirs, place)
    notes += guard_notes(theirs, place)
    steps += _files(deployment, host, side, seen, files)
    return HostPlan(host=host.name, steps=tuple(steps), notes=tuple(notes))


def _problem(deployment: Deployment, host: DirectorHost, seen: KeepalivedFacts) -> str:
    where = "here" if host.name == DIRECTOR else f"on {host.name}"
    if deployment.director.bgp is not None:
        return (
            "keepalived beside [director.bgp] cannot be set up: it would give the VIPs to one director alone. "
            'Write engine = "netlink" with [director.bgp].'
        )
    if not host.privileged:
        return f"Setting up keepalived {where} needs root. Run it with sudo, or log in as one who may."
    if not seen.version:
        return f"keepalived is not installed {where}. Install it (`apt install keepalived`), then run this again."
    if seen.masked:
        return f"keepalived.service is masked {where}. Run `systemctl unmask keepalived`, then run this again."
    if seen.other_config:
        return (
            f"keepalived {where} reads {seen.other_config} and not {KEEPALIVED_CONF}. dsrwizard writes beside the "
            "latter alone. Start it without -f, then run this again."
        )
    conf = seen.files.get(KEEPALIVED_CONF)
    if conf is not None and conf.target is not None:
        return f"{KEEPALIVED_CONF} {where} is a link to {conf.target}. Put a file in its place, then run this again."
    interfaces: tuple[Interface, ...] = host.facts.interfaces if host.facts is not None else ()
    if all(link.name != host.interface for link in interfaces):
        names = ", ".join(link.name for link in interfaces if link.name != "lo")
        return f"There is no interface {host.interface} {where}. Its interfaces: {names}."
    for server in deployment.servers:
        for rip in filter(None, (server.address, server.address6)):
            if any(link.has(rip) for link in interfaces):
                return (
                    f"{server.name} ({rip}) is the director {host.name} itself. A director that is also a real server "
                    "balances what the other one has sent it already, and packets go round between the two. Name "
                    "another machine as director or as real server."
                )
    if not seen.running:
        for service in _ours(deployment, seen):
            odd = [one.address for one in service.entries if one.method != "dr"]
            if host.name != DIRECTOR and (odd or not _same(deployment, service)):
                label = f"{service.address} {service.protocol}/{service.port}"
                return (
                    f"IPVS on {host.name} has a service {label} that keepalived would keep as it is, and it is not as "
                    f"the deployment wants it. Remove it there with ipvsadm -D, then run this again."
                )
    return ""


def _ours(deployment: Deployment, seen: KeepalivedFacts) -> list[TableService]:
    keys = {(str(vip.ip), service.protocol, service.port) for vip, service in services_of(deployment)}
    return [one for one in seen.table or () if (one.address, one.protocol, one.port) in keys]


def _same(deployment: Deployment, present: TableService) -> bool:
    return any(
        (service.scheduler, service.persistence) == (present.scheduler, present.persistence)
        for vip, service in services_of(deployment)
        if (str(vip.ip), service.protocol, service.port) == (present.address, present.protocol, present.port)
    )


# --- the files ------------------------------------------------------------


def held_back(deployment: Deployment, seen: KeepalivedFacts, able: Collection[str]) -> set[DestinationPlace]:
    """Destinations that get no clients yet: their server cannot be set up, and keepalived does not send to it now."""
    present = seen.files.get(services_file(deployment.name))
    sent = weights_in(present.content if present is not None else "")
    return {
        DestinationPlace(vip.address, service.label, server.name)
        for vip, service in services_of(deployment)
        for server in deployment.servers_of(vip)
        if server.name not in able and (rip := server.rip_for(vip)) is not None
        and not sent.get((f"{vip.ip} {service.label}", str(ip_address(rip))))
    }  # fmt: skip


def wanted_files(
    deployment: Deployment,
    side: Side,
    seen: KeepalivedFacts,
    held: Collection[DestinationPlace] = (),
    *,
    guarded: bool = False,
) -> dict[str, str]:
    """keepalived's files as they are to be: path → text."""
    main = seen.files.get(KEEPALIVED_CONF)
    text = main.content if main is not None else ""
    fresh = writer.main_text(deployment, side)
    if not text.strip() or (text.startswith(fresh.partition("\n")[0]) and only_ours(text)):
        text = fresh
    elif INCLUDE_LINE not in (line.strip() for line in text.splitlines()):
        text = writer.with_include(text)
    return {
        services_file(deployment.name): writer.services_text(deployment, held, guarded=guarded),
        vrrp_file(deployment.name): writer.vrrp_text(deployment, side),
        KEEPALIVED_CONF: text,
    }


def _judge(deployment: Deployment, side: Side, seen: KeepalivedFacts, files: Mapping[str, str]) -> FilesJudged:
    return judged(deployment, side, {**seen.texts, **files}, seen.missing)


def _files(
    deployment: Deployment, host: DirectorHost, side: Side, seen: KeepalivedFacts, files: Mapping[str, str]
) -> list[Step]:
    path = services_file(deployment.name)
    present = seen.files.get(path)
    gone = leaving_from(present.content, deployment) if present is not None else ()
    wanted = {(str(vip.ip), service.protocol, service.port) for vip, service in services_of(deployment)}
    # A service that goes as a whole goes at once: keepalived refuses one whose servers all have weight 0.
    leaving = [one for one in gone if (one.vip, one.protocol, one.port) in wanted]
    cut = list(dict.fromkeys(f"{one.vip} {one.protocol}/{one.port}" for one in gone if one not in leaving))
    first = dict(files)
    if leaving:
        held = [place for place in places_of(deployment) if is_held(deployment, files[path], place)]
        first[path] = writer.services_text(deployment, held, leaving, guarded=host.guarded(deployment))
    changes: list[Change] = [
        FileChange(path=name, old=seen.files.get(name), new=_with_mode(seen.files.get(name), text))
        for name, text in first.items()
        if (old := seen.files.get(name)) is None or old.content != text
    ]
    units = _units(deployment, host, side, seen)
    if not changes and not units and seen.running and not leaving:
        return []
    checked = tuple((change.path, first[change.path]) for change in changes if isinstance(change, FileChange))
    body = [*_folders(deployment, seen), *changes, *units]
    where = "" if host.name == DIRECTOR else f" on {host.name}"
    steps = []
    if body or not seen.running:
        steps.append(
            Step(
                id=KEEPALIVED_STEP, purpose="keepalived", host=host.name, phase="service",
                title=f"keepalived{where} has the VIPs and services of the deployment",
                why="It holds the VIPs while this director serves, balances, and takes dead real servers out. Its "
                "files are checked before any of them is written.",
                changes=(
                    KeepalivedChange(old="read", new="checked", files=checked, by=seen.by), *body, _in_force(seen),
                ),
                interrupts=f"Connections to {', '.join(cut)} are cut." if cut else _gap(deployment, host, seen),
            )
        )  # fmt: skip
    if leaving:
        who = ", ".join(dict.fromkeys(f"{one.rip} behind {one.vip} {one.protocol}/{one.port}" for one in leaving))
        by = seen.by
        last = FileChange(path=path, old=FileState(content=first[path]), new=FileState(content=files[path]))
        steps.append(
            Step(
                id=REMOVAL_STEP, purpose="keepalived", host=host.name, phase="withdraw",
                title=f"keepalived{where} forgets {who}",
                why="It is no longer in the deployment. It has got no new clients since the step before.",
                changes=(
                    KeepalivedChange(old="read", new="checked", files=((path, files[path]),), by=by), last,
                    KeepalivedChange(old="checked", new="read", by=by),
                ),
                interrupts="Connections that it still has are cut.",
            )
        )  # fmt: skip
    return steps


def _with_mode(old: FileState | None, text: str) -> FileState:
    return FileState(content=text, mode=old.mode if old is not None and old.target is None else 0o644)


def _in_force(seen: KeepalivedFacts) -> KeepalivedChange:
    if seen.running:
        return KeepalivedChange(old="checked", new="read", by=seen.by)
    return KeepalivedChange(of="daemon", old="stopped", new="running", by=seen.by)


def _gap(deployment: Deployment, host: DirectorHost, seen: KeepalivedFacts) -> str:
    """What clients notice."""
    if not seen.running and holds(deployment, host):
        seconds = SETTLE_SECONDS if deployment.director.peers else 1
        return (
            f"keepalived takes the VIPs off when it starts and puts them back: new connections wait for about "
            f"{seconds} s. Established ones go on, for the table stays."
        )
    return ""


def places_of(deployment: Deployment) -> list[DestinationPlace]:
    return [
        DestinationPlace(vip.address, service.label, server.name)
        for vip, service in services_of(deployment)
        for server in deployment.servers_of(vip)
    ]


def is_held(deployment: Deployment, text: str, place: DestinationPlace) -> bool:
    """Whether a text gives this destination no clients."""
    server = deployment.server(place.server)
    vip = next(vip for vip in deployment.vips if vip.address == place.vip)
    rip = server.rip_for(vip)
    return rip is not None and not weights_in(text).get((f"{vip.ip} {place.service}", str(ip_address(rip))))


def _folders(deployment: Deployment, seen: KeepalivedFacts) -> list[Change]:
    needed = [path for path in keepalived_folders() if path.startswith(KEEPALIVED_FOLDER)]
    if seen.systemd:
        needed.append(keepalived_drop_in(deployment.name).rpartition("/")[0])
    return [FolderChange(path=path, old=False, new=True) for path in needed if seen.folders.get(path) is False]


def _units(deployment: Deployment, host: DirectorHost, side: Side, seen: KeepalivedFacts) -> list[Change]:
    """What systemd has to know; without it the operator's own ways start keepalived."""
    if not seen.systemd:
        return []
    wanted = {
        keepalived_drop_in(deployment.name): FileState(
            content=writer.drop_in_text(
                deployment, side, _settings_wanted(deployment, side.interface), guarded=host.guarded(deployment)
            )
        )
    }
    if seen.files.get(ENABLED_LINK) is None and seen.unit:
        wanted[ENABLED_LINK] = FileState(target=seen.unit)
    changes: list[Change] = [
        FileChange(path=path, old=old, new=state)
        for path, state in wanted.items()
        if (old := seen.files.get(path)) is None or old.content != state.content
    ]
    return [*changes, UnitChange()] if changes else []


# --- the ground ------------------------------------------------------------


def keepalived_settings(deployment: Deployment, interface: str) -> dict[str, tuple[str, str, str]]:
    """Settings of a director with this engine, as `sysctls` has them."""
    mine = dict(sysctls(interface))
    for key, value in writer.settings_of(deployment).items():
        mine[key] = (
            value, "0",
            "A director that takes over goes on with connections whose beginning it has not seen: both directors "
            "choose the same real server for them.",
        )  # fmt: skip
    return mine


def _settings_wanted(deployment: Deployment, interface: str) -> dict[str, str]:
    return {key: wanted for key, (wanted, *_) in keepalived_settings(deployment, interface).items()}


def _matched(deployment: Deployment, host: DirectorHost, seen: KeepalivedFacts) -> list[Step]:
    """A table that is there before keepalived starts is kept by it as it is: it is brought to what the files say while
    it is still ours, so that it is not taken away under established connections."""
    if seen.running or not isinstance(host.facts, DirectorFacts):
        return []
    changes: list[Change] = []
    for vip, service in services_of(deployment):
        key = key_of(vip, service)
        present = host.facts.service(key)
        if present is None:
            continue
        wanted = msgspec.structs.replace(wanted_state(service, present), flags=by_client(deployment, service))
        if present.state != wanted:
            changes.append(ServiceChange(service=key, old=present.state, new=wanted))
        for server in deployment.servers_of(vip):
            rip = server.rip_for(vip)
            there = present.destination(rip, service.port) if rip else None
            if rip and there is not None and there.state.method != "dr":
                new = msgspec.structs.replace(there.state, method="dr")
                changes.append(DestinationChange(service=key, address=rip, port=service.port, old=there.state, new=new))
    if not changes:
        return []
    return [
        Step(
            id="match", purpose="service", host=host.name, phase="prepare",
            title="The table in force is as keepalived is to have it",
            why="keepalived keeps a service that is there when it starts as it is. Established connections go on.",
            changes=tuple(changes),
        )
    ]  # fmt: skip


def _notes(deployment: Deployment, seen: KeepalivedFacts) -> list[str]:
    keys = {(str(vip.ip), service.protocol, service.port) for vip, service in services_of(deployment)}
    notes = [
        f"IPVS service {one.address} {one.protocol}/{one.port} is not in this deployment. It is left unchanged."
        for one in seen.table or ()
        if (one.address, one.protocol, one.port) not in keys
    ]
    tcp = any(service.protocol == "tcp" for _, service in services_of(deployment))
    if tcp and seen.files.get(services_file(deployment.name)) is None:
        notes.append(
            "keepalived asks each real server at its own address (TCP_CHECK). An application that listens on the VIP "
            "alone gets no clients: have it listen on the server's address, too."
        )
    if not seen.systemd:
        notes.append(
            "This machine does not run systemd, so nothing starts keepalived after a reboot, and nobody takes the VIPs "
            "off when it is killed. Have your own init do both."
        )
    return notes
