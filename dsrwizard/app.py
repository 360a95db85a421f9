"""The terminal program: themes, command palette, questions of the engine, and the choice of the first screen."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from rich.text import Text
from textual.app import SystemCommand
from textual.binding import Binding
from textual.dom import DOMNode
from textual.driver import Driver
from textual.filter import LineFilter
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.theme import ThemeProvider

from dsrwizard import garbage, signals
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.foreign import lines, one_line, whole
from dsrwizard.engine.defects import Defect
from dsrwizard.engine.seats import Seats
from dsrwizard.session import Session, state_dir
from screens.pane import Desk
from screens.questions.asker import QuestionAsked, ScreenAsker
from screens.questions.modals import Choice, Question
from screens.terminal import LastingDriver
from screens.turns import AppInTurn
from screens.widgets.ascii_lines import AsciiLines
from screens.widgets.contrast import readable
from screens.widgets.glyphs import terminal_is_ascii, use_ascii
from screens.widgets.harmless_lines import HarmlessLines
from screens.wizard.shell import INPUT_STEPS, STEPS, WizardScreen

if TYPE_CHECKING:
    from dsrwizard.core.api import Engine
    from dsrwizard.core.model.deployment import Deployment
    from dsrwizard.core.ports import Asker
    from screens.live.view import LiveView

CLOSING_SECONDS = 7.0
"""How long the connections have for their end, once the screens are gone."""
LAB = "DSRWIZARD_LAB"
"""Environment variable set by `dsrwizard lab`: the path of a deployment file with values to start from."""
LAB_ENDS = "DSRWIZARD_LAB_ENDS"
"""Set where the lab was started for the wizard alone, and goes with it."""


@runtime_checkable
class Runs(Protocol):
    """A screen with a run that quitting must not interrupt."""

    def running(self) -> str:
        """The run as a sentence; empty: nothing runs."""
        ...

    def stop_running(self) -> None: ...


class LazyEngine:
    """The lazily built engine. It is built on the thread that first needs it; only then are the backends imported."""

    def __init__(self, build: Callable[[Asker], Engine], asker: Asker) -> None:
        self._build = build
        self._asker = asker
        self._lock = Lock()
        self._engine: Engine | None = None

    def __call__(self) -> Engine:
        with self._lock:
            if self._engine is None:
                self._engine = self._build(self._asker)
            return self._engine

    def close(self) -> None:
        """Closes its connections, if it was built."""
        if self._engine is not None:
            self._engine.close()


class DsrApp(AppInTurn):
    """The Textual app: the wizard, or the live pane of a deployment in force.

    `engine_factory` is called on a worker thread when the engine is first needed. `session` is one found on disk:
    the operator is asked whether to resume it. Without it a new one begins, from `deployment` when given, from the
    lab's file when in the lab. `start="live"` needs `deployment`; `read_only` offers nothing there that changes
    anything, `interval` is in seconds. `notices` are told once, at the start.
    """

    TITLE = "dsrwizard"
    CSS_PATH = ["app.tcss", "../screens/wizard/wizard.tcss"]  # a default screen's own CSS_PATH is not read
    ENABLE_COMMAND_PALETTE = True
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (60, "-normal"), (118, "-wide"), (150, "-widest")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-short"), (22, "-high")]

    BINDINGS = [
        Binding("ctrl+p", "command_palette", "Commands", id="app.commands", tooltip="All actions by name"),
        Binding("ctrl+e", "edit", "Edit deployment", id="app.edit", tooltip="Open this deployment in the wizard"),
        Binding(
            "ctrl+z", "suspend", "Suspend", id="app.suspend", tooltip="Back to the shell; fg comes back", show=False
        ),
        Binding(
            "ctrl+q",
            "quit",
            "Quit",
            id="app.quit",
            tooltip="Quit dsrwizard; the session is saved",
            show=False,
            priority=True,
        ),
    ]

    def __init__(
        self,
        engine_factory: Callable[[Asker], Engine],
        *,
        deployment: Deployment | None = None,
        start: Literal["wizard", "live"] = "wizard",
        session: Session | None = None,
        ascii_only: bool | None = None,
        notices: Sequence[str] = (),
        read_only: bool = False,
        interval: float = 1.0,
    ) -> None:
        gc.disable()  # a sixth of the time to the first screen; on again in on_ready
        plain = terminal_is_ascii() if ascii_only is None else ascii_only
        use_ascii(plain)
        super().__init__()
        self._ascii = AsciiLines(enabled=plain)
        self._harmless = HarmlessLines()
        self.asker = ScreenAsker(self)
        self.engine = LazyEngine(engine_factory, self.asker)
        self._deployment = deployment
        self._start = start
        self._found = session
        self._first = Draft()
        self._resumes = False
        self._lab_problem = ""
        self._notices = notices
        self._read_only = read_only
        self._interval = interval
        self._ends = False
        self._engine_end: Thread | None = None
        self._seats = Seats(state_dir())
        self._elsewhere = ""
        """Who has the wizard open in another terminal, as a sentence."""

    def get_default_screen(self) -> Screen[Any]:
        """Returns the first screen directly; a screen below it would be drawn for nothing."""
        if self._start == "live" and self._deployment is not None:
            from screens.live.screen import LiveScreen

            return LiveScreen(self._deployment, self.engine, self._read_only, self._interval)
        self._first = self._first_draft()
        session = self._found
        if session is None or (session.draft == self._first and session.step in ("", STEPS[0].id)):
            return WizardScreen(self._desk(Session(draft=self._first)))
        self._resumes = True
        return WizardScreen(self._desk(session), waiting=True)

    def _desk(self, session: Session) -> Desk:
        """The state for a wizard. Its session is kept unless another terminal has the wizard open."""
        self._elsewhere = self._seats.take("wizard")
        session.kept = not self._elsewhere
        return Desk(session, self.engine)

    def _tell_elsewhere(self) -> None:
        if self._elsewhere:
            said = f"{self._elsewhere} What you enter here is not saved when you quit."
            self.notify(said, title="Another terminal", severity="warning", timeout=20)

    # What leaves for the terminal: colours, lines, toasts, the clipboard.

    def get_css_variables(self) -> dict[str, str]:
        """The theme's variables, readable: themes have letters that hardly stand out from their own grounds."""
        self.theme_variables = made = readable(super().get_css_variables())
        return made

    def get_line_filters(self) -> Sequence[LineFilter]:
        """The line filters: one removes harmful characters, then Textual's own, and one for ASCII-only consoles."""
        filters = [self._harmless, *super().get_line_filters()]
        return [*filters, self._ascii] if self._ascii.enabled else filters

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Shows a toast. Its text is never parsed as markup."""
        super().notify(lines(message), title=one_line(title), severity=severity, timeout=timeout, markup=False)

    def copy_to_clipboard(self, text: str) -> None:
        """Copies a text without control characters other than tabs and newlines, because it may be pasted into a
        shell."""
        super().copy_to_clipboard(whole(text))

    def get_driver_class(self) -> type[Driver]:
        """The driver that survives the loss of its terminal."""
        return LastingDriver

    def on_mount(self) -> None:
        if isinstance(self._driver, LastingDriver):
            for number in signals.heeded():
                asyncio.get_running_loop().add_signal_handler(number, self._asked_to_end)
            self.set_interval(1.0, self._look_for_terminal)
            self.app_resume_signal.subscribe(self, lambda _: self.screen.refresh(layout=True))  # the shell was there
        for notice in self._notices:
            self.notify(notice, severity="warning", timeout=20, markup=False)
        self._tell_elsewhere()
        if self._lab_problem:
            self.notify(self._lab_problem, title="The lab's deployment file", severity="warning", markup=False)
        if self._resumes and self._found is not None:
            self._ask_to_resume(self._found)

    def on_ready(self) -> None:
        gc.enable()
        garbage.staying()

    def _first_draft(self) -> Draft:
        """The first draft: from the deployment given, or from the lab's file; otherwise empty."""
        if self._deployment is not None:
            return Draft.from_deployment(self._deployment)
        lab = os.environ.get(LAB)
        if lab:
            from dsrwizard.core.intake.deployment_file import load

            try:
                return Draft.from_deployment(load(Path(lab)))
            except DsrError as error:
                self._lab_problem = str(error)
        return Draft()

    def _ask_to_resume(self, session: Session) -> None:
        step = next((info.word for info in STEPS if info.id == session.step), STEPS[0].word)
        draft = session.draft
        vips = ", ".join(vip.address for vip in draft.vips if vip.address) or "no VIP yet"
        body = (
            f"An earlier session was not finished: {draft.name or 'unnamed'}, {vips}, {len(draft.servers)} real "
            f"server{'' if len(draft.servers) == 1 else 's'}, at the step {step}.\n\nResume continues there with "
            "everything you entered; the hosts are checked again. Start over discards what you entered; it changes "
            "nothing on any host."
        )
        choices = (Choice("resume", "Resume", "primary"), Choice("anew", "Start over"))
        self.push_screen(Question("Resume?", body, choices, safe="resume"), self._resume_answered)

    async def _resume_answered(self, choice: str | None) -> None:
        wizard = self._wizard()
        if wizard is None or self._found is None:
            return
        if choice == "anew":
            self._found = Session(draft=self._first)  # written over the old one
            await wizard.start_over(self._desk(self._found))
        else:
            await wizard.resume()

    def _wizard(self) -> WizardScreen | None:
        return next((screen for screen in self.screen_stack if isinstance(screen, WizardScreen)), None)

    # From the live pane back into the wizard.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Enables editing of the deployment in force from its live pane."""
        if action == "edit":
            return self._start == "live" and len(self.screen_stack) == 1 and self._may_change()
        return True

    def _may_change(self) -> bool:
        """Whether the live view is not read-only."""
        from screens.live.view import LiveView

        return not any(view.read_only for view in self.screen.query(LiveView))

    async def action_edit(self) -> None:
        """Opens the live pane's deployment as a draft. The deployment in force keeps running."""
        await self._leave_live(self._desk(Session(draft=self._first_draft(), visited=set(INPUT_STEPS))))

    async def _leave_live(self, desk: Desk) -> None:
        """Opens the wizard on top of the live pane, which stops watching. The first screen cannot be replaced."""
        from screens.live.view import LiveView

        for view in self.screen.query(LiveView):
            view.stop()
        await self.push_screen(WizardScreen(desk))
        self._tell_elsewhere()

    # Taking a deployment back.

    def on_live_view_teardown_asked(self, event: LiveView.TeardownAsked) -> None:
        """Opens the teardown screen, unless something else is changing hosts."""
        if self._busy():
            return
        from screens.runs.teardown import TeardownScreen

        deployment = event.deployment

        async def answered(gone: bool | None) -> None:
            if gone:
                await self._torn_down(deployment)

        self.push_screen(TeardownScreen(deployment, self.engine), answered)

    def _busy(self) -> bool:
        """Whether something is changing hosts now; if so, says so. Two runs at once would change the same hosts."""
        if running := self._at_work():
            self.notify(f"Not now: {running}", severity="warning", markup=False)
        return bool(running)

    # What else the live pane leads to.

    def on_live_view_apply_asked(self, event: LiveView.ApplyAsked) -> None:
        """Opens the re-apply screen."""
        if self._busy():
            return
        from screens.wizard.reapply import ReapplyScreen

        self.push_screen(ReapplyScreen(event.deployment, self.engine))

    def on_live_view_timeline_asked(self, event: LiveView.TimelineAsked) -> None:
        from screens.live.timeline import TimelineScreen

        self.push_screen(TimelineScreen(event.deployment, self.engine, event.happenings))

    # Mending what the live pane shows.

    def on_live_view_mend_asked(self, event: LiveView.MendAsked) -> None:
        """Opens the mend screen for that server."""
        if self._busy():
            return
        from screens.runs.mend import MendScreen

        self.push_screen(MendScreen(event.deployment, self.engine, row=event.row))

    async def _torn_down(self, deployment: Deployment) -> None:
        """Opens the wizard with the earlier input, without the results of the removed deployment."""
        wizard = self._wizard()
        draft = Draft.from_deployment(deployment) if wizard is None else wizard.desk.session.draft
        desk = self._desk(Session(draft=draft, visited=set(INPUT_STEPS)))
        if wizard is None:
            await self._leave_live(desk)
        else:
            await wizard.start_over(desk)

    # Questions of worker threads.

    def on_question_asked(self, event: QuestionAsked) -> None:
        self.asker.ask(event)

    # Leaving.

    async def action_quit(self) -> None:
        """Quits; asks first if a run would be interrupted. What is typed is kept in the session."""
        running = self._at_work()
        if not running:
            self.leave(self._way_back())
            return
        body = (
            f"{running}\n\nStop finishes the running commands and starts no new ones. The journal has every change "
            "made so far."
        )
        choices = (Choice("stay", "Keep running", "primary"), Choice("stop", "Stop and quit", "warning"))
        self.push_screen(Question("Quit?", body, choices, safe="stay"), self._quit_answered)

    def _at_work(self) -> str:
        """The run that is changing hosts now, as a sentence; empty: none."""
        return next(
            (text for screen in self.screen_stack if isinstance(screen, Runs) and (text := screen.running())), ""
        )

    def _quit_answered(self, choice: str | None) -> None:
        if choice != "stop":
            return
        for screen in self.screen_stack:
            if isinstance(screen, Runs) and screen.running():
                screen.stop_running()
        self.notify("Stopping: waiting for the commands that run now.", markup=False)
        self.set_interval(0.2, self._leave_when_stopped)

    def _leave_when_stopped(self) -> None:
        if not any(screen.running() for screen in self.screen_stack if isinstance(screen, Runs)):
            self.leave()

    def _asked_to_end(self) -> None:
        """Quits on a signal: running commands finish, nothing new starts, nothing is asked. A second signal quits at
        once."""
        if self._ends or not self._at_work():
            self.leave()
        else:
            self._ends = True
            self._quit_answered("stop")

    def _look_for_terminal(self) -> None:
        """If HUP is ignored, a run outlives its closed terminal; then the app ends."""
        if isinstance(self._driver, LastingDriver) and not self._driver.there:
            self._driver.disable_input()  # it would read the end of it over and over
            if not self._at_work():
                self.leave()

    def _way_back(self) -> str:
        """What the operator reads after quitting: what goes on, and how to come back."""
        if os.environ.get(LAB_ENDS):
            return "The lab has ended, and nothing of it is left. To try it again, run the same command again."
        wizard = self._wizard()
        if wizard is None or wizard.step == "live":
            return "The service keeps running without dsrwizard. To come back, run the same command again."
        if not wizard.desk.session.kept:
            return "What you entered here is not saved: another terminal has the wizard open."
        return "What you entered is saved. To go on, run the same command again."

    def action_suspend(self) -> None:
        """Stops the program as ctrl+z does, unless a run is under way: a server takes back what nobody proves."""
        running = self._at_work()
        if running:
            self.notify(f"Not now: {running}", severity="warning", markup=False)
        elif os.getsid(0) == os.getpid():
            self.notify("No shell is behind this terminal. ctrl+q quits.", severity="warning", markup=False)
        else:
            self.action_suspend_process()

    def leave(self, said: str = "") -> None:
        """Ends the program: saves the session, answers open questions with no, closes connections. `said`: what the
        terminal shows afterwards."""
        wizard = self._wizard()
        if wizard is not None:
            wizard.save()
        self.exit(0, message=Text(said) if said else None)

    def exit(self, *args: Any, **kwargs: Any) -> None:
        self.asker.close()
        self._seats.leave()
        self._engine_end = Thread(target=self.engine.close, name="dsrwizard-close", daemon=True)
        self._engine_end.start()
        super().exit(*args, **kwargs)

    def run(self, *args: Any, **kwargs: Any) -> int | None:
        """Runs until the end, and until the connections are closed: a shell that stays open on a Windows server counts
        among the few that a user may have there."""
        result = super().run(*args, **kwargs)
        if self._engine_end is not None:
            self._engine_end.join(CLOSING_SECONDS)
        return result

    def _fatal_error(self) -> None:
        """Replaces Textual's traceback with local variables, which could show secrets."""
        error = self._exception
        if error is not None:
            cause = getattr(error, "error", error)  # a failed worker carries what happened in it
            self._exit_renderables.append(Text("\n".join(Defect.of(cause).lines())))
        self._close_messages_no_wait()

    # The palette.

    def action_command_palette(self) -> None:
        """Opens the palette."""
        from screens.questions.palette import Palette

        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def search_themes(self) -> None:
        """Opens the palette of themes."""
        from screens.questions.palette import Palette

        self.push_screen(Palette(providers=[ThemeProvider], placeholder="Search for themes…"))

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette's entries: every action that works now, named `area: Verb` after the binding's id, and the
        app's own."""
        seen: set[str] = set()
        for node, binding, enabled, tooltip in screen.active_bindings.values():
            if not enabled or not binding.id or not binding.description or binding.id in (*seen, "app.commands"):
                continue
            seen.add(binding.id)
            area = binding.id.partition(".")[0]

            def run(action: str = binding.action, node: DOMNode = node) -> None:
                self.call_later(self.run_action, action, node)

            yield SystemCommand(f"{area}: {binding.description}", tooltip or binding.description, run)
        yield SystemCommand("theme: Choose", "Light, dark, or the terminal's own colours", self.action_change_theme)
