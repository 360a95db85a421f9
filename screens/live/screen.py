"""The live pane as the wizard's last step, and as a screen of its own for `dsrwizard watch`."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from dsrwizard.core.api import Engine
from dsrwizard.core.model.deployment import Deployment
from screens.live.table import LiveTable
from screens.live.view import LiveView
from screens.pane import Desk, Pane
from screens.questions.modals import HelpModal
from screens.widgets.keybar import KeyBar

HELP = (
    "Four sources make one state per real server: the director's counters, a probe through the VIP to each server, who "
    "answers ARP for the VIP, and each server's own settings held against the deployment (drift). The header says how "
    "old each is, and how long a round of probes takes where there are many.\n\n"
    "up: the VIP answers through this server. draining: weight 0, no new clients. VIP dead: it does not answer through "
    "it. LEAKING: it answers ARP for the VIP. drifted: it serves, but is not as the deployment says. unreachable: the "
    "RIP has no MAC on this network. unknown: it could not be looked at; nothing is said about it.\n\n"
    "replies direct: the director counted no reply, so they bypass it. Active and inactive connections are "
    "estimated, because the director sees one direction only.\n\n"
    "Look: Enter more about a row, f only what is not up, / find, l the events of all days, t trend lines of "
    "connections, packets or bytes, i what is unseen, v every check now, p pause, + and - the interval.\n\n"
    "Act: d drain, u restore, w weight, m mend the chosen server, a apply the deployment again, e write the incident "
    "as text. X shows what a teardown would take back. m, a and X show everything and ask before they change "
    "anything; all that is done goes to the journal. In read-only mode these keys are not there.\n\n"
    "q quits: the service goes on without dsrwizard. Every key is in ^p by its name too."
)


class LivePane(Pane):
    """The wizard's last step."""

    step_id = "live"
    title = "Live"
    heading = "Live"
    roomy = True
    HELP = HELP
    DEFAULT_CSS = """
    LivePane { overflow: hidden; }
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.hint = "The service goes on without dsrwizard; `dsrwizard` opens this pane again."

    def compose(self) -> ComposeResult:
        yield LiveView(self.desk.engine, id="live-view")

    def entered(self) -> None:
        self.query_one(LiveView).start(self.desk.planned_for or self.deployment())
        self.out_of_date = False

    def first_focus(self) -> Widget:
        return self.query_one(LiveTable)

    def next_label(self) -> str:
        return ""


class LiveScreen(Screen[None]):
    """The live view alone, for a deployment in force. `interval`: seconds between two readings of the counters."""

    BINDINGS = [
        Binding("f1,question_mark", "help", "Help", id="watch.help", tooltip="What the words mean", key_display="f1"),
    ]
    DEFAULT_CSS = """
    LiveScreen > LiveView { padding: 0 1; }
    """

    def __init__(
        self,
        deployment: Deployment,
        engine: Callable[[], Engine],
        read_only: bool = False,
        interval: float = 1.0,
    ) -> None:
        super().__init__()
        self._deployment = deployment
        self._engine = engine
        self._read_only = read_only
        self._interval = interval

    def compose(self) -> ComposeResult:
        yield LiveView(self._engine, id="live-view", read_only=self._read_only, interval=self._interval)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(LiveView).start(self._deployment)
        self.query_one(LiveTable).focus()

    def action_help(self) -> None:
        self.app.push_screen(HelpModal("Live", Content(HELP)))
