"""The wizard's shell: stepper, one pane per step, hint line, key bar. It moves between steps and knows nothing about
their content."""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Input, Static

from dsrwizard.core.model.errors import DsrError
from screens.pane import Desk, Pane
from screens.questions.modals import HelpModal
from screens.questions.once import LeavesEarly
from screens.widgets.field import Field
from screens.widgets.keybar import KeyBar
from screens.widgets.words import frame_title
from screens.wizard.stepper import StepMark, Stepper, StepState

SAVE_AFTER = 0.5
"""Seconds after the last edit until the session is written."""


class StepInfo(NamedTuple):
    """A step of the wizard and the module of its pane. The pane is imported and mounted on the first visit.

    `key` jumps to it together with alt. Alt and a digit would not do: terminals send that as a sequence that Textual
    takes for another character.
    """

    id: str
    word: str
    key: str
    module: str
    pane: str

    def build(self, desk: Desk) -> Pane:
        return cast(Pane, getattr(import_module(self.module), self.pane)(desk))


STEPS: tuple[StepInfo, ...] = (
    StepInfo("vip", "VIP", "v", "screens.wizard.vip", "VipPane"),
    StepInfo("director", "Director", "d", "screens.wizard.director", "DirectorPane"),
    StepInfo("servers", "Servers", "s", "screens.wizard.servers", "ServersPane"),
    StepInfo("review", "Review", "r", "screens.wizard.review", "ReviewPane"),
    StepInfo("apply", "Apply", "a", "screens.wizard.apply", "ApplyPane"),
    StepInfo("verify", "Verify", "y", "screens.wizard.verify", "VerifyPane"),
    StepInfo("live", "Live", "l", "screens.live.screen", "LivePane"),
)
INPUT_STEPS = ("vip", "director", "servers")


class WizardScreen(LeavesEarly, Screen[None]):
    """The wizard's screen. Next asks the pane first, Back does not; panes keep their values while hidden."""

    AUTO_FOCUS = ""  # each step says where its focus begins

    BINDINGS = [
        Binding("escape", "back", "Back", id="wizard.back", tooltip="Previous step; nothing is checked or lost"),
        Binding("ctrl+n", "next", "Next", id="wizard.next", tooltip="Next step, if this one has no problems"),
        Binding(
            "f1,question_mark",
            "help",
            "Help",
            id="wizard.help",
            tooltip="Help for the focused field",
            key_display="f1",
        ),
        *(
            Binding(
                f"alt+{step.key},alt+{number}",
                f"jump('{step.id}')",
                f"Go to {step.word}",
                id=f"step.{step.id}",
                tooltip=f"alt+{step.key} goes to the step {step.word}",
                show=False,
                priority=True,  # an input would take the letter
            )
            for number, step in enumerate(STEPS, 1)
        ),
    ]

    def __init__(self, desk: Desk, *, waiting: bool = False) -> None:
        """`waiting`: shows the first step and leaves the session unchanged until `resume` or `start_over`."""
        super().__init__()
        self.desk = desk
        self._waiting = waiting
        self._step = STEPS[0].id
        self._said: tuple[object, ...] = ()
        self._complaint = ""
        self._save_timer: Timer | None = None
        self._save_failed = False

    def compose(self) -> ComposeResult:
        yield Static("Please enlarge the terminal to at least 60 × 18.", id="enlarge", markup=False)
        with Container(id="frame"):
            yield Stepper(id="stepper")
            yield ContentSwitcher(STEPS[0].build(self.desk), id="panes", initial=STEPS[0].id)
            with VerticalScroll(id="help", can_focus=False):
                yield Static(id="help-text", markup=False)
        yield Static(id="hint", markup=False)
        yield KeyBar()

    async def on_mount(self) -> None:
        self.watch(self, "focused", self._focus_moved, init=False)
        if self._waiting:
            self.show_state()
        else:
            await self.resume()

    async def resume(self) -> None:
        """Goes to the session's step. Apply needs a new plan, so the review comes first."""
        self._waiting = False
        step = self.desk.session.step
        await self.go("review" if step == "apply" else step or STEPS[0].id)

    # Where we are.

    @property
    def step(self) -> str:
        """The id of the current step."""
        return self._step

    @property
    def pane(self) -> Pane | None:
        """The current pane."""
        return self._pane(self._step)

    def running(self) -> str:
        """What quitting would interrupt; empty: nothing."""
        return next((text for pane in self.query(Pane) if (text := pane.running())), "")

    def stop_running(self) -> None:
        for pane in self.query(Pane):
            if pane.running():
                pane.stop_running()

    # Moving.

    async def go(self, step: str, key: str = "", *, complain: bool = False) -> None:
        """Shows a step. The step that is left is not checked. `key`: the field to focus there."""
        info = next((info for info in STEPS if info.id == step), STEPS[0])
        old = self.pane
        pane = self._pane(info.id)
        switcher = self.query_one("#panes", ContentSwitcher)
        self._complaint = ""
        if pane is None:
            pane = info.build(self.desk)
            await switcher.add_content(pane)
        if old is not None and old is not pane:
            old.left()
        self._step = info.id
        switcher.current = info.id
        session = self.desk.session
        session.step = info.id
        session.visited.add(info.id)
        self.save()
        pane.entered()
        if complain:
            pane.show_problems()
            self._complaint = pane.why_not_forward()
        elif key:
            pane.show_problem(key)
        else:
            focus = pane.first_focus() or next(iter(_focusable(pane)), None)
            self.set_focus(focus)
        self.show_state()

    async def action_next(self) -> None:
        pane = self.pane
        if pane is None or not pane.next_label():
            return
        reason = pane.why_not_forward()
        if reason:
            pane.show_problems()
            self._complaint = reason
            self.show_state()
            return
        index = _index(self._step) + 1
        if index < len(STEPS):
            await self._forward_to(STEPS[index].id)

    async def action_back(self) -> None:
        index = _index(self._step)
        if index > 0:
            await self.go(STEPS[index - 1].id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enables the jump to a step once it was visited."""
        if action == "jump":
            return True if parameters[0] in self.desk.session.visited else None
        return True

    async def action_jump(self, step: str) -> None:
        """Goes to a step that was visited before; for another one, says how to get there."""
        if step in self.desk.session.visited:
            await self._forward_to(step)
        else:
            self._complaint = "Not visited yet. Use Next to get there step by step."
            self.show_state()

    async def _forward_to(self, step: str) -> None:
        """Goes there, or to the first input step with problems, because results need a valid deployment."""
        if step not in INPUT_STEPS:
            for info in STEPS[: len(INPUT_STEPS)]:
                pane = await self._mounted(info)
                if not pane.can_leave_forward():
                    await self.go(info.id, complain=True)
                    return
        await self.go(step)

    def action_help(self) -> None:
        title, text = self._help()
        self.app.push_screen(HelpModal(title, text))

    # What is said.

    def show_state(self) -> None:
        """Updates stepper, hint, help and key bar."""
        stepper = self.query_one_optional(Stepper) if self.is_attached else None
        if stepper is None:  # on the way out the focus moves once more
            return
        pane = self.pane
        self.set_class(pane is not None and pane.roomy, "-roomy")
        stepper.marks = tuple(self._mark(info) for info in STEPS)
        title, text = self._help()
        said = (self._complaint, self._hint(), title, text)
        if said != self._said:
            self._said = said
            self.query_one("#hint", Static).update(self._complaint or self._hint())
            self.query_one("#hint").set_class(bool(self._complaint), "-complaint")
            self.query_one("#help").border_title = frame_title(title)
            self.query_one("#help-text", Static).update(text)
        self.refresh_bindings()

    def key_label(self, binding: Binding) -> str | None:
        """The key bar's label for a key now."""
        pane = self.pane
        if binding.id == "wizard.next" and pane is not None:
            count = len(pane.problems())
            label = pane.next_label()
            return f"{label} ({count} problem{'s' if count > 1 else ''})" if count and label else label
        if binding.id == "wizard.back" and _index(self._step) == 0:
            return ""
        return None

    def _hint(self) -> str:
        for widget in _outwards(self.focused):
            hint = getattr(widget, "hint", "")
            if hint:
                return str(hint)
        return self.pane.hint if self.pane is not None else ""

    def _help(self) -> tuple[str, Content]:
        pane = self.pane
        parts: list[Content] = []
        title = "Help"
        for widget in _outwards(self.focused):
            text = getattr(widget, "help_text", "")
            if text:
                title = getattr(widget, "help_title", "") or title
                parts.append(Content(str(text)))
                break
        if pane is not None and pane.HELP:
            parts.append(Content.styled(pane.heading, "bold"))
            parts.append(Content(pane.HELP))
        return title, Content("\n\n").join(parts)

    def _mark(self, info: StepInfo) -> StepMark:
        visited = info.id in self.desk.session.visited
        state: StepState = "todo"
        pane = self._pane(info.id)
        if info.id == self._step:
            state = "current"
        elif pane is not None:
            state = cast(StepState, pane.mark())
        elif visited:
            state = "done" if info.id in INPUT_STEPS else "out-of-date"
        return StepMark(info.id, info.word, info.key, state, visited)

    # What panes say.

    @on(Pane.Edited)
    def edited(self, event: Pane.Edited) -> None:
        event.stop()
        self._complaint = ""
        for pane in self.query(Pane):
            if _index(pane.step_id) > _index(event.pane.step_id) and pane.step_id not in INPUT_STEPS:
                pane.out_of_date = True
        self.save_soon()
        self.show_state()

    @on(Pane.Typed)
    def save_soon(self) -> None:
        """Saves the session in a moment, once for many keys."""
        if self._save_timer is None:
            self._save_timer = self.set_timer(SAVE_AFTER, self.save)

    @on(Pane.Refreshed)
    def refreshed(self, event: Pane.Refreshed) -> None:
        event.stop()
        self.show_state()

    @on(Pane.Forward)
    async def forward(self, event: Pane.Forward) -> None:
        event.stop()
        if event.pane is self.pane:
            await self.action_next()

    @on(Pane.GoTo)
    async def go_to(self, event: Pane.GoTo) -> None:
        event.stop()
        await self.go(event.step, event.key)

    @on(Stepper.Chosen)
    async def step_chosen(self, event: Stepper.Chosen) -> None:
        await self.action_jump(event.step)

    @on(Input.Submitted)
    async def enter_pressed(self, event: Input.Submitted) -> None:
        await self.next_field(event.input)

    @on(Field.Entered)
    async def field_entered(self, event: Field.Entered) -> None:
        await self.next_field(event.control_widget)

    async def next_field(self, control: Widget) -> None:
        """Handles Enter: goes to the next field of this pane, and from the last one to the next step."""
        pane = self.pane
        if pane is None:
            return
        controls = [widget for widget in _focusable(pane) if any(isinstance(node, Field) for node in _outwards(widget))]
        after = controls[controls.index(control) + 1 :] if control in controls else []
        if after:
            self.set_focus(after[0])
        else:
            await self.action_next()

    # The session.

    def save(self) -> None:
        """Saves the session. A full disk is reported, and does not stop the work."""
        if self._waiting:
            return
        if self._save_timer is not None:
            self._save_timer.stop()
            self._save_timer = None
        try:
            self.desk.session.save()
        except DsrError as error:
            if not self._save_failed:
                self.notify(str(error), severity="warning", markup=False)
            self._save_failed = True
        else:
            self._save_failed = False

    async def start_over(self, desk: Desk, step: str = "") -> None:
        """Builds every pane anew for another session."""
        self.desk = desk
        self._waiting = False
        await self.query(Pane).remove()
        await self.go(step or desk.session.step or STEPS[0].id)

    def _focus_moved(self) -> None:
        self._complaint = ""
        self.show_state()

    def _pane(self, step: str) -> Pane | None:
        # Not a query: that walks every widget of every pane, and this is asked with every key.
        panes = self.query_one("#panes").children
        return next((pane for pane in panes if isinstance(pane, Pane) and pane.step_id == step), None)

    async def _mounted(self, info: StepInfo) -> Pane:
        pane = self._pane(info.id)
        if pane is None:
            pane = info.build(self.desk)
            await self.query_one("#panes", ContentSwitcher).add_content(pane)
        return pane


def _index(step: str) -> int:
    return next((number for number, info in enumerate(STEPS) if info.id == step), 0)


def _outwards(widget: Widget | None) -> list[Widget]:
    """The widget and its ancestors, innermost first."""
    return [node for node in widget.ancestors_with_self if isinstance(node, Widget)] if widget is not None else []


def _focusable(pane: Pane) -> list[Widget]:
    """The widgets that Tab reaches in this pane, in order."""
    return [widget for widget in pane.screen.focus_chain if pane in widget.ancestors]
