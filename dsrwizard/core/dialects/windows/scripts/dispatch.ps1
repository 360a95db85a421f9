# Which function reads or writes which setting: the same over either generation's functions.

function Read-Setting {
    param($what, $name)
    if ($what -eq 'adapter') {
        return (Read-Adapter -name $name)
    }
    if ($what -eq 'address') {
        return (Read-Address -name $name)
    }
    if ($what -eq 'firewall-rule') {
        return (Read-Rule -name $name)
    }
    if ($what -eq 'site-binding') {
        return (Read-Binding -name $name)
    }
    if ($what -eq 'listen-address') {
        return (Read-Listen -name $name)
    }
    if ($what -eq 'certificate') {
        return (Read-Certificate -name $name)
    }
    if ($what -eq 'binding') {
        return (Read-Component -key $name)
    }
    if ($what -eq 'dns-registration') {
        return (Read-Registration -key $name)
    }
    if ($what -eq 'netbios') {
        $config = Get-AdapterConfig -index (Find-Index -key $name)
        return [string][int](Get-NetbiosOption -config $config)
    }
    return (Read-Interface -what $what -key $name)
}
function Write-Setting {
    param($what, $name, $before, $after)
    if ($what -eq 'adapter') {
        if ($after -eq $null) {
            Remove-Adapter -name $name
        }
        else {
            Add-Adapter -name $name
        }
        return
    }
    if ($what -eq 'address') {
        Write-Address -name $name -after $after
        return
    }
    if ($what -eq 'firewall-rule') {
        Write-Rule -name $name -after $after
        return
    }
    if ($what -eq 'site-binding') {
        Write-Binding -name $name -after $after
        return
    }
    if ($what -eq 'listen-address') {
        Write-Listen -name $name -after $after
        return
    }
    if ($what -eq 'certificate') {
        Write-Certificate -name $name -after $after
        return
    }
    if ($after -eq $null) {
        return
    }
    if ($what -eq 'binding') {
        Write-Component -key $name -after $after
        return
    }
    if ($what -eq 'dns-registration') {
        Write-Registration -key $name -after $after
        return
    }
    if ($what -eq 'netbios') {
        $index = Find-Index -key $name
        Protect-Session -index $index
        Write-NetBios -index $index -after $after
        return
    }
    Write-Interface -what $what -key $name -after $after
}
