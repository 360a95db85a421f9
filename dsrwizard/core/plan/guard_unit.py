"""The unit that runs the deployment's guard on a director with systemd, and the deployment file that it reads.

The file lies beside the unit: the operator's own copy may be on another machine, or be edited before it is applied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.bird import sign_of
from dsrwizard.core.model.changes import Change, FileChange, FileState, UnitChange
from dsrwizard.core.model.deployment import Deployment, PeerDirector
from dsrwizard.core.model.facts import DirectorFacts, ServerFacts
from dsrwizard.core.model.guarding import guard_files, guard_unit
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.core.plan.unit_words import OURS, unit_word

WATCHDOG_SECONDS = 15
"""A guard without a heartbeat for so long is started again."""
GUARD_STEP = "guard-service"
RUN_IT = "Have this run all the time: dsrwizard guard FILE"
UnitDiffers = Literal["", "missing", "disabled", "other", "reads-other"]
"""What is wrong with a guard's unit: nothing, it is not there, not enabled, of another text, of another deployment."""


class GuardPlace(NamedTuple):
    """A director as its guard finds it. `program`: what runs dsrwizard there, as words; empty: it is not installed."""

    host: str
    systemd: bool
    writable: bool
    program: tuple[str, ...]
    files: Mapping[str, FileState | None]
    runs: bool

    @property
    def able(self) -> bool:
        """Whether a unit can be set up there."""
        return self.systemd and self.writable and bool(self.program)


def guard_place(host: str, facts: DirectorFacts | ServerFacts) -> GuardPlace | None:
    """None: it was not looked at."""
    if isinstance(facts, DirectorFacts):
        boot = facts.boot
        if boot is None:
            return None
        return GuardPlace(host, boot.systemd, boot.writable, boot.program, boot.files, facts.guarded)
    seen = facts.keepalived
    if seen is None:
        return None
    program = (seen.program,) if seen.program else ()
    return GuardPlace(host, seen.systemd, facts.privileged, program, seen.files, seen.guarded)


def as_seen_from(deployment: Deployment, peer: PeerDirector, own: str) -> Deployment:
    """The deployment as the other director's guard is to read it. `own`: this machine's address towards it. Only what
    a guard asks for is turned round: who is preferred by VRRP is not."""
    director = deployment.director
    taken = {server.name for server in deployment.servers} | {peer.name}
    name = next(one for one in ("first", "first-director", "the-first-director") if one not in taken)
    this = PeerDirector(name=name, address=own, interface=director.interface)
    turned = msgspec.structs.replace(
        director, interface=director.interface_of(peer), address=peer.address, peers=(this,)
    )
    return msgspec.structs.replace(deployment, director=turned)


def guard_steps(deployment: Deployment, place: GuardPlace | None) -> list[Step]:
    """The step that sets the guard up or takes it away; none where nothing is to be changed, or without systemd. The
    deployment is as that director's guard is to read it."""
    if place is None or not place.systemd or not place.writable:
        return []
    asked = deployment.director.guard
    if asked and not place.program:
        return []
    wanted = _wanted(deployment, place.program)
    changes: list[Change] = [
        FileChange(path=path, old=place.files.get(path), new=state)
        for path, state in wanted.items()
        if place.files.get(path) != state
    ]
    unit = guard_unit(deployment.name)
    if asked and (changes or not place.runs):
        changes += [UnitChange(), UnitChange(of="service", unit=unit, old="stopped", new="running")]
    elif changes:
        changes = [UnitChange(of="service", unit=unit, old="running", new="stopped"), *changes, UnitChange()]
    if not changes:
        return []
    where = "" if place.host == DIRECTOR else f" on {place.host}"
    return [
        Step(
            id=GUARD_STEP,
            purpose="guard-service",
            host=place.host,
            phase="vip",
            title=f"Run the guard{where} as a systemd unit" if asked else f"Remove the guard's systemd unit{where}",
            why="It takes dead real servers out of the table while nobody looks, and lets them in again."
            if asked
            else "The deployment file does not ask for a guard any more.",
            changes=tuple(changes),
        )
    ]


def guard_notes(deployment: Deployment, place: GuardPlace | None) -> list[str]:
    """What an operator has to do where no unit can be written for the guard that the file asks for."""
    if not deployment.director.guard or place is None or place.able:
        return []
    if place.host != DIRECTOR:
        if place.runs:
            return []
        why = "dsrwizard is not installed there." if not place.program else "It does not run systemd."
        what = "Have this run there: dsrwizard guard FILE" if place.program else "Install it, then apply again."
        return [
            f"No guard is set up on {place.host}. {why} Without one keepalived there takes out what refuses TCP, and "
            f"no more. {what}"
        ]
    why = "Only root may write its unit." if place.systemd else "This machine does not run systemd."
    return [f"No guard is set up here. {why} {RUN_IT}"]


def unit_differs(deployment: Deployment, place: GuardPlace) -> UnitDiffers:
    """What of the unit is not as the deployment asks for. What only root may read is taken for right by others."""
    file, unit, link = guard_files(deployment.name)
    wanted = _wanted(deployment, place.program)
    if place.files.get(unit) is None:
        return "missing"
    if place.files.get(link) != wanted[link]:
        return "disabled"
    if place.files.get(unit) != wanted[unit]:
        return "other"
    return "reads-other" if place.writable and place.files.get(file) != wanted[file] else ""


def _wanted(deployment: Deployment, program: Sequence[str]) -> dict[str, FileState | None]:
    file, unit, link = guard_files(deployment.name)
    if not deployment.director.guard:
        return {link: None, unit: None, file: None}
    return {
        file: FileState(content=OURS.format(name=deployment.name) + dumps(deployment), mode=0o600),
        unit: FileState(content=_unit_text(deployment, file, program)),
        link: FileState(target=unit),
    }


def _unit_text(deployment: Deployment, file: str, program: Sequence[str]) -> str:
    """The unit: alive means a round within the watchdog's time (systemd.service(5), WatchdogSec=)."""
    words = " ".join(map(unit_word, (*program, "guard", file)))
    # However a guard ends, nothing is announced without one: it cannot withdraw what it was killed over.
    withdrawn = (
        f"ExecStopPost=-/usr/bin/env ip link del {sign_of(deployment.name)}\n" if deployment.director.bgp else ""
    )
    return f"""\
{OURS.format(name=deployment.name)}\
[Unit]
Description=Guard of the Direct Server Return deployment {deployment.name}
After=network.target dsrwizard-restore-{deployment.name}.service

[Service]
Type=notify
NotifyAccess=main
Environment=HOME=/root
ExecStart={words}
{withdrawn}\
Restart=always
RestartSec=2
RestartPreventExitStatus=2
WatchdogSec={WATCHDOG_SECONDS}
RuntimeDirectory=dsrwizard
RuntimeDirectoryMode=0700
RuntimeDirectoryPreserve=yes
NoNewPrivileges=yes
ProtectSystem=full
PrivateTmp=yes
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_DAC_READ_SEARCH
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_PACKET AF_INET AF_INET6

[Install]
WantedBy=multi-user.target
"""
