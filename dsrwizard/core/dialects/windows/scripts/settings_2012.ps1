# Reads and writes one setting on Windows Server 2012 and later.

function Find-SessionIndex {
    $own = @(Get-NetIPAddress -IPAddress $reached)
    return [int]$own[0].InterfaceIndex
}
function Find-Adapter {
    param($key)
    $key = Get-Key -key $key
    $matching = @()
    foreach ($adapter in @(Get-NetAdapter -IncludeHidden)) {
        if (([string]$adapter.InterfaceGuid -eq $key) -or ([string]$adapter.Name -eq $key)) {
            $matching += $adapter
        }
    }
    if ($matching.Count -ne 1) {
        throw ('adapter ' + $key + ' was found ' + [string]$matching.Count + ' times')
    }
    return $matching[0]
}
function Find-Index {
    param($key)
    if ($key -eq 'pseudo') {
        return 1
    }
    $adapter = Find-Adapter -key $key
    return [int]$adapter.ifIndex
}
function Read-Adapter {
    param($name)
    $key = Get-Key -key $name
    foreach ($adapter in @(Get-NetAdapter -IncludeHidden)) {
        if (([string]$adapter.InterfaceGuid -eq $key) -or ([string]$adapter.Name -eq $key)) {
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
        foreach ($adapter in @(Get-NetAdapter -IncludeHidden)) {
            if ([string]$adapter.PnPDeviceID -eq $id) {
                $rows = @(Get-NetIPInterface -InterfaceIndex $adapter.ifIndex -ErrorAction SilentlyContinue)
                if ($rows.Count -gt 0) {
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
    $known[$name] = [string]$ready.InterfaceGuid
    Send-Frame @{ kind = 'device'; step = $step.number; name = $name; device = $id; guid = $known[$name] }
    Rename-NetAdapter -InputObject $ready -NewName $name
}
function Remove-Adapter {
    param($name)
    $ids = @(Get-Own -name $name)
    if ((Read-Adapter -name $name) -eq 'present') {
        $adapter = Find-Adapter -key $name
        Protect-Session -index $adapter.ifIndex
        if (-not ([string]$adapter.ComponentID -like '*msloop')) {
            throw ($name + ' is no loopback adapter')
        }
        if ($ids -notcontains [string]$adapter.PnPDeviceID) {
            $ids += [string]$adapter.PnPDeviceID
        }
    }
    Remove-Devices -ids $ids
    $known.Remove($name)
}
function Test-Used {
    param($name)
    $index = Find-Index -key $name
    foreach ($row in @(Get-NetIPAddress)) {
        if (([int]$row.InterfaceIndex -eq $index) -and (Test-GivenAddress -address ([string]$row.IPAddress))) {
            return $true
        }
    }
    return $false
}
function Read-Address {
    param($name)
    $parts = $name -split '\|'
    $index = Find-Index -key $parts[0]
    # All of them, not those of this adapter: none there would be an error, which could not be told from a real one.
    foreach ($row in @(Get-NetIPAddress)) {
        $same = (([string]$row.IPAddress -eq $parts[1]) -and ([int]$row.PrefixLength -eq [int]$parts[2]))
        if ($same -and ([int]$row.InterfaceIndex -eq $index)) {
            return 'present'
        }
    }
    return $null
}
function Write-Address {
    param($name, $after)
    $parts = $name -split '\|'
    $index = Find-Index -key $parts[0]
    Protect-Session -index $index
    if ($after -eq $null) {
        Remove-NetIPAddress -InterfaceIndex $index -IPAddress $parts[1] -Confirm:$false
        Clear-Neighbours
        return
    }
    New-NetIPAddress -InterfaceIndex $index -IPAddress $parts[1] -PrefixLength ([int]$parts[2]) -SkipAsSource $true |
        Out-Null
    $count = 0
    $state = 0
    while (($state -ne 4) -and ($count -lt 40)) {
        $row = @(Get-NetIPAddress -InterfaceIndex $index -IPAddress $parts[1])
        $state = [int]$row[0].AddressState
        if ($state -ne 4) {
            Write-Sign
            Start-Sleep -Milliseconds 250
        }
        $count = $count + 1
    }
    if ($state -ne 4) {
        throw ($parts[1] + ' is not usable: its state is ' + [string]$state)
    }
    Clear-Neighbours
}
function Get-Family {
    param($part)
    return ('IPv' + $part)
}
function Get-Able {
    param($value)
    if ([int]$value -eq 1) {
        return 'Enabled'
    }
    return 'Disabled'
}
function Read-Interface {
    param($what, $key)
    $parts = Split-Key -key $key
    $index = Find-Index -key $parts.adapter
    $row = Get-NetIPInterface -InterfaceIndex $index -AddressFamily (Get-Family -part $parts.part)
    if ($what -eq 'dhcp') {
        return (Get-Able -value $row.Dhcp)
    }
    if ($what -eq 'weak-receive') {
        return (Get-Able -value $row.WeakHostReceive)
    }
    if ($what -eq 'weak-send') {
        return (Get-Able -value $row.WeakHostSend)
    }
    if ($what -eq 'dad') {
        return [string][int]$row.DadTransmits
    }
    if ($what -eq 'router-discovery') {
        return @('Disabled', 'Enabled', 'ControlledByDHCP')[[int]$row.RouterDiscovery]
    }
    if ([int]$row.AutomaticMetric -eq 1) {
        return 'automatic'
    }
    return [string][int]$row.InterfaceMetric
}
function Write-Interface {
    param($what, $key, $after)
    $parts = Split-Key -key $key
    $index = Find-Index -key $parts.adapter
    $family = Get-Family -part $parts.part
    if ($what -eq 'weak-receive') {
        Set-NetIPInterface -InterfaceIndex $index -AddressFamily $family -WeakHostReceive $after
        return
    }
    Protect-Session -index $index
    if ($what -eq 'dhcp') {
        Set-NetIPInterface -InterfaceIndex $index -AddressFamily $family -Dhcp $after
    }
    if ($what -eq 'weak-send') {
        Set-NetIPInterface -InterfaceIndex $index -AddressFamily $family -WeakHostSend $after
    }
    if ($what -eq 'dad') {
        Set-NetIPInterface -InterfaceIndex $index -AddressFamily $family -DadTransmits ([int]$after)
    }
    if ($what -eq 'router-discovery') {
        Set-NetIPInterface -InterfaceIndex $index -AddressFamily $family -RouterDiscovery $after
    }
    if ($what -eq 'metric') {
        if ($after -eq 'automatic') {
            Set-NetIPInterface -InterfaceIndex $index -AddressFamily $family -AutomaticMetric Enabled
        }
        else {
            Set-NetIPInterface -InterfaceIndex $index -AddressFamily $family -InterfaceMetric ([int]$after)
        }
    }
}
function Read-Component {
    param($key)
    $parts = Split-Key -key $key
    $adapter = Find-Adapter -key $parts.adapter
    if ($parts.part -eq '*') {
        $bound = @()
        foreach ($binding in @(Get-NetAdapterBinding -Name (Get-Literal -text $adapter.Name))) {
            if ($binding.Enabled) {
                $bound += [string]$binding.ComponentID
            }
        }
        return ($bound -join ',')
    }
    $binding = Get-NetAdapterBinding -Name (Get-Literal -text $adapter.Name) -ComponentID $parts.part
    if ($binding.Enabled) {
        return 'Enabled'
    }
    return 'Disabled'
}
function Write-Component {
    param($key, $after)
    $parts = Split-Key -key $key
    $adapter = Find-Adapter -key $parts.adapter
    Protect-Session -index $adapter.ifIndex
    if ($parts.part -eq '*') {
        $kept = $after -split ','
        foreach ($binding in @(Get-NetAdapterBinding -Name (Get-Literal -text $adapter.Name))) {
            $component = [string]$binding.ComponentID
            $ours = '@UNBINDABLE@'
            if (($ours -contains $component) -and ($binding.Enabled -ne ($kept -contains $component))) {
                if ($binding.Enabled) {
                    Disable-NetAdapterBinding -Name (Get-Literal -text $adapter.Name) -ComponentID $component
                }
                else {
                    Enable-NetAdapterBinding -Name (Get-Literal -text $adapter.Name) -ComponentID $component
                }
            }
        }
        return
    }
    if ($after -eq 'Enabled') {
        Enable-NetAdapterBinding -Name (Get-Literal -text $adapter.Name) -ComponentID $parts.part
    }
    else {
        Disable-NetAdapterBinding -Name (Get-Literal -text $adapter.Name) -ComponentID $parts.part
    }
}
function Read-Registration {
    param($key)
    $index = Find-Index -key $key
    $client = Get-DnsClient -InterfaceIndex $index
    return ((Get-Word -value $client.RegisterThisConnectionsAddress) + ',' +
        (Get-Word -value $client.UseSuffixWhenRegistering))
}
function Write-Registration {
    param($key, $after)
    $index = Find-Index -key $key
    Protect-Session -index $index
    $parts = $after -split ','
    Set-DnsClient -InterfaceIndex $index -RegisterThisConnectionsAddress ($parts[0] -eq 'true') `
        -UseSuffixWhenRegistering ($parts[1] -eq 'true')
}
