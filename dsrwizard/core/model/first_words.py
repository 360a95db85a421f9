"""The first words of protocols: what makes an application say something, where it does not speak first."""

from __future__ import annotations

import struct

HTTP_PORTS = frozenset({80, 81, 591, 5985, 8000, 8008, 8080, 8081, 8088, 8888, 9090, 9200})
TLS_PORTS = frozenset({443, 465, 563, 636, 853, 989, 990, 992, 993, 995, 2376, 3269, 5061, 5986, 6443, 8443, 9443})
_DNS_PORT, _LDAP_PORTS, _POSTGRES_PORT, _REDIS_PORT, _RDP_PORT = 53, frozenset({389, 3268}), 5432, 6379, 3389
GREETS = frozenset({21, 22, 25, 110, 119, 143, 587, 2525, 3306, 5900})
"""Ports whose application speaks first: FTP, SSH, SMTP, POP3, NNTP, IMAP, MySQL, VNC."""


def first_words(port: int, address: str) -> tuple[str, bytes]:
    """The protocol that a TCP port is for and a request in it, which changes nothing; empty where it is waited for a
    greeting. `address` is the VIP."""
    if port in HTTP_PORTS:
        host = f"[{address}]" if ":" in address else address
        return "HTTP", (
            f"HEAD / HTTP/1.0\r\nHost: {host}\r\nUser-Agent: dsrwizard\r\nConnection: close\r\n\r\n"
        ).encode()  # fmt: skip
    if port in TLS_PORTS:
        return "TLS", client_hello()
    if port == _DNS_PORT:  # the name servers of the root, with recursion desired
        return "DNS", bytes.fromhex("0011d5a10100000100000000000000" + "00020001")
    if port in _LDAP_PORTS:  # an anonymous bind
        return "LDAP", bytes.fromhex("300c020101600702010304008000")
    if port == _POSTGRES_PORT:  # SSLRequest
        return "PostgreSQL", bytes.fromhex("0000000804d2162f")
    if port == _REDIS_PORT:
        return "Redis", b"PING\r\n"
    if port == _RDP_PORT:  # an X.224 connection request
        return "RDP", bytes.fromhex("030000130ee000000000000100080003000000")
    return "", b""


def client_hello() -> bytes:
    """A ClientHello of TLS 1.2 that servers of TLS 1.3 answer, too, be it with an alert (RFC 8446 4.1.2)."""
    suites = struct.pack("!8H", 0xC02B, 0xC02F, 0xC02C, 0xC030, 0x009C, 0x009D, 0x002F, 0x0035)
    groups = struct.pack("!4H", 0x001D, 0x0017, 0x0018, 0x0019)
    signatures = struct.pack("!8H", 0x0403, 0x0503, 0x0603, 0x0804, 0x0805, 0x0401, 0x0501, 0x0201)
    extensions = b"".join(
        struct.pack("!HH", kind, len(body)) + body
        for kind, body in (
            (10, struct.pack("!H", len(groups)) + groups),
            (11, b"\x01\x00"),
            (13, struct.pack("!H", len(signatures)) + signatures),
        )
    )
    body = b"\x03\x03" + bytes(range(32)) + b"\x00" + struct.pack("!H", len(suites)) + suites + b"\x01\x00"
    body += struct.pack("!H", len(extensions)) + extensions
    handshake = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + struct.pack("!H", len(handshake)) + handshake
