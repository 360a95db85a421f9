"""The state of a modelled Windows host as plain data, and the defaults of each version."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from ipaddress import ip_address

VERSIONS: dict[str, tuple[str, tuple[int, int]]] = {
    "2008": ("6.0.6002", (2, 0)),
    "2008 R2": ("6.1.7601", (2, 0)),
    "2012": ("6.2.9200", (3, 0)),
    "2012 R2": ("6.3.9600", (4, 0)),
    "2016": ("10.0.14393", (5, 1)),
    "2019": ("10.0.17763", (5, 1)),
    "2022": ("10.0.20348", (5, 1)),
    "2025": ("10.0.26100", (5, 1)),
}
"""Windows Server → kernel version, PowerShell as shipped."""

OLD = ("2003", "2008", "2008 R2")
BY_HAND = {"2003": ("5.2.3790", (2, 0))}
"""What no script of ours ever runs on."""
TENTATIVE, DUPLICATE, PREFERRED = 1, 2, 4
DEFAULT_BINDINGS = (
    "ms_tcpip", "ms_tcpip6", "ms_msclient", "ms_server", "ms_pacer", "ms_lltdio", "ms_rspndr",
)  # fmt: skip


@dataclass
class Address:
    address: str
    prefix: int
    skip: bool = False
    state: int = PREFERRED
    persistent: bool = True


@dataclass
class Row:
    """One adapter's settings for one family."""

    weak_receive: bool = False
    weak_send: bool = False
    dhcp: bool = False
    metric: int = 25
    automatic: bool = True
    dad: int = 3
    router_discovery: int = 2


@dataclass
class Adapter:
    name: str
    number: int
    index: int
    guid: str
    pnp: str
    mac: str
    component: str
    service: str
    description: str = ""
    up: bool = True
    addresses: list[Address] = field(default_factory=list)
    rows: dict[int, Row] = field(default_factory=dict)
    gateways: list[str] = field(default_factory=list)
    route_metric: int = 0
    """Of its default routes; 2008 counts automatic ones as 256."""
    bindings: dict[str, bool] = field(default_factory=lambda: dict.fromkeys(DEFAULT_BINDINGS, True))
    register: bool = True
    suffix: bool = False
    netbios: int = 0
    hidden: bool = False
    disabled: bool = False
    """In Device Manager: the IP stack and the DNS client do not know it."""
    filter: bool = False
    """No adapter, but a filter's row on one, which carries that one's component id."""
    polls: int = 0
    """How many times it is still asked for in vain before the IP stack is bound to it."""

    @property
    def loopback(self) -> bool:
        return self.component.lower() == "*msloop"

    def holding(self, address: str) -> Address | None:
        wanted = ip_address(address)
        return next((one for one in self.addresses if ip_address(one.address) == wanted), None)


@dataclass
class Rule:
    """A firewall rule. `profiles` 0x7fffffff is all of them."""

    name: str
    protocol: int = 6
    ports: str = "*"
    addresses: str = "*"
    direction: int = 1
    action: int = 1
    enabled: bool = True
    profiles: int = 0x7FFFFFFF
    group: str = ""
    remote: str = "*"
    remote_ports: str = "*"
    application: str | None = None
    service: str | None = None
    interfaces: list[str] | None = None
    types: str = "All"
    secure: int | None = None
    package: str | None = None
    owner: str | None = None


@dataclass
class Binding:
    protocol: str
    information: str
    certificate: str = ""
    store: str = ""
    flags: int = 0


@dataclass
class Site:
    name: str
    bindings: list[Binding]
    started: bool = True


@dataclass
class Device:
    """A device below ROOT\\NET: its instance id and hardware ids. Without driver it is no adapter."""

    id: str
    hardware: list[str]


@dataclass
class Process:
    """A process of powershell.exe. `since` as WMI writes times."""

    number: int
    line: str
    since: str


@dataclass
class Event:
    """An event of the System log, `seconds` ago; those of Tcpip with the numbers 4198 and 4199 tell of a conflict."""

    number: int
    address: str
    mac: str
    seconds: float = 60.0
    source: str = "Tcpip"

    @property
    def strings(self) -> tuple[str, ...]:
        return ("\\Device\\Tcpip", self.address, self.mac) if self.source == "Tcpip" else ()


def nic(address: str, prefix: int = 24, gateway: str = "10.0.0.1", *, mac: str = "02:00:0a:00:00:65") -> Adapter:
    """The adapter to the network, with its RIP set by hand."""
    return Adapter(
        name="Ethernet", number=7, index=12, guid="{6C3B0A4E-7B1F-4E52-9A44-0D5B4A1F7D01}",
        pnp=r"PCI\VEN_1AF4&DEV_1000\3&13C0B0C5&0&18", mac=mac, component=r"pci\ven_1af4&dev_1000", service="netkvm",
        description="Red Hat VirtIO Ethernet Adapter", addresses=[Address(address, prefix)],
        rows={4: Row(dhcp=False, metric=15), 6: Row(metric=15, dad=1)}, gateways=[gateway],
    )  # fmt: skip


def pseudo() -> Adapter:
    """Loopback Pseudo-Interface 1, which is no adapter: only its IP settings exist."""
    return Adapter(
        name="Loopback Pseudo-Interface 1", number=-1, index=1, guid="", pnp="", mac="", component="", service="",
        addresses=[Address("127.0.0.1", 8), Address("::1", 128)],
        rows={4: Row(metric=75, dad=0), 6: Row(metric=75, dad=0)},
    )  # fmt: skip


def fresh_loopback(number: int, index: int, version: str, count: int) -> Adapter:
    """A Microsoft loopback adapter as SetupAPI leaves it: on DHCP, with an address of its own making, in DNS."""
    name = f"{'Local Area Connection' if version in OLD else 'Ethernet'} {count + 1}"
    return Adapter(
        name=name, number=number, index=index, guid="{" + str(uuid.uuid4()).upper() + "}",
        pnp=rf"ROOT\NET\{count:04d}", mac="02:00:4c:4f:4f:50", component="*MSLOOP",
        service="msloop" if version in OLD else "kmloop",
        description="Microsoft KM-TEST Loopback Adapter",
        addresses=[Address("169.254.19.77", 16, persistent=False), Address("fe80::c1d:6a5f:1c3b:134d", 64)],
        rows={4: Row(dhcp=True), 6: Row(dad=1)}, polls=2,
    )  # fmt: skip
