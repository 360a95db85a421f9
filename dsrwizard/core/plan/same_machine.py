"""Whether two looks were at one machine, and whether a look was at the system that a change was made on. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from dsrwizard.core.model.changes import FileChange, SysctlChange, UnitChange
from dsrwizard.core.model.facts import ServerFacts
from dsrwizard.core.record.owed import Owed


def one_machine(address: str, facts: ServerFacts, other_address: str, other: ServerFacts) -> bool:
    """Whether two hosts, reached at two addresses, are one machine: each says that it has the other's address, so that
    one host that lies convinces nobody. Containers of one machine share its boot id and have addresses of their own."""
    if facts.machine and other.machine and facts.machine != other.machine:
        return False
    if facts.boot_id and other.boot_id and facts.boot_id != other.boot_id:
        return False
    return bool(facts.carrying(other_address)) and bool(other.carrying(address))


def other_system(items: Iterable[Owed], facts: ServerFacts) -> bool:
    """Whether the changes were made on another kind of system than the one that was looked at."""
    windows = facts.windows is not None
    for item in items:
        change = item.change
        linux = isinstance(change, SysctlChange | FileChange | UnitChange)
        if linux or hasattr(change, "system"):
            return windows == (linux or getattr(change, "system", "linux") == "linux")
    return False
