"""The dialect of Windows Server 2008 and 2008 R2: PowerShell 2.0 with WMI, COM, registry and P/Invoke.

Nothing here may use what came later: ConvertTo-Json, the Net cmdlets, Get-CimInstance, `[pscustomobject]`. `netsh` only
sets, by index, and only its exit status is read: its text is translated. Layout of MIB_IPINTERFACE_ROW: netioapi.h,
the same on 32 and 64 bit.
"""

from __future__ import annotations

JSON_2008 = r"""
function ConvertTo-Text {
    param($value)
    if ($null -eq $value) {
        return 'null'
    }
    if ($value -is [bool]) {
        if ($value) {
            return 'true'
        }
        return 'false'
    }
    if ($value -is [Collections.IDictionary]) {
        $parts = @()
        foreach ($name in @($value.Keys)) {
            $parts += (ConvertTo-Text ([string]$name)) + ':' + (ConvertTo-Text $value[$name])
        }
        return '{' + ($parts -join ',') + '}'
    }
    if ($value -is [Array]) {
        $parts = @()
        foreach ($entry in $value) {
            $parts += ConvertTo-Text $entry
        }
        return '[' + ($parts -join ',') + ']'
    }
    if ($value -is [string]) {
        $text = New-Object -TypeName Text.StringBuilder
        foreach ($letter in $value.ToCharArray()) {
            $code = [int]$letter
            if (($code -lt 32) -or ($code -gt 126) -or ($code -eq 34) -or ($code -eq 92)) {
                $ignored = $text.Append('\u' + $code.ToString('x4'))
            }
            else {
                $ignored = $text.Append($letter)
            }
        }
        return '"' + $text.ToString() + '"'
    }
    return [string]$value
}
"""

INTERFACE_SOURCE = r"""
using System;
using System.Runtime.InteropServices;

public static class DsrInterface
{
    [DllImport("iphlpapi.dll")]
    private static extern int GetIpInterfaceEntry(IntPtr row);

    public static int[] Read(int family, int index)
    {
        IntPtr row = Marshal.AllocHGlobal(168);
        try
        {
            for (int at = 0; at < 168; at++)
            {
                Marshal.WriteByte(row, at, 0);
            }
            Marshal.WriteInt16(row, 0, (short)family);
            Marshal.WriteInt32(row, 16, index);
            if (GetIpInterfaceEntry(row) != 0)
            {
                return new int[0];
            }
            return new int[] {
                Marshal.ReadByte(row, 43), Marshal.ReadByte(row, 42), Marshal.ReadByte(row, 44),
                Marshal.ReadInt32(row, 56), Marshal.ReadInt32(row, 148), Marshal.ReadInt32(row, 52)
            };
        }
        finally
        {
            Marshal.FreeHGlobal(row);
        }
    }
}
"""
"""`Read(2 or 23, index)` → weak-host receive, weak-host send, automatic metric, DadTransmits, metric, router discovery;
empty where the interface has no such family."""

_ADD_INTERFACE = "Add-Type -TypeDefinition @'\n" + INTERFACE_SOURCE.strip() + "\n'@\n"

FACTS_2008 = (
    _ADD_INTERFACE
    + r"""
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
        name = @PSEUDO@
        index = 1
        pseudo = $true
        up = $true
        addresses = @(Get-Pseudo)
        settings = @(Get-Settings -index 1 -dhcp $false)
    }
    return $found
}
"""
)

SETTINGS_2008 = (
    _ADD_INTERFACE
    + r"""
function Find-SessionIndex {
    foreach ($config in @(Get-WmiObject -Class Win32_NetworkAdapterConfiguration)) {
        if (@($config.IPAddress) -contains $reached) {
            return [int]$config.InterfaceIndex
        }
    }
    throw ('no adapter holds ' + $reached)
}
function Find-Config {
    param($key)
    $matching = @()
    foreach ($adapter in @(Get-WmiObject -Class Win32_NetworkAdapter)) {
        $config = Get-WmiObject -Class Win32_NetworkAdapterConfiguration -Filter ('Index=' + [string]$adapter.Index)
        if (([string]$adapter.NetConnectionID -eq $key) -or ([string]$config.SettingID -eq $key)) {
            $matching += $config
        }
    }
    if ($matching.Count -ne 1) {
        throw ('adapter ' + $key + ' was found ' + [string]$matching.Count + ' times')
    }
    return $matching[0]
}
function Find-Device {
    param($index)
    return (Get-WmiObject -Class Win32_NetworkAdapter -Filter ('Index=' + [string]$index))
}
function Find-Index {
    param($key)
    if ($key -eq 'pseudo') {
        return 1
    }
    $config = Find-Config -key $key
    return [int]$config.InterfaceIndex
}
function Read-Adapter {
    param($name)
    foreach ($adapter in @(Get-WmiObject -Class Win32_NetworkAdapter)) {
        if ([string]$adapter.NetConnectionID -eq $name) {
            return 'present'
        }
    }
    return $null
}
function Add-Adapter {
    param($name)
    $id = [DsrLoopback]::Install()
    Send-Log ('installed ' + $id)
    try {
        $count = 0
        $ready = $null
        while (($ready -eq $null) -and ($count -lt 60)) {
            foreach ($adapter in @(Get-WmiObject -Class Win32_NetworkAdapter)) {
                if (([string]$adapter.PNPDeviceID -eq $id) -and ($adapter.NetConnectionID -ne $null)) {
                    $ready = $adapter
                }
            }
            if ($ready -eq $null) {
                Start-Sleep -Milliseconds 500
            }
            $count = $count + 1
        }
        if ($ready -eq $null) {
            throw 'the new adapter was not there after 30 seconds'
        }
        $ready.NetConnectionID = $name
        $ignored = $ready.Put()
    }
    catch {
        $message = [string]$_.Exception.Message
        [DsrLoopback]::Remove($id)
        throw $message
    }
}
function Remove-Adapter {
    param($name)
    $config = Find-Config -key $name
    Protect-Session -index $config.InterfaceIndex
    $adapter = Find-Device -index $config.Index
    if (@('msloop', 'kmloop') -notcontains [string]$adapter.ServiceName) {
        throw ($name + ' is no loopback adapter')
    }
    [DsrLoopback]::Remove([string]$adapter.PNPDeviceID)
    Send-Log ('removed ' + [string]$adapter.PNPDeviceID)
}
function Get-Mask {
    param($prefix)
    $parts = @()
    $left = [int]$prefix
    while ($parts.Count -lt 4) {
        $bits = $left
        if ($bits -gt 8) {
            $bits = 8
        }
        $parts += [string](256 - [int][Math]::Pow(2, 8 - $bits))
        $left = $left - $bits
    }
    return ($parts -join '.')
}
function Read-Address {
    param($name)
    $parts = $name -split '\|'
    $config = Find-Config -key $parts[0]
    $wanted = $parts[2]
    if (-not $parts[1].Contains(':')) {
        $wanted = Get-Mask -prefix $parts[2]
    }
    $addresses = @($config.IPAddress)
    $masks = @($config.IPSubnet)
    $at = 0
    while ($at -lt $addresses.Count) {
        if (([string]$addresses[$at] -eq $parts[1]) -and ([string]$masks[$at] -eq $wanted)) {
            return 'present'
        }
        $at = $at + 1
    }
    return $null
}
function Write-Address {
    param($name, $after)
    $parts = $name -split '\|'
    $index = Find-Index -key $parts[0]
    Protect-Session -index $index
    $family = 'ipv4'
    if ($parts[1].Contains(':')) {
        $family = 'ipv6'
    }
    if ($after -eq $null) {
        $said = & 'netsh' 'interface' $family 'delete' 'address' ([string]$index) $parts[1]
        Assert-Exit -what 'netsh delete address'
        Clear-Neighbours
        return
    }
    if ($family -eq 'ipv6') {
        $where = @($parts[1] + '/' + $parts[2])
    }
    else {
        $where = @($parts[1], (Get-Mask -prefix $parts[2]))
    }
    $said = & 'netsh' 'interface' $family 'add' 'address' ([string]$index) $where 'skipassource=true' 'store=persistent'
    if ($LASTEXITCODE -ne 0) {
        Send-Log 'this Windows does not know skipassource (KB975808): the server may speak from the VIP'
        $said = & 'netsh' 'interface' $family 'add' 'address' ([string]$index) $where 'store=persistent'
        Assert-Exit -what 'netsh add address'
    }
    Clear-Neighbours
}
function Read-Interface {
    param($what, $key)
    $parts = Split-Key -key $key
    $index = Find-Index -key $parts.adapter
    $number = 2
    if ($parts.part -eq '6') {
        $number = 23
    }
    $row = [DsrInterface]::Read($number, $index)
    if ($row.Count -eq 0) {
        return $null
    }
    if ($what -eq 'weak-receive') {
        return @('Disabled', 'Enabled')[$row[0]]
    }
    if ($what -eq 'weak-send') {
        return @('Disabled', 'Enabled')[$row[1]]
    }
    if ($what -eq 'dad') {
        return [string]$row[3]
    }
    if ($what -eq 'router-discovery') {
        return @('Disabled', 'Enabled', 'ControlledByDHCP')[$row[5]]
    }
    if ($row[2] -eq 1) {
        return 'automatic'
    }
    return [string]$row[4]
}
function Write-Interface {
    param($what, $key, $after)
    $parts = Split-Key -key $key
    $index = Find-Index -key $parts.adapter
    $words = @{
        'weak-receive' = 'weakhostreceive'
        'weak-send' = 'weakhostsend'
        'dad' = 'dadtransmits'
        'router-discovery' = 'routerdiscovery'
        'metric' = 'metric'
    }
    if ($what -ne 'weak-receive') {
        Protect-Session -index $index
    }
    $value = $after.ToLower()
    if ($value -eq 'controlledbydhcp') {
        $value = 'dhcp'
    }
    $setting = $words[$what] + '=' + $value
    $said = & 'netsh' 'interface' ('ipv' + $parts.part) 'set' 'interface' ([string]$index) $setting 'store=persistent'
    Assert-Exit -what ('netsh set interface ' + $setting)
}
function Read-Registration {
    param($key)
    $config = Find-Config -key $key
    return ((Get-Word -value $config.FullDNSRegistrationEnabled) + ',' +
        (Get-Word -value $config.DomainDNSRegistrationEnabled))
}
function Write-Registration {
    param($key, $after)
    $config = Find-Config -key $key
    Protect-Session -index $config.InterfaceIndex
    $parts = $after -split ','
    $result = $config.SetDynamicDNSRegistration(($parts[0] -eq 'true'), ($parts[1] -eq 'true'))
    if (@(0, 1) -notcontains [int]$result.ReturnValue) {
        $path = 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\' + [string]$config.SettingID
        Set-ItemProperty -LiteralPath $path -Name 'RegistrationEnabled' -Value ([int]($parts[0] -eq 'true'))
        Set-ItemProperty -LiteralPath $path -Name 'RegisterAdapterName' -Value ([int]($parts[1] -eq 'true'))
    }
}
"""
)
