"""Where and how a Windows host is reached, and what is refused before anything is sent."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

from backends.winrm.gssapi import LIBRARY, Missing, library
from dsrwizard.core.model.deployment import Auth, RealServer
from dsrwizard.core.model.errors import HostError
from dsrwizard.core.ports import CertificateOf

HTTPS, HTTP = 5986, 5985
"""The ports of WinRM 2.0 and later."""
DEFAULT_USER = "Administrator"
"""The built-in account (S-1-5-21-…-500) on English servers; on others it has another name."""
TICKET_USER = "the account of the ticket at hand"
_SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")


@dataclass(frozen=True, slots=True)
class WinrmListener:
    """A WinRM listener. `host` is the name in messages; `authorities` the file of certificates that are trusted."""

    host: str
    address: str
    port: int
    tls: bool
    user: str
    auth: Auth
    ca_file: Path | None
    authorities: str
    name: str = ""
    """What certificate and Kerberos call it, where that is known."""
    services: tuple[str, ...] = ("WSMAN", "HTTP")
    """Whom a Kerberos ticket is for, in the order in which they are tried."""
    user_given: bool = True

    @property
    def url(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'https' if self.tls else 'http'}://{shown}:{self.port}/wsman"

    @property
    def at(self) -> str:
        """Address and port, for messages."""
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown} port {self.port}"

    @property
    def certificate_of(self) -> CertificateOf:
        """Which command prints the fingerprints of its certificates."""
        return "windows"

    @property
    def by_name(self) -> str:
        """The key of a server for the name in its certificate."""
        return "dns_name"

    @property
    def listener(self) -> str:
        """The command that shows on the host which listeners there are."""
        return "winrm enumerate winrm/config/listener"


def listener_of(host: str, server: RealServer) -> WinrmListener:
    """Raises HostError for what would send a password or a script where others can read it, and for a bad ca_file."""
    tls = server.winrm == "https"
    if not tls and server.auth == "basic":
        raise HostError(
            f"{host}: Basic authentication over HTTP is refused.",
            "It sends the password and every script in clear text.",
            'Write winrm = "https" for this server, or auth = "ntlm", which also seals its messages over HTTP.',
        )
    if server.auth == "kerberos" and not _has_kerberos():
        raise HostError(
            f"{host}: Kerberos cannot be used on this machine.",
            f"MIT's Kerberos library ({LIBRARY}) is not installed.",
            'Install it: apt install libgssapi-krb5-2 krb5-user. Or write auth = "ntlm".',
        )
    ca_file = Path(server.ca_file).expanduser() if server.ca_file else None
    return WinrmListener(
        host=host,
        address=server.address,
        port=server.port or (HTTPS if tls else HTTP),
        tls=tls,
        user=server.user or (TICKET_USER if server.auth == "kerberos" else DEFAULT_USER),
        user_given=bool(server.user),
        auth=server.auth,
        ca_file=ca_file,
        authorities=_usable(host, ca_file) if ca_file else system_bundle(),
        name=(server.dns_name or "").rstrip(".").lower(),
        services=(server.kerberos_service,) if server.kerberos_service else ("WSMAN", "HTTP"),
    )


def _has_kerberos() -> bool:
    try:
        library()
    except Missing:
        return False
    return True


def _usable(host: str, ca_file: Path) -> str:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(str(ca_file))
    except OSError as error:  # ssl.SSLError is one
        why = "It holds no certificate in PEM form" if isinstance(error, ssl.SSLError) else error.strerror or str(error)
        raise HostError(
            f"{host}: the CA file {ca_file} cannot be used.",
            f"{why}.",
            "Correct ca_file of this server: the certificate of the authority that signed the server's, in PEM form.",
        ) from error
    return str(ca_file)


def system_bundle() -> str:
    """This system's trusted authorities, which the organisation's own may be among; else those that requests brings."""
    for candidate in (ssl.get_default_verify_paths().cafile, *_SYSTEM_BUNDLES):
        if candidate and Path(candidate).is_file():
            return candidate
    from requests.utils import DEFAULT_CA_BUNDLE_PATH

    return DEFAULT_CA_BUNDLE_PATH
