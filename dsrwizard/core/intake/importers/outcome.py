"""What becomes of each server of an import, one by one: new, there already, to be completed, or refused."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, NamedTuple

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.intake.importers.common import Imported

_NO_NAME = re.compile(r"[0-9.:/\[\]%]+|.*/.*")
"""What is no host name either: numbers and dots, or a path."""


class ImportLine(NamedTuple):
    """`says`: the server, and what becomes of it."""

    server: DraftServer
    becomes: Literal["new", "there", "incomplete", "refused"]
    says: str


def outcomes(found: Imported, there: Collection[str] = ()) -> list[ImportLine]:
    """One line for each server, in its order. `there`: the names that the list has already, in lower case."""
    return [_outcome(server, there) for server in found.servers]


def _outcome(server: DraftServer, there: Collection[str]) -> ImportLine:
    name, address = server.name.strip(), server.address.strip()
    who = name if name == address else f"{name} {address}".strip()
    if name.lower() in there:
        return ImportLine(server, "there", f"{who}: {name} is in the list already and is left unchanged")
    refusal = fields.address(address)
    if refusal is None:
        login = f", {server.user}" if server.user else ""
        weight = f", weight {server.weight}" if server.weight != "1" else ""
        return ImportLine(server, "new", f"{who}{weight}{login}")
    if not address or _NO_NAME.fullmatch(address):
        return ImportLine(server, "refused", f"{who}: not imported. {refusal.message}")
    return ImportLine(server, "incomplete", f"{who}: a host name; give it its IP address in the list")
