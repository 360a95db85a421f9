# Reads and writes one setting: what both generations do the same way.
# `Read-…` gives the value as text or nothing; `Write-…` brings it about and throws when it cannot.

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
function Test-GivenAddress {
    # Whether somebody gave it, and not Windows by itself.
    param($address)
    return (-not (($address -like '169.254.*') -or ($address -like 'fe80:*')))
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
        Send-Log ('WMI does not set NetBIOS on an adapter without address (' + [string]$result.ReturnValue +
            '). It was written to the registry, which NetBT reads when it is next bound to the adapter.')
    }
}
function Get-Own {
    param($name)
    foreach ($one in @(Get-Marked)) {
        if (($marks[$name] -ne $null) -and ([string]$one.mark -eq [string]$marks[$name])) {
            Write-Output ([string]$one.id)
        }
    }
}
function Get-Key {
    param($key)
    if ($known[$key] -ne $null) {
        return [string]$known[$key]
    }
    return $key
}
function Remove-Devices {
    param($ids)
    foreach ($id in $ids) {
        [DsrLoopback]::Remove($id)
        Send-Log ('removed ' + $id)
    }
}
function New-Device {
    param($name)
    # What a killed script left without driver goes first.
    Remove-Devices -ids @(Get-Own -name $name)
    $id = [DsrLoopback]::Register([string]$marks[$name])
    Send-Frame @{ kind = 'device'; step = $step.number; name = $name; device = $id; guid = '' }
    Write-Sign
    [DsrLoopback]::Bind($id)
    Write-Sign
    return $id
}
