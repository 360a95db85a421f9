"""The commands of a change on a Windows server, as an operator would type them: for the review and the ticket.

The applying script calls the same cmdlets with the same values; it looks adapters up by GUID or component id first.
Names and parameters: the NetTCPIP, NetAdapter, DnsClient and NetSecurity modules of Windows Server 2012 and later, and
netsh(1) where the cmdlets do not exist.
"""

from __future__ import annotations

import re

from dsrwizard.core.dialects.windows.sites import parts_of
from dsrwizard.core.model.changes import AddressChange, LinkChange, WindowsChange

ADAPTER = "dsrwizard"
"""Name of the loopback adapter that dsrwizard makes."""
PSEUDO = "pseudo"
"""`vip_interface` for the built-in Loopback Pseudo-Interface 1, whose index is always 1."""
UNBINDABLE = ("ms_tcpip6", "ms_msclient", "ms_server", "ms_pacer", "ms_lltdio", "ms_rspndr", "ms_lldp", "ms_implat")
"""Components that can be bound again; others (ms_netbt, ms_pppoe …) could not (PowerShell/PowerShell#7428)."""


_CALM = re.compile(r"[^$`\"%\u201c-\u201e\x00-\x1f]*(?<!\\)")
"""What cmd and PowerShell take as it is within double quotes; a backslash at the end would take the quote with it."""
_WORD = re.compile(r"[\w.:,\[\]{}*/-]+")


def quoted(text: str) -> str:
    """As a literal of PowerShell: no expansion, quotes doubled. The typographic quotes count as quotes there, too."""
    for mark in ("'", "\u2018", "\u2019", "\u201a", "\u201b"):
        text = text.replace(mark, mark * 2)
    return f"'{text}'"


def named(text: str) -> str:
    """A name for netsh and appcmd, in double quotes, which cmd and PowerShell both know. Where one of them would work
    something out within those, it stands as a literal of PowerShell."""
    return f'"{text}"' if _CALM.fullmatch(text) else quoted(text)


def word(text: str) -> str:
    """A value for netsh as it is, unless a shell would make something else of it."""
    return text if _WORD.fullmatch(text) else quoted(text)


def windows_commands(change: WindowsChange | AddressChange | LinkChange) -> tuple[str, ...]:
    """The lines that carry out this change on its generation of Windows; none where it goes with its adapter."""
    if isinstance(change, LinkChange):
        return _adapter(change)
    if isinstance(change, AddressChange):
        return (_address(change), "arp -d *")  # what it learnt of the VIP as another host's is no longer true
    if change.new is None and not standalone(change):
        return ()
    return (_legacy(change),) if change.system == "windows-2008" else (_modern(change),)


def standalone(change: WindowsChange) -> bool:
    """Whether absence is a state of its own; otherwise the setting belongs to an adapter and goes with it."""
    return change.item in ("firewall-rule", "site-binding", "listen-address", "certificate")


def split(key: str) -> tuple[str, str]:
    """`dsrwizard/4` → adapter and what of it."""
    adapter, _, what = key.rpartition("/")
    return (adapter, what) if adapter else (what, "")


def _adapter(change: LinkChange) -> tuple[str, ...]:
    if change.new:
        return (
            r"# by SetupAPI, as Device Manager would: a new device *MSLOOP with the driver %WinDir%\inf\netloop.inf",
            f"Rename-NetAdapter -Name <its first name> -NewName {quoted(change.interface)}"
            if change.system == "windows-2012"
            else f"netsh interface set interface name=<its first name> newname={word(change.interface)}",
        )
    return (f"# by SetupAPI: the device of the loopback adapter {change.interface} is removed",)


def _address(change: AddressChange) -> str:
    target = 1 if change.interface == PSEUDO else None
    if change.system == "windows-2008":
        family = "ipv6" if ":" in change.address else "ipv4"
        where = str(target) if target else named(change.interface)
        if not change.new:
            return f"netsh interface {family} delete address {where} {change.address}"
        if family == "ipv6":
            return f"netsh interface ipv6 add address {where} {change.address}/{change.prefix} skipassource=true"
        return f"netsh interface ipv4 add address {where} {change.address} {_mask(change.prefix)} skipassource=true"
    where = f"-InterfaceIndex {target}" if target else f"-InterfaceAlias {quoted(change.interface)}"
    if not change.new:
        return f"Remove-NetIPAddress -IPAddress {change.address} {where} -Confirm:$false"
    return f"New-NetIPAddress {where} -IPAddress {change.address} -PrefixLength {change.prefix} -SkipAsSource $true"


def _mask(prefix: int) -> str:
    bits = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
    return ".".join(str((bits >> shift) & 255) for shift in (24, 16, 8, 0))


def _where(adapter: str) -> str:
    if adapter == PSEUDO:
        return "-InterfaceIndex 1"
    if adapter.startswith("{"):
        return f"-InterfaceIndex (Get-NetAdapter | Where-Object InterfaceGuid -eq {quoted(adapter)}).ifIndex"
    return f"-InterfaceAlias {quoted(adapter)}"


def _modern(change: WindowsChange) -> str:
    adapter, what = split(change.key)
    new = change.new or ""
    family = f"-AddressFamily IPv{what}"
    match change.item:
        case "dhcp" | "weak-receive" | "weak-send" | "router-discovery":
            parameter = {
                "dhcp": "Dhcp", "weak-receive": "WeakHostReceive", "weak-send": "WeakHostSend",
                "router-discovery": "RouterDiscovery",
            }[change.item]  # fmt: skip
            return f"Set-NetIPInterface {_where(adapter)} {family} -{parameter} {new}"
        case "dad":
            return f"Set-NetIPInterface {_where(adapter)} {family} -DadTransmits {new}"
        case "metric":
            value = "-AutomaticMetric Enabled" if new == "automatic" else f"-InterfaceMetric {new}"
            return f"Set-NetIPInterface {_where(adapter)} {family} {value}"
        case "binding":
            verb = "Enable" if new == "Enabled" else "Disable"
            return f"{verb}-NetAdapterBinding -Name {quoted(adapter)} -ComponentID {word(what)}"
        case "dns-registration":
            register, suffix = (f"${word}" for word in new.split(","))
            return (
                f"Set-DnsClient -InterfaceAlias {quoted(change.key)} -RegisterThisConnectionsAddress {register} "
                f"-UseSuffixWhenRegistering {suffix}"
            )
        case _:
            return _everywhere(change)


def _everywhere(change: WindowsChange) -> str:
    """What both generations do alike."""
    match change.item:
        case "netbios":
            return f"# WMI: Win32_NetworkAdapterConfiguration of {change.key}: SetTcpipNetbios({change.new})"
        case "firewall-rule":
            if change.new is None:
                return f"netsh advfirewall firewall delete rule name={word(change.key)}"
            protocol, port, address = change.new.split(" ")
            return (
                f"netsh advfirewall firewall add rule name={word(change.key)} dir=in action=allow "
                f"protocol={protocol.upper()} localip={address} localport={port} profile=any"
            )
        case "site-binding":
            site, protocol, information = parts_of(change.key)
            sign = "-" if change.new is None else "+"
            return f"appcmd set site /site.name:{named(site)} " + named(
                f"/{sign}bindings.[protocol='{protocol}',bindingInformation='{information}']"
            )
        case "listen-address":
            return f"netsh http {'delete' if change.new is None else 'add'} iplisten {word(change.key)}"
        case "certificate":
            if change.new is None:
                return f"netsh http delete sslcert ipport={word(change.key)}"
            thumbprint, application, store = change.new.split(" ", 2)
            kept = f" certstorename={named(store) if ' ' in store else word(store)}" if store else ""
            return (
                f"netsh http add sslcert ipport={word(change.key)} certhash={word(thumbprint)} "
                f"appid={word(application)}{kept}"
            )
        case _:
            return ""


def _legacy(change: WindowsChange) -> str:
    adapter, what = split(change.key)
    new = change.new or ""
    where = "1" if adapter == PSEUDO else named(adapter)
    head = f"netsh interface ipv{what} set interface {where}"
    match change.item:
        case "weak-receive" | "weak-send":
            word = "weakhostreceive" if change.item == "weak-receive" else "weakhostsend"
            return f"{head} {word}={new.lower()} store=persistent"
        case "metric":
            return f"{head} metric={new} store=persistent"
        case "dad":
            return f"{head} dadtransmits={new} store=persistent"
        case "router-discovery":
            return f"{head} routerdiscovery={new.lower()} store=persistent"
        case "dhcp":
            return f"# WMI: Win32_NetworkAdapterConfiguration of {adapter}: the VIP makes it static"
        case "dns-registration":
            register, suffix = (f"${word}" for word in new.split(","))
            method = f"SetDynamicDNSRegistration({register}, {suffix})"
            return f"# WMI: Win32_NetworkAdapterConfiguration of {change.key}: {method}"
        case "binding":
            return f"# INetCfg: {what} on {adapter}: {new}"
        case _:
            return _everywhere(change)
