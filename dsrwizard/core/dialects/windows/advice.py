"""The commands an operator types into PowerShell on a Windows server: cmdlets from 2012 on, netsh before.

What goes beyond the commands stands after them in parentheses. Adapters by name and index, as they are called there
now; nothing relies on what Windows calls things in its language.
"""

from __future__ import annotations

from dsrwizard.core.dialects.windows import sites
from dsrwizard.core.dialects.windows.commands import (
    APPCMD,
    by_alias,
    by_name,
    for_netsh,
    named,
    quoted,
    windows_commands,
)
from dsrwizard.core.dialects.windows.firewall import rule_name
from dsrwizard.core.dialects.windows.plan import command_set_of, target
from dsrwizard.core.model import windows_values as values
from dsrwizard.core.model.changes import AddressChange, CommandSet, WindowsChange, WindowsItem
from dsrwizard.core.model.deployment import RealServer, Service, Vip
from dsrwizard.core.model.facts import Route, ServerFacts
from dsrwizard.core.model.windows_facts import SiteBinding, WindowsAdapter, WindowsFacts

IIS = "{4dc3e181-e14b-4a21-b022-59fc669b0914}"
"""The application id under which IIS keeps its certificates in http.sys."""
SHOW_RULES = "netsh advfirewall show allprofiles; netsh advfirewall firewall show rule name=all dir=in"
SHOW_DROPPED = "netsh wfp show netevents (2008 R2 and later) writes which filter drops the packets"
LET_RULES_COUNT = 'netsh advfirewall set allprofiles firewallpolicy "blockinbound,allowoutbound"'
"""Ends `blockinboundalways`, under which no rule lets anything in."""
SHOW_SITES = f"{APPCMD} list site"
SHOW_CONFLICTS = "Get-WinEvent -FilterHashtable @{LogName='System'; ProviderName='Tcpip'; Id=4198,4199} -MaxEvents 5"


class WindowsAdvice:
    """The advice for one Windows real server, and what only Windows needs beside it."""

    def __init__(self, server: RealServer, facts: ServerFacts | None) -> None:
        self._server = server
        seen = facts.windows if facts is not None else None
        carrying = facts.carrying(server.address) if facts is not None else ()
        self._nic = carrying[0].name if carrying else ""
        self._system: CommandSet = "windows-2012"
        if seen is not None:
            self._system = command_set_of(seen)
        elif server.system in ("windows-2003", "windows-2008"):
            self._system = "windows-2008"
        self._legacy = self._system == "windows-2008"

    def in_turn(self, *commands: str) -> str:
        return "; ".join(commands)

    # Addresses

    def put_vip(self, vip: Vip, interface: str = "") -> str:
        return self._address(interface or target(self._server), vip, vip.prefix, there=True)

    def bring_vip(self, vip: Vip) -> str:
        return self.put_vip(vip)

    def take_vip(self, vip: Vip, interface: str, prefix: int) -> str:
        return self._address(interface, vip, prefix, there=False)

    def _address(self, adapter: str, vip: Vip, prefix: int, *, there: bool) -> str:
        change = AddressChange(
            interface=adapter, address=str(vip.ip), prefix=prefix, old=not there, new=there, system=self._system
        )
        return "; ".join(windows_commands(change))

    def keep_vip(self, vip: Vip, adapter: str) -> str:
        """Writes the VIP to what is set again at the next start: netsh and New-NetIPAddress keep what they add, and
        cannot add to what is kept alone (New-NetIPAddress, -PolicyStore: ActiveStore only)."""
        return f"{self.take_vip(vip, adapter, vip.prefix)}; {self.put_vip(vip, adapter)}"

    def show_address(self, vip: Vip) -> str:
        if self._legacy:
            return f"netsh interface ipv{vip.ip.version} show addresses"
        return f"Get-NetIPAddress -IPAddress {vip.ip}"

    def show_addresses(self) -> str:
        return "ipconfig"

    def show_kept(self, vip: Vip) -> str:
        """Shows whether the VIP is in the persistent store."""
        if self._legacy:
            what = "ipaddresses" if vip.ip.version == 4 else "addresses"
            return f"netsh interface ipv{vip.ip.version} show {what} store=persistent"
        return f"Get-NetIPAddress -IPAddress {vip.ip} -PolicyStore PersistentStore"

    # ARP and neighbour discovery

    def silence(self, vip: Vip) -> str:
        """Windows answers for the addresses of the adapter that was asked, so that adapter is looked for."""
        return self.show_address(vip)

    def show_frames(self, family: int, mac: str) -> str:
        return ""

    # Services

    def show_listeners(self, service: Service) -> str:
        if self._legacy:
            return f"netstat -an | findstr :{service.port}"
        if service.protocol == "udp":
            return f"Get-NetUDPEndpoint -LocalPort {service.port}"
        return f"Get-NetTCPConnection -State Listen -LocalPort {service.port}"

    def see_handshakes(self, vip: Vip, service: Service) -> str:
        table = "tcpv6" if vip.ip.version == 6 else "tcp"
        return f"On {self._server.name}: netstat -an -p {table} (it shows them as SYN_RECEIVED)"

    # The way back

    def show_gateway(self, family: int) -> str:
        if self._legacy:
            return f"netsh interface ipv{family} show route"
        return f"Get-NetRoute -DestinationPrefix {_everything(family)}"

    def set_gateway(self, family: int, router: str, instead: Route | None) -> str:
        add = self._add_gateway(family, self._nic, router)
        if instead is None:
            return add
        return f"{self.drop_gateway(family, instead.interface, instead.gateway)}; {add}"

    def leave_policy_route(self, family: int, vip: str, router: str) -> str:
        """Windows has no routes by source: the default gateway is all there is."""
        return self.set_gateway(family, router, None)

    def _add_gateway(self, family: int, adapter: str, gateway: str) -> str:
        if self._legacy:
            return f"netsh interface ipv{family} add route {_everything(family)} {self._where(adapter)} {gateway}"
        return f"New-NetRoute -DestinationPrefix {_everything(family)} {self._interface(adapter)} -NextHop {gateway}"

    def drop_gateway(self, family: int, adapter: str, gateway: str) -> str:
        """Takes a default gateway away."""
        if self._legacy:
            return f"netsh interface ipv{family} delete route {_everything(family)} {self._where(adapter)} {gateway}"
        where = f"{self._interface(adapter)} -NextHop {gateway} -Confirm:$false"
        return f"Remove-NetRoute -DestinationPrefix {_everything(family)} {where}"

    def forget_neighbour(self, address: str) -> str:
        """Forgets the MAC of an address, which is then asked for anew."""
        if not self._legacy:
            return f"Remove-NetNeighbor -IPAddress {address} -Confirm:$false"
        if ":" in address:
            return f"netsh interface ipv6 delete neighbors {self._where(self._nic)} {address}"
        return f"arp -d {address}"

    # Adapters

    def set_family(self, item: WindowsItem, adapter: str, family: int, value: str) -> str:
        """One setting of an adapter for one address family."""
        change = WindowsChange(item=item, key=f"{adapter}/{family}", old=None, new=value, system=self._system)
        return "; ".join(windows_commands(change))

    def show_family(self, family: int) -> str:
        """Shows the weak-host settings of every adapter."""
        if self._legacy:
            return f"netsh interface ipv{family} show interfaces level=verbose"
        return f"Get-NetIPInterface -AddressFamily IPv{family} | Format-List InterfaceAlias, WeakHost*"

    def static(self, adapter: str, vip: Vip | None) -> str:
        """Ends DHCP on an adapter; before 2012 its first address does, so that without an IPv4 VIP it stays."""
        if not self._legacy:
            return self.set_family("dhcp", adapter, 4, "Disabled")
        if vip is None:
            return ""
        return f"netsh interface ipv4 set address name={for_netsh(adapter)} static {vip.ip} 255.255.255.255"

    def unregister(self, adapter: WindowsAdapter) -> str:
        """The adapter's addresses stay out of DNS."""
        if self._legacy:
            return _wmi(adapter, "SetDynamicDNSRegistration($false, $false)")
        return (
            f"Set-DnsClient {by_alias(adapter.name)} -RegisterThisConnectionsAddress $false "
            "-UseSuffixWhenRegistering $false"
        )

    def enable(self, adapter: str) -> str:
        """Enables an adapter."""
        if self._legacy:
            return f"netsh interface set interface name={for_netsh(adapter)} admin=enabled"
        return f"Enable-NetAdapter {by_name(adapter)}"

    def install(self) -> str:
        """The sentence that says how to install the loopback adapter again."""
        return (
            "dsrwizard apply installs it with everything on it. By hand: hdwwiz, Network adapters, Microsoft, "
            "Microsoft KM-TEST Loopback Adapter (before 2012: Microsoft Loopback Adapter), renamed "
            f"{target(self._server)}."
        )

    def leave_balancing(self, adapter: str) -> str:
        """Ends Network Load Balancing on an adapter; empty before 2012, where only its window does."""
        return "" if self._legacy else f"Disable-NetAdapterBinding {by_name(adapter)} -ComponentID ms_wlbs"

    # IIS and http.sys

    def serve(self, facts: WindowsFacts, vip: Vip, service: Service) -> str:
        """The bindings, listen address and certificate that the VIP lacks."""
        lines: list[str] = []
        missing = sites.missing(facts, vip, service)
        for item, key, new in missing:
            lines += windows_commands(WindowsChange(item=item, key=key, old=None, new=new, system=self._system))
        odd = [site.name for site, one in sites.left_out(facts, vip, service) if not sites.typeable(site, one)]
        more = [f"in IIS Manager, add a binding for {vip.ip} to {name}" for name in dict.fromkeys(odd)]
        if any(item == "listen-address" for item, _, _ in missing):
            more.append(sites.HTTP_STARTS)
        return told(lines, more)

    def show_adapters(self) -> str:
        """Shows every adapter, with its addresses."""
        return "ipconfig /all" if self._legacy else "Get-NetAdapter -IncludeHidden"

    def show_bindings(self, adapter: str) -> str:
        """Shows what is bound to an adapter; before 2012 only its window does."""
        if self._legacy:
            return f"in Network Connections, look at the properties of {adapter}: only Internet Protocol may be checked"
        return f"Get-NetAdapterBinding {by_name(adapter)}"

    def _where(self, adapter: str) -> str:
        """An adapter for netsh; empty: that with the server's own address."""
        if adapter:
            return for_netsh(adapter)
        having = f"Where-Object {{ $_.IPAddress -contains '{self._server.address}' }}"
        return f"(Get-WmiObject Win32_NetworkAdapterConfiguration | {having}).InterfaceIndex"

    def _interface(self, adapter: str) -> str:
        """The same for the cmdlets."""
        if adapter:
            return by_alias(adapter)
        return f"-InterfaceIndex (Get-NetIPAddress -IPAddress {self._server.address}).InterfaceIndex"


def told(commands: list[str], more: list[str]) -> str:
    """Commands, and after them in parentheses what they do not do."""
    if not commands:
        return "; ".join(more)
    return "; ".join(commands) + (f" ({'; '.join(more)})" if more else "")


def _everything(family: int) -> str:
    return "0.0.0.0/0" if family == 4 else "::/0"


def _wmi(adapter: WindowsAdapter, call: str) -> str:
    return f"(Get-WmiObject Win32_NetworkAdapterConfiguration -Filter 'InterfaceIndex={adapter.index}').{call}"


def never_source(vip: Vip) -> str:
    return f"Set-NetIPAddress -IPAddress {vip.ip} -SkipAsSource $true"


def no_netbios(adapter: WindowsAdapter) -> str:
    return _wmi(adapter, "SetTcpipNetbios(2)")


def bind(adapter: WindowsAdapter, component: str, *, on: bool) -> str:
    verb = "Enable" if on else "Disable"
    return f"{verb}-NetAdapterBinding {by_name(adapter.name)} -ComponentID {component}"


def admit(vip: Vip, service: Service) -> str:
    """The rule that dsrwizard would add, and its undo; the same on every generation."""
    name = rule_name(vip, service)
    rule = WindowsChange(item="firewall-rule", key=name, old=None, new=f"{service.protocol} {service.port} {vip.ip}")
    return f"{'; '.join(windows_commands(rule))} (undo: netsh advfirewall firewall delete rule name={name})"


def disable_rule(name: str) -> str:
    # netsh takes `all` for every rule, and PowerShell hands on no quotes within quotes.
    if '"' in name or name.endswith("\\") or name.lower() == "all":
        return f"in Windows Firewall, disable the inbound rule {quoted(name)}"
    return f"netsh advfirewall firewall set rule name={named(name)} dir=in new enable=no"


def certify(facts: WindowsFacts, vip: Vip, port: int, binding: SiteBinding) -> str:
    """The certificate of another address of the same port, or the binding's own, for the VIP."""
    known = facts.certificates or {}
    of_port = next((parts for key, parts in sorted(known.items()) if parts and key.endswith(f":{port}")), "")
    if not of_port and binding.certificate:
        of_port = values.certificate(binding.certificate, IIS, binding.store or "MY")
    if not of_port:
        return f"in IIS Manager, choose the certificate of the https binding {binding.information}"
    change = WindowsChange(item="certificate", key=f"{sites.written(vip)}:{port}", old=None, new=of_port)
    return "; ".join(windows_commands(change))
