"""Journals that are not where they should be: lost, of another user, of another machine. What is said and done then."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.plan.recognised import record
from dsrwizard.core.plan.teardown import taken_back_by_others
from dsrwizard.core.record.owed import Owed
from dsrwizard.engine.books import Books
from dsrwizard.engine.journal import Journal, Journals
from dsrwizard.engine.locks import Locks, user_name

_BELOW_HOME = Path(".local/state/dsrwizard/journal")


def remarks(books: Books, journals: Journals, locks: Locks) -> tuple[str, ...]:
    """What an operator should know before a run."""
    said = [*books.condition.remarks]
    if books.elsewhere and books.origin is not None:
        said.append(
            f"The last run in the journal {books.condition.path} was on {books.origin.host}, which is another machine "
            "than this one. What it says of the director is about that machine."
        )
    if not books.knows_all:
        said += _others_have_one(books.deployment.name, journals, locks)
    said += [f"{problem.what} What it may need on shared hosts is left to it." for problem in books.unread]
    return tuple(said)


def _others_have_one(name: str, journals: Journals, locks: Locks) -> Iterator[str]:
    """Journals of this deployment in other places, whose owner has to take it back."""
    own = journals.of(name).path
    places = {home / _BELOW_HOME / own.name for home in _homes()}
    last = locks.last(name)
    if last is not None:
        places.add(Path(last.journal))
    told = False
    for path in sorted(places):
        with contextlib.suppress(OSError, ValueError):
            status = path.stat()
            if path.is_absolute() and path.suffix == ".jsonl" and not _same(path, own) and status.st_size:
                user, told = user_name(status.st_uid), True
                how = "with sudo -H" if user == "root" else f"as {user}"
                yield f"The user {user} has a journal of {name}, too: {path}. To go by that one, run the command {how}."
    if last is not None and not told and Path(last.journal) != own:
        yield (
            f"The last run for {name} on this machine ({last.verb}) was by the user {last.user}, with the journal "
            f"{last.journal}. Run the command as that user."
        )


def _same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return one.samefile(other)
    return one == other


def _homes() -> Iterator[Path]:
    """Homes of those who may have run it before: root, the user who runs this, whose state may be elsewhere now, and
    the user who called sudo."""
    for user in (0, os.geteuid()):
        with contextlib.suppress(KeyError):
            yield Path(pwd.getpwuid(user).pw_dir)
    for name in filter(None, (os.environ.get("SUDO_USER"), os.environ.get("DOAS_USER"))):
        with contextlib.suppress(KeyError):
            yield Path(pwd.getpwnam(name).pw_dir)


def stranger_here(books: Books, observed: Observed) -> None:
    """Raises LookError where the journal is of another director than this machine: what it changed there would be
    struck out of the books, as it is not to be seen here."""
    owed = books.director_owes
    if not (books.elsewhere and owed) or books.origin is None:
        return
    gone = {item.order for item in taken_back_by_others(owed, observed)}
    if all(item.order in gone for item in owed):
        raise LookError(
            f"The journal {books.condition.path} is of another director, {books.origin.host}.",
            f"{books.deployment.name} was set up there, and nothing of it is on this machine. To undo it from here "
            "would leave that director as it is.",
            f"Run the command on {books.origin.host}. If this machine has taken its place, run apply here first.",
        )


def into_the_books(
    journal: Journal, deployment: Deployment, items: Sequence[Owed], machines: Mapping[str, str]
) -> None:
    """Writes what was found into the journal, as a run of its own that changed nothing: from then on it is owed like
    anything else, and a teardown that breaks off is gone on with. `machines`: host → which machine it is."""
    run = journal.begin("found", deployment)
    run.machines = machines
    for address, step in record(items):
        run.intend(address, step)
        run.result(step.host, step.id, Outcome.UNCHANGED)
    run.end(True)
