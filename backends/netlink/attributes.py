"""Netlink messages and attributes out of raw bytes, with every length checked.

Nothing here trusts a length field: what does not fit raises AnswerUnreadable, never an IndexError or struct.error.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from struct import Struct

from backends.netlink.numbers import NLA_TYPE_MASK
from dsrwizard.core.model.errors import AnswerUnreadable

Span = tuple[int, int]
"""Start and end of an attribute's value in the buffer."""

MESSAGE = Struct("=IHHII")
GENL_HEADER = 20
"""Bytes before a generic netlink message's attributes: netlink header (16) and genl header (4)."""

_ATTRIBUTE = Struct("=HH")


def unreadable(detail: str) -> AnswerUnreadable:
    """The error for bytes that are not what the kernel's interface describes."""
    return AnswerUnreadable(
        "IPVS could not be read.",
        f"The kernel's answer is not understood: {detail}.",
        "Compare with `ipvsadm -Ln`, and report this with the output of `uname -r`.",
    )


def messages(data: bytes, start: int = 0) -> Iterator[tuple[int, int, int, int]]:
    """(type, sequence number, start, end) of each netlink message from `start` on."""
    size = len(data)
    while start < size:
        if size - start < MESSAGE.size:
            raise unreadable(f"{size - start} bytes after the last message")
        length, kind, _flags, sequence, _port = MESSAGE.unpack_from(data, start)
        if length < MESSAGE.size or start + length > size:
            raise unreadable(f"a message of {length} bytes with {size - start} left")
        yield kind, sequence, start, start + length
        start += (length + 3) & ~3


def attributes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """(type, start of value, end of value) of each attribute between `start` and `end`."""
    while end - start >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < _ATTRIBUTE.size or start + length > end:
            raise unreadable(f"an attribute of {length} bytes with {end - start} left")
        yield kind & NLA_TYPE_MASK, start + _ATTRIBUTE.size, start + length
        start += (length + 3) & ~3


def table(data: bytes, span: Span) -> dict[int, Span]:
    """The attributes of a nest by type."""
    return {kind: (start, end) for kind, start, end in attributes(data, *span)}


def number(data: bytes, span: Span | None, default: int = 0) -> int:
    """An unsigned number of 1, 2, 4 or 8 bytes in this machine's byte order; `default` where it is missing."""
    if span is None:
        return default
    start, end = span
    if end - start not in (1, 2, 4, 8):
        raise unreadable(f"a number of {end - start} bytes")
    return int.from_bytes(data[start:end], sys.byteorder)


def network_number(data: bytes, span: Span | None, default: int = 0) -> int:
    """The same in network byte order: ports."""
    if span is None:
        return default
    start, end = span
    if end - start not in (2, 4):
        raise unreadable(f"a number of {end - start} bytes")
    return int.from_bytes(data[start:end], "big")


def text(data: bytes, span: Span | None) -> str:
    """A string that ends at its first zero byte; empty where it is missing."""
    if span is None:
        return ""
    return data[span[0] : span[1]].split(b"\0", 1)[0].decode("ascii", "replace")


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded to four bytes, for a request."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + b"\0" * (-len(value) % 4)
