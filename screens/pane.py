"""The base class of the wizard's panes, and the state they share.

A pane edits the session's draft or shows what the engine found. It does not know the other panes. It sends its requests
to the wizard as messages: `Edited`, `Refreshed`, `Forward`, `GoTo`. The wizard calls `entered` and `left` (not
`on_enter`, which Textual would call whenever the mouse enters).

Blocking calls go through `in_thread`, awaited in an async worker of the pane::

    @on(Button.Pressed, "#look")
    def look(self) -> None:
        self.run_worker(self._look(), group="look", exclusive=True)   # exclusive: only for what changes no host

    async def _look(self) -> None:
        try:
            facts = await in_thread(lambda: self.engine().director(deployment))
        except DsrError as error:
            ...
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from textual.containers import VerticalScroll
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from dsrwizard.core.intake.problems import Problem
from dsrwizard.core.intake.validate import deployment_of
from screens.background import in_thread
from screens.widgets.words import frame_title

if TYPE_CHECKING:
    from dsrwizard.core.api import Engine
    from dsrwizard.core.intake.draft import Draft
    from dsrwizard.core.model.checks import Report
    from dsrwizard.core.model.deployment import Deployment
    from dsrwizard.core.model.facts import DirectorFacts, Observed
    from dsrwizard.core.model.outcome import RunResult
    from dsrwizard.core.model.steps import Plan
    from dsrwizard.core.plan.waves import WaveMode
    from dsrwizard.session import Session

__all__ = ["Desk", "Pane", "in_thread"]


@dataclass
class Desk:
    """The state that the steps of one wizard share: the session with its draft, the engine, and the last results.

    `engine` builds the engine when first called, which imports the backends: call it on a thread, never on the loop.
    """

    session: Session
    engine: Callable[[], Engine]
    director: DirectorFacts | None = None
    observed: Observed | None = None
    plan: Plan | None = None
    result: RunResult | None = None
    report: Report | None = None
    in_use: dict[str, str] = field(default_factory=dict)
    """VIP address → what the network check found, as a sentence; empty: nobody answers for it."""
    left_out: tuple[str, ...] = ()
    """Hosts that the last apply did not set up: skipped, rolled back or failed."""
    planned_for: Deployment | None = None
    """The deployment `plan` was made for. If the draft differs now, the plan is out of date."""
    wave: WaveMode = "auto"
    """Whether the servers of `plan` are changed in waves, as the operator chose."""


class Pane(VerticalScroll, can_focus=False):
    """One step of the wizard.

    Subclasses set `step_id`, `title` (the word in the stepper) and `heading` (the title of the pane's frame), compose
    their widgets, and override the hooks. Any widget may carry `hint` (one line of consequence, shown while it has the
    focus) and `HELP` (longer, shown by F1); the pane's own `hint` is shown if the widget has none.
    """

    step_id: ClassVar[str]
    title: ClassVar[str]
    heading: ClassVar[str]
    HELP: ClassVar[str] = ""
    roomy: ClassVar[bool] = False
    """Whether the pane also uses the help column's space on wide terminals (F1 still shows the help)."""

    hint: reactive[str] = reactive("", init=False)
    out_of_date: reactive[bool] = reactive(False, init=False)
    """Set by the wizard when an earlier step was edited after this pane had results. The pane refreshes when it is
    entered, and then clears this."""

    class Said(Message):
        """Base class of the pane's messages to the wizard."""

        def __init__(self, pane: Pane) -> None:
            super().__init__()
            self.pane = pane

        @property
        def control(self) -> Pane:
            return self.pane

    class Edited(Said):
        """The draft was changed. Results of later steps are out of date."""

    class Typed(Said):
        """Something that is not in the draft yet was typed. The session is to be saved."""

    class Refreshed(Said):
        """The hint, the mark in the stepper, the label of Next or the problems may have changed."""

    class Forward(Said):
        """The operator has finished this step; same as pressing Next."""

    class GoTo(Said):
        """Jump to another step, and there to the field with this problem key (`servers[1].address`)."""

        def __init__(self, pane: Pane, step: str, key: str = "") -> None:
            super().__init__(pane)
            self.step = step
            self.key = key

    def __init__(self, desk: Desk) -> None:
        super().__init__(id=self.step_id)
        self.desk = desk
        self.border_title = frame_title(self.heading)

    @property
    def session(self) -> Session:
        return self.desk.session

    @property
    def draft(self) -> Draft:
        return self.desk.session.draft

    def engine(self) -> Engine:
        """The engine. The first call builds it: call it inside `in_thread`."""
        return self.desk.engine()

    def deployment(self) -> Deployment:
        """The draft as a deployment. Raises UsageError while it has problems."""
        return deployment_of(self.draft)

    # What the wizard asks; overridden where a step has something to say.

    def problems(self) -> list[Problem]:
        """The problems with the input of this step; empty for steps without input."""
        return []

    def why_not_forward(self) -> str:
        """Why Next does not leave this step now, as one sentence for the hint line; empty: it does."""
        count = len(self.problems())
        if count:
            return f"Fix {count} problem{'s' if count > 1 else ''} first."
        return ""

    def can_leave_forward(self) -> bool:
        return not self.why_not_forward()

    def show_problems(self) -> None:
        """Called when Next was refused: shows every problem at once and focuses the first."""

    def show_problem(self, key: str) -> None:
        """Focus the field with this problem key."""

    def next_label(self) -> str:
        """The label of Next in the key bar; empty: there is no next step."""
        return "Next"

    def mark(self) -> str:
        """The stepper's state for this step when it was visited and is not current: `done`, `problem` or
        `out-of-date`."""
        if self.problems():
            return "problem"
        return "out-of-date" if self.out_of_date else "done"

    def first_focus(self) -> Widget | None:
        """The widget to focus first; None: the first that can be focused."""
        return None

    def entered(self) -> None:
        """Called when the pane is shown, after its widgets are mounted. Start background work here."""

    def left(self) -> None:
        """Called when the pane is hidden. Nothing is validated, asked or lost."""

    def running(self) -> str:
        """What quitting would interrupt in this pane, as a sentence; empty: nothing."""
        return ""

    def stop_running(self) -> None:
        """Called when the operator chose to stop and quit: finish what runs, start nothing new."""

    # Helpers.

    def forward(self) -> None:
        self.post_message(self.Forward(self))

    def refreshed(self) -> None:
        self.post_message(self.Refreshed(self))

    def watch_hint(self) -> None:
        if self.is_mounted:
            self.refreshed()

    def watch_out_of_date(self) -> None:
        if self.is_mounted:
            self.refreshed()
