"""The live view as the wizard's last step, and as a screen of its own for `dsrwizard watch`."""

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
from screens.questions.once import LeavesEarly
from screens.widgets.keybar import KeyBar

HELP = (
    "The state of each real server comes from four sources: the director's counters, a probe through the VIP to "
    "each server, who answers ARP for the VIP, and each server's own settings compared with the deployment (drift). "
    "The header shows the age of each source, and how long a round of probes takes if there are many.\n\nup: the "
    "VIP answers through this server. draining: weight 0, no new clients. VIP dead: it does not answer through it. "
    "LEAKING: it answers ARP for the VIP. drifted: it serves, but its settings differ from the deployment. "
    "unreachable: the RIP has no MAC on this network. unknown: it could not be checked. missed: the last look failed, "
    "and the next one decides.\n\nreplies direct: the director counted no replies, so they bypass it; the figure is "
    "what IPVS saw of them. %new, %pkt and %B: the server's share of its service. Behind a trend line stands what its "
    "full bar is, per second. Active and inactive connections are estimates, because the "
    "director sees only one direction.\n\nView: Enter details of a row, p picture of the farm with the broken arrow, "
    "x page of the cause, c who is connected to this server, f only servers that are not up, / find, l log of all "
    "events, s sort by the next column, t trend lines and shares of connections, packets or bytes, i what could not be "
    "checked, v run every check now, P pause, + and - change the interval.\n\n"
    "Act: d drain, u restore, w weight, m mend the selected server; space chooses several for d, u and w; a apply the "
    "deployment again, e export the incident as text. X shows what a teardown would undo. d, u "
    "and w say what the weight does to users now, and ask. m, a and X show every step and ask before they change "
    "anything; every change goes to the journal. Read-only mode does not have these keys.\n\n"
    "q quits; the service keeps running without dsrwizard. ^p lists every key by name."
)


class LivePane(Pane):
    """The pane of the wizard's last step."""

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
        self.hint = "The service keeps running without dsrwizard; `dsrwizard` opens this pane."

    def compose(self) -> ComposeResult:
        yield LiveView(self.desk.engine, id="live-view")

    def entered(self) -> None:
        self.query_one(LiveView).start(self.desk.planned_for or self.deployment())
        self.out_of_date = False

    def first_focus(self) -> Widget:
        return self.query_one(LiveTable)

    def next_label(self) -> str:
        return ""


class LiveScreen(LeavesEarly, Screen[None]):
    """The screen with the live view alone, for a deployment in force. `interval`: seconds between two readings of
    the counters."""

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
