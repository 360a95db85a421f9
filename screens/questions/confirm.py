"""The last question before anything is changed. Cancel has the focus; what exists and goes is confirmed by typing."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from dsrwizard.core.model.steps import Plan
from dsrwizard.core.tell.difference import count_line, interruptions, replaced_or_removed
from screens.questions.modals import scroll_text
from screens.widgets.glyphs import glyph
from screens.widgets.host_plan import plan_rows
from screens.widgets.keybar import KeyBar
from screens.widgets.rows import Rows
from screens.widgets.words import frame_title


class ConfirmModal(ModalScreen[bool]):
    """Asks whether to apply this plan. The VIP must be typed only when something existing is replaced or removed."""

    DEFAULT_CSS = """
    ConfirmModal #confirm-rows { height: auto; min-height: 3; max-height: 25vh; margin: 0 1; }
    """
    BINDINGS = [
        Binding("escape", "cancel", "Cancel", id="confirm.cancel", tooltip="Change nothing"),
        Binding("left", "app.focus_previous", "Previous", id="confirm.previous", show=False, tooltip="Button before"),
        Binding("right", "app.focus_next", "Next", id="confirm.next", show=False, tooltip="The next button"),
        Binding("pageup", "scroll(-1)", "Text up", id="confirm.up", show=False, tooltip="Scroll the text back"),
        Binding("pagedown", "scroll(1)", "Text down", id="confirm.down", show=False, tooltip="Scroll the text on"),
    ]  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        vip: str,
        verb: str = "Apply",
        *,
        rows: bool = False,
        title: str = "",
        about: str = "Every prior value goes to the journal first; all of it can be taken back.",
        removes: bool = False,
    ) -> None:
        """`removes`: it is all about removing, so the VIP is typed in any case and what goes is not listed again."""
        super().__init__()
        self._plan = plan
        self._vip = vip
        self._verb = verb
        self._rows = rows
        """Whether the steps themselves are shown too."""
        self._title = title or ("Apply what is missing?" if rows else "Apply this plan?")
        self._about = about
        self._replaced = () if removes else replaced_or_removed(plan)
        self._typed = removes or bool(self._replaced)
        self._removes = removes
        self.set_class(rows, "-rows")

    def compose(self) -> ComposeResult:
        with Vertical(classes="modal"):
            with VerticalScroll(classes="modal-text", can_focus=False):
                yield Static(self._body(), markup=False, classes="modal-body")
            if self._rows:
                yield Rows(id="confirm-rows")
            if self._typed:
                what = "go ahead" if self._removes else "confirm that"
                yield Static(f"Type {self._vip} to {what}:", markup=False, classes="modal-note")
                yield Input(id="confirm-vip", compact=True)
            yield Static(id="confirm-complaint", markup=False, classes="modal-note")
            with Horizontal(classes="modal-buttons"):
                yield Button("Cancel", id="confirm-cancel", variant="primary", compact=True)
                yield Button(self._verb, id="confirm-apply", variant="warning", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(".modal").border_title = frame_title(self._title)
        self.query_one("#confirm-complaint").display = False
        if self._rows:
            self.query_one(Rows).set_rows(plan_rows(self._plan))
        self.query_one("#confirm-cancel").focus()

    def _body(self) -> Content:
        lines = [Content(f"{count_line(self._plan)}.".capitalize())]
        broken = [host.host for host in self._plan.hosts if host.problem]
        if broken:
            lines.append(Content(f"Left out, because it cannot be planned: {', '.join(broken)}."))
        if self._removes:
            lines.append(Content(f"Clients of {self._vip} are no longer served from then on."))
        else:
            lines += _listed("Could interrupt", interruptions(self._plan))
        lines += _listed("Replaces or removes what exists", self._replaced)
        lines.append(Content(f"\n{self._about}"))
        return Content("\n").join(lines)

    @on(Button.Pressed, "#confirm-apply")
    @on(Input.Submitted)
    def go(self) -> None:
        """Goes ahead if what must be typed was typed."""
        if self._typed and self.query_one(Input).value.strip() != self._vip:
            complaint = self.query_one("#confirm-complaint", Static)
            complaint.update(f"{glyph('fail')} Type {self._vip} exactly, or Cancel.")
            complaint.display = True
            self.query_one(Input).focus()
            return
        self.dismiss(True)

    def action_scroll(self, pages: int) -> None:
        scroll_text(self, pages)

    @on(Button.Pressed, "#confirm-cancel")
    def action_cancel(self) -> None:
        self.dismiss(False)


def _listed(title: str, lines: tuple[str, ...]) -> list[Content]:
    if not lines:
        return []
    shown = [Content(f"  {line}") for line in lines[:8]]
    if len(lines) > 8:
        shown.append(Content(f"  and {len(lines) - 8} more"))
    return [Content.assemble("\n", (f"{title}:", "bold")), *shown]
