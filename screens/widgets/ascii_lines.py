"""The last stage before a console that only knows ASCII: every sign of every widget in a sign it can show."""

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
"""One cell for one cell. Parts of blocks are edges of scrollbars, which have a colour of their own."""


class AsciiLines(LineFilter):
    """Translates lines as they are drawn. What has no likeness becomes a question mark per cell."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        """The same segments in ASCII, as wide as they were."""
        return [
            segment if segment.text.isascii() else Segment(in_ascii(segment.text), segment.style, segment.control)
            for segment in segments
        ]


def in_ascii(text: str) -> str:
    """A text in ASCII, as many cells wide."""
    return "".join(sign if sign.isascii() else _SIGNS.get(sign, "?" * cell_len(sign)) for sign in text)
