# What both generations read the same way: privileges, listeners, firewall, IIS, http.sys. Changes nothing.
# Each section is read on its own: what one could not read goes to `$unread` with what Windows said, the others stand.

$unread = New-Object -TypeName Collections.ArrayList
function Add-Unread {
    param($section, $adapter, $record)
    $kind = [string]$record.Exception.GetBaseException().GetType().FullName
    $ignored = $unread.Add(@{
        section = [string]$section
        adapter = [int]$adapter
        said = [string]$record.Exception.Message
        id = [string]$record.FullyQualifiedErrorId + ' ' + $kind
    })
}
function Read-Section {
    # What is read sees the variables of its caller, except of these names.
    param($sectionName, $sectionAdapter, $sectionRead)
    try {
        & $sectionRead
    }
    catch {
        Add-Unread -section $sectionName -adapter $sectionAdapter -record $_
    }
}
function Get-Whole {
    # A property may be absent: then it is not known, which is not 0.
    param($value)
    if ($value -eq $null) {
        return $null
    }
    return [int]$value
}
function Test-Same {
    param($value, $wanted)
    if ($value -eq $null) {
        return $null
    }
    return ([int]$value -eq $wanted)
}
function Get-Truth {
    param($value)
    if ($value -eq $null) {
        return $null
    }
    return [bool]$value
}
function Test-Elevated {
    $identity = [Security.Principal.WindowsIdentity]::GetCurrent()
    $principal = New-Object -TypeName Security.Principal.WindowsPrincipal -ArgumentList $identity
    $administrators = New-Object -TypeName Security.Principal.SecurityIdentifier -ArgumentList 'S-1-5-32-544'
    return $principal.IsInRole($administrators)
}
function Get-InstallPolicy {
    $path = 'HKLM:\SOFTWARE\Policies\Microsoft\Windows\DeviceInstall\Restrictions'
    $on = @()
    $lists = @{}
    if (Test-Path -LiteralPath $path) {
        $item = Get-ItemProperty -LiteralPath $path
        foreach ($name in '@SWITCHES@') {
            if ([string]$item.$name -eq '1') {
                $on += $name
            }
        }
        foreach ($key in @(Get-ChildItem -LiteralPath $path)) {
            $entries = @()
            foreach ($name in @($key.GetValueNames())) {
                $entries += [string]$key.GetValue($name)
            }
            $lists[[string]$key.PSChildName] = $entries
        }
    }
    return @{ on = $on; lists = $lists }
}
function Get-Listeners {
    $properties = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
    $found = @()
    foreach ($point in @($properties.GetActiveTcpListeners())) {
        $found += @{ protocol = 'tcp'; address = [string]$point.Address; port = [int]$point.Port }
    }
    foreach ($point in @($properties.GetActiveUdpListeners())) {
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
        current = (Get-Whole -value $policy.CurrentProfileTypes)
    }
}
function Get-RuleRow {
    param($rule)
    $row = @{
        name = [string]$rule.Name
        enabled = [bool]$rule.Enabled
        protocol = [int]$rule.Protocol
        profiles = [int]$rule.Profiles
        allow = ([int]$rule.Action -eq 1)
    }
    $texts = @{
        ports = $rule.LocalPorts
        addresses = $rule.LocalAddresses
        remote_addresses = $rule.RemoteAddresses
        remote_ports = $rule.RemotePorts
        application = $rule.ApplicationName
        service = $rule.ServiceName
        interface_types = $rule.InterfaceTypes
        group = $rule.Grouping
    }
    foreach ($name in @($texts.Keys)) {
        $text = [string]$texts[$name]
        if (($text -ne '') -and ($text -ne '*')) {
            $row[$name] = $text
        }
    }
    $interfaces = @()
    foreach ($one in @($rule.Interfaces)) {
        if ([string]$one -ne '') {
            $interfaces += [string]$one
        }
    }
    if ($interfaces.Count -gt 0) {
        $row['interfaces'] = $interfaces
    }
    if (($rule.SecureFlags -ne $null) -and ([int]$rule.SecureFlags -ne 0)) {
        $row['secure'] = $true
    }
    return $row
}
function Test-Rule {
    # Rules of store applications and of single users let no service's clients in; a session host has tens of thousands.
    param($rule)
    if (([int]$rule.Direction -ne 1) -or (-not $rule.Enabled)) {
        return $false
    }
    if (@(6, 17, 256) -notcontains [int]$rule.Protocol) {
        return $false
    }
    return (([string]$rule.LocalAppPackageId -eq '') -and ([string]$rule.LocalUserOwner -eq ''))
}
function Get-FirewallRules {
    param($seconds)
    $policy = New-Object -ComObject HNetCfg.FwPolicy2
    $end = (Get-Date).AddSeconds($seconds)
    $found = @()
    $until = 50
    $count = 0
    foreach ($rule in $policy.Rules) {
        if (Test-Rule -rule $rule) {
            $found += (Get-RuleRow -rule $rule)
        }
        $count = $count + 1
        if ($count -ge $until) {
            if ((Get-Date) -gt $end) {
                throw ('too many to read in ' + [string]$seconds + ' s: ' + [string]$count + ' were read, and there are more')
            }
            $until = $count + 50
        }
    }
    return $found
}
function Get-RulesByName {
    param($names)
    $policy = New-Object -ComObject HNetCfg.FwPolicy2
    $rules = $policy.Rules
    $ignored = $rules.Count
    $found = @()
    foreach ($name in $names) {
        $rule = $null
        try {
            $rule = $rules.Item($name)
        }
        catch {
            # 0x80070002, which .NET takes for a missing file: there is no rule of this name.
            $kind = [string]$_.Exception.GetBaseException().GetType().FullName
            $text = [string]$_.Exception.Message
            if (($kind -ne 'System.IO.FileNotFoundException') -and ($text -notlike '*80070002*')) {
                throw
            }
        }
        if ($rule -ne $null) {
            $found += (Get-RuleRow -rule $rule)
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
    $text = $lines -join "`n"
    if ($LASTEXITCODE -ne 0) {
        throw ('appcmd ended with ' + [string]$LASTEXITCODE + ': ' + $text)
    }
    return $text
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
function Get-Hex {
    param($bytes)
    if ($bytes -is [byte[]]) {
        return (([BitConverter]::ToString($bytes)) -replace '-', '')
    }
    return ''
}
function Get-GuidText {
    param($value)
    if ($value -is [byte[]]) {
        return ('{' + [string](New-Object -TypeName Guid -ArgumentList (, $value)) + '}')
    }
    return [string]$value
}
function Get-Number {
    param($value)
    if ($value -eq $null) {
        return $null
    }
    return ([int64]$value -band 4294967295)
}
function Get-Certificates {
    param($folder)
    $path = 'HKLM:\SYSTEM\CurrentControlSet\Services\HTTP\Parameters\' + $folder
    $found = @()
    if (Test-Path -LiteralPath $path) {
        foreach ($entry in @(Get-ChildItem -LiteralPath $path)) {
            $value = Get-ItemProperty -LiteralPath ($path + '\' + $entry.PSChildName)
            $hash = [string](Get-Hex -bytes $value.SslCertHash)
            $application = [string](Get-GuidText -value $value.AppId)
            $found += @{
                place = [string]$entry.PSChildName
                parts = @($hash, $application, [string]$value.SslCertStoreName)
                settings = @{
                    flags = (Get-Number -value $value.DefaultFlags)
                    check_mode = (Get-Number -value $value.DefaultSslCertCheckMode)
                    freshness = (Get-Number -value $value.DefaultSslRevocationFreshnessTime)
                    url_timeout = (Get-Number -value $value.DefaultSslRevocationUrlRetrievalTimeout)
                    ctl_identifier = [string]$value.DefaultSslCtlIdentifier
                    ctl_store = [string]$value.DefaultSslCtlStoreName
                }
            }
        }
    }
    return $found
}
function Add-Certificates {
    # Where each is, and of each what it is and what else is set.
    param($facts, $folder, $name)
    $parts = @{}
    $settings = @{}
    foreach ($entry in @(Get-Certificates -folder $folder)) {
        $parts[$entry.place] = $entry.parts
        $settings[$entry.place] = $entry.settings
    }
    $facts[$name] = $parts
    $facts[$name + '_settings'] = $settings
}
