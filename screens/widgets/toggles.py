"""A radio button, a checkbox and a list to tick whose state can be read without colour: (•) and ( ), [x] and [ ].
Labels are plain text."""

from __future__ import annotations

from typing import TypeVar

from rich.segment import Segment
from rich.style import Style
from textual.content import Content
from textual.strip import Strip
from textual.widgets import Checkbox, RadioButton, SelectionList

from dsrwizard.core.model.foreign import one_line
from screens.widgets.glyphs import ascii_only

T = TypeVar("T")


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


class Ticks(SelectionList[T]):
    """A list of which some are ticked."""

    def render_line(self, y: int) -> Strip:
        drawn = super().render_line(y)
        index = self.scroll_offset.y + y
        if index >= self.option_count:
            return drawn
        sign = "x" if self.get_option_at_index(index).value in self.selected else " "
        rest = list(drawn)[3:]  # Textual draws an X in either case, in two colours
        style = (rest[0].style or Style.null()) + Style(meta={"option": index})
        return Strip([Segment(f"[{sign}]", style), *rest])
