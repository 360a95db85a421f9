"""What brings a director back after its reboot: a unit that runs `dsrwizard restore`, the file it reads, and what keeps
the VIP over commands of the machine's own network manager.

The VIP stays on the interface of the director's network. On a dummy interface a network manager would leave it alone,
but the kernel answers no neighbour solicitation for it there, so IPv6 would not work (field guide G1), and no ARP where
arp_ignore is set (ip-sysctl). So each manager is told in its own way: networkd keeps what it did not set
(systemd.network(5), KeepConfiguration=), the others run the unit again when they have brought the interface up.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from dsrwizard.core.model.changes import Change, FileChange, FileState, SavedTableChange, ServiceKey, UnitChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.restoring import DirectorBoot, saved_path
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.core.plan.unit_words import OURS, unit_word


def unit_name(deployment: str) -> str:
    """The unit of the director. A machine may be a real server of the same deployment's name elsewhere."""
    return f"dsrwizard-restore-{deployment}.service"


def unit_file(deployment: str) -> str:
    return f"/etc/systemd/system/{unit_name(deployment)}"


def unit_link(deployment: str) -> str:
    """The link by which the unit is enabled."""
    return f"/etc/systemd/system/multi-user.target.wants/{unit_name(deployment)}"


NETWORKD = "/etc/systemd/network/"
"""Where networkd's own files lie."""


def drop_in(deployment: str, network_file: str) -> str:
    """The drop-in of networkd for the .network file that governs the director's interface."""
    return f"{NETWORKD}{network_file}.d/dsrwizard-{deployment}.conf"


def dispatcher(deployment: str) -> str:
    """The script that NetworkManager runs. It passes over names with a dot at the end of rpmsave and its like alone."""
    return f"/etc/NetworkManager/dispatcher.d/90-dsrwizard-{deployment.replace('.', '-')}"


def if_up(deployment: str) -> str:
    """The script that ifupdown runs. run-parts passes over dots."""
    return f"/etc/network/if-up.d/dsrwizard-{deployment.replace('.', '-')}"


def files_of(deployment: str, network_file: str) -> tuple[str, ...]:
    """Every file that a step may write on the director: what the look must read."""
    files = (unit_file(deployment), unit_link(deployment), dispatcher(deployment), if_up(deployment))
    return (*files, drop_in(deployment, network_file)) if network_file else files


def command(deployment: str, boot: DirectorBoot) -> str:
    """What has to run at boot."""
    return shlex.join((*boot.program, "restore", deployment))


def persistence(deployment: Deployment, facts: DirectorFacts, settings: Sequence[str]) -> list[Step]:
    """The step that makes this director come back by itself; none where nothing is missing, or without systemd."""
    boot = facts.boot
    if boot is None or not boot.writable or not (boot.systemd or boot.by_hand):
        return []
    changes = _files(deployment, boot) if boot.systemd else []
    if changes or boot.saved in _SPOILT:
        changes.append(saved_change(deployment, settings, there=boot.saved != "missing"))
    if not changes:
        return []
    return [
        Step(
            id="persistence",
            purpose="persistence",
            host=DIRECTOR,
            phase="vip",
            title="Bring the IPVS table and the VIPs back at boot with a systemd unit"
            if boot.systemd
            else "Save the IPVS table and the VIPs for the next boot",
            why="Both are lost at a reboot of the director. The unit restores them as they were, without any server."
            if boot.systemd
            else f"Both are lost at a reboot of the director. {boot.by_hand[0]} restores them from this file.",
            changes=tuple(changes),
        )
    ]


def saved_change(deployment: Deployment, settings: Sequence[str], *, there: bool) -> SavedTableChange:
    """The change that writes the file which a boot reads."""
    rips = dict.fromkeys(rip for server in deployment.servers for rip in (server.address, server.address6) if rip)
    return SavedTableChange(
        deployment=deployment.name,
        interface=deployment.director.vip_interface,
        vips=tuple(vip.address for vip in deployment.vips),
        services=tuple(
            ServiceKey(address=str(vip.ip), protocol=service.protocol, port=service.port)
            for vip in deployment.vips
            for service in vip.services
        ),
        settings=tuple(settings),
        rips=tuple(rips),
        old=there,
        new=True,
    )


def _files(deployment: Deployment, boot: DirectorBoot) -> list[Change]:
    name, interface = deployment.name, deployment.director.interface
    units: list[Change] = []
    text = unit_text(name, interface, boot.program)
    present = boot.files.get(unit_file(name))
    if present is None or present.target is not None or not _same_unit(present.content, text, boot):
        units.append(FileChange(path=unit_file(name), old=present, new=FileState(content=text)))
    units += _file(boot, unit_link(name), FileState(target=unit_file(name)))
    if units:
        units.append(UnitChange())
    six = any(vip.ip.version == 6 for vip in deployment.vips)
    if boot.networkd and not (boot.keeps == "yes" or (boot.keeps == "static" and not six)):
        kept = _file(boot, drop_in(name, boot.networkd), FileState(content=_keep(deployment)))
        units += [*kept, UnitChange(of="networkd")] if kept else []
    if boot.networkmanager:
        units += _file(boot, dispatcher(name), FileState(content=_dispatcher_text(name, interface), mode=0o755))
    if boot.ifupdown:
        units += _file(boot, if_up(name), FileState(content=_if_up_text(name, interface), mode=0o755))
    return units


def _file(boot: DirectorBoot, path: str, wanted: FileState) -> list[Change]:
    present = boot.files.get(path)
    same = present is not None and (present.content, present.target, present.mode & 0o100) == (
        wanted.content, wanted.target, wanted.mode & 0o100 if wanted.target is None else present.mode & 0o100,
    )  # fmt: skip
    return [] if same else [FileChange(path=path, old=present, new=wanted)]


def _same_unit(present: str, wanted: str, boot: DirectorBoot) -> bool:
    """Whether the unit is as it should be. One that runs another installation of dsrwizard, which is there, is."""
    if boot.program_gone:
        return False
    start = re.compile(r"^ExecStart=.* restore (\S+)$", re.MULTILINE)
    return start.sub(r"ExecStart=\1", present) == start.sub(r"ExecStart=\1", wanted)


def _keep(deployment: Deployment) -> str:
    """networkd's drop-in. An IPv6 VIP is deprecated, which networkd takes for the sign of a dynamic address
    (link_address_is_dynamic() in its networkd-address.c): `static` does not keep it, `yes` does."""
    value = "yes" if any(vip.ip.version == 6 for vip in deployment.vips) else "static"
    return f"""\
{OURS.format(name=deployment.name)}\
# An address that networkd did not set, as a VIP, stays when networkd starts again or sets the interface up anew.
[Network]
KeepConfiguration={value}
"""


def unit_text(deployment: str, interface: str, program: Sequence[str]) -> str:
    """The unit. It runs when kernel settings are made and the interface is there; it waits itself for the interface's
    own address. Whatever `restore` refuses for good (exit code 1 or 2) is not tried again."""
    device = f"sys-subsystem-net-devices-{escaped(interface)}.device"
    return f"""\
{OURS.format(name=deployment)}\
[Unit]
Description=IPVS table and VIPs of the Direct Server Return deployment {deployment}
Wants={device}
After={device} systemd-modules-load.service systemd-sysctl.service
After=systemd-networkd.service networking.service NetworkManager.service

[Service]
Type=oneshot
RemainAfterExit=yes
Environment=HOME=/root
ExecStart={" ".join(map(unit_word, program))} restore {deployment}
Restart=on-failure
RestartSec=5
RestartPreventExitStatus=1 2
NoNewPrivileges=yes
ProtectHome=read-only
PrivateTmp=yes
CapabilityBoundingSet=CAP_NET_ADMIN CAP_NET_RAW CAP_SYS_MODULE CAP_DAC_READ_SEARCH
RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_PACKET AF_INET AF_INET6

[Install]
WantedBy=multi-user.target
"""


def started(unit: str) -> str:
    """The program that a unit of ours runs; empty where it names none."""
    found = re.search(r'^ExecStart=(?:"((?:[^"\\]|\\.)*)"|(\S+))', unit, re.MULTILINE)
    if found is None:
        return ""
    text = re.sub(r"\\(.)", r"\1", found[1]) if found[1] is not None else found[2]
    return text.replace("%%", "%").replace("$$", "$")


def escaped(interface: str) -> str:
    """An interface as a part of a unit's name (systemd.unit(5), string escaping)."""
    plain = re.compile(r"[A-Za-z0-9:_.]")
    return "".join(
        one if plain.match(one) and not (one == "." and at == 0) else "".join(f"\\x{byte:02x}" for byte in one.encode())
        for at, one in enumerate(interface)
    )


def _dispatcher_text(deployment: str, interface: str) -> str:
    return f"""\
#!/bin/sh
{OURS.format(name=deployment)}\
# NetworkManager takes an address that it did not set, as a VIP, when it sets the interface up anew.
[ "$1" = '{interface}' ] || exit 0
case $2 in
up | reapply | dhcp4-change | dhcp6-change) ;;
*) exit 0 ;;
esac
{_again(deployment)}"""


def _if_up_text(deployment: str, interface: str) -> str:
    return f"""\
#!/bin/sh
{OURS.format(name=deployment)}\
# ifdown takes every address of the interface with it.
[ "$IFACE" = '{interface}' ] || exit 0
[ -d /run/systemd/system ] || exit 0
{_again(deployment)}"""


def _again(deployment: str) -> str:
    """The last lines of a network manager's script. A run at boot that waits for this very interface goes on."""
    unit = unit_name(deployment)
    return f"""\
[ "$(systemctl is-active {unit})" = activating ] || exec systemctl --no-block restart {unit}
"""


def notes(deployment: Deployment, facts: DirectorFacts) -> list[str]:
    """What an operator has to do where dsrwizard writes no unit."""
    boot = facts.boot
    if boot is None:
        return []
    if boot.systemd and not boot.writable:
        lost = missing(deployment, boot)
        return [f"Only root may write what brings this director back after a reboot: {lost}."] if lost else []
    if boot.systemd or boot.by_hand:
        return []
    return [
        "This machine does not run systemd, so no unit is written. To bring the table and the VIPs back at boot, put "
        f"this line into {PLACES}, then apply again: {command(deployment.name, boot)}"
    ]


_SPOILT = ("missing", "unreadable", "older")
PLACES = "/etc/rc.local or /etc/local.d/dsrwizard.start"
"""Where a system without systemd runs a command at boot."""


def missing(deployment: Deployment, boot: DirectorBoot) -> str:
    """What keeps a boot from bringing everything back, as words; empty where nothing does."""
    name = deployment.name
    if not boot.systemd:
        if not boot.by_hand:
            return "no file was found that runs `dsrwizard restore` at boot, and this machine does not run systemd"
        return boot.saved_problem or f"{saved_path(name)} is {boot.saved}" if boot.saved in _SPOILT else ""
    unit, link = boot.files.get(unit_file(name)), boot.files.get(unit_link(name))
    if unit is None:
        return f"the unit {unit_file(name)} is missing"
    if unit.target == "/dev/null":
        return f"the unit {unit_name(name)} is masked"
    if link is None:
        return f"the unit {unit_name(name)} is disabled"
    if boot.program_gone:
        return f"{unit_name(name)} runs {boot.program_gone}, which is not there"
    if boot.saved in _SPOILT:
        return boot.saved_problem or f"{saved_path(name)} is {boot.saved}"
    changes = [change for change in _files(deployment, boot) if isinstance(change, FileChange)]
    return f"not as it should be: {', '.join(change.path for change in changes)}" if changes else ""
