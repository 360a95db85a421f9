# Adapters, their addresses and settings, and address conflicts, on Windows Server 2008 and 2008 R2.
# PowerShell 2.0: WMI, COM, the registry and interface.cs; no cmdlet of a later Windows.

function Get-Conflicts {
    $since = (Get-Date).AddHours(-24)
    $found = @()
    $entries = @(Get-EventLog -LogName System -Source Tcpip -After $since -ErrorAction SilentlyContinue)
    foreach ($entry in $entries) {
        $number = [int]([int64]$entry.InstanceId -band 65535)
        if (@(4198, 4199) -contains $number) {
            $age = ((Get-Date) - $entry.TimeGenerated).TotalSeconds
            $found += @{
                event = $number
                address = [string]$entry.ReplacementStrings[1]
                mac = [string]$entry.ReplacementStrings[2]
                age = [int]$age
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
    param($config)
    $found = @()
    $stored = @(Get-Stored -guid ([string]$config.SettingID))
    $addresses = @($config.IPAddress)
    $masks = @($config.IPSubnet)
    $at = 0
    while ($at -lt $addresses.Count) {
        if ($addresses[$at] -ne $null) {
            $entry = @{ address = [string]$addresses[$at]; prefix = [int](Get-Prefix -mask $masks[$at]) }
            if (-not ([string]$addresses[$at]).Contains(':')) {
                $entry['persistent'] = ($stored -contains [string]$addresses[$at])
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
function Get-Adapters {
    $found = @()
    $adapters = @(Get-WmiObject -Class Win32_NetworkAdapter)
    foreach ($config in @(Get-WmiObject -Class Win32_NetworkAdapterConfiguration)) {
        $adapter = $null
        foreach ($one in $adapters) {
            if ([int]$one.Index -eq [int]$config.Index) {
                $adapter = $one
            }
        }
        if (($adapter -ne $null) -and ($adapter.NetConnectionID -ne $null)) {
            $service = [string]$adapter.ServiceName
            $loopback = (($service -eq 'msloop') -or ($service -eq 'kmloop'))
            $gateways = @()
            if ($config.DefaultIPGateway -ne $null) {
                foreach ($gateway in @($config.DefaultIPGateway)) {
                    $gateways += [string]$gateway
                }
            }
            $row = @{
                name = [string]$adapter.NetConnectionID
                index = [int]$config.InterfaceIndex
                guid = [string]$config.SettingID
                pnp_id = [string]$adapter.PNPDeviceID
                mac = ([string]$adapter.MACAddress).ToLower()
                up = ([int]$adapter.NetConnectionStatus -eq 2)
                loopback = $loopback
                addresses = @(Get-Addresses -config $config)
                settings = @(Get-Settings -index ([int]$config.InterfaceIndex) -dhcp ([bool]$config.DHCPEnabled))
                gateways = $gateways
            }
            if ($loopback) {
                $row['dns_registration'] = [bool]$config.FullDNSRegistrationEnabled
                $row['dns_suffix_registration'] = [bool]$config.DomainDNSRegistrationEnabled
                $row['netbios'] = [int]$config.TcpipNetbiosOptions
            }
            $found += $row
        }
    }
    $found += @{
        name = '@PSEUDO@'
        index = 1
        pseudo = $true
        up = $true
        addresses = @(Get-Pseudo)
        settings = @(Get-Settings -index 1 -dhcp $false)
    }
    return $found
}
