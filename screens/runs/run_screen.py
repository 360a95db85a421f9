"""The base class of the mend and teardown screens: shows a plan, asks, runs it and reports the result."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.content import Content
from textual.widgets import Button, ContentSwitcher, Static

from dsrwizard.core.model.errors import DsrError, Locked
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.plan.again import PlanChanged
from screens.background import in_thread
from screens.questions.busy import another_run
from screens.questions.modals import HelpModal
from screens.questions.once import AnsweredOnce
from screens.runs.view import RunView
from screens.widgets.host_words import in_words

T = TypeVar("T")
CHANGED = "The hosts have changed since the plan was made. Nothing was done. This is the plan now."


class RunScreen(AnsweredOnce[T], Generic[T]):
    """Looks at hosts, asks, changes them and tells how that went.

    A subclass composes a ContentSwitcher whose children are `PLAN` and `RUN`, the latter with a RunView, and a Static
    `#hint`; it binds back, next, stop, look, copy and help.
    """

    PLAN: ClassVar[str]
    RUN: ClassVar[str]
    FOCUS: ClassVar[str]
    """What has the focus while the plan is shown."""
    HELP_TITLE: ClassVar[str]
    HELP_TEXT: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self._looking = False
        self._ran = False
        self._error: DsrError | None = None
        self._again: Callable[[], None] = lambda: None
        """Begins the last run once more."""

    # What a subclass says.

    def outcome(self) -> T | None:
        """What the screen is dismissed with."""
        raise NotImplementedError

    def consequence(self) -> str:
        """What is going on and what the next key does, in a line."""
        raise NotImplementedError

    def show_plan(self) -> None:
        """Shows what was found, as long as nothing runs or ran."""
        raise NotImplementedError

    def ready(self) -> bool | None:
        """Whether ^n may be pressed now; None: it is shown, yet does nothing."""
        raise NotImplementedError

    def settled(self) -> bool:
        """Whether there is nothing left to look at."""
        return False

    def action_look(self) -> None:
        """Looks at the hosts again."""
        raise NotImplementedError

    # What the app asks.

    def running(self) -> str:
        """What quitting would interrupt; empty: nothing."""
        return self.query_one(RunView).running

    def stop_running(self) -> None:
        self.query_one(RunView).request_stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Shows only the keys that make sense now."""
        if not self.is_mounted:
            return None
        view = self.query_one(RunView)
        match action:
            case "next":
                return self.ready()
            case "stop":
                return bool(view.doing) and not view.stop.is_set()
            case "skip_wait":
                return bool(view.draining)
            case "look":
                return not view.doing and not self._looking and not self.settled()
            case "copy":
                return self._ran
            case _:
                return True

    # Looking.

    def begin_look(self, look: Callable[[], None]) -> None:
        """Shows the plan's side and runs `look` in a thread."""
        self._looking, self._error, self._ran = True, None, False
        self.query_one(ContentSwitcher).current = self.PLAN
        self.query_one(self.FOCUS).focus()
        self._show()
        self.run_worker(self._look(look), group="look")

    async def _look(self, look: Callable[[], None]) -> None:
        try:
            await in_thread(look)
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._error = in_words(error)
        self._looking = False
        self._show()

    # What the operator does.

    async def action_back(self) -> None:
        """Goes back, unless a run is in progress."""
        if self.running():
            self._tell("It is still running. Press s to stop it.")
        else:
            self.dismiss(self.outcome())

    def action_stop(self) -> None:
        self.stop_running()

    def action_skip_wait(self) -> None:
        self.query_one(RunView).skip_wait()

    def action_copy(self) -> None:
        view = self.query_one(RunView)
        if view.chosen:
            self.app.copy_to_clipboard(view.report())
            self.notify(f"Report of {view.chosen} copied to the clipboard.", markup=False)

    def action_help(self) -> None:
        self.app.push_screen(HelpModal(self.HELP_TITLE, Content(self.HELP_TEXT)))

    @on(Button.Pressed)
    async def _button(self, event: Button.Pressed) -> None:
        event.stop()
        await self.run_action({"do-retry": "look", "do-copy": "copy"}[event.button.id or ""])

    # Running and showing.

    def begin_run(
        self, name: str, plan: Plan, failures: dict[str, Failure], work: Callable[[Observer], RunResult]
    ) -> None:
        """Shows the run's side and runs `work`; `failures` are those of hosts that could not be planned."""
        self._ran = True
        self._again = lambda: self.begin_run(name, plan, failures, work)
        view = self.query_one(RunView)
        view.take_plan(plan, failures)
        self.query_one(ContentSwitcher).current = self.RUN
        view.rows.focus()
        view.start(name, work)

    def after_run(self) -> None:
        """Called when the run has ended, before it is shown."""

    def take_plan(self, plan: Plan) -> None:
        """The plan is another one now than the one that was confirmed, and nothing was done."""
        raise NotImplementedError

    @on(RunView.Ended)
    def _ended(self, event: RunView.Ended) -> None:
        if isinstance(event.error, PlanChanged):
            self._not_begun()
            self.take_plan(event.error.plan)
            self.notify(CHANGED, severity="warning", markup=False)
        elif isinstance(event.error, Locked):
            self._not_begun()
            another_run(self.app, event.error, self._again)
        else:
            self.after_run()
        self._show()

    def _not_begun(self) -> None:
        self._ran = False
        self.query_one(RunView).error = None
        self.query_one(ContentSwitcher).current = self.PLAN
        self.query_one(self.FOCUS).focus()

    @on(RunView.Shown)
    def _show(self) -> None:
        if not self._ran:
            self.show_plan()
        self._tell(self.consequence())
        self.refresh_bindings()

    def _tell(self, text: str) -> None:
        self.query_one("#hint", Static).update(text)
