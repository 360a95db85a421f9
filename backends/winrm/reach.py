"""The first check of a listener: whether it answers, whether it speaks TLS, and its certificate."""

from __future__ import annotations

import errno
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from backends.winrm.contact import look_around
from backends.winrm.place import HTTP, HTTPS, WinrmListener
from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.errors import ConnectionRefused, ConnectTimeout, HostError, NameUnknown

CONNECT_SECONDS = 10.0
PREPARE = "dsrwizard prepare"
_UNREACHABLE = {
    errno.EHOSTUNREACH: "Nobody answers at this address: no ARP reply, or a router says it is unreachable.",
    errno.ENETUNREACH: "This machine has no route to that network.",
    errno.EACCES: "A local firewall rule blocks the connection.",
    errno.EPERM: "A local firewall rule blocks the connection.",
}
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNKNOWN_PROTOCOL", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE")
_OLD_TLS = (
    "UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE", "WRONG_SSL_VERSION", "HANDSHAKE_FAILURE",
    "DH_KEY_TOO_SMALL", "LEGACY_SIGALG",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ShownCertificate:
    """A certificate as it was shown, in DER; `verified` by the authorities, its name not looked at. `problem` is
    OpenSSL's verify code (X509_verify_cert_error_string(3)) and text where it was not."""

    der: bytes
    verified: bool
    code: int = 0
    problem: str = ""


def wait_until_open(place: WinrmListener) -> None:
    """Returns when the port takes a connection. Raises NameUnknown, ConnectionRefused, ConnectTimeout."""
    _connect(place).close()


def shown_certificate(place: WinrmListener) -> ShownCertificate:
    """The certificate of an HTTPS listener. Raises as `wait_until_open`, and HostError where TLS is old or missing."""
    return judged(partial(_shake_hands, place), place.authorities)


def judged(shake_hands: Callable[[ssl.SSLContext], bytes], authorities: str) -> ShownCertificate:
    """The certificate that a handshake gives in DER. `shake_hands` lets SSLCertVerificationError through.

    The chain is judged apart from the name: OpenSSL looks at the name before it looks at the signatures, so that a
    wrong name alone would say nothing about who signed.
    """
    chain = ssl.create_default_context(cafile=authorities)
    chain.check_hostname = False
    try:
        return ShownCertificate(shake_hands(chain), verified=True)
    except ssl.SSLCertVerificationError as error:
        anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anything.check_hostname = False
        anything.verify_mode = ssl.CERT_NONE
        return ShownCertificate(
            shake_hands(anything), verified=False, code=error.verify_code, problem=error.verify_message
        )


def _shake_hands(place: WinrmListener, context: ssl.SSLContext) -> bytes:
    with _connect(place) as raw:
        try:
            with context.wrap_socket(raw, server_hostname=place.name or place.address) as sock:
                return sock.getpeercert(binary_form=True) or b""
        except ssl.SSLCertVerificationError:
            raise
        except TimeoutError as error:
            raise ConnectTimeout(
                f"{place.host}: {place.at} accepted the connection but did not answer within {CONNECT_SECONDS:g} s.",
                "Its WinRM service hangs, or the port belongs to something else.",
                f"Restart it on that host: Restart-Service WinRM. Its listeners: {place.listener}",
            ) from error
        except (ssl.SSLError, OSError) as error:
            raise no_tls(place, error) from error


def no_tls(place: WinrmListener, error: OSError) -> HostError:
    """What a failed handshake means."""
    reason = str(getattr(error, "reason", "") or "").upper()
    if any(word in reason for word in _NO_TLS):
        return HostError(
            f"{place.host}: {place.at} does not speak TLS.",
            "It is probably WinRM's HTTP listener, or another service's port.",
            f'Correct port, or write winrm = "http" for this server (port {HTTP}; NTLM seals what it sends there).',
        )
    if any(word in reason for word in _OLD_TLS):
        return HostError(
            f"{place.host}: {place.at} and this machine have no TLS version or cipher in common.",
            "Windows Server 2008 and 2008 R2 offer TLS 1.0 only, until TLS 1.2 is turned on there.",
            "Turn on TLS 1.2 on that host (SCHANNEL in the registry, after its updates), or write"
            f' winrm = "http" for this server (port {HTTP}; NTLM seals what it sends there).',
        )
    return HostError(
        f"{place.host}: {place.at} ended the connection in the TLS handshake.",
        "Often the listener's certificate is gone from the host, or its private key cannot be read; otherwise the port"
        " belongs to something else.",
        f"On that host compare {place.listener} with Get-ChildItem Cert:\\LocalMachine\\My.",
    )


def _connect(place: WinrmListener) -> socket.socket:
    begin = time.monotonic()
    try:
        found = socket.getaddrinfo(place.address, place.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameUnknown(
            f"{place.host}: the name “{place.address}” has no address.",
            f"The resolver says: {getattr(error, 'strerror', None) or error}.",
            "Check the name, or write the IP address.",
        ) from error
    failure: OSError = OSError()
    for family, kind, protocol, _, target in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(CONNECT_SECONDS - (time.monotonic() - begin), 0.1))
            sock.connect(target)
        except OSError as error:
            sock.close()
            failure = error
        else:
            sock.settimeout(CONNECT_SECONDS)
            return sock
    others = tuple(port for port in (HTTPS, HTTP) if port != place.port)
    around = look_around(place.address, others, name=place.name, ca_file=place.authorities)
    raise no_connection(place, failure, around) from failure


def no_connection(place: WinrmListener, error: OSError, around: Contact | None = None) -> HostError:
    """What it means that no connection came about. `around`: what the other ports of WinRM answered."""
    beside = "".join(f" {sentence}" for sentence in around.sentences) if around else ""
    if isinstance(error, ConnectionRefusedError):
        return ConnectionRefused(
            f"{place.host}: {place.at} refused the connection.",
            f"The host is there, but WinRM has no listener on that port.{beside}",
            _make_listener(place, around),
        )
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return ConnectTimeout(
            f"{place.host}: {place.at} did not answer within {CONNECT_SECONDS:g} s.",
            "The host is down, or a firewall drops the packets. Windows' firewall drops them for ports without a"
            f" listener, too.{beside}",
            f"Check the address. {_make_listener(place, around)}",
        )
    return ConnectTimeout(
        f"{place.host}: {place.at} cannot be reached.",
        _UNREACHABLE.get(error.errno or 0, f"The system says: {error.strerror or error}."),
        "Check the address and this machine's routes.",
    )


def _make_listener(place: WinrmListener, around: Contact | None) -> str:
    """What to write instead, or how to make that listener."""
    make = f"To make WinRM answer there, paste into PowerShell on it what this prints: {PREPARE}"
    settings = around.settings if around else None
    if settings is None or (settings[2] == "basic" and place.auth != "basic"):
        return f"{make}."
    winrm, port, _ = settings
    sealed = " (NTLM and Kerberos seal what they send there)" if winrm == "http" else ""
    given = f" and port = {port}" if port else " and no port" if place.port not in (HTTP, HTTPS) else ""
    return f'Write winrm = "{winrm}"{given} for this server{sealed}. {make}.'
