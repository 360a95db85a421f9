"""The verify step: every check in the order a packet travels, with evidence, cause and fix."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Static

from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import DsrError, Locked
from dsrwizard.core.model.events import Event, HostFinished, StepStarted
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.plan.again import PlanChanged
from screens.pane import Desk, in_thread
from screens.questions.busy import another_run
from screens.questions.cause_page import show_cause
from screens.questions.confirm import ConfirmModal
from screens.questions.modals import Choice, HelpModal, Question
from screens.runs.run_screen import CHANGED
from screens.widgets.check_detail import Detail, labelled
from screens.widgets.check_rows import check_lines, check_row, summed, unseen_line, verdict_line
from screens.widgets.glyphs import glyph
from screens.widgets.host_words import in_words
from screens.widgets.rows import Rows
from screens.wizard.by_hand import ByHand


class VerifyPane(ByHand):
    """The pane of the verify step. Runs the checks; `desk.report` holds the results."""

    step_id = "verify"
    title = "Verify"
    heading = "Verify: in the order a packet travels"
    roomy = True
    HELP = (
        "Each line is one check and its result. FAIL: it is wrong; the cause and the fix are shown below. unseen: "
        "it could not be checked, so the result is unknown. skipped: it does not apply, or follows from another "
        "fault.\n\nDirect Server Return is proved by the probe: a SYN to the VIP is sent to each real server's MAC, "
        "and that server alone answers from the VIP.\n\nm mends the selected failed check: it shows the steps that "
        "fix its cause, or who must do what, asks, and verifies again. a checks all hosts, shows what is missing of "
        "dsrwizard's setup, applies it if you agree, and verifies again. x explains the cause of the selected check."
    )
    BINDINGS = [
        Binding("r", "verify", "Run again", id="verify.run", tooltip="Run every check again"),
        Binding(
            "m", "mend", "Mend this", id="verify.mend", tooltip="Show the fix for the selected check, and apply it"
        ),
        Binding(
            "a",
            "mend_all",
            "Mend all",
            id="verify.mend-all",
            tooltip="Apply everything that is missing, then verify again",
        ),
        Binding("f", "next_fault", "Next fault", id="verify.fault", tooltip="Go to the next check that did not pass"),
        Binding("x", "explain", "Explain", id="verify.explain", show=False, tooltip="Explain the cause of this check"),
    ]
    DEFAULT_CSS = """
    VerifyPane { overflow: hidden; }
    VerifyPane > #verify-summary { height: auto; max-height: 4; width: 1fr; padding: 0 1; }
    VerifyPane > #verify-detail { height: 7; }
    """

    class Checked(Message, bubble=False):
        """One check has a result."""

        def __init__(self, check: Check) -> None:
            super().__init__()
            self.check = check

    class Told(Message, bubble=False):
        """The observer through which the engine reports to this screen while it mends."""

        def __init__(self, event: Event) -> None:
            super().__init__()
            self.event = event

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.hint = "Checks change nothing."
        self._doing = ""
        self._checks: list[Check] = []
        self._error: DsrError | None = None
        self._mended = ""
        self._applying = False

    def compose(self) -> ComposeResult:
        yield Static(id="verify-summary", markup=False)
        yield Rows(id="verify-rows")
        yield Detail(id="verify-detail")

    # What the wizard asks.

    def entered(self) -> None:
        if (self.desk.report is None or self.out_of_date) and not self._doing:
            self.action_verify()
        elif not self._doing:
            self.runbook_closed()

    def first_focus(self) -> Widget:
        return self.query_one("#verify-rows", Rows)

    def why_not_forward(self) -> str:
        return f"{self._doing}." if self._applying else ""

    def mark(self) -> str:
        if self.out_of_date or self.desk.report is None:
            return "out-of-date"
        return "problem" if self.desk.report.verdict == "fail" else "done"

    def running(self) -> str:
        return "Missing changes are being applied." if self._applying else ""

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("verify", "mend", "mend_all"):
            return None if self._doing else True
        return super().check_action(action, parameters)

    # Servers that are set up by hand.

    def chosen_host(self) -> str:
        check = self._chosen()
        return (check.server or check.host) if check is not None else ""

    def runbook_closed(self) -> None:
        """Shows the report of a verification made elsewhere."""
        report = self.desk.report
        if report is not None and not self._doing and tuple(self._checks) != report.checks:
            self._error, self._mended = None, ""
            self._take(report)
            self._show()

    # Looking.

    def action_verify(self) -> None:
        """Runs every check."""
        if not self._doing:
            self._begin("Checking", self._verify(self.deployment()))

    async def _verify(self, deployment: Deployment) -> None:
        def seen(check: Check) -> None:
            self.post_message(self.Checked(check))

        self._checks = []
        self.query_one("#verify-rows", Rows).set_rows([])
        try:
            report = await in_thread(lambda: self.engine().verify(deployment, seen))
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._error = in_words(error)
            self.desk.report = None
            self._end()
            return
        self._take(report)
        self._end()

    def _take(self, report: Report) -> None:
        self.desk.report = report
        self.out_of_date = False
        self._checks = list(report.checks)
        rows = self.query_one("#verify-rows", Rows)
        rows.set_rows([check_row(number, check) for number, check in enumerate(self._checks)])
        first = next((number for number, check in enumerate(self._checks) if check.outcome == "fail"), 0)
        rows.put_cursor(f"check {first}")

    @on(Checked)
    def checked(self, event: Checked) -> None:
        if self._doing == "Checking":
            self._checks.append(event.check)
            self.query_one("#verify-rows", Rows).set_rows(
                [check_row(number, check) for number, check in enumerate(self._checks)]
            )
            self._show()

    # Mending.

    def action_mend(self) -> None:
        """Mends the selected check on a screen of its own."""
        check = self._chosen()
        if self._doing:
            return
        if check is None or check.outcome != "fail":
            self.notify("Select a failed check first; f goes to the next one.", markup=False)
            return
        from screens.runs.mend import MendScreen

        def looked(report: Report | None) -> None:
            if report is not None:
                self._take(report)
                self._show()

        self.app.push_screen(MendScreen(self.deployment(), self.desk.engine, (check,)), looked)

    def action_mend_all(self) -> None:
        """Observes the hosts, shows what is missing, applies it if the operator agrees, and verifies again."""
        if not self._doing:
            self._begin("Checking what is missing", self._mend(self.deployment()))

    async def _mend(self, deployment: Deployment) -> None:
        def look() -> Plan:
            engine = self.engine()
            return engine.plan(deployment, engine.observe(deployment))

        try:
            plan = await in_thread(look)
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._error = in_words(error)
            self._end()
            return
        self._end()
        if not plan.steps:
            self.app.push_screen(
                Question(
                    "Nothing to mend", _nothing(plan, self.desk.report), (Choice("ok", "OK", "primary"),), safe="ok"
                )
            )
            return

        self._ask(deployment, plan)

    def _ask(self, deployment: Deployment, plan: Plan) -> None:
        def answered(yes: bool | None) -> None:
            if yes:
                self._mend_now(deployment, plan)

        self.app.push_screen(ConfirmModal(plan, deployment.vips[0].address, "Mend", rows=True), answered)

    def _mend_now(self, deployment: Deployment, plan: Plan) -> None:
        self._applying = True
        self._begin("Mending", self._apply(deployment, plan))

    async def _apply(self, deployment: Deployment, plan: Plan) -> None:
        def tell(event: Event) -> None:
            self.post_message(self.Told(event))

        def work() -> tuple[RunResult, Report]:
            engine = self.engine()
            result = engine.apply(deployment, plan, tell)
            return result, engine.verify(deployment)

        try:
            result, report = await in_thread(work, "dsrwizard-mend")
        except Locked as error:
            self._end()
            another_run(self.app, error, lambda: self._mend_now(deployment, plan))
            return
        except PlanChanged as changed:
            self._end()
            self.notify(CHANGED, severity="warning", markup=False)
            self._ask(deployment, changed.plan)
            return
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._error = in_words(error)
            self._end()
            return
        self.desk.result = result
        self._mended = _mended(result)
        self._take(report)
        self._end()

    @on(Told)
    def told(self, event: Told) -> None:
        match event.event:
            case StepStarted(host=host, title=title):
                self._doing = f"Mending {host}: {title}"
            case HostFinished(host=host):
                self._doing = f"Mending: {host} is done"
        self._show()

    # Showing.

    def _begin(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        self._doing = what
        self._error = None
        self._mended = ""
        self._show()
        self.run_worker(work, group="verify")

    def _end(self) -> None:
        self._doing = ""
        self._applying = False
        self._show()

    def _show(self) -> None:
        self.query_one("#verify-summary", Static).update(self._summary())
        self._show_detail()
        self.refreshed()

    def _summary(self) -> str:
        if self._error is not None:
            return f"{glyph('fail')} {self._error}"
        if self._doing:
            return f"{glyph('working')} {self._doing}: {summed(self._checks)}." if self._doing == "Checking" else (
                f"{glyph('working')} {self._doing}."
            )  # fmt: skip
        if self.desk.report is None:
            return "Nothing has been verified yet."
        said = (verdict_line(self.desk.report), self._mended or self._expected(), unseen_line(self.desk.report))
        return "\n".join(line for line in said if line)

    def _expected(self) -> str:
        """Names the hosts that fail only because apply left them out."""
        failing = {check.host for check in self.desk.report.failures} if self.desk.report else set()
        manual = [host for host in self.by_hand() if host in failing]
        if manual:
            are = "is" if len(manual) == 1 else "are"
            return f"{glyph('warn')} {', '.join(manual)} {are} set up by hand: press h for the steps to do there."
        hosts = [host for host in self.desk.left_out if host in failing]
        if not hosts:
            return ""
        were = "was" if len(hosts) == 1 else "were"
        return f"{glyph('warn')} {', '.join(hosts)} {were} left out at apply. Press a to set up what is missing."

    @on(Rows.Moved, "#verify-rows")
    def _show_detail(self) -> None:
        check = self._chosen()
        self.query_one("#verify-detail", Detail).show(check_lines(check) if check else [])

    @on(Rows.Chosen, "#verify-rows")
    def _open(self) -> None:
        check = self._chosen()
        if check is not None:
            self.app.push_screen(HelpModal(f"{check.host}: {check.check}", labelled(check_lines(check))))

    def action_next_fault(self) -> None:
        rows = self.query_one("#verify-rows", Rows)
        start = rows.cursor + 1
        order = [*range(start, len(self._checks)), *range(start)]
        for number in order:
            if number < len(self._checks) and self._checks[number].outcome in ("fail", "unknown"):
                rows.put_cursor(f"check {number}")
                return

    def action_explain(self) -> None:
        """Opens the page of the selected check's cause, or of the fault it follows from."""
        check = self._chosen()
        show_cause(self, check.cause or check.consequence_of if check else "")

    def _chosen(self) -> Check | None:
        number = self.query_one("#verify-rows", Rows).cursor
        return self._checks[number] if 0 <= number < len(self._checks) else None


def _nothing(plan: Plan, report: Report | None) -> str:
    broken = [f"{host.host}: {host.problem}" for host in plan.hosts if host.problem]
    text = "Everything that dsrwizard sets up is in place."
    if broken:
        text = "Nothing can be mended from here:\n\n" + "\n".join(broken)
    if report is not None and not report.failures:
        return text
    return text + "\n\nThe remaining failures are outside dsrwizard; the fix of each check says what to do."


def _mended(result: RunResult) -> str:
    broken = [host.host for host in result.hosts if host.failure is not None]
    if broken:
        return f"{glyph('warn')} Partly mended: {', '.join(broken)} failed. Retry a host in the Apply step."
    return f"Mended: {result.changed} change{'' if result.changed == 1 else 's'} made."
