"""A form: fields that are checked when left, then live once they failed, and all at once when Next is refused."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.containers import Vertical
from textual.message import Message

from dsrwizard.core.intake.problems import Problem
from screens.widgets.field import Field


class Form(Vertical):
    """Holds fields somewhere inside and shows each its problem.

    Quiet while someone first types; a field is checked when it is left after an edit; once it failed it is checked on
    every keystroke, so that the message goes away the moment it is right.
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
        """Fields were added or removed: keys mean others now. Stays loud when everything was shown."""
        self._live.clear()
        self.show()

    def show(self) -> None:
        """Each field shows its first problem, if it is one to be shown now."""
        first: dict[str, str] = {}
        for problem in self._problems():
            first.setdefault(problem.key, problem.text)
        for field in self.query(Field):
            loud = self._all or field.key in self._live
            field.complain(first.get(field.key, "") if loud else "")

    def show_all(self) -> bool:
        """Every field shows its problem; the first one gets the focus. False: no field answers for any problem."""
        self._all = True
        self.show()
        wrong = next((field for field in self.query(Field) if field.problem), None)
        if wrong is not None:
            wrong.take_focus()
        return wrong is not None

    def focus_key(self, key: str) -> bool:
        """Focuses the field that answers for this problem key. False: there is none."""
        found = next((field for field in self.query(Field) if field.key == key), None)
        if found is not None:
            found.take_focus()
        return found is not None
