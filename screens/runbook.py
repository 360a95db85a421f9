"""The runbook screen of a server that is set up by hand: steps to do, copy and tick, and what was proved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from dsrwizard.core.intake.validate import deployment_of
from dsrwizard.core.model.deployment import Deployment, RealServer, System
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.tell.runbook import NAMES, Runbook, RunbookStep, StepProof, declared_system, proof_of, runbook
from screens.background import in_thread
from screens.pane import Desk
from screens.questions.export import RunbookModal, write_runbook
from screens.questions.modals import Choice, HelpModal, Question
from screens.questions.once import AnsweredOnce
from screens.widgets.check_detail import Detail, labelled
from screens.widgets.glyphs import Name, glyph
from screens.widgets.host_words import in_words
from screens.widgets.keybar import KeyBar
from screens.widgets.rows import ListRow, Rows, fit
from screens.widgets.words import frame_title

HELP = (
    "dsrwizard does not log in to this server. Do these steps in order and tick each one. Each step says why it is "
    "needed, what to type or click, how to check it, and how to undo it.\n\nv verifies: steps that can be checked "
    "from outside are then marked as proved or failed. The check is a SYN to the VIP sent to this server's MAC, and "
    "silence when the network asks who has the VIP. A server without the VIP is silent too, so silence counts only "
    "once the VIP answers.\n\nSpace ticks a step by hand; ticks are kept in the session. c copies the commands of "
    "the selected step to the terminal's clipboard (OSC 52; some terminals must allow it). e writes the whole "
    "runbook as Markdown and as a page to print. s sets the server's operating system: each has its own commands."
)
SHORT: dict[System, str] = {
    "linux": "Linux",
    "windows-2003": "2003",
    "windows-2008": "2008 / R2",
    "windows-2012": "2012 to 2025",
}
BEFORE = "before"
MARKS: dict[str, tuple[Name, str, str]] = {
    "proved": ("ok", "proved", "good"),
    "failed": ("fail", "FAIL", "bad"),
    "ticked": ("on", "ticked", "accent"),
    "open": ("off", "to do", "dim"),
}
"""State of a step → glyph, word, style."""


class SystemQuestion(Question):
    """The question about the operating system, with five buttons in a row."""

    DEFAULT_CSS = """
    SystemQuestion .modal-buttons Button { min-width: 9; }
    """


class RunbookScreen(AnsweredOnce[None]):
    """The screen for `name`, a manual server of the desk's draft. Leaves its last verification in `desk.report`."""

    BINDINGS = [
        Binding("escape,q", "back", "Back", id="runbook.back", key_display="esc", tooltip="Go back; ticks are kept"),
        Binding("space", "tick", "Tick", id="runbook.tick", tooltip="Tick or untick the selected step"),
        Binding("c", "copy", "Copy", id="runbook.copy", tooltip="Copy the selected step's commands to the clipboard"),
        Binding("v", "verify", "Verify", id="runbook.verify", tooltip="Check the steps from outside"),
        Binding("e", "export", "Export", id="runbook.export", tooltip="Write the runbook as Markdown and HTML"),
        Binding("s", "system", "OS", id="runbook.system", tooltip="Set the server's operating system"),
        Binding("n", "next_server", "Next", id="runbook.next", tooltip="Go to the next server that is set up by hand"),
        Binding("f1,question_mark", "help", "Help", id="runbook.help", tooltip="How it works", key_display="f1"),
    ]
    DEFAULT_CSS = """
    RunbookScreen #book-frame { border: round $primary; border-title-color: $text-primary; height: 1fr;
        border-title-style: bold; padding: 0 1; }
    RunbookScreen #book-summary { height: auto; max-height: 3; width: 1fr; padding: 0 1; }
    RunbookScreen #book-rows { height: auto; max-height: 50%; min-height: 3; }
    RunbookScreen #book-detail { height: 1fr; min-height: 5; }
    """

    def __init__(self, desk: Desk, name: str) -> None:
        super().__init__()
        self._desk = desk
        self._host = name
        self._deployment = deployment_of(desk.session.draft)
        self._book = runbook(self._deployment, self._server)
        self._looking = False
        self._error: DsrError | None = None

    def compose(self) -> ComposeResult:
        with Container(id="book-frame"):
            yield Static(id="book-summary", markup=False)
            yield Rows(id="book-rows")
            yield Detail(id="book-detail")
        yield Static(id="hint", markup=False)
        yield KeyBar()

    def on_mount(self) -> None:
        self._rows.focus()
        self._open(self._host)

    @property
    def _rows(self) -> Rows:
        return self.query_one("#book-rows", Rows)

    @property
    def _server(self) -> RealServer:
        return self._deployment.server(self._host)

    def _by_hand(self) -> list[str]:
        return [server.name for server in self._deployment.servers if server.connect == "manual"]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        match action:
            case "verify":
                return None if self._looking else True
            case "next_server":
                return len(self._by_hand()) > 1
            case _:
                return True

    # Which server, which system.

    def _open(self, name: str) -> None:
        """Shows this server's runbook; asks for the operating system if it is not known."""
        self._host = name
        self._take(self._server)
        self.query_one("#book-frame").border_title = frame_title(f"Runbook: {name} ({self._server.address}), by hand")
        first = next((number for number, step in enumerate(self._book.steps) if not self._done(step)), 0)
        self._rows.put_cursor(f"step {first}" if self._ticks or self._desk.report else BEFORE)
        if self._server.system is None:
            self.action_system()

    def _take(self, server: RealServer) -> None:
        self._book = runbook(self._deployment, server)
        self._show()

    def action_next_server(self) -> None:
        names = self._by_hand()
        self._open(names[(names.index(self._host) + 1) % len(names)])

    def action_system(self) -> None:
        """Asks for the operating system and writes it to the draft."""
        name = self._host
        now = self._server.system
        body = f"Which system does {name} run: Linux, or which Windows Server? The commands depend on it."
        if now is None:
            body += " Without an answer, the Linux commands are shown."
        choices = [Choice(system, SHORT[system]) for system in get_args(System)]
        choices.append(Choice("later", "Not now" if now is None else "Cancel", "primary"))
        safe = now if now is not None else "later"

        def answered(choice: str | None) -> None:
            system = next((known for known in get_args(System) if known == choice), None)
            if system is not None and system != self._deployment.server(name).system:
                self._choose(name, system)

        self.app.push_screen(SystemQuestion(f"System of {name}", body, choices, safe=safe), answered)

    def _choose(self, name: str, system: System) -> None:
        """Writes it to the draft and to the planned deployment; no step of the plan depends on it."""
        desk = self._desk
        for server in desk.session.draft.servers:
            if server.name.strip() == name:
                server.system = system
        current = desk.planned_for == self._deployment
        self._deployment = deployment_of(desk.session.draft)
        if current:
            desk.planned_for = self._deployment
            if desk.result is not None:
                self._keep()
        self._save()
        self._open(self._host)

    def _keep(self) -> None:
        """Also updates the stored file of a deployment that is already applied."""
        from dsrwizard.session import save_deployment

        try:
            save_deployment(self._deployment)
        except DsrError as error:
            self.notify(str(error), severity="warning", markup=False)

    # Ticks.

    @property
    def _ticks(self) -> set[str]:
        server = self._server
        return self._desk.session.ticks.setdefault(f"{server.name} {server.address} {declared_system(server)}", set())

    def action_tick(self) -> None:
        """Ticks or unticks the selected step."""
        step = self._chosen()
        if step is None:
            return
        self._ticks.symmetric_difference_update({step.title})
        self._save()
        self._show()
        if step.title in self._ticks:
            self._rows.action_move(1)

    def _save(self) -> None:
        try:
            self._desk.session.save()
        except DsrError as error:
            self.notify(str(error), severity="warning", markup=False)

    def _proof(self, step: RunbookStep) -> StepProof:
        return proof_of(step, self._deployment, self._server, self._desk.report)

    def _state(self, step: RunbookStep) -> str:
        outcome = self._proof(step).outcome
        if outcome != "open":
            return outcome
        return "ticked" if step.title in self._ticks else "open"

    def _done(self, step: RunbookStep) -> bool:
        return self._state(step) in ("proved", "ticked")

    # Looking.

    def action_verify(self) -> None:
        """Runs every check; the results for this server mark its steps."""
        if not self._looking:
            self._looking, self._error = True, None
            self._say()
            self.run_worker(self._verify(self._deployment), group="verify")

    async def _verify(self, deployment: Deployment) -> None:
        try:
            self._desk.report = await in_thread(lambda: self._desk.engine().verify(deployment))
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._error = in_words(error)
        self._looking = False
        self._show()

    # Showing.

    def _show(self) -> None:
        rows = [ListRow(BEFORE, ((" " * 11, ""), ("   Before you begin", "head")))]
        for number, step in enumerate(self._book.steps):
            name, word, style = MARKS[self._state(step)]
            rows.append(
                ListRow(
                    f"step {number}",
                    (
                        (fit(f" {glyph(name)} {word}", 11), style),
                        (f"{number + 1:2d} ", "dim"),
                        (step.title, "" if style != "good" else "dim"),
                    ),
                )
            )
        self._rows.set_rows(rows)
        self._say()
        self._show_detail()

    def _say(self) -> None:
        self.query_one("#book-summary", Static).update(self._summary())
        self.query_one("#hint", Static).update(self._consequence())
        self.refresh_bindings()

    def _summary(self) -> str:
        if self._error is not None:
            return f"{glyph('fail')} {self._error}"
        if self._looking:
            return f"{glyph('working')} Checking {self._host} from outside."
        states = [self._state(step) for step in self._book.steps]
        named = NAMES[self._book.system]
        if self._server.system is None:
            named = f"{named} is assumed (press s to set it)"
        parts = [f"{sum(state in ('proved', 'ticked') for state in states)} of {len(states)} steps done"]
        for state, words in (("proved", "{} proved from outside"), ("failed", "{} failed")):
            if state in states:
                parts.append(words.format(states.count(state)))
        return f"{named}. {', '.join(parts)}."

    def _consequence(self) -> str:
        """The next thing to do."""
        states = {self._state(step) for step in self._book.steps}
        waits = self._host in self._desk.left_out
        if "failed" in states:
            return "Each failed step says what was found. Fix it on the server, then press v."
        if "open" in states and "proved" not in states:
            return "Nothing here runs by itself. Do each step on the server, tick it with space, then press v."
        if waits:
            return f"{self._host} is at weight 0. To give it its weight, press r in Apply or a in Verify."
        if "proved" in states:
            return "This server answers clients of the VIP when the director sends them to it."
        return "All steps are ticked. Press v to check them from outside."

    @on(Rows.Moved, "#book-rows")
    def _show_detail(self) -> None:
        self.query_one("#book-detail", Detail).show([self._text()])

    def _text(self) -> Content:
        step = self._chosen()
        return _before(self._book) if step is None else self._step_text(step)

    def _step_text(self, step: RunbookStep) -> Content:
        proof = self._proof(step)
        seen: list[tuple[str, str]] = []
        check = proof.check
        if check is not None:
            label = "Proved" if proof.outcome == "proved" else "Seen"
            seen.append((label, check.message + (f" {check.evidence}." if check.evidence else "")))
            if proof.outcome == "failed":
                seen.append(("", _contradicts(step.title in self._ticks)))
        blocks = [labelled([*seen, ("Why", step.why)]), *_blocks(step, "$" if self._book.system == "linux" else ">")]
        return Content("\n").join(block for block in blocks if block.plain)

    @on(Rows.Chosen, "#book-rows")
    def _open_step(self) -> None:
        step = self._chosen()
        title = "Before you begin" if step is None else step.title
        self.app.push_screen(HelpModal(f"{self._host}: {title}", self._text()))

    def _chosen(self) -> RunbookStep | None:
        head, _, number = self._rows.key.partition(" ")
        return self._book.steps[int(number)] if head == "step" else None

    # What else the operator does.

    def action_copy(self) -> None:
        """Copies the selected step's commands."""
        step = self._chosen()
        if step is None or not step.commands:
            what = "Select a step first." if step is None else "This step has no commands: it is done by hand."
            self.notify(what, markup=False)
            return
        self.app.copy_to_clipboard("\n".join(step.commands) + "\n")
        count = len(step.commands)
        self.notify(
            f"{count} command{'' if count == 1 else 's'} copied to the clipboard.", title=step.title, markup=False
        )

    def action_export(self) -> None:
        """Asks for a path, then writes both forms."""
        self.app.push_screen(RunbookModal(self._deployment.name, self._host), self._export_to)

    def _export_to(self, path: Path | None) -> None:
        if path is None:
            return
        try:
            written = write_runbook(path, self._book)
        except OSError as error:
            self.notify(f"{path} could not be written: {error.strerror}.", severity="error", markup=False)
        else:
            self.notify("\n".join(map(str, written)), title="Written", timeout=15, markup=False)

    def action_back(self) -> None:
        self.dismiss(None)

    def action_help(self) -> None:
        self.app.push_screen(HelpModal("Runbook", Content(HELP)))


def _before(book: Runbook) -> Content:
    entries = [Content(line) for line in book.before]
    outside = [Content.assemble(("From outside", "bold")), *(Content(line) for line in book.outside)]
    return Content("\n").join([*entries, Content(""), *outside])


def _blocks(step: RunbookStep, prompt: str) -> Iterator[Content]:
    """The parts of a step. Commands have a prompt, so that you can see where each one begins."""
    for label, entries, sign in (
        ("By hand", step.hand, "-"),
        ("Commands (c copies)", step.commands, prompt),
        ("Check", step.check, prompt),
        ("Undo", step.undo, prompt),
    ):
        if entries:
            lines = [entry if entry.startswith("#") else f"{sign} {entry}" for entry in entries]
            yield Content.assemble((label, "bold"), "\n", "\n".join(lines))


def _contradicts(ticked: bool) -> str:
    return "The step is ticked, but the check failed." if ticked else ""
