"""Values in a host's answer, of whatever system, each taken only as what it can be."""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address

from dsrwizard.core.model.foreign import one_line

parsed = lru_cache(maxsize=65536)(ip_address)
"""An address for comparison, however it is written. Kept, because every check of every server compares."""
SHOWN = 60
"""Characters of a value in a sentence about it."""


@lru_cache(maxsize=65_536)
def canonical(address: str) -> str:
    """One spelling per address (`fd00:0::1` and `fd00::1` are the same)."""
    return str(ip_address(address))


def endpoint(address: str, port: int) -> str:
    """`10.0.0.1:80`, `[fd00::1]:80`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Impossible(ValueError):
    """A value that no host has there; the text says what it was to be, and quotes it harmlessly."""

    def __init__(self, what: str, value: object) -> None:
        super().__init__(f"{shown(value)} is not a valid {what}")


def shown(value: object) -> str:
    """A value out of JSON for a sentence: short, on one line, with nothing in it that acts."""
    match value:
        case str():
            return f"“{one_line(value, SHOWN)}”"
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return one_line(str(value), SHOWN)
        case dict():
            return "an object"
        case _:
            return "a list"


def address(value: object) -> str:
    """An IPv4 or IPv6 address in one spelling; the zone that may follow it says only where it is.

    The length comes first: a parser of addresses need not see a megabyte.
    """
    if isinstance(value, str):
        plain = value.partition("%")[0]
        if len(plain) <= 45 and plain.isascii():
            try:
                return str(ip_address(plain))
            except ValueError:
                pass
    raise Impossible("address", value)


def prefix(value: object, address: str) -> int:
    """The length of a prefix of this address."""
    longest = parsed(address).max_prefixlen
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= longest:
        return value
    raise Impossible(f"prefix length of {address} (0 to {longest})", value)


_MACHINE = re.compile(r"[0-9a-f]{32}")
_GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def machine_id(text: str) -> str:
    """The content of /etc/machine-id where it is one: 32 hexadecimal digits in lower case, not all zero
    (machine-id(5)). Empty for anything else: a system that has not started yet says `uninitialized` there."""
    return text if _MACHINE.fullmatch(text) and text.strip("0") else ""


def machine_guid(text: str) -> str:
    """MachineGuid of HKLM\\SOFTWARE\\Microsoft\\Cryptography where it is one, in lower case; otherwise empty."""
    plain = text.strip().strip("{}").lower() if len(text) <= SHOWN else ""
    return plain if _GUID.fullmatch(plain) and plain.strip("0-") else ""
