"""The state of one machine: interfaces, kernel settings, files, listeners, and how changes alter it.

A change is refused for the reasons a kernel or a shell would refuse it, with their words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from uuid import NAMESPACE_OID, uuid5

from dsrwizard.core.model.changes import (
    AddressChange,
    AnnounceChange,
    Change,
    FileChange,
    FileState,
    FolderChange,
    LinkChange,
    ModuleChange,
    SysctlChange,
    UnitChange,
    aside,
)
from dsrwizard.core.model.facts import Interface, InterfaceAddress, Listener, Persistence, Route


class Refused(Exception):
    """What the machine said when it would not do it."""


@dataclass
class Link:
    """One network interface with its addresses (address → prefix length)."""

    mac: str
    up: bool = True
    kind: str = ""
    addresses: dict[str, int] = field(default_factory=dict)


def same(one: str, other: str) -> bool:
    return ip_address(one) == ip_address(other)


@dataclass
class Machine:
    """What a host is made of. Tests set the attributes to bring about a fault."""

    name: str
    mac: str
    links: dict[str, Link]
    ingress: str = "eth0"
    sysctls: dict[str, str] = field(default_factory=dict)
    files: dict[str, FileState] = field(default_factory=dict)
    no_folders: set[str] = field(default_factory=set)
    """Folders for files that are not there."""
    listeners: list[Listener] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    policy: dict[str, Route] = field(default_factory=dict)
    """Source address → route: rules `from ADDRESS` that come before the main table."""
    neighbours: list[str] = field(default_factory=list)
    """Lines of `ip neigh`."""
    ways_off: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Client → what `ip route get` says instead of a way to it, and the route or rule behind it."""
    told: dict[str, list[str]] = field(default_factory=dict)
    """What a section of the close look prints instead of what follows from the rest."""
    os: str = "Debian GNU/Linux 12 (bookworm)"
    kernel: str = "6.1.0"
    persistence: Persistence = "systemd"
    read_only: bool = False
    """No file can be written: a full or read-only file system."""
    announced: list[tuple[str, str]] = field(default_factory=list)
    modules: set[str] = field(default_factory=set)
    reloads: int = 0
    machine_id: str = ""
    """Of /etc/machine-id; each machine has its own unless a test says otherwise."""
    boot_id: str = ""

    def __post_init__(self) -> None:
        self.machine_id = self.machine_id or uuid5(NAMESPACE_OID, f"machine {self.mac}").hex
        self.boot_id = self.boot_id or str(uuid5(NAMESPACE_OID, f"boot {self.mac}"))

    def interfaces(self) -> tuple[Interface, ...]:
        return tuple(
            Interface(
                name=name,
                mac=link.mac,
                up=link.up,
                kind=link.kind,
                addresses=tuple(
                    InterfaceAddress(address=address, prefix=prefix, scope=_scope(address))
                    for address, prefix in link.addresses.items()
                ),
            )
            for name, link in self.links.items()
        )

    def holds(self, address: str) -> str | None:
        """The interface (that is up) with this address."""
        for name, link in self.links.items():
            if link.up and any(same(address, own) for own in link.addresses):
                return name
        return None

    def listens(self, address: str, protocol: str, port: int) -> bool:
        return any(
            entry.protocol == protocol and entry.port == port and entry.covers(address) for entry in self.listeners
        )

    def answers_arp(self, address: str) -> bool:
        """Whether a who-has (or neighbour solicitation) arriving on the ingress interface is answered: ip-sysctl,
        arp_ignore, of which the greater of `all` and the interface's own counts."""
        holder = self.holds(address)
        if holder is None:
            return False
        if ip_address(address).version == 6:
            return holder == self.ingress
        ignore = max(int(self.sysctls.get(f"net.ipv4.conf.{where}.arp_ignore", "0")) for where in ("all", self.ingress))
        if ignore not in {1, 2, 8}:  # 3 mutes scope host alone; the rest means nothing (arp.c)
            return True
        if ignore == 1:
            return holder == self.ingress
        if ignore == 2:
            prefix = next(p for own, p in self.links[holder].addresses.items() if same(own, address))
            return holder == self.ingress and prefix < ip_address(address).max_prefixlen
        return False

    def change(self, change: Change) -> None:
        """Carries one change out. Raises Refused and then has changed nothing."""
        match change:
            case SysctlChange():
                self._sysctl(change)
            case AddressChange():
                self._address(change)
            case LinkChange():
                self._link(change)
            case FileChange():
                self._file(change)
            case FolderChange():
                self._folder(change)
            case UnitChange():
                self.reloads += 1
            case ModuleChange(module=module, new=True):
                self.modules.add(module)
            case ModuleChange():
                pass
            case AnnounceChange():
                self._announce(change)
            case _:
                raise Refused(f"{type(change).__name__} is not for this host")

    def _sysctl(self, change: SysctlChange) -> None:
        if change.key not in self.sysctls:
            path = change.key.replace(".", "/")
            raise Refused(f"sysctl: cannot stat /proc/sys/{path}: No such file or directory")
        _expect(change.key, self.sysctls[change.key], change.old)
        self.sysctls[change.key] = change.new

    def _address(self, change: AddressChange) -> None:
        link = self.links.get(change.interface)
        if link is None:
            raise Refused(f'Cannot find device "{change.interface}"')
        present = next((own for own in link.addresses if same(own, change.address)), None)
        if change.new:
            if present is not None:
                raise Refused("RTNETLINK answers: File exists")
            link.addresses[change.address] = change.prefix
        else:
            if present is None or link.addresses[present] != change.prefix:
                raise Refused("RTNETLINK answers: Cannot assign requested address")
            del link.addresses[present]

    def _link(self, change: LinkChange) -> None:
        there = change.interface in self.links
        if change.new:
            if there:
                raise Refused("RTNETLINK answers: File exists")
            self.links[change.interface] = Link(mac="02:00:00:00:d0:01", kind="dummy")
            for key in ("arp_ignore", "arp_announce", "rp_filter"):
                self.sysctls.setdefault(f"net.ipv4.conf.{change.interface}.{key}", "0")
        else:
            if not there:
                raise Refused(f'Cannot find device "{change.interface}"')
            if self.links[change.interface].kind != "dummy":
                raise Refused("RTNETLINK answers: Operation not supported")
            del self.links[change.interface]

    def _file(self, change: FileChange) -> None:
        now = self.files.get(change.path)
        if now != change.old:
            raise Refused(f"changed meanwhile: {change.path} is not the file that was observed")
        if change.new is None:
            del self.files[change.path]
            return
        if self.read_only:
            raise Refused(f"cannot create {change.path}: Read-only file system")
        if change.path.rpartition("/")[0] in self.no_folders:
            raise Refused(f"cannot create {change.path}: Directory nonexistent")
        if change.new.target is None:
            self.files.pop(aside(change.path), None)  # it is written there, and moved
        self.files[change.path] = change.new

    def _folder(self, change: FolderChange) -> None:
        inside = [path for path in self.files if path.startswith(f"{change.path}/")]
        if not change.new:
            self.no_folders |= set() if inside else {change.path}
        elif change.path not in self.no_folders:
            raise Refused(f"changed meanwhile: {change.path} exists now")
        elif self.read_only:
            raise Refused(f"mkdir: cannot create directory '{change.path}': Read-only file system")
        else:
            self.no_folders.discard(change.path)

    def _announce(self, change: AnnounceChange) -> None:
        if not change.new:
            return
        link = self.links.get(change.interface)
        if link is None or not link.up:
            raise Refused(f"{change.interface}: no such interface, or it is down")
        self.announced.append((change.interface, change.address))

    def way(self, source: str) -> Route | None:
        """The route that packets from this own address take to hosts elsewhere: its policy route, or the default."""
        if source in self.policy:
            return self.policy[source]
        family = ip_address(source).version
        return next((route for route in self.routes if route.family == family), None)

    def on_link(self, address: str) -> bool:
        """Whether an address is in one of the ingress interface's networks."""
        return any(
            ip_address(address) in ip_network(f"{own}/{prefix}", strict=False)
            for own, prefix in self.links[self.ingress].addresses.items()
        )


def _scope(address: str) -> str:
    return "host" if ip_address(address).is_loopback else "global"


def _expect(what: str, now: str, old: str) -> None:
    if now != old:
        raise Refused(f"changed meanwhile: {what} is {now}, was {old}")


def linux_sysctls(*interfaces: str) -> dict[str, str]:
    """A Linux host's own defaults for what concerns direct routing."""
    values = {
        "net.ipv4.ip_forward": "0",
        "net.ipv6.conf.all.forwarding": "0",
        "net.ipv4.conf.all.log_martians": "0",
    }
    for name in ("all", "default", *interfaces):
        for key, value in (
            ("arp_ignore", "0"),
            ("arp_announce", "0"),
            ("rp_filter", "0"),
            ("accept_local", "0"),
            ("send_redirects", "1"),
            ("arp_notify", "0"),
        ):
            values[f"net.ipv4.conf.{name}.{key}"] = value
    return values
