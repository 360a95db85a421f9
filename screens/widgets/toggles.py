"""A radio button and a checkbox whose state can be read without colour: (•) and ( ), [x] and [ ]. Labels are plain
text."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Checkbox, RadioButton

from dsrwizard.core.model.foreign import one_line
from screens.widgets.glyphs import ascii_only


class Dot(RadioButton):
    """A radio button."""

    def __init__(self, label: str, *, value: bool = False) -> None:
        super().__init__(Content(one_line(label)), value=value)

    @property
    def _button(self) -> Content:
        sign = "*" if ascii_only() else "•"
        return Content(f"({sign if self.value else ' '})")


class Tick(Checkbox):
    """A checkbox."""

    DEFAULT_CSS = """
    Tick { border: none; padding: 0; background: transparent; height: 1; }
    Tick:focus > .toggle--label { text-style: bold reverse; }
    """

    def __init__(self, label: str, value: bool = False, *, id: str | None = None, compact: bool = False) -> None:  # noqa: A002 - Textual's word
        super().__init__(Content(one_line(label)), value, id=id, compact=compact)

    @property
    def _button(self) -> Content:
        return Content(f"[{'x' if self.value else ' '}]")
