"""Answers of a Windows host: JSON documents in ASCII frames, which no code page, progress or profile can spoil.

A frame is one line, `<<DSR:` + base64 of UTF-8 JSON + `:DSR>>`. Every document carries the nonce of its script; what
does not is not ours.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator

import msgspec

OPENING, CLOSING = "<<DSR:", ":DSR>>"
LARGEST = 8_000_000
"""Characters; a longer frame is no answer of ours."""

PRELUDE = r"""
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$nonce = @NONCE@
function Send-Frame {
    param($document)
    $document['nonce'] = $nonce
    $bytes = [Text.Encoding]::UTF8.GetBytes((ConvertTo-Text $document))
    [Console]::Out.WriteLine('<<DSR:' + [Convert]::ToBase64String($bytes) + ':DSR>>')
}
"""
"""What every script begins with. `ConvertTo-Text` is the dialect's way to write JSON."""

JSON_2012 = r"""
function ConvertTo-Text {
    param($value)
    return ConvertTo-Json -InputObject $value -Depth 8 -Compress
}
"""


LITERAL = r"""
function Get-Literal {
    param($text)
    return [Management.Automation.WildcardPattern]::Escape([string]$text)
}
"""
"""For parameters that are patterns: a name that matches itself alone."""


def documents(nonce: str, text: str) -> Iterator[dict[str, object]]:
    """The documents of this script in a host's output, in order; anything else is passed over."""
    for line in text.splitlines():
        document = document_of(nonce, line)
        if document is not None:
            yield document


def document_of(nonce: str, line: str) -> dict[str, object] | None:
    """The document in one line, None where it holds none of ours."""
    begin = line.find(OPENING)
    end = line.find(CLOSING, begin)
    if begin < 0 or end < 0 or end - begin > LARGEST:
        return None
    try:
        found = msgspec.json.decode(base64.b64decode(line[begin + len(OPENING) : end], validate=True))
    except (binascii.Error, msgspec.DecodeError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("nonce") == nonce else None
