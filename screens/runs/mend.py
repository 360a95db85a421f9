"""Mending: what is wrong, the steps that cure just that with their undo, one question, the run, and the probe again."""

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
    "One cause on one host is cured by the steps that the plan has for it, and by no others: the guard before the "
    "address, and a server that its probe had kept out gets its weight back once the VIP answers through it. A server "
    "that was drained on purpose stays drained.\n\n"
    "Every prior value goes to the journal first, so a teardown still brings back what was there before dsrwizard. "
    "Afterwards everything is verified again: only what is seen to be green is called cured.\n\n"
    "Services, firewalls, routes and machines outside the deployment are not dsrwizard's: for those it says who must "
    "do what, and r looks whether it was done."
)


class MendScreen(RunScreen[Report]):
    """Shows what cures these failed checks, or those behind a row of the live view, asks, does it and verifies again.

    Dismissed with the last verification it has made; None: it made none.
    """

    PLAN, RUN, FOCUS = "mend-text", "mend-run", "#mend-text"
    HELP_TITLE, HELP_TEXT = "Mend", HELP
    BINDINGS = [
        Binding("escape", "back", "Back", id="mend.back", tooltip="Back; nothing is changed by that"),
        Binding("ctrl+n", "next", "Mend…", id="mend.next", tooltip="Carry the steps out, after one question"),
        Binding("s", "stop", "Stop", id="mend.stop", tooltip="Finish what runs now and begin nothing new"),
        Binding("r", "look", "Look again", id="mend.look", tooltip="Verify again and see what is left of it"),
        Binding("c", "copy", "Copy report", id="mend.copy", show=False, tooltip="Copy what happened on this host"),
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
        """Verifies again, and plans anew for what is left."""
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
        """What still fails of what this is about."""
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
        """Asks and begins."""
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

    # Showing.

    def show_plan(self) -> None:
        self.query_one("#mend-text > Static", Static).update(self._text())

    def consequence(self) -> str:
        view = self.query_one(RunView)
        if view.doing and view.runs.done == len(view.runs.hosts):
            return "The steps are done; probing again."
        if view.doing:
            return "Hosts are being changed. s stops: what runs is finished, nothing new begins."
        if self._result is not None:
            return "Esc leads back." if self._result.cured else "r verifies again and shows what cures what is left."
        if self._looking:
            return "Looking changes nothing."
        if self._mending is not None and self._mending.plan.steps:
            return "Nothing has been changed yet. ^n mends it, after one question."
        return "Nothing is changed here. r looks again."

    def _summary(self) -> str:
        """How it ended."""
        result = self._result
        if result is None:
            return ""
        if result.report is None:
            return f"{glyph('warn')} Stopped before it was verified again: r looks what is left."
        lines = []
        for one in result.mended:
            told = one.after.message if one.after is not None else "It is no longer found."
            lines.append(f"{glyph('ok')} Cured: {told}" if one.cured else f"{glyph('fail')} Not cured: {told}")
        left = [check for check in result.report.failures if all(one.after != check for one in result.mended)]
        if left:
            named = dict.fromkeys(f"{check.cause or check.check} on {check.server or check.host}" for check in left)
            lines.append(f"{glyph('warn')} Still failing otherwise: {', '.join(named)}.")
        return "\n".join(lines)

    @staticmethod
    def _about(cures: Sequence[Cure]) -> str:
        named = (f"{cure.check.cause} on {cure.check.server or cure.check.host}" for cure in cures if cure.steps)
        return ", ".join(dict.fromkeys(named))

    def _text(self) -> Content:
        if self._looking:
            return Content(f"{glyph('working')} Looking at the hosts.")
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
            return Content(
                f"{glyph('unknown')} Nothing was found that fails, but not everything could be seen: {unseen} checks."
            )
        text = f"{glyph('ok')} Nothing of it is wrong any more: it was verified just now."
        left = dict.fromkeys(
            f"{check.cause or check.check} on {check.server or check.host}"
            for check in (report.failures if report else ())
        )
        if left:
            text += f"\n\n{glyph('warn')} Failing elsewhere: {', '.join(left)}."
        return Content(text)


def _fault(cure: Cure) -> Content:
    """What is wrong with its evidence, and why no step cures it where none does."""
    lines = [line for line in check_lines(cure.check) if cure.by_hand or line[0] != "Fix"]
    blocks = [labelled([(label, f"{glyph('fail')} {text}" if not label else text) for label, text in lines])]
    if cure.by_hand:
        blocks.append(Content(f"{glyph('warn')} {cure.by_hand}"))
    blocks += [Content(f"{glyph('warn')} {note}") for note in cure.notes]
    return Content("\n").join(blocks)
