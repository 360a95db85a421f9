"""What is observed on a Windows real server beyond what every server has. `None` is "unknown".

No value of these is what a Windows cannot have: to make one raises ValueError, and an answer that holds one is
unreadable. Texts are harmless to show.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec

from dsrwizard.core.model import windows_values as values
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.values import Impossible, address, parsed
from dsrwizard.core.model.windows_sections import worded
from dsrwizard.core.model.windows_values import Number, Signed, sentence

Dialect = Literal["2012", "2008"]
"""`2012`: Server 2012 to 2025, PowerShell 3 and the Net cmdlets. `2008`: Server 2008 and 2008 R2, PowerShell 2 with
WMI, COM and P/Invoke. Server 2003 has no dialect: it gets a runbook."""


MOST = 4_096
"""Adapters, addresses and the like of one host at most."""


class _Facts(Shown, frozen=True):
    def _take(self, field: str, how: Callable[[Any], Any]) -> None:
        """Puts a field's text into the one form it has from here on; `how` raises ValueError for what is none."""
        msgspec.structs.force_setattr(self, field, how(getattr(self, field)))


class WindowsAddress(_Facts, frozen=True, kw_only=True):
    """`state` as MSFT_NetIPAddress counts it: 4 is preferred. `persistent`: also in the persistent store."""

    address: str
    prefix: Annotated[int, msgspec.Meta(ge=0, le=128)]
    skip_as_source: bool | None = None
    state: Number | None = None
    persistent: bool | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("address", address)
        if not 0 <= self.prefix <= parsed(self.address).max_prefixlen:
            raise Impossible(f"prefix length of {self.address}", self.prefix)


class IpSettings(_Facts, frozen=True, kw_only=True):
    """One adapter's settings for one address family (MIB_IPINTERFACE_ROW)."""

    family: Literal[4, 6]
    weak_host_receive: bool | None = None
    weak_host_send: bool | None = None
    dhcp: bool | None = None
    metric: Signed | None = None
    automatic_metric: bool | None = None
    dad_transmits: Signed | None = None
    router_discovery: Signed | None = None
    """IPv6: 0 disabled, 1 enabled, 2 by DHCP."""


class WindowsAdapter(_Facts, frozen=True, kw_only=True):
    """A network adapter, told apart by `guid` and `pnp_id`, addressed by `index`; operators know its `name`."""

    name: str
    index: Number
    guid: str = ""
    pnp_id: str = ""
    mark: str = ""
    """The mark that dsrwizard gave its device (`mark_of`), empty where there is none."""
    mac: str = ""
    up: bool = False
    loopback: bool = False
    """A Microsoft loopback adapter (`*MSLOOP`; service kmloop or msloop)."""
    pseudo: bool = False
    """The built-in Loopback Pseudo-Interface 1, which is no adapter."""
    carries_session: bool = False
    """Our own WinRM connection comes in by it: it is never unbound, renamed or disabled."""
    addresses: Annotated[tuple[WindowsAddress, ...], msgspec.Meta(max_length=MOST)] = ()
    settings: Annotated[tuple[IpSettings, ...], msgspec.Meta(max_length=MOST)] = ()
    gateways: Annotated[tuple[str, ...], msgspec.Meta(max_length=MOST)] = ()
    route_metrics: Annotated[tuple[Number | None, ...], msgspec.Meta(max_length=MOST)] = ()
    """The metric of each default route, in the order of `gateways`; shorter or None: not known. The interface's own
    metric is added to it (MSFT_NetRoute, Win32_NetworkAdapterConfiguration.GatewayCostMetric)."""
    neighbours: dict[str, str] = {}
    """Gateway → the MAC that this host sends to; one that is missing has no entry, or it could not be read."""
    bindings: dict[str, bool] | None = None
    """Component id → enabled (`ms_tcpip`, `ms_server`, …); None: this generation cannot tell."""
    dns_registration: bool | None = None
    dns_suffix_registration: bool | None = None
    netbios: Number | None = None
    """0 as DHCP says, 1 on, 2 off (Win32_NetworkAdapterConfiguration.TcpipNetbiosOptions)."""
    unknown: dict[str, str] = {}
    """What of this adapter could not be read: section (`windows_sections`) → what Windows said."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("name", values.adapter)
        self._take("guid", values.guid)
        self._take("pnp_id", lambda text: one_line(text, values.NAME))
        self._take("mark", lambda text: one_line(text, values.NAME))
        self._take("mac", values.mac)
        self._take("gateways", lambda found: tuple(address(one) for one in found))
        self._take(
            "neighbours", lambda found: {address(one): values.mac(mac.replace("-", ":")) for one, mac in found.items()}
        )
        if self.bindings is not None:
            self._take("bindings", lambda found: {one_line(one, values.NAME): on for one, on in found.items()})

    def cost(self, gateway: str) -> int | None:
        """What Windows compares default routes by, the lowest wins: route and interface metric together; None: not
        known."""
        at = self.gateways.index(gateway)
        settings = self.of(6 if ":" in gateway else 4)
        route = self.route_metrics[at] if at < len(self.route_metrics) else None
        return None if route is None or settings is None or settings.metric is None else route + settings.metric

    def of(self, family: int) -> IpSettings | None:
        return next((settings for settings in self.settings if settings.family == family), None)


class MarkedDevice(_Facts, frozen=True, kw_only=True):
    """A device that dsrwizard made, with or without a driver: its instance id, and its mark."""

    id: str
    mark: str

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("id", "mark"):
            self._take(field, lambda text: one_line(text, values.NAME))


def mark_of(name: str) -> str:
    """The mark of the adapter that dsrwizard makes under this name: a second hardware id of its device. Hardware ids
    are printable ASCII without blank or comma, 200 characters at most (Microsoft, "Hardware ID")."""
    plain = name.lower()
    if not re.fullmatch(r"[a-z0-9._-]{1,100}", plain):
        plain = "=" + hashlib.sha256(plain.encode()).hexdigest()[:32]
    return f"DSRWIZARD\\{plain}"


class Firewall(_Facts, frozen=True, kw_only=True):
    """`profiles`: domain, private, public → firewall on. `block_all`: inbound is blocked whatever the rules say.
    `local_rules`: rules set on the host itself count (a group policy may say no). `current`: the profiles in force,
    added up (1 domain, 2 private, 4 public; INetFwPolicy2.CurrentProfileTypes)."""

    profiles: dict[Literal["domain", "private", "public"], bool] = {}
    block_all: bool = False
    local_rules: bool | None = None
    current: Number | None = None


class FirewallRule(_Facts, frozen=True, kw_only=True):
    """An inbound rule: ours by name, or another that covers the VIP's ports. Ports and addresses as Windows writes them
    (INetFwRule), `remote_…` those of the client. `service` "*": any service, but services only; `secure`: only for
    connections that IPsec has proven.
    """

    name: str
    enabled: bool
    protocol: Signed
    """6 TCP, 17 UDP, 256 any."""
    ports: str = "*"
    addresses: str = "*"
    profiles: Signed = 0x7FFFFFFF
    allow: bool = True
    group: str = ""
    remote_addresses: str = "*"
    remote_ports: str = "*"
    application: str = ""
    service: str = ""
    interface_types: str = "All"
    interfaces: tuple[str, ...] = ()
    secure: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("name", "group", "application", "service", "interface_types"):
            self._take(field, lambda text: one_line(text, values.NAME))
        self._take("interfaces", lambda found: tuple(one_line(one, values.NAME) for one in found))

    def _harmless(self, name: str, text: str) -> str:
        """Lists of ports and addresses may be long, and count to their end."""
        lists = ("ports", "addresses", "remote_ports", "remote_addresses")
        return one_line(text, values.LIST) if name in lists else super()._harmless(name, text)


class CertificateSettings(_Facts, frozen=True, kw_only=True):
    """What else stands in an entry of http.sys (HTTP_SERVICE_CONFIG_SSL_PARAM); None: not set. `flags`: 1 maps client
    certificates to accounts, 2 asks for one; `check_mode`: how their revocation is checked."""

    flags: Number | None = None
    check_mode: Number | None = None
    freshness: Number | None = None
    url_timeout: Number | None = None
    ctl_identifier: str = ""
    ctl_store: str = ""

    @property
    def told(self) -> tuple[str, ...]:
        """What differs from an entry with nothing set, in words."""
        flags = self.flags or 0
        parts = (
            "client certificates are asked for" if flags & 2 else "",
            "client certificates are mapped to accounts" if flags & 1 else "",
            f"other flags (0x{flags & ~3:X})" if flags & ~3 else "",
            f"revocation check mode {self.check_mode}" if self.check_mode else "",
            f"revocation lists are fetched every {self.freshness} s" if self.freshness else "",
            f"they are waited for {self.url_timeout} ms" if self.url_timeout else "",
            f"trusted issuers are the list “{self.ctl_identifier}”" if self.ctl_identifier else "",
            f"trusted issuers are in the store “{self.ctl_store}”" if self.ctl_store else "",
        )
        return tuple(part for part in parts if part)


class SiteBinding(_Facts, frozen=True, kw_only=True):
    """`information` is `address:port:host`, `*` for all addresses, IPv6 in brackets. `certificate`: hash in hex."""

    protocol: str
    information: str
    certificate: str = ""
    store: str = ""
    ssl_flags: Number = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("protocol", "information", "certificate", "store"):
            self._take(field, lambda text: one_line(text, values.NAME))


class Site(_Facts, frozen=True, kw_only=True):
    """An IIS site."""

    name: str
    started: bool
    bindings: tuple[SiteBinding, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("name", lambda text: one_line(text, values.NAME))


class Conflict(_Facts, frozen=True, kw_only=True):
    """Event 4198 or 4199 of source Tcpip; `at` in seconds since the epoch."""

    event: Number
    address: str
    mac: str
    at: float

    def __post_init__(self) -> None:
        super().__post_init__()
        self._take("address", address)
        self._take("mac", lambda text: one_line(text, 60))


class WindowsFacts(_Facts, frozen=True, kw_only=True):
    """`version` as `10.0.17763`, `product` as Windows calls itself (shown, never compared), `bits` of the PowerShell
    process. `restricted`: the policy that forbids installing devices, empty where there is none."""

    version: str
    product: str = ""
    powershell: str = ""
    dialect: Dialect = "2012"
    bits: Number = 64
    wow64: bool = False
    """A 32-bit PowerShell on a 64-bit Windows, in which SetupAPI refuses (ERROR_IN_WOW64)."""
    elevated: bool | None = None
    restricted: Literal["", "DenyUnspecified", "DenyDeviceIDs", "DenyDeviceClasses"] = ""
    restricted_retroactively: bool = False
    """That policy also takes away such devices as are there already."""
    adapters: Annotated[tuple[WindowsAdapter, ...], msgspec.Meta(max_length=MOST)] = ()
    firewall: Firewall | None = None
    firewall_problem: str = ""
    """Why firewall and rules are unknown, in the host's words; empty where they are known."""
    rules: tuple[FirewallRule, ...] | None = None
    own_rules: tuple[FirewallRule, ...] | None = None
    """Where `rules` is None: dsrwizard's own, asked for by name; empty: none of them is there."""
    sites: tuple[Site, ...] | None = None
    """None: IIS could not be read; empty: no IIS, or no sites."""
    listen_list: Annotated[tuple[str, ...], msgspec.Meta(max_length=MOST)] | None = None
    """Addresses http.sys listens on; empty: all."""
    certificates: dict[str, str] | None = None
    """http.sys certificates: `address:port` → hash, application and store (`values.certificate`)."""
    certificate_settings: dict[str, CertificateSettings] = {}
    """What else is set there, by `address:port`."""
    sni_certificates: dict[str, str] | None = None
    """The same by `host:port`, for clients that name the host (SNI)."""
    central_store: tuple[str, ...] | None = None
    """Ports whose certificates come from the central store."""
    conflicts: tuple[Conflict, ...] | None = None
    ipv4_listeners_only: bool = False
    """.NET 2.0 lists no listeners of IPv6: those are not known there."""
    unknown: dict[str, str] = {}
    """What could not be read: section (`windows_sections`) → what Windows said. The other sections stand."""
    devices: Annotated[tuple[MarkedDevice, ...], msgspec.Meta(max_length=MOST)] | None = None
    """Devices that carry a mark of ours."""
    known: dict[str, tuple[str, ...]] = {}
    """Adapter as it is named in the deployment, in lower case → GUIDs that the journal has for it. Names are for
    people: policies, tools and operators rename adapters."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for field in ("version", "product", "powershell"):
            self._take(field, lambda text: one_line(text, 100))
        self._take("firewall_problem", sentence)
        if self.listen_list is not None:
            self._take("listen_list", lambda found: tuple(address(one) for one in found))

    def unread(self, *, without: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """A sentence for each section that could not be read, those of single adapters included."""
        found = [f"{worded(section)}: {said}" for section, said in self.unknown.items() if section not in without]
        found += [
            f"{worded(section)} ({adapter.name}): {said}"
            for adapter in self.adapters
            for section, said in adapter.unknown.items()
        ]
        return tuple(found)

    def blind(self, *sections: str) -> str:
        """What Windows said of the first of these sections that could not be read; empty: all were."""
        return next((f"{worded(one)}: {self.unknown[one]}" for one in sections if one in self.unknown), "")

    @property
    def adapters_unknown(self) -> str:
        """Why it is not known which adapters there are; empty: it is."""
        return self.blind("adapters", "adapter") or self._part("adapter")

    @property
    def addresses_unknown(self) -> str:
        """Why it is not known which addresses there are; empty: it is."""
        return self.adapters_unknown or self.blind("addresses") or self._part("addresses")

    @property
    def routes_unknown(self) -> str:
        """Why it is not known which default routes there are; empty: it is."""
        return self.adapters_unknown or self.blind("routes")

    def _part(self, section: str) -> str:
        for adapter in self.adapters:
            if section in adapter.unknown:
                return f"{worded(section)} ({adapter.name}): {adapter.unknown[section]}"
        return ""

    @property
    def loopbacks(self) -> tuple[WindowsAdapter, ...]:
        return tuple(adapter for adapter in self.adapters if adapter.loopback)

    def adapter(self, name: str) -> WindowsAdapter | None:
        """The adapter that is meant by a name: the one with our mark for it, the one that the journal knows by its
        GUID, the one that is called so."""
        mark, guids = mark_of(name).lower(), self.known.get(name.lower(), ())
        for same in (
            lambda one: one.mark.lower() == mark,
            lambda one: bool(one.guid) and one.guid.lower() in guids,
            lambda one: one.name.lower() == name.lower(),
        ):
            found = [adapter for adapter in self.adapters if same(adapter)]
            if found:
                return max(found, key=lambda one: len(one.addresses))
        return None

    def unfinished(self, name: str) -> tuple[MarkedDevice, ...]:
        """Devices made for this adapter that are no adapter: a script was killed before it gave them their driver."""
        adapters = {adapter.pnp_id.lower() for adapter in self.adapters}
        mark = mark_of(name).lower()
        return tuple(one for one in self.devices or () if one.mark.lower() == mark and one.id.lower() not in adapters)

    def ways_out(self, family: int = 0) -> tuple[tuple[WindowsAdapter, str], ...]:
        """Every default gateway (of a family) of an adapter that leads to a network."""
        return tuple(
            (adapter, gateway)
            for adapter in self.adapters
            if adapter.up and not (adapter.loopback or adapter.pseudo)
            for gateway in adapter.gateways
            if family in (0, parsed(gateway).version)
        )

    def ways_shown(self, family: int) -> str:
        """The default gateways of a family with what Windows compares them by."""
        costs = ((adapter, gateway, adapter.cost(gateway)) for adapter, gateway in self.ways_out(family))
        return ", ".join(
            f"{gateway} on {adapter.name} (metric {'not known' if cost is None else cost})"
            for adapter, gateway, cost in costs
        )

    def carrying(self, address: str) -> tuple[WindowsAdapter, ...]:
        """Every adapter that holds this address (in canonical form)."""
        return tuple(adapter for adapter in self.adapters if any(one.address == address for one in adapter.addresses))
