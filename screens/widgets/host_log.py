"""A log with a title in its border: a host's output, or the live view's events."""

from __future__ import annotations

from collections.abc import Sequence

from textual.widgets import Log

from screens.widgets.words import frame_title


class TitledLog(Log):
    """The log. Follows new lines only if its end is visible (Log's own rule). Text is plain; control characters do
    nothing."""

    DEFAULT_CSS = """
    TitledLog { height: 1fr; border-top: solid $foreground 25%; border-title-color: $text-muted; padding: 0 1;
                background: transparent; scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
    TitledLog:focus { border-top: solid $primary; }
    """

    def __init__(self, title: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, highlight=False)
        self.border_title = frame_title(title)
        self.hint = "Arrow keys scroll the log. At its end, it follows new lines."
        self._of = ""
        self._written = 0

    def follow(self, of: str, title: str, lines: Sequence[str]) -> None:
        """Shows these lines, the whole log of `of` so far; only new ones are written."""
        if of != self._of or len(lines) < self._written:
            self.clear()
            self._of, self._written = of, 0
            self.border_title = frame_title(title)
        self.write_lines(lines[self._written :])
        self._written = len(lines)
