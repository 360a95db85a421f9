"""The first contact with a Windows: which of WinRM's two ports answers, how, and what it takes for a login.

Nothing is sent but an empty request without a login; no password is involved.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import time
from collections.abc import Sequence
from threading import Thread

from cryptography import x509

from backends.winrm.certificate import names_of
from backends.winrm.place import HTTP, system_bundle
from dsrwizard.core.model.contact import Contact, Door
from dsrwizard.core.model.foreign import one_line

SECONDS = 3.0
"""For each port: both are tried at once, and a host in the director's own network answers in milliseconds."""
LONGEST = 10.0
"""Seconds for all of it, however slowly a host says what it says."""
_LARGEST = 65_536
_SCHEMES = ("negotiate", "kerberos", "basic", "credssp", "ntlm")


def look_around(address: str, ports: Sequence[int], *, name: str = "", ca_file: str = "") -> Contact:
    """What answers at these ports of a host. Never raises."""
    found = {port: Door(port=port, state="open") for port in ports}  # what one is that never comes to an end

    def look(port: int) -> None:
        found[port] = _door(address, port, name, ca_file)

    threads = [Thread(target=look, args=(port,), daemon=True) for port in ports]
    for thread in threads:
        thread.start()
    end = time.monotonic() + LONGEST
    for thread in threads:
        thread.join(max(end - time.monotonic(), 0.0))
    return Contact(address=address, doors=tuple(found[port] for port in ports))


def _door(address: str, port: int, name: str, ca_file: str) -> Door:
    try:
        sock = socket.create_connection((address, port), timeout=SECONDS)
    except ConnectionRefusedError:
        return Door(port=port, state="refused")
    except TimeoutError:
        return Door(port=port, state="silent")
    except (OSError, UnicodeError):
        return Door(port=port, state="unreachable")
    with sock:
        first = port == HTTP
        found = _spoken(sock, address, port, tls=not first, name=name, ca_file=ca_file)
    if found is not None:
        return found
    # not what the port is usually for: the other way, over a connection of its own
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=SECONDS) as sock:
        found = _spoken(sock, address, port, tls=first, name=name, ca_file=ca_file)
    return found or Door(port=port, state="open")


def _spoken(sock: socket.socket, address: str, port: int, *, tls: bool, name: str, ca_file: str) -> Door | None:
    """None: it does not speak this way."""
    names: tuple[str, ...] = ()
    verified = False
    try:
        if tls:
            sock, names, verified = _over_tls(sock, address, port, name, ca_file)
        schemes, status, product = _asked(sock, address, port)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        sock.close()
    winrm = (status == 401 and bool(schemes)) or product.startswith("Microsoft-HTTPAPI")
    return Door(port=port, state="open", tls=tls, winrm=winrm, schemes=schemes, names=names, verified=verified)


def _over_tls(
    sock: socket.socket, address: str, port: int, name: str, ca_file: str
) -> tuple[socket.socket, tuple[str, ...], bool]:
    """The socket, the names of the certificate, and whether it verifies by name or address. Raises OSError."""
    context = ssl.create_default_context(cafile=ca_file or system_bundle())
    context.check_hostname = False
    try:
        secure: socket.socket = context.wrap_socket(sock, server_hostname=name or address)
        chain = True
    except ssl.SSLCertVerificationError:
        anything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        anything.check_hostname, anything.verify_mode = False, ssl.CERT_NONE
        again = socket.create_connection((address, port), timeout=SECONDS)
        secure, chain = anything.wrap_socket(again, server_hostname=name or address), False
    assert isinstance(secure, ssl.SSLSocket)  # noqa: S101
    names = _names(secure.getpeercert(binary_form=True) or b"")
    return secure, names, chain and bool({name.lower(), address} & {one.lower() for one in names})


def _names(der: bytes) -> tuple[str, ...]:
    try:
        return tuple(one_line(name, 100) for name in names_of(x509.load_der_x509_certificate(der)))[:4]
    except Exception:  # noqa: BLE001 - whatever a parser makes of foreign bytes
        return ()


def _asked(sock: socket.socket, address: str, port: int) -> tuple[tuple[str, ...], int, str]:
    """The schemes that are offered for a login, the status, and what the server calls itself."""
    shown = f"[{address}]" if ":" in address else address
    sock.settimeout(SECONDS)
    sock.sendall(
        f"POST /wsman HTTP/1.1\r\nHost: {shown}:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )
    with http.client.HTTPResponse(sock) as answer:
        answer.begin()
        offered = ",".join(answer.headers.get_all("WWW-Authenticate") or [])[:_LARGEST]
        words = {one.strip().partition(" ")[0].lower() for one in offered.split(",")}
        return tuple(one for one in _SCHEMES if one in words), answer.status, answer.headers.get("Server", "")
