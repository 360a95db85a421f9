"""Messages sealed for one connection, as WinRM wraps them (MS-WSMV 2.2.9.1), and what a login binds to."""

from __future__ import annotations

import hashlib
import re
import struct
from typing import Any

from cryptography import x509

from tests.windows.acceptor import Acceptor

SEALED = "application/HTTP-SPNEGO-session-encrypted"
_BOUNDARY = b"--Encrypted Boundary"


def unseal(context: Any, body: bytes) -> bytes:
    """The message, by an NTLM context or the Acceptor of a ticket. Raises for what was not sealed by it."""
    head, _, rest = body.partition(b"\tContent-Type: application/octet-stream\r\n")
    found = re.search(rb"Length=(\d+)", head)
    assert found is not None
    data = rest[: rest.rindex(_BOUNDARY)]
    (size,) = struct.unpack("<i", data[:4])
    header, sealed = data[4 : 4 + size], data[4 + size :]
    by_ticket = isinstance(context, Acceptor)
    plain: bytes = context.unwrap(sealed, header) if by_ticket else context.unwrap_winrm(header, sealed)
    assert len(plain) == int(found[1])
    return plain


def seal(context: Any, answer: bytes) -> bytes:
    """The answer as it goes out."""
    if isinstance(context, Acceptor):
        data, header = context.wrap(answer)
    else:
        wrapped = context.wrap_winrm(answer)
        data, header = wrapped.data, wrapped.header
    return b"\r\n".join(
        (
            _BOUNDARY,
            b"\tContent-Type: " + SEALED.encode(),
            b"\tOriginalContent: type=application/soap+xml;charset=UTF-8;Length=%d" % len(answer),
            _BOUNDARY,
            b"\tContent-Type: application/octet-stream",
            struct.pack("<i", len(header)) + header + data + _BOUNDARY + b"--",
            b"",
        )
    )


def claimed(token: bytes) -> str:
    """The user name in an NTLM authenticate message (MS-NLMP 2.2.1.3)."""
    length, _, offset = struct.unpack("<HHI", token[36:44])
    return token[offset : offset + length].decode("utf-16-le", "replace")


def end_point(certificate: bytes) -> bytes:
    """The channel binding of a certificate (RFC 5929, section 4.1)."""
    algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    name = algorithm.name if algorithm is not None and algorithm.name not in ("md5", "sha1") else "sha256"
    return b"tls-server-end-point:" + hashlib.new(name, certificate).digest()
