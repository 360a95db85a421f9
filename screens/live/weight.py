"""The dialog for a real server's weight, checked as it is typed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Static

from dsrwizard.core.intake import fields
from dsrwizard.core.model.snapshot import DestinationRow
from screens.questions.once import Dialog
from screens.widgets.glyphs import glyph
from screens.widgets.keybar import KeyBar
from screens.widgets.toggles import Tick
from screens.widgets.words import frame_title


@dataclass(frozen=True)
class Weighed:
    """The dialog's result: a weight, and whether it applies only to the selected service."""

    weight: int
    here: bool = False


class WeightModal(Dialog[Weighed | None]):
    """The dialog. Returns the weight, or None when the operator cancels or changes nothing.

    `chosen` has the selected line of each server, `rows` are their lines in all services.
    """

    BINDINGS = [Binding("escape", "cancel", "Cancel", id="weight.cancel", tooltip="Change nothing")]

    def __init__(self, chosen: Sequence[DestinationRow], rows: Sequence[DestinationRow]) -> None:
        super().__init__()
        self._chosen = chosen[0]
        self._several = len(chosen)
        self._rows = rows
        self._present = {row.weight for row in rows if row.weight is not None}

    def compose(self) -> ComposeResult:
        with Vertical(classes="modal"):
            with VerticalScroll(classes="modal-text", can_focus=False):
                yield Static(self._body(), markup=False, classes="modal-body")
            start = str(min(self._present)) if len(self._present) == 1 else ""
            yield Input(start, id="weight", compact=True, max_length=8, select_on_focus=True)
            yield Static(id="weight-says", markup=False, classes="modal-note")
            if len(self._rows) > 1 and self._several == 1:
                yield Tick(f"Only in {self._chosen.vip} {self._chosen.service}", id="weight-here", compact=True)
            with Horizontal(classes="modal-buttons"):
                yield Button("Set…", id="weight-set", variant="primary", compact=True)
                yield Button("Cancel", id="weight-cancel", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(".modal").border_title = frame_title(
            f"Weight of {self._chosen.server}" if self._several == 1 else f"Weight of {self._several} servers"
        )
        self.query_one(Input).focus()
        self._say()

    def _body(self) -> str:
        if self._several > 1:
            return (
                "Enter shows what the new weight does to users, and asks. It stands until the deployment is applied "
                "again. u restores the deployment's weights."
            )
        count = len(self._rows)
        now = "It is not in IPVS." if not self._present else f"Now {_range(self._present)}"
        wanted = _range({row.wanted_weight for row in self._rows})
        where = "its service" if count == 1 else f"all its {count} services, or in one"
        return (
            f"{now}; the deployment says {wanted}.\n\nEnter shows what the new weight does to users in {where}, and "
            "asks. It stands until the deployment is applied again. u restores the deployment's weight."
        )

    @on(Input.Changed)
    def _say(self) -> None:
        text = self.query_one(Input).value
        problem = fields.weight(text)
        says = self.query_one("#weight-says", Static)
        if problem:
            says.update(f"{glyph('fail')} {problem.message} {problem.hint}")
        elif fields.whole_number(text) == 0:
            says.update("0 drains it: no new clients; existing ones stay.")
        else:
            says.update("New clients are shared in proportion to the weights.")

    @on(Input.Submitted)
    @on(Button.Pressed, "#weight-set")
    def given(self) -> None:
        """Accepts the number, if it is a valid weight."""
        text = self.query_one(Input).value
        if fields.weight(text):
            self.query_one(Input).focus()
            return
        weight = fields.whole_number(text) or 0
        here = any(tick.value for tick in self.query(Tick))
        present = {self._chosen.weight} if here else self._present
        self.dismiss(None if present == {weight} else Weighed(weight, here))

    @on(Button.Pressed, "#weight-cancel")
    def action_cancel(self) -> None:
        self.dismiss(None)


def _range(weights: set[int]) -> str:
    low, high = min(weights), max(weights)
    return str(low) if low == high else f"{low} to {high}"
