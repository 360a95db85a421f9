"""The mend screen: the fault, the steps that fix it with their undo, one confirmation, the run, and the
verification."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import ContentSwitcher, Static

from dsrwizard.core.api import Engine
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.events import Observer
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.snapshot import DestinationRow
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.plan.mend import Cure, Mending, MendResult, concerning, felt_at
from screens.questions.confirm import ConfirmModal
from screens.runs.run_screen import RunScreen
from screens.runs.view import RunView
from screens.widgets.check_detail import labelled
from screens.widgets.check_rows import check_lines
from screens.widgets.glyphs import arrows, glyph
from screens.widgets.host_plan import step_text
from screens.widgets.keybar import KeyBar
from screens.widgets.words import frame_title

HELP = (
    "One cause on one host is fixed by the plan's steps for it and no others: the ARP guard comes before the "
    "address, and a server that was held at weight 0 gets its weight back once the VIP answers through it. A server "
    "that was drained on purpose stays drained.\n\nEvery previous value is saved in the journal first, so a "
    "teardown still restores the state before dsrwizard. Afterwards everything is verified again. A fault counts as "
    "fixed only if its check passes.\n\ndsrwizard does not change services, firewalls, routes or machines outside "
    "the deployment. For those it says who must do what, and r checks whether it was done."
)


class MendScreen(RunScreen[Report]):
    """The screen for these failed checks, or those of a row of the live view. Shows the fix, asks, applies it and
    verifies again.

    Returns its last verification; None: it made none.
    """

    PLAN, RUN, FOCUS = "mend-text", "mend-run", "#mend-text"
    HELP_TITLE, HELP_TEXT = "Mend", HELP
    BINDINGS = [
        Binding("escape", "back", "Back", id="mend.back", tooltip="Go back without changing anything"),
        Binding("ctrl+n", "next", "Mend…", id="mend.next", tooltip="Run the steps, after one confirmation"),
        Binding("s", "stop", "Stop", id="mend.stop", tooltip="Finish the running commands and start nothing new"),
        Binding("r", "look", "Look again", id="mend.look", tooltip="Verify again and show what is left"),
        Binding("c", "copy", "Copy report", id="mend.copy", show=False, tooltip="Copy this host's report"),
        Binding("f1,question_mark", "help", "Help", id="mend.help", tooltip="What it does", key_display="f1"),
    ]
    DEFAULT_CSS = """
    MendScreen #mend-frame { border: round $primary; height: 1fr; border-title-style: bold; padding: 0 1; }
    MendScreen #mend-text { height: 1fr; width: 1fr; padding: 0 1; scrollbar-size-vertical: 1; }
    MendScreen #mend-text > Static { height: auto; width: 1fr; }
    """

    def __init__(
        self,
        deployment: Deployment,
        engine: Callable[[], Engine],
        checks: Sequence[Check] = (),
        row: DestinationRow | None = None,
    ) -> None:
        super().__init__()
        self._deployment = deployment
        self._engine = engine
        self._checks = tuple(checks)
        self._row = row
        self._report: Report | None = None
        self._mending: Mending | None = None
        self._result: MendResult | None = None

    def compose(self) -> ComposeResult:
        with ContentSwitcher(initial="mend-text", id="mend-frame"):
            with VerticalScroll(id="mend-text"):
                yield Static(markup=False)
            with Container(id="mend-run"):
                yield RunView(self._summary, buttons=("retry", "copy"))
        yield Static(id="hint", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        row = self._row
        host = row.server if row is not None else self._checks[0].server or self._checks[0].host
        cause = row.cause if row is not None else self._checks[0].cause
        self.query_one("#mend-frame").border_title = frame_title(f"Mend {cause + ' of ' if cause else ''}{host}")
        self.query_one("#mend-text").focus()
        self._begin_look(verify=not self._checks)

    def outcome(self) -> Report | None:
        return self._report

    def ready(self) -> bool:
        return self._mending is not None and bool(self._mending.plan.steps) and not self._looking and not self._ran

    # Looking.

    def action_look(self) -> None:
        """Verifies again, and makes a plan for what is left."""
        if not self._looking and not self.running():
            self._begin_look(verify=True)

    def _begin_look(self, *, verify: bool) -> None:
        self._mending, self._result = None, None

        def look() -> None:
            engine = self._engine()
            checks = self._checks
            if verify:
                self._report = engine.verify(self._deployment)
                checks = self._same(self._report)
            self._mending = engine.mend_plan(self._deployment, *checks) if checks else None

        self.begin_look(look)

    def _same(self, report: Report) -> tuple[Check, ...]:
        """The checks of this screen that still fail."""
        if self._row is not None:
            row = self._row
            return felt_at(report.failures, server=row.server, vip=row.vip, service=row.service, cause=row.cause)
        return tuple(
            dict.fromkeys(
                found
                for check in self._checks
                for found in concerning(
                    report.failures, host=check.host, vip=check.vip, service=check.service, cause=check.cause
                )
                if found.server == check.server
            )
        )

    # What the operator does.

    def action_next(self) -> None:
        """Asks, then starts the run."""
        mending = self._mending
        if mending is None or not mending.plan.steps or self._ran or self._looking:
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._begin(mending)

        check = mending.cures[0].check
        question = ConfirmModal(
            mending.plan,
            check.vip or self._deployment.vips[0].address,
            "Mend",
            rows=True,
            title=f"Mend {self._about(mending.cures)}?",
        )
        self.app.push_screen(question, answered)

    # Running.

    def _begin(self, mending: Mending) -> None:
        stop = self.query_one(RunView).stop

        def work(watch: Observer) -> RunResult:
            self._result = self._engine().mend(self._deployment, mending, watch, stop)
            self._report = self._result.report or self._report
            return self._result.run

        self.begin_run("Mending", mending.plan, {}, work)

    def take_plan(self, plan: Plan) -> None:
        """What cures what is said by the checks: they are run again."""
        self._begin_look(verify=True)

    # Showing.

    def show_plan(self) -> None:
        self.query_one("#mend-text > Static", Static).update(self._text())

    def consequence(self) -> str:
        view = self.query_one(RunView)
        if view.doing and view.runs.done == len(view.runs.hosts):
            return "The steps are done. Verifying again."
        if view.doing:
            return "Changing hosts. Press s to stop: running commands finish, nothing new starts."
        if self._result is not None:
            return (
                "Press esc to go back."
                if self._result.cured
                else "Press r to verify again and see how to fix what is left."
            )
        if self._looking:
            return "Checks change nothing."
        if self._mending is not None and self._mending.plan.steps:
            return "Nothing has been changed yet. ^n mends it, after one confirmation."
        return "Nothing is changed here. Press r to check again."

    def _summary(self) -> str:
        """The result, as text."""
        result = self._result
        if result is None:
            return ""
        if result.report is None:
            return f"{glyph('warn')} Stopped before the final verification. Press r to see what is left."
        lines = []
        for one in result.mended:
            told = one.after.message if one.after is not None else "The fault is no longer found."
            lines.append(f"{glyph('ok')} Fixed: {told}" if one.cured else f"{glyph('fail')} Not fixed: {told}")
        left = [check for check in result.report.failures if all(one.after != check for one in result.mended)]
        if left:
            named = dict.fromkeys(f"{check.cause or check.check} on {check.server or check.host}" for check in left)
            lines.append(f"{glyph('warn')} Other checks still fail: {', '.join(named)}.")
        return "\n".join(lines)

    @staticmethod
    def _about(cures: Sequence[Cure]) -> str:
        named = (f"{cure.check.cause} on {cure.check.server or cure.check.host}" for cure in cures if cure.steps)
        return ", ".join(dict.fromkeys(named))

    def _text(self) -> Content:
        if self._looking:
            return Content(f"{glyph('working')} Checking the hosts.")
        if self._error is not None:
            return Content(f"{glyph('fail')} {self._error}")
        if self._mending is None:
            return self._well()
        shown: set[tuple[str, str]] = set()
        blocks = []
        for cure in self._mending.cures:
            blocks.append(_fault(cure))
            for step in cure.steps:
                if (step.host, step.id) in shown:
                    continue
                shown.add((step.host, step.id))
                heading = f"{glyph('arrow')} On {step.host}: {arrows(step.title)}"
                blocks.append(Content.assemble((heading, "bold"), "\n", step_text(step)))
        return Content("\n\n").join(blocks)

    def _well(self) -> Content:
        report = self._report
        unseen = sum(check.outcome == "unknown" for check in report.checks) if report else 0
        if report is not None and report.verdict == "unknown":
            return Content(f"{glyph('unknown')} No check failed, but {unseen} could not be run.")
        text = f"{glyph('ok')} This fault is gone. It was verified just now."
        left = dict.fromkeys(
            f"{check.cause or check.check} on {check.server or check.host}"
            for check in (report.failures if report else ())
        )
        if left:
            text += f"\n\n{glyph('warn')} Other checks fail: {', '.join(left)}."
        return Content(text)


def _fault(cure: Cure) -> Content:
    """The fault with its evidence, and, if no step fixes it, why."""
    lines = [line for line in check_lines(cure.check) if cure.by_hand or line[0] != "Fix"]
    blocks = [labelled([(label, f"{glyph('fail')} {text}" if not label else text) for label, text in lines])]
    if cure.by_hand:
        blocks.append(Content(f"{glyph('warn')} {cure.by_hand}"))
    blocks += [Content(f"{glyph('warn')} {note}") for note in cure.notes]
    return Content("\n").join(blocks)
