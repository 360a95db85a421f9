"""Answers of a Windows host: JSON documents in ASCII frames, which no code page, progress or profile can spoil.

A frame is one line, `<<DSR:` + base64 of UTF-8 JSON + `:DSR>>`. Every document carries the nonce of its script; what
does not is not ours.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.windows_values import SAID

OPENING, CLOSING = "<<DSR:", ":DSR>>"
LARGEST = 8_000_000
"""Characters; a longer frame is no answer of ours."""
T = TypeVar("T")


class _Mark(msgspec.Struct):
    """What every document has."""

    nonce: str
    kind: str


_MARK = msgspec.json.Decoder(_Mark)


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a script, by what kind it is of; `json` is what the host wrote, not looked at yet."""

    kind: str
    json: bytes

    def read(self, into: type[T]) -> T:
        """The document in this type. Raises msgspec.ValidationError where it does not fit."""
        try:
            return msgspec.json.decode(self.json, type=into)
        except (msgspec.DecodeError, ValueError, RecursionError) as problem:
            raise msgspec.ValidationError(one_line(str(problem), SAID)) from None


def frames(nonce: str, text: str) -> Iterator[Document]:
    """The frames of this script in a host's output, in order; anything else is passed over."""
    at = text.find(OPENING)
    while at >= 0:
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        frame = frame_of(nonce, text[at:end])
        if frame is not None:
            yield frame
        at = text.find(OPENING, end)


def frame_of(nonce: str, line: str) -> Document | None:
    """The frame in one line, None where it holds none of ours."""
    begin = line.find(OPENING)
    end = line.find(CLOSING, begin)
    if begin < 0 or end < 0 or end - begin > LARGEST:
        return None
    try:
        json = base64.b64decode(line[begin + len(OPENING) : end], validate=True)
        mark = _MARK.decode(json)
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        return None
    return Document(mark.kind, json) if mark.nonce == nonce else None
