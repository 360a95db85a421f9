"""Screens that give one answer: what is pressed after it, on a screen that is leaving or covered, answers nothing.
And screens that leave before they are there: they set up nothing."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from textual import events
from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen, Screen

T = TypeVar("T")


class LeavesEarly:
    """What a screen has that may be left, or whose app may end, while it opens. Textual puts no more widgets into such
    a screen and tells it all the same that it is mounted: what it does then would meet half of its widgets."""

    async def on_event(self, event: events.Event) -> None:
        """Does as Textual does, except for a screen that is leaving."""
        screen: Any = self
        app = screen.app
        if isinstance(event, events.Mount) and (app.return_code is not None or screen not in app.screen_stack):
            return
        above: Any = super()
        await above.on_event(event)


class OneAnswer(LeavesEarly, Generic[T]):
    """What a screen that is left once has. Two keys of one burst reach it before it is gone; without this, the second
    answer would take away the screen below. It is no screen itself: Textual takes the styles of a dialog from the first
    base that is one, and they have to be those of `ModalScreen`."""

    _answered = False

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Leaves with this result; does nothing on a screen that has answered, or that another one covers."""
        screen: Any = self
        if self._answered or not screen.is_active:
            return AwaitComplete()
        self._answered = True
        above: Any = super()
        left: AwaitComplete = above.dismiss(result)
        return left


class AnsweredOnce(OneAnswer[T], Screen[T]):
    """The base class of screens that are left and are no dialogs."""


class Dialog(OneAnswer[T], ModalScreen[T]):
    """The base class of all dialogs."""
