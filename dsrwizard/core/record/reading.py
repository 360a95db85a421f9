"""What the lines of a journal say, as far as they can be read: what a power cut took, what is damaged, what a newer
version wrote. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any, get_args

import msgspec

from dsrwizard.core.model.changes import Change
from dsrwizard.core.record.owed import Entry, RunBegan, Verb

FORMAT = 1
"""The format that is written. A version that writes what this one would not understand gives it another number."""
_decoder = msgspec.json.Decoder(Entry)
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+-]{0,39}")
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def _names(union: UnionType) -> frozenset[str]:
    return frozenset(kind.__name__ for kind in get_args(union))


_ENTRIES, _CHANGES, _VERBS = _names(Entry), _names(Change), frozenset(get_args(Verb))


@dataclass(frozen=True)
class Unread:
    """Why a line, counted from 1, cannot be read. `newer`: a newer version wrote it, `version` if that is known."""

    line: int
    newer: bool
    version: str = ""


@dataclass
class JournalReading:
    """The entries that could be read, in order; the first line that stands in the way of knowing them all, if any."""

    entries: list[Entry] = field(default_factory=list)
    unread: Unread | None = None
    passed_over: list[int] = field(default_factory=list)
    """Lines, counted from 1, that a power cut took before they were on the disk: results, and no intent."""
    lost: int = 0
    """So many lines are gone that were there when a later run began."""


def read(data: bytes, durable: int | None, ours: str) -> JournalReading:
    """Reads a journal. `durable`: so many of its lines were on the disk for certain (None: not known), `ours` is the
    version that reads.

    A last line without its end is passed over: an intent is complete on disk before anything is done, and a step
    without a result counts as uncertain. So is a line that cannot be read and was never known to be on the disk.
    """
    *lines, rest = data.split(b"\n")
    found = JournalReading()
    versions: dict[str, str] = {}
    holes: list[int] = []
    damaged: list[int] = []
    for number, line in enumerate((*lines, rest)):
        if not line:
            continue
        try:
            entry = _decoder.decode(line)
        except _UNREADABLE:
            if number == len(lines):
                continue
            newer = _newer(line, versions, ours)
            if newer is not None and found.unread is None:
                found.unread = Unread(number + 1, True, newer)
            elif newer is None:
                holes.append(number)
            continue
        if isinstance(entry, RunBegan):
            versions[entry.run] = entry.version
            if entry.format > FORMAT and found.unread is None:
                found.unread = Unread(number + 1, True, _plain(entry.version))
            found.lost = max(found.lost, (entry.durable or 0) - number)
            _settle(holes, entry.durable, found, damaged)
        found.entries.append(entry)
    _settle(holes, durable, found, damaged)
    if damaged and found.unread is None:
        found.unread = Unread(damaged[0] + 1, False)
    return found


def _settle(holes: list[int], durable: int | None, found: JournalReading, damaged: list[int]) -> None:
    """Tells for holes, lines counted from 0, whether something is lost with them."""
    for hole in holes:
        if durable is not None and durable <= hole:
            found.passed_over.append(hole + 1)
        else:
            damaged.append(hole)
    holes.clear()


def _newer(line: bytes, versions: dict[str, str], ours: str) -> str | None:
    """The version that wrote a line which cannot be read, empty where it is not known; None: it is damaged."""
    try:
        entry = msgspec.json.decode(line)
    except _UNREADABLE:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("type"), str):
        return None
    run = entry.get("run")
    version = entry.get("version") or (versions.get(run, "") if isinstance(run, str) else "")
    version = _plain(version) if isinstance(version, str) else ""
    number = entry.get("format")
    if (
        entry["type"] not in _ENTRIES
        or _unknown(entry.get("verb"), _VERBS)
        or (isinstance(number, int) and number > FORMAT)
        or any(_unknown(kind, _CHANGES) for kind in _kinds_of(entry))
        or (version and number_of(version) > number_of(ours))
    ):
        return version
    return None


def _plain(version: str) -> str:
    """A version that may be shown: the journal is a file, and anybody's words may be in it."""
    return version if _VERSION.fullmatch(version) else ""


def _unknown(word: object, known: frozenset[str]) -> bool:
    return isinstance(word, str) and word not in known


def _kinds_of(entry: dict[str, Any]) -> list[object]:
    step = entry.get("step")
    changes = step.get("changes") if isinstance(step, dict) else None
    return [one.get("type") for one in changes if isinstance(one, dict)] if isinstance(changes, list) else []


def number_of(version: str) -> tuple[int, ...]:
    """`0.10.2` as numbers, to compare."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:4])


def began(entries: Sequence[Entry]) -> RunBegan | None:
    """The last run."""
    return next((entry for entry in reversed(entries) if isinstance(entry, RunBegan)), None)
