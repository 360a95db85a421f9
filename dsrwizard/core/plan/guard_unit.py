"""The unit that runs the deployment's guard on a director with systemd, and the deployment file that it reads.

The file lies beside the unit: the operator's own copy may be on another machine, or be edited before it is applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.bird import sign_of
from dsrwizard.core.model.changes import Change, FileChange, FileState, UnitChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.core.plan.unit_words import OURS, unit_word

_UNITS = "/etc/systemd/system"
GUARD_UNITS = f"{_UNITS}/dsrwizard-guard-"
"""How the paths of guards' files begin."""
WATCHDOG_SECONDS = 15
"""A guard without a heartbeat for so long is started again."""
RUN_IT = "Have this run all the time: dsrwizard guard FILE"
UnitDiffers = Literal["", "missing", "disabled", "other", "reads-other"]
"""What is wrong with a guard's unit: nothing, it is not there, not enabled, of another text, of another deployment."""


def guard_unit(deployment: str) -> str:
    """The unit's name."""
    return f"dsrwizard-guard-{deployment}.service"


def guard_files(deployment: str) -> tuple[str, str, str]:
    """The deployment file that the guard reads, the unit, and the link by which it is enabled."""
    unit = guard_unit(deployment)
    return (
        f"{GUARD_UNITS}{deployment}.toml",
        f"{_UNITS}/{unit}",
        f"{_UNITS}/multi-user.target.wants/{unit}",
    )


def guard_steps(deployment: Deployment, facts: DirectorFacts) -> list[Step]:
    """The step that sets the guard up or takes it away; none where nothing is to be changed, or without systemd."""
    boot = facts.boot
    if boot is None or not boot.writable or not boot.systemd:
        return []
    wanted = _wanted(deployment, boot.program)
    changes: list[Change] = [
        FileChange(path=path, old=boot.files.get(path), new=state)
        for path, state in wanted.items()
        if boot.files.get(path) != state
    ]
    unit = guard_unit(deployment.name)
    runs = facts.guarded
    if deployment.director.guard and (changes or not runs):
        changes += [UnitChange(), UnitChange(of="service", unit=unit, old="stopped", new="running")]
    elif changes:
        changes = [UnitChange(of="service", unit=unit, old="running", new="stopped"), *changes, UnitChange()]
    if not changes:
        return []
    return [
        Step(
            id="guard-service",
            purpose="guard-service",
            host=DIRECTOR,
            phase="vip",
            title="Run the guard as a systemd unit" if deployment.director.guard else "Remove the guard's systemd unit",
            why="It takes dead real servers out of the table while nobody looks, and lets them in again."
            if deployment.director.guard
            else "The deployment file does not ask for a guard any more.",
            changes=tuple(changes),
        )
    ]


def guard_notes(deployment: Deployment, facts: DirectorFacts) -> list[str]:
    """What an operator has to do where no unit can be written for the guard that the file asks for."""
    boot = facts.boot
    if not deployment.director.guard or boot is None or (boot.systemd and boot.writable):
        return []
    why = "Only root may write its unit." if boot.systemd else "This machine does not run systemd."
    return [f"No guard is set up here. {why} {RUN_IT}"]


def unit_differs(deployment: Deployment, boot: DirectorBoot) -> UnitDiffers:
    """What of the unit is not as the deployment asks for. What only root may read is taken for right by others."""
    file, unit, link = guard_files(deployment.name)
    wanted = _wanted(deployment, boot.program)
    if boot.files.get(unit) is None:
        return "missing"
    if boot.files.get(link) != wanted[link]:
        return "disabled"
    if boot.files.get(unit) != wanted[unit]:
        return "other"
    return "reads-other" if boot.writable and boot.files.get(file) != wanted[file] else ""


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
