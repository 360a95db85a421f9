"""The one script that looks at a Windows host, and the reader of its answer.

The script changes nothing and reads no localised text: settings come as numbers, adapters by GUID, index and component
id, IIS' configuration as XML that is read here. It carries both dialects and takes the one the host knows.
"""

from __future__ import annotations

import xml.etree.ElementTree as Tree
from typing import Any

import msgspec

from dsrwizard.core.errors import AnswerUnreadable
from dsrwizard.core.facts import Interface, InterfaceAddress, Listener, Route, ServerFacts, parsed
from dsrwizard.core.windows.commands import PSEUDO, quoted
from dsrwizard.core.windows.facts import Site, SiteBinding, WindowsAddress, WindowsFacts
from dsrwizard.core.windows.frames import JSON_2012, LITERAL, PRELUDE, documents

PREFERRED = 4
"""MSFT_NetIPAddress.AddressState of an address that is usable."""

SHARED = r"""
function Test-Elevated {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName Security.Principal.WindowsPrincipal -ArgumentList $identity
    $administrators = New-Object -TypeName Security.Principal.SecurityIdentifier -ArgumentList 'S-1-5-32-544'
    return $principal.IsInRole($administrators)
}
function Get-RegistryValue {
    param($path, $name)
    if (-not (Test-Path -LiteralPath $path)) {
        return $null
    }
    $item = Get-ItemProperty -LiteralPath $path
    return $item.$name
}
function Get-Restriction {
    $path = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\DeviceInstall\Restrictions'
    foreach ($name in @('DenyUnspecified', 'DenyDeviceIDs', 'DenyDeviceClasses')) {
        if ((Get-RegistryValue -path $path -name $name) -eq 1) {
            return $name
        }
    }
    return ''
}
function Get-Listeners {
    $properties = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
    $found = @()
    foreach ($point in $properties.GetActiveTcpListeners()) {
        $found += @{ protocol = 'tcp'; address = [string]$point.Address; port = [int]$point.Port }
    }
    foreach ($point in $properties.GetActiveUdpListeners()) {
        $found += @{ protocol = 'udp'; address = [string]$point.Address; port = [int]$point.Port }
    }
    return $found
}
function Get-FirewallState {
    $policy = New-Object -ComObject HNetCfg.FwPolicy2
    $profiles = @{
        domain = [bool]$policy.FirewallEnabled(1)
        private = [bool]$policy.FirewallEnabled(2)
        public = [bool]$policy.FirewallEnabled(4)
    }
    $blocked = $false
    foreach ($number in @(1, 2, 4)) {
        if ($policy.BlockAllInboundTraffic($number)) {
            $blocked = $true
        }
    }
    return @{
        profiles = $profiles
        block_all = $blocked
        local_rules = ([int]$policy.LocalPolicyModifyState -ne 1)
    }
}
function Get-FirewallRules {
    $policy = New-Object -ComObject HNetCfg.FwPolicy2
    $found = @()
    foreach ($rule in $policy.Rules) {
        $known = @(6, 17, 256) -contains [int]$rule.Protocol
        if (([int]$rule.Direction -eq 1) -and $rule.Enabled -and $known) {
            $found += @{
                name = [string]$rule.Name
                enabled = $true
                protocol = [int]$rule.Protocol
                ports = [string]$rule.LocalPorts
                addresses = [string]$rule.LocalAddresses
                profiles = [int]$rule.Profiles
                allow = ([int]$rule.Action -eq 1)
                group = [string]$rule.Grouping
            }
        }
    }
    return $found
}
function Get-Firewall {
    try {
        return @{ state = (Get-FirewallState); rules = @(Get-FirewallRules); problem = '' }
    }
    catch {
        return @{ state = $null; rules = $null; problem = [string]$_.Exception.Message }
    }
}
function Get-SiteXml {
    $appcmd = $env:windir + '\system32\inetsrv\appcmd.exe'
    if (-not (Test-Path -LiteralPath $appcmd)) {
        return ''
    }
    $lines = & $appcmd 'list' 'site' '/config' '/xml'
    return ($lines -join "`n")
}
function Get-ListenList {
    $path = 'HKLM:\SYSTEM\CurrentControlSet\Services\HTTP\Parameters'
    $value = Get-RegistryValue -path $path -name 'ListenOnlyList'
    if ($value -ne $null) {
        foreach ($address in $value) {
            Write-Output ([string]$address)
        }
    }
}
function Get-Certificates {
    $path = 'HKLM:\SYSTEM\CurrentControlSet\Services\HTTP\Parameters\SslBindingInfo'
    $found = @{}
    if (Test-Path -LiteralPath $path) {
        foreach ($entry in Get-ChildItem -LiteralPath $path) {
            $value = Get-ItemProperty -LiteralPath ($path + '\' + $entry.PSChildName)
            $hash = ''
            if ($null -ne $value.SslCertHash) {
                $hash = ([BitConverter]::ToString($value.SslCertHash)) -replace '-', ''
            }
            $found[[string]$entry.PSChildName] = @($hash, [string]$value.AppId, [string]$value.SslCertStoreName)
        }
    }
    return $found
}
"""

FACTS_2012 = (
    LITERAL
    + r"""
function Get-Conflicts {
    $since = (Get-Date).AddHours(-24)
    $filter = @{ LogName = 'System'; ProviderName = 'Tcpip'; Id = @(4198, 4199); StartTime = $since }
    $found = @()
    foreach ($entry in @(Get-WinEvent -FilterHashtable $filter -ErrorAction SilentlyContinue)) {
        $age = ((Get-Date) - $entry.TimeCreated).TotalSeconds
        $found += @{
            event = [int]$entry.Id
            address = [string]$entry.Properties[1].Value
            mac = [string]$entry.Properties[2].Value
            age = [int]$age
        }
    }
    return $found
}
function Get-Settings {
    param($index, $interfaces)
    $found = @()
    foreach ($row in $interfaces) {
        if ([int]$row.InterfaceIndex -eq $index) {
            $family = 4
            if ([int]$row.AddressFamily -eq 23) {
                $family = 6
            }
            $found += @{
                family = $family
                weak_host_receive = ([int]$row.WeakHostReceive -eq 1)
                weak_host_send = ([int]$row.WeakHostSend -eq 1)
                dhcp = ([int]$row.Dhcp -eq 1)
                metric = [int]$row.InterfaceMetric
                automatic_metric = ([int]$row.AutomaticMetric -eq 1)
                dad_transmits = [int]$row.DadTransmits
                router_discovery = [int]$row.RouterDiscovery
            }
        }
    }
    return $found
}
function Get-Addresses {
    param($index, $addresses, $stored)
    $found = @()
    foreach ($row in $addresses) {
        if ([int]$row.InterfaceIndex -eq $index) {
            $text = ([string]$row.IPAddress -split '%')[0]
            $kept = $false
            foreach ($other in $stored) {
                $same = ([string]$other.IPAddress -eq [string]$row.IPAddress)
                if ($same -and ([int]$other.InterfaceIndex -eq $index)) {
                    $kept = $true
                }
            }
            $found += @{
                address = $text
                prefix = [int]$row.PrefixLength
                skip_as_source = [bool]$row.SkipAsSource
                state = [int]$row.AddressState
                persistent = $kept
            }
        }
    }
    return $found
}
function Get-Gateways {
    param($index, $routes)
    $found = @()
    foreach ($route in $routes) {
        if ([int]$route.InterfaceIndex -eq $index) {
            $found += [string]$route.NextHop
        }
    }
    return $found
}
function Get-Adapters {
    $addresses = @(Get-NetIPAddress)
    $stored = @(Get-NetIPAddress -PolicyStore PersistentStore -ErrorAction SilentlyContinue)
    $interfaces = @(Get-NetIPInterface)
    $routes = @(Get-NetRoute -DestinationPrefix '0.0.0.0/0' -ErrorAction SilentlyContinue)
    $routes += @(Get-NetRoute -DestinationPrefix '::/0' -ErrorAction SilentlyContinue)
    $found = @()
    foreach ($adapter in @(Get-NetAdapter -IncludeHidden)) {
        $index = [int]$adapter.ifIndex
        $settings = @(Get-Settings -index $index -interfaces $interfaces)
        $loopback = ([string]$adapter.ComponentID -like '*msloop')
        if (($settings.Count -gt 0) -or $loopback) {
            $row = @{
                name = [string]$adapter.Name
                index = $index
                guid = [string]$adapter.InterfaceGuid
                pnp_id = [string]$adapter.PnPDeviceID
                mac = (([string]$adapter.MacAddress) -replace '-', ':').ToLower()
                up = ([int]$adapter.InterfaceOperationalStatus -eq 1)
                loopback = $loopback
                addresses = @(Get-Addresses -index $index -addresses $addresses -stored $stored)
                settings = $settings
                gateways = @(Get-Gateways -index $index -routes $routes)
            }
            if ($loopback) {
                $bindings = @{}
                foreach ($binding in @(Get-NetAdapterBinding -Name (Get-Literal -text $adapter.Name) -AllBindings)) {
                    $bindings[[string]$binding.ComponentID] = [bool]$binding.Enabled
                }
                $row['bindings'] = $bindings
                $client = Get-DnsClient -InterfaceIndex $index
                $row['dns_registration'] = [bool]$client.RegisterThisConnectionsAddress
                $row['dns_suffix_registration'] = [bool]$client.UseSuffixWhenRegistering
                $filter = 'InterfaceIndex=' + $index
                $config = Get-WmiObject -Class Win32_NetworkAdapterConfiguration -Filter $filter
                $row['netbios'] = [int]$config.TcpipNetbiosOptions
            }
            $found += $row
        }
    }
    $found += @{
        name = @PSEUDO@
        index = 1
        pseudo = $true
        up = $true
        addresses = @(Get-Addresses -index 1 -addresses $addresses -stored $stored)
        settings = @(Get-Settings -index 1 -interfaces $interfaces)
    }
    return $found
}
"""
)

_MAIN = r"""
$modern = ([int]$PSVersionTable.PSVersion.Major -ge 3) -and ([Environment]::OSVersion.Version -ge [Version]'6.2')
$system = Get-WmiObject -Class Win32_OperatingSystem
$firewall = Get-Firewall
$facts = @{
    kind = 'facts'
    version = [string]$system.Version
    product = [string]$system.Caption
    boot = [string]$system.LastBootUpTime
    hostname = [string]$env:COMPUTERNAME
    powershell = [string]$PSVersionTable.PSVersion
    dialect = '2008'
    bits = 8 * [IntPtr]::Size
    wow64 = ([string]$env:PROCESSOR_ARCHITEW6432 -ne '')
    elevated = [bool](Test-Elevated)
    restricted = [string](Get-Restriction)
    listeners = @(Get-Listeners)
    firewall = $firewall.state
    rules = $firewall.rules
    firewall_problem = $firewall.problem
    sites = [string](Get-SiteXml)
    listen_list = @(Get-ListenList)
    certificates = (Get-Certificates)
}
if ($modern) {
    $facts['dialect'] = '2012'
}
$facts['conflicts'] = @(Get-Conflicts)
$facts['adapters'] = @(Get-Adapters)
Send-Frame $facts
"""


def observe_script(nonce: str) -> str:
    """The looking script; both dialects are in it, behind the test of the host's version."""
    from dsrwizard.core.windows.legacy import FACTS_2008, JSON_2008

    chosen = (
        "if (([int]$PSVersionTable.PSVersion.Major -ge 3) -and "
        "([Environment]::OSVersion.Version -ge [Version]'6.2')) {\n"
        f"{JSON_2012}{FACTS_2012}\n}} else {{\n{JSON_2008}{FACTS_2008}\n}}\n"
    )
    text = PRELUDE.replace("@NONCE@", quoted(nonce)) + SHARED + chosen + _MAIN
    return text.replace("@PSEUDO@", quoted(PSEUDO))


class _Answer(msgspec.Struct, kw_only=True):
    """What the frame holds beside the fields of WindowsFacts."""

    boot: str = ""
    hostname: str = ""
    listeners: tuple[dict[str, Any], ...] | None = None
    sites: str | None = None
    certificates: dict[str, tuple[str, str, str]] | None = None
    conflicts: tuple[dict[str, Any], ...] | None = None


def parse(host: str, nonce: str, text: str, *, now: float, reached: str) -> ServerFacts:
    """The facts in a host's answer. `now` in seconds since the epoch, `reached` the address of our own connection.

    Raises AnswerUnreadable when the answer is cut short or is not what the script says.
    """
    found = next((document for document in documents(nonce, text) if document.get("kind") == "facts"), None)
    if found is None:
        raise AnswerUnreadable(
            f"{host}: its answer could not be read.",
            "The looking script ended before it had told what it saw.",
            "Try again; if it stays so, run PowerShell there and look at what it prints at its start.",
        )
    try:
        more = msgspec.convert(found, _Answer, strict=False)
        plain = {key: value for key, value in found.items() if key not in _Answer.__struct_fields__}
        windows = msgspec.convert(plain, WindowsFacts, strict=False)
    except (msgspec.ValidationError, TypeError) as problem:
        raise AnswerUnreadable(
            f"{host}: its answer is not what was asked for.", f"In it: {problem}.", "Please report this."
        ) from None
    windows = _completed(windows, more, now, reached)
    return ServerFacts(
        host=host,
        os=windows.product,
        hostname=more.hostname,
        kernel=windows.version,
        boot_id=more.boot,
        privileged=windows.elevated,
        interfaces=tuple(_interface(adapter) for adapter in windows.adapters),
        default_routes=tuple(
            Route(gateway=gateway, interface=adapter.name, family=6 if ":" in gateway else 4)
            for adapter in windows.adapters
            for gateway in adapter.gateways
        ),
        listeners=None if more.listeners is None else tuple(_listeners(more.listeners)),
        windows=windows,
    )


def _completed(windows: WindowsFacts, more: _Answer, now: float, reached: str) -> WindowsFacts:
    """With addresses in one spelling, the adapter of our connection marked, sites read from their XML."""
    adapters = []
    for adapter in windows.adapters:
        addresses = tuple(_canonical(entry) for entry in adapter.addresses if _is_address(entry.address))
        ours = any(parsed(entry.address) == parsed(reached) for entry in addresses)
        adapters.append(msgspec.structs.replace(adapter, addresses=addresses, carries_session=ours))
    conflicts = None
    if more.conflicts is not None:
        conflicts = tuple(
            {"event": one.get("event"), "address": one.get("address"), "mac": one.get("mac"), "at": now - one["age"]}
            for one in more.conflicts
            if isinstance(one.get("age"), int | float)
        )
    certificates = None
    if more.certificates is not None:
        certificates = {endpoint: " ".join(parts) for endpoint, parts in more.certificates.items()}
    document = msgspec.to_builtins(msgspec.structs.replace(windows, adapters=tuple(adapters)))
    document |= {"conflicts": conflicts, "certificates": certificates, "sites": _sites(more.sites)}
    return msgspec.convert(document, WindowsFacts)


def _canonical(entry: WindowsAddress) -> WindowsAddress:
    return msgspec.structs.replace(entry, address=str(parsed(entry.address)))


def _is_address(text: str) -> bool:
    try:
        parsed(text)
    except ValueError:
        return False
    return True


def _interface(adapter: Any) -> Interface:
    """As the shared diagnosis sees it: a loopback adapter is what a dummy interface is on Linux."""
    return Interface(
        name=adapter.name,
        mac=adapter.mac,
        up=adapter.up,
        kind="dummy" if adapter.loopback else "loopback" if adapter.pseudo else "",
        addresses=tuple(
            InterfaceAddress(
                address=entry.address,
                prefix=entry.prefix,
                scope="link" if parsed(entry.address).is_link_local else "global",
                tentative=entry.state is not None and entry.state != PREFERRED,
            )
            for entry in adapter.addresses
        ),
    )


def _listeners(rows: tuple[dict[str, Any], ...]) -> list[Listener]:
    found = []
    for row in rows:
        protocol, port = row.get("protocol"), row.get("port")
        address = str(row.get("address", "")).partition("%")[0]
        if protocol in ("tcp", "udp") and isinstance(port, int) and _is_address(address):
            one = Listener(protocol=protocol, address=str(parsed(address)), port=port, only6=True)
            found.append(one)
    return list(dict.fromkeys(found))


def _sites(text: str | None) -> list[Any] | None:
    """IIS' sites from `appcmd list site /config /xml`; None where it is no XML, empty where there is no IIS."""
    if text is None:
        return None
    if not text.strip():
        return []
    if "<!" in text:  # appcmd writes no declarations; entities are how XML is made to explode
        return None
    try:
        root = Tree.fromstring(text)  # noqa: S314 - without declarations there is nothing to expand
    except Tree.ParseError:
        return None
    sites = []
    for entry in root.iter("SITE"):
        bindings = tuple(
            SiteBinding(
                protocol=one.get("protocol", ""),
                information=one.get("bindingInformation", ""),
                certificate=one.get("certificateHash", ""),
                store=one.get("certificateStoreName", ""),
                ssl_flags=int(one.get("sslFlags", "0")) if one.get("sslFlags", "0").isdigit() else 0,
            )
            for one in entry.iter("binding")
        )
        state = entry.get("state", "")
        sites.append(Site(name=entry.get("SITE.NAME", ""), started=state != "Stopped", bindings=bindings))
    return [msgspec.to_builtins(site) for site in sites]
