"""Real servers from an ssh_config(5) text: the hosts whose alias matches a pattern such as `web*`.

As in ssh, the first value found for a host counts, and `Host *` sections add to it. `Include` and `Match` are not
followed; a note says so.
"""

from __future__ import annotations

import re
import shlex
from fnmatch import fnmatchcase

from dsrwizard.core.draft import DraftServer
from dsrwizard.core.importers.common import Collector, Imported
from dsrwizard.core.problems import shown

_FIELDS = {"hostname": "address", "user": "user", "port": "port", "identityfile": "identity_file"}
_LINE = re.compile(r"\s*([A-Za-z][A-Za-z0-9]*)\s*(?:=\s*|\s+)(.*?)\s*$", re.ASCII)
_Block = tuple[list[str], dict[str, str]]


def parse(text: str, pattern: str = "*") -> Imported:
    """The concrete hosts (no wildcards in the alias) that match; several patterns with spaces between. Never raises."""
    found = Collector()
    blocks = _blocks(text, found)
    wanted = pattern.replace(",", " ").split() or ["*"]
    aliases = [alias for patterns, _ in blocks for alias in patterns if not re.search(r"[*?!]", alias)]
    for alias in dict.fromkeys(aliases):
        if _matches(alias, wanted):
            found.add(_server(alias, blocks))
    imported = found.imported()
    if not imported.servers:
        imported.notes.append(f"No host of the ssh config matches {shown(' '.join(wanted))}.")
    return imported


def hosts(text: str) -> list[str]:
    """Every concrete host alias, in order."""
    return [server.name for server in parse(text).servers]


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text, comments=True)
    except ValueError:  # an open quote
        return text.replace('"', " ").split()


def _blocks(text: str, found: Collector) -> list[_Block]:
    """The sections as (patterns, first value of each field). What stands before the first section is for every host."""
    blocks: list[_Block] = [(["*"], {})]
    for number, line in enumerate(text.splitlines(), start=1):
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
        elif keyword in _FIELDS:
            blocks[-1][1].setdefault(_FIELDS[keyword], words[0])
    return blocks


def _matches(alias: str, patterns: list[str]) -> bool:
    """ssh_config(5), PATTERNS: `*` and `?` only, and a negated pattern that matches outweighs all others."""
    positive = False
    for pattern in patterns:
        glob = pattern.lstrip("!").replace("[", "[[]")
        if fnmatchcase(alias.lower(), glob.lower()):
            if pattern.startswith("!"):
                return False
            positive = True
    return positive


def _server(alias: str, blocks: list[_Block]) -> DraftServer:
    values: dict[str, str] = {}
    for patterns, settings in blocks:
        if _matches(alias, patterns):
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
