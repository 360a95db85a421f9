"""The command `dsrwizard runbook`: whose, in which format, ticked by what, and where to write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, get_args

import msgspec

from dsrwizard import files, out
from dsrwizard.core.intake.importers.common import MOST_CHARACTERS, decoded
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Deployment, RealServer, System
from dsrwizard.core.model.errors import LookError, UsageError
from dsrwizard.core.model.foreign import whole
from dsrwizard.core.model.products import ALOHA, PRODUCTS
from dsrwizard.core.tell.runbook import HandBook, StepProof, html, markdown, proof_of, runbook, text
from dsrwizard.core.tell.runbook.balancer import balancer_book, balancer_proofs, box_of, contradictions

MOST_BYTES = 100_000_000
"""A report of the largest deployment has some tens of megabytes."""
PIPE_SECONDS = 600.0
"""How long is waited for a pipe that says nothing: `--report <(dsrwizard verify FILE --json)` takes its time."""


class Writer(Protocol):
    """Writes a runbook in one format, ticked by the proofs of its steps."""

    def __call__(self, book: HandBook, proofs: Sequence[StepProof] = (), /) -> str: ...


FORMS: dict[str, tuple[str, Writer]] = {
    "text": (".txt", text),
    "md": (".md", markdown),
    "html": (".html", html),
}
"""Format → file ending and writer."""


def write_runbooks(
    deployment: Deployment,
    host: str | None,
    system: str | None,
    form: str,
    output: Path | None,
    *,
    balancer: str | None = None,
    report: Path | None = None,
    compare: Path | None = None,
) -> int:
    """Prints the runbooks or writes them to files, and returns the exit code. `balancer`: that of the load balancer
    alone. Raises UsageError and LookError."""
    chosen = _system(system)
    seen = None if report is None else _report(report, deployment)
    ending, write = FORMS[form]
    product = _product(deployment, host, balancer)
    written: list[tuple[str, str]] = []
    if compare is not None and product != ALOHA.engine:
        raise UsageError(
            "--compare is for the text of an ALOHA's LB Layer4 tab.",
            "",
            "Use it with --balancer aloha, or without --host.",
        )
    if product is not None:
        written.append(("load-balancer", _balancer(deployment, product, seen, compare, write)))
    if balancer is None:
        for server in _servers(deployment, host, alone=product is None):
            book = runbook(deployment, server, chosen)
            proofs = [proof_of(step, deployment, server, seen) for step in book.steps]
            written.append((server.name, write(book, proofs)))
    if output is None:
        out.text("\n".join(content for _, content in written))
        return 0
    several = len(written) > 1 or output.is_dir()
    for name, content in written:
        path = output / f"{deployment.name}-{name}{ending}" if several else output
        save(path, content)
        out.line(f"Written: {path}")
    return 0


def _balancer(deployment: Deployment, product: str, report: Report | None, compare: Path | None, write: Writer) -> str:
    from dsrwizard.core.dialects.aloha.compare import text_differences

    book = balancer_book(deployment, product)
    differences = None if compare is None else text_differences(deployment, decoded(_read(compare, MOST_CHARACTERS)))
    if report is not None:
        said = contradictions(deployment, report, box_of(product))
        book = msgspec.structs.replace(book, outside=(*said, *book.outside))
    if differences:
        told = [f"{one.message} {one.fix}" if not one.line else f"Line {one.line}: {one.message} {one.fix}"
                for one in differences]  # fmt: skip
        book = msgspec.structs.replace(book, outside=(*told, *book.outside))
    return write(book, balancer_proofs(book, deployment, report, differences))


def _product(deployment: Deployment, host: str | None, balancer: str | None) -> str | None:
    """Whose runbook is written for the load balancer; None: there is none to write."""
    engine = deployment.director.engine
    if balancer is None:
        return engine if engine in PRODUCTS and host is None else None
    if deployment.director.in_kernel:
        raise UsageError(
            f'The load balancer of {deployment.name} is this machine (engine = "{engine}").',
            "dsrwizard apply sets it up, so there is nothing to do by hand.",
            'Leave out --balancer, or write engine = "external" under [director].',
        )
    if host is not None:
        raise UsageError("--balancer and --host cannot be used together.", "", "Use one of them.")
    if engine in PRODUCTS and balancer != engine:
        raise UsageError(
            f'The load balancer of {deployment.name} is another one: engine = "{engine}".', "",
            f"Leave out --balancer, or use --balancer {engine}.",
        )  # fmt: skip
    return balancer


def save(path: Path, content: str) -> None:
    """Writes a runbook and creates its folder. Raises LookError."""
    try:
        files.export(path, whole(content))
    except OSError as problem:
        raise LookError(
            f"{path} cannot be written.", f"{problem.strerror or problem}.", "Choose another path with --output."
        ) from None


def _read(path: Path, most: int) -> bytes:
    try:
        return files.piped(path, most, PIPE_SECONDS)
    except OSError as problem:
        raise UsageError(f"{path} cannot be read.", f"{problem.strerror or problem}.", "Check the path.") from None
    except ValueError:  # a NUL in the path
        raise UsageError("This is not a valid path.", "", "Check the path.") from None


def _report(path: Path, deployment: Deployment) -> Report:
    """What `dsrwizard verify FILE --json` printed, of this deployment."""
    how = "Write one: dsrwizard verify FILE --json, with its output in a file."
    try:
        found = msgspec.json.decode(_read(path, MOST_BYTES), type=Report)
    except (msgspec.DecodeError, RecursionError):  # ValidationError is one
        raise UsageError(f"{path} is not a report of dsrwizard verify.", "", how) from None
    if found.deployment != deployment.name:
        raise UsageError(f"{path} is the report of {found.deployment}, not of {deployment.name}.", "", how)
    return found


def _servers(deployment: Deployment, host: str | None, *, alone: bool) -> list[RealServer]:
    """`alone`: there is nothing else to print, so none at all is an error."""
    if host is None:
        found = [server for server in deployment.servers if server.connect == "manual"]
        if not found and alone:
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
    if text is None:
        return None
    known: dict[str, System] = {word: word for word in get_args(System)}
    if text in known:
        return known[text]
    raise UsageError(
        f"There is no runbook for the system {text!r}.", "", f"Choose one of: {', '.join(get_args(System))}."
    )
