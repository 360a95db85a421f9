"""Leaving a dialog in which something was typed: Esc asks before it is lost."""

from __future__ import annotations

from typing import Any

from screens.questions.modals import Choice, Question
from screens.questions.once import Dialog


def leave(dialog: Dialog[Any], typed: str) -> None:
    """Leaves the dialog without an answer. `typed`: what would be lost, as a sentence; empty: nothing, and nothing is
    asked."""
    if not typed:
        dialog.dismiss(None)
        return
    choices = (Choice("stay", "Go back to it", "primary"), Choice("discard", "Discard", "warning"))

    def answered(choice: str | None) -> None:
        if choice == "discard":
            dialog.dismiss(None)

    dialog.app.push_screen(Question("Discard what you typed?", typed, choices, safe="stay"), answered)
