"""The apply step: one row per host while the plan runs, the host's log, and what to do when a host fails."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widget import Widget
from textual.widgets import Button

from dsrwizard.core.api import Engine
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import Locked
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan
from dsrwizard.core.plan.again import PlanChanged
from screens.pane import Desk
from screens.questions.busy import another_run
from screens.questions.confirm import ConfirmModal
from screens.questions.modals import Choice, Question
from screens.runs.view import RunView, Work
from screens.widgets.glyphs import glyph
from screens.wizard.by_hand import ByHand


class ApplyPane(ByHand):
    """The pane of the apply step. Runs the plan; `desk.result` holds the outcome."""

    step_id = "apply"
    title = "Apply"
    heading = "Apply"
    roomy = True
    HELP = (
        "Each host has one row: its progress, the elapsed time, and its last line of output. The log of the "
        "selected host is below. If a host fails, the others continue. Its row shows what was tried and what the "
        "host answered; you can retry it, skip it, or roll it back. A server that you set up by hand stays at "
        "weight 0 until the VIP answers through it: h shows what to do there, then r gives it its weight.\n\nStop "
        "lets the running commands finish and starts no new ones. The journal holds every previous value, so you "
        "can still undo everything later."
    )
    BINDINGS = [
        Binding("a", "apply", "Apply…", id="apply.apply", tooltip="Run the plan, after one confirmation"),
        Binding("s", "stop", "Stop", id="apply.stop", tooltip="Finish the running commands and start nothing new"),
        Binding("x", "skip_wait", "Wait no longer", id="apply.skip-wait",
                tooltip="Remove servers now; the connections that are left are cut"),
        Binding("r", "retry", "Retry", id="apply.retry", tooltip="Check again and do what is still missing"),
        Binding("k", "skip", "Skip", id="apply.skip", tooltip="Leave this host as it is and continue without it"),
        Binding("b", "roll_back", "Roll back", id="apply.roll-back", tooltip="Undo the changes on this host"),
        Binding("B", "roll_back_all", "Roll back all", id="apply.roll-back-all", show=False,
                tooltip="Undo the changes on every host"),
        Binding("g", "edit", "Edit", id="apply.edit", show=False, tooltip="Edit this server in the server list"),
        Binding("c", "copy", "Copy report", id="apply.copy", show=False, tooltip="Copy this host's report"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    ApplyPane { overflow: hidden; }
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._shown_plan: Plan | None = None
        self._declined: Plan | None = None
        self._applied = False
        self._again: Callable[[], None] = lambda: None
        """Begins the last run once more."""

    def compose(self) -> ComposeResult:
        yield RunView(self._summary)

    @property
    def view(self) -> RunView:
        return self.query_one(RunView)

    # What the wizard asks.

    def entered(self) -> None:
        plan, view = self.desk.plan, self.view
        if plan is not None and plan is not self._shown_plan and not view.doing:
            self._shown_plan = plan
            view.take_plan(plan, self.desk.observed.failed if self.desk.observed else {})
            self._applied = False
            self.desk.result = None
            self.out_of_date = False
        view.show()
        if plan is not None and plan.steps and not self._applied and plan is not self._declined:
            self.call_after_refresh(self.action_apply)

    def first_focus(self) -> Widget:
        return self.view.rows

    def next_label(self) -> str:
        return "Next" if self._settled() or self.view.doing else "Apply…"

    def why_not_forward(self) -> str:
        if self.view.doing:
            return f"{self.view.doing} is still running. Press s to stop it."
        if self.desk.plan is None:
            return "There is no plan yet. Go back to the review."
        if not self._settled():
            return "Nothing has been applied yet. Press a to apply the plan."
        broken = self._undecided()
        if broken:
            return f"{broken[0]} failed. Choose: r retry, k skip, b roll back."
        return ""

    def show_problems(self) -> None:
        broken = self._undecided()
        if not self._settled():
            self.action_apply()
        elif broken and not self.view.doing:
            self.view.to_broken()
            self.query_one("#do-retry").focus()

    def mark(self) -> str:
        if self._undecided():
            return "problem"
        return "done" if self._settled() and not self.out_of_date else "out-of-date"

    def running(self) -> str:
        return self.view.running

    def stop_running(self) -> None:
        self.view.request_stop()

    def _settled(self) -> bool:
        return self._applied or (self.desk.plan is not None and self.desk.plan.empty)

    # Servers that are set up by hand.

    def chosen_host(self) -> str:
        return self.view.chosen

    def _waiting(self) -> list[str]:
        """Servers set up by hand whose VIP does not answer yet. They stay at weight 0; that is expected."""
        hosts = self.view.runs.hosts
        return [name for name in self.by_hand() if name in hosts and hosts[name].state == Outcome.HELD]

    def _undecided(self) -> list[str]:
        """Failed hosts that need a decision."""
        waiting = self._waiting()
        return [host for host in self.view.runs.broken() if host not in waiting]

    # What the operator does.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if not self.is_mounted:
            return None
        busy, broken = bool(self.view.doing), self.view.chosen_broken
        plan = self.desk.plan
        match action:
            case "apply":
                return not (self._applied or busy or plan is None or not plan.steps)
            case "stop":
                return busy and not self.view.stop.is_set()
            case "skip_wait":
                return bool(self.view.draining)
            case "retry" | "skip" | "edit":
                return bool(broken) and (None if busy else True)
            case "roll_back":
                return bool(broken) and (None if busy else True)
            case "roll_back_all":
                return self._applied and not busy
            case _:
                return super().check_action(action, parameters)

    def action_apply(self) -> None:
        """Asks, then applies."""
        plan = self.desk.plan
        if plan is None or not plan.steps or self.view.doing or self._applied or not self._is_shown():
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._begin(plan)
            else:
                self._declined = plan
                self.view.show()

        self.app.push_screen(ConfirmModal(plan, self._deployment().vips[0].address), answered)

    def action_stop(self) -> None:
        self.view.request_stop()

    def action_skip_wait(self) -> None:
        self.view.skip_wait()

    def _engine_for_run(self) -> Engine:
        """The engine, with what the operator chose for its runs."""
        engine = self.engine()
        engine.wave, engine.patience = self.desk.wave, self.view.patience
        return engine

    def action_retry(self) -> None:
        host = self.view.chosen_broken
        if not host:
            return
        deployment, view = self._deployment(), self.view

        def work(watch: Observer) -> RunResult:
            engine = self._engine_for_run()
            with engine.lease(deployment.name, "apply") as lease:
                observed = engine.observe(deployment)
                plan = part_for(host, engine.plan(deployment, observed))
                view.post_message(view.Planned(plan, observed.failed))
                return engine.apply(deployment, plan, watch, view.stop, lease)

        self._start(f"Retry of {host}", work)

    def action_skip(self) -> None:
        host = self.view.chosen_broken
        if host:
            run = self.view.runs.hosts[host]
            run.state, run.last = Outcome.SKIPPED, "left as it is"
            self.view.show()

    def action_roll_back(self) -> None:
        host = self.view.chosen_broken
        if host:
            self._ask_roll_back(f"Roll back {host}?", (host,))

    def action_roll_back_all(self) -> None:
        self._ask_roll_back("Roll back every host?", tuple(self.view.runs.hosts))

    def _ask_roll_back(self, title: str, hosts: tuple[str, ...]) -> None:
        body = "Everything this deployment changed there is restored to its previous value from the journal."
        choices = (Choice("cancel", "Cancel", "primary"), Choice("back", "Roll back", "warning"))

        def answered(choice: str | None) -> None:
            if choice == "back":
                deployment = self._deployment()
                self._start("Rollback", lambda watch: self._engine_for_run().roll_back(deployment, hosts, watch), hosts)

        self.app.push_screen(Question(title, body, choices, safe="cancel"), answered)

    def action_edit(self) -> None:
        host = self.view.chosen_broken
        names = [server.name for server in self.draft.servers]
        if host in names:
            self.post_message(self.GoTo(self, "servers", f"servers[{names.index(host)}].address"))
        elif host == DIRECTOR:
            self.post_message(self.GoTo(self, "director", "director.interface"))

    def action_copy(self) -> None:
        host = self.view.chosen
        if host:
            self.app.copy_to_clipboard(self.view.report())
            self.notify(f"Report of {host} copied to the clipboard.", markup=False)

    @on(Button.Pressed)
    async def _button(self, event: Button.Pressed) -> None:
        event.stop()
        await self.run_action((event.button.id or "").removeprefix("do-"))

    # Running.

    def _begin(self, plan: Plan) -> None:
        """Applies the plan, which is made again first: people take their time over the review, and nothing is locked
        meanwhile. If it differs now, the review shows it instead."""
        deployment, view = self._deployment(), self.view

        def work(watch: Observer) -> RunResult | None:
            from dsrwizard.session import save_deployment

            save_deployment(deployment)
            try:
                return self._engine_for_run().apply(deployment, plan, watch, view.stop)
            except PlanChanged as changed:
                self.desk.observed, self.desk.plan = changed.observed, changed.plan
                return None

        self._applied = True
        self._start("Apply", work)
        self._again = lambda: self._begin(plan)

    def _start(self, name: str, work: Work, back: tuple[str, ...] = ()) -> None:
        self._again = lambda: self.view.start(name, work, back)
        self.view.start(name, work, back)

    @on(RunView.Ended)
    def ended(self, event: RunView.Ended) -> None:
        event.stop()
        if event.result is None and event.error is None:
            self._stale()
            return
        if event.result is not None:
            self.desk.result = event.result
        if event.error is not None and self.view.runs.untouched:
            self._applied = False
        self.desk.report = None
        if isinstance(event.error, Locked):
            another_run(self.app, event.error, self._again)
        self._tell()

    def _stale(self) -> None:
        """Handles a plan that is out of date because the hosts have changed."""
        self._applied = False
        self.notify(
            "The plan is out of date: the hosts have changed since it was made.", severity="warning", markup=False
        )
        self.post_message(self.GoTo(self, "review"))

    # Showing.

    @on(RunView.Shown)
    def _tell(self) -> None:
        """Updates the hint, the keys and the results that later steps read."""
        if self._applied and not self.view.doing:
            without = (Outcome.SKIPPED, Outcome.ROLLED_BACK)
            self.desk.left_out = tuple(
                run.host for run in self.view.runs.hosts.values() if run.broken or run.state in without
            )
        self.hint = self._consequence()
        self.refreshed()

    def _consequence(self) -> str:
        """The state now, and what Next does."""
        view, plan = self.view, self.desk.plan
        if view.doing:
            if view.stop.is_set():
                return "The journal has every change made so far. Retry continues; roll back undoes it."
            return "Changing hosts. Press s to stop: running commands finish, nothing new starts."
        if plan is not None and plan.empty:
            return "Nothing was changed. Next checks each real server through the VIP."
        if not self._applied:
            return "Nothing has been changed yet."
        if self._undecided() or view.error:
            return "Changes made so far stay. For each failed host: retry, skip or roll back."
        if self._waiting():
            return "Press h for the manual steps, then r to give the server its weight. Next checks the rest meanwhile."
        states = {run.state for run in view.runs.hosts.values()}
        if states <= {Outcome.ROLLED_BACK, Outcome.SKIPPED, Outcome.UNCHANGED}:
            return "Everything is as it was before. Press esc: the review makes a new plan."
        return "Next checks each real server through the VIP."

    def _summary(self) -> str:
        runs = self.view.runs
        if self.desk.plan is not None and self.desk.plan.empty:
            return f"{glyph('ok')} Nothing to do: every host already matches the deployment."
        if not self._applied:
            return "Nothing has been applied yet. Press a to apply the plan."
        total, broken, waiting = runs.total, self._undecided(), self._waiting()
        if broken:
            return f"{glyph('fail')} {runs.done} of {total} hosts done; failed: {', '.join(broken)}."
        if waiting:
            return (
                f"{glyph('warn')} {runs.done} of {total} hosts done; at weight 0 until set up by hand: "
                f"{', '.join(waiting)}."
            )
        begun = total - runs.counted((Outcome.NOT_ATTEMPTED, "waiting"))
        if begun < total:
            return f"{glyph('warn')} Stopped: {total - begun} of {total} hosts not finished."
        apart = [
            f"{count} {word}"
            for count, word in (
                (runs.counted((Outcome.SKIPPED,)), "skipped"),
                (runs.counted((Outcome.ROLLED_BACK,)), "rolled back"),
            )
            if count
        ]
        if apart:
            return f"{glyph('warn')} {runs.counted((Outcome.CHANGED, Outcome.UNCHANGED))} of {total} hosts done; " + (
                f"{', '.join(apart)}."
            )
        return f"{glyph('ok')} Done: all {total} hosts."

    def _is_shown(self) -> bool:
        return self.is_mounted and self.display and self.screen.is_active

    def _deployment(self) -> Deployment:
        """The deployment that the plan was made for, even if the draft has changed since."""
        return self.desk.planned_for or self.deployment()


def part_for(host: str, plan: Plan) -> Plan:
    """The part of a new plan that concerns one host: its own steps and the director's steps for it. Retrying the
    director means retrying everything, because all hosts waited for it."""
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
