"""The result type of the importers, and the rules they share."""

from __future__ import annotations

import re

import msgspec

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.intake.problems import shown
from dsrwizard.core.model.shown import Harmless

MAX_NOTES = 50
MAX_SERVERS = 10_000
MOST_CHARACTERS = 1_000_000
"""The largest list: enough for ten thousand servers. A longer text is not a list of servers."""
LONGEST_LINE = 4_000
LONGEST_VALUE = 300
"""The most characters of a name, an address or a path; longer ones are invalid and would fill the memory."""
_UNNAMEABLE = re.compile(r"[^A-Za-z0-9._-]", re.ASCII)


class Imported(Harmless, msgspec.Struct):
    """The result: real servers found in a text, and a note for everything that was not understood or not imported."""

    servers: list[DraftServer] = []
    notes: list[str] = []


class Collector:
    """Collects servers, each name once, and notes; both are limited for any text."""

    def __init__(self) -> None:
        self._servers: dict[str, DraftServer] = {}
        self._notes: dict[str, None] = {}

    def note(self, text: str) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes[text] = None
        else:
            self._notes["More of the text was not understood."] = None

    def add(self, server: DraftServer) -> None:
        name = server.name.lower()
        if not server.name and not server.address:
            self.note("An entry without a name was left out.")
        elif name in self._servers:
            self.note(f"{shown(server.name)} appears twice: the first one was imported.")
        elif len(self._servers) >= MAX_SERVERS:
            self.note(f"Only the first {MAX_SERVERS} servers were imported.")
        else:
            self._servers[name] = server

    @property
    def full(self) -> bool:
        """Whether no more servers are accepted."""
        return len(self._servers) >= MAX_SERVERS

    def imported(self) -> Imported:
        return Imported(servers=list(self._servers.values()), notes=list(self._notes))


def is_list(text: str, found: Collector) -> bool:
    """Whether a text may be a list; if not, a note says why."""
    if len(text) > MOST_CHARACTERS:
        found.note(f"This is too large for a list of servers: {MOST_CHARACTERS // 1_000_000} MB at most.")
    elif "\0" in text:
        found.note("This is not a text: it looks like a binary file.")
    else:
        return True
    return False


def lines_of(text: str, found: Collector) -> list[tuple[int, str]]:
    """The lines of a list with their numbers; lines that are too long are left out with a note."""
    lines = []
    for number, line in enumerate(text.splitlines(), start=1) if is_list(text, found) else ():
        if len(line) > LONGEST_LINE:
            found.note(f"Line {number} was left out: it is longer than {LONGEST_LINE} characters.")
        else:
            lines.append((number, line))
    return lines


def name_for(text: str) -> str:
    """A server name made from an address or a host name; characters that are not allowed become `-`."""
    return _UNNAMEABLE.sub("-", text.strip()).strip("-._")[: fields.MAX_NAME].rstrip("-._")


def bare(text: str) -> str:
    """The text without its quotes."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].strip()
    return text
