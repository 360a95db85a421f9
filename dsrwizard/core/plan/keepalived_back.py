"""What takes keepalived's part of a deployment back on a director: files, folders, whether it goes on running. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from dsrwizard.core.dialects.keepalived.writer import without_include
from dsrwizard.core.model.changes import (
    AddressChange,
    Change,
    DestinationChange,
    FileChange,
    FileState,
    FolderChange,
    KeepalivedChange,
    ServiceChange,
    UnitChange,
)
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.keepalived import (
    ENABLED_LINK,
    INCLUDE_LINE,
    KEEPALIVED_CONF,
    KEEPALIVED_FOLDER,
    OWN_FOLDER,
)
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import DIRECTOR, UNDO, Phase, Step
from dsrwizard.core.model.values import canonical
from dsrwizard.core.record.owed import Owed

_SHARED = (KEEPALIVED_CONF, ENABLED_LINK)


def of_keepalived(item: Owed) -> bool:
    """Whether it is part of what keepalived needs."""
    return item.step.startswith("keepalived")


def handed_over(owed: Sequence[Owed], result: RunResult) -> list[Owed]:
    """What dsrwizard set by netlink and keepalived owns after this run: it takes it away itself when it stops."""
    here = [step for host in result.hosts if host.host == DIRECTOR for step in host.steps]
    taken = any(step.step.startswith("keepalived") and step.outcome is Outcome.CHANGED for step in here)
    if not (taken or result.ok):
        return []
    mine = (AddressChange, ServiceChange, DestinationChange)
    return [item for item in owed if item.host == DIRECTOR and isinstance(item.change, mine)]


def refuse_change_back(deployment: Deployment, owed: Sequence[Owed]) -> None:
    """Raises UsageError where keepalived has the deployment in force and the file names another engine: keepalived
    takes the whole table with it when it stops, whoever else has put something into it."""
    if deployment.director.engine != "keepalived" and any(of_keepalived(item) for item in owed):
        raise UsageError(
            f"{deployment.name} is in force with keepalived, and its file names another engine now.",
            "When keepalived stops, it removes the services and VIPs, those of a new engine, too.",
            f"Run the teardown of {deployment.name} first, then apply the file.",
        )
    stay = {canonical(peer.address) for peer in deployment.director.peers}
    gone = next(
        (item for item in owed if _of_other_director(item) and canonical(item.address) not in stay),
        None,
    )
    if gone is not None:
        raise UsageError(
            f"The director {gone.host} ({gone.address}) has {deployment.name} in force, and the file does not name it.",
            "It would hear nothing of this director any more, and both would hold the VIPs."
            if of_keepalived(gone)
            else "It would go on serving the VIPs as they are now, and nobody would keep it like this director.",
            f"Name it in [[director.peers]] and run the teardown of {deployment.name}; then apply the file without it.",
        )


def _of_other_director(item: Owed) -> bool:
    """Whether it is what makes a host beside this one a director of the deployment."""
    return item.host != DIRECTOR and (of_keepalived(item) or isinstance(item.change, ServiceChange | DestinationChange))


def keepalived_back(
    items: Sequence[Owed],
    present: Callable[[Change], object],
    back: Callable[[Owed, object], tuple[Change | None, str]],
    others: Sequence[Deployment],
    by: Literal["unit", "itself"],
) -> tuple[list[Change], list[str]]:
    """The changes in their order, and notes about what stays. `present` tells what stands now in the terms of a change,
    `back` makes the change that restores what was there before. `others`: deployments in force beside this one: what
    they share with it is theirs now. `by`: who is told of it, as keepalived runs now."""
    needed = [other.name for other in others if other.director.engine == "keepalived"]
    stop: list[Change] = []
    files: list[Change] = []
    folders: list[Change] = []
    notes: list[str] = []
    for item in sorted(items, key=lambda one: -one.order):
        change = item.change
        stands = present(change)
        if needed and _shared(change):
            notes.append(f"{item.title}: {_what(change)} stays, because the deployment {needed[0]} needs it.")
            continue
        made = _line_only(change, stands) if isinstance(change, FileChange) else None
        note = ""
        if made is None:
            made, note = back(item, stands)
        notes += [note] if note else []
        if made is None:
            continue
        if isinstance(made, KeepalivedChange):
            made = msgspec.structs.replace(made, by=by)
        (stop if isinstance(made, KeepalivedChange) else folders if isinstance(made, FolderChange) else files).append(
            made
        )
    # The line goes before the files that it includes: without a match it is an error, and keepalived may start anew.
    files.sort(key=lambda one: not (isinstance(one, FileChange) and one.path == KEEPALIVED_CONF))
    changes = [*stop, *files]
    if any(isinstance(one, FileChange) and one.path.startswith("/etc/systemd/") for one in files):
        changes.append(UnitChange())
    if not stop and any(isinstance(one, FileChange) and one.path.startswith(KEEPALIVED_FOLDER) for one in files):
        changes.insert(0, KeepalivedChange(old="read", new="checked", by=by))
        changes.append(KeepalivedChange(old="checked", new="read", by=by))
    return [*changes, *folders], notes


def _shared(change: Change) -> bool:
    match change:
        case FileChange(path=path):
            return path in _SHARED
        case FolderChange(path=path):
            return path in (KEEPALIVED_FOLDER, OWN_FOLDER)
        case KeepalivedChange(of="daemon"):
            return True
        case _:
            return False


def _what(change: Change) -> str:
    return change.path if isinstance(change, FileChange | FolderChange) else "keepalived"


def _line_only(change: FileChange, present: object) -> Change | None:
    """keepalived.conf that somebody went on working at loses our line, and nothing else."""
    if change.path != KEEPALIVED_CONF or not isinstance(present, FileState) or present in (change.new, change.old):
        return None
    if INCLUDE_LINE not in present.content:
        return None
    return FileChange(
        path=change.path, old=present, new=msgspec.structs.replace(present, content=without_include(present.content))
    )


def undo_keepalived(items: Sequence[Owed], changes: Sequence[Change]) -> Step:
    """The step that takes all of it back."""
    first = items[0]
    phase: Phase = "service"
    return Step(
        id=f"{UNDO}{first.step}", host=first.host, phase=phase, purpose="keepalived",
        title="Undo: keepalived no longer has the VIPs and services of the deployment",
        why="This restores what was there before.", changes=tuple(changes), owner=first.owner,
        interrupts="Clients of the VIPs are no longer served by this director, and their connections end.",
    )  # fmt: skip
