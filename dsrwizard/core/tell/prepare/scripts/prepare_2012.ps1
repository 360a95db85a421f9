# Prepares Windows Server 2012 to 2025: HTTPS on 5986, for the servers' own network alone. Printed to be pasted.

& {
    $ErrorActionPreference = 'Stop'
    # The name to certify: with the domain, where there is one.
    $system = Get-WmiObject -Class Win32_ComputerSystem
    $name = $system.DNSHostName
    if ($system.PartOfDomain) { $name = $name + '.' + $system.Domain }
    # The service, now and after every reboot.
    Set-Service -Name WinRM -StartupType Automatic
    Start-Service -Name WinRM
    # A certificate for that name that is there already, one of a CA first; else a new self-signed one.
    $own = @(Get-ChildItem -LiteralPath Cert:\LocalMachine\My | Where-Object {
        $_.HasPrivateKey -and $_.NotAfter -gt (Get-Date) -and $_.NotBefore -le (Get-Date) -and
        @($_.DnsNameList | ForEach-Object { [string]$_.Unicode }) -contains $name -and
        @($_.EnhancedKeyUsageList | ForEach-Object { [string]$_.ObjectId }) -contains '1.3.6.1.5.5.7.3.1'
    })
    $signed = @($own | Where-Object { $_.Issuer -ne $_.Subject })
    $found = @(@($signed) + @($own) | Where-Object { $null -ne $_ })
    if ($found.Count -gt 0) {
        $certificate = $found[0]
    } else {
        $certificate = New-SelfSignedCertificate -DnsName $name -CertStoreLocation Cert:\LocalMachine\My
    }
    # The listener: made, or given this certificate.
    $which = @{ Address = '*'; Transport = 'HTTPS' }
    $value = @{ Hostname = $name; CertificateThumbprint = $certificate.Thumbprint }
    $there = @(Get-WSManInstance -ResourceURI winrm/config/Listener -Enumerate | Where-Object { $_.Transport -eq 'HTTPS' })
    if ($there.Count -gt 0) {
        $which['Address'] = [string]$there[0].Address
        Set-WSManInstance -ResourceURI winrm/config/Listener -SelectorSet $which -ValueSet $value | Out-Null
    } else {
        New-WSManInstance -ResourceURI winrm/config/Listener -SelectorSet $which -ValueSet $value | Out-Null
    }
    # The firewall: port 5986 from this server's own network, nobody else.
    $policy = New-Object -ComObject HNetCfg.FwPolicy2
    try { $policy.Rules.Remove('dsrwizard WinRM HTTPS') } catch { }
    $rule = New-Object -ComObject HNetCfg.FWRule
    $rule.Name = 'dsrwizard WinRM HTTPS'
    $rule.Protocol = 6
    $rule.LocalPorts = '5986'
    $rule.RemoteAddresses = 'LocalSubnet'
    $rule.Direction = 1
    $rule.Action = 1
    $rule.Profiles = 2147483647
    $rule.Enabled = $true
    $policy.Rules.Add($rule)
    # What to compare when dsrwizard shows the certificate.
    $sha = [Security.Cryptography.SHA256]::Create().ComputeHash($certificate.RawData)
    'Ready: HTTPS on port 5986, dns_name = "' + $name + '"'
    'SHA-256 of its certificate: ' + ([BitConverter]::ToString($sha) -replace '-')
}
