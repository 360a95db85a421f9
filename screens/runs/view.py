"""The view of a run: one row per host, the selected host's report with buttons, and its log.

The run has its own thread; the engine's events arrive as messages.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Flag

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Button, Static

from dsrwizard.core.api import Patience
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.events import Draining, Event, Observer
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import Plan
from screens import clock
from screens.background import in_thread
from screens.runs.failure import buttons_for, report_lines
from screens.runs.hosts import HostRuns
from screens.widgets.check_detail import Detail, labelled
from screens.widgets.glyphs import glyph
from screens.widgets.host_log import TitledLog
from screens.widgets.host_words import in_words
from screens.widgets.rows import Rows

Work = Callable[[Observer], RunResult | None]
"""The work of a run. None: nothing was done, because the plan was out of date."""
BUTTONS = ("retry", "skip", "roll_back", "edit", "copy")
LABELS = {"retry": "Retry", "skip": "Skip", "roll_back": "Roll back", "edit": "Edit", "copy": "Copy report"}


class RunView(Vertical):
    """The widget of a run. Button presses go to the owner, with ids `do-<action>`.

    `summary` gives the first line while nothing runs and there is no error.
    """

    DEFAULT_CSS = """
    RunView { height: 1fr; width: 1fr; }
    RunView > #run-summary { height: auto; max-height: 3; width: 1fr; padding: 0 1; }
    RunView > #run-rows { height: 1fr; min-height: 4; }
    RunView > #run-failure { height: auto; max-height: 7; display: none; border-top: solid $error; }
    RunView > #run-buttons { height: 1; width: 1fr; display: none; padding: 0 1; }
    RunView > #run-buttons Button { margin-right: 1; width: auto; min-width: 8; }
    RunView.-failed > #run-failure, RunView.-failed > #run-buttons { display: block; }
    """

    class Told(Message, bubble=False):
        """One event of the run, from the engine."""

        def __init__(self, event: Event) -> None:
            super().__init__()
            self.event = event

    class Planned(Message, bubble=False):
        """A run has made a new plan before it started."""

        def __init__(self, plan: Plan, unseen: dict[str, Failure]) -> None:
            super().__init__()
            self.plan = plan
            self.unseen = unseen

    class Ended(Message):
        """A run has ended: with a result, with an error, or with neither if nothing was done."""

        def __init__(self, back: tuple[str, ...], result: RunResult | None, error: DsrError | None) -> None:
            super().__init__()
            self.back = back
            """The hosts that it rolled back."""
            self.result = result
            self.error = error

    class Shown(Message):
        """The state has changed; keys may have other labels now."""

    def __init__(self, summary: Callable[[], str], buttons: tuple[str, ...] = BUTTONS) -> None:
        super().__init__()
        self._summary = summary
        self._buttons = buttons
        self.runs = HostRuns()
        self.stop = Flag()
        self.patience = Patience()
        """For the connections of servers that are removed; a new one for every run."""
        self.draining = ""
        """What is waited for, as a sentence; empty: nothing."""
        self.doing = ""
        """The name of the run, as the subject of a sentence; empty: nothing runs."""
        self.error: DsrError | None = None
        self._began = 0.0

    def compose(self) -> ComposeResult:
        yield Static(id="run-summary", markup=False)
        yield Rows(id="run-rows")
        yield Detail(id="run-failure")
        with Horizontal(id="run-buttons"):
            for name in self._buttons:
                variant = "primary" if name == "retry" else "default"
                yield Button(LABELS[name], id=f"do-{name}", variant=variant, compact=True)  # type: ignore[arg-type]
        yield TitledLog("Log", id="run-log")

    def on_mount(self) -> None:
        self.set_interval(0.5, self._tick)

    # What the owner does.

    def take_plan(self, plan: Plan, unseen: dict[str, Failure]) -> None:
        """Shows one row per host of this plan, waiting or left out; `unseen` has the errors of hosts that could not be
        observed."""
        self.runs = HostRuns(plan, unseen)
        self.error = None

    def start(self, name: str, work: Work, back: tuple[str, ...] = ()) -> None:
        """Runs `work` on a thread. `Ended` is posted when it is over, with `back`."""
        self.doing = name
        self.stop.clear()
        self.patience, self.draining = Patience(), ""
        self.error = None
        self._began = clock.running()
        self.show()
        self.run_worker(self._work(work, back), group="run")

    def request_stop(self) -> None:
        """Stops: running commands finish, nothing new starts."""
        self.stop.set()
        self.show()

    def skip_wait(self) -> None:
        """Waits no longer for the connections that are left."""
        self.patience.skip.set()
        self.draining = ""
        self.show()

    @property
    def running(self) -> str:
        """The run as a sentence; empty: nothing runs."""
        if not self.doing:
            return ""
        count = self.runs.counted(("running", "waiting"))
        return f"{self.doing} is running on {count} host{'' if count == 1 else 's'}."

    @property
    def rows(self) -> Rows:
        return self.query_one("#run-rows", Rows)

    @property
    def chosen(self) -> str:
        """The host under the cursor; empty: none."""
        key = self.rows.key if self.is_mounted else ""
        return key if key in self.runs.hosts else ""

    @property
    def chosen_broken(self) -> str:
        """The host under the cursor if it needs a decision, otherwise empty."""
        host = self.chosen
        return host if host and self.runs.hosts[host].broken else ""

    def to_broken(self) -> None:
        """Moves the cursor to the first host that needs a decision."""
        broken = self.runs.broken()
        if broken:
            self.rows.put_cursor(broken[0])

    def report(self) -> str:
        """The report of the selected host, with its log, as text."""
        run = self.runs.hosts[self.chosen]
        said = labelled(report_lines(run, self.runs)).plain
        return "\n".join([run.host, said, *run.lines])

    # Running.

    async def _work(self, work: Work, back: tuple[str, ...]) -> None:
        def tell(event: Event) -> None:
            self.post_message(self.Told(event))

        def run() -> None:
            try:
                done = work(tell)
            except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
                self.post_message(self.Ended((), None, in_words(error)))
                return
            self.post_message(self.Ended(back, done, None))

        await in_thread(run, "dsrwizard-run")

    @on(Told)
    def told(self, event: Told) -> None:
        run = self.runs.take(event.event)
        waited, self.draining = bool(self.draining), ""
        if isinstance(event.event, Draining) and not self.patience.skip.is_set():
            self.draining = run.last
        if bool(self.draining) != waited:  # a key comes or goes
            self.show()
            return
        if run.host == self.chosen:
            self._follow()
        self._show_rows()

    @on(Planned)
    def planned(self, event: Planned) -> None:
        self.runs.add(event.plan, event.unseen)

    @on(Ended)
    def ended(self, event: Ended) -> None:
        self.doing = self.draining = ""
        self.error = event.error
        if event.result is not None:
            self.runs.rolled_back(event.back)
        self.show()
        self.to_broken()

    # Showing.

    def _tick(self) -> None:
        counting = any(run.revert for run in self.runs.hosts.values())
        if (self.doing or counting) and self.is_on_screen and self.screen.is_active:
            self._show_rows()

    def _show_rows(self) -> None:
        self.rows.set_rows(self.runs.rows(clock.running() - self._began))
        self.query_one("#run-summary", Static).update(self._first_line())

    @on(Rows.Moved, "#run-rows")
    def show(self) -> None:
        """Draws everything anew."""
        self._show_rows()
        self._follow()
        host = self.chosen_broken
        self.set_class(bool(host), "-failed")
        if host:
            run = self.runs.hosts[host]
            self.query_one("#run-failure", Detail).show(report_lines(run, self.runs))
            useful = buttons_for(run)
            for button in self.query_one("#run-buttons").query(Button):
                button.display = (button.id or "") in useful
                button.disabled = bool(self.doing) and button.id != "do-copy"
        self.post_message(self.Shown())

    def _follow(self) -> None:
        """Shows the selected host's log."""
        host = self.chosen
        lines = self.runs.hosts[host].lines if host else []
        self.query_one("#run-log", TitledLog).follow(host, f"Log of {host}" if host else "Log", lines)

    def _first_line(self) -> str:
        if self.error is not None:
            return f"{glyph('fail')} {self.error}"
        if not self.doing:
            return self._summary()
        if self.stop.is_set():
            return f"{glyph('working')} Stopping: running commands finish, nothing new starts."
        if self.draining:
            return f"{glyph('working')} Waiting for connections: {self.draining}. Press x to wait no longer."
        total = self.runs.total
        return f"{glyph('working')} {self.doing}: {self.runs.done} of {total} hosts done."
