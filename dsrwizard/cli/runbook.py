"""The command `dsrwizard runbook`: which servers, in which format, and where to write."""

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
"""Format → file ending and writer."""


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
    """Writes a runbook and creates its folder. Raises LookError."""
    try:
        files.export(path, whole(content))
    except OSError as problem:
        raise LookError(
            f"{path} cannot be written.", f"{problem.strerror or problem}.", "Choose another path with --output."
        ) from None


def _servers(deployment: Deployment, host: str | None) -> list[RealServer]:
    if host is None:
        found = [server for server in deployment.servers if server.connect == "manual"]
        if not found:
            raise UsageError(
                "No server of this deployment is set up by hand.", "dsrwizard logs in to all of them.",
                "Use --host NAME to print a server's runbook anyway.",
            )  # fmt: skip
        return found
    found = [server for server in deployment.servers if server.name == host]
    if not found:
        names = ", ".join(server.name for server in deployment.servers)
        raise UsageError(f"{deployment.name} has no server {host!r}.", "", f"Its servers: {names}.")
    return found


def _system(text: str | None) -> System | None:
    for known in get_args(System):
        if text == known:
            return known  # type: ignore[no-any-return]
    if text is None:
        return None
    raise UsageError(
        f"There is no runbook for the system {text!r}.", "", f"Choose one of: {', '.join(get_args(System))}."
    )
