"""Runbooks out of the program: which servers, in what form, and where to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from dsrwizard import files, out
from dsrwizard.core.model.deployment import Deployment, RealServer, System
from dsrwizard.core.model.errors import LookError, UsageError
from dsrwizard.core.model.foreign import whole
from dsrwizard.core.tell.runbook import Runbook, html, markdown, runbook, text

FORMS: dict[str, tuple[str, Callable[[Runbook], str]]] = {
    "text": (".txt", text),
    "md": (".md", markdown),
    "html": (".html", html),
}
"""Form → ending of its files and its writer."""


def write_runbooks(deployment: Deployment, host: str | None, system: str | None, form: str, output: Path | None) -> int:
    """Prints the runbooks or writes them to files, and returns the exit code. Raises UsageError and LookError."""
    chosen = _system(system)
    books = [runbook(deployment, server, chosen) for server in _servers(deployment, host)]
    ending, write = FORMS[form]
    if output is None:
        out.text("\n".join(write(book) for book in books))
        return 0
    several = len(books) > 1 or output.is_dir()
    for book in books:
        path = output / f"{deployment.name}-{book.server}{ending}" if several else output
        save(path, write(book))
        out.line(f"Written: {path}")
    return 0


def save(path: Path, content: str) -> None:
    """Writes a runbook, with the folder it goes to. Raises LookError."""
    try:
        files.export(path, whole(content))
    except OSError as problem:
        raise LookError(
            f"{path} cannot be written.", f"{problem.strerror or problem}.", "Name another place with --output."
        ) from None


def _servers(deployment: Deployment, host: str | None) -> list[RealServer]:
    if host is None:
        found = [server for server in deployment.servers if server.connect == "manual"]
        if not found:
            raise UsageError(
                "No server of this deployment is set up by hand.", "dsrwizard logs in to all of them.",
                "Name one with --host to have its runbook all the same.",
            )  # fmt: skip
        return found
    found = [server for server in deployment.servers if server.name == host]
    if not found:
        names = ", ".join(server.name for server in deployment.servers)
        raise UsageError(f"There is no server {host!r} in {deployment.name}.", "", f"Its servers: {names}.")
    return found


def _system(text: str | None) -> System | None:
    for known in get_args(System):
        if text == known:
            return known  # type: ignore[no-any-return]
    if text is None:
        return None
    raise UsageError(f"{text!r} is no system with a runbook.", "", f"There are: {', '.join(get_args(System))}.")
