"""Which line of a TOML text a key stands on: for messages only, so an odd layout costs a line number, nothing more."""

from __future__ import annotations

import re

_PART = r"(?:[A-Za-z0-9_-]+|\"[^\"\n]*\"|'[^'\n]*')"
_DOTTED = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"[ \t]*(\[\[?)[ \t]*({_DOTTED})[ \t]*\]\]?[ \t]*(?:#.*)?$")
_KEY = re.compile(rf"[ \t]*({_DOTTED})[ \t]*=")
_PARTS = re.compile(_PART)
_INDEX = re.compile(r"\[[0-9]+\]$")


def key_lines(text: str) -> dict[str, int]:
    """Lines (1-based) of the keys and tables of a TOML text, by path: `servers[1]`, `servers[1].weight`."""
    lines: dict[str, int] = {}
    counts: dict[str, int] = {}
    table = ""
    inside = ""
    for number, line in enumerate(text.split("\n"), start=1):
        if inside:
            if line.count(inside) % 2:
                inside = ""
            continue
        header = _HEADER.match(line)
        if header:
            table = _table(header, counts)
            lines.setdefault(table, number)
            continue
        key = _KEY.match(line)
        if key:
            path = ".".join(part.strip("\"'") for part in _PARTS.findall(key[1]))
            lines.setdefault(f"{table}.{path}" if table else path, number)
        inside = next((quotes for quotes in ('"""', "'''") if line.count(quotes) % 2), "")
    return lines


def _table(header: re.Match[str], counts: dict[str, int]) -> str:
    """The path of a `[table]` or `[[table]]`, with the index of every array on the way."""
    parts = [part.strip("\"'") for part in _PARTS.findall(header[2])]
    path = ""
    for position, part in enumerate(parts):
        path = f"{path}.{part}" if path else part
        if header[1] == "[[" and position == len(parts) - 1:
            counts[path] = counts.get(path, -1) + 1
        if path in counts:
            path = f"{path}[{counts[path]}]"
    return path


def line_of(key: str, lines: dict[str, int]) -> int | None:
    """The line of a key, or of the nearest thing around it that has one."""
    while key:
        if key in lines:
            return lines[key]
        shorter = _INDEX.sub("", key)
        if shorter == key:
            shorter = key.rpartition(".")[0]
        key = shorter
    return None
