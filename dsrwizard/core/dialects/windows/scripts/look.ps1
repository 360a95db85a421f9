# The looking script's end: gathers the facts by the functions before it and sends them.

$modern = ([int]$PSVersionTable.PSVersion.Major -ge 3) -and ([Environment]::OSVersion.Version -ge [Version]'6.2')
$system = Get-WmiObject -Class Win32_OperatingSystem
$firewall = $null
$rules = $null
$problem = ''
try {
    $firewall = Get-FirewallState
    $rules = @(Get-FirewallRules)
}
catch {
    $firewall = $null
    $rules = $null
    $problem = [string]$_.Exception.Message
}
$facts = @{
    kind = 'facts'
    version = [string]$system.Version
    product = [string]$system.Caption
    boot = [string]$system.LastBootUpTime
    hostname = [string]$env:COMPUTERNAME
    powershell = [string]$PSVersionTable.PSVersion
    dialect = '2008'
    bits = 8 * [IntPtr]::Size
    wow64 = ([string]$env:PROCESSOR_ARCHITEW6432 -ne '')
    elevated = [bool](Test-Elevated)
    restricted = [string](Get-Restriction)
    listeners = @(Get-Listeners)
    firewall = $firewall
    rules = $rules
    firewall_problem = $problem
    site_xml = [string](Get-SiteXml)
    listen_list = @(Get-ListenList)
    ssl = (Get-Certificates)
}
if ($modern) {
    $facts['dialect'] = '2012'
}
$facts['events'] = @(Get-Conflicts)
$facts['adapters'] = @(Get-Adapters)
Send-Frame $facts
