"""The base of every wizard step's pane, and the desk on which all of them work.

A pane edits the session's draft or shows what the engine found; it knows nothing of its siblings. What it wants from
the wizard it says in messages: `Edited`, `Refreshed`, `Forward`, `GoTo`. The wizard calls `entered` and
`left` (not `on_enter`, which Textual would call whenever the mouse comes in).

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
    from dsrwizard.session import Session

__all__ = ["Desk", "Pane", "in_thread"]


@dataclass
class Desk:
    """What the steps of one wizard share: the session with its draft, the engine, and the last results.

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
    """VIP address → what was heard about it on the wire, as a sentence; empty: nobody answers for it."""
    left_out: tuple[str, ...] = ()
    """Hosts that the last apply did not set up: skipped, rolled back or failed."""
    planned_at: float = 0.0
    """When `plan` was made, by `clock.running()`: an old plan is looked at again before it is applied."""
    planned_for: Deployment | None = None
    """The deployment `plan` was made for: with another draft it is out of date."""


class Pane(VerticalScroll, can_focus=False):
    """One step of the wizard.

    Subclasses set `step_id`, `title` (the word in the stepper) and `heading` (the title of the pane's frame), compose
    their widgets, and override the hooks. Any widget may carry `hint` (one line of consequence, shown while it has the
    focus) and `HELP` (longer, shown by F1); the pane's own `hint` stands where the widget has none.
    """

    step_id: ClassVar[str]
    title: ClassVar[str]
    heading: ClassVar[str]
    HELP: ClassVar[str] = ""
    roomy: ClassVar[bool] = False
    """Whether the pane wants the help column's room on wide terminals (F1 still shows the help)."""

    hint: reactive[str] = reactive("", init=False)
    out_of_date: reactive[bool] = reactive(False, init=False)
    """Set by the wizard when an earlier step was edited after this pane had results. The pane looks again when it is
    entered, and clears it when what it shows is fresh."""

    class Said(Message):
        """Base of the pane's messages to the wizard."""

        def __init__(self, pane: Pane) -> None:
            super().__init__()
            self.pane = pane

        @property
        def control(self) -> Pane:
            return self.pane

    class Edited(Said):
        """The draft was changed: results of later steps are out of date from now on."""

    class Refreshed(Said):
        """The hint, the mark in the stepper, the label of Next or the problems may have changed."""

    class Forward(Said):
        """The operator is done with this step: the same as pressing Next."""

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
        """The engine. Builds it when first called: call it inside `in_thread`."""
        return self.desk.engine()

    def deployment(self) -> Deployment:
        """The draft as a deployment. Raises UsageError while it has problems."""
        return deployment_of(self.draft)

    # What the wizard asks; overridden where a step has something to say.

    def problems(self) -> list[Problem]:
        """What is wrong with what was entered here; empty for steps without input."""
        return []

    def why_not_forward(self) -> str:
        """Why Next does not leave this step now, as one sentence for the hint line; empty: it does."""
        count = len(self.problems())
        if count:
            return f"{count} problem{'s' if count > 1 else ''} to mend first."
        return ""

    def can_leave_forward(self) -> bool:
        return not self.why_not_forward()

    def show_problems(self) -> None:
        """Next was pressed and refused: show every problem at once and focus the first."""

    def show_problem(self, key: str) -> None:
        """Focus the field with this problem key."""

    def next_label(self) -> str:
        """The word for Next in the footer; empty: there is no next."""
        return "Next"

    def mark(self) -> str:
        """The stepper's state of this visited step when it is not current: `done`, `problem` or `out-of-date`."""
        if self.problems():
            return "problem"
        return "out-of-date" if self.out_of_date else "done"

    def first_focus(self) -> Widget | None:
        """The widget for the common case; None: the first that can be focused."""
        return None

    def entered(self) -> None:
        """The pane is shown now, after its widgets are mounted. Start background looks here."""

    def left(self) -> None:
        """The pane is hidden now. Nothing is validated, asked or lost."""

    def running(self) -> str:
        """What of this pane must not be cut off by quitting, as a sentence; empty: nothing."""
        return ""

    def stop_running(self) -> None:
        """The operator chose to stop it and quit: let it finish what runs, start nothing new."""

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
