"""IP addresses between text and packed bytes."""

from __future__ import annotations

from ipaddress import ip_address


def pack(text: str) -> bytes | None:
    """4 or 16 bytes, or None where the text is no IP address. A zone (`fe80::1%eth0`) is left out: the interface is
    given beside it."""
    try:
        return ip_address(text.strip().partition("%")[0]).packed
    except ValueError:
        return None


def unpack(packed: bytes) -> str:
    """The usual text form."""
    return str(ip_address(packed))


def no_address(text: str) -> str:
    """The problem with a text that is no IP address."""
    return f"{text!r} is not an IP address."
