# Adapters, their addresses and settings, and address conflicts, on Windows Server 2008 and 2008 R2.
# PowerShell 2.0: WMI, COM, the registry and interface.cs; no cmdlet of a later Windows.

function Get-Conflicts {
    # The newest entries of whatever source: to ask for one source reads the whole log, backwards.
    $now = Get-Date
    $since = $now.AddHours(-24)
    $newest = 2000
    $found = @()
    $entries = @(Get-EventLog -LogName System -Newest $newest)
    foreach ($entry in $entries) {
        $number = [int]([int64]$entry.InstanceId -band 65535)
        if (([string]$entry.Source -eq 'Tcpip') -and (@(4198, 4199) -contains $number)) {
            if ($entry.TimeGenerated -ge $since) {
                $found += @{
                    event = $number
                    address = [string]$entry.ReplacementStrings[1]
                    mac = [string]$entry.ReplacementStrings[2]
                    age = [int]($now - $entry.TimeGenerated).TotalSeconds
                }
            }
        }
    }
    return $found
}
function Get-Settings {
    param($index, $dhcp)
    $found = @()
    foreach ($family in @(4, 6)) {
        $number = 2
        if ($family -eq 6) {
            $number = 23
        }
        $row = [DsrInterface]::Read($number, $index)
        if ($row.Count -gt 0) {
            $settings = @{
                family = $family
                weak_host_receive = ($row[0] -eq 1)
                weak_host_send = ($row[1] -eq 1)
                automatic_metric = ($row[2] -eq 1)
                dad_transmits = $row[3]
                metric = $row[4]
                router_discovery = $row[5]
            }
            if ($family -eq 4) {
                $settings['dhcp'] = $dhcp
            }
            $found += $settings
        }
    }
    return $found
}
function Get-Prefix {
    param($mask)
    if (-not ([string]$mask).Contains('.')) {
        return [int]$mask
    }
    $bits = 0
    foreach ($part in ([string]$mask -split '\.')) {
        $number = [int]$part
        while ($number -gt 0) {
            $bits = $bits + ($number -band 1)
            $number = [int][Math]::Floor($number / 2)
        }
    }
    return $bits
}
function Get-Stored {
    param($guid)
    $path = 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\' + $guid
    $value = Get-RegistryValue -path $path -name 'IPAddress'
    if ($value -ne $null) {
        foreach ($address in $value) {
            Write-Output ([string]$address)
        }
    }
}
function Get-Addresses {
    # `$stored` nothing: what is set again at the next start could not be read.
    param($config, $stored)
    $found = @()
    $addresses = @($config.IPAddress)
    $masks = @($config.IPSubnet)
    $at = 0
    while ($at -lt $addresses.Count) {
        if ($addresses[$at] -ne $null) {
            $entry = @{ address = [string]$addresses[$at]; prefix = [int](Get-Prefix -mask $masks[$at]) }
            if ((-not ([string]$addresses[$at]).Contains(':')) -and ($stored -ne $null)) {
                $entry['persistent'] = ($stored['addresses'] -contains [string]$addresses[$at])
            }
            $found += $entry
        }
        $at = $at + 1
    }
    return $found
}
function Get-Pseudo {
    $found = @()
    foreach ($interface in [Net.NetworkInformation.NetworkInterface]::GetAllNetworkInterfaces()) {
        if ([int]$interface.NetworkInterfaceType -eq 24) {
            foreach ($entry in $interface.GetIPProperties().UnicastAddresses) {
                $text = [string]$entry.Address
                if (-not $text.Contains(':')) {
                    $found += @{ address = $text; prefix = [int](Get-Prefix -mask ([string]$entry.IPv4Mask)) }
                }
            }
        }
    }
    return $found
}
function Get-Neighbours {
    # Gateway and MAC, as far as this host has an entry. arp knows IPv4 only; of its lines, which are translated, the
    # address and the MAC are read.
    param($gateways)
    $found = @{}
    foreach ($gateway in $gateways) {
        if (-not $gateway.Contains(':')) {
            foreach ($line in @(& 'arp' '-a' $gateway)) {
                $words = @(([string]$line).Trim() -split ' +')
                if (($words[0] -eq $gateway) -and ($words.Count -gt 1)) {
                    $found[$gateway] = [string]$words[1]
                }
            }
        }
    }
    return $found
}
function Add-Adapter {
    param($facts, $adapter, $config)
    $index = [int]$config.InterfaceIndex
    $service = [string]$adapter.ServiceName
    $loopback = (($service -eq 'msloop') -or ($service -eq 'kmloop'))
    $gateways = @()
    foreach ($gateway in @($config.DefaultIPGateway)) {
        if ($gateway -ne $null) {
            $gateways += [string]$gateway
        }
    }
    $metrics = @()
    foreach ($metric in @($config.GatewayCostMetric)) {
        if ($metric -ne $null) {
            $metrics += [int]$metric
        }
    }
    $row = @{
        name = [string]$adapter.NetConnectionID
        index = $index
        guid = [string]$config.SettingID
        pnp_id = [string]$adapter.PNPDeviceID
        mac = ([string]$adapter.MACAddress).ToLower()
        up = ([int]$adapter.NetConnectionStatus -eq 2)
        loopback = $loopback
        gateways = $gateways
        route_metrics = $metrics
    }
    $facts['adapters'] += $row
    if ($gateways.Count -gt 0) {
        Read-Section 'neighbours' $index { $row['neighbours'] = (Get-Neighbours -gateways $gateways) }
    }
    $kept = @{}
    Read-Section 'kept-addresses' $index {
        $kept['stored'] = @{ addresses = @(Get-Stored -guid ([string]$config.SettingID)) }
    }
    Read-Section 'addresses' $index { $row['addresses'] = @(Get-Addresses -config $config -stored $kept['stored']) }
    Read-Section 'interfaces' $index {
        $row['settings'] = @(Get-Settings -index $index -dhcp (Get-Truth -value $config.DHCPEnabled))
    }
    if ($loopback) {
        Read-Section 'dns' $index {
            $register = $config.FullDNSRegistrationEnabled
            $suffix = $config.DomainDNSRegistrationEnabled
            $row['dns_registration'] = (Get-Registered -config $config -told $register -name 'RegistrationEnabled')
            $row['dns_suffix_registration'] = (Get-Registered -config $config -told $suffix -name 'RegisterAdapterName')
        }
        Read-Section 'netbios' $index { $row['netbios'] = (Get-NetbiosOption -config $config) }
    }
}
function Add-Adapters {
    param($facts)
    $lists = @{}
    Read-Section 'adapters' 0 {
        $lists['adapters'] = @(Get-WmiObject -Class Win32_NetworkAdapter)
        $lists['configs'] = @(Get-WmiObject -Class Win32_NetworkAdapterConfiguration)
    }
    foreach ($config in @($lists['configs'])) {
        Read-Section 'adapter' 0 {
            $adapter = $null
            foreach ($one in @($lists['adapters'])) {
                if (($config -ne $null) -and ([int]$one.Index -eq [int]$config.Index)) {
                    $adapter = $one
                }
            }
            if (($adapter -ne $null) -and ($adapter.NetConnectionID -ne $null)) {
                $index = [int]$config.InterfaceIndex
                Read-Section 'adapter' $index { Add-Adapter -facts $facts -adapter $adapter -config $config }
            }
        }
    }
    $pseudo = @{ name = '@PSEUDO@'; index = 1; pseudo = $true; up = $true }
    $facts['adapters'] += $pseudo
    Read-Section 'addresses' 1 { $pseudo['addresses'] = @(Get-Pseudo) }
    Read-Section 'interfaces' 1 { $pseudo['settings'] = @(Get-Settings -index 1 -dhcp $false) }
}
