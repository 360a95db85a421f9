"""WMI classes of the model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.windows.host import winrm
from tests.windows.host.model import Adapter
from tests.windows.pwsh import NotModelled, Object, PowerShellError

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost


def instances(host: WindowsHost, name: str, where: str) -> list[Any]:
    """`Get-WmiObject -Class name -Filter where`."""
    match name.lower():
        case "win32_operatingsystem":
            caption = f"Microsoft Windows Server {host.version} Standard"
            properties = {"Version": host.kernel, "Caption": caption, "LastBootUpTime": host.boot}
            return [Object("Win32_OperatingSystem", properties)]
        case "win32_networkadapterconfiguration":
            return [
                _config(host, adapter)
                for adapter in _chosen(host, where, {"interfaceindex": "index", "index": "number"})
            ]
        case "win32_networkadapter":
            return [_adapter(host, adapter) for adapter in _chosen(host, where, {"index": "number"})]
        case "win32_computersystem":
            return [winrm.computer(host)]
        case "win32_process":
            assert where == "Name='powershell.exe'"
            return [
                Object("Win32_Process", {"ProcessId": one.number, "CommandLine": one.line, "CreationDate": one.since})
                for one in [*host.processes, *host.running()]
            ]
        case _:
            raise NotModelled(f"WMI class {name}")


def _chosen(host: WindowsHost, where: str, keys: dict[str, str]) -> list[Adapter]:
    if not where:
        return list(host.adapters)
    key, _, value = where.partition("=")
    if key.lower() == "settingid":
        return [adapter for adapter in host.adapters if adapter.guid.lower() == value.strip("'").lower()]
    if key.lower() not in keys or not value.isdecimal():
        raise NotModelled(f"filter {where}")
    return [adapter for adapter in host.adapters if getattr(adapter, keys[key.lower()]) == int(value)]


def _mask(prefix: int) -> str:
    bits = (0xFFFFFFFF << (32 - prefix)) & 0xFFFFFFFF
    return ".".join(str((bits >> shift) & 255) for shift in (24, 16, 8, 0))


def _config(host: WindowsHost, adapter: Adapter) -> Object:
    def set_netbios(value: int) -> Object:
        if not host.elevated:
            return Object("result", {"ReturnValue": 91})
        host.called("settcpipnetbios")
        if not adapter.addresses:
            return Object("result", {"ReturnValue": 84})  # IP is not enabled on it
        adapter.netbios = int(value)
        host.done("settcpipnetbios")
        return Object("result", {"ReturnValue": 0})

    def set_dns(register: bool, suffix: bool) -> Object:
        if not host.elevated:
            return Object("result", {"ReturnValue": 91})
        host.called("setdynamicdnsregistration")
        if not adapter.addresses:
            return Object("result", {"ReturnValue": 84})
        adapter.register, adapter.suffix = register, suffix
        host.done("setdynamicdnsregistration")
        return Object("result", {"ReturnValue": 0})

    addresses = [] if adapter.disabled else adapter.addresses
    bound = bool(addresses)  # without an address WMI tells nothing of DNS and NetBIOS
    return Object(
        "Win32_NetworkAdapterConfiguration",
        {
            "Index": adapter.number,
            "InterfaceIndex": adapter.index,
            "SettingID": adapter.guid,
            "IPAddress": [one.address for one in addresses] or None,
            "IPSubnet": [str(one.prefix) if ":" in one.address else _mask(one.prefix) for one in addresses] or None,
            "DefaultIPGateway": adapter.gateways or None,
            "GatewayCostMetric": [adapter.route_metric] * len(adapter.gateways) or None,
            "DHCPEnabled": adapter.rows[4].dhcp,
            "FullDNSRegistrationEnabled": adapter.register if bound else None,
            "DomainDNSRegistrationEnabled": adapter.suffix if bound else None,
            "TcpipNetbiosOptions": adapter.netbios if bound else None,
        },
        {"SetTcpipNetbios": set_netbios, "SetDynamicDNSRegistration": set_dns},
    )


def _adapter(host: WindowsHost, adapter: Adapter) -> Object:
    wanted = {"name": adapter.name}

    def put() -> None:
        if not host.elevated:
            raise PowerShellError("Access denied")
        host.called("put")
        adapter.name = wanted["name"]
        host.done("put")

    def assigned(name: str, value: Any) -> None:
        if name.lower() != "netconnectionid":
            raise NotModelled(f"assignment to {name}")
        wanted["name"] = str(value)

    visible = adapter.polls <= 0
    adapter.polls = max(adapter.polls - 1, 0)
    return Object(
        "Win32_NetworkAdapter",
        {
            "Index": adapter.number,
            "NetConnectionID": adapter.name if visible else None,
            "ServiceName": adapter.service,
            "PNPDeviceID": adapter.pnp,
            "MACAddress": adapter.mac.upper(),
            "NetConnectionStatus": 0 if adapter.disabled else 2 if adapter.up else 7,
        },
        {"Put": put, "GetRelated": lambda name: [_config(host, adapter)]},
        assigned,
    )
