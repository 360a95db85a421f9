"""The stepper: shows the steps and the current one; one line on narrow terminals, a column on wide ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from screens.widgets.glyphs import Name, glyph

StepState = Literal["done", "current", "todo", "problem", "out-of-date"]

_GLYPHS: dict[StepState, Name] = {
    "done": "done",
    "current": "current",
    "todo": "todo",
    "problem": "problem",
    "out-of-date": "stale",
}
_WORDS: dict[StepState, str] = {
    "done": "done",
    "current": "you are here",
    "todo": "to do",
    "problem": "has a problem",
    "out-of-date": "out of date",
}


@dataclass(frozen=True)
class StepMark:
    """One step in the stepper."""

    id: str
    word: str
    key: str
    state: StepState
    visited: bool = False


class Stepper(Widget):
    """The widget that shows the steps. A click on a visited one requests it (`Chosen`). One line high it is a line;
    higher it is a column with the state in words."""

    DEFAULT_CSS = """
    Stepper { height: 1; width: 1fr; padding: 0 1; background: $panel; color: $foreground; }
    """

    marks: reactive[tuple[StepMark, ...]] = reactive(())

    class Chosen(Message):
        """A visited step was clicked."""

        def __init__(self, step: str) -> None:
            super().__init__()
            self.step = step

    @property
    def rail(self) -> bool:
        return self.content_size.height > 1

    def render(self) -> Content:
        return self._rail() if self.rail else self._line()

    def _line(self) -> Content:
        line = Content("  ").join(self._pieces())
        current = next((number for number, mark in enumerate(self.marks, 1) if mark.state == "current"), 0)
        count = f"{current}/{len(self.marks)}"
        gap = self.content_size.width - line.cell_length - len(count)
        return Content.assemble(line, " " * gap, count) if gap > 0 else line

    def _pieces(self) -> list[Content]:
        """The steps on one line. If they do not fit, only the current one has its word."""
        pieces = [_piece(mark) for mark in self.marks]
        if sum(piece.cell_length + 2 for piece in pieces) - 2 > self.content_size.width:
            pieces = [
                piece if mark.state == "current" else piece[:1] for piece, mark in zip(pieces, self.marks, strict=True)
            ]
        return pieces

    def _rail(self) -> Content:
        parts: list[Content] = []
        for number, mark in enumerate(self.marks, 1):
            parts += [Content(f"{number} "), _piece(mark), Content("\n")]
            parts += [Content.styled(f"    {_WORDS[mark.state]}\n\n", "$text-muted")]
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        mark = self._at(offset.x, offset.y)
        if mark is not None and mark.visited and mark.state != "current":
            self.post_message(self.Chosen(mark.id))

    def _at(self, x: int, y: int) -> StepMark | None:
        if self.rail:
            return self.marks[y // 3] if y // 3 < len(self.marks) and y % 3 < 2 else None
        start = 0
        for mark, piece in zip(self.marks, self._pieces(), strict=True):
            end = start + piece.cell_length
            if start <= x < end:
                return mark
            start = end + 2
        return None


def _piece(mark: StepMark) -> Content:
    style = {
        "done": "$text-success",
        "current": "bold reverse",
        "todo": "$text-muted",
        "problem": "$text-error",
        "out-of-date": "$text-warning",
    }[mark.state]
    text = f"{glyph(_GLYPHS[mark.state])} {mark.word}"
    piece = Content.styled(text, style)
    if mark.visited and mark.state != "current":
        at = text.lower().rfind(mark.key)
        piece = piece.stylize("underline", at, at + 1)
    return piece
