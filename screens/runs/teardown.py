"""The teardown: what would be taken back, a confirmation that is typed, and the run, as in review and apply."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.widgets import ContentSwitcher, Static

from dsrwizard.core.api import Engine
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import Plan, Step
from dsrwizard.core.tell.difference import count_line
from screens.questions.confirm import ConfirmModal
from screens.questions.modals import HelpModal
from screens.runs.run_screen import RunScreen
from screens.runs.view import RunView
from screens.widgets.check_detail import Detail
from screens.widgets.glyphs import glyph
from screens.widgets.host_plan import failure_lines, problem_key, step_key, step_lines, step_text, withdrawal_rows
from screens.widgets.keybar import KeyBar
from screens.widgets.rows import ListRow, Rows
from screens.widgets.words import frame_title

HELP = (
    "Everything this deployment set up is taken back, value for value, from the journal: first the director stops "
    "sending, then each real server lets go of the VIP, its guard last, then the director's own settings. What others "
    "put there, or changed since, stays as it is and is named.\n\n"
    "Clients of the VIP are no longer served from then on. A server that does not answer keeps what it has until it is "
    "reached too: r tries again.\n\n"
    "What was entered in the wizard is kept."
)


class TeardownScreen(RunScreen[bool]):
    """Shows the plan, asks, takes it back. Dismissed with True when nothing of the deployment is left."""

    PLAN, RUN, FOCUS = "teardown-plan", "teardown-run", "#teardown-rows"
    HELP_TITLE, HELP_TEXT = "Tear down", HELP
    BINDINGS = [
        Binding("escape", "back", "Back", id="teardown.back", tooltip="Back; nothing is changed by that"),
        Binding("ctrl+n", "next", "Tear down…", id="teardown.next", tooltip="Take it back, after one question"),
        Binding("s", "stop", "Stop", id="teardown.stop", tooltip="Finish what runs now and begin nothing new"),
        Binding("r", "look", "Look again", id="teardown.look", tooltip="Look at all hosts again and plan anew"),
        Binding("c", "copy", "Copy report", id="teardown.copy", show=False, tooltip="Copy what happened on this host"),
        Binding("f1,question_mark", "help", "Help", id="teardown.help", tooltip="What it does", key_display="f1"),
    ]
    DEFAULT_CSS = """
    TeardownScreen #teardown-frame { border: round $warning; border-title-color: $text-warning; height: 1fr;
        border-title-style: bold; padding: 0 1; }
    TeardownScreen #teardown-summary { height: auto; max-height: 3; width: 1fr; padding: 0 1; }
    TeardownScreen #teardown-detail { height: 6; }
    """

    def __init__(self, deployment: Deployment, engine: Callable[[], Engine]) -> None:
        super().__init__()
        self._deployment = deployment
        self._engine = engine
        self._plan: Plan | None = None
        self._gone = False
        self._left = ""
        """What could not be tidied up on this machine, as a sentence."""
        self._steps: dict[str, Step] = {}

    def compose(self) -> ComposeResult:
        with ContentSwitcher(initial="teardown-plan", id="teardown-frame"):
            with Container(id="teardown-plan"):
                yield Static(id="teardown-summary", markup=False)
                yield Rows(id="teardown-rows")
                yield Detail(id="teardown-detail")
            with Container(id="teardown-run"):
                yield RunView(self._summary, buttons=("retry", "copy"))
        yield Static(id="hint", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#teardown-frame").border_title = frame_title(f"Tear down {self._deployment.name}")
        self.query_one("#teardown-rows").focus()
        self.action_look()

    # What the app asks.

    def outcome(self) -> bool:
        return self._gone

    def settled(self) -> bool:
        return self._gone

    def ready(self) -> bool | None:
        possible = self._plan is not None and not self._looking and (bool(self._plan.steps) or self._plan.empty)
        return self._gone or (False if self._ran else True if possible else None)

    def key_label(self, binding: Binding) -> str | None:
        """The words for keys whose meaning depends on how far it is."""
        if binding.id == "teardown.next":
            if self._gone:
                return "To the wizard"
            return "Finish" if self._plan is not None and self._plan.empty else None
        if binding.id == "teardown.look" and self._ran:
            return "Retry"
        return None

    # Looking.

    def action_look(self) -> None:
        """Looks at all hosts and plans anew."""
        if self._looking or self.running() or self._gone:
            return

        def look() -> None:
            self._plan = None
            self._plan = self._engine().teardown_plan(self._deployment)

        self.begin_look(look)

    # What the operator does.

    def action_next(self) -> None:
        """Asks and begins; when all is taken back, leads to the wizard."""
        plan = self._plan
        if self._gone:
            self.dismiss(True)
            return
        if plan is None or self._ran or self._looking:
            return
        if plan.empty:
            self._begin(plan)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._begin(plan)

        question = ConfirmModal(
            plan,
            self._deployment.vips[0].address,
            "Tear down",
            title=f"Tear down {self._deployment.name}?",
            about="What was there before comes back from the journal; what others put there stays.",
            removes=True,
        )
        self.app.push_screen(question, answered)

    # Running.

    def _begin(self, plan: Plan) -> None:
        stop = self.query_one(RunView).stop
        deployment = self._deployment

        def work(watch: Observer) -> RunResult:
            from dsrwizard.session import forget_deployment

            engine = self._engine()
            result = engine.teardown(deployment, plan, watch, stop)
            self._gone = result.ok and not engine.in_force(deployment.name)
            if self._gone:
                try:
                    forget_deployment(deployment.name)
                except DsrError as error:
                    self._left = str(error)
            return result

        failures = {host.host: host.failure for host in plan.hosts if host.failure is not None}
        self.begin_run("The teardown", plan, failures, work)

    def after_run(self) -> None:
        if self._left:
            self.notify(self._left, severity="warning", markup=False)

    # Showing.

    def consequence(self) -> str:
        view = self.query_one(RunView)
        if view.doing:
            return "Hosts are being changed back. s stops: what runs is finished, nothing new begins."
        if self._gone:
            return "Nothing of it is left. What was entered is kept: ^n leads to the wizard."
        if self._ran:
            return "Not everything is taken back yet. r looks again and takes back what is left."
        return "Nothing has been changed yet."

    def _summary(self) -> str:
        runs = self.query_one(RunView).runs
        if self._gone:
            return f"{glyph('ok')} Taken back: director and servers are as they were before."
        broken = runs.broken()
        if not broken:
            return f"{glyph('warn')} Taken back but for what others use: the deployment stays in force."
        done = runs.done
        return f"{glyph('fail')} {done} of {len(runs.hosts)} hosts as before; {', '.join(broken)}: not taken back."

    def show_plan(self) -> None:
        plan, summary = self._plan, self.query_one("#teardown-summary", Static)
        rows = self.query_one("#teardown-rows", Rows)
        self._steps = {}
        if self._looking:
            summary.update(f"{glyph('working')} Looking at the hosts.")
            rows.set_rows([])
        elif plan is None:
            summary.update(f"{glyph('fail')} {self._error}")
            rows.set_rows([])
        elif plan.empty:
            summary.update("Nothing is left to take back. Finish takes the deployment out of force.")
            rows.set_rows([ListRow("empty", (("Every host is as it was before.", "good"),))])
        else:
            summary.update(
                f"To take back: {count_line(plan)}.\n{glyph('warn')} Clients of the VIP are then not served."
            )
            self._steps = {step_key(step): step for step in plan.steps}
            rows.set_rows(withdrawal_rows(plan))
        self._show_detail()

    @on(Rows.Moved, "#teardown-rows")
    def _show_detail(self) -> None:
        key, detail = self.query_one("#teardown-rows", Rows).key, self.query_one("#teardown-detail", Detail)
        broken = (
            next((host for host in self._plan.hosts if problem_key(host.host) == key), None) if self._plan else None
        )
        if key in self._steps:
            detail.show([line for line in step_lines(self._steps[key]) if line[0] != "Undone by"])
        elif broken is not None:
            known = failure_lines(broken.failure) if broken.failure else [("", broken.problem)]
            detail.show([*known, ("", "It keeps what it has until it is reached: r looks again.")])
        elif key.startswith("note "):
            rows = self.query_one("#teardown-rows", Rows)
            detail.show([("", rows.row_at(rows.cursor).text.strip())])
        else:
            detail.show([])

    @on(Rows.Chosen, "#teardown-rows")
    def _open(self, event: Rows.Chosen) -> None:
        step = self._steps.get(event.key)
        if step is not None:
            self.app.push_screen(HelpModal(f"{step.host}: {step.title}", step_text(step, undo=False)))
