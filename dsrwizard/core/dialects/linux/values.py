"""The checked values in a Linux host's answer; a value that cannot be there raises Impossible.

What is merely odd is taken: the kernel allows nearly every sign in an interface's name, and hosts of containers,
bonds, VRFs and tunnels have links without a MAC and routes without a gateway.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.values import SHOWN, Impossible, address, prefix, shown

__all__ = [
    "MOST", "Impossible", "address", "document", "interface", "mac", "objects", "part", "port", "prefix", "reading",
    "setting", "shown", "word", "words",
]  # fmt: skip
T = TypeVar("T")

MOST = 65_536
"""Interfaces, addresses, routes of one host at most: more than any host has, less than hurts."""
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_NO_NAME = re.compile(r"[/\t-\r ]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_NAME_BYTES = 15
"""IFNAMSIZ of the kernel's if.h, without the zero byte at the end."""
_DIGITS = 20
"""The longest number any of this holds is one of 64 bits."""


@contextmanager
def reading(host: str, part: str, command: str) -> Iterator[None]:
    """Within it a value that cannot be makes `part` (“its interfaces”), which this command tells there, unreadable."""
    try:
        yield
    except Impossible as problem:
        raise AnswerUnreadable(
            f"{host}: {part} could not be read.",
            f"Its answer cannot be right: {problem}.",
            f"Run again; if it stays so, look on that host at what `{command}` prints.",
        ) from None


def document(text: str) -> Any:
    """JSON as iproute2 writes it: control characters stand in its strings as they are. Raises ValueError for what is no
    JSON at all, Impossible for broken JSON and for numbers that are none."""
    try:
        return json.loads(text, strict=False, parse_int=_integer, parse_constant=_no_number)
    except json.JSONDecodeError as problem:
        if text.lstrip()[:1] in ("[", "{"):
            raise Impossible("JSON document", text[problem.pos :] or "its end") from None
        raise
    except RecursionError:
        raise Impossible("answer of this depth", text[:SHOWN]) from None


def _integer(digits: str) -> int:
    if len(digits) > _DIGITS:
        raise Impossible("number of any setting", digits)
    return int(digits)


def _no_number(word: str) -> float:
    raise Impossible("number", word)


def objects(value: object) -> list[Mapping[str, Any]]:
    """A list of objects; iproute2 leaves empty ones where it filters."""
    if not isinstance(value, list):
        raise Impossible("list", value)
    for entry in value:
        if not isinstance(entry, dict):
            raise Impossible("object", entry)
    if len(value) > MOST:
        raise Impossible(f"list of fewer than {MOST:,}", value)
    return value


def part(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """The object under a key; empty where there is none."""
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise Impossible(f"object, as {key} is", found)
    return found


def words(value: Mapping[str, Any], key: str) -> Sequence[str]:
    """The list of words under a key; empty where there is none."""
    found = value.get(key, [])
    if not isinstance(found, list) or not all(isinstance(word, str) for word in found):
        raise Impossible(f"list of words, as {key} is", found)
    return found


def word(value: Mapping[str, Any], key: str, default: str = "") -> str:
    """The text under a key."""
    found = value.get(key, default)
    if not isinstance(found, str):
        raise Impossible(f"text, as {key} is", found)
    return found


def interface(value: object) -> str:
    """A name that the kernel takes for an interface (dev_valid_name in its net/core/dev.c)."""
    if (
        isinstance(value, str)
        and len(value) <= _NAME_BYTES
        and value not in ("", ".", "..")
        and not _NO_NAME.search(value)
    ):
        # What is not UTF-8 was replaced on the way, a sign of three bytes for each byte; a surrogate no byte makes.
        size = sum(1 if sign == "\ufffd" else len(sign.encode("utf-8", "surrogatepass")) for sign in value)
        if size <= _NAME_BYTES and not _SURROGATE.search(value):
            return value
    raise Impossible("name of an interface", value)


def mac(value: object) -> str:
    """The MAC of an Ethernet interface."""
    if isinstance(value, str) and _MAC.fullmatch(value.lower()):
        return value.lower()
    raise Impossible("MAC", value)


def port(value: str) -> int:
    """A port of TCP or UDP."""
    if value.isascii() and value.isdecimal() and len(value) <= 5 and 0 < int(value) < 65_536:
        return int(value)
    raise Impossible("port", value)


def setting(value: str) -> str:
    """The value of a numeric kernel setting: a number of 32 bits, of whatever sign."""
    if re.fullmatch(r"-?[0-9]{1,10}", value) and -(1 << 31) <= int(value) < 1 << 32:
        return value
    raise Impossible("number of a kernel setting", value)
