"""The one script that looks at a Windows host.

The script changes nothing and reads no localised text: settings come as numbers, adapters by GUID, index and component
id, IIS' configuration as XML that is read here. It carries both dialects and takes the one the host knows.
"""

from __future__ import annotations

from dsrwizard.core.dialects.windows.commands import PSEUDO, quoted
from dsrwizard.core.dialects.windows.frames import JSON_2012, LITERAL, PRELUDE

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
$firewall = $null
$rules = $null
$problem = ''
try {
    $firewall = Get-FirewallState
    $rules = @(Get-FirewallRules)
}
catch {
    $firewall = $null
    $rules = $null
    $problem = [string]$_.Exception.Message
}
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
    firewall = $firewall
    rules = $rules
    firewall_problem = $problem
    site_xml = [string](Get-SiteXml)
    listen_list = @(Get-ListenList)
    ssl = (Get-Certificates)
}
if ($modern) {
    $facts['dialect'] = '2012'
}
$facts['events'] = @(Get-Conflicts)
$facts['adapters'] = @(Get-Adapters)
Send-Frame $facts
"""


def observe_script(nonce: str) -> str:
    """The looking script; both dialects are in it, behind the test of the host's version."""
    from dsrwizard.core.dialects.windows.legacy import FACTS_2008, JSON_2008

    chosen = (
        "if (([int]$PSVersionTable.PSVersion.Major -ge 3) -and "
        "([Environment]::OSVersion.Version -ge [Version]'6.2')) {\n"
        f"{JSON_2012}{FACTS_2012}\n}} else {{\n{JSON_2008}{FACTS_2008}\n}}\n"
    )
    text = PRELUDE.replace("@NONCE@", quoted(nonce)) + SHARED + chosen + _MAIN
    return text.replace("@PSEUDO@", quoted(PSEUDO))
