"""Static .NET members that scripts call, and the classes they bring themselves by Add-Type."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.windows.host import files
from tests.windows.host.model import Row
from tests.windows.pwsh import NotModelled, Object, PowerShellError, Static, Version

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost


def static(host: WindowsHost, name: str) -> Static:
    """`[name]`."""
    match name.lower():
        case "intptr":
            return Static(name, {"Size": 4 if host.wow64 else 8})
        case "environment":
            version = Version(int(part) for part in host.kernel.split("."))
            return Static(name, {"OSVersion": Object("OperatingSystem", {"Version": version})})
        case "security.principal.windowsidentity":
            return Static(name, {"GetCurrent": lambda: Object("WindowsIdentity", {})})
        case "net.networkinformation.ipglobalproperties":
            return Static(name, {"GetIPGlobalProperties": lambda: _properties(host)})
        case "net.networkinformation.networkinterface":
            return Static(name, {"GetAllNetworkInterfaces": lambda: [_pseudo(host)]})
        case "io.file":
            return files.file(host)
        case "io.directory":
            return files.directory(host)
        case "diagnostics.stopwatch":
            return Static(name, {"GetTimestamp": lambda: round(host.uptime * 1000), "Frequency": 1000})
        case "dsrloopback" if host.has_class("DsrLoopback"):
            return Static(name, {"Register": host.register, "Bind": host.bind, "Remove": host.remove})
        case "dsrinterface" if host.has_class("DsrInterface"):
            return Static(name, {"Read": lambda family, index: _row(host, family, index)})
        case "dsrloopback" | "dsrinterface":
            raise PowerShellError(f"Unable to find type [{name}].")
        case _:
            raise NotModelled(f"type [{name}]")


def _end(address: str, port: int) -> Object:
    return Object("IPEndPoint", {"Address": address, "Port": port})


def _properties(host: WindowsHost) -> Object:
    listening = [one for one in host.listening() if host.modern or ":" not in one[1]]  # .NET 2.0 knows IPv4 only

    def connections() -> list[Any]:
        return [
            Object(
                "TcpConnectionInformation",
                {"State": 4, "LocalEndPoint": _end(vip, port), "RemoteEndPoint": _end(client, client_port)},
            )
            for vip, port, client, client_port in host.half_open
        ]

    return Object(
        "IPGlobalProperties",
        {},
        {
            "GetActiveTcpListeners": lambda: [_end(a, p) for kind, a, p in listening if kind == "tcp"],
            "GetActiveUdpListeners": lambda: [_end(a, p) for kind, a, p in listening if kind == "udp"],
            "GetActiveTcpConnections": connections,
        },
    )


def _pseudo(host: WindowsHost) -> Object:
    masks = {32: "255.255.255.255", 8: "255.0.0.0"}
    entries = [
        Object("UnicastIPAddressInformation", {"Address": one.address, "IPv4Mask": masks.get(one.prefix, "0.0.0.0")})
        for one in host.pseudo.addresses
    ]
    properties = Object("IPInterfaceProperties", {"UnicastAddresses": entries})
    return Object("NetworkInterface", {"NetworkInterfaceType": 24}, {"GetIPProperties": lambda: properties})


def _row(host: WindowsHost, family: int, index: int) -> list[int]:
    host.called("getipinterfaceentry", changing=False)
    for adapter in [*host.adapters, host.pseudo]:
        if adapter.index == index:
            if adapter.polls > 0:  # the IP stack has not learnt of it yet
                adapter.polls -= 1
                return []
            row: Row | None = adapter.rows.get({2: 4, 23: 6}[family])
            if row is None:
                return []
            flags = [int(row.weak_receive), int(row.weak_send), int(row.automatic)]
            return [*flags, row.dad, row.metric, row.router_discovery]
    return []
