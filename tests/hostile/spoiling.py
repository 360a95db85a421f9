"""Spoils what a host answers: a genuine text, in which some of it is impossible, missing, twice, too much or hostile.

Seeded: the same seed spoils the same answers in the same way.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from typing import Any

PWNED = (
    "\x1b]0;PWNED\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "\x90q\x9c",
    "\r",
    "\x08\x08",
    "\x00",
    "\x7f",
    "\u202e",
    "\u2028",
)
_RAW = {
    "@HUGE@": "9" * 5_000,
    "@TINY@": "1e999",
    "@NAN@": "NaN",
    "@ENDLESS@": "-Infinity",
    "@DEEP@": "[" * 3_000 + "]" * 3_000,
}
"""What `json.dumps` would not write; put in after it."""
VALUES: tuple[Any, ...] = (
    None, True, False, -1, -5, 0, 1, 3, 8, 33, 64, 129, 999, 65_536, 2**31, 10**19, 24.5, "", " ", "0", "-1", "None",
    "x" * 5_000, "é" * 200, "10.0.0.999", "10.0.0.10/999", "10.0.0.10", "10.0.0.2", "10.0.0.101", "::1%" + PWNED[0],
    "fe80::1%eth0", "::ffff:10.0.0.10", "02:00:0a:00:00:02", "02:00:0a:00:00:67", "zz:00:0a:00:00:65", "eth0@if5",
    "a b", "../x", "$(id)", "'; rm -rf /", "[bold red]x[/]", "\ud800", [], {}, [None], [[]], [{}],
    {"": None}, ["UP"] * 3, *PWNED, *_RAW,
)  # fmt: skip
WORDS = (
    "", "0", "-1", "none", "yes", "70000", "9" * 5_000, "x" * 5_000, "²", "٣", "1e9", "0x10", "*:80", "[::]:80", "[:80",
    "10.0.0.999:80", "localhost:80", "10.0.0.10", "10.0.0.2", "0A00000A:0050", "02:00:0a:00:00:65", "open", "silent",
    "answered", "LISTEN", "tcp", "/proc/sys/net/ipv4/conf/all/arp_ignore:", "YQ==", "/w==", "link", "$(id)", *PWNED,
)  # fmt: skip
_MARKER = re.compile(r"^==dsr:\w+:(.*)==$", re.MULTILINE)
LONGEST = 1_000_000
Section = tuple[str, str]
"""Marker line (empty before the first) and what follows it."""


class Spoiler:
    """Called with each answer in turn. `genuine`: how often one is left as it is, of 1."""

    def __init__(self, seed: int, *, genuine: float = 0.15) -> None:
        self._random = random.Random(seed)
        self._genuine = genuine
        self.theme = seed % len(_KINDS)
        """The kind of harm that is done to every answer of this host, before others."""

    def __call__(self, text: str) -> str:
        if self._random.random() < self._genuine:
            return text
        text = _KINDS[self.theme](self._random, text)[:LONGEST]
        while self._random.random() < 0.3:
            text = self._random.choice(_KINDS)(self._random, text)[:LONGEST]
        return text


# --- whole answers


def _sections(text: str) -> list[Section]:
    parts = re.split(r"(?m)^(==dsr:\w+:.*==)$", text)
    return [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]


def _joined(sections: list[Section]) -> str:
    return "".join(marker + body for marker, body in sections)


def _cut(chance: random.Random, text: str) -> str:
    return text[: chance.randrange(len(text) + 1)]


def _nothing(chance: random.Random, text: str) -> str:
    return chance.choice(["", "\n", "Permission denied\n", "{}", "null", "\x00" * 100, PWNED[0] * 50])


def _noise(chance: random.Random, text: str) -> str:
    noise = bytes(chance.randrange(256) for _ in range(chance.choice([10, 1_000, 20_000]))).decode("utf-8", "replace")
    at = chance.randrange(len(text) + 1)
    return text[:at] + noise + text[at:]


def _shuffled(chance: random.Random, text: str) -> str:
    sections = _sections(text)
    head, rest = sections[:1], sections[1:]
    chance.shuffle(rest)
    return _joined([*head, *rest])


def _swapped(chance: random.Random, text: str) -> str:
    """Two sections with each other's bodies."""
    sections = _sections(text)
    if len(sections) > 2:
        one, other = chance.sample(range(1, len(sections)), 2)
        first, second = sections[one], sections[other]
        sections[one], sections[other] = (first[0], second[1]), (second[0], first[1])
    return _joined(sections)


def _twice(chance: random.Random, text: str) -> str:
    """A section, or all of it, again: perhaps very often."""
    sections = _sections(text)
    times = chance.choice([2, 2, 3, 100])
    if chance.random() < 0.3:
        return text * min(times, 3)
    at = chance.randrange(len(sections))
    return _joined([*sections[:at], *[sections[at]] * times, *sections[at + 1 :]])


def _dropped(chance: random.Random, text: str) -> str:
    sections = _sections(text)
    del sections[chance.randrange(len(sections))]
    return _joined(sections)


def _emptied(chance: random.Random, text: str) -> str:
    sections = _sections(text)
    at = chance.randrange(len(sections))
    sections[at] = (sections[at][0], chance.choice(["\n", "\nnull\n", "\n[]\n", "\n" + "x" * 100_000 + "\n", "\n{\n"]))
    return _joined(sections)


_LIES = (
    "start:1", "done:1", "failed:1", "halfway:2", "done:" + "9" * 5_000, "start:-1", "end", "begin", "addr", "way:", "",
    "file:/etc/shadow", "done:", "ready",
)  # fmt: skip


def _lied(chance: random.Random, text: str) -> str:
    """Markers of other sections and steps, some with the right secret."""
    genuine = re.findall(r"==dsr:\w+:", text)[:1]
    marker = chance.choice([*genuine, *genuine, "==dsr:guess:"]) + chance.choice(_LIES) + "=="
    lines = text.split("\n")
    lines.insert(chance.randrange(len(lines) + 1), marker)
    return "\n".join(lines)


# --- lines and words


def _line(chance: random.Random, text: str) -> str:
    """A line gone, twice, cut, elsewhere, or a thousand times."""
    lines = text.split("\n")
    at = chance.randrange(len(lines))
    match chance.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[at])
        case 2:
            lines[at] = _cut(chance, lines[at])
        case 3:
            lines.insert(chance.randrange(len(lines)), lines.pop(at))
        case _:
            lines[at:at] = [lines[at]] * 1_000
    return "\n".join(lines)


def _word(chance: random.Random, text: str) -> str:
    """Some words are others."""
    for _ in range(chance.randrange(1, 4)):
        found = [match for match in re.finditer(r"[^\s=:\"]+", text) if not match[0].startswith("==")]
        if found:
            match = chance.choice(found)
            text = text[: match.start()] + str(chance.choice(WORDS)) + text[match.end() :]
    return text


def _numbers(chance: random.Random, text: str) -> str:
    """Every number of a section, or some, is another."""
    sections = _sections(text)
    at = chance.randrange(len(sections))
    new = str(chance.choice(["-1", "0", "33", "70000", "9" * 5_000, "1e999", "²", "4294967296"]))
    marker, body = sections[at]
    sections[at] = (marker, re.sub(r"\b\d+\b", lambda match: new if chance.random() < 0.5 else match[0], body))
    return _joined(sections)


def _controls(chance: random.Random, text: str) -> str:
    """Control characters in the midst of words, anywhere but in the markers."""
    sections = _sections(text)
    for at, (marker, body) in enumerate(sections):
        for _ in range(chance.randrange(3)):
            place = chance.randrange(len(body) + 1)
            body = body[:place] + chance.choice(PWNED) + body[place:]  # noqa: PLW2901 - it grows
        sections[at] = (marker, body)
    return _joined(sections)


# --- JSON


def _json(harm: Callable[[random.Random, Any], Any]) -> Callable[[random.Random, str], str]:
    def spoil(chance: random.Random, text: str) -> str:
        sections = _sections(text)
        able = [at for at, (_, body) in enumerate(sections) if body.strip()[:1] in ("[", "{")]
        if not able:
            return _word(chance, text)
        at = chance.choice(able)
        try:
            spoiled = json.dumps(harm(chance, json.loads(sections[at][1])), ensure_ascii=chance.random() < 0.5)
        except (ValueError, RecursionError):  # spoiled already
            return _word(chance, text)
        for word, raw in _RAW.items():
            spoiled = spoiled.replace(f'"{word}"', raw)
        sections[at] = (sections[at][0], f"\n{spoiled}\n")
        return _joined(sections).encode("utf-8", "replace").decode()

    return spoil


def _nodes(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in the document."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = [(value, key) for key in keys]
    for _, key in list(found):
        found += _nodes(value[key])
    return found


def _value(chance: random.Random, document: Any) -> Any:
    """Some values are others."""
    for _ in range(chance.randrange(1, 4)):
        nodes = _nodes(document)
        if not nodes or chance.random() < 0.05:
            return chance.choice(VALUES)
        container, key = chance.choice(nodes)
        container[key] = chance.choice(VALUES)
    return document


def _key(chance: random.Random, document: Any) -> Any:
    """A key or an element is gone, or has another name."""
    nodes = _nodes(document)
    if nodes:
        container, key = chance.choice(nodes)
        value = container.pop(key)
        if isinstance(container, dict) and chance.random() < 0.5:
            container[str(chance.choice(VALUES))[:50]] = value
    return document


def _order(chance: random.Random, document: Any) -> Any:
    """Lists in another order, longer, very long, or within one more list."""
    lists = [container[key] for container, key in _nodes(document) if isinstance(container[key], list)] + [document]
    chosen = chance.choice(lists)
    if isinstance(chosen, list):
        match chance.randrange(4):
            case 0:
                chance.shuffle(chosen)
            case 1:
                chosen *= 2
            case 2 if len(chosen) < 10:
                chosen *= 2_000
            case _:
                chosen[:] = [list(chosen)]
    return document


def _where_it_hurts(chance: random.Random, document: Any) -> Any:
    """A value of those that are read: addresses, prefixes, names, gateways, flags."""
    read = {
        "local",
        "prefixlen",
        "ifname",
        "gateway",
        "dev",
        "flags",
        "address",
        "addr_info",
        "linkinfo",
        "dst",
        "scope",
    }
    nodes = [(container, key) for container, key in _nodes(document) if isinstance(container, dict) and key in read]
    if nodes:
        container, key = chance.choice(nodes)
        container[key] = chance.choice(VALUES)
    return document


_KINDS: tuple[Callable[[random.Random, str], str], ...] = (
    _json(_where_it_hurts), _json(_value), _word, _json(_where_it_hurts), _numbers, _json(_order), _controls, _line,
    _json(_key), _cut, _lied, _twice, _json(_where_it_hurts), _dropped, _emptied, _swapped, _word, _shuffled, _noise,
    _nothing,
)  # fmt: skip
"""Those that come closest to an answer more often than those that are none."""
