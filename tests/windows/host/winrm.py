"""What makes a host reachable by WinRM: the service, its listeners, and the certificates in the machine's own store."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tests.windows.pwsh import NotModelled, Object, PowerShellError

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

STORE = r"cert:\localmachine\my"
SERVER = "1.3.6.1.5.5.7.3.1"
LISTENERS = "winrm/config/listener"


@dataclass
class OwnCertificate:
    """A certificate in `LocalMachine\\My`. `issuer` empty: signed by itself."""

    name: str
    issuer: str = ""
    key: bool = True
    usages: tuple[str, ...] = (SERVER,)
    begins: datetime = datetime(2025, 1, 1)
    ends: datetime = datetime(2030, 1, 1)

    @property
    def raw(self) -> bytes:
        return f"{self.name} {self.issuer} {self.ends}".encode()

    @property
    def thumbprint(self) -> str:
        return hashlib.sha1(self.raw).hexdigest().upper()  # noqa: S324 - that is what Windows calls so


@dataclass
class Winrm:
    """The service and its settings. `listeners`: transport → (address, values)."""

    domain: str = ""
    runs: bool = True
    automatic: bool = True
    listeners: dict[str, tuple[str, dict[str, str]]] = field(default_factory=dict)
    certificates: list[OwnCertificate] = field(default_factory=list)

    def needs_service(self) -> None:
        if not self.runs:
            raise PowerShellError("The client cannot connect to the destination specified in the request.")


def fresh(modern: bool) -> Winrm:
    """As Windows is installed: from 2012 on the service runs, with a listener for HTTP."""
    listeners = {"HTTP": ("*", {"Port": "5985"})} if modern else {}
    return Winrm(runs=modern, automatic=modern, listeners=listeners)


def computer(host: WindowsHost) -> Object:
    """`Win32_ComputerSystem`."""
    domain = host.winrm.domain
    return Object(
        "Win32_ComputerSystem",
        {"DNSHostName": "WIN1", "Domain": domain or "WORKGROUP", "PartOfDomain": bool(domain)},
    )


def certificates(host: WindowsHost) -> list[Any]:
    """`Get-ChildItem Cert:\\LocalMachine\\My`; the lists of names and usages came with PowerShell 3.0."""
    return [_shown(host, one) for one in host.winrm.certificates]


def _shown(host: WindowsHost, one: OwnCertificate) -> Object:
    properties: dict[str, Any] = {
        "Thumbprint": one.thumbprint,
        "HasPrivateKey": one.key,
        "NotBefore": one.begins,
        "NotAfter": one.ends,
        "Subject": f"CN={one.name}",
        "Issuer": one.issuer or f"CN={one.name}",
        "RawData": one.raw,
    }
    if host.modern:
        properties["DnsNameList"] = [Object("DnsNameRepresentation", {"Unicode": one.name, "Punycode": one.name})]
        properties["EnhancedKeyUsageList"] = [
            Object("EnhancedKeyUsageRepresentation", {"ObjectId": usage, "FriendlyName": ""}) for usage in one.usages
        ]
    return Object("X509Certificate2", properties)


def new_certificate(host: WindowsHost, names: list[str], store: str) -> list[Any]:
    """`New-SelfSignedCertificate`."""
    if store.lower() != STORE:
        raise NotModelled(f"store {store}")
    made = OwnCertificate(names[0], begins=host.now, ends=host.now + timedelta(days=365))
    host.winrm.certificates.append(made)
    return [_shown(host, made)]


def enumerate_listeners(host: WindowsHost, resource: str) -> list[Any]:
    """`Get-WSManInstance -Enumerate`."""
    host.winrm.needs_service()
    _known(resource)
    return [
        Object("XmlElement", {"Transport": transport, "Address": address} | _all(values))
        for transport, (address, values) in host.winrm.listeners.items()
    ]


def _all(values: dict[str, str]) -> dict[str, str]:
    return {"Port": "", "Hostname": "", "CertificateThumbprint": "", "Enabled": "true"} | values


def write_listener(host: WindowsHost, resource: str, which: Any, values: Any, *, new: bool) -> list[Any]:
    """`New-WSManInstance` and `Set-WSManInstance`."""
    winrm = host.winrm
    winrm.needs_service()
    _known(resource)
    transport, address = str(which["Transport"]).upper(), str(which["Address"])
    known = winrm.listeners.get(transport)
    if new and known is not None:
        raise PowerShellError("The WS-Management service cannot create the resource because it already exists.")
    if not new and (known is None or known[0] != address):
        raise PowerShellError("The service cannot find the resource identified by the resource URI and selectors.")
    given = {str(key): str(value) for key, value in values.items()}
    if transport == "HTTPS":
        _suits(host, given)
    winrm.listeners[transport] = (address, given)
    return [Object("XmlElement", {"ResourceCreated": base64.b64encode(transport.encode()).decode()})]


def _known(resource: str) -> None:
    if resource.lower() != LISTENERS:
        raise NotModelled(f"resource {resource}")


def _suits(host: WindowsHost, given: dict[str, str]) -> None:
    """What WinRM refuses to listen with: a certificate that it has not, or that is over, or for another name."""
    found = [one for one in host.winrm.certificates if one.thumbprint == given.get("CertificateThumbprint", "").upper()]
    if not found or not found[0].key or SERVER not in found[0].usages or found[0].ends <= host.now:
        raise PowerShellError(
            "Cannot create a WinRM listener on HTTPS because this machine does not have an appropriate certificate."
        )
    if found[0].name.lower() != given.get("Hostname", "").lower():
        raise PowerShellError("The certificate CN does not match the hostname.")
