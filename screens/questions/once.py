"""Screens that give one answer: what is pressed after it, on a screen that is leaving or covered, answers nothing."""

from __future__ import annotations

from typing import Generic, TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, Screen

T = TypeVar("T")


class AnsweredOnce(Screen[T], Generic[T]):
    """A screen that is left once. Two keys of one burst reach it before it is gone; without this, the second answer
    would take away the screen below."""

    _answered = False

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leaves with this result; does nothing on a screen that has answered, or that another one covers."""
        if self._answered or not self.is_active:
            return AwaitComplete()
        self._answered = True
        left: AwaitComplete = super().dismiss(result)
        return left


class Dialog(AnsweredOnce[T], ModalScreen[T], Generic[T]):
    """The base class of all dialogs."""
