"""The registry and the few files that scripts ask for, derived from the model's state."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.windows.pwsh import NotModelled, Object, PowerShellError, wildcard

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

SERVICES = "hklm:\\system\\currentcontrolset\\services\\"
RESTRICTIONS = r"hklm:\software\policies\microsoft\windows\deviceinstall\restrictions"
CRYPTOGRAPHY = r"hklm:\software\microsoft\cryptography"
HTTP = SERVICES + "http\\parameters"
CERTIFICATES = HTTP + "\\sslbindinginfo"
SNI = HTTP + "\\sslsnibindinginfo"
CENTRAL = HTTP + "\\sslccsbindinginfo"
TCPIP = SERVICES + "tcpip\\parameters\\interfaces\\"
DEVICES = r"hklm:\system\currentcontrolset\enum\root\net"
NETBT = SERVICES + "netbt\\parameters\\interfaces\\tcpip_"


SWITCHES = (
    "AllowAdminInstall", "AllowDenyLayered", "AllowDeviceClasses", "AllowDeviceIDs", "DenyDeviceClasses",
    "DenyDeviceClassesRetroactive", "DenyDeviceIDs", "DenyDeviceIDsRetroactive", "DenyUnspecified",
)  # fmt: skip
_OF_CERTIFICATES = (
    "SslCertHash", "SslCertStoreName", "DefaultFlags", "DefaultSslCertCheckMode", "DefaultSslRevocationFreshnessTime",
    "DefaultSslRevocationUrlRetrievalTimeout", "DefaultSslCtlIdentifier", "DefaultSslCtlStoreName",
)  # fmt: skip


class _Item(Object):
    """A key's values; one that is not set is nothing."""

    def __init__(self, values: dict[str, Any], known: tuple[str, ...]) -> None:
        super().__init__("registry key", dict.fromkeys(known) | values)


def exists(host: WindowsHost, path: str) -> bool:
    """`Test-Path`."""
    lower = path.lower()
    if lower == CRYPTOGRAPHY:
        return True
    if lower == RESTRICTIONS:
        return bool(_policies(host))
    if lower in (SNI, CENTRAL):
        return bool(host.sni_certificates if lower == SNI else host.central_store)
    if lower.startswith((SNI + "\\", CENTRAL + "\\")):
        return True
    if lower == HTTP:
        return True
    if lower == CERTIFICATES:
        return bool(host.certificates)
    if lower.startswith(CERTIFICATES + "\\"):
        return lower.removeprefix(CERTIFICATES + "\\") in {key.lower() for key in host.certificates}
    if lower == DEVICES:
        return bool(_devices(host))
    if lower.startswith(DEVICES + "\\"):
        return lower.rpartition("\\")[2] in _devices(host)
    if lower.startswith(NETBT):
        return any(adapter.guid.lower() == lower.removeprefix(NETBT) for adapter in host.adapters)
    if lower.startswith(TCPIP):
        return any(adapter.guid.lower() == lower.removeprefix(TCPIP) for adapter in host.adapters)
    if lower.startswith(NETBT):
        return any(adapter.guid.lower() == lower.removeprefix(NETBT) for adapter in host.adapters)
    if lower == r"c:\windows\system32\inetsrv\appcmd.exe":
        return host.sites is not None
    raise NotModelled(f"path {path}")


def _devices(host: WindowsHost) -> dict[str, list[str]]:
    """Devices below ROOT\\NET → their hardware ids: those of our own, and loopback adapters of others."""
    found = {device.id[-4:]: device.hardware for device in host.devices}
    others = [adapter for adapter in host.adapters if adapter.pnp.upper().startswith("ROOT\\NET\\")]
    return {adapter.pnp[-4:]: [adapter.component] for adapter in others} | found


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
    if lower == CRYPTOGRAPHY:
        return _Item({"MachineGuid": host.guid} if host.guid else {}, ("MachineGuid",))
    if lower == RESTRICTIONS:
        return _Item(_policies(host), SWITCHES)
    if lower == HTTP:
        return _Item({"ListenOnlyList": list(host.listen)} if host.listen else {}, ("ListenOnlyList",))
    if lower.startswith(CERTIFICATES + "\\"):
        wanted = lower.removeprefix(CERTIFICATES + "\\")
        key, entry = next((k, v) for k, v in host.certificates.items() if k.lower() == wanted)
        return _certificate(entry, host.certificate_values.get(key, {}))
    if lower.startswith(DEVICES + "\\"):
        return _Item({"HardwareID": _devices(host)[lower.rpartition("\\")[2]]}, ("HardwareID",))
    if lower.startswith(SNI + "\\"):
        return _certificate(host.sni_certificates[lower.removeprefix(SNI + "\\")], {})
    if lower.startswith(CENTRAL + "\\"):
        return _certificate(("", "{4dc3e181-e14b-4a21-b022-59fc669b0914}", ""), {})
    if lower.startswith(NETBT):
        adapter = next(one for one in host.adapters if one.guid.lower() == lower.removeprefix(NETBT))
        return _Item({"NetbiosOptions": adapter.netbios}, ())
    adapter = next(one for one in host.adapters if one.guid.lower() == lower.removeprefix(TCPIP))
    fixed = [one.address for one in adapter.addresses if one.persistent and ":" not in one.address]
    kept = {"RegistrationEnabled": int(adapter.register), "RegisterAdapterName": int(adapter.suffix)}
    return _Item(({"IPAddress": fixed} if fixed else {}) | kept, ("IPAddress",))


def _certificate(entry: tuple[str, str, str], more: dict[str, Any]) -> Object:
    """An entry's values; what is not set is not there, as the name of the store with plain `netsh`."""
    thumbprint, application, store = entry
    values: dict[str, Any] = {"AppId": application} | more
    if store:
        values["SslCertStoreName"] = store
    if thumbprint:  # an entry of the central store has none
        values["SslCertHash"] = bytes.fromhex(thumbprint)
    return _Item(values, _OF_CERTIFICATES)


def _policies(host: WindowsHost) -> dict[str, Any]:
    return host.policies | ({host.restriction: 1} if host.restriction else {})


class _Key(Object):
    """A registry key with its values."""

    def __init__(self, name: str, values: dict[str, str]) -> None:
        methods: dict[str, Callable[..., Any]] = {
            "GetValueNames": lambda: list(values),
            "GetValue": lambda wanted: values[wanted],
        }
        super().__init__("RegistryKey", {"PSChildName": name}, methods)


def children(host: WindowsHost, path: str) -> list[Object]:
    """`Get-ChildItem`."""
    match path.lower():
        case lower if lower == CERTIFICATES:
            return [_Key(name, {}) for name in host.certificates]
        case lower if lower == SNI:
            return [_Key(name, {}) for name in host.sni_certificates]
        case lower if lower == CENTRAL:
            return [_Key(name, {}) for name in host.central_store]
        case lower if lower == RESTRICTIONS:
            lists = dict(host.policy_lists)
            if host.restriction == "DenyDeviceIDs":
                lists.setdefault("DenyDeviceIDs", ["*MSLOOP"])
            if host.restriction == "DenyDeviceClasses":
                lists.setdefault("DenyDeviceClasses", ["{4d36e972-e325-11ce-bfc1-08002be10318}"])
            return [_Key(name, {str(n): one for n, one in enumerate(found, 1)}) for name, found in lists.items()]
        case lower if lower == DEVICES:
            return [_Key(name, {}) for name in _devices(host)]
        case _:
            raise NotModelled(f"children of {path}")


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
