"""Machines that are gone for good: which may be forgotten, and which may not."""

from __future__ import annotations

from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.departed import Departed
from dsrwizard.core.plan.waves import names
from dsrwizard.engine.books import Books


def forgettable(books: Books, observed: Observed, word: str) -> Departed:
    """The former server with this name or address, and what is owed on it. Raises UsageError where it is in the file,
    nothing is owed there, or it answers."""
    deployment = books.deployment
    if any(word == server.name or _same(word, server.address) for server in deployment.servers):
        raise UsageError(
            f"{word} is in the file of {deployment.name}.",
            "Only a server that has left the deployment can be forgotten.",
            "Take it out of the file and run apply: the director stops sending to it. Then run this again.",
        )
    where = books.whereabouts(observed)
    found = where.of(books.owed)
    known: dict[str, Departed] = {}
    for server in books.leaving:
        owed = tuple(
            item
            for item in books.owed
            if found[where.key(item)].state == "here"
            and (home := found[where.key(item)].home) is not None
            and home.host == server.name
        )
        if owed:
            known[server.name] = Departed(server=server.name, address=server.address, owed=owed)
    one = next((one for one in known.values() if word == one.server or _same(word, one.address)), None)
    if one is None:
        raise UsageError(
            f"The journal of {deployment.name} has nothing about a former server {word}.",
            "",
            f"It has something about {names(list(known))}." if known else "There is nothing to forget.",
        )
    if one.server in observed.servers:
        raise UsageError(
            f"{one.server} ({one.address}) answers, so it is not gone.",
            f"Still on it: {one.standing}.",
            "Run apply: it undoes all of that there.",
        )
    return one


def _same(word: str, address: str) -> bool:
    try:
        return canonical(word) == canonical(address)
    except ValueError:
        return False
