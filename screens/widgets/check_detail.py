"""The detail box under a list: more about the row under the cursor."""

from __future__ import annotations

from collections.abc import Iterable

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from screens.widgets.words import quotation


class Detail(VerticalScroll, can_focus=True):
    """The detail box. Shows lines of "label: text"; labels are highlighted, and text is never parsed as markup."""

    DEFAULT_CSS = """
    Detail { height: 6; width: 1fr; border-top: solid $foreground 25%; padding: 0 1; scrollbar-size-vertical: 1; }
    Detail:focus { border-top: solid $primary; }
    Detail > Static { height: auto; width: 1fr; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.hint = "More about the selected row; the arrow keys scroll it."
        self.text = ""
        self._about = ""

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def show(self, lines: Iterable[tuple[str, str] | Content], about: str = "") -> None:
        """Shows these lines, except those with an empty text. If `about` is the same as before, the scroll position
        stays."""
        content = labelled(lines)
        if content.plain == self.text and content.plain:
            return
        self.text = content.plain
        self.query_one(Static).update(content, layout=True)
        if not about or about != self._about:
            self.scroll_home(animate=False)
        self._about = about


def labelled(lines: Iterable[tuple[str, str] | Content]) -> Content:
    """Lines of "label: text" as content. With an empty label only the text is shown; a text of several lines is
    shown as a quotation."""
    parts: list[Content] = []
    for line in lines:
        if isinstance(line, Content):
            parts.append(line)
            continue
        label, text = line
        if not text:
            continue
        parts.append(Content.assemble((f"{label}: ", "bold"), quotation(text)) if label else Content(quotation(text)))
    return Content("\n").join(parts)
