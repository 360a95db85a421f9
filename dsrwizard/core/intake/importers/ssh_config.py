"""The importer for ssh_config(5) texts: hosts whose alias matches a pattern such as `web*`.

As in ssh, the first value found for a host counts, and `Host *` sections add to it. `Include` and `Match` are not
followed; a note says so.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from fnmatch import translate

from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.intake.importers.common import LONGEST_VALUE, MAX_SERVERS, Collector, Imported, lines_of
from dsrwizard.core.intake.problems import shown

_FIELDS = {"hostname": "address", "user": "user", "port": "port", "identityfile": "identity_file"}
_LINE = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)(?:\s*=|\s)(.*)$", re.ASCII)
_MOST_WILDCARDS = 200
_Block = tuple[list[str], dict[str, str]]


def parse(text: str, pattern: str = "*") -> Imported:
    """Imports the matching hosts without wildcards in their alias; patterns are separated by spaces. Never raises."""
    found = Collector()
    blocks = _blocks(text, found)
    wanted = _Patterns(pattern.replace(",", " ").split() or ["*"])
    aliases = [alias for patterns, _ in blocks for alias in patterns if not re.search(r"[*?!]", alias)]
    sections = _Sections(blocks, found)
    for alias in dict.fromkeys(aliases):
        if found.full:
            found.note(f"Only the first {MAX_SERVERS} hosts were imported.")
            break
        if len(alias) > LONGEST_VALUE:
            found.note(f"The host {shown(alias)} was left out: it is not a valid host name.")
        elif wanted.match(alias):
            found.add(_server(alias, sections.of(alias)))
    imported = found.imported()
    if not imported.servers:
        imported.notes.append(f"No host of the ssh config matches {shown(pattern.strip() or '*')}.")
    return imported


def hosts(text: str) -> list[str]:
    """Every host alias without wildcards, in order."""
    return [server.name for server in parse(text).servers]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # an open quote
        return text.replace('"', " ").split()


def _blocks(text: str, found: Collector) -> list[_Block]:
    """The sections as (patterns, first value of each field). Settings before the first section are for every host."""
    blocks: list[_Block] = [(["*"], {})]
    for number, line in lines_of(text, found):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.match(line)
        words = _words(match[2]) if match else []
        if match is None or not words:
            found.note(f"Line {number} of the ssh config was not understood.")
            continue
        keyword = match[1].lower()
        if keyword == "host":
            blocks.append((words, {}))
        elif keyword == "match":
            everyone = words[0].lower() == "all"
            blocks.append((["*"] if everyone else [], {}))
            if not everyone:
                found.note(f"Line {number}: Match is not followed.")
        elif keyword == "include":
            found.note(f"Line {number}: Include is not followed; import that file by itself.")
        elif keyword in _FIELDS and len(words[0]) <= LONGEST_VALUE:
            blocks[-1][1].setdefault(_FIELDS[keyword], words[0])
    return blocks


class _Patterns:
    """ssh_config(5), PATTERNS: `*` and `?` only, and a negated pattern that matches outweighs all others."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._wanted = _joined(one for one in patterns if not one.startswith("!"))
        self._unwanted = _joined(one[1:] for one in patterns if one.startswith("!"))

    def match(self, alias: str) -> bool:
        name = alias.lower()
        return self._wanted.match(name) is not None and self._unwanted.match(name) is None


def _joined(patterns: Iterable[str]) -> re.Pattern[str]:
    """Whether one of the patterns matches a whole lower-case name; without patterns none does."""
    globs = [translate(pattern.lower().replace("[", "[[]")) for pattern in patterns]
    return re.compile("|".join(globs) or r"(?!)")


class _Sections:
    """An index of a file's sections by host. Sections with a wildcard are tried one by one."""

    def __init__(self, blocks: list[_Block], found: Collector) -> None:
        self._named: dict[str, list[tuple[int, dict[str, str]]]] = {}
        self._tried: list[tuple[int, _Patterns, dict[str, str]]] = []
        wildcards = 0
        for number, (patterns, settings) in enumerate(blocks):
            if not any(re.search(r"[*?!]", pattern) for pattern in patterns):
                for name in {pattern.lower() for pattern in patterns}:
                    self._named.setdefault(name, []).append((number, settings))
            elif wildcards + len(patterns) > _MOST_WILDCARDS:
                found.note(f"Sections with wildcards were left out: there are more than {_MOST_WILDCARDS} patterns.")
            else:
                wildcards += len(patterns)
                self._tried.append((number, _Patterns(patterns), settings))

    def of(self, alias: str) -> list[dict[str, str]]:
        """The settings of all that match, in the order of the file."""
        matching = [(number, settings) for number, patterns, settings in self._tried if patterns.match(alias)]
        matching += self._named.get(alias.lower(), [])
        return [settings for _, settings in sorted(matching, key=lambda one: one[0])]


def _server(alias: str, sections: list[dict[str, str]]) -> DraftServer:
    values: dict[str, str] = {}
    for settings in sections:
        for field, value in settings.items():
            values.setdefault(field, value)
    address = values.get("address", alias).replace("%h", alias).replace("%%", "%")
    return DraftServer(
        name=alias,
        address=address,
        user=values.get("user", ""),
        port="" if values.get("port", "22") == "22" else values["port"],
        identity_file=values.get("identity_file", "").replace("%h", address).replace("%d", "~"),
    )
