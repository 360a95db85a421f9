"""The cmdlets that people type and no script of ours does, and adapters by name, by which people type them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.windows.host import wmi
from tests.windows.host.cmdlets import Arguments, Register, named
from tests.windows.host.model import Rule
from tests.windows.pwsh import NotModelled, Object, PowerShellError, wildcard

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

LITERAL = ("new-netipaddress", "new-netroute")
"""They take an alias as it is; the others take a pattern."""


def by_index(host: WindowsHost, cmdlet: str, given: Arguments) -> Arguments:
    """The parameters with the adapter by its index. Raises PowerShellError where no adapter is called so."""
    if "interfacealias" not in given:
        return given
    alias = str(given["interfacealias"])
    for adapter in [*host.adapters, host.pseudo]:
        same = adapter.name.lower() == alias.lower()
        if same if cmdlet.lower() in LITERAL else wildcard(alias).match(adapter.name):
            rest = {name: value for name, value in given.items() if name != "interfacealias"}
            return rest | {"interfaceindex": adapter.index}
    raise PowerShellError(f"No matching objects found with property 'InterfaceAlias' equal to '{alias}'.")


@Register("Enable-NetAdapter", "Name InputObject", changes=True)
def _enable_adapter(host: WindowsHost, given: Arguments) -> list[Any]:
    adapter = given["inputobject"].call("Itself", []) if "inputobject" in given else named(host, given["name"])
    adapter.up = True
    return []


@Register("Enable-PSRemoting", "Force SkipNetworkProfileCheck", since=2, changes=True)
def _remoting(host: WindowsHost, given: Arguments) -> list[Any]:
    if host.public and not given.get("skipnetworkprofilecheck"):
        raise PowerShellError("WinRM firewall exception will not work since one of the networks is Public.")
    host.added["remoting"] = 1
    return []


@Register("Restart-Service", "Name InputObject", since=2, changes=True)
def _restart(host: WindowsHost, given: Arguments) -> list[Any]:
    if str(given.get("name", given.get("inputobject"))).lower() not in ("winrm", "mpssvc", "w3svc"):
        raise PowerShellError(f"Cannot find any service with service name '{given}'.")
    return []


@Register("Set-NetIPAddress", "IPAddress InterfaceIndex SkipAsSource", changes=True)
def _set_address(host: WindowsHost, given: Arguments) -> list[Any]:
    found = [one for adapter in host.adapters for one in adapter.addresses if one.address == str(given["ipaddress"])]
    if not found:
        raise PowerShellError("No matching MSFT_NetIPAddress objects found.")
    for one in found:
        one.skip = bool(given["skipassource"])
    return []


@Register("New-NetRoute", "DestinationPrefix InterfaceIndex NextHop", changes=True)
def _new_route(host: WindowsHost, given: Arguments) -> list[Any]:
    adapter = host.by_index(int(given["interfaceindex"]))
    if str(given["nexthop"]) in adapter.gateways:
        raise PowerShellError("Instance MSFT_NetRoute already exists")
    _default(given)
    adapter.gateways.append(str(given["nexthop"]))
    return []


@Register("Remove-NetRoute", "DestinationPrefix InterfaceIndex NextHop Confirm", changes=True)
def _remove_route(host: WindowsHost, given: Arguments) -> list[Any]:
    adapter = host.by_index(int(given["interfaceindex"]))
    _default(given)
    if given.get("confirm") is not False:
        raise PowerShellError("Read and Prompt functionality is not available.")
    if str(given["nexthop"]) not in adapter.gateways:
        raise PowerShellError("No matching MSFT_NetRoute objects found.")
    adapter.gateways.remove(str(given["nexthop"]))
    return []


def _default(given: Arguments) -> None:
    wanted = "::/0" if ":" in str(given["nexthop"]) else "0.0.0.0/0"
    if str(given["destinationprefix"]) != wanted:
        raise NotModelled(f"a route to {given['destinationprefix']}")


@Register("Remove-NetNeighbor", "InterfaceIndex IPAddress AddressFamily Confirm", changes=True)
def _remove_neighbours(host: WindowsHost, given: Arguments) -> list[Any]:
    if "ipaddress" in given:
        if given.get("confirm") is not False or str(given["ipaddress"]) not in host.neighbours:
            raise PowerShellError("No matching MSFT_NetNeighbor objects found.")
        del host.neighbours[str(given["ipaddress"])]
        return []
    six = str(given["addressfamily"]).lower() == "ipv6"
    host.neighbours = {one: mac for one, mac in host.neighbours.items() if (":" in one) != six}
    return []


@Register(
    "New-NetFirewallRule", "Name DisplayName Direction Action Protocol LocalPort LocalAddress Profile", changes=True
)
def _new_rule(host: WindowsHost, given: Arguments) -> list[Any]:
    if any(rule.name == given["name"] for rule in host.rules):
        raise PowerShellError("Cannot create a file when that file already exists.")
    if [str(given[one]).lower() for one in ("direction", "action", "profile")] != ["inbound", "allow", "any"]:
        raise NotModelled("a rule of another kind")
    number = {"TCP": 6, "UDP": 17}[str(given["protocol"]).upper()]
    host.rules.append(Rule(str(given["name"]), number, str(given["localport"]), str(given["localaddress"])))
    return []


def _rules(host: WindowsHost, given: Arguments) -> list[Rule]:
    found = [rule for rule in host.rules if wildcard(str(given["name"])).match(rule.name)]
    if not found:
        raise PowerShellError("No MSFT_NetFirewallRule objects found with property 'InstanceID'.")
    return found


@Register("Get-NetFirewallRule", "Name")
def _get_rules(host: WindowsHost, given: Arguments) -> list[Any]:
    return [Object("MSFT_NetFirewallRule", {"Name": rule.name}) for rule in _rules(host, given)]


@Register("Remove-NetFirewallRule", "Name", changes=True)
def _remove_rule(host: WindowsHost, given: Arguments) -> list[Any]:
    gone = _rules(host, given)
    host.rules = [rule for rule in host.rules if rule not in gone]
    return []


@Register("Get-NetFirewallProfile", "Name")
def _profiles(host: WindowsHost, given: Arguments) -> list[Any]:
    names = {"Domain": 1, "Private": 2, "Public": 4}
    return [Object("MSFT_NetFirewallProfile", {"Name": name, "Enabled": host.profiles[n]}) for name, n in names.items()]


@Register("Get-NetTCPConnection", "State LocalPort")
def _connections(host: WindowsHost, given: Arguments) -> list[Any]:
    return _sockets(host, "tcp", given)


@Register("Get-NetUDPEndpoint", "LocalPort")
def _endpoints(host: WindowsHost, given: Arguments) -> list[Any]:
    return _sockets(host, "udp", given)


def _sockets(host: WindowsHost, kind: str, given: Arguments) -> list[Any]:
    port = int(given["localport"])
    found = [address for one, address, number in host.listening() if (one, number) == (kind, port)]
    if not found:
        raise PowerShellError(f"No matching objects found with property 'LocalPort' equal to '{port}'.")
    return [Object("MSFT_NetEndpoint", {"LocalAddress": address, "LocalPort": port}) for address in found]


@Register("Get-CimInstance", "ClassName Filter")
def _instances(host: WindowsHost, given: Arguments) -> list[Any]:
    return wmi.instances(host, str(given["classname"]), str(given.get("filter", "")))


@Register("Invoke-CimMethod", "InputObject MethodName Arguments", changes=True)
def _method(host: WindowsHost, given: Arguments) -> list[Any]:
    values = [value for _, value in given["arguments"].items()]
    return [given["inputobject"].call(str(given["methodname"]), values)]
