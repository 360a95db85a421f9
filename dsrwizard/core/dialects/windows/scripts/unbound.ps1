# WMI tells nothing of DNS and NetBIOS while an adapter has no address; the registry keeps both.

function Get-RegistryValue {
    param($path, $name)
    if (-not (Test-Path -LiteralPath $path)) {
        return $null
    }
    $item = Get-ItemProperty -LiteralPath $path
    return $item.$name
}
function Get-NetbiosOption {
    param($config)
    if ($config.TcpipNetbiosOptions -ne $null) {
        return [int]$config.TcpipNetbiosOptions
    }
    $path = 'HKLM:\SYSTEM\CurrentControlSet\Services\NetBT\Parameters\Interfaces\Tcpip_' + [string]$config.SettingID
    $value = Get-RegistryValue -path $path -name 'NetbiosOptions'
    if ($value -eq $null) {
        return $null
    }
    return [int]$value
}
function Get-Registered {
    param($config, $told, $name)
    if ($told -ne $null) {
        return [bool]$told
    }
    $path = 'HKLM:\SYSTEM\CurrentControlSet\Services\Tcpip\Parameters\Interfaces\' + [string]$config.SettingID
    $value = Get-RegistryValue -path $path -name $name
    if ($value -eq $null) {
        return $null
    }
    return ([int]$value -ne 0)
}
