"""The plan for a Linux real server: the ARP guard, the VIPs, and the files that keep both across reboots.

Facts in, steps out. Kernel behaviour: Documentation/networking/ip-sysctl (arp_ignore, arp_announce); what each break
looks like is in the field guide (A1, A2, B1, B2).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from dsrwizard.core.dialects.commands import IPV6_MANNER
from dsrwizard.core.model.changes import (
    FORMER_GUARD_FILE,
    GUARD_FILE,
    AddressChange,
    Change,
    FileChange,
    FileState,
    FolderChange,
    LinkChange,
    SysctlChange,
    UnitChange,
    aside,
    torn,
)
from dsrwizard.core.model.deployment import Deployment, RealServer, Vip
from dsrwizard.core.model.facts import Interface, ServerFacts
from dsrwizard.core.model.steps import HostPlan, Step
from dsrwizard.core.model.values import parsed

GUARD = {"arp_ignore": "1", "arp_announce": "2"}
_GUARD_TEXT = """\
# dsrwizard: this host holds VIPs of a Direct Server Return service on lo or a dummy interface and must stay silent
# about them: it does not answer ARP for them (arp_ignore) and never names one as sender (arp_announce).
net.ipv4.conf.all.arp_ignore = 1
net.ipv4.conf.all.arp_announce = 2
"""


def unit_file(deployment: str) -> str:
    """Path of the systemd unit that sets this deployment's VIPs at boot."""
    return f"/etc/systemd/system/dsrwizard-{deployment}.service"


def unit_link(deployment: str) -> str:
    """Path of the link by which the unit is enabled."""
    return f"/etc/systemd/system/multi-user.target.wants/dsrwizard-{deployment}.service"


def ifupdown_file(deployment: str) -> str:
    """Path of the ifupdown stanza that sets this deployment's VIPs at boot. No suffix: run-parts passes over dots."""
    return f"/etc/network/interfaces.d/dsrwizard-{deployment.replace('.', '-')}"


def dispatcher_file(deployment: str) -> str:
    """Path of the script by which NetworkManager has the unit run again (NetworkManager-dispatcher(8))."""
    return f"/etc/NetworkManager/dispatcher.d/90-dsrwizard-{deployment.replace('.', '-')}"


def files_of(deployment: str) -> tuple[str, ...]:
    """Every file a step may write on a Linux real server: what the observing script must read."""
    return (
        GUARD_FILE, FORMER_GUARD_FILE, unit_file(deployment), unit_link(deployment), ifupdown_file(deployment),
        dispatcher_file(deployment),
    )  # fmt: skip


def asides_of(deployment: str) -> tuple[str, ...]:
    """What may be left of such files where a host was cut off while it wrote one."""
    return tuple(aside(path) for path in files_of(deployment) if path != unit_link(deployment))


def folders_of(deployment: str) -> tuple[str, ...]:
    """The folders that these files need, outer ones first."""
    found: dict[str, None] = {}
    for path in files_of(deployment):
        names = path.split("/")[2:-1]  # /etc is there
        for depth in range(1, len(names) + 1):
            found["/etc/" + "/".join(names[:depth])] = None
    return tuple(found)


def ingress(server: RealServer, facts: ServerFacts) -> Interface | None:
    """The interface that holds the RIP, on which the director's frames arrive."""
    carrying = facts.carrying(server.address)
    return carrying[0] if carrying else None


def effective(facts: ServerFacts, interface: str, name: str) -> int | None:
    """The value in force on an interface: the larger of `all` and its own (ip-sysctl). None: unknown."""
    values = [facts.sysctls.get(key(scope, name)) for scope in ("all", interface)]
    numbers = [int(value) for value in values if value is not None and value.lstrip("-").isdigit()]
    return max(numbers) if len(numbers) == 2 else None


def key(interface: str, name: str) -> str:
    """The kernel setting of an interface in dotted form; a dot within the name is written as a slash (sysctl(8))."""
    return f"net.ipv4.conf.{interface.replace('.', '/')}.{name}"


def key6(interface: str) -> str:
    """The setting by which an interface that goes down and up keeps its IPv6 addresses (ip-sysctl)."""
    return f"net.ipv6.conf.{interface.replace('.', '/')}.keep_addr_on_down"


def plan_server(deployment: Deployment, server: RealServer, facts: ServerFacts) -> HostPlan:
    """The steps that bring this server to the deployment, in the order of safety."""
    vips = deployment.vips_of(server)
    problem = _problem(server, facts, vips)
    if problem:
        return HostPlan(host=server.name, problem=problem)
    steps = [*_guard(server, facts, vips), *_link(server, facts)]
    for vip in vips:
        steps += _vip(server, facts, vip)
    steps += _persistence(deployment, server, facts, vips)
    return HostPlan(host=server.name, steps=tuple(steps), notes=tuple(_notes(server, facts, vips)))


def _problem(server: RealServer, facts: ServerFacts, vips: Sequence[Vip]) -> str:
    if not facts.privileged:
        return "The login has no root rights, so nothing can be changed. Log in as root or as a user with sudo."
    if ingress(server, facts) is None:
        return (
            f"No interface on this host has {server.address}. The address may belong to another host, or NAT may "
            "translate it on the way. Direct routing needs the server's own address in the director's network."
        )
    unseen = [name for name in GUARD if key("all", name) not in facts.sysctls]
    if unseen:
        return f"Its kernel settings ({', '.join(unseen)}) could not be read, so they could not be restored later."
    target = facts.interface(server.vip_interface)
    if target is not None and server.vip_interface != "lo" and target.kind != "dummy":
        return (
            f"vip_interface {server.vip_interface!r} is not a dummy interface on this host. On a real interface the "
            'server would answer ARP for the VIP. Use vip_interface = "lo" or the name of a dummy interface.'
        )
    if target is not None and vips and not target.up:
        return (
            f"{target.name} is down on this host, and a VIP on it does not answer. Bring it up: ip link set "
            f"{shlex.quote(target.name)} up"
        )
    for vip in vips:
        for interface, prefix in _entries(facts, vip):
            if interface.name != "lo" and interface.kind != "dummy":
                return (
                    f"{vip.address} is on {interface.name}, where the server answers ARP for it. dsrwizard did not put "
                    f"it there and does not remove it. Remove it by hand: ip addr del {vip.address}/{prefix} dev "
                    f"{shlex.quote(interface.name)}"
                )
    return ""


def _entries(facts: ServerFacts, vip: Vip) -> list[tuple[Interface, int]]:
    """Every interface that holds the VIP with the prefix length; twice where it is there with two prefixes."""
    wanted = vip.ip
    return [
        (interface, entry.prefix)
        for interface in facts.interfaces
        for entry in interface.addresses
        if parsed(entry.address) == wanted
    ]


def _notes(server: RealServer, facts: ServerFacts, vips: Sequence[Vip]) -> list[str]:
    notes = []
    for vip in vips:
        for interface in facts.carrying(vip.address):
            if interface.name != server.vip_interface:
                notes.append(
                    f"{vip.address} is already on {interface.name}, not on {server.vip_interface}. It stays there."
                )
    if facts.persistence == "none":
        notes.append(
            "This host has neither systemd nor ifupdown to set the VIP at boot. After a reboot the VIP will be gone."
        )
    return notes


def _guard(server: RealServer, facts: ServerFacts, vips: Sequence[Vip]) -> list[Step]:
    if not any(vip.ip.version == 4 for vip in vips):
        return []  # Linux answers no neighbour solicitation for an address on lo or a dummy interface (field guide G1)
    changes: list[Change] = []
    nic = ingress(server, facts)
    for name, wanted in GUARD.items():
        present = facts.sysctls[key("all", name)]  # `_problem` has made sure that they were seen
        if present != wanted and not (name == "arp_ignore" and present == "2"):
            changes.append(SysctlChange(key=key("all", name), old=present, new=wanted))
        if nic is not None and name == "arp_ignore":
            # The larger value wins: 3 and above on the interface itself would undo the guard on `all`.
            own = facts.sysctls.get(key(nic.name, name), "0")
            if own.isdigit() and int(own) > 2:
                changes.append(SysctlChange(key=key(nic.name, name), old=own, new=wanted))
    changes += _left_over(facts, GUARD_FILE)
    changes += _file(facts, GUARD_FILE, FileState(content=_GUARD_TEXT))
    former = facts.files.get(FORMER_GUARD_FILE)
    if former is not None and former.content.startswith("# dsrwizard: "):
        changes.append(FileChange(path=FORMER_GUARD_FILE, old=former, new=None))
    if not changes:
        return []
    return [
        Step(
            id="guard",
            purpose="guard",
            host=server.name,
            phase="guard",
            title="Guard: stay silent about the VIP in ARP",
            why="Without it this server answers ARP for the VIP and takes the director's traffic.",
            changes=tuple(dict.fromkeys(changes)),
        )
    ]


def loose_filter(server: RealServer, facts: ServerFacts) -> list[Step]:
    """The step that lets clients' packets in where their way back is another: rp_filter 2 (loose, RFC 3704). Not part
    of the plan, because most servers need none; the larger of `all` and the interface's own value acts (ip-sysctl)."""
    nic = ingress(server, facts)
    present = facts.sysctls.get(key(nic.name, "rp_filter")) if nic else None
    if nic is None or present is None or present == "2":
        return []
    return [
        Step(
            id="rp_filter",
            purpose="rp-filter",
            host=server.name,
            phase="guard",
            title=f"Loose reverse-path filter on {nic.name}",
            why="In strict mode it drops clients' packets, because replies to them leave by another interface.",
            changes=(SysctlChange(key=key(nic.name, "rp_filter"), old=present, new="2"),),
        )
    ]


def _link(server: RealServer, facts: ServerFacts) -> list[Step]:
    if facts.interface(server.vip_interface) is not None:
        return []
    return [
        Step(
            id=f"link {server.vip_interface}",
            purpose="adapter",
            host=server.name,
            phase="vip",
            title=f"Dummy interface {server.vip_interface}",
            why="The deployment puts the VIPs on this interface.",
            changes=(LinkChange(interface=server.vip_interface, old=False, new=True),),
        )
    ]


def _vip(server: RealServer, facts: ServerFacts, vip: Vip) -> list[Step]:
    entries = _entries(facts, vip)
    right = any(prefix == vip.prefix for _, prefix in entries)
    wrong = [(interface.name, prefix) for interface, prefix in entries if prefix != vip.prefix]
    changes: list[Change] = [
        AddressChange(interface=name, address=vip.address, prefix=prefix, old=True, new=False) for name, prefix in wrong
    ]
    if not right:
        changes.append(
            AddressChange(interface=server.vip_interface, address=vip.address, prefix=vip.prefix, old=False, new=True)
        )
    keeps = key6(server.vip_interface)
    made = facts.interface(server.vip_interface) is None  # then it begins with the value of new interfaces
    if vip.ip.version == 6 and facts.sysctls.get(key6("default") if made else keeps) == "0":
        changes.insert(0, SysctlChange(key=keeps, old="0", new="1"))
    if not changes:
        return []
    interrupts = ""
    if wrong and not right:
        interrupts = f"{server.name} loses the VIP for a moment while its prefix changes to /{vip.prefix}."
    return [
        Step(
            id=f"vip {vip.address}",
            purpose="vip",
            vip=vip.address,
            host=server.name,
            phase="vip",
            title=f"VIP {vip.address} as /{vip.prefix} only"
            if right
            else f"VIP {vip.address}/{vip.prefix} on {server.vip_interface}",
            why="With a shorter prefix the server treats the VIP's whole network as its own."
            if right
            else "The director forwards packets unchanged. The server drops them unless it has the VIP.",
            changes=tuple(changes),
            interrupts=interrupts,
        )
    ]


def _persistence(deployment: Deployment, server: RealServer, facts: ServerFacts, vips: Sequence[Vip]) -> list[Step]:
    name, link = deployment.name, server.vip_interface
    changes: list[Change] = []
    if facts.persistence == "systemd":
        changes += _left_over(facts, unit_file(name))
        changes += _file(facts, unit_file(name), FileState(content=unit_text(name, link, vips)))
        changes += _file(facts, unit_link(name), FileState(target=unit_file(name)))
        if changes:
            changes.append(UnitChange())
        if facts.networkmanager:
            changes += _left_over(facts, dispatcher_file(name))
            changes += _file(facts, dispatcher_file(name), FileState(content=dispatcher_text(name), mode=0o755))
    elif facts.persistence == "ifupdown":
        changes += _left_over(facts, ifupdown_file(name))
        changes += _file(facts, ifupdown_file(name), FileState(content=ifupdown_text(name, link, vips)))
    if not changes:
        return []
    with_what = "a systemd unit" if facts.persistence == "systemd" else "an ifupdown stanza"
    return [
        Step(
            id="persistence",
            purpose="persistence",
            host=server.name,
            phase="vip",
            title=f"Keep the VIP across reboots with {with_what}",
            why="An address set at run time is lost at the next reboot. The server would then drop clients' packets.",
            changes=tuple(dict.fromkeys(changes)),
        )
    ]


def keeps_vips(deployment: Deployment, server: RealServer, facts: ServerFacts) -> tuple[str, ...]:
    """Our own files by which this server sets the VIPs at boot; empty where they are not all as they should be."""
    name = deployment.name
    if facts.persistence == "none" or _persistence(deployment, server, facts, deployment.vips_of(server)):
        return ()
    if facts.persistence == "ifupdown":
        return (ifupdown_file(name),)
    units = (unit_file(name), unit_link(name))
    return (*units, dispatcher_file(name)) if facts.networkmanager else units


def keeps_guard(facts: ServerFacts) -> bool:
    """Whether our own file of the guard is there as it should be."""
    return not _file(facts, GUARD_FILE, FileState(content=_GUARD_TEXT))


def _file(facts: ServerFacts, path: str, wanted: FileState) -> list[Change]:
    """What brings a file there, with the folders it needs; one that is there keeps its mode."""
    present = facts.files.get(path)
    if present is not None and (present.content, present.target) == (wanted.content, wanted.target):
        return []
    if present is not None and (present.target, wanted.target) == (None, None):
        mode = wanted.mode if torn(present, wanted) else present.mode | (wanted.mode & 0o111)
        wanted = FileState(content=wanted.content, mode=mode)
    missing = [folder for folder, there in facts.folders.items() if not there and path.startswith(f"{folder}/")]
    folders = [FolderChange(path=folder, old=False, new=True) for folder in missing]
    return [*folders, FileChange(path=path, old=present, new=wanted)]


def _left_over(facts: ServerFacts, path: str) -> list[Change]:
    """Removes what a host that was cut off left beside a file of ours; to be done before that file is written, which
    takes the place beside it."""
    left = facts.files.get(aside(path))
    return [FileChange(path=aside(path), old=left, new=None)] if left is not None else []


def unit_text(deployment: str, link: str, vips: Sequence[Vip]) -> str:
    """The systemd unit. It sets the guard itself before the addresses: at boot too, guard comes first."""
    commands = []
    if any(vip.ip.version == 4 for vip in vips):
        commands += [f"sysctl -qw net.ipv4.conf.all.{name}={value}" for name, value in GUARD.items()]
    commands += _link_commands(link)
    if any(vip.ip.version == 6 for vip in vips):
        commands.append(f"sysctl -qw {key6(link)}=1")
    commands += [_replace(vip, link) for vip in vips]
    starts = "\n".join(f"ExecStart=/bin/sh -c '{command}'" for command in commands)
    return f"""\
# Written by dsrwizard for the deployment {deployment}; `dsrwizard teardown` removes it.
[Unit]
Description=VIPs of the Direct Server Return deployment {deployment}
After=systemd-sysctl.service systemd-modules-load.service
Before=network.target

[Service]
Type=oneshot
RemainAfterExit=yes
{starts}

[Install]
WantedBy=multi-user.target
"""


def dispatcher_text(deployment: str) -> str:
    """The script. NetworkManager sets an interface up anew after `networking off` and `on`, and where it has a profile
    for lo it does so at boot, after our unit: it then takes what it did not set itself."""
    return f"""\
#!/bin/sh
# Written by dsrwizard for the deployment {deployment}; `dsrwizard teardown` removes it.
case $2 in
up | reapply) exec systemctl --no-block restart dsrwizard-{deployment}.service ;;
esac
"""


def ifupdown_text(deployment: str, link: str, vips: Sequence[Vip]) -> str:
    """The interfaces(5) stanza; several stanzas for one interface add up. sysctl.d was read before ifupdown runs."""
    ups = "\n".join(f"    up {_replace(vip, link)}" for vip in vips)
    create = "".join(f"    pre-up {command}\n" for command in _link_commands(link))
    return f"""\
# Written by dsrwizard for the deployment {deployment}; `dsrwizard teardown` removes it.
auto {link}
iface {link} inet manual
{create}{ups}
"""


def _link_commands(link: str) -> list[str]:
    if link == "lo":
        return []
    return [f"ip link show {link} >/dev/null 2>&1 || ip link add {link} type dummy", f"ip link set {link} up"]


def _replace(vip: Vip, link: str) -> str:
    manner = IPV6_MANNER if vip.ip.version == 6 else ""
    return f"ip addr replace {vip.address}/{vip.prefix} dev {link}{manner}"
