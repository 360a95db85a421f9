# Adapters, their addresses and settings, and address conflicts, on Windows Server 2012 and later.

function Get-Conflicts {
    $since = (Get-Date).AddHours(-24)
    $filter = @{ LogName = 'System'; ProviderName = 'Tcpip'; Id = @(4198, 4199); StartTime = $since }
    $found = @()
    foreach ($entry in @(Get-WinEvent -FilterHashtable $filter -ErrorAction SilentlyContinue)) {
        $age = ((Get-Date) - $entry.TimeCreated).TotalSeconds
        $found += @{
            event = [int]$entry.Id
            address = [string]$entry.Properties[1].Value
            mac = [string]$entry.Properties[2].Value
            age = [int]$age
        }
    }
    return $found
}
function Get-Settings {
    param($index, $interfaces)
    $found = @()
    foreach ($row in $interfaces) {
        if ([int]$row.InterfaceIndex -eq $index) {
            $family = 4
            if ([int]$row.AddressFamily -eq 23) {
                $family = 6
            }
            $found += @{
                family = $family
                weak_host_receive = ([int]$row.WeakHostReceive -eq 1)
                weak_host_send = ([int]$row.WeakHostSend -eq 1)
                dhcp = ([int]$row.Dhcp -eq 1)
                metric = [int]$row.InterfaceMetric
                automatic_metric = ([int]$row.AutomaticMetric -eq 1)
                dad_transmits = [int]$row.DadTransmits
                router_discovery = [int]$row.RouterDiscovery
            }
        }
    }
    return $found
}
function Get-Addresses {
    param($index, $addresses, $stored)
    $found = @()
    foreach ($row in $addresses) {
        if ([int]$row.InterfaceIndex -eq $index) {
            $text = ([string]$row.IPAddress -split '%')[0]
            $kept = $false
            foreach ($other in $stored) {
                $same = ([string]$other.IPAddress -eq [string]$row.IPAddress)
                if ($same -and ([int]$other.InterfaceIndex -eq $index)) {
                    $kept = $true
                }
            }
            $found += @{
                address = $text
                prefix = [int]$row.PrefixLength
                skip_as_source = [bool]$row.SkipAsSource
                state = [int]$row.AddressState
                persistent = $kept
            }
        }
    }
    return $found
}
function Get-Gateways {
    param($index, $routes)
    $found = @()
    foreach ($route in $routes) {
        if ([int]$route.InterfaceIndex -eq $index) {
            $found += [string]$route.NextHop
        }
    }
    return $found
}
function Get-Adapters {
    $addresses = @(Get-NetIPAddress)
    $stored = @(Get-NetIPAddress -PolicyStore PersistentStore -ErrorAction SilentlyContinue)
    $interfaces = @(Get-NetIPInterface)
    $routes = @(Get-NetRoute -DestinationPrefix '0.0.0.0/0' -ErrorAction SilentlyContinue)
    $routes += @(Get-NetRoute -DestinationPrefix '::/0' -ErrorAction SilentlyContinue)
    $found = @()
    foreach ($adapter in @(Get-NetAdapter -IncludeHidden)) {
        $index = [int]$adapter.ifIndex
        $settings = @(Get-Settings -index $index -interfaces $interfaces)
        $loopback = ([string]$adapter.ComponentID -like '*msloop')
        if (($settings.Count -gt 0) -or $loopback) {
            $row = @{
                name = [string]$adapter.Name
                index = $index
                guid = [string]$adapter.InterfaceGuid
                pnp_id = [string]$adapter.PnPDeviceID
                mac = (([string]$adapter.MacAddress) -replace '-', ':').ToLower()
                up = ([int]$adapter.InterfaceOperationalStatus -eq 1)
                loopback = $loopback
                addresses = @(Get-Addresses -index $index -addresses $addresses -stored $stored)
                settings = $settings
                gateways = @(Get-Gateways -index $index -routes $routes)
            }
            if ($loopback) {
                $bindings = @{}
                foreach ($binding in @(Get-NetAdapterBinding -Name (Get-Literal -text $adapter.Name) -AllBindings)) {
                    $bindings[[string]$binding.ComponentID] = [bool]$binding.Enabled
                }
                $row['bindings'] = $bindings
                $client = Get-DnsClient -InterfaceIndex $index
                $row['dns_registration'] = [bool]$client.RegisterThisConnectionsAddress
                $row['dns_suffix_registration'] = [bool]$client.UseSuffixWhenRegistering
                $filter = 'InterfaceIndex=' + $index
                $config = Get-WmiObject -Class Win32_NetworkAdapterConfiguration -Filter $filter
                $row['netbios'] = [int]$config.TcpipNetbiosOptions
            }
            $found += $row
        }
    }
    $found += @{
        name = '@PSEUDO@'
        index = 1
        pseudo = $true
        up = $true
        addresses = @(Get-Addresses -index 1 -addresses $addresses -stored $stored)
        settings = @(Get-Settings -index 1 -interfaces $interfaces)
    }
    return $found
}
