"""The commands of a change on a Windows server, as an operator types them into PowerShell: for the review and the
ticket.

The applying script calls the same cmdlets with the same values; it looks adapters up by GUID or component id first.
Names and parameters: the NetTCPIP, NetAdapter, DnsClient and NetSecurity modules of Windows Server 2012 and later, and
netsh(1) where the cmdlets do not exist. PowerShell takes `{` and `,` in a bare word for its own (about_Parsing), and
`-Name` and `-InterfaceAlias` for patterns (about_Wildcards).
"""

from __future__ import annotations

import re

from dsrwizard.core.dialects.windows.sites import parts_of
from dsrwizard.core.model.changes import AddressChange, Change, LinkChange, WindowsChange

ADAPTER = "dsrwizard"
"""Name of the loopback adapter that dsrwizard makes."""
PSEUDO = "pseudo"
"""`vip_interface` for the built-in Loopback Pseudo-Interface 1, whose index is always 1."""
UNBINDABLE = ("ms_tcpip6", "ms_msclient", "ms_server", "ms_pacer", "ms_lltdio", "ms_rspndr", "ms_lldp", "ms_implat")
"""Components that can be bound again; others (ms_netbt, ms_pppoe …) could not (PowerShell/PowerShell#7428)."""


_CALM = re.compile(r"[^$`\"%\u201c-\u201e\x00-\x1f]*(?<!\\)")
"""What cmd and PowerShell take as it is within double quotes; a backslash at the end would take the quote with it."""
_WORD = re.compile(r"[\w.:=\[\]/-]+")
_PATTERN = re.compile(r"[][*?`]")
"""What a pattern of PowerShell takes for its own."""
APPCMD = r'& "$env:windir\system32\inetsrv\appcmd.exe"'
"""IIS' program, which is not on the path."""


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
    return text if _WORD.fullmatch(text) else named(text)


def by_name(adapter: str) -> str:
    """An adapter for a parameter that is a pattern: one that its name alone matches."""
    return f"-Name {quoted(_PATTERN.sub(lambda sign: '`' + sign.group(), adapter))}"


def by_alias(adapter: str) -> str:
    """An adapter for the cmdlets that take an alias or an index. Some take the alias for a pattern, some do not: one
    that would be read in two ways is looked up."""
    if adapter == PSEUDO:
        return "-InterfaceIndex 1"
    if adapter.startswith("{"):
        return f"-InterfaceIndex (Get-NetAdapter | Where-Object InterfaceGuid -eq {quoted(adapter)}).ifIndex"
    if _PATTERN.search(adapter):
        return f"-InterfaceIndex (Get-NetAdapter | Where-Object Name -eq {quoted(adapter)}).ifIndex"
    return f"-InterfaceAlias {quoted(adapter)}"


def for_netsh(adapter: str) -> str:
    """An adapter for netsh, which knows names and indices and no GUIDs."""
    if adapter == PSEUDO:
        return "1"
    if adapter.startswith("{"):
        return f"(Get-WmiObject Win32_NetworkAdapterConfiguration -Filter \"SettingID='{adapter}'\").InterfaceIndex"
    return named(adapter)


def by_wmi(adapter: str, call: str) -> str:
    """What only WMI can do, on every Windows."""
    return (
        f"Get-WmiObject Win32_NetworkAdapter | Where-Object {{ $_.NetConnectionID -eq {quoted(adapter)} }} | "
        "ForEach-Object { $_.GetRelated('Win32_NetworkAdapterConfiguration') } | "
        f"ForEach-Object {{ $_.{call} }}"
    )


def flush(address: str) -> str:
    """What it learnt of the VIP as another host's is no longer true."""
    return "netsh interface ipv6 delete neighbors" if ":" in address else "arp -d *"


def windows_commands(change: WindowsChange | AddressChange | LinkChange) -> tuple[str, ...]:
    """The lines that carry out this change on its generation of Windows; none where it goes with its adapter."""
    if isinstance(change, LinkChange):
        return _adapter(change)
    if isinstance(change, AddressChange):
        return (_address(change), flush(change.address))
    if change.new is None and not standalone(change):
        return ()
    return (_legacy(change),) if change.system == "windows-2008" else (_modern(change),)


def standalone(change: WindowsChange) -> bool:
    """Whether absence is a state of its own; otherwise the setting belongs to an adapter and goes with it."""
    return change.item in ("firewall-rule", "site-binding", "listen-address", "certificate")


def unseen(change: Change) -> bool:
    """Whether what is replaced could not be seen: a setting of an adapter has a value wherever there is the adapter."""
    return isinstance(change, WindowsChange) and change.old is None and not standalone(change)


def split(key: str) -> tuple[str, str]:
    """`dsrwizard/4` → adapter and what of it."""
    adapter, _, what = key.rpartition("/")
    return (adapter, what) if adapter else (what, "")


def _adapter(change: LinkChange) -> tuple[str, ...]:
    if change.new:
        return (
            r"# by SetupAPI, as Device Manager would: a new device *MSLOOP with the driver %WinDir%\inf\netloop.inf",
            f"# and that device, whatever Windows calls it, is renamed to {change.interface}",
        )
    return (f"# by SetupAPI: the device of the loopback adapter {change.interface} is removed",)


def _address(change: AddressChange) -> str:
    if change.system == "windows-2008":
        family = "ipv6" if ":" in change.address else "ipv4"
        where = for_netsh(change.interface)
        if not change.new:
            return f"netsh interface {family} delete address {where} {change.address}"
        what = f"/{change.prefix}" if family == "ipv6" else f" {_mask(change.prefix)}"
        line = f"netsh interface {family} add address {where} {change.address}{what}"
        # Without hotfix KB975808, Server 2008 does not know the word.
        return f"{line} skipassource=true; if ($LASTEXITCODE) {{ {line} }}"
    where = by_alias(change.interface)
    if not change.new:
        return f"Remove-NetIPAddress -IPAddress {change.address} {where} -Confirm:$false"
    return f"New-NetIPAddress {where} -IPAddress {change.address} -PrefixLength {change.prefix} -SkipAsSource $true"


def _mask(prefix: int) -> str:
    bits = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
    return ".".join(str((bits >> shift) & 255) for shift in (24, 16, 8, 0))


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
            return f"Set-NetIPInterface {by_alias(adapter)} {family} -{parameter} {new}"
        case "dad":
            return f"Set-NetIPInterface {by_alias(adapter)} {family} -DadTransmits {new}"
        case "metric":
            value = "-AutomaticMetric Enabled" if new == "automatic" else f"-InterfaceMetric {new}"
            return f"Set-NetIPInterface {by_alias(adapter)} {family} {value}"
        case "binding":
            if what == "*":  # all but what is kept
                rest = ",".join(one for one in UNBINDABLE if one not in new.split(","))
                found = f"Get-NetAdapterBinding {by_name(adapter)} | Where-Object ComponentID -in {rest}"
                return f"{found} | Disable-NetAdapterBinding"
            verb = "Enable" if new == "Enabled" else "Disable"
            return f"{verb}-NetAdapterBinding {by_name(adapter)} -ComponentID {word(what)}"
        case "dns-registration":
            register, suffix = (f"${word}" for word in new.split(","))
            return (
                f"Set-DnsClient {by_alias(change.key)} -RegisterThisConnectionsAddress {register} "
                f"-UseSuffixWhenRegistering {suffix}"
            )
        case _:
            return _everywhere(change)


def _everywhere(change: WindowsChange) -> str:
    """What both generations do alike."""
    match change.item:
        case "netbios":
            return by_wmi(change.key, f"SetTcpipNetbios({change.new})")
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
            return f"{APPCMD} set site {named(f'/site.name:{site}')} " + named(
                f"/{sign}bindings.[protocol='{protocol}',bindingInformation='{information}']"
            )
        case "listen-address":
            return f"netsh http {'delete' if change.new is None else 'add'} iplisten {word(change.key)}"
        case "certificate":
            if change.new is None:
                return f"netsh http delete sslcert ipport={word(change.key)}"
            thumbprint, application, store = change.new.split(" ", 2)
            kept = f" {word(f'certstorename={store}')}" if store else ""
            return (
                f"netsh http add sslcert ipport={word(change.key)} certhash={word(thumbprint)} "
                f"{named(f'appid={application}')}{kept}"
            )
        case _:
            return ""


def _legacy(change: WindowsChange) -> str:
    adapter, what = split(change.key)
    new = change.new or ""
    head = f"netsh interface ipv{what} set interface {for_netsh(adapter)}"
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
            return f"# the VIP makes {adapter} static"
        case "dns-registration":
            register, suffix = (f"${word}" for word in new.split(","))
            return by_wmi(change.key, f"SetDynamicDNSRegistration({register}, {suffix})")
        case "binding":
            return f"# INetCfg: {what} on {adapter}: {new}"
        case _:
            return _everywhere(change)
