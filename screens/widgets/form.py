"""A form: checks fields when they are left, on every keystroke once they failed, and all at once when Next is
refused."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.containers import Vertical
from textual.message import Message

from dsrwizard.core.intake.problems import Problem
from screens.widgets.field import Field


class Form(Vertical):
    """A container that shows each field inside its problem.

    A field is first checked when it is left after an edit. Once it failed it is checked on every keystroke, so the
    message disappears as soon as the value is right.
    """

    DEFAULT_CSS = """
    Form { height: auto; }
    """

    class Edited(Message):
        """A value of the draft changed."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

    def __init__(self, problems: Callable[[], list[Problem]], *, id: str | None = None) -> None:  # noqa: A002
        super().__init__(id=id)
        self._problems = problems
        self._live: set[str] = set()
        self._all = False

    @on(Field.Changed)
    def field_changed(self, event: Field.Changed) -> None:
        event.stop()
        if self._all or self._live:
            self.show()
        self.post_message(self.Edited(event.field))

    @on(Field.Left)
    def field_left(self, event: Field.Left) -> None:
        if event.field.edited:
            self._live.add(event.field.key)
            self.show()

    def forget(self) -> None:
        """Call after fields were added or removed, because keys then mean other fields. Keeps showing all problems
        if it did before."""
        self._live.clear()
        self.show()

    def show(self) -> None:
        """Shows each field's first problem, if it is due to be shown."""
        first: dict[str, str] = {}
        for problem in self._problems():
            first.setdefault(problem.key, problem.text)
        for field in self.query(Field):
            loud = self._all or field.key in self._live
            field.complain(first.get(field.key, "") if loud else "")

    def show_all(self) -> bool:
        """Shows every field's problem and focuses the first. False: no field belongs to any problem."""
        self._all = True
        self.show()
        wrong = next((field for field in self.query(Field) if field.problem), None)
        if wrong is not None:
            wrong.take_focus()
        return wrong is not None

    def focus_key(self, key: str) -> bool:
        """Focuses the field with this problem key. False: there is none."""
        found = next((field for field in self.query(Field) if field.key == key), None)
        if found is not None:
            found.take_focus()
        return found is not None
