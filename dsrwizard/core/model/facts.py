"""What is observed on a host. `None` is "unknown": it could not be seen, and nothing may be concluded from it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal

import msgspec

from dsrwizard.core.model.balancer_facts import BalancerFacts
from dsrwizard.core.model.bird import BirdFacts
from dsrwizard.core.model.changes import DestinationState, FileState, ServiceKey, ServiceState
from dsrwizard.core.model.director_facts import OtherService
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.core.model.keepalived import KeepalivedFacts
from dsrwizard.core.model.linux_facts import LinuxFacts
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.values import parsed
from dsrwizard.core.model.windows_facts import WindowsFacts

Persistence = Literal["systemd", "ifupdown", "none"]
"""What brings addresses back after a reboot on this host, as far as dsrwizard can write to it."""


class _Facts(msgspec.Struct, frozen=True):
    pass


class InterfaceAddress(Shown, frozen=True, kw_only=True):
    """An address with its prefix length. Raises ValueError where they are none: nothing need ask again."""

    address: str
    prefix: int
    scope: str = "global"
    tentative: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.prefix <= parsed(self.address).max_prefixlen:
            raise ValueError(f"{self.prefix} is not a valid prefix length of {self.address}")


class Interface(Shown, frozen=True, kw_only=True):
    """One network interface; `kind` is the link type (`dummy`, `vlan`, `bridge`, … or empty for hardware)."""

    name: str
    mac: str = ""
    up: bool = False
    kind: str = ""
    addresses: tuple[InterfaceAddress, ...] = ()

    def has(self, address: str) -> InterfaceAddress | None:
        """The entry for this address on this interface."""
        wanted = parsed(address)
        for entry in self.addresses:
            if parsed(entry.address) == wanted:
                return entry
        return None


class Listener(Shown, frozen=True, kw_only=True):
    """A listening socket. `address` is `*` for the wildcard of either family, otherwise the bound address. Raises
    ValueError for what is no address or port."""

    protocol: Literal["tcp", "udp"]
    address: str
    port: int
    process: str = ""
    only6: bool = False
    """A socket on `::` that does not take IPv4, as is the rule on Windows."""
    waiting: int = 0
    """Connections that its application has not taken yet."""
    room: int = 0
    """How many may wait; 0: not told."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.address != "*":
            parsed(self.address)
        if not 0 <= self.port < 65_536:
            raise ValueError(f"{self.port} is not a valid port")

    @property
    def full(self) -> bool:
        """Whether it takes no more connections: Linux lets one more wait than there is room for."""
        return 0 < self.room <= self.waiting

    def covers(self, address: str) -> bool:
        """Whether it would answer on this address. `*` stands for both families, `0.0.0.0` for one, `::` by `only6`."""
        if self.address == "*":
            return True
        wanted = parsed(address)
        if self.address == "0.0.0.0":
            return wanted.version == 4
        if self.address == "::":
            return wanted.version == 6 or not self.only6  # bindv6only=0, Linux' default: also IPv4 (ip-sysctl)
        return parsed(self.address) == wanted


class Route(Shown, frozen=True, kw_only=True):
    """A default route; `gateway` is empty where the link needs none. Raises ValueError for one that is no address."""

    gateway: str
    interface: str
    family: Literal[4, 6] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.gateway:
            parsed(self.gateway)


class Undo(Shown, frozen=True, kw_only=True):
    """What a real server does about the steps of an earlier run by itself (`ServerPort.apply`).

    `armed`: seconds until it takes them back; None: it does not. `going`: it does so now. `reverted`: when it did, in
    seconds since the epoch by its own clock; 0: it did not. `stays`: what it left, because somebody had changed it;
    `failed`: what it could not take back, and why. `ended`: it was armed and never will be carried out.
    """

    armed: int | None = None
    going: bool = False
    reverted: int = 0
    stays: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    ended: bool = False

    @property
    def told(self) -> tuple[str, ...]:
        """The same in sentences."""
        lines = []
        if self.reverted:
            when = datetime.fromtimestamp(self.reverted, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            lines.append(f"It put itself back at {when} by its own clock, because nobody proved a run in time.")
        lines += [f"It could not put {what} back: somebody had changed it." for what in self.stays]
        lines += [f"It failed to undo {what}." for what in self.failed]
        if self.ended:
            lines.append(
                "An earlier run was not proved, and its automatic undo ended without running, for instance by a "
                "reboot. What that run changed is still there."
            )
        if self.armed is not None:
            lines.append(
                f"It puts itself back in {self.armed} s, because an earlier run was not proved. An apply ends that."
            )
        return tuple(lines)


class ServerFacts(Shown, frozen=True, kw_only=True):
    """A real server. `sysctls` holds the values of the keys asked for; a missing key could not be read.

    `files` holds every file a step may write: None where there is none.
    """

    host: str
    os: str = ""
    hostname: str = ""
    kernel: str = ""
    machine: str = ""
    """What tells this installation from every other: machine-id(5), on Windows MachineGuid of the registry. Copies of
    one image share it. Empty: unknown."""
    boot_id: str = ""
    """What tells this run of the machine from every other: the kernel's boot_id, on Windows the time of the start."""
    privileged: bool = False
    interfaces: tuple[Interface, ...] = ()
    default_routes: tuple[Route, ...] = ()
    sysctls: dict[str, str] = {}
    listeners: tuple[Listener, ...] | None = None
    persistence: Persistence = "none"
    networkmanager: bool = False
    """NetworkManager runs there: it may take an address that it did not set."""
    files: dict[str, FileState | None] = {}
    folders: dict[str, bool] = {}
    """Folders that a step may make, outer ones first, and whether they are there; empty: not looked at."""
    undo: Undo = Undo()
    ways: dict[str, Route | None] = {}
    """VIP → the route that replies from it take to clients elsewhere, with policy routing; None: they have none. A VIP
    that is missing was not asked about, or the host has no such address."""
    linux: LinuxFacts | None = None
    """A close look at a Linux server; None: not Linux, or looked at for a plan alone."""
    windows: WindowsFacts | None = None
    """None: not Windows."""
    keepalived: KeepalivedFacts | None = None
    """Of another director; None: it is none, or was not looked at as one."""
    director: DirectorFacts | None = None
    """The same where the directors announce the VIPs by BGP: all that a director is looked at for."""

    @property
    def addresses_unknown(self) -> str:
        """Why it is not known which addresses the host has; empty: it is."""
        return self.windows.addresses_unknown if self.windows is not None else ""

    @property
    def routes_unknown(self) -> str:
        """Why its default routes are not known; empty: they are."""
        return self.windows.routes_unknown if self.windows is not None else ""

    def listeners_unknown(self, family: int) -> str:
        """Why its sockets of a family are not known; empty: they are."""
        if self.windows is None:
            return ""
        if self.windows.ipv4_listeners_only and family == 6:
            return "Windows PowerShell 2.0 lists no listeners of IPv6"
        return self.windows.blind("listeners")

    def interface(self, name: str) -> Interface | None:
        """By its name; on Windows also the one that the deployment calls so, whatever it is called there by now."""
        adapter = self.windows.adapter(name) if self.windows else None
        name = adapter.name if adapter else name
        for interface in self.interfaces:
            if interface.name == name:
                return interface
        return None

    def carrying(self, address: str) -> tuple[Interface, ...]:
        """Every interface that holds this address."""
        return tuple(interface for interface in self.interfaces if interface.has(address))


class Stats(_Facts, frozen=True, kw_only=True, gc=False):
    """IPVS counters since the entry was made; rates are the differences of two readings."""

    connections: int = 0
    in_packets: int = 0
    out_packets: int = 0
    in_bytes: int = 0
    out_bytes: int = 0


class Destination(_Facts, frozen=True, kw_only=True, gc=False):
    """One IPVS destination as the kernel tells it."""

    address: str
    port: int
    state: DestinationState
    active: int = 0
    inactive: int = 0
    persistent: int = 0
    stats: Stats = Stats()


class VirtualService(_Facts, frozen=True, kw_only=True):
    """One IPVS service as the kernel tells it."""

    key: ServiceKey
    state: ServiceState
    stats: Stats = Stats()
    destinations: tuple[Destination, ...] = ()

    def destination(self, address: str, port: int) -> Destination | None:
        for destination in self.destinations:
            if destination.port == port and parsed(destination.address) == parsed(address):
                return destination
        return None


class Connection(_Facts, frozen=True, kw_only=True, gc=False):
    """One connection as the director's IPVS sees it, from the requests alone: replies do not pass there.

    `vip` and `port` are where the client sent it, `address` and `dest_port` the real server it was given to. `state` is
    IPVS' own name (`SYN_RECV`: the client has not yet answered a SYN-ACK; `ESTABLISHED`, `FIN_WAIT`, `TIME_WAIT`, …;
    `UDP`); `expires`: seconds until it is forgotten, set anew by every packet of the client.
    """

    protocol: Literal["tcp", "udp"]
    client: str
    client_port: int
    vip: str
    port: int
    address: str
    dest_port: int
    state: str
    expires: int


class HalfOpen(_Facts, frozen=True, kw_only=True, gc=False):
    """A half-open TCP connection on a real server: a SYN has come from the client and is answered, no more has come."""

    vip: str
    port: int
    client: str
    client_port: int


class HalfOpenLook(_Facts, frozen=True, kw_only=True):
    """A look at a real server's half-open connections while client-like SYNs were on their way to it.

    `before`, `after`: the kernel's counters around it, by the names of `nstat` (`TcpExtIPReversePathFilter`, …); one
    that is missing could not be read. `seen`: those of the sources looked for, at any moment; `waiting`: all there were
    at the end.
    """

    before: dict[str, int] = {}
    after: dict[str, int] = {}
    seen: tuple[HalfOpen, ...] = ()
    waiting: tuple[HalfOpen, ...] = ()
    families: tuple[int, ...] = (4, 6)
    """Those whose connections the host could list."""

    def shows(self, address: str) -> bool:
        """Whether connections to this address would be seen."""
        return (6 if ":" in address else 4) in self.families

    def risen(self, counter: str) -> int | None:
        """By how much a counter went up; None where it could not be read."""
        before, after = self.before.get(counter), self.after.get(counter)
        return None if before is None or after is None else after - before


class DirectorFacts(Shown, frozen=True, kw_only=True):
    """This machine. `services` None: IPVS could not be read; `ipvs_problem` says why and `ipvs_next` what mends it."""

    privileged: bool = False
    hostname: str = ""
    kernel: str = ""
    machine: str = ""
    """As of `ServerFacts`."""
    interfaces: tuple[Interface, ...] = ()
    default_routes: tuple[Route, ...] = ()
    sysctls: dict[str, str] = {}
    module_loaded: bool | None = None
    services: tuple[VirtualService, ...] | None = None
    ipvs_problem: str = ""
    ipvs_next: str = ""
    module_available: bool | None = None
    """Whether this process could load ip_vs: there is such a module, and it may. None: not asked, it is loaded."""
    foreign_services: tuple[str, ...] = ()
    """IPVS services that no deployment can name (firewall marks, SCTP), as text; they are left alone."""
    boot: DirectorBoot | None = None
    """What brings the table and the VIPs back after a reboot; None: not looked at."""
    others: tuple[OtherService, ...] = ()
    """The same with their destinations."""
    bird: BirdFacts | None = None
    """What announces the VIPs; None: not looked at, because the deployment has no BGP and has had none."""
    guard: GuardState | None = None
    """What the deployment's guard wrote last; None: there has been none since the last boot."""
    guarded: bool = False
    """It was at work when this was looked at."""
    keepalived: KeepalivedFacts | None = None
    """None: not looked at, for another engine balances."""
    balancer: BalancerFacts | None = None
    """The appliance that balances; `services` are then its virtual servers. None: this machine's IPVS does, or a
    product that cannot be asked."""

    def interface(self, name: str) -> Interface | None:
        for interface in self.interfaces:
            if interface.name == name:
                return interface
        return None

    def service(self, key: ServiceKey) -> VirtualService | None:
        for service in self.services or ():
            if service.key == key:
                return service
        return None


class Observed(Shown, frozen=True, kw_only=True):
    """All hosts, looked at in one go. A host that could not be looked at is in `failed` and has no facts."""

    director: DirectorFacts | None = None
    servers: dict[str, ServerFacts] = {}
    failed: dict[str, Failure] = {}


class Failure(Shown, frozen=True, kw_only=True):
    """Why one host could not be looked at or changed, as its error said; `kind` as in `errors`."""

    SEVERAL_LINES: ClassVar = frozenset({"why"})

    kind: str
    what: str
    why: str = ""
    next: str = ""

    @property
    def text(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.next) if part)
