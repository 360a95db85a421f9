"""Importers: read real servers from plain lists, CSV tables, Ansible inventories and ssh configs.

All are pure: text in, servers and notes out; no text makes one raise. A host without an IP address keeps its name as
address; the caller may resolve it.
"""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Literal

from dsrwizard.core.intake.importers import ansible, plain, ssh_config
from dsrwizard.core.intake.importers.common import LONGEST_LINE, Imported

ListKind = Literal["plain", "ansible", "ssh_config"]

# Blanks, and no \s: from each of many empty lines it would go on to the end.
_SSH_HOST = re.compile(r"^[ \t]*Host([ \t]+|[ \t]*=[ \t]*)\S", re.IGNORECASE | re.MULTILINE)
_SSH_SETTING = re.compile(
    r"^[ \t]*(HostName|User|Port|IdentityFile|ProxyJump)([ \t]+|[ \t]*=[ \t]*)\S", re.IGNORECASE | re.MULTILINE
)
_INI = re.compile(r"^[ \t]*\[[^\[\]\s]+\][ \t]*([#;].*)?$|^[^#\n]*\bansible_\w+[ \t]*[=:]", re.MULTILINE)
_YAML = re.compile(r"^(---|[\w.-]+:)[ \t]*(#.*)?$", re.MULTILINE)


def detect(text: str, name: str = "") -> ListKind:
    """The format of a text, detected from its content; the file name decides only if the content does not."""
    lines = [line.rstrip()[:LONGEST_LINE] for line in text[:100_000].splitlines()]
    text = "\n".join(lines)
    first = next((line.strip() for line in lines if line and not line.lstrip().startswith("#")), "")
    if plain.has_header(first):
        return "plain"
    if _SSH_HOST.search(text) and (_SSH_SETTING.search(text) or not _INI.search(text)):
        return "ssh_config"
    path = PurePath(name.lower())
    if _INI.search(text) or _YAML.search(text) or path.suffix in (".yml", ".yaml", ".ini"):
        return "ansible"
    return "plain"


def read(text: str, name: str = "", kind: ListKind | None = None, choice: str = "") -> Imported:
    """Imports the servers of a list. `choice`: the Ansible group or the ssh host pattern; empty is all. Never
    raises."""
    match kind or detect(text, name):
        case "ansible":
            return ansible.parse(text, choice or "all")
        case "ssh_config":
            return ssh_config.parse(text, choice or "*")
        case _:
            return plain.parse(text)


__all__ = ["Imported", "Kind", "ansible", "detect", "plain", "read", "ssh_config"]
