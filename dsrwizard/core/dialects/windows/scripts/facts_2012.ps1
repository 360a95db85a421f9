# Adapters, their addresses and settings, and address conflicts, on Windows Server 2012 and later.

function Get-Found {
    # That nothing matches is an error for these cmdlets, and an answer for us; any other error is one.
    param($found)
    try {
        & $found
    }
    catch {
        $id = [string]$_.FullyQualifiedErrorId
        if (($id -notlike '*NotFound*') -and ($id -notlike 'NoMatchingEventsFound*')) {
            throw
        }
    }
}
function Get-Conflicts {
    $since = (Get-Date).AddHours(-24)
    $filter = @{ LogName = 'System'; ProviderName = 'Tcpip'; Id = @(4198, 4199); StartTime = $since }
    $found = @()
    foreach ($entry in @(Get-Found { Get-WinEvent -FilterHashtable $filter -MaxEvents 500 })) {
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
                weak_host_receive = (Test-Same -value $row.WeakHostReceive -wanted 1)
                weak_host_send = (Test-Same -value $row.WeakHostSend -wanted 1)
                dhcp = (Test-Same -value $row.Dhcp -wanted 1)
                metric = (Get-Whole -value $row.InterfaceMetric)
                automatic_metric = (Test-Same -value $row.AutomaticMetric -wanted 1)
                dad_transmits = (Get-Whole -value $row.DadTransmits)
                router_discovery = (Get-Whole -value $row.RouterDiscovery)
            }
        }
    }
    return $found
}
function Get-Addresses {
    # `$stored` nothing: the persistent store could not be read.
    param($index, $addresses, $stored)
    $found = @()
    foreach ($row in $addresses) {
        if ([int]$row.InterfaceIndex -eq $index) {
            $entry = @{
                address = ([string]$row.IPAddress -split '%')[0]
                prefix = [int]$row.PrefixLength
                skip_as_source = (Get-Truth -value $row.SkipAsSource)
                state = (Get-Whole -value $row.AddressState)
            }
            if ($stored -ne $null) {
                $kept = $false
                foreach ($other in $stored['rows']) {
                    $same = ([string]$other.IPAddress -eq [string]$row.IPAddress)
                    if ($same -and ([int]$other.InterfaceIndex -eq $index)) {
                        $kept = $true
                    }
                }
                $entry['persistent'] = $kept
            }
            $found += $entry
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
function Get-RouteMetrics {
    # In the order of Get-Gateways.
    param($index, $routes)
    $found = @()
    foreach ($route in $routes) {
        if ([int]$route.InterfaceIndex -eq $index) {
            $found += (Get-Whole -value $route.RouteMetric)
        }
    }
    return ,$found
}
function Get-Neighbours {
    # Gateway and MAC, as far as this host has an entry. State 0 and 1: it has asked and heard nothing.
    param($index, $gateways)
    $found = @{}
    foreach ($gateway in $gateways) {
        foreach ($entry in @(Get-Found { Get-NetNeighbor -InterfaceIndex $index -IPAddress $gateway })) {
            if (($entry -ne $null) -and (@(0, 1) -notcontains [int]$entry.State)) {
                $found[$gateway] = [string]$entry.LinkLayerAddress
            }
        }
    }
    return $found
}
function Get-LoopbackParts {
    # What only a loopback adapter is asked for. A disabled one is in no list of DNS clients, and may be hidden.
    param($row, $adapter)
    Read-Section 'bindings' $row.index {
        $bindings = @{}
        $name = Get-Literal -text $adapter.Name
        foreach ($binding in @(Get-NetAdapterBinding -Name $name -AllBindings -IncludeHidden)) {
            $bindings[[string]$binding.ComponentID] = [bool]$binding.Enabled
        }
        $row['bindings'] = $bindings
    }
    Read-Section 'dns' $row.index {
        $client = Get-DnsClient -InterfaceIndex $row.index
        $row['dns_registration'] = (Get-Truth -value $client.RegisterThisConnectionsAddress)
        $row['dns_suffix_registration'] = (Get-Truth -value $client.UseSuffixWhenRegistering)
    }
    Read-Section 'netbios' $row.index {
        $filter = 'InterfaceIndex=' + $row.index
        $config = Get-WmiObject -Class Win32_NetworkAdapterConfiguration -Filter $filter
        $row['netbios'] = (Get-NetbiosOption -config $config)
    }
}
function Add-Adapter {
    param($facts, $lists, $adapter, $index)
    $settings = @(Get-Settings -index $index -interfaces $lists['interfaces'])
    # A filter's row on an adapter may carry the adapter's own component id.
    $loopback = (([string]$adapter.ComponentID -like '*msloop') -and (-not $adapter.IMFilter))
    if (($settings.Count -eq 0) -and (-not $loopback) -and ($lists['interfaces'] -ne $null)) {
        return
    }
    $row = @{
        name = [string]$adapter.Name
        index = $index
        guid = [string]$adapter.InterfaceGuid
        pnp_id = [string]$adapter.PnPDeviceID
        mac = (([string]$adapter.MacAddress) -replace '-', ':').ToLower()
        up = ([int]$adapter.InterfaceOperationalStatus -eq 1)
        loopback = $loopback
        addresses = @(Get-Addresses -index $index -addresses $lists['addresses'] -stored $lists['stored'])
        settings = $settings
        gateways = @(Get-Gateways -index $index -routes $lists['routes'])
        route_metrics = (Get-RouteMetrics -index $index -routes $lists['routes'])
    }
    $facts['adapters'] += $row
    if ($row['gateways'].Count -gt 0) {
        Read-Section 'neighbours' $index {
            $row['neighbours'] = (Get-Neighbours -index $index -gateways $row['gateways'])
        }
    }
    if ($loopback) {
        Get-LoopbackParts -row $row -adapter $adapter
    }
}
function Add-Adapters {
    param($facts)
    $lists = @{}
    Read-Section 'addresses' 0 { $lists['addresses'] = @(Get-NetIPAddress) }
    Read-Section 'kept-addresses' 0 {
        $rows = @(Get-Found { Get-NetIPAddress -PolicyStore PersistentStore })
        $lists['stored'] = @{ rows = $rows }
    }
    Read-Section 'interfaces' 0 { $lists['interfaces'] = @(Get-NetIPInterface) }
    Read-Section 'routes' 0 {
        $routes = @(Get-Found { Get-NetRoute -DestinationPrefix '0.0.0.0/0' })
        $routes += @(Get-Found { Get-NetRoute -DestinationPrefix '::/0' })
        $lists['routes'] = $routes
    }
    Read-Section 'adapters' 0 { $lists['adapters'] = @(Get-NetAdapter -IncludeHidden) }
    foreach ($adapter in @($lists['adapters'])) {
        if ($adapter -ne $null) {
            Read-Section 'adapter' 0 {
                $index = [int]$adapter.ifIndex
                Read-Section 'adapter' $index { Add-Adapter -facts $facts -lists $lists -adapter $adapter -index $index }
            }
        }
    }
    $facts['adapters'] += @{
        name = '@PSEUDO@'
        index = 1
        pseudo = $true
        up = $true
        addresses = @(Get-Addresses -index 1 -addresses $lists['addresses'] -stored $lists['stored'])
        settings = @(Get-Settings -index 1 -interfaces $lists['interfaces'])
    }
}
