# Looks for half-open TCP connections from `$sources`; .NET tells their state as a number (TcpState.SynReceived is 4).

function Get-HalfOpen {
    $properties = [Net.NetworkInformation.IPGlobalProperties]::GetIPGlobalProperties()
    $found = @()
    foreach ($one in $properties.GetActiveTcpConnections()) {
        if ([int]$one.State -eq 4) {
            $found += @{
                vip = [string]$one.LocalEndPoint.Address
                port = [int]$one.LocalEndPoint.Port
                client = [string]$one.RemoteEndPoint.Address
                client_port = [int]$one.RemoteEndPoint.Port
            }
        }
    }
    return $found
}
$sources = '@SOURCES@'
Send-Frame @{ kind = 'ready' }
$seen = @{}
$turn = 0
while (($turn -lt '@TURNS@') -and ($seen.Count -lt '@EXPECTED@')) {
    foreach ($one in @(Get-HalfOpen)) {
        if ($sources -contains $one.client) {
            $name = $one.client + ' ' + [string]$one.client_port + ' ' + $one.vip + ' ' + [string]$one.port
            $seen[$name] = $one
        }
    }
    Start-Sleep -Milliseconds 100
    $turn = $turn + 1
}
Send-Frame @{ kind = 'half-open'; seen = @($seen.Values); waiting = @(Get-HalfOpen) }
