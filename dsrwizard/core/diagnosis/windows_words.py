"""What shows or mends something on a Windows server, as the line to type: PowerShell from 2012 on, netsh before.

Adapters by name and index, as they are called there now; nothing relies on what Windows calls things in its language.
"""

from __future__ import annotations

from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.dialects.windows import sites
from dsrwizard.core.dialects.windows.commands import PSEUDO, named, quoted, windows_commands
from dsrwizard.core.dialects.windows.firewall import rule_name
from dsrwizard.core.dialects.windows.plan import command_set_of, target
from dsrwizard.core.model import windows_values as values
from dsrwizard.core.model.changes import AddressChange, CommandSet, WindowsChange, WindowsItem
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.windows_facts import SiteBinding, WindowsAdapter, WindowsFacts

IIS = "{4dc3e181-e14b-4a21-b022-59fc669b0914}"
"""The application id under which IIS keeps its certificates in http.sys."""


def on_windows(view: ServerView) -> bool:
    """Whether the server runs Windows: by its facts, otherwise by how it is reached or set up."""
    if view.facts is not None:
        return view.facts.windows is not None
    return view.server.connect == "winrm" or (view.server.system or "").startswith("windows")


def system(view: ServerView) -> CommandSet:
    """Whose commands it knows; without facts as the deployment says, otherwise those of 2012 and later."""
    if view.facts is not None and view.facts.windows is not None:
        return command_set_of(view.facts.windows)
    return "windows-2008" if view.server.system in ("windows-2003", "windows-2008") else "windows-2012"


def _legacy(view: ServerView) -> bool:
    return system(view) == "windows-2008"


def _where(name: str) -> str:
    """An adapter for netsh."""
    return "1" if name == PSEUDO else named(name)


def _interface(name: str) -> str:
    """An adapter for the cmdlets."""
    return "-InterfaceIndex 1" if name == PSEUDO else f"-InterfaceAlias {quoted(name)}"


# -- addresses


def put(view: ServerView, vip: Vip, adapter: str = "") -> str:
    """Puts the VIP on the adapter that is to carry it."""
    return _address(view, adapter or target(view.server), vip, vip.prefix, there=True)


def take(view: ServerView, vip: Vip, adapter: str, prefix: int) -> str:
    """Takes the VIP off an adapter."""
    return _address(view, adapter, vip, prefix, there=False)


def _address(view: ServerView, adapter: str, vip: Vip, prefix: int, *, there: bool) -> str:
    change = AddressChange(
        interface=adapter, address=str(vip.ip), prefix=prefix, old=not there, new=there, system=system(view)
    )
    return "; ".join(windows_commands(change))


def keep(view: ServerView, vip: Vip, adapter: str) -> str:
    """Writes the VIP to what is set again at the next start."""
    if _legacy(view):
        return f"{take(view, vip, adapter, vip.prefix)}; {put(view, vip, adapter)}"  # netsh keeps what it adds
    return f"{put(view, vip, adapter)} -PolicyStore PersistentStore"


def never_source(vip: Vip) -> str:
    return f"Set-NetIPAddress -IPAddress {vip.ip} -SkipAsSource $true"


def show_address(view: ServerView, vip: Vip) -> str:
    if _legacy(view):
        return f"netsh interface ipv{vip.ip.version} show addresses"
    return f"Get-NetIPAddress -IPAddress {vip.ip}"


def show_kept(view: ServerView, vip: Vip) -> str:
    if _legacy(view):
        return f"netsh interface ipv{vip.ip.version} show addresses store=persistent"
    return f"Get-NetIPAddress -IPAddress {vip.ip} -PolicyStore PersistentStore"


# -- the adapters


def set_family(view: ServerView, item: WindowsItem, adapter: str, family: int, value: str) -> str:
    """One setting of an adapter for one address family."""
    change = WindowsChange(item=item, key=f"{adapter}/{family}", old=None, new=value, system=system(view))
    return "; ".join(windows_commands(change))


def show_family(view: ServerView, family: int) -> str:
    if _legacy(view):
        return f"netsh interface ipv{family} show interface <index> level=verbose"
    return f"Get-NetIPInterface -AddressFamily IPv{family} | Format-List InterfaceAlias, WeakHost*"


def static(view: ServerView, adapter: str, vip: Vip | None) -> str:
    """Ends DHCP on an adapter; before 2012 its first address does."""
    if not _legacy(view):
        return set_family(view, "dhcp", adapter, 4, "Disabled")
    address = str(vip.ip) if vip is not None else "<VIP>"
    return f"netsh interface ipv4 set address name={_where(adapter)} static {address} 255.255.255.255"


def _wmi(adapter: WindowsAdapter, call: str) -> str:
    return f"(Get-WmiObject Win32_NetworkAdapterConfiguration -Filter 'InterfaceIndex={adapter.index}').{call}"


def unregister(view: ServerView, adapter: WindowsAdapter) -> str:
    """The adapter's addresses stay out of DNS."""
    if _legacy(view):
        return _wmi(adapter, "SetDynamicDNSRegistration($false, $false)")
    return (
        f"Set-DnsClient {_interface(adapter.name)} -RegisterThisConnectionsAddress $false "
        "-UseSuffixWhenRegistering $false"
    )


def no_netbios(adapter: WindowsAdapter) -> str:
    return _wmi(adapter, "SetTcpipNetbios(2)")


def bind(adapter: WindowsAdapter, component: str, *, on: bool) -> str:
    verb = "Enable" if on else "Disable"
    return f"{verb}-NetAdapterBinding -Name {quoted(adapter.name)} -ComponentID {component}"


def enable(view: ServerView, adapter: str) -> str:
    if _legacy(view):
        return f"netsh interface set interface name={_where(adapter)} admin=enabled"
    return f"Enable-NetAdapter -Name {quoted(adapter)}"


def install(view: ServerView) -> str:
    """How the loopback adapter comes back."""
    return (
        "dsrwizard apply installs it with everything on it. By hand: hdwwiz, Network adapters, Microsoft, Microsoft "
        f"KM-TEST Loopback Adapter (before 2012: Microsoft Loopback Adapter), renamed {target(view.server)}."
    )


# -- the way back


def _everything(family: int) -> str:
    return "0.0.0.0/0" if family == 4 else "::/0"


def show_gateway(view: ServerView, family: int) -> str:
    if _legacy(view):
        return f"netsh interface ipv{family} show route"
    return f"Get-NetRoute -DestinationPrefix {_everything(family)}"


def add_gateway(view: ServerView, family: int, adapter: str, gateway: str) -> str:
    if _legacy(view):
        return f"netsh interface ipv{family} add route {_everything(family)} {_where(adapter)} {gateway}"
    return f"New-NetRoute -DestinationPrefix {_everything(family)} {_interface(adapter)} -NextHop {gateway}"


def drop_gateway(view: ServerView, family: int, adapter: str, gateway: str) -> str:
    if _legacy(view):
        return f"netsh interface ipv{family} delete route {_everything(family)} {_where(adapter)} {gateway}"
    where = f"{_interface(adapter)} -NextHop {gateway} -Confirm:$false"
    return f"Remove-NetRoute -DestinationPrefix {_everything(family)} {where}"


# -- who listens, who is let in


def show_listeners(view: ServerView, service: Service) -> str:
    if _legacy(view):
        return f"netstat -an -p {service.protocol} | findstr :{service.port}"
    if service.protocol == "udp":
        return f"Get-NetUDPEndpoint -LocalPort {service.port}"
    return f"Get-NetTCPConnection -State Listen -LocalPort {service.port}"


def admit(vip: Vip, service: Service) -> str:
    """The rule that dsrwizard would add, and its undo; the same on every generation."""
    name = rule_name(vip, service)
    rule = WindowsChange(item="firewall-rule", key=name, old=None, new=f"{service.protocol} {service.port} {vip.ip}")
    return f"{'; '.join(windows_commands(rule))} (undo: netsh advfirewall firewall delete rule name={name})"


SHOW_RULES = "netsh advfirewall show allprofiles; netsh advfirewall firewall show rule name=all dir=in"
SHOW_DROPPED = "netsh wfp show netevents (2008 R2 and later) writes which filter drops the packets"
LET_RULES_COUNT = "netsh advfirewall set allprofiles firewallpolicy blockinbound,allowoutbound"
"""Ends `blockinboundalways`, under which no rule lets anything in."""


def disable_rule(name: str) -> str:
    if set(name) & set('"%`$'):  # it would end the quotes it stands in, or mean something within them
        return f"in Windows Firewall, disable the inbound rule {quoted(name)}"
    return f'netsh advfirewall firewall set rule name="{name}" new enable=no'


# -- IIS and http.sys


SHOW_SITES = r"%windir%\system32\inetsrv\appcmd list site"


def serve(view: ServerView, facts: WindowsFacts, vip: Vip, service: Service) -> str:
    """The bindings, listen address and certificate that the VIP lacks."""
    lines: list[str] = []
    for item, key, new in sites.missing(facts, vip, service):
        lines += windows_commands(WindowsChange(item=item, key=key, old=None, new=new, system=system(view)))
    odd = [site.name for site, one in sites.left_out(facts, vip, service) if not sites.typeable(site, one)]
    lines += [f"in IIS Manager, add a binding for {vip.ip} to {name}" for name in dict.fromkeys(odd)]
    return "; ".join(lines)


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
