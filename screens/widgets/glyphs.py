"""The signs used beside words on every screen, in Unicode and in ASCII."""

from __future__ import annotations

import codecs
import os
import sys
from typing import Literal

Name = Literal[
    "done", "current", "todo", "problem", "stale", "ok", "fail", "unknown", "warn", "working", "arrow", "dash", "on",
    "off", "up", "down",
]  # fmt: skip

_UNICODE: dict[Name, str] = {
    "done": "✓", "current": "●", "todo": "○", "problem": "✗", "stale": "↻", "ok": "✓", "fail": "✗", "unknown": "?",
    "warn": "!", "working": "…", "arrow": "→", "dash": "—", "on": "◉", "off": "○", "up": "▲", "down": "▼",
}  # fmt: skip
_ASCII: dict[Name, str] = {
    "done": "+", "current": ">", "todo": ".", "problem": "x", "stale": "~", "ok": "+", "fail": "x", "unknown": "?",
    "warn": "!", "working": "...", "arrow": "->", "dash": "-", "on": "*", "off": "o", "up": "^", "down": "v",
}  # fmt: skip

_state = {"ascii": False}


def terminal_is_ascii() -> bool:
    """Whether standard output cannot carry the Unicode signs: its encoding is not UTF-8, or the operator's locale is
    plain C. Python then writes UTF-8 all the same (PEP 538, PEP 540) and says so in LC_CTYPE."""
    own = os.environ.get("LC_CTYPE", "")
    names = (os.environ.get("LC_ALL"), own if own != "C.UTF-8" else "", os.environ.get("LANG"))
    if next(filter(None, names), "") in ("C", "POSIX"):
        return True
    encoding = getattr(sys.__stdout__, "encoding", None) or "ascii"
    try:
        return codecs.lookup(encoding).name != "utf-8"
    except LookupError:
        return True


def use_ascii(ascii_only: bool) -> None:
    """Chooses the set of signs for the whole process; the app does so once, before the first screen."""
    _state["ascii"] = ascii_only


def ascii_only() -> bool:
    return _state["ascii"]


def glyph(name: Name) -> str:
    """The sign for this meaning. Always used beside a word, never alone."""
    return (_ASCII if _state["ascii"] else _UNICODE)[name]


def arrows(text: str) -> str:
    """A text of the engine, with arrows that this console can show."""
    return text.replace("→", glyph("arrow"))
