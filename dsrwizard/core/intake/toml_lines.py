"""The line numbers of the keys in a TOML text, and limits on what is parsed.

An unusual layout only costs the line number in a message. Limits are checked before tomllib reads the text, because its
time and memory grow with the square of the parts of a dotted key.
"""

from __future__ import annotations

import re

from dsrwizard.core.intake.problems import Problem

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


MOST_PARTS = 8
"""The most parts of a dotted key; a deployment file needs three."""
MOST_LEVELS = 16
_QUOTED = re.compile(
    r'"""(?:\\.?|[^\\])*?(?:"""|\Z)'  # to its end, or that of the text: no pattern here gives up after a long way
    r"|'''.*?(?:'''|\Z)"
    r'|"(?:\\[^\n]|[^"\\\n])*+["\\]?'
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*+",
    re.DOTALL,
)
_CHAIN = re.compile(rf"(?<![\w-])[\w-]++(?:[ \t]*+\.[ \t]*+[\w-]++){{{MOST_PARTS},}}", re.ASCII)
_BRACKET = re.compile(r"[\[\]{}]")


def too_much(text: str) -> Problem | None:
    """The first key with too many parts; None: tomllib may read the text."""
    bare = _bare(text)
    chain = _CHAIN.search(bare)
    if chain is None:
        return None
    return Problem(
        key="", message=f"A key has more than {MOST_PARTS} parts with dots between.", line=_line(bare, chain.start()),
        hint="Write [table], and key = value below it.",
    )  # fmt: skip


def too_deep(text: str) -> Problem:
    """The place where brackets are nested too deeply, after tomllib has reported it."""
    depth, place = 0, 0
    bare = _bare(text)
    for bracket in _BRACKET.finditer(bare):
        depth += 1 if bracket[0] in "[{" else -1
        if depth > MOST_LEVELS:
            place = bracket.start()
            break
    return Problem(
        key="", message="Brackets are nested too deeply for a deployment file.", line=_line(bare, place),
        hint="Write [[vips]], [[vips.services]] and [[servers]], with key = value below them.",
    )  # fmt: skip


def _bare(text: str) -> str:
    """The text without comments, with a letter for every quoted text; the lines stay."""
    return _QUOTED.sub(lambda found: ("" if found[0][0] == "#" else "q") + "\n" * found[0].count("\n"), text)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
