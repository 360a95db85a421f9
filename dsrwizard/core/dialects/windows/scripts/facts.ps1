# What both generations read the same way: privileges, listeners, firewall, IIS, http.sys. Changes nothing.

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
