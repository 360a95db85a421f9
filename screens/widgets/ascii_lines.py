"""The line filter for ASCII-only consoles: replaces every character by one that the console can show."""

from __future__ import annotations

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

_SIGNS = {
    **dict.fromkeys("─━═▔▁╌┄", "-"), **dict.fromkeys("│┃║▌▐▎▏▕", "|"), **dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼╔╗╚╝", "+"),
    **dict.fromkeys("▂▃▄▅▆▇█", " "), **dict.fromkeys("“”„", '"'), **dict.fromkeys("‘’", "'"),
    **dict.fromkeys("—–−", "-"),
    **dict.fromkeys("▼▾⌄", "v"), **dict.fromkeys("▲▴", "^"), **dict.fromkeys("›▶▸→", ">"), **dict.fromkeys("‹◀←", "<"),
    "…": ".", "·": ".", "•": "*", "●": "*", "○": "o", "✓": "+", "✗": "x", "×": "x", "\N{NO-BREAK SPACE}": " ",
}  # fmt: skip
"""Replacements, one cell for one cell. Block fractions are the edges of scrollbars, which have their own colour."""


class AsciiLines(LineFilter):
    """The filter. Translates lines as they are drawn; a character without a replacement becomes one question mark
    per cell."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments in ASCII, with the same width."""
        return [
            segment if segment.text.isascii() else Segment(in_ascii(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def in_ascii(text: str) -> str:
    """A text in ASCII, with the same width in cells."""
    return "".join(sign if sign.isascii() else _SIGNS.get(sign, "?" * cell_len(sign)) for sign in text)
