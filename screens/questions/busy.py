"""The dialog for when another run has the right to change hosts: who it is, and one key to try again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import App

from dsrwizard.core.model.errors import DsrError
from screens.questions.modals import Choice, Question

TITLE = "Another run is under way"


def another_run(app: App[Any], error: DsrError, again: Callable[[], object]) -> None:
    """Says who it is. Enter tries again, Esc leaves everything as it is."""
    choices = (Choice("again", "Try again", "primary"), Choice("cancel", "Cancel"))

    def answered(choice: str | None) -> None:
        if choice == "again":
            again()

    body = f"{error.what}\n\n{error.why}\n\nNothing was begun. Wait for it, or stop it there, then try again."
    app.push_screen(Question(TITLE, body, choices, safe="cancel", first="again"), answered)
