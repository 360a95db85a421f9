"""The export dialogs: they ask for a path and write a change ticket (Markdown) or a runbook (Markdown and HTML)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Static

from dsrwizard import files
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.foreign import whole
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.tell.runbook import HandBook, StepProof, html, markdown
from dsrwizard.core.tell.ticket import ticket
from dsrwizard.files import state_dir
from screens import clock
from screens.questions.once import Dialog
from screens.widgets.keybar import KeyBar
from screens.widgets.words import frame_title


def default_path(deployment: str) -> Path:
    """The default path: in the state directory, named after the deployment and the time."""
    stamp = time.strftime("%Y%m%d-%H%M", time.localtime(clock.now()))
    return state_dir() / "tickets" / f"{deployment}-{stamp}.md"


def write_ticket(path: Path, deployment: Deployment, plan: Plan) -> None:
    """Writes the plan as Markdown. Raises OSError. A new folder is readable by its owner only."""
    when = time.strftime("%Y-%m-%d %H:%M %z", time.localtime(clock.now()))
    _write(path, ticket(deployment, plan, when))


def write_runbook(path: Path, book: HandBook, proofs: Sequence[StepProof] = ()) -> tuple[Path, Path]:
    """Writes the runbook as Markdown and as an HTML page, ticked by the proofs of its steps, and returns both paths,
    which end in .md and .html. Raises OSError."""
    known = path.suffix.lower() in (".md", ".html", ".htm")
    base = path.with_suffix("") if known else path
    written = (base.with_name(f"{base.name}.md"), base.with_name(f"{base.name}.html"))
    for target, content in zip(written, (markdown(book, proofs), html(book, proofs)), strict=True):
        _write(target, content)
    return written


def _write(path: Path, content: str) -> None:
    files.export(path, whole(content))


class PathModal(Dialog[Path | None]):
    """The dialog that asks for the path of a file to write. Returns None when the operator cancels."""

    BINDINGS = [Binding("escape", "cancel", "Cancel", id="export.cancel", tooltip="Write nothing")]

    def __init__(self, title: str, about: str, path: Path) -> None:
        super().__init__()
        self._title = title
        self._about = about
        self._path = path

    def compose(self) -> ComposeResult:
        with Vertical(classes="modal"):
            yield Static(f"{self._about} Where should it be written?", markup=False, classes="modal-body")
            yield Input(str(self._path), id="export-path", compact=True)
            with Horizontal(classes="modal-buttons"):
                yield Button("Write", id="export-write", variant="primary", compact=True)
                yield Button("Cancel", id="export-cancel", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(".modal").border_title = frame_title(self._title)
        self.query_one(Input).focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#export-write")
    def write(self) -> None:
        """Accepts the path, unless it is empty or a folder."""
        text = self.query_one(Input).value.strip()
        path = Path(text).expanduser()
        if not text or path.is_dir():
            self.notify("Enter the path of a file.", severity="warning", markup=False)
            return
        self.dismiss(path)

    @on(Button.Pressed, "#export-cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)


class ExportModal(PathModal):
    """The export dialog of the change ticket."""

    def __init__(self, deployment: str) -> None:
        about = "The whole plan as Markdown: changes, reasons, exact commands, undo."
        super().__init__("Change ticket", about, default_path(deployment))


class RunbookModal(PathModal):
    """The export dialog of a runbook: of a server, or of the load balancer."""

    def __init__(self, deployment: str, server: str, *, whose: str = "") -> None:
        about = f"The runbook of {whose or server}: as Markdown (.md), and as a page to print (.html) next to it."
        super().__init__("Runbook", about, state_dir() / "runbooks" / f"{deployment}-{server}.md")
