"""The registry and the few files that scripts ask for, derived from the model's state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.windows.pwsh import NotModelled, Object, PowerShellError, wildcard

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

SERVICES = "hklm:\\system\\currentcontrolset\\services\\"
RESTRICTIONS = r"hklm:\software\policies\microsoft\windows\deviceinstall\restrictions"
HTTP = SERVICES + "http\\parameters"
CERTIFICATES = HTTP + "\\sslbindinginfo"
TCPIP = SERVICES + "tcpip\\parameters\\interfaces\\"
NETBT = SERVICES + "netbt\\parameters\\interfaces\\tcpip_"


class _Item(Object):
    """A key's values; one that is not set is nothing."""

    def __init__(self, values: dict[str, Any], known: tuple[str, ...]) -> None:
        super().__init__("registry key", dict.fromkeys(known) | values)


def exists(host: WindowsHost, path: str) -> bool:
    """`Test-Path`."""
    lower = path.lower()
    if lower == RESTRICTIONS:
        return bool(host.restriction)
    if lower == HTTP:
        return True
    if lower == CERTIFICATES:
        return bool(host.certificates)
    if lower.startswith(CERTIFICATES + "\\"):
        return lower.removeprefix(CERTIFICATES + "\\") in {key.lower() for key in host.certificates}
    if lower.startswith(TCPIP):
        return any(adapter.guid.lower() == lower.removeprefix(TCPIP) for adapter in host.adapters)
    if lower == r"c:\windows\system32\inetsrv\appcmd.exe":
        return host.sites is not None
    raise NotModelled(f"path {path}")


def matching(host: WindowsHost, path: str) -> list[str]:
    """What `-Path` finds: the path itself, or the certificates' keys that a pattern matches."""
    if not set(path) & set("*?["):
        return [path]
    keys = [CERTIFICATES + "\\" + name for name in host.certificates]
    return [key for key in keys if wildcard(path).match(key)]


def item(host: WindowsHost, path: str) -> Object:
    """`Get-ItemProperty`."""
    if not exists(host, path):
        raise PowerShellError(f"Cannot find path '{path}' because it does not exist.")
    lower = path.lower()
    if lower == RESTRICTIONS:
        return _Item({host.restriction: 1}, ("DenyUnspecified", "DenyDeviceIDs", "DenyDeviceClasses"))
    if lower == HTTP:
        return _Item({"ListenOnlyList": list(host.listen)} if host.listen else {}, ("ListenOnlyList",))
    if lower.startswith(CERTIFICATES + "\\"):
        wanted = lower.removeprefix(CERTIFICATES + "\\")
        thumbprint, application, store = next(v for k, v in host.certificates.items() if k.lower() == wanted)
        values: dict[str, Any] = {"AppId": application, "SslCertStoreName": store}
        if thumbprint:  # an entry of the central store has none
            values["SslCertHash"] = bytes.fromhex(thumbprint)
        return _Item(values, ("SslCertHash",))
    adapter = next(one for one in host.adapters if one.guid.lower() == lower.removeprefix(TCPIP))
    fixed = [one.address for one in adapter.addresses if one.persistent and ":" not in one.address]
    return _Item({"IPAddress": fixed} if fixed else {}, ("IPAddress",))


def children(host: WindowsHost, path: str) -> list[str]:
    """`Get-ChildItem`."""
    if path.lower() != CERTIFICATES:
        raise NotModelled(f"children of {path}")
    return list(host.certificates)


def write(host: WindowsHost, path: str, name: str, value: Any) -> None:
    """`Set-ItemProperty`."""
    lower = path.lower()
    for adapter in host.adapters:
        if lower == NETBT + adapter.guid.lower() and name == "NetbiosOptions":
            adapter.netbios = int(value)
            return
        if lower == TCPIP + adapter.guid.lower() and name in ("RegistrationEnabled", "RegisterAdapterName"):
            if name == "RegistrationEnabled":
                adapter.register = bool(value)
            else:
                adapter.suffix = bool(value)
            return
    raise NotModelled(f"writing {path} {name}")
