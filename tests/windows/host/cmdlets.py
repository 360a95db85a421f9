"""The cmdlets of the model: their parameters, the first PowerShell that has them, and what they do."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from tests.windows.host import com, registry, winrm, wmi
from tests.windows.host.model import PREFERRED, TENTATIVE, Adapter, Address, Row
from tests.windows.pwsh import NotModelled, Object, PowerShellError, wildcard

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

Arguments = dict[str, Any]
FAMILIES = {"ipv4": 4, "ipv6": 6}
NUMBERS = {4: 2, 6: 23}
ABLE = {"enabled": True, "disabled": False}


@dataclass(frozen=True)
class Cmdlet:
    """`since` is the major version of PowerShell whose Windows has it; `changes` needs an administrator."""

    run: Callable[[WindowsHost, Arguments], list[Any]]
    parameters: frozenset[str]
    since: int = 2
    changes: bool = False
    positional: str = ""


CMDLETS: dict[str, Cmdlet] = {}


def _none(text: str) -> PowerShellError:
    """What a CIM cmdlet says where nothing matches."""
    return PowerShellError(text, "CmdletizationQuery_NotFound_Property")


@dataclass
class Register:
    name: str
    parameters: str
    since: int = 3
    changes: bool = False
    positional: str = field(default="")

    def __call__(self, run: Callable[[WindowsHost, Arguments], list[Any]]) -> Callable[..., list[Any]]:
        known = frozenset(self.parameters.lower().split())
        CMDLETS[self.name.lower()] = Cmdlet(run, known, self.since, self.changes, self.positional)
        return run


def named(host: WindowsHost, name: str) -> Adapter:
    for adapter in host.adapters:
        if wildcard(str(name)).match(adapter.name):
            return adapter
    raise _none(f"No MSFT_NetAdapter objects found with property 'Name' equal to '{name}'.")


# -- adapters


def wildcard_escaped(name: str) -> str:
    """As a pattern that this name alone matches."""
    return re.sub(r"([\[\]*?`])", r"`\1", str(name))


@Register("Get-NetAdapter", "IncludeHidden Name")
def _adapters(host: WindowsHost, given: Arguments) -> list[Any]:
    chosen = [named(host, given["name"])] if "name" in given else host.adapters
    chosen = [one for one in chosen if given.get("includehidden") or not one.hidden]
    return [
        Object(
            "MSFT_NetAdapter",
            {
                "Name": adapter.name,
                "ifIndex": adapter.index,
                "InterfaceGuid": adapter.guid,
                "PnPDeviceID": adapter.pnp,
                "MacAddress": adapter.mac.upper().replace(":", "-"),
                "Status": "Up" if adapter.up else "Disconnected",
                "InterfaceOperationalStatus": 1 if adapter.up else 2,
                "ComponentID": adapter.component,
                "IMFilter": adapter.filter,
            },
            {"Itself": lambda adapter=adapter: adapter},
        )
        for adapter in chosen
    ]


@Register("Rename-NetAdapter", "Name InputObject NewName", changes=True)
def _rename(host: WindowsHost, given: Arguments) -> list[Any]:
    adapter: Adapter = given["inputobject"].call("Itself", []) if "inputobject" in given else named(host, given["name"])
    if any(other.name.lower() == str(given["newname"]).lower() for other in host.adapters):
        raise PowerShellError(
            "{Object Exists} An attempt was made to create an object and the object name already existed."
        )
    adapter.name = str(given["newname"])
    return []


@Register("Get-NetAdapterBinding", "Name ComponentID AllBindings IncludeHidden")
def _bindings(host: WindowsHost, given: Arguments) -> list[Any]:
    adapter = named(host, given["name"])
    if adapter.hidden and not given.get("includehidden"):
        raise _none(f"No MSFT_NetAdapterBindingSettingData objects found with 'Name' equal to '{adapter.name}'.")
    wanted = given.get("componentid")
    found = [
        Object(
            "MSFT_NetAdapterBindingSettingData",
            {"Name": adapter.name, "InterfaceAlias": adapter.name, "ComponentID": component, "Enabled": bound},
        )
        for component, bound in adapter.bindings.items()
        if wanted is None or component.lower() == str(wanted).lower()
    ]
    if wanted is not None and not found:
        raise _none(f"No matching MSFT_NetAdapterBindingSettingData objects found for '{wanted}'.")
    return found


def _bind(host: WindowsHost, given: Arguments, bound: bool) -> list[Any]:
    one = given.get("inputobject")
    adapter = named(host, wildcard_escaped(one.member("Name")) if one is not None else given["name"])
    component = str(one.member("ComponentID") if one is not None else given["componentid"])
    if component not in adapter.bindings:
        raise _none(f"No matching MSFT_NetAdapterBindingSettingData objects found for '{component}'.")
    adapter.bindings[component] = bound
    return []


@Register("Enable-NetAdapterBinding", "Name ComponentID InputObject", changes=True)
def _enable(host: WindowsHost, given: Arguments) -> list[Any]:
    return _bind(host, given, True)


@Register("Disable-NetAdapterBinding", "Name ComponentID InputObject", changes=True)
def _disable(host: WindowsHost, given: Arguments) -> list[Any]:
    return _bind(host, given, False)


# -- addresses and interfaces


def _stack(host: WindowsHost) -> list[Adapter]:
    """Adapters that the IP stack knows by now; a fresh one it learns after a moment."""
    found = [host.pseudo]
    for adapter in host.adapters:
        if adapter.polls > 0:
            adapter.polls -= 1
        elif not adapter.disabled:
            found.append(adapter)
    return found


@Register("Get-NetIPAddress", "IPAddress InterfaceIndex PolicyStore")
def _addresses(host: WindowsHost, given: Arguments) -> list[Any]:
    found = []
    for adapter in [host.pseudo, *host.adapters]:
        for one in adapter.addresses if not adapter.disabled else ():
            if "interfaceindex" in given and int(given["interfaceindex"]) != adapter.index:
                continue
            if "ipaddress" in given and str(given["ipaddress"]) != one.address:
                continue
            if str(given.get("policystore", "")).lower() == "persistentstore" and not one.persistent:
                continue
            found.append(
                Object(
                    "MSFT_NetIPAddress",
                    {
                        "IPAddress": one.address,
                        "InterfaceAlias": adapter.name,
                        "InterfaceIndex": adapter.index,
                        "PrefixLength": one.prefix,
                        "SkipAsSource": one.skip,
                        "AddressState": one.state,
                    },
                )
            )
    if not found and given:
        raise _none("No matching MSFT_NetIPAddress objects found.")
    return found


@Register("New-NetIPAddress", "InterfaceIndex IPAddress PrefixLength SkipAsSource PolicyStore", changes=True)
def _new_address(host: WindowsHost, given: Arguments) -> list[Any]:
    adapter = host.by_index(int(given["interfaceindex"]))
    address = str(given["ipaddress"])
    family = 6 if ":" in address else 4
    row = adapter.rows[family]
    if str(given.get("policystore", "ActiveStore")).lower() != "activestore":
        raise PowerShellError("Element not found.")  # it writes both stores, or the active one alone
    if row.dhcp:
        raise PowerShellError("Inconsistent parameters PolicyStore PersistentStore and Dhcp Enabled")
    if any(other.holding(address) for other in [host.pseudo, *host.adapters]):
        raise PowerShellError(f"Instance MSFT_NetIPAddress already exists: {address}")
    state = TENTATIVE if row.dad else PREFERRED
    adapter.addresses.append(Address(address, int(given["prefixlength"]), bool(given.get("skipassource")), state))
    return _addresses(host, {"ipaddress": address})


@Register("Remove-NetIPAddress", "InterfaceIndex IPAddress Confirm", changes=True)
def _remove_address(host: WindowsHost, given: Arguments) -> list[Any]:
    found = [host.by_index(int(given["interfaceindex"]))] if "interfaceindex" in given else host.adapters
    holding = [adapter for adapter in found if adapter.holding(str(given["ipaddress"]))]
    if given.get("confirm") is not False:
        raise PowerShellError(
            "Windows PowerShell is in NonInteractive mode. Read and Prompt functionality is not available."
        )
    if not holding:
        raise _none("No matching MSFT_NetIPAddress objects found.")
    for adapter in holding:
        adapter.addresses = [one for one in adapter.addresses if one is not adapter.holding(str(given["ipaddress"]))]
    return []


@Register("Get-NetIPInterface", "InterfaceIndex AddressFamily")
def _interfaces(host: WindowsHost, given: Arguments) -> list[Any]:
    found = []
    for adapter in _stack(host):
        for family, row in adapter.rows.items():
            if "interfaceindex" in given and int(given["interfaceindex"]) != adapter.index:
                continue
            if "addressfamily" in given and FAMILIES[str(given["addressfamily"]).lower()] != family:
                continue
            found.append(_interface(adapter, family, row))
    if not found:
        raise _none("No MSFT_NetIPInterface objects found.")
    return found


def _interface(adapter: Adapter, family: int, row: Row) -> Object:
    return Object(
        "MSFT_NetIPInterface",
        {
            "InterfaceAlias": adapter.name,
            "InterfaceIndex": adapter.index,
            "AddressFamily": NUMBERS[family],
            "WeakHostReceive": int(row.weak_receive),
            "WeakHostSend": int(row.weak_send),
            "Dhcp": int(row.dhcp),
            "InterfaceMetric": row.metric,
            "AutomaticMetric": int(row.automatic),
            "DadTransmits": row.dad,
            "RouterDiscovery": row.router_discovery,
        },
    )


@Register(
    "Set-NetIPInterface",
    "InterfaceIndex AddressFamily Dhcp WeakHostReceive WeakHostSend DadTransmits RouterDiscovery InterfaceMetric "
    "AutomaticMetric",
    changes=True,
)
def _set_interface(host: WindowsHost, given: Arguments) -> list[Any]:
    adapter = host.by_index(int(given.pop("interfaceindex")))
    row = adapter.rows[FAMILIES[str(given.pop("addressfamily")).lower()]]
    for name, value in given.items():
        word = str(value).lower()
        match name:
            case "dhcp":
                row.dhcp = ABLE[word]
                if not row.dhcp:
                    adapter.addresses = [one for one in adapter.addresses if not one.address.startswith("169.254.")]
            case "weakhostreceive":
                row.weak_receive = ABLE[word]
            case "weakhostsend":
                row.weak_send = ABLE[word]
            case "dadtransmits":
                row.dad = int(value)
            case "routerdiscovery":
                row.router_discovery = {"disabled": 0, "enabled": 1, "controlledbydhcp": 2}[word]
            case "interfacemetric":
                row.metric, row.automatic = int(value), False
            case "automaticmetric":
                row.automatic = ABLE[word]
                row.metric = 25 if row.automatic else row.metric
            case _:
                raise NotModelled(name)
    return []


@Register("Get-NetRoute", "DestinationPrefix")
def _routes(host: WindowsHost, given: Arguments) -> list[Any]:
    wanted = 6 if "::" in str(given["destinationprefix"]) else 4
    found = [
        Object(
            "MSFT_NetRoute",
            {"InterfaceIndex": adapter.index, "NextHop": gateway, "RouteMetric": adapter.route_metric},
        )
        for adapter in host.adapters
        for gateway in adapter.gateways
        if (6 if ":" in gateway else 4) == wanted
    ]
    if not found:
        raise _none("No MSFT_NetRoute objects found with property 'DestinationPrefix'.")
    return found


@Register("Get-NetNeighbor", "InterfaceIndex IPAddress")
def _neighbours(host: WindowsHost, given: Arguments) -> list[Any]:
    wanted = ip_address(str(given["ipaddress"]))
    found = [
        Object(
            "MSFT_NetNeighbor",
            {"IPAddress": address, "LinkLayerAddress": mac.replace(":", "-").upper(), "State": 5 if mac else 1},
        )
        for address, mac in host.neighbours.items()
        if ip_address(address) == wanted
    ]
    if not found:
        raise _none("No MSFT_NetNeighbor objects found with property 'IPAddress'.")
    return found


# -- DNS


@Register("Get-DnsClient", "InterfaceIndex")
def _dns(host: WindowsHost, given: Arguments) -> list[Any]:
    found = [host.by_index(int(given["interfaceindex"]))] if given else host.adapters
    found = [adapter for adapter in found if not adapter.disabled]
    if not found:
        raise _none("No MSFT_DNSClient objects found with property 'InterfaceIndex'.")
    return [
        Object(
            "MSFT_DNSClient",
            {
                "InterfaceAlias": adapter.name,
                "RegisterThisConnectionsAddress": adapter.register,
                "UseSuffixWhenRegistering": adapter.suffix,
            },
        )
        for adapter in found
    ]


@Register("Set-DnsClient", "InterfaceIndex RegisterThisConnectionsAddress UseSuffixWhenRegistering", changes=True)
def _set_dns(host: WindowsHost, given: Arguments) -> list[Any]:
    adapter = host.by_index(int(given["interfaceindex"]))
    adapter.register = bool(given["registerthisconnectionsaddress"])
    adapter.suffix = bool(given["usesuffixwhenregistering"])
    return []


# -- everything else


@Register("Get-WmiObject", "Class Filter", since=2)
def _wmi(host: WindowsHost, given: Arguments) -> list[Any]:
    return wmi.instances(host, str(given["class"]), str(given.get("filter", "")))


@Register("New-Object", "ComObject TypeName ArgumentList", since=2)
def _new(host: WindowsHost, given: Arguments) -> list[Any]:
    return [com.create(host, given)]


def _paths(host: WindowsHost, given: Arguments) -> list[str]:
    """The one path that is meant, or those that match a pattern."""
    if "literalpath" in given:
        return [str(given["literalpath"])]
    return registry.matching(host, str(given["path"]))


@Register("Test-Path", "Path LiteralPath", since=2)
def _test_path(host: WindowsHost, given: Arguments) -> list[Any]:
    return [any(registry.exists(host, path) for path in _paths(host, given))]


@Register("Get-ItemProperty", "Path LiteralPath", since=2)
def _item(host: WindowsHost, given: Arguments) -> list[Any]:
    return [registry.item(host, path) for path in _paths(host, given)]


@Register("Set-ItemProperty", "Path LiteralPath Name Value", since=2, changes=True)
def _set_item(host: WindowsHost, given: Arguments) -> list[Any]:
    for path in _paths(host, given):
        registry.write(host, path, str(given["name"]), given["value"])
    return []


@Register("Get-ChildItem", "Path LiteralPath", since=2)
def _children(host: WindowsHost, given: Arguments) -> list[Any]:
    if str(given.get("literalpath", "")).lower() == winrm.STORE:
        return winrm.certificates(host)
    return [key for path in _paths(host, given) for key in registry.children(host, path)]


@Register("Get-Date", "", since=2)
def _date(host: WindowsHost, given: Arguments) -> list[Any]:
    return [host.now]


@Register("Start-Sleep", "Milliseconds Seconds", since=2)
def _sleep(host: WindowsHost, given: Arguments) -> list[Any]:
    host.sleep(int(given["milliseconds"]) if "milliseconds" in given else 1000 * int(given["seconds"]))
    return []


def _logged(host: WindowsHost) -> list[tuple[Any, Any]]:
    """The System log, newest first."""
    if host.log_problem:
        raise PowerShellError(host.log_problem)
    newest = sorted(host.events, key=lambda one: one.seconds)
    return [(one, host.now - timedelta(seconds=one.seconds)) for one in newest]


@Register("Get-WinEvent", "FilterHashtable MaxEvents", since=2)
def _events(host: WindowsHost, given: Arguments) -> list[Any]:
    wanted = given["filterhashtable"]
    if wanted["LogName"] != "System":
        raise NotModelled(f"events of {wanted['LogName']}")
    found = []
    for event, at in _logged(host):
        if (
            event.source == wanted["ProviderName"]
            and event.number in wanted["Id"]
            and ("StartTime" not in wanted or at >= wanted["StartTime"])
        ):
            properties = [Object("EventProperty", {"Value": value}) for value in event.strings]
            found.append(Object("EventLogRecord", {"Id": event.number, "TimeCreated": at, "Properties": properties}))
    if not found:
        raise PowerShellError(
            "Es wurden keine Ereignisse gefunden, die den angegebenen Auswahlkriterien entsprechen.",
            "NoMatchingEventsFound,Microsoft.PowerShell.Commands.GetWinEventCommand",
        )
    return found[: int(given.get("maxevents", len(found)))]


@Register("Get-EventLog", "LogName Source After Newest", since=2)
def _event_log(host: WindowsHost, given: Arguments) -> list[Any]:
    """`Newest` alone ends the reading; a source or a time is looked for in the whole log."""
    if "newest" not in given or "source" in given:
        raise PowerShellError("Exception of type 'System.OutOfMemoryException' was thrown.")
    found = []
    for event, at in _logged(host)[: int(given["newest"])]:
        properties = {
            "InstanceId": 0xC0000000 | event.number, "Source": event.source, "TimeGenerated": at,
            "ReplacementStrings": list(event.strings),
        }  # fmt: skip
        found.append(Object("EventLogEntry", properties))
    return found


# -- WinRM's own settings


def _many(value: Any) -> list[str]:
    """A list of texts, which comes as the text alone where there is one."""
    return [str(one) for one in value] if isinstance(value, list) else [str(value)]


@Register("Set-Service", "Name StartupType", since=2, changes=True)
def _set_service(host: WindowsHost, given: Arguments) -> list[Any]:
    if str(given["name"]).lower() != "winrm" or str(given["startuptype"]).lower() != "automatic":
        raise NotModelled(f"Set-Service {given}")
    host.winrm.automatic = True
    return []


@Register("Start-Service", "Name", since=2, changes=True)
def _start_service(host: WindowsHost, given: Arguments) -> list[Any]:
    if [one.lower() for one in _many(given["name"])] != ["winrm"]:
        raise NotModelled(f"Start-Service {given}")
    host.winrm.runs = True
    return []


@Register("New-SelfSignedCertificate", "DnsName CertStoreLocation", since=3, changes=True)
def _new_certificate(host: WindowsHost, given: Arguments) -> list[Any]:
    return winrm.new_certificate(host, _many(given["dnsname"]), str(given["certstorelocation"]))


@Register("Get-WSManInstance", "ResourceURI Enumerate", since=2)
def _get_listeners(host: WindowsHost, given: Arguments) -> list[Any]:
    return winrm.enumerate_listeners(host, str(given["resourceuri"]))


@Register("New-WSManInstance", "ResourceURI SelectorSet ValueSet", since=2, changes=True)
def _new_listener(host: WindowsHost, given: Arguments) -> list[Any]:
    return winrm.write_listener(host, str(given["resourceuri"]), given["selectorset"], given["valueset"], new=True)


@Register("Set-WSManInstance", "ResourceURI SelectorSet ValueSet", since=2, changes=True)
def _set_listener(host: WindowsHost, given: Arguments) -> list[Any]:
    return winrm.write_listener(host, str(given["resourceuri"]), given["selectorset"], given["valueset"], new=False)
