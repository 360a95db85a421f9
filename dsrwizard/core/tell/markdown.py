"""Markdown escaping: no text or command becomes markup, a link, HTML, or the end of a fence. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from dsrwizard.core.model.foreign import lines, one_line

_MARKS = re.compile(r"[\\`*_<>\[\]#|&~@!]|(?<=:)/(?=/)|(?<=www)\.")
"""What CommonMark and GitHub's Markdown take for their own; the last two begin a link without any mark around it."""
_BEGINS = re.compile(r"^(\d{1,9})(?=[.)](?:\s|$))|^(?=[-+=])")
"""At the beginning of a line: a list, a rule, a heading underlined."""
_SPANS = re.compile(r"(`[^`]+`)")


def escaped(text: str) -> str:
    """A text of hosts and files on one line, shown as it is."""
    return _BEGINS.sub(r"\1\\", _escaped(" ".join(one_line(text).split())))


def prose(text: str) -> str:
    """A sentence of dsrwizard's own with names in it: what stands between backticks is code, the rest as it is."""
    parts = _SPANS.split(one_line(text))
    return _BEGINS.sub(r"\1\\", "".join(part if _SPANS.fullmatch(part) else _escaped(part) for part in parts))


def _escaped(text: str) -> str:
    return _MARKS.sub(r"\\\g<0>", text)


def fenced(commands: Iterable[str], language: str = "") -> Iterator[str]:
    """A block of code, its fence longer than any run of backticks in it. Not indented: here-documents stay whole."""
    body = [part for command in commands for part in lines(command, tabs=True).split("\n")]
    if not body:
        return
    fence = "```"
    while any(fence in line for line in body):
        fence += "`"
    yield f"{fence}{language}"
    yield from body
    yield fence
