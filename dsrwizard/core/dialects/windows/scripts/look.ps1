# The looking script's end: gathers the facts by the functions before it, section by section, and sends them.

$modern = ([int]$PSVersionTable.PSVersion.Major -ge 3) -and ([Environment]::OSVersion.Version -ge [Version]'6.2')
$facts = @{
    kind = 'facts'
    version = [string][Environment]::OSVersion.Version
    hostname = [string]$env:COMPUTERNAME
    powershell = [string]$PSVersionTable.PSVersion
    dialect = '2008'
    bits = 8 * [IntPtr]::Size
    wow64 = ([string]$env:PROCESSOR_ARCHITEW6432 -ne '')
    ipv4_listeners_only = ([int]$PSVersionTable.PSVersion.Major -lt 3)
    adapters = @()
}
if ($modern) {
    $facts['dialect'] = '2012'
}
Read-Section 'system' 0 {
    $system = Get-WmiObject -Class Win32_OperatingSystem
    $facts['version'] = [string]$system.Version
    $facts['product'] = [string]$system.Caption
    $facts['boot'] = [string]$system.LastBootUpTime
}
Read-Section 'machine' 0 {
    $facts['machine'] = [string](Get-RegistryValue -path 'HKLM:\SOFTWARE\Microsoft\Cryptography' -name 'MachineGuid')
}
Read-Section 'undo' 0 { $facts['undo'] = @(Get-Undo) }
Read-Section 'privileges' 0 { $facts['elevated'] = [bool](Test-Elevated) }
Read-Section 'install-policy' 0 { $facts['install_policy'] = (Get-InstallPolicy) }
Read-Section 'adapters' 0 { Add-Adapters -facts $facts }
Read-Section 'listeners' 0 { $facts['listeners'] = @(Get-Listeners) }
Read-Section 'sites' 0 { $facts['site_xml'] = [string](Get-SiteXml) }
Read-Section 'listen-list' 0 { $facts['listen_list'] = @(Get-ListenList) }
Read-Section 'certificates' 0 { Add-Certificates -facts $facts -folder 'SslBindingInfo' -name 'ssl' }
Read-Section 'sni-certificates' 0 { Add-Certificates -facts $facts -folder 'SslSniBindingInfo' -name 'sni' }
Read-Section 'central-store' 0 { Add-Certificates -facts $facts -folder 'SslCcsBindingInfo' -name 'central' }
Read-Section 'devices' 0 { $facts['devices'] = @(Get-Marked) }
Read-Section 'events' 0 { $facts['events'] = @(Get-Conflicts) }
Read-Section 'firewall' 0 { $facts['firewall'] = (Get-FirewallState) }
Read-Section 'firewall-rules' 0 { $facts['rules'] = @(Get-FirewallRules -seconds '@RULE_SECONDS@') }
if ($facts['rules'] -eq $null) {
    Read-Section 'firewall-rules-by-name' 0 { $facts['own_rules'] = @(Get-RulesByName -names '@OWN_RULES@') }
}
$facts['unread'] = @($unread)
try {
    Send-Frame $facts
}
catch {
    # Thousands of rules can be more than the memory of a remote shell holds as text.
    Add-Unread -section 'firewall-rules' -adapter 0 -record $_
    $facts['rules'] = $null
    $facts['unread'] = @($unread)
    Send-Frame $facts
}
