# Reads and writes one setting on Windows Server 2008 and 2008 R2.
# PowerShell 2.0: WMI, COM, the registry and interface.cs. netsh only sets, by index, and only its exit status is read:
# its text is translated.

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
    $key = Get-Key -key $key
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
    $key = Get-Key -key $name
    foreach ($adapter in @(Get-WmiObject -Class Win32_NetworkAdapter)) {
        if ([string]$adapter.NetConnectionID -eq $key) {
            return 'present'
        }
    }
    foreach ($config in @(Get-WmiObject -Class Win32_NetworkAdapterConfiguration)) {
        if ([string]$config.SettingID -eq $key) {
            return 'present'
        }
    }
    if (@(Get-Own -name $name).Count -gt 0) {
        return 'unfinished'
    }
    return $null
}
function Add-Adapter {
    param($name)
    $id = New-Device -name $name
    $count = 0
    $ready = $null
    while (($ready -eq $null) -and ($count -lt 60)) {
        foreach ($adapter in @(Get-WmiObject -Class Win32_NetworkAdapter)) {
            if (([string]$adapter.PNPDeviceID -eq $id) -and ($adapter.NetConnectionID -ne $null)) {
                $filter = 'Index=' + [string]$adapter.Index
                $config = Get-WmiObject -Class Win32_NetworkAdapterConfiguration -Filter $filter
                # netsh knows the index when the IP stack does: some moments after the name is there.
                if (@([DsrInterface]::Read(2, [int]$config.InterfaceIndex)).Count -gt 0) {
                    $ready = $adapter
                }
            }
        }
        if ($ready -eq $null) {
            Write-Sign
            Start-Sleep -Milliseconds 500
        }
        $count = $count + 1
    }
    if ($ready -eq $null) {
        throw 'the new adapter had no IP interface after 30 seconds'
    }
    $known[$name] = [string]$config.SettingID
    Send-Frame @{ kind = 'device'; step = $step.number; name = $name; device = $id; guid = $known[$name] }
    $ready.NetConnectionID = $name
    $ignored = $ready.Put()
}
function Remove-Adapter {
    param($name)
    $ids = @(Get-Own -name $name)
    if ((Read-Adapter -name $name) -eq 'present') {
        $config = Find-Config -key $name
        Protect-Session -index $config.InterfaceIndex
        $adapter = Find-Device -index $config.Index
        if (@('msloop', 'kmloop') -notcontains [string]$adapter.ServiceName) {
            throw ($name + ' is no loopback adapter')
        }
        if ($ids -notcontains [string]$adapter.PNPDeviceID) {
            $ids += [string]$adapter.PNPDeviceID
        }
    }
    Remove-Devices -ids $ids
    $known.Remove($name)
}
function Test-Used {
    param($name)
    $config = Find-Config -key $name
    foreach ($address in @($config.IPAddress)) {
        if (($address -ne $null) -and (Test-GivenAddress -address ([string]$address))) {
            return $true
        }
    }
    return $false
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
        $status = $LASTEXITCODE
        # Its help names what it knows, and names are not translated.
        $help = (& 'netsh' 'interface' $family 'add' 'address' '?') -join ' '
        if ($help -like '*skipassource*') {
            throw ('netsh add address ended with status ' + [string]$status)
        }
        $said = & 'netsh' 'interface' $family 'add' 'address' ([string]$index) $where 'store=persistent'
        Assert-Exit -what 'netsh add address'
        Send-Log 'this Windows does not know skipassource (KB975808): the server may speak from the VIP'
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
function Get-TcpipPath {
    param($guid)
    return ('HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\' + [string]$guid)
}
function Read-Registration {
    param($key)
    $config = Find-Config -key $key
    $register = $config.FullDNSRegistrationEnabled
    $suffix = $config.DomainDNSRegistrationEnabled
    $first = Get-Registered -config $config -told $register -name 'RegistrationEnabled'
    $second = Get-Registered -config $config -told $suffix -name 'RegisterAdapterName'
    return ((Get-Word -value $first) + ',' + (Get-Word -value $second))
}
function Write-Registration {
    param($key, $after)
    $config = Find-Config -key $key
    Protect-Session -index $config.InterfaceIndex
    $parts = $after -split ','
    $result = $config.SetDynamicDNSRegistration(($parts[0] -eq 'true'), ($parts[1] -eq 'true'))
    if (@(0, 1) -notcontains [int]$result.ReturnValue) {
        $path = Get-TcpipPath -guid $config.SettingID
        Set-ItemProperty -LiteralPath $path -Name 'RegistrationEnabled' -Value ([int]($parts[0] -eq 'true'))
        Set-ItemProperty -LiteralPath $path -Name 'RegisterAdapterName' -Value ([int]($parts[1] -eq 'true'))
        Send-Log ('WMI does not set DNS registration on an adapter without address (' + [string]$result.ReturnValue +
            '). It was written to the registry, which counts when the adapter is next bound.')
    }
}
