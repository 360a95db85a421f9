# Prepares Windows Server 2008 and 2008 R2: HTTP on 5985, for the servers' own network alone. Printed to be pasted.

& {
    $ErrorActionPreference = 'Stop'
    # The service, now and after every reboot.
    Set-Service -Name WinRM -StartupType Automatic
    Start-Service -Name WinRM
    # The listener, which these versions do not have by themselves.
    $there = @(Get-WSManInstance -ResourceURI winrm/config/Listener -Enumerate | Where-Object { $_.Transport -eq 'HTTP' })
    if ($there.Count -eq 0) {
        $which = @{ Address = '*'; Transport = 'HTTP' }
        New-WSManInstance -ResourceURI winrm/config/Listener -SelectorSet $which -ValueSet @{ Port = '5985' } | Out-Null
    }
    # The firewall: port 5985 from this server's own network, nobody else.
    $policy = New-Object -ComObject HNetCfg.FwPolicy2
    try { $policy.Rules.Remove('dsrwizard WinRM HTTP') } catch { }
    $rule = New-Object -ComObject HNetCfg.FWRule
    $rule.Name = 'dsrwizard WinRM HTTP'
    $rule.Protocol = 6
    $rule.LocalPorts = '5985'
    $rule.RemoteAddresses = 'LocalSubnet'
    $rule.Direction = 1
    $rule.Action = 1
    $rule.Profiles = 2147483647
    $rule.Enabled = $true
    $policy.Rules.Add($rule)
    'Ready: HTTP on port 5985, with NTLM or Kerberos, which seal every message. Write winrm = "http" for this server.'
}
