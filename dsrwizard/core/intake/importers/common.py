"""The result type of the importers, and the rules they share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftServer, DraftVip
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

Opener = Callable[[str, str], Sequence[tuple[str, str]]]
"""Gives the files that a pattern of an `include` names, as (path, text), sorted; the second argument is the path of the
file with the `include`. The importers read no file themselves. Raises OSError for what cannot be read."""


class Imported(Harmless, msgspec.Struct):
    """The result: what was found in a text, and a note for everything that was not understood or not imported.

    `vips` and `interface` (the director's) are empty where the format has none. A server without `vips` of its own
    serves all. `refused`: the text was not recognised, or nothing in it can be used; the notes say why, and there are
    neither servers nor VIPs.
    """

    servers: list[DraftServer] = []
    notes: list[str] = []
    vips: list[DraftVip] = []
    interface: str = ""
    external: bool = False
    """The balancer of this farm is another product, not the kernel's IPVS."""
    engine: str = ""
    """Which product that is, as `[director] engine`, where it can be known and a deployment can name it."""
    refused: bool = False
    name: str = ""
    """The deployment that dsrwizard set this farm up as, where the balancer says so."""


class Collector:
    """Collects servers, each name once, and notes; both are limited for any text."""

    def __init__(self) -> None:
        self._servers: dict[str, DraftServer] = {}
        self._notes: dict[str, None] = {}
        self._unused: dict[str, None] = {}
        self._alike: dict[tuple[str, str], list[str]] = {}

    def unused(self, name: str) -> None:
        """A setting that was read and is not used; all of them become one note, by `tell`."""
        if len(self._unused) < MAX_SERVERS:
            self._unused[name] = None

    def not_taken_of(self, what: str, host: str, why: str) -> None:
        """Something of a host was not imported. Hosts with the same thing become one note, by `tell`."""
        self._alike.setdefault((what, why), []).append(host)

    def tell(self, why_unused: str) -> None:
        """Makes the notes that were gathered."""
        for (what, why), hosts in self._alike.items():
            self.note(not_taken(f"{what} of {listed(hosts)}", why))
        if self._unused:
            self.note(not_taken(listed(list(self._unused)), why_unused))
        self._alike, self._unused = {}, {}

    def note(self, text: str) -> None:
        if len(self._notes) < MAX_NOTES:
            self._notes[text] = None
        else:
            self._notes["More of the text was not understood."] = None

    def add(self, server: DraftServer) -> None:
        name = server.name.lower()
        known = self._servers.get(name)
        if not server.name and not server.address:
            self.note("An entry without a name was left out.")
        elif known is not None:
            if not _second_family(known, server):
                self.note(f"{shown(server.name)} appears twice: the first one was imported.")
        elif len(self._servers) >= MAX_SERVERS:
            self.note(f"Only the first {MAX_SERVERS} servers were imported.")
        else:
            self._servers[name] = server

    @property
    def full(self) -> bool:
        """Whether no more servers are accepted."""
        return len(self._servers) >= MAX_SERVERS

    @property
    def count(self) -> int:
        """How many servers there are."""
        return len(self._servers)

    def imported(self) -> Imported:
        servers = list(self._servers.values())
        return Imported(servers=servers, notes=list(self._notes), refused=not servers)

    def refusal(self, why: str) -> Imported:
        """Nothing is imported; `why` comes before what was noted so far."""
        return Imported(notes=[why, *(note for note in self._notes if note != why)], refused=True)


def _second_family(known: DraftServer, again: DraftServer) -> bool:
    """Whether a second entry of a server brings its address of the other family; then it is taken into the first."""
    first, second = fields.parsed(known.address), fields.parsed(again.address)
    if first is None or second is None or first.version == second.version or known.address6:
        return False
    known.address, known.address6 = (
        (known.address, again.address) if first.version == 4 else (again.address, known.address)
    )
    return True


def not_taken(what: str, why: str) -> str:
    """The note for something that was read and not imported; `why` is a clause without a full stop."""
    return f"Not imported: {what}, because {why}."


def listed(names: Sequence[str], most: int = 6) -> str:
    """Some names in a row, for a note."""
    short = [shown(name)[1:-1] for name in names[:most]]
    return ", ".join(short) + (f" and {len(names) - most} more" if len(names) > most else "")


def decoded(raw: bytes) -> str:
    """The text of a file as people's programs write it: UTF-8 with or without a mark, UTF-16 with one, or else Latin-1,
    in which every byte is a character."""
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        return raw.decode("utf-16", "replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


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
