"""The teardown screen: what would be undone, a typed confirmation, and the run."""

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
    "A teardown restores every value that this deployment changed, from the journal: first the director stops "
    "sending, then each real server loses the VIP and, last, its ARP guard, then the director's own settings are "
    "restored. Things that others added, or changed later, are left alone and listed. Connections get a minute to "
    "end; x cuts those that are left.\n\nClients of the VIP are "
    "then no longer served. A server that does not answer keeps its settings until it can be reached: r tries "
    "again.\n\nYour input in the wizard is kept."
)


class TeardownScreen(RunScreen[bool]):
    """The screen. Shows the plan, asks, and undoes the deployment. Returns True if nothing of it is left."""

    PLAN, RUN, FOCUS = "teardown-plan", "teardown-run", "#teardown-rows"
    HELP_TITLE, HELP_TEXT = "Tear down", HELP
    BINDINGS = [
        Binding("escape", "back", "Back", id="teardown.back", tooltip="Go back without changing anything"),
        Binding("ctrl+n", "next", "Tear down…", id="teardown.next", tooltip="Tear down, after one confirmation"),
        Binding("s", "stop", "Stop", id="teardown.stop", tooltip="Finish the running commands and start nothing new"),
        Binding("x", "skip_wait", "Wait no longer", id="teardown.skip-wait",
                tooltip="Remove the servers now; the connections that are left are cut"),
        Binding("r", "look", "Look again", id="teardown.look", tooltip="Check all hosts again and make a new plan"),
        Binding("c", "copy", "Copy report", id="teardown.copy", show=False, tooltip="Copy this host's report"),
        Binding("f1,question_mark", "help", "Help", id="teardown.help", tooltip="What it does", key_display="f1"),
    ]  # fmt: skip
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
        """What could not be removed on this machine, as a sentence."""
        self._steps: dict[str, Step] = {}
        self._remarks: tuple[str, ...] = ()
        """What is to be said of the journals, until it is said."""

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
        """The labels of keys whose meaning changes during the run."""
        if binding.id == "teardown.next":
            if self._gone:
                return "To the wizard"
            return "Finish" if self._plan is not None and self._plan.empty else None
        if binding.id == "teardown.look" and self._ran:
            return "Retry"
        return None

    # Looking.

    def action_look(self) -> None:
        """Observes all hosts and makes a new plan."""
        if self._looking or self.running() or self._gone:
            return

        def look() -> None:
            self._plan = None
            self._remarks = self._engine().remarks(self._deployment)
            self._plan = self._engine().teardown_plan(self._deployment)

        self.begin_look(look)

    # What the operator does.

    def action_next(self) -> None:
        """Asks, then starts the run; after a complete teardown, opens the wizard."""
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
            about="Previous values are restored from the journal. Things that others added stay.",
            removes=True,
        )
        self.app.push_screen(question, answered)

    # Running.

    def _begin(self, plan: Plan) -> None:
        view = self.query_one(RunView)
        deployment = self._deployment

        def work(watch: Observer) -> RunResult:
            from dsrwizard.session import forget_deployment

            engine = self._engine()
            engine.patience = view.patience
            result = engine.teardown(deployment, plan, watch, view.stop)
            self._gone = result.ok and not engine.in_force(deployment.name)
            if self._gone:
                try:
                    forget_deployment(deployment.name)
                except DsrError as error:
                    self._left = str(error)
            return result

        failures = {host.host: host.failure for host in plan.hosts if host.failure is not None}
        self.begin_run("Teardown", plan, failures, work)

    def take_plan(self, plan: Plan) -> None:
        self._plan = plan

    def after_run(self) -> None:
        if self._left:
            self.notify(self._left, severity="warning", markup=False)

    # Showing.

    def consequence(self) -> str:
        view = self.query_one(RunView)
        if view.doing:
            return "Restoring hosts. Press s to stop: running commands finish, nothing new starts."
        if self._gone:
            return "Nothing of the deployment is left. Your input is kept: ^n opens the wizard."
        if self._ran:
            return "Not everything is undone yet. Press r to check again and undo the rest."
        return "Nothing has been changed yet."

    def _summary(self) -> str:
        runs = self.query_one(RunView).runs
        if self._gone:
            return f"{glyph('ok')} Done: the director and the servers are as they were before."
        broken = runs.broken()
        if not broken:
            return f"{glyph('warn')} Undone, except what others use: the deployment stays in force."
        done = runs.done
        return f"{glyph('fail')} {done} of {len(runs.hosts)} hosts restored; failed: {', '.join(broken)}."

    def show_plan(self) -> None:
        plan, summary = self._plan, self.query_one("#teardown-summary", Static)
        rows = self.query_one("#teardown-rows", Rows)
        self._steps = {}
        remarks, self._remarks = self._remarks, ()
        for remark in remarks:
            self.notify(remark, title="The journal", severity="warning", markup=False)
        if self._looking:
            summary.update(f"{glyph('working')} Checking the hosts.")
            rows.set_rows([])
        elif plan is None:
            summary.update(f"{glyph('fail')} {self._error}")
            rows.set_rows([])
        elif plan.empty:
            summary.update("Nothing is left to undo. Finish takes the deployment out of force.")
            rows.set_rows([ListRow("empty", (("Every host is as it was before.", "good"),))])
        else:
            summary.update(
                f"To undo: {count_line(plan)}.\n{glyph('warn')} Clients of the VIP will no longer be served."
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
            detail.show([line for line in step_lines(self._steps[key]) if line[0] != "Undo"])
        elif broken is not None:
            known = failure_lines(broken.failure) if broken.failure else [("", broken.problem)]
            detail.show([*known, ("", "It keeps its settings until it can be reached. Press r to check again.")])
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
