"""The live pane as the wizard's last step, and as a screen of its own for `dsrwizard watch`."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.screen import Screen
from textual.widget import Widget

from dsrwizard.core.api import Engine
from dsrwizard.core.model import Deployment
from screens.modals import HelpModal
from screens.pane import Desk, Pane
from screens.widgets.keybar import KeyBar
from screens.widgets.live_table import LiveTable
from screens.widgets.live_view import LiveView

HELP = (
    "Every second the director's counters are read; every two seconds each real server is probed through the VIP; "
    "every five seconds it is heard who answers ARP for the VIP.\n\n"
    "up: the VIP answers through this server. draining: weight 0, no new clients. VIP dead: it does not answer through "
    "it. LEAKING: it answers ARP for the VIP. drifted: IPVS is not as the deployment says. unreachable: the RIP has no "
    "MAC on this network.\n\n"
    "replies direct: the director counted no reply, so they bypass it. Active and inactive connections are "
    "estimated, because the director sees one direction only.\n\n"
    "d drain, u restore, p pause, v verify, + and - the interval, Enter more about a row, q quit: the service goes on "
    "without dsrwizard. X shows what a teardown would take back, and asks before it does."
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
    """The live view alone, for a deployment in force."""

    BINDINGS = [
        Binding("f1,question_mark", "help", "Help", id="watch.help", tooltip="What the words mean", key_display="f1"),
    ]
    DEFAULT_CSS = """
    LiveScreen > LiveView { padding: 0 1; }
    """

    def __init__(self, deployment: Deployment, engine: Callable[[], Engine]) -> None:
        super().__init__()
        self._deployment = deployment
        self._engine = engine

    def compose(self) -> ComposeResult:
        yield LiveView(self._engine, id="live-view")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(LiveView).start(self._deployment)
        self.query_one(LiveTable).focus()

    def action_help(self) -> None:
        self.app.push_screen(HelpModal("Live", Content(HELP)))
