"""The re-apply screen: shows what differs from the deployment in force, then applies it, as in the wizard."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widgets import ContentSwitcher, Static

from dsrwizard.core.api import Engine
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.session import Session
from screens.pane import Desk, Pane
from screens.questions.modals import HelpModal
from screens.questions.once import AnsweredOnce
from screens.widgets.keybar import KeyBar
from screens.widgets.words import frame_title
from screens.wizard.apply import ApplyPane
from screens.wizard.review import ReviewPane


class ReapplyScreen(AnsweredOnce[bool]):
    """The screen: the wizard's review and apply for a deployment in force. Returns True if something was applied."""

    BINDINGS = [
        Binding("escape", "back", "Back", id="reapply.back", tooltip="Go back without changing anything"),
        Binding("ctrl+n", "next", "Apply…", id="reapply.next", tooltip="Apply, after one confirmation"),
        Binding("f1,question_mark", "help", "Help", id="reapply.help", tooltip="What it does", key_display="f1"),
    ]

    def __init__(self, deployment: Deployment, engine: Callable[[], Engine]) -> None:
        super().__init__()
        self._deployment = deployment
        self._desk = Desk(Session(draft=Draft.from_deployment(deployment)), engine)
        self._complaint = ""

    def compose(self) -> ComposeResult:
        with ContentSwitcher(initial=ReviewPane.step_id, id="panes"):
            yield ReviewPane(self._desk)
            yield ApplyPane(self._desk)
        yield Static(id="hint", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(ReviewPane).border_title = frame_title(
            f"{self._deployment.name}: what differs from the deployment"
        )
        self._go(ReviewPane.step_id)

    @property
    def pane(self) -> Pane:
        """The pane that is shown."""
        current = self.query_one("#panes", ContentSwitcher).current
        return self.query_one(ApplyPane) if current == ApplyPane.step_id else self.query_one(ReviewPane)

    def _go(self, step: str) -> None:
        self.query_one("#panes", ContentSwitcher).current = step
        self._complaint = ""
        pane = self.pane
        pane.entered()
        self.set_focus(pane.first_focus())
        self._say()

    # What the app asks.

    def running(self) -> str:
        """What quitting would interrupt; empty: nothing."""
        return self.query_one(ApplyPane).running()

    def stop_running(self) -> None:
        self.query_one(ApplyPane).stop_running()

    def key_label(self, binding: Binding) -> str | None:
        """The labels of keys whose meaning changes during the run."""
        if binding.id == "reapply.next":
            nothing = self._desk.plan is not None and self._desk.plan.empty
            done = self.pane is not self.query_one(ReviewPane) and self.pane.next_label() == "Next"
            return "Finish" if nothing or done else None
        return None

    # What the operator does.

    def action_back(self) -> None:
        """Goes from apply to review, and from there back; does nothing during a run."""
        if self.running():
            self._complain("It is still running. Press s to stop it.")
        elif self.pane.step_id == ApplyPane.step_id and not self._desk.result:
            self._go(ReviewPane.step_id)
        else:
            self.dismiss(self._desk.result is not None)

    def action_next(self) -> None:
        """Goes to the apply, and from there back when everything is done."""
        pane = self.pane
        reason = pane.why_not_forward()
        if reason:
            pane.show_problems()
            self._complain(reason)
        elif pane.step_id == ReviewPane.step_id and self._desk.plan is not None and not self._desk.plan.empty:
            self._go(ApplyPane.step_id)
        else:
            self.dismiss(self._desk.result is not None)

    def action_help(self) -> None:
        self.app.push_screen(HelpModal(self.pane.heading, Content(self.pane.HELP)))

    @on(Pane.Refreshed)
    def refreshed(self, event: Pane.Refreshed) -> None:
        event.stop()
        self._say()

    @on(Pane.GoTo)
    def go_to(self, event: Pane.GoTo) -> None:
        """Shows the review if the plan is out of date; this screen has no input steps."""
        event.stop()
        if event.step == ReviewPane.step_id:
            self._go(event.step)
        else:
            self._complain("Press esc to leave, then ^e to open the deployment in the wizard.")

    def _complain(self, text: str) -> None:
        self._complaint = text
        self._say()

    def _say(self) -> None:
        self.query_one("#hint", Static).update(self._complaint or self.pane.hint)
        self.query_one("#hint").set_class(bool(self._complaint), "-complaint")
        self.refresh_bindings()
