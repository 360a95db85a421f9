"""The confirmation before a plan is applied. Cancel has the focus; replacing or removing things must be confirmed by
typing."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Static

from dsrwizard.core.model.steps import Plan
from dsrwizard.core.model.words import capital
from dsrwizard.core.plan.waves import wave_lines
from dsrwizard.core.tell.difference import count_line, interruptions, replaced_or_removed
from screens.questions.modals import scroll_text
from screens.questions.once import Dialog
from screens.widgets.glyphs import glyph
from screens.widgets.host_plan import plan_rows
from screens.widgets.keybar import KeyBar
from screens.widgets.rows import Rows
from screens.widgets.words import frame_title


class ConfirmModal(Dialog[bool]):
    """The dialog that asks whether to apply a plan. The VIP must be typed only if something existing is replaced or
    removed."""

    DEFAULT_CSS = """
    ConfirmModal #confirm-rows { height: auto; min-height: 3; max-height: 25vh; margin: 0 1; }
    """
    BINDINGS = [
        Binding("escape", "cancel", "Cancel", id="confirm.cancel", tooltip="Change nothing"),
        Binding("left", "app.focus_previous", "Previous", id="confirm.previous", show=False, tooltip="Previous button"),
        Binding("right", "app.focus_next", "Next", id="confirm.next", show=False, tooltip="Next button"),
        Binding("pageup", "scroll(-1)", "Text up", id="confirm.up", show=False, tooltip="Scroll the text up"),
        Binding("pagedown", "scroll(1)", "Text down", id="confirm.down", show=False, tooltip="Scroll the text down"),
    ]  # fmt: skip

    def __init__(
        self,
        plan: Plan,
        vip: str,
        verb: str = "Apply",
        *,
        rows: bool = False,
        title: str = "",
        about: str = "Every previous value is saved in the journal first, and teardown restores them.",
        removes: bool = False,
    ) -> None:
        """`removes`: the plan only removes things, so the VIP must be typed in any case, and the removed things are
        not listed again."""
        super().__init__()
        self._plan = plan
        self._vip = vip
        self._verb = verb
        self._rows = rows
        """Whether the steps are shown as well."""
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
                what = "continue" if self._removes else "confirm"
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
        lines = [Content(capital(f"{count_line(self._plan)}."))]
        broken = [host.host for host in self._plan.hosts if host.problem]
        if broken:
            lines.append(Content(f"Left out, because no plan could be made: {', '.join(broken)}."))
        if not self._rows:  # those show the waves themselves
            lines += _listed("In waves", wave_lines(self._plan))
        if self._removes:
            lines.append(Content(f"Clients of {self._vip} will no longer be served."))
        else:
            lines += _listed("Could interrupt", interruptions(self._plan))
        lines += _listed("Replaces or removes what exists", self._replaced)
        lines.append(Content(f"\n{self._about}"))
        return Content("\n").join(lines)

    @on(Button.Pressed, "#confirm-apply")
    @on(Input.Submitted)
    def go(self) -> None:
        """Confirms, if the VIP was typed where it must be."""
        if self._typed and self.query_one(Input).value.strip() != self._vip:
            complaint = self.query_one("#confirm-complaint", Static)
            complaint.update(f"{glyph('fail')} Type {self._vip} exactly, or cancel.")
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
