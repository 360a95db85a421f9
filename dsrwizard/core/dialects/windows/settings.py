"""PowerShell that reads and writes one setting: what both dialects share, and the dialect of 2012 and later.

`Read-Setting` gives the value as text or nothing; `Write-Setting` brings it about and throws when it cannot.
"""

from __future__ import annotations

from dsrwizard.core.dialects.windows.frames import LITERAL

UNBINDABLE = ("ms_tcpip6", "ms_msclient", "ms_server", "ms_pacer", "ms_lltdio", "ms_rspndr", "ms_lldp", "ms_implat")
"""Components that can be bound again; others (ms_netbt, ms_pppoe …) could not (PowerShell/PowerShell#7428)."""

SHARED_SETTINGS = r"""
function Get-Word {
    param($value)
    if ($value) {
        return 'true'
    }
    return 'false'
}
function Send-Log {
    param($text)
    Send-Frame @{ kind = 'log'; message = [string]$text }
}
function Split-Key {
    param($key)
    $at = $key.LastIndexOf('/')
    if ($at -lt 0) {
        return @{ adapter = $key; part = '' }
    }
    return @{ adapter = $key.Substring(0, $at); part = $key.Substring($at + 1) }
}
function Protect-Session {
    param($index)
    if ([int]$index -eq $session) {
        throw 'refused: this adapter carries the WinRM connection'
    }
}
function Assert-Exit {
    param($what)
    if ($LASTEXITCODE -ne 0) {
        throw ($what + ' ended with status ' + [string]$LASTEXITCODE)
    }
}
function Clear-Neighbours {
    $said = & 'arp' '-d' '*'
}
function Find-Rule {
    param($name)
    $policy = New-Object -ComObject HNetCfg.FwPolicy2
    try {
        foreach ($rule in $policy.Rules) {
            if ([string]$rule.Name -eq $name) {
                return $rule
            }
        }
    }
    catch {
        throw ('the rules of the firewall cannot be read; its service, MpsSvc, may be stopped or disabled: ' +
            [string]$_.Exception.Message)
    }
    return $null
}
function Read-Rule {
    param($name)
    $rule = Find-Rule -name $name
    if ($rule -eq $null) {
        return $null
    }
    $protocol = [string]$rule.Protocol
    if ([int]$rule.Protocol -eq 6) {
        $protocol = 'tcp'
    }
    if ([int]$rule.Protocol -eq 17) {
        $protocol = 'udp'
    }
    $address = ([string]$rule.LocalAddresses -split '/')[0] -replace ' ', ''
    return ($protocol + ' ' + ([string]$rule.LocalPorts -replace ' ', '') + ' ' + $address)
}
function Write-Rule {
    param($name, $after)
    $policy = New-Object -ComObject HNetCfg.FwPolicy2
    if ((Find-Rule -name $name) -ne $null) {
        $policy.Rules.Remove($name)
    }
    if ($after -eq $null) {
        return
    }
    $parts = $after -split ' '
    $rule = New-Object -ComObject HNetCfg.FWRule
    $rule.Name = $name
    $rule.Grouping = 'dsrwizard'
    $rule.Protocol = 6
    if ($parts[0] -eq 'udp') {
        $rule.Protocol = 17
    }
    $rule.LocalPorts = $parts[1]
    $rule.LocalAddresses = $parts[2]
    $rule.Direction = 1
    $rule.Action = 1
    $rule.Profiles = 2147483647
    $rule.Enabled = $true
    $policy.Rules.Add($rule)
}
function Get-AppCmd {
    return ($env:windir + '\system32\inetsrv\appcmd.exe')
}
function Split-Binding {
    param($name)
    $parts = @()
    foreach ($part in ($name -split '\|')) {
        $parts += $part.Replace('%7C', '|').Replace('%25', '%')
    }
    return @{ site = $parts[0]; protocol = $parts[1]; information = $parts[2] }
}
function Read-Binding {
    param($name)
    $parts = Split-Binding -name $name
    $appcmd = Get-AppCmd
    $lines = & $appcmd 'list' 'site' ('/site.name:' + $parts.site) '/config' '/xml'
    if ($LASTEXITCODE -ne 0) {
        return $null
    }
    $document = [xml]($lines -join "`n")
    foreach ($binding in $document.SelectNodes('//binding')) {
        $protocol = $binding.GetAttribute('protocol')
        $information = $binding.GetAttribute('bindingInformation')
        if (($protocol -eq $parts.protocol) -and ($information -eq $parts.information)) {
            return 'present'
        }
    }
    return $null
}
function Write-Binding {
    param($name, $after)
    $parts = Split-Binding -name $name
    $appcmd = Get-AppCmd
    $sign = '+'
    if ($after -eq $null) {
        $sign = '-'
    }
    $site = '/site.name:' + $parts.site
    $binding = '/' + $sign + "bindings.[protocol='" + $parts.protocol + "',bindingInformation='" +
        $parts.information + "']"
    $said = & $appcmd 'set' 'site' $site $binding
    Assert-Exit -what 'appcmd set site'
}
function Read-Listen {
    param($name)
    $item = Get-ItemProperty -LiteralPath 'HKLM:\SYSTEM\CurrentControlSet\Services\HTTP\Parameters'
    if (@($item.ListenOnlyList) -contains $name) {
        return 'present'
    }
    return $null
}
function Write-Listen {
    param($name, $after)
    $verb = 'add'
    if ($after -eq $null) {
        $verb = 'delete'
    }
    $said = & 'netsh' 'http' $verb 'iplisten' ('ipaddress=' + $name)
    Assert-Exit -what 'netsh http iplisten'
}
function Read-Certificate {
    param($name)
    $path = 'HKLM:\SYSTEM\CurrentControlSet\Services\HTTP\Parameters\SslBindingInfo\' + $name
    if (-not (Test-Path -LiteralPath $path)) {
        return $null
    }
    $value = Get-ItemProperty -LiteralPath $path
    $hash = ''
    if ($null -ne $value.SslCertHash) {
        $hash = ([BitConverter]::ToString($value.SslCertHash)) -replace '-', ''
    }
    return ($hash + ' ' + [string]$value.AppId + ' ' + [string]$value.SslCertStoreName)
}
function Write-Certificate {
    param($name, $after)
    if ($after -eq $null) {
        $said = & 'netsh' 'http' 'delete' 'sslcert' ('ipport=' + $name)
        Assert-Exit -what 'netsh http delete sslcert'
        return
    }
    $parts = $after -split ' ', 3
    $words = @('ipport=' + $name)
    $words += 'certhash=' + $parts[0]
    $words += 'appid=' + $parts[1]
    if ($parts[2] -ne '') {
        $words += 'certstorename=' + $parts[2]
    }
    $said = & 'netsh' 'http' 'add' 'sslcert' $words
    Assert-Exit -what 'netsh http add sslcert'
}
function Get-AdapterConfig {
    param($index)
    $filter = 'InterfaceIndex=' + [string]$index
    return (Get-WmiObject -Class Win32_NetworkAdapterConfiguration -Filter $filter)
}
function Write-NetBios {
    param($index, $after)
    $config = Get-AdapterConfig -index $index
    $result = $config.SetTcpipNetbios([int]$after)
    if (@(0, 1) -notcontains [int]$result.ReturnValue) {
        $path = 'HKLM:\SYSTEM\CurrentControlSet\Services\NetBT\Parameters\Interfaces\Tcpip_' + [string]$config.SettingID
        Set-ItemProperty -LiteralPath $path -Name 'NetbiosOptions' -Value ([int]$after)
    }
}
"""

SETTINGS_2012 = (
    LITERAL
    + r"""
function Find-SessionIndex {
    $own = @(Get-NetIPAddress -IPAddress $reached)
    return [int]$own[0].InterfaceIndex
}
function Find-Adapter {
    param($key)
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
    foreach ($adapter in @(Get-NetAdapter -IncludeHidden)) {
        if ([string]$adapter.Name -eq $name) {
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
            foreach ($adapter in @(Get-NetAdapter -IncludeHidden)) {
                if ([string]$adapter.PnPDeviceID -eq $id) {
                    $rows = @(Get-NetIPInterface -InterfaceIndex $adapter.ifIndex -ErrorAction SilentlyContinue)
                    if ($rows.Count -gt 0) {
                        $ready = $adapter
                    }
                }
            }
            if ($ready -eq $null) {
                Start-Sleep -Milliseconds 500
            }
            $count = $count + 1
        }
        if ($ready -eq $null) {
            throw 'the new adapter had no IP interface after 30 seconds'
        }
        Rename-NetAdapter -InputObject $ready -NewName $name
    }
    catch {
        $message = [string]$_.Exception.Message
        [DsrLoopback]::Remove($id)
        throw $message
    }
}
function Remove-Adapter {
    param($name)
    $adapter = Find-Adapter -key $name
    Protect-Session -index $adapter.ifIndex
    if (-not ([string]$adapter.ComponentID -like '*msloop')) {
        throw ($name + ' is no loopback adapter')
    }
    [DsrLoopback]::Remove([string]$adapter.PnPDeviceID)
    Send-Log ('removed ' + [string]$adapter.PnPDeviceID)
}
function Read-Address {
    param($name)
    $parts = $name -split '\|'
    $index = Find-Index -key $parts[0]
    foreach ($row in @(Get-NetIPAddress -InterfaceIndex $index -ErrorAction SilentlyContinue)) {
        if (([string]$row.IPAddress -eq $parts[1]) -and ([int]$row.PrefixLength -eq [int]$parts[2])) {
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
            $ours = @UNBINDABLE@
            if ($binding.Enabled -and ($ours -contains $component) -and ($kept -notcontains $component)) {
                Disable-NetAdapterBinding -Name (Get-Literal -text $adapter.Name) -ComponentID $component
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
""".replace("@UNBINDABLE@", "@(" + ", ".join(f"'{name}'" for name in UNBINDABLE) + ")")
)
