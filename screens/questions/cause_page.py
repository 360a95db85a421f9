"""The page of a cause: what you see, why it happens, how to see it by hand, how to mend it."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.widget import Widget
from textual.widgets import Markdown

from dsrwizard.core.model.causes import CAUSES
from dsrwizard.pages import page
from screens.questions.once import Dialog
from screens.widgets.keybar import KeyBar
from screens.widgets.words import frame_title


def show_cause(asked_from: Widget, cause: str) -> None:
    """Opens the page of the cause, or says that there is no cause to explain."""
    if cause in CAUSES:
        asked_from.app.push_screen(CausePage(cause))
    else:
        asked_from.notify("No cause is known for this row, so there is nothing to explain.", markup=False)


class CausePage(Dialog[None]):
    """The screen that shows the page, on top of the current screen."""

    BINDINGS = [
        Binding("escape,x,q", "dismiss", "Close", id="page.close", key_display="esc", tooltip="Go back"),
        Binding("up,k", "scroll_by(-1)", "Up", id="page.up", show=False, tooltip="Scroll up one line"),
        Binding("down,j", "scroll_by(1)", "Down", id="page.down", show=False, tooltip="Scroll down one line"),
        Binding("pageup,b", "page_by(-1)", "Page up", id="page.back", tooltip="Scroll up one page"),
        Binding("pagedown,space", "page_by(1)", "Page down", id="page.on", tooltip="Scroll down one page"),
    ]
    DEFAULT_CSS = """
    CausePage { align: center middle; }
    CausePage > .cause-page { width: 100; max-width: 100%; height: 1fr; border: round $primary; padding: 0 1; }
    CausePage Markdown { padding: 0; }
    """

    def __init__(self, cause: str) -> None:
        super().__init__()
        self._cause = cause

    def compose(self) -> ComposeResult:
        with Vertical(classes="cause-page"), VerticalScroll(id="cause-text", can_focus=False):
            yield Markdown(page(self._cause))
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(".cause-page").border_title = frame_title(self._cause)

    def action_scroll_by(self, lines: int) -> None:
        self.query_one("#cause-text").scroll_relative(y=lines, animate=False)

    def action_page_by(self, pages: int) -> None:
        text = self.query_one("#cause-text")
        if pages > 0:
            text.scroll_page_down(animate=False)
        else:
            text.scroll_page_up(animate=False)
