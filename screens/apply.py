"""The apply: a row per host while the plan is carried out, its log, and what to do when a host fails."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event as Flag

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Button, Static

from dsrwizard.core.errors import DsrError
from dsrwizard.core.events import Event, Observer
from dsrwizard.core.facts import Observed
from dsrwizard.core.model import Deployment
from dsrwizard.core.outcome import Outcome, RunResult
from dsrwizard.core.steps import DIRECTOR, HostPlan, Plan
from screens import clock
from screens.confirm import ConfirmModal
from screens.modals import Choice, Question
from screens.pane import Desk, Pane, in_thread
from screens.widgets.check_detail import Detail
from screens.widgets.glyphs import glyph
from screens.widgets.host_failure import buttons_for, report_lines
from screens.widgets.host_log import TitledLog
from screens.widgets.host_runs import HostRuns
from screens.widgets.host_words import in_words
from screens.widgets.live_rows import Rows

FRESH_SECONDS = 30.0
"""A plan older than this is made again before anything is changed: people read the review for a while."""


Work = Callable[[Observer], RunResult | None]
"""A run in a thread of its own. None: the plan is out of date, nothing was done."""


class ApplyPane(Pane):
    """Carries the plan out. `desk.result` is what became of it."""

    step_id = "apply"
    title = "Apply"
    heading = "Apply"
    roomy = True
    HELP = (
        "Each host is one row: where it is, how long it has taken, what it said last. Below is the log of the chosen "
        "host. A host that fails stops no other; its row says what was tried and what the host said, and you retry "
        "it, skip it, or roll it back.\n\n"
        "Stop finishes the commands that run now and begins no new ones. The journal holds every prior value, so "
        "whatever was done can be taken back later too."
    )
    BINDINGS = [
        Binding("a", "apply", "Apply…", id="apply.apply", tooltip="Carry the plan out, after one question"),
        Binding("s", "stop", "Stop", id="apply.stop", tooltip="Finish what runs now and begin nothing new"),
        Binding("r", "retry", "Retry", id="apply.retry", tooltip="Look again and do what is still missing"),
        Binding("k", "skip", "Skip", id="apply.skip", tooltip="Leave this host as it is and go on without it"),
        Binding("b", "roll_back", "Roll back", id="apply.roll-back", tooltip="Take back what was changed on this host"),
        Binding("B", "roll_back_all", "Roll back all", id="apply.roll-back-all", show=False,
                tooltip="Take back what was changed on every host"),
        Binding("g", "edit", "Edit", id="apply.edit", show=False, tooltip="Go to this server's entry"),
        Binding("c", "copy", "Copy report", id="apply.copy", show=False, tooltip="Copy what happened on this host"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    ApplyPane { overflow: hidden; }
    ApplyPane > #apply-summary { height: 1; width: 1fr; padding: 0 1; }
    ApplyPane > #apply-rows { height: 1fr; min-height: 4; }
    ApplyPane > #apply-failure { height: auto; max-height: 7; display: none; border-top: solid $error; }
    ApplyPane > #apply-buttons { height: 1; width: 1fr; display: none; padding: 0 1; }
    ApplyPane > #apply-buttons Button { margin-right: 1; width: auto; min-width: 8; }
    ApplyPane.-failed > #apply-failure, ApplyPane.-failed > #apply-buttons { display: block; }
    """

    class Told(Message, bubble=False):
        """The engine's one way to this screen: an event of the run."""

        def __init__(self, event: Event) -> None:
            super().__init__()
            self.event = event

    class Planned(Message, bubble=False):
        """A retry has looked again and planned anew."""

        def __init__(self, plan: Plan, observed: Observed) -> None:
            super().__init__()
            self.plan = plan
            self.observed = observed

    class Ended(Message, bubble=False):
        """A run has ended, with a result or with what stood in its way."""

        def __init__(self, back: tuple[str, ...], result: RunResult | None, error: DsrError | None) -> None:
            super().__init__()
            self.back = back
            """Hosts that were rolled back by it."""
            self.result = result
            self.error = error

    class Stale(Message, bubble=False):
        """The hosts are no longer what the plan was made from."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.hint = "Nothing has been changed yet."
        self._runs = HostRuns()
        self._shown_plan: Plan | None = None
        self._declined: Plan | None = None
        self._stop = Flag()
        self._doing = ""
        self._began = 0.0
        self._applied = False
        self._error: DsrError | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="apply-summary", markup=False)
        yield Rows(id="apply-rows")
        yield Detail(id="apply-failure")
        with Horizontal(id="apply-buttons"):
            yield Button("Retry", id="do-retry", variant="primary", compact=True)
            yield Button("Skip", id="do-skip", compact=True)
            yield Button("Roll back", id="do-roll_back", compact=True)
            yield Button("Edit", id="do-edit", compact=True)
            yield Button("Copy report", id="do-copy", compact=True)
        yield TitledLog("Log", id="apply-log")

    def on_mount(self) -> None:
        self.set_interval(0.5, self._tick)

    # What the wizard asks.

    def entered(self) -> None:
        plan = self.desk.plan
        if plan is not None and plan is not self._shown_plan and not self._doing:
            self._shown_plan = plan
            self._runs = HostRuns(plan, self.desk.observed.failed if self.desk.observed else {})
            self._applied = False
            self.desk.result = None
            self.out_of_date = False
        self._show()
        if plan is not None and plan.steps and not self._applied and plan is not self._declined:
            self.call_after_refresh(self.action_apply)

    def first_focus(self) -> Widget:
        return self.query_one("#apply-rows", Rows)

    def next_label(self) -> str:
        return "Next" if self._settled() or self._doing else "Apply…"

    def why_not_forward(self) -> str:
        if self._doing:
            return f"{self._doing} is still running; s stops it."
        if self.desk.plan is None:
            return "There is no plan: go back to the review."
        if not self._settled():
            return "Nothing is applied yet: a applies the plan."
        broken = self._runs.broken()
        if broken:
            return f"{broken[0]} needs a decision: r retry, k skip, b roll back."
        return ""

    def show_problems(self) -> None:
        broken = self._runs.broken()
        if not self._settled():
            self.action_apply()
        elif broken and not self._doing:
            self.query_one("#apply-rows", Rows).put_cursor(broken[0])
            self.query_one("#do-retry").focus()

    def mark(self) -> str:
        if self._runs.broken():
            return "problem"
        return "done" if self._settled() and not self.out_of_date else "out-of-date"

    def running(self) -> str:
        return f"{self._doing} is running on {self._runs.counted(('running', 'waiting'))} hosts." if self._doing else ""

    def stop_running(self) -> None:
        self._stop.set()
        self._show()

    def _settled(self) -> bool:
        return self._applied or (self.desk.plan is not None and self.desk.plan.empty)

    # What the operator does.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        busy, broken = bool(self._doing), self._chosen_broken()
        plan = self.desk.plan
        match action:
            case "apply":
                return not (self._applied or busy or plan is None or not plan.steps)
            case "stop":
                return busy and not self._stop.is_set()
            case "retry" | "skip" | "edit":
                return bool(broken) and (None if busy else True)
            case "roll_back":
                return bool(broken) and (None if busy else True)
            case "roll_back_all":
                return self._applied and not busy
            case _:
                return True

    def action_apply(self) -> None:
        """Asks, then applies."""
        plan = self.desk.plan
        if plan is None or not plan.steps or self._doing or self._applied or not self._is_shown():
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._begin(plan)
            else:
                self._declined = plan
                self._show()

        self.app.push_screen(ConfirmModal(plan, self._deployment().vips[0].address), answered)

    def action_stop(self) -> None:
        self._stop.set()
        self._show()

    def action_retry(self) -> None:
        host = self._chosen_broken()
        if not host:
            return
        deployment = self._deployment()

        def work(watch: Observer) -> RunResult:
            engine = self.engine()
            observed = engine.observe(deployment)
            plan = part_for(host, engine.plan(deployment, observed))
            self.post_message(self.Planned(plan, observed))
            return engine.apply(deployment, plan, watch, self._stop)

        self._start(f"The retry of {host}", work)

    def action_skip(self) -> None:
        host = self._chosen_broken()
        if host:
            run = self._runs.hosts[host]
            run.state, run.last = Outcome.SKIPPED, "left as it is"
            self._show()

    def action_roll_back(self) -> None:
        host = self._chosen_broken()
        if host:
            self._ask_roll_back(f"Roll back {host}?", (host,))

    def action_roll_back_all(self) -> None:
        self._ask_roll_back("Roll back every host?", tuple(self._runs.hosts))

    def _ask_roll_back(self, title: str, hosts: tuple[str, ...]) -> None:
        body = "What this deployment changed there is taken back, value for value, from the journal."
        choices = (Choice("cancel", "Cancel", "primary"), Choice("back", "Roll back", "warning"))

        def answered(choice: str | None) -> None:
            if choice == "back":
                deployment = self._deployment()
                self._start("The rollback", lambda watch: self.engine().roll_back(deployment, hosts, watch), hosts)

        self.app.push_screen(Question(title, body, choices, safe="cancel"), answered)

    def action_edit(self) -> None:
        host = self._chosen_broken()
        names = [server.name for server in self.draft.servers]
        if host in names:
            self.post_message(self.GoTo(self, "servers", f"servers[{names.index(host)}].address"))
        elif host == DIRECTOR:
            self.post_message(self.GoTo(self, "director", "director.interface"))

    def action_copy(self) -> None:
        host = self.query_one("#apply-rows", Rows).key
        if host in self._runs.hosts:
            run = self._runs.hosts[host]
            text = "\n".join(f"{label}: {line}" if label else line for label, line in report_lines(run, self._runs))
            self.app.copy_to_clipboard("\n".join([host, text, *run.lines]))
            self.notify(f"The report of {host} is in the clipboard.", markup=False)

    @on(Button.Pressed)
    async def _button(self, event: Button.Pressed) -> None:
        event.stop()
        await self.run_action((event.button.id or "").removeprefix("do-"))

    # Running.

    def _begin(self, plan: Plan) -> None:
        """Applies the plan; an old one is made again first and, if it is another by now, shown instead."""
        deployment = self._deployment()
        age = clock.running() - self.desk.planned_at

        def work(watch: Observer) -> RunResult | None:
            from dsrwizard.session import save_deployment

            engine = self.engine()
            if age > FRESH_SECONDS:
                observed = engine.observe(deployment)
                fresh = engine.plan(deployment, observed)
                if fresh.steps != plan.steps:
                    self.desk.observed, self.desk.plan = observed, fresh
                    return None
            save_deployment(deployment)
            return engine.apply(deployment, plan, watch, self._stop)

        self._applied = True
        self._start("The apply", work)

    def _start(self, name: str, work: Work, back: tuple[str, ...] = ()) -> None:
        self._doing = name
        self._stop.clear()
        self._error = None
        self._began = clock.running()
        self._show()
        self.run_worker(self._work(work, back), group="apply")

    async def _work(self, work: Work, back: tuple[str, ...]) -> None:
        def tell(event: Event) -> None:
            self.post_message(self.Told(event))

        def run() -> None:
            try:
                done = work(tell)
            except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
                self.post_message(self.Ended((), None, in_words(error)))
                return
            self.post_message(self.Stale() if done is None else self.Ended(back, done, None))

        await in_thread(run, "dsrwizard-apply")

    @on(Told)
    def told(self, event: Told) -> None:
        run = self._runs.take(event.event)
        if run.host == self.query_one("#apply-rows", Rows).key:
            self._follow()
        self._show_rows()

    @on(Planned)
    def planned(self, event: Planned) -> None:
        self._runs.add(event.plan, event.observed.failed)

    @on(Ended)
    def ended(self, event: Ended) -> None:
        self._doing = ""
        self._error = event.error
        if event.result is not None:
            self.desk.result = event.result
            self._runs.rolled_back(event.back)
        if event.error is not None and not any(run.state != "waiting" for run in self._runs.hosts.values()):
            self._applied = False
        self.desk.report = None
        self._show()
        broken = self._runs.broken()
        if broken:
            self.query_one("#apply-rows", Rows).put_cursor(broken[0])
        self.hint = (
            "Decide on each host that failed: retry, skip or roll back."
            if broken or self._error
            else "Next proves each real server through the VIP."
        )

    @on(Stale)
    def stale(self) -> None:
        self._doing, self._applied = "", False
        self.desk.planned_at = clock.running()
        self.notify(
            "The plan is out of date: the hosts have changed since it was made.", severity="warning", markup=False
        )
        self.post_message(self.GoTo(self, "review"))

    # Showing.

    def _tick(self) -> None:
        if self._doing and self._is_shown():
            self._show_rows()

    def _show_rows(self) -> None:
        self.query_one("#apply-rows", Rows).set_rows(self._runs.rows(clock.running() - self._began))
        self.query_one("#apply-summary", Static).update(self._summary())

    @on(Rows.Moved, "#apply-rows")
    def _show(self) -> None:
        self._show_rows()
        self._follow()
        host = self.query_one("#apply-rows", Rows).key
        run = self._runs.hosts.get(host)
        failed = run is not None and run.broken
        self.set_class(failed, "-failed")
        if run is not None and failed:
            self.query_one("#apply-failure", Detail).show(report_lines(run, self._runs))
            useful = buttons_for(run)
            for button in self.query_one("#apply-buttons").query(Button):
                button.display = (button.id or "") in useful
                button.disabled = bool(self._doing) and button.id != "do-copy"
        self.refreshed()

    def _follow(self) -> None:
        """The chosen host's log."""
        host = self.query_one("#apply-rows", Rows).key
        lines = self._runs.hosts[host].lines if host in self._runs.hosts else []
        self.query_one("#apply-log", TitledLog).follow(host, f"Log of {host}" if host else "Log", lines)

    def _summary(self) -> str:
        runs = self._runs
        if self._error is not None:
            return f"{glyph('fail')} {self._error}"
        total = len(runs.hosts)
        done = runs.counted((Outcome.CHANGED, Outcome.UNCHANGED, Outcome.SKIPPED, Outcome.ROLLED_BACK))
        if self._doing:
            if self._stop.is_set():
                return f"{glyph('working')} Stopping: what runs now is finished, nothing new begins."
            return f"{glyph('working')} {self._doing} runs: {done} of {total} hosts done."
        if self.desk.plan is not None and self.desk.plan.empty:
            return f"{glyph('ok')} Nothing to do: every host is as the deployment wants it."
        if not self._applied:
            return "Nothing is applied yet: a applies the plan."
        broken = runs.broken()
        if broken:
            return f"{glyph('fail')} {done} of {total} hosts done; {', '.join(broken)}: not done."
        begun = total - runs.counted((Outcome.NOT_ATTEMPTED, "waiting"))
        if begun < total:
            return f"{glyph('warn')} Stopped: {total - begun} of {total} hosts were not begun or not finished."
        return f"{glyph('ok')} Done: all {total} hosts."

    def _is_shown(self) -> bool:
        return self.is_mounted and self.display and self.screen.is_active

    def _chosen_broken(self) -> str:
        if not self.is_mounted:
            return ""
        host = self.query_one("#apply-rows", Rows).key
        return host if host in self._runs.hosts and self._runs.hosts[host].broken else ""

    def _deployment(self) -> Deployment:
        """The deployment the plan was made for, whatever the draft says by now."""
        return self.desk.planned_for or self.deployment()


def part_for(host: str, plan: Plan) -> Plan:
    """What of a fresh plan concerns one host: its own steps and the director's for it. Retrying the director is
    retrying what waited for it, that is everything."""
    if host == DIRECTOR:
        return plan
    parts: list[HostPlan] = []
    for part in plan.hosts:
        if part.host == DIRECTOR:
            steps = tuple(step for step in part.steps if step.server in ("", host))
            if steps or part.problem:
                parts.append(msgspec.structs.replace(part, steps=steps))
        elif part.host == host:
            parts.append(part)
    return Plan(deployment=plan.deployment, hosts=tuple(parts))
