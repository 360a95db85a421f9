"""What stands on a host now, in the terms of a change. Pure."""

from __future__ import annotations

from ipaddress import ip_address

from dsrwizard.core.dialects.windows import state as windows_state
from dsrwizard.core.dialects.windows.commands import standalone
from dsrwizard.core.model.bird import BIRD_CONF
from dsrwizard.core.model.changes import (
    AddressChange,
    Change,
    DestinationChange,
    FileChange,
    FolderChange,
    KeepalivedChange,
    LinkChange,
    ModeChange,
    SavedTableChange,
    ServiceChange,
    SysctlChange,
    WindowsChange,
)
from dsrwizard.core.model.facts import DirectorFacts, ServerFacts
from dsrwizard.core.model.values import parsed
from dsrwizard.core.record.owed import Owed

NOT_SEEN = object()
"""It was not looked at, or the host could not tell."""


def standing(change: Change, facts: ServerFacts | DirectorFacts) -> object:
    """What is there now, in the terms of the change; `NOT_SEEN` where nobody could look."""
    match change:
        case SysctlChange(key=key):
            return facts.sysctls.get(key, NOT_SEEN)
        case AddressChange(interface=name, address=address, prefix=prefix):
            interface = facts.interface(name)
            if _blind(facts, name, "addresses"):
                return NOT_SEEN
            wanted = (ip_address(address), prefix)
            return any(
                (parsed(own.address), own.prefix) == wanted for own in (interface.addresses if interface else ())
            )
        case LinkChange(interface=name):
            unfinished = isinstance(facts, ServerFacts) and facts.windows and facts.windows.unfinished(name)
            there = facts.interface(name) is not None or bool(unfinished)
            return NOT_SEEN if _blind(facts, name, "addresses") else there  # it may carry what is not ours
        case FileChange(path=path):
            if isinstance(facts, ServerFacts):
                return facts.files.get(path, NOT_SEEN)
            if path.startswith("/etc/bird/"):
                return NOT_SEEN if facts.bird is None else facts.bird.conf if path == BIRD_CONF else facts.bird.own
            kept = facts.keepalived.files if facts.keepalived else {}
            return (facts.boot.files if facts.boot else {}).get(path, kept.get(path, NOT_SEEN))
        case FolderChange(path=path):
            folders = facts.folders if isinstance(facts, ServerFacts) else {}
            kept_folders = facts.keepalived.folders if facts.keepalived else {}
            return folders.get(path, kept_folders.get(path, NOT_SEEN))
        case KeepalivedChange(of="daemon"):
            if facts.keepalived is None:
                return NOT_SEEN
            return "running" if facts.keepalived.running else "stopped"
        case SavedTableChange():
            boot = facts.boot if isinstance(facts, DirectorFacts) else None
            return NOT_SEEN if boot is None or boot.saved == "unknown" else boot.saved != "missing"
        case ServiceChange(service=key):
            found = facts.service(key) if isinstance(facts, DirectorFacts) else None
            return found.state if found else None
        case DestinationChange(service=key, address=address, port=port):
            found = facts.service(key) if isinstance(facts, DirectorFacts) else None
            destination = found.destination(address, port) if found else None
            return destination.state if destination else None
        case ModeChange(of=of, name=name):
            balancer = facts.balancer if isinstance(facts, DirectorFacts) else None
            if balancer is None:
                return NOT_SEEN
            if of == "floating IP":
                floating = balancer.ldirectord.floating
                return NOT_SEEN if floating is None else name in floating
            return name in (balancer.box.features if of == "feature" else balancer.box.modes)
        case WindowsChange():
            return _windows(change, facts)
        case _:
            return NOT_SEEN


def as_director(facts: ServerFacts | None) -> ServerFacts | DirectorFacts | None:
    """What a host is looked at for: another director that announces VIPs by BGP, as this machine is."""
    return facts.director if facts is not None and facts.director is not None else facts


def as_left(item: Owed, facts: ServerFacts | DirectorFacts) -> bool:
    """Whether what dsrwizard left is there, as it left it."""
    return standing(item.change, facts) == item.change.new


def _blind(facts: ServerFacts | DirectorFacts, name: str, *parts: str) -> bool:
    """Whether a Windows host could not tell of this adapter, or of this part of it: then its absence says nothing."""
    windows = facts.windows if isinstance(facts, ServerFacts) else None
    if windows is None:
        return False
    adapter = windows.adapter(name)
    if adapter is None:
        return bool(windows.adapters_unknown)
    return any(part in windows.unknown or part in adapter.unknown for part in parts)


def _windows(change: WindowsChange, facts: ServerFacts | DirectorFacts) -> object:
    windows = facts.windows if isinstance(facts, ServerFacts) else None
    if windows is None:
        return NOT_SEEN
    if change.old is None and not standalone(change):
        return None  # it came with its adapter and goes with it
    found = windows_state.present(windows, change)
    return NOT_SEEN if found is windows_state.UNSEEN else found
