"""One change on one host as data: what is there before (`old`), what is there after (`new`).

A change knows neither how it is carried out nor where. Its undo is itself with `old` and `new` swapped, so what goes
to the journal before a change is all that is needed to take it back. Absence is `None` or `False`.
"""

from __future__ import annotations

from typing import Literal, Self

import msgspec

from dsrwizard.core.model.deployment import Protocol


class _Change(msgspec.Struct, frozen=True, tag=True):
    def inverse(self) -> Self:
        """The change that takes this one back."""
        return msgspec.structs.replace(self, old=self.new, new=self.old)  # type: ignore[attr-defined]


class SysctlChange(_Change, frozen=True, kw_only=True):
    """A kernel setting, key in dotted form (`net.ipv4.conf.all.arp_ignore`), values as text."""

    key: str
    old: str
    new: str


class FileState(msgspec.Struct, frozen=True):
    """A regular file, or a symbolic link where `target` is given. `mode` is the permission bits (0o644)."""

    content: str = ""
    mode: int = 0o644
    target: str | None = None


class FileChange(_Change, frozen=True, kw_only=True):
    """A whole file."""

    path: str
    old: FileState | None
    new: FileState | None


class FolderChange(_Change, frozen=True, kw_only=True):
    """A folder for our files, readable by all. Its undo leaves it where something is in it by then."""

    path: str
    old: bool
    new: bool


_ASIDE = ".dsrwizard-new"


def aside(path: str) -> str:
    """Where a file is written before it is moved to `path` whole: in the same folder, by a name that nothing reads
    which reads that folder. Programs that take every name leave out those that begin with a dot (the shell's `*`,
    run-parts), the others go by the ending (sysctl.d(5), systemd.unit(5), systemd.network(5))."""
    folder, _, name = path.rpartition("/")
    return f"{folder}/.{name}{_ASIDE}"


def is_aside(path: str) -> bool:
    """Whether it is such a name."""
    return path.endswith(_ASIDE)


OPERATORS_FILES = ("/etc/bird/bird.conf", "/etc/keepalived/keepalived.conf")
"""Files of an operator that get a line of ours at their end. What was there before is theirs, though what we wrote
begins with it."""


def torn(state: FileState | None, whole: FileState | None) -> bool:
    """Whether this is what a power cut or a full disk may have left of a file as it was written: its beginning,
    nothing, or zeros in place of the rest."""
    if state is None or whole is None or (state.target, whole.target) != (None, None):
        return False
    left = state.content.rstrip("\0")
    return state.content != whole.content and whole.content.startswith(left)


GUARD_FILE = "/etc/sysctl.d/zzz-dsrwizard.conf"
"""Keeps the guard over a reboot of a Linux real server: one file for the VIPs of all deployments. By its name it comes
after the files of others, of which the last one wins (sysctl.d(5))."""
FORMER_GUARD_FILE = "/etc/sysctl.d/90-dsrwizard.conf"
"""The same of earlier versions, whose settings a file 99-… undid; an apply puts the new one in its place."""

CommandSet = Literal["linux", "windows-2012", "windows-2008"]
"""Whose commands carry a change out; the two of Windows are the dialects of `core.windows.facts`."""


class AddressChange(_Change, frozen=True, kw_only=True):
    """An IP address on an interface; on Windows with SkipAsSource, so that the server does not speak from it."""

    interface: str
    address: str
    prefix: int
    old: bool
    new: bool
    system: CommandSet = "linux"


class LinkChange(_Change, frozen=True, kw_only=True):
    """A dummy interface that carries VIPs; on Windows a Microsoft loopback adapter of that name."""

    interface: str
    old: bool
    new: bool
    system: CommandSet = "linux"


WindowsItem = Literal[
    "dhcp", "weak-receive", "weak-send", "metric", "dad", "router-discovery", "binding", "dns-registration", "netbios",
    "firewall-rule", "site-binding", "listen-address", "certificate",
]  # fmt: skip


class WindowsChange(_Change, frozen=True, kw_only=True):
    """One setting of a Windows server; `key` says of what, without localised words: an adapter by its name where it is
    ours, otherwise by GUID, then what of it (`{4D36…}/4`). Values as text; None is absent."""

    item: WindowsItem
    key: str
    old: str | None
    new: str | None
    system: CommandSet = "windows-2012"


class UnitChange(_Change, frozen=True, kw_only=True):
    """systemd, or its network manager, reads its files again; it has no state of its own, so its undo is itself.

    `of="service"`: the unit `unit` is started anew (`new="running"`) or stopped (`new="stopped"`). `of="bird"`: BIRD
    checks its files and reads them, and nothing of them is in force where the check fails.
    """

    old: str = "loaded"
    new: str = "loaded"
    of: Literal["systemd", "networkd", "service", "bird"] = "systemd"
    unit: str = ""


class KeepalivedChange(_Change, frozen=True, kw_only=True):
    """keepalived checks files, reads them again, starts or stops.

    `of="files"`: `new="checked"` checks `files` (path → text as they are to be) before any of them is there; `"read"`
    has a running keepalived read what is there. A step begins with `old="read", new="checked"` and ends with the
    reverse, so that its undo reads the files again once they are as before. They leave nothing behind.

    `of="daemon"`: keepalived runs (`"running"`) or does not (`"stopped"`).

    `by`: systemd is told, as long as keepalived runs as its unit, or else keepalived itself.
    """

    of: Literal["files", "daemon"] = "files"
    old: str
    new: str
    files: tuple[tuple[str, str], ...] = ()
    by: Literal["unit", "itself"] = "unit"


class ServiceKey(msgspec.Struct, frozen=True):
    """Identity of an IPVS virtual service."""

    address: str
    protocol: Protocol
    port: int


ONE_PACKET = 0x04
SCHEDULER_FLAGS = {
    "sh": {0x08: "sh-fallback", 0x10: "sh-port"}, "mh": {0x08: "mh-fallback", 0x10: "mh-port"},
}  # fmt: skip
"""Flags of a service (linux/ip_vs.h), and those of schedulers as ipvsadm(8) calls them."""


def flag_words(flags: int, scheduler: str) -> list[str]:
    """The flags of a scheduler as ipvsadm calls them."""
    return [word for bit, word in SCHEDULER_FLAGS.get(scheduler, {}).items() if flags & bit]


class ServiceState(msgspec.Struct, frozen=True):
    """What an IPVS service is set to. `persistence` in seconds, 0 = off; `flags` without the persistence bit
    (`hashed` is the kernel's own and never stored here)."""

    scheduler: str
    persistence: int = 0
    flags: int = 0
    netmask: int | None = None
    """IPv4: persistence granularity as a number; IPv6: prefix length. None is the full address."""
    persistence_engine: str = ""
    """What persistence looks at beyond the address (`sip`); empty for none. Never set by dsrwizard, only kept."""


class ServiceChange(_Change, frozen=True, kw_only=True):
    """An IPVS virtual service."""

    service: ServiceKey
    old: ServiceState | None
    new: ServiceState | None


class DestinationState(msgspec.Struct, frozen=True, gc=False):
    """What an IPVS destination is set to. `method` is `dr`, `tun`, `nat` or `local`."""

    weight: int
    method: str = "dr"
    upper: int = 0
    lower: int = 0
    tun_type: int = 0
    """Encapsulation of `tun` (kernel's ip_vs.h: 0 IPIP, 1 GUE, 2 GRE), with its port and checksum flags."""
    tun_port: int = 0
    tun_flags: int = 0


class DestinationChange(_Change, frozen=True, kw_only=True):
    """A real server behind an IPVS service."""

    service: ServiceKey
    address: str
    port: int
    old: DestinationState | None
    new: DestinationState | None


class ModuleChange(_Change, frozen=True, kw_only=True):
    """A kernel module is loaded. Its undo leaves it loaded: others may use it by then."""

    module: str
    old: bool = False
    new: bool = True


class AnnounceChange(_Change, frozen=True, kw_only=True):
    """Gratuitous ARP (IPv6: unsolicited neighbour advertisement) for a VIP, so that neighbours learn the director's
    MAC. `new` false announces nothing: the undo of an announcement is silence."""

    interface: str
    address: str
    old: bool = False
    new: bool = True


class ModeChange(_Change, frozen=True, kw_only=True):
    """A feature or a mode of an appliance, for everything that it does: `LB`, `MBF`; or a floating IP that it takes,
    for whatever service."""

    of: Literal["feature", "mode", "floating IP"]
    name: str
    old: bool
    new: bool


class SaveChange(_Change, frozen=True, kw_only=True):
    """An appliance's running configuration is kept over its reboot, whoever made it. Its undo is to save again."""

    old: str = "saved"
    new: str = "saved"


class SavedTableChange(_Change, frozen=True, kw_only=True):
    """What `dsrwizard restore` brings back after a reboot of the director is written to a file: the table as the kernel
    has it at that moment, the VIPs and the settings. Its undo removes the file. `rips`: of the real servers."""

    deployment: str
    interface: str
    vips: tuple[str, ...]
    services: tuple[ServiceKey, ...]
    settings: tuple[str, ...]
    rips: tuple[str, ...]
    old: bool
    new: bool


Change = (
    SysctlChange
    | FileChange
    | FolderChange
    | AddressChange
    | LinkChange
    | UnitChange
    | ServiceChange
    | DestinationChange
    | ModuleChange
    | AnnounceChange
    | WindowsChange
    | SavedTableChange
    | KeepalivedChange
    | ModeChange
    | SaveChange
)
