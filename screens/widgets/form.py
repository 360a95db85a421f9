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
        self._loud: dict[tuple[int, str], object] = {}
        """Fields whose problems are shown, by what they edit: it stays the same where others are added or removed, and
        is held here so that nothing else gets its number."""

    @on(Field.Changed)
    def field_changed(self, event: Field.Changed) -> None:
        event.stop()
        if self._loud:
            self.show()
        self.post_message(self.Edited(event.field))

    @on(Field.Left)
    def field_left(self, event: Field.Left) -> None:
        if event.field.edited:
            self._speak_of(event.field)
            self.show()

    def _speak_of(self, field: Field) -> None:
        target, attribute = field.edits
        self._loud[id(target), attribute] = target

    def show(self) -> None:
        """Shows each field's first problem, if it is due to be shown. Call it after fields were added or removed, too:
        what nobody has touched yet keeps quiet."""
        first: dict[str, str] = {}
        for problem in self._problems():
            first.setdefault(problem.key, problem.text)
        for field in self.query(Field):
            target, attribute = field.edits
            loud = (id(target), attribute) in self._loud
            field.complain(first.get(field.key, "") if loud else "")

    def show_all(self) -> bool:
        """Shows every field's problem and focuses the first. False: no field belongs to any problem."""
        for field in self.query(Field):
            self._speak_of(field)
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
