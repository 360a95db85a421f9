"""A DNS question that every server understands, and whether a message answers it (RFC 1035 section 4.1)."""

from __future__ import annotations

import struct

_ROOT_NS = b"\0" + struct.pack("!HH", 2, 1)
"""The question: name “.”, type NS, class IN."""
_RESPONSE = 0x8000
_OPCODE = 0x7800


def query(identifier: int) -> bytes:
    """Who serves the root? Recursion is not wished for: the server is asked, not the Internet behind it."""
    return struct.pack("!6H", identifier & 0xFFFF, 0, 1, 0, 0, 0) + _ROOT_NS


def is_answer(message: bytes, identifier: int) -> bool:
    """Whether this is a response to `query(identifier)`, whatever it says: a refusal comes from a DNS server, too.

    The question may be missing in it, as in an error, but not be another one.
    """
    if len(message) < 12:
        return False
    found, flags, questions = struct.unpack_from("!3H", message)
    if found != identifier & 0xFFFF or not flags & _RESPONSE or flags & _OPCODE or questions > 1:
        return False
    return not questions or message[12 : 12 + len(_ROOT_NS)] == _ROOT_NS
