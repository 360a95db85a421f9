"""Leaving a dialog in which something was typed: Esc asks before it is lost."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

from screens.questions.modals import Choice, Question
from screens.questions.once import Dialog


@runtime_checkable
class Unsaved(Protocol):
    """A dialog with something that is kept nowhere."""

    def unsaved(self) -> str:
        """What quitting would lose, as a sentence; empty: nothing."""
        ...


def unsaved(screens: Iterable[object]) -> str:
    """What quitting would lose, of the first of these screens that has something to lose."""
    return next((text for screen in screens if isinstance(screen, Unsaved) and (text := screen.unsaved())), "")


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
