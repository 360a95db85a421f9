"""The commands of a change, exactly as an operator would type them (review, ticket, Linux scripts)."""

from __future__ import annotations

import re
import shlex
from ipaddress import IPv4Address

from dsrwizard.core.dialects.keepalived.putting import shown_commands
from dsrwizard.core.dialects.windows.commands import windows_commands
from dsrwizard.core.model.changes import (
    ONE_PACKET,
    AddressChange,
    AnnounceChange,
    Change,
    DestinationChange,
    FileChange,
    FileState,
    FolderChange,
    KeepalivedChange,
    LinkChange,
    ModeChange,
    ModuleChange,
    SaveChange,
    SavedTableChange,
    ServiceChange,
    ServiceKey,
    ServiceState,
    SysctlChange,
    UnitChange,
    WindowsChange,
    flag_words,
)
from dsrwizard.core.model.restoring import saved_path
from dsrwizard.core.model.values import endpoint

HERE_DOC = "DSRWIZARD_END"
IPV6_MANNER = " nodad preferred_lft 0"
"""How an IPv6 VIP is added: without duplicate address detection, which would find the other holders of the VIP, and
deprecated, so that the host does not choose it as source of its own connections (RFC 6724, rule 3)."""


def commands(change: Change) -> tuple[str, ...]:
    """The commands that carry out this change, in order. On the director they are what netlink does, as ipvsadm(8)
    and ip(8) would say it; on a Linux real server they are the very lines that run, but that a file is written aside
    first and then moved into place; on Windows what those lines do."""
    if isinstance(change, WindowsChange | AddressChange | LinkChange) and change.system != "linux":
        return windows_commands(change)
    match change:
        case SysctlChange(key=key, new=new):
            return (f"sysctl -qw {shlex.quote(key)}={shlex.quote(new)}",)
        case AddressChange():
            verb = "add" if change.new else "del"
            manner = IPV6_MANNER if change.new and ":" in change.address else ""
            return (f"ip addr {verb} {change.address}/{change.prefix} dev {shlex.quote(change.interface)}{manner}",)
        case LinkChange(interface=name, new=True):
            return (f"ip link add {shlex.quote(name)} type dummy", f"ip link set {shlex.quote(name)} up")
        case LinkChange(interface=name):
            return (f"ip link del {shlex.quote(name)}",)
        case FileChange():
            return _file(change)
        case FolderChange(path=path):
            return (f"mkdir -m 755 {shlex.quote(path)}" if change.new else f"rmdir {shlex.quote(path)}",)
        case UnitChange(of="networkd"):
            return ("networkctl reload",)
        case UnitChange(of="bird"):
            return ("bird -p && birdc configure",)
        case UnitChange(of="service", unit=unit, new=new):
            return (f"systemctl {'restart' if new == 'running' else 'stop'} {shlex.quote(unit)}",)
        case UnitChange():
            return ("systemctl daemon-reload",)
        case SavedTableChange(deployment=name):
            path = shlex.quote(saved_path(name))
            return (
                f"# the table, the VIPs and the settings as they are now go to {path}"
                if change.new
                else f"rm -f {path}",
            )
        case ModuleChange(module=module):
            return (f"modprobe {shlex.quote(module)}",) if change.new else ()
        case AnnounceChange(address=address):
            name = shlex.quote(change.interface)
            six = ":" in address
            return (f"ndsend {address} {name}" if six else f"arping -U -c 3 -I {name} {address}",) if change.new else ()
        case ServiceChange():
            return (_service(change),)
        case DestinationChange():
            return (_destination(change),)
        case KeepalivedChange():
            return shown_commands(change)
        case WindowsChange() | ModeChange() | SaveChange():
            return ()


def _file(change: FileChange) -> tuple[str, ...]:
    path, new = shlex.quote(change.path), change.new
    if new is None:
        return (f"rm -f {path}",)
    if new.target is not None:
        return (f"ln -sfn {shlex.quote(new.target)} {path}",)
    if (lines := _of_others(change)) is not None:
        return lines
    unlink = (f"rm -f {path}",) if replaces_link(change) else ()
    return (*unlink, here_document(new, path), f"chmod {new.mode:o} {path}")


def _of_others(change: FileChange) -> tuple[str, ...] | None:
    """Where a line of ours comes into a file of others or goes out of it, that line alone: the rest is theirs, and may
    hold a password. None for any other change."""
    old, new, path = change.old, change.new, shlex.quote(change.path)
    if old is None or new is None or old.target is not None or old.mode != new.mode or not old.content:
        return None
    if new.content.startswith(old.content):
        added = FileState(content=new.content[len(old.content) :])
        return (here_document(added, path).replace("cat > ", "cat >> ", 1),)
    before = old.content.splitlines(keepends=True)
    gone = set(before) - set(new.content.splitlines(keepends=True))
    if len(gone) == 1 and "".join(line for line in before if line not in gone) == new.content:
        line = re.sub(r"([][\\.*^$/])", r"\\\1", gone.pop().rstrip("\n"))
        return (f"sed -i {shlex.quote(f'/^{line}$/d')} {path}",)
    return None


def here_document(state: FileState, path: str) -> str:
    """The command that writes a text to a path, which is quoted already."""
    ending = "" if state.content.endswith("\n") or not state.content else "\n"
    return f"cat > {path} <<'{HERE_DOC}'\n{state.content}{ending}{HERE_DOC}"


def replaces_link(change: FileChange) -> bool:
    """Whether a regular file takes a link's place: writing to the path would write to whatever the link points to."""
    return change.old is not None and change.old.target is not None


def _virtual(key: ServiceKey) -> str:
    return f"-{key.protocol[0]} {endpoint(key.address, key.port)}"


def _flags(state: ServiceState) -> str:
    words = ",".join(flag_words(state.flags, state.scheduler))
    return f"{' -o' if state.flags & ONE_PACKET else ''}{f' -b {words}' if words else ''}"


def _persistence(state: ServiceState) -> str:
    if not state.persistence:
        return ""
    mask = state.netmask
    masked = "" if mask is None else f" -M {mask if mask <= 128 else IPv4Address(mask)}"
    engine = f" --pe {state.persistence_engine}" if state.persistence_engine else ""
    return f" -p {state.persistence}{masked}{engine}"


def _service(change: ServiceChange) -> str:
    if change.new is None:
        return f"ipvsadm -D {_virtual(change.service)}"
    verb = "-A" if change.old is None else "-E"
    state = f"{change.new.scheduler}{_flags(change.new)}{_persistence(change.new)}"
    return f"ipvsadm {verb} {_virtual(change.service)} -s {state}"


def _destination(change: DestinationChange) -> str:
    real = f"{_virtual(change.service)} -r {endpoint(change.address, change.port)}"
    if change.new is None:
        return f"ipvsadm -d {real}"
    # What ipvsadm has no word for (a newer kernel's method, or `bypass`), it cannot be told either.
    method = {"tun": "-i", "nat": "-m"}.get(change.new.method, "-g")
    limits = f" -x {change.new.upper} -y {change.new.lower}" if change.new.upper or change.new.lower else ""
    return f"ipvsadm {'-a' if change.old is None else '-e'} {real} {method} -w {change.new.weight}{limits}"
