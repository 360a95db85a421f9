"""Several servers of the draft at once: their names, and the dialog for their weight."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Static

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftServer
from screens.questions.once import Dialog
from screens.widgets.glyphs import glyph
from screens.widgets.keybar import KeyBar
from screens.widgets.words import frame_title

NAMED = 6


def who(servers: list[DraftServer], *, names: bool = False) -> str:
    """One by its name, several by their number, with some of the names."""
    if len(servers) == 1:
        return servers[0].name or servers[0].address
    more = f" and {len(servers) - NAMED} more" if len(servers) > NAMED else ""
    told = ", ".join(server.name or server.address for server in servers[:NAMED]) + more
    return f"{len(servers)} servers ({told})" if names else f"{len(servers)} servers"


class DraftWeights(Dialog[str | None]):
    """Returns the weight as typed, or None."""

    BINDINGS = [Binding("escape", "cancel", "Cancel", id="weights.cancel", tooltip="Change nothing")]

    def __init__(self, who: str, start: str) -> None:
        super().__init__()
        self._who = who
        self._start = start

    def compose(self) -> ComposeResult:
        with Vertical(classes="modal"):
            said = "New clients are shared in proportion to the weights. The hosts are changed when you apply."
            yield Static(said, markup=False, classes="modal-body")
            yield Input(self._start, id="weights", compact=True, max_length=8, select_on_focus=True)
            yield Static(id="weights-says", markup=False, classes="modal-note")
            with Horizontal(classes="modal-buttons"):
                yield Button("Set", id="weights-set", variant="primary", compact=True)
                yield Button("Cancel", id="weights-cancel", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(".modal").border_title = frame_title(f"Weight of {self._who}")
        self.query_one(Input).focus()

    @on(Input.Submitted)
    @on(Button.Pressed, "#weights-set")
    def given(self) -> None:
        """Accepts the number, if it is a valid weight."""
        text = self.query_one(Input).value
        problem = fields.weight(text)
        if problem is None:
            self.dismiss(text.strip())
            return
        self.query_one("#weights-says", Static).update(f"{glyph('fail')} {problem.message} {problem.hint}")
        self.query_one(Input).focus()

    @on(Button.Pressed, "#weights-cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)
