"""The last filter before the terminal: no drawn line contains control or invisible characters.

What is shown was made harmless before (`core.shown`, `core.errors`), where such a sign is written out. Here a line has
its width already: a sign that takes no cell is left out, another becomes a question mark.
"""

from __future__ import annotations

from functools import lru_cache

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from dsrwizard.core.model.foreign import replaced


class HarmlessLines(LineFilter):
    """The filter for every line drawn, of any widget."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments, with the same width."""
        for text, _, _ in segments:
            if not (text.isascii() and text.isprintable()) and drawn(text) != text:
                return [Segment(drawn(text), style, control) for text, style, control in segments]
        return segments


@lru_cache(4096)
def drawn(text: str) -> str:
    """A text that is safe to draw, with the same width in cells."""
    return replaced(text, lambda sign: "?" * cell_len(sign))
