"""The director's connection table: who is connected to which real server, as /proc/net/ip_vs_conn tells it.

One line per connection (`ip_vs_conn_seq_show` in the kernel's net/netfilter/ipvs/ip_vs_conn.c): numbers in hexadecimal,
IPv4 addresses as eight digits, IPv6 addresses in eight groups with colons. There is no other way to read it.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal

from backends.netlink import problems
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import Connection

TABLE = Path("/proc/net/ip_vs_conn")
MOST = 100_000
"""Connections read at most. The kernel gives one page at a time and counts from the start for each."""
SECONDS = 1.0
"""How long reading may take, for the same reason."""

_PROTOCOLS: dict[str, Literal["tcp", "udp"]] = {"TCP": "tcp", "UDP": "udp"}


def connections(table: Path = TABLE) -> list[Connection]:
    """The connections of the table, the first `MOST` of them. Raises LookError where it cannot be read."""
    try:
        with table.open("rb", buffering=0) as file:
            return list(parse(_lines(file.fileno())))
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise LookError("The connections of IPVS could not be read.", problems.NOT_LOADED, problems.LOAD) from error
        raise LookError(
            "The connections of IPVS could not be read.", f"{table}: {error.strerror}.", problems.AS_ROOT
        ) from error


def _lines(descriptor: int) -> Iterator[str]:
    """Whole lines, until the bounds are reached. Raises OSError."""
    end = time.monotonic() + SECONDS
    left, rest = MOST, b""
    while left > 0 and time.monotonic() < end:
        data = os.read(descriptor, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        for line in lines[:left]:
            yield line.decode("ascii", "replace")
        left -= len(lines)


def parse(lines: Iterable[str]) -> Iterator[Connection]:
    """Connections in the lines of the table; the heading and lines of another form are passed over, and so are
    templates of persistence: they have no client port and are no connections."""
    for line in lines:
        fields = line.split()
        protocol = _PROTOCOLS.get(fields[0]) if len(fields) >= 9 else None
        if protocol is None:
            continue
        try:
            client, vip, address = map(_address, fields[1:6:2])
            client_port, port, dest_port = (_hex(text, 4) for text in fields[2:7:2])
            expires = int(fields[8]) if fields[8].isascii() else -1
        except ValueError:
            continue
        if not client_port or expires < 0:
            continue
        yield Connection(
            protocol=protocol, client=client, client_port=client_port, vip=vip, port=port, address=address,
            dest_port=dest_port, state=fields[7], expires=expires,
        )  # fmt: skip


def _address(text: str) -> str:
    """`0A00000A` is 10.0.0.10 (most significant byte first), `fd00:0000:…` an IPv6 address. Raises ValueError."""
    return str(IPv6Address(text)) if ":" in text else str(IPv4Address(_hex(text, 8)))


def _hex(text: str, digits: int) -> int:
    if len(text) != digits or not text.isalnum():  # int() would take signs and underscores
        raise ValueError(text)
    return int(text, 16)
