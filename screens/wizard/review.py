"""The review step: observes all hosts and shows the plan before anything is changed."""

from __future__ import annotations

from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import DirectorFacts, Failure, Observed, ServerFacts
from dsrwizard.core.model.steps import DIRECTOR, Plan, Step
from dsrwizard.core.model.words import capital
from dsrwizard.core.plan.waves import waved
from dsrwizard.core.tell.difference import count_line, interruptions
from screens.pane import Desk, in_thread
from screens.questions.export import ExportModal, write_ticket
from screens.questions.modals import HelpModal
from screens.widgets.check_detail import Detail
from screens.widgets.glyphs import glyph
from screens.widgets.host_plan import failure_lines, legend, plan_rows, problem_key, step_key, step_lines, step_text
from screens.widgets.host_words import in_words
from screens.widgets.rows import ListRow, Rows, fit
from screens.wizard.by_hand import ByHand

LookedAt = DirectorFacts | ServerFacts | Failure


class ReviewPane(ByHand):
    """The pane of the review step. Sets `desk.plan` and `desk.observed` once the plan is made."""

    step_id = "review"
    title = "Review"
    heading = "Review: what would change"
    roomy = True
    HELP = (
        "Nothing has been changed yet. Every host was checked, and this is what apply would do, in order: the "
        "director's own settings, each real server (ARP guard before VIP), then destinations at weight 0. A server "
        "gets its weight only once the VIP answers through it.\n\nFour servers or more are changed in waves: one, then "
        "a tenth of them, then the rest, each proved through the VIP before the next one begins. w changes all at "
        "once, or fewer than four in waves.\n\nEnter on a step shows its exact commands and how "
        "to undo it. e writes everything as Markdown for a change ticket. r checks all hosts again. A server that "
        "you set up by hand has no steps here: h shows its runbook."
    )
    BINDINGS = [
        Binding("e", "export", "Export", id="review.export", tooltip="Write the plan as Markdown for a change ticket"),
        Binding("r", "look", "Look again", id="review.look", tooltip="Check all hosts again and make a new plan"),
        Binding("w", "waves", "Waves", id="review.waves", tooltip="Change the servers in waves, or all at once"),
    ]
    DEFAULT_CSS = """
    ReviewPane { overflow: hidden; }
    ReviewPane > #review-summary { height: auto; max-height: 3; width: 1fr; padding: 0 1; }
    ReviewPane > #review-legend { height: 1; width: 1fr; padding: 0 1; color: $text-muted; }
    ReviewPane > #review-detail { height: 6; }
    """

    class HostSeen(Message, bubble=False):
        """A host was observed."""

        def __init__(self, host: str, what: LookedAt) -> None:
            super().__init__()
            self.host = host
            self.what = what

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.hint = "Nothing is changed until you confirm."
        self._looking = False
        self._seen: dict[str, LookedAt | None] = {}
        self._error: DsrError | None = None
        self._steps: dict[str, Step] = {}
        self._before: Plan | None = None
        self._shown: Plan | None = None

    def compose(self) -> ComposeResult:
        yield Static(id="review-summary", markup=False)
        yield Static(id="review-legend", markup=False)
        yield Rows(id="review-rows")
        yield Detail(id="review-detail")

    # What the wizard asks.

    def entered(self) -> None:
        current = self.desk.plan is not None and not self.out_of_date and self.desk.planned_for == self.deployment()
        if not current and not self._looking:
            self.action_look()
        elif self.desk.plan is not self._shown and not self._looking:
            self._before = self._shown
            self._show()

    def first_focus(self) -> Widget:
        return self.query_one(Rows)

    def next_label(self) -> str:
        return "Next" if self.desk.plan is not None and self.desk.plan.empty else "Apply…"

    def why_not_forward(self) -> str:
        if self._looking:
            return "The hosts are still being checked."
        if self.desk.plan is None:
            return "There is no plan yet. Press r to check the hosts again."
        if not self.desk.plan.steps and not self.desk.plan.empty:
            return "No host can be planned. Fix the problems shown, then press r."
        return ""

    def mark(self) -> str:
        if self.out_of_date or self.desk.plan is None:
            return "out-of-date"
        applied = self.desk.result is not None  # from then on the Apply step tells
        return "problem" if any(host.problem for host in self.desk.plan.hosts) and not applied else "done"

    # Looking.

    def action_look(self) -> None:
        """Observes all hosts and makes a new plan."""
        if self._looking:
            return
        deployment = self.deployment()
        self._looking = True
        self._error = None
        self._before = self._shown or self._before
        names = [server.name for server in deployment.servers if server.connect != "manual"]
        self._seen = dict.fromkeys([DIRECTOR, *names])
        self._show_progress()
        self.refreshed()
        self.run_worker(self._look(deployment), group="look")

    async def _look(self, deployment: Deployment) -> None:
        def seen(host: str, what: LookedAt) -> None:
            self.post_message(self.HostSeen(host, what))

        def work() -> tuple[Observed, Plan]:
            engine = self.engine()
            observed = engine.observe(deployment, seen)
            engine.wave = self.desk.wave
            return observed, engine.plan(deployment, observed)

        try:
            self.desk.observed, self.desk.plan = await in_thread(work)
            self.desk.planned_for = deployment
            self.out_of_date = False
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._error = in_words(error)
        finally:
            self._looking = False
        self._show()
        self.refreshed()

    @on(HostSeen)
    def host_seen(self, event: HostSeen) -> None:
        if self._looking:
            self._seen[event.host] = event.what
            self._show_progress()

    def _show_progress(self) -> None:
        done = sum(what is not None for what in self._seen.values())
        self.query_one("#review-summary", Static).update(f"Checking the hosts: {done} of {len(self._seen)}.")
        self.query_one("#review-legend", Static).update("")
        self.query_one(Rows).set_rows([_seen_row(host, what) for host, what in self._seen.items()])
        self._show_detail()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "waves":
            plan = self.desk.plan
            return not self._looking and plan is not None and sum(not one.by_hand for one in plan.stakes) > 1
        return super().check_action(action, parameters)

    def action_waves(self) -> None:
        """Changes between waves and all servers at once."""
        plan = self.desk.plan
        if plan is None or self._looking:
            return
        self.desk.wave = "off" if plan.waves else "on"
        self.desk.plan = waved(plan, self.desk.wave)
        self._show()
        self.refreshed()

    # Showing.

    def _show(self) -> None:
        plan = self.desk.plan
        summary = self.query_one("#review-summary", Static)
        if self._error is not None or plan is None:
            summary.update("The plan could not be made.")
            lines = self._error.lines() if self._error else ()
            self.query_one(Rows).set_rows(
                [ListRow(f"error {line}", ((line, "bad" if not n else ""),)) for n, line in enumerate(lines)]
            )
            self._show_detail()
            return
        self._shown = plan
        self._steps = {step_key(step): step for step in plan.steps}
        moved, gone = self._moves(plan)
        summary.update(_summary(plan, len(moved), gone))
        self.query_one("#review-legend", Static).update(legend(plan))
        rows = plan_rows(plan, frozenset(moved))
        self.query_one(Rows).set_rows(
            rows or [ListRow("empty", (("Every host already matches the deployment.", "good"),))]
        )
        self._show_detail()

    def _moves(self, plan: Plan) -> tuple[set[str], int]:
        """Keys of steps that are new or changed since the previous plan, and how many steps of that plan are gone."""
        if self._before is None or self._before.deployment != plan.deployment:
            return set(), 0
        before = {step_key(step): step.changes for step in self._before.steps}
        now = {step_key(step): step.changes for step in plan.steps}
        return {key for key, changes in now.items() if before.get(key) != changes}, len(before.keys() - now.keys())

    @on(Rows.Moved, "#review-rows")
    def _show_detail(self) -> None:
        key = self.query_one("#review-rows", Rows).key
        detail = self.query_one("#review-detail", Detail)
        if key in self._steps and not self._looking:
            detail.show(step_lines(self._steps[key]))
            return
        failure = self._failure(key)
        if failure is not None:
            detail.show([*failure_lines(failure), ("", "Press r to check again.")])
        elif key.startswith("problem ") and self.desk.plan is not None:
            host = next(host for host in self.desk.plan.hosts if problem_key(host.host) == key)
            detail.show([("", host.problem), ("", "Press r to check again.")])
        elif key.startswith("note "):
            more = "Press h for the steps to do on it." if self.chosen_host() in self.by_hand() else ""
            detail.show([("", self.query_one(Rows).row_at(self.query_one(Rows).cursor).text.strip()), ("", more)])
        else:
            detail.show([])

    def chosen_host(self) -> str:
        key = self.query_one("#review-rows", Rows).key
        if key in self._steps:
            return self._steps[key].server or self._steps[key].host
        return key.split(" ")[1] if key.startswith(("note ", "problem ", "seen ")) else ""

    def _failure(self, key: str) -> Failure | None:
        host = key.partition(" ")[2] if key.startswith(("seen ", "problem ")) else ""
        if key.startswith("seen "):
            what = self._seen.get(host)
            return what if isinstance(what, Failure) else None
        return self.desk.observed.failed.get(host) if self.desk.observed and host else None

    @on(Rows.Chosen, "#review-rows")
    def _chosen(self, event: Rows.Chosen) -> None:
        step = self._steps.get(event.key)
        if step is not None and not self._looking:
            self.app.push_screen(HelpModal(f"{step.host}: {step.title}", step_text(step)))

    # Export.

    def action_export(self) -> None:
        """Asks for a path, then writes the Markdown."""
        if self.desk.plan is None or self._looking or self.desk.planned_for is None:
            self.notify("There is no plan to export yet.", severity="warning", markup=False)
            return
        self.app.push_screen(ExportModal(self.desk.planned_for.name), self._export_to)

    def _export_to(self, path: Path | None) -> None:
        plan, deployment = self.desk.plan, self.desk.planned_for
        if path is None or plan is None or deployment is None:
            return
        try:
            write_ticket(path, deployment, plan)
        except OSError as error:
            self.notify(f"{path} could not be written: {error.strerror}.", severity="error", markup=False)
        else:
            self.notify(f"Written to {path}", title="Change ticket", markup=False)


def _summary(plan: Plan, moved: int, gone: int) -> str:
    lines = [f"{capital(count_line(plan))}."]
    if moved or gone:
        changed = ", ".join(
            part
            for part in (f"{moved} new or changed" if moved else "", f"{gone} no longer needed" if gone else "")
            if part
        )
        lines.insert(0, f"{glyph('stale')} The plan was out of date. This is the new one: {changed}.")
    elif interruptions(plan):
        lines.append(f"{glyph('warn')} {interruptions(plan)[0]}")
    return "\n".join(lines)


def _seen_row(host: str, what: LookedAt | None) -> ListRow:
    name = fit(host, 16)
    if what is None:
        return ListRow(f"seen {host}", ((name, "head"), (f"{glyph('working')} checking", "accent")))
    if isinstance(what, Failure):
        return ListRow(f"seen {host}", ((name, "head"), (f"{glyph('fail')} {what.what}", "bad")))
    about = what.os if isinstance(what, ServerFacts) else f"Linux {what.kernel}"
    return ListRow(f"seen {host}", ((name, "head"), (f"{glyph('ok')} checked", "good"), (f"  {about}", "dim")))
