"""A radio button and a checkbox whose state can be read without colour: (•) and ( ), [x] and [ ]."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Checkbox, RadioButton

from screens.widgets.glyphs import ascii_only


class Dot(RadioButton):
    """One of several."""

    @property
    def _button(self) -> Content:
        sign = "*" if ascii_only() else "•"
        return Content(f"({sign if self.value else ' '})")


class Tick(Checkbox):
    """Yes or no."""

    DEFAULT_CSS = """
    Tick { border: none; padding: 0; background: transparent; height: 1; }
    Tick:focus > .toggle--label { text-style: bold reverse; }
    """

    @property
    def _button(self) -> Content:
        return Content(f"[{'x' if self.value else ' '}]")
