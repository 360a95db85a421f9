"""The importer for ssh_config(5) texts: hosts whose alias matches a pattern such as `web*`.

They are read as a connection reads them (`core.intake.ssh_settings`): the first value found for a host counts, Include
is followed where the files can be opened, Match counts by host.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.intake.importers.common import (
    LONGEST_VALUE,
    MAX_SERVERS,
    MOST_CHARACTERS,
    Collector,
    Imported,
    Opener,
    lines_of,
    not_taken,
)
from dsrwizard.core.intake.problems import shown
from dsrwizard.core.intake.ssh_settings import (
    Settings,
    SshCondition,
    SshConfig,
    SshEntry,
    matches,
    read_entries,
    unknown_criteria,
)
from dsrwizard.core.model.words import capital

_FIELDS = {"hostname": "address", "user": "user", "port": "port", "identityfile": "identity_file"}
_WAYS = {"proxyjump": "ProxyJump", "proxycommand": "ProxyCommand"}
_WILDCARD = re.compile(r"[*?!]")
_MOST_WILDCARDS = 200
_OWN = "dsrwizard reads it from your own ~/.ssh/config when it connects, by the server's address or name"


def parse(text: str, pattern: str = "*", name: str = "", opener: Opener | None = None) -> Imported:
    """Imports the matching hosts without wildcards in their alias; patterns are separated by spaces. Never raises.

    `name`: the file's path, from which relative includes start.
    """
    found = Collector()
    reader = _SshReader(found, name, opener)
    config = SshConfig(reader.entries(text))
    wanted = pattern.replace(",", " ").split() or ["*"]
    if all(one.startswith("!") for one in wanted):
        wanted = ["*", *wanted]
    seen: dict[tuple[str, str], str] = {}
    for alias in reader.aliases:
        if found.full:
            found.note(f"Only the first {MAX_SERVERS} hosts were imported.")
            break
        if len(alias) > LONGEST_VALUE:
            found.note(f"The host {shown(alias)} was left out: it is not a valid host name.")
        elif matches(wanted, (alias,)):
            server = _server(alias, config.lookup(alias), found)
            first = seen.setdefault((server.address, server.port), alias)
            if first == alias:
                found.add(server)
            else:
                found.note(not_taken(shown(alias)[1:-1], f"it is {shown(first)[1:-1]} by another name"))
    found.tell("dsrwizard reads these from your own ~/.ssh/config when it connects")
    imported = found.imported()
    if not imported.servers:
        imported.notes.append(f"No host of the ssh config matches {shown(pattern.strip() or '*')}.")
    return imported


def hosts(text: str) -> list[str]:
    """Every host alias without wildcards, in order."""
    return [server.name for server in parse(text).servers]


class _SshReader:
    """Reads a text and what it includes; `aliases` are the hosts that its Host lines name."""

    def __init__(self, found: Collector, name: str, opener: Opener | None) -> None:
        self._found = found
        self._name = name
        self._opener = opener
        self._patterns = 0
        self._left_out: set[SshCondition] = set()
        self._characters = 0
        self.aliases: dict[str, None] = {}

    def entries(self, text: str) -> list[SshEntry]:
        """The settings that an import uses or names, the first of each kind under the same conditions."""
        first: dict[tuple[tuple[SshCondition, ...], str], SshEntry] = {}
        for entry in read_entries(
            self._bounded(text), "", self._included, self._broken, conditions_seen=self._condition
        ):
            if self._left_out.isdisjoint(entry.conditions) and sum(map(len, entry.words)) <= LONGEST_VALUE:
                first.setdefault((entry.conditions, entry.key), entry)
        return list(first.values())

    def _bounded(self, text: str) -> str:
        """The text without lines that are too long, each line where it was."""
        self._characters += len(text)
        if self._characters > MOST_CHARACTERS and self._characters > len(text):
            self._found.note("With its includes this is too large: the rest was left out.")
            return ""
        kept = dict(lines_of(text, self._found))
        last = max(kept, default=0)
        return "\n".join(kept.get(number, "") for number in range(1, last + 1))

    def _included(self, words: tuple[str, ...], _parent: str, place: str) -> Iterable[tuple[str, str]]:
        for word in words:
            what = f"the Include of {shown(word)} ({place.strip()})"
            if self._opener is None:
                self._found.note(not_taken(what, "only the text itself was given; give the path of its file"))
                continue
            try:
                opened = self._opener(word, self._name)
            except (OSError, ValueError) as error:
                self._found.note(not_taken(what, str(getattr(error, "strerror", "") or "it cannot be read")))
                continue
            if not opened:
                self._found.note(not_taken(what, "there is no such file"))
            for path, text in opened:
                yield path.rpartition("/")[2], self._bounded(text)

    def _broken(self, place: str, why: str) -> None:
        if "include" in why:
            self._found.note(not_taken("some includes", "files include each other too deeply"))
            return
        place = place.strip()
        self._found.note(f"{capital(place)} of the ssh config was not understood.")

    def _condition(self, condition: SshCondition, place: str) -> None:
        if condition.keyword == "match":
            odd = [*unknown_criteria(condition), *(word for word in condition.words if word in ("user", "localuser"))]
            if odd:
                self._found.note(
                    not_taken(
                        f"Match {shown(odd[0])[1:-1]} ({place.strip()})", "only Match by host counts in an import"
                    )
                )
            return
        if any(_WILDCARD.search(word) for word in condition.words):
            if self._patterns + len(condition.words) > _MOST_WILDCARDS:
                self._left_out.add(condition)
                self._found.note(
                    f"Sections with wildcards were left out: there are more than {_MOST_WILDCARDS} patterns."
                )
            else:
                self._patterns += len(condition.words)
        for word in condition.words:
            if not _WILDCARD.search(word):
                self.aliases[word] = None


def _server(alias: str, settings: Settings, found: Collector) -> DraftServer:
    values = {field: settings[key][0].words[0] for key, field in _FIELDS.items() if key in settings}
    for key, label in _WAYS.items():
        told = settings[key][0].text if key in settings else "none"
        if told.lower() != "none":
            # A command may hold a secret, and a file brings none.
            found.not_taken_of(f"{label} {shown(told)[1:-1]}" if key == "proxyjump" else label, alias, _OWN)
    for key in settings:
        if key not in _FIELDS and key not in _WAYS:
            found.unused(key)
    address = values.get("address", alias).replace("%h", alias).replace("%%", "%")
    return DraftServer(
        name=alias,
        address=address,
        user=values.get("user", ""),
        port="" if values.get("port", "22") == "22" else values["port"],
        identity_file=values.get("identity_file", "").replace("%h", address).replace("%d", "~"),
    )
