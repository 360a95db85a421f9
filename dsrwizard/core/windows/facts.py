"""What is observed on a Windows real server beyond what every server has. `None` is "unknown"."""

from __future__ import annotations

from typing import Literal

from dsrwizard.core.shown import Shown

Dialect = Literal["2012", "2008"]
"""`2012`: Server 2012 to 2025, PowerShell 3 and the Net cmdlets. `2008`: Server 2008 and 2008 R2, PowerShell 2 with
WMI, COM and P/Invoke. Server 2003 has no dialect: it gets a runbook."""


class _Facts(Shown, frozen=True):
    pass


class WindowsAddress(_Facts, frozen=True, kw_only=True):
    """`state` as MSFT_NetIPAddress counts it: 4 is preferred. `persistent`: also in the persistent store."""

    address: str
    prefix: int
    skip_as_source: bool | None = None
    state: int | None = None
    persistent: bool | None = None


class IpSettings(_Facts, frozen=True, kw_only=True):
    """One adapter's settings for one address family (MIB_IPINTERFACE_ROW)."""

    family: Literal[4, 6]
    weak_host_receive: bool | None = None
    weak_host_send: bool | None = None
    dhcp: bool | None = None
    metric: int | None = None
    automatic_metric: bool | None = None
    dad_transmits: int | None = None
    router_discovery: int | None = None
    """IPv6: 0 disabled, 1 enabled, 2 by DHCP."""


class WindowsAdapter(_Facts, frozen=True, kw_only=True):
    """A network adapter, told apart by `guid` and `pnp_id`, addressed by `index`; operators know its `name`."""

    name: str
    index: int
    guid: str = ""
    pnp_id: str = ""
    mac: str = ""
    up: bool = False
    loopback: bool = False
    """A Microsoft loopback adapter (`*MSLOOP`; service kmloop or msloop)."""
    pseudo: bool = False
    """The built-in Loopback Pseudo-Interface 1, which is no adapter."""
    carries_session: bool = False
    """Our own WinRM connection comes in by it: it is never unbound, renamed or disabled."""
    addresses: tuple[WindowsAddress, ...] = ()
    settings: tuple[IpSettings, ...] = ()
    gateways: tuple[str, ...] = ()
    bindings: dict[str, bool] | None = None
    """Component id → enabled (`ms_tcpip`, `ms_server`, …); None: this generation cannot tell."""
    dns_registration: bool | None = None
    dns_suffix_registration: bool | None = None
    netbios: int | None = None
    """0 as DHCP says, 1 on, 2 off (Win32_NetworkAdapterConfiguration.TcpipNetbiosOptions)."""

    def of(self, family: int) -> IpSettings | None:
        return next((settings for settings in self.settings if settings.family == family), None)


class Firewall(_Facts, frozen=True, kw_only=True):
    """`profiles`: domain, private, public → firewall on. `block_all`: inbound is blocked whatever the rules say.
    `local_rules`: rules set on the host itself count (a group policy may say no)."""

    profiles: dict[str, bool] = {}
    block_all: bool = False
    local_rules: bool | None = None


class FirewallRule(_Facts, frozen=True, kw_only=True):
    """An inbound allow rule: ours by name, or another that covers the VIP's ports. Ports as Windows writes them."""

    name: str
    enabled: bool
    protocol: int
    """6 TCP, 17 UDP, 256 any."""
    ports: str = "*"
    addresses: str = "*"
    profiles: int = 0x7FFFFFFF
    allow: bool = True
    group: str = ""


class SiteBinding(_Facts, frozen=True, kw_only=True):
    """`information` is `address:port:host`, `*` for all addresses, IPv6 in brackets. `certificate`: hash in hex."""

    protocol: str
    information: str
    certificate: str = ""
    store: str = ""
    ssl_flags: int = 0


class Site(_Facts, frozen=True, kw_only=True):
    """An IIS site."""

    name: str
    started: bool
    bindings: tuple[SiteBinding, ...] = ()


class Conflict(_Facts, frozen=True, kw_only=True):
    """Event 4198 or 4199 of source Tcpip; `at` in seconds since the epoch."""

    event: int
    address: str
    mac: str
    at: float


class WindowsFacts(_Facts, frozen=True, kw_only=True):
    """`version` as `10.0.17763`, `product` as Windows calls itself (shown, never compared), `bits` of the PowerShell
    process. `restricted`: the policy that forbids installing devices, empty where there is none."""

    version: str
    product: str = ""
    powershell: str = ""
    dialect: Dialect = "2012"
    bits: int = 64
    wow64: bool = False
    """A 32-bit PowerShell on a 64-bit Windows, in which SetupAPI refuses (ERROR_IN_WOW64)."""
    elevated: bool = False
    restricted: str = ""
    adapters: tuple[WindowsAdapter, ...] = ()
    firewall: Firewall | None = None
    firewall_problem: str = ""
    """Why firewall and rules are unknown, in the host's words; empty where they are known."""
    rules: tuple[FirewallRule, ...] | None = None
    sites: tuple[Site, ...] | None = None
    """None: IIS could not be read; empty: no IIS, or no sites."""
    listen_list: tuple[str, ...] | None = None
    """Addresses http.sys listens on; empty: all."""
    certificates: dict[str, str] | None = None
    """http.sys certificates: `address:port` → hash in hex."""
    conflicts: tuple[Conflict, ...] | None = None

    @property
    def loopbacks(self) -> tuple[WindowsAdapter, ...]:
        return tuple(adapter for adapter in self.adapters if adapter.loopback)

    def adapter(self, name: str) -> WindowsAdapter | None:
        return next((adapter for adapter in self.adapters if adapter.name.lower() == name.lower()), None)

    def carrying(self, address: str) -> tuple[WindowsAdapter, ...]:
        """Every adapter that holds this address (in canonical form)."""
        return tuple(adapter for adapter in self.adapters if any(one.address == address for one in adapter.addresses))
