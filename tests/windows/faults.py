"""Every fault of a Windows real server, made on the model of a host that is set up, and the cause that names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.windows.host import Adapter, Address, Binding, Event, Site, WindowsHost
from tests.windows.host.model import Row

STRANGER = "02:00:00:00:be:ef"


@dataclass(frozen=True)
class Fault:
    """`make` breaks a host that serves its VIPs; `cause` is what verify says. `stops`: clients of the VIP feel it."""

    make: Callable[[WindowsHost], None]
    cause: str
    stops: bool = True


def carrier(host: WindowsHost) -> Adapter:
    """The loopback adapter that carries the VIPs."""
    return next(adapter for adapter in host.adapters if adapter.loopback and _vips(adapter))


def _vips(adapter: Adapter) -> list[Address]:
    return [one for one in adapter.addresses if not one.address.startswith(("169.254.", "fe80:"))]


def vip(host: WindowsHost) -> Address:
    """The first VIP."""
    return _vips(carrier(host))[0]


def _own(host: WindowsHost) -> str:
    return host.wire.addresses[0].address


def _row(host: WindowsHost, address: str) -> Row:
    return carrier(host).rows[6 if ":" in address else 4]


def strict_nic(host: WindowsHost) -> None:
    host.wire.rows[6 if ":" in vip(host).address else 4].weak_receive = False


def strict_receive(host: WindowsHost) -> None:
    _row(host, vip(host).address).weak_receive = False


def strict_send(host: WindowsHost) -> None:
    _row(host, vip(host).address).weak_send = False


def adapter_removed(host: WindowsHost) -> None:
    host.adapters.remove(carrier(host))


def adapter_disabled(host: WindowsHost) -> None:
    carrier(host).up = False


def dns_registration(host: WindowsHost) -> None:
    carrier(host).register = True


def netbios(host: WindowsHost) -> None:
    carrier(host).netbios = 1


def dhcp(host: WindowsHost) -> None:
    carrier(host).rows[4].dhcp = True


def gateway_on_loopback(host: WindowsHost) -> None:
    carrier(host).gateways.append("10.0.0.254")


def bound(host: WindowsHost) -> None:
    carrier(host).bindings["ms_server"] = True


def speaks(host: WindowsHost) -> None:
    vip(host).skip = False


def vip_removed(host: WindowsHost) -> None:
    carrier(host).addresses.remove(vip(host))


def prefix(host: WindowsHost) -> None:
    entry = vip(host)
    entry.prefix = 120 if ":" in entry.address else 24


def fading(host: WindowsHost) -> None:
    vip(host).persistent = False


def on_nic(host: WindowsHost) -> None:
    entry = vip(host)
    carrier(host).addresses.remove(entry)
    host.wire.addresses.append(Address(entry.address, entry.prefix))


def no_gateway(host: WindowsHost) -> None:
    host.wire.gateways.clear()


def rule_removed(host: WindowsHost) -> None:
    host.rules = [rule for rule in host.rules if rule.group != "dsrwizard"]


def block_all(host: WindowsHost) -> None:
    host.block_all = True


def policy(host: WindowsHost) -> None:
    host.policy_state = 1


def _with_site(host: WindowsHost, *bindings: Binding) -> None:
    host.listeners = [one for one in host.listeners if one[2] not in (80, 443)]
    host.sites = [Site("Default Web Site", list(bindings))]


def site_elsewhere(host: WindowsHost) -> None:
    _with_site(host, Binding("http", f"{_own(host)}:80:"))


def listen_list(host: WindowsHost) -> None:
    _with_site(host, Binding("http", "*:80:"))
    host.listen = [_own(host)]


def service_down(host: WindowsHost) -> None:
    host.sites = None
    host.listeners = [one for one in host.listeners if one[2] != 80]


def rip_only(host: WindowsHost) -> None:
    service_down(host)
    host.listeners.append(("tcp", _own(host), 80))


def conflict(host: WindowsHost) -> None:
    host.events.append(Event(4199, vip(host).address, STRANGER, 0))


FAULTS: dict[str, Fault] = {
    "weak-host, receive on the NIC": Fault(strict_nic, "weak-host"),
    "weak-host, receive on the loopback": Fault(strict_receive, "weak-host"),
    "weak-host, send on the loopback": Fault(strict_send, "weak-host"),
    "windows-adapter, removed": Fault(adapter_removed, "windows-adapter"),
    "windows-adapter, disabled": Fault(adapter_disabled, "windows-adapter"),
    "windows-adapter, DNS registration": Fault(dns_registration, "windows-adapter", stops=False),
    "windows-adapter, NetBIOS": Fault(netbios, "windows-adapter", stops=False),
    "windows-adapter, DHCP": Fault(dhcp, "windows-adapter", stops=False),
    "windows-adapter, gateway": Fault(gateway_on_loopback, "windows-adapter", stops=False),
    "windows-adapter, bindings": Fault(bound, "windows-adapter", stops=False),
    "windows-adapter, speaks from the VIP": Fault(speaks, "windows-adapter", stops=False),
    "vip-missing": Fault(vip_removed, "vip-missing"),
    "vip-prefix": Fault(prefix, "vip-prefix", stops=False),
    "not-persistent": Fault(fading, "not-persistent", stops=False),
    "arp-leak, VIP on the NIC": Fault(on_nic, "arp-leak", stops=False),
    "gateway, none": Fault(no_gateway, "gateway", stops=False),
    "firewall, rule removed": Fault(rule_removed, "firewall"),
    "firewall, block all": Fault(block_all, "firewall"),
    "firewall, policy": Fault(policy, "firewall"),
    "site-binding, explicit address": Fault(site_elsewhere, "site-binding"),
    "site-binding, listen list": Fault(listen_list, "site-binding"),
    "service-down": Fault(service_down, "service-down"),
    "rip-only-listener": Fault(rip_only, "rip-only-listener"),
    "address-conflict": Fault(conflict, "address-conflict", stops=False),
}
"""How each is made. Before 2012 nothing tells bindings and SkipAsSource (`UNTOLD_2008`)."""
UNTOLD_2008 = ("windows-adapter, bindings", "windows-adapter, speaks from the VIP")
