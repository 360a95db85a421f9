"""The picture of the farm as a screen: it follows the live view, scrolls, and leads to the page of a cause."""

from __future__ import annotations

from collections.abc import Callable

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.events import Resize
from textual.widgets import Static

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.snapshot import ServiceRow, Snapshot
from screens.live.farm import farm_rows
from screens.questions.cause_page import show_cause
from screens.questions.modals import HelpModal
from screens.questions.once import AnsweredOnce
from screens.widgets.glyphs import glyph
from screens.widgets.keybar import KeyBar
from screens.widgets.rows import Rows
from screens.widgets.words import frame_title

HELP = (
    "The way of a request from the client by the director to each real server, and of the reply straight back to the "
    "client. A cross is in the arrow where the packets end, and the cause is under it.\n\nThe arrow to a server is "
    "broken if nobody answers for its own address, or if it is not in IPVS. The arrow back is broken if the VIP does "
    "not answer through this server. A dashed arrow carries nothing new: the server is drained, or nothing reaches it. "
    "The percentage is the server's share of the service's new connections.\n\nThe picture follows the live view. x "
    "explains the cause of the selected line, Enter goes to that server in the live view, the left and right arrows "
    "show the service before and the next one."
)


class FarmScreen(AnsweredOnce[str]):
    """The screen. `latest` gives the newest snapshot; `key` is the live table's row to begin with. The answer is the
    key of the row that the live view should go to; None: where it was."""

    BINDINGS = [
        Binding("escape,p,q", "back", "Back", id="farm.back", key_display="esc", tooltip="Go back to the live pane"),
        Binding("x", "explain", "Explain", id="farm.explain", tooltip="Explain the cause of the selected line"),
        Binding("left", "service(-1)", "Service before", id="farm.before", show=False,
                tooltip="Show the service before"),
        Binding("right", "service(1)", "Next service", id="farm.next", tooltip="Show the next service"),
        Binding("f1,question_mark", "help", "Help", id="farm.help", tooltip="What the picture shows", key_display="f1"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    FarmScreen #farm-frame { border: round $primary; border-title-color: $text-primary; height: 1fr;
        border-title-style: bold; padding: 0 1; }
    FarmScreen #farm-summary { height: 1; width: 1fr; color: $text-muted; }
    """

    def __init__(self, deployment: Deployment, latest: Callable[[], Snapshot | None], key: str) -> None:
        super().__init__()
        self._deployment = deployment
        self._latest = latest
        self._begin = key
        self._place = tuple(key.split(" ")[:2])
        self._drawn: tuple[Snapshot | None, int] = (None, 0)

    def compose(self) -> ComposeResult:
        with Vertical(id="farm-frame"):
            yield Static(id="farm-summary", markup=False)
            yield Rows(id="farm-rows")
        yield KeyBar()

    def on_mount(self) -> None:
        self._rows.focus()
        self.set_interval(0.5, self.redraw)
        self.call_after_refresh(self.redraw)

    def on_resize(self, event: Resize) -> None:
        self.call_after_refresh(self.redraw)

    @property
    def _rows(self) -> Rows:
        return self.query_one("#farm-rows", Rows)

    def redraw(self) -> None:
        """Draws the newest snapshot, unless it is drawn already or the screen is covered."""
        snapshot, width = self._latest(), self._rows.line_width
        if snapshot is None or not self.is_current or self._drawn == (snapshot, width):
            return
        self._drawn = (snapshot, width)
        service = self._service(snapshot)
        if service is None:
            return
        self._rows.set_rows(farm_rows(self._deployment, snapshot, service, width - 2))
        if self._begin:
            self._rows.put_cursor(self._begin)
            self._begin = ""
        count = len(snapshot.services)
        number = snapshot.services.index(service) + 1
        which = f" ({number} of {count})" if count > 1 else ""
        self.query_one("#farm-frame").border_title = frame_title(f"{service.vip} {service.service}{which}")
        said = f"{glyph('fail')} in an arrow: the packets end there. %: share of new connections."
        self.query_one("#farm-summary", Static).update(said)

    def _service(self, snapshot: Snapshot) -> ServiceRow | None:
        services = snapshot.services
        return next((one for one in services if (one.vip, one.service) == self._place), next(iter(services), None))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Other services are offered where there are several."""
        if action == "service":
            snapshot = self._latest()
            return snapshot is not None and len(snapshot.services) > 1
        return True

    def action_service(self, by: int) -> None:
        """The next service, or the one before."""
        snapshot = self._latest()
        service = self._service(snapshot) if snapshot is not None else None
        if snapshot is None or service is None:
            return
        number = (snapshot.services.index(service) + by) % len(snapshot.services)
        chosen = snapshot.services[number]
        self._place, self._drawn = (chosen.vip, chosen.service), (None, 0)
        self._begin = f"{chosen.vip} {chosen.service}"
        self.redraw()

    def action_explain(self) -> None:
        """Opens the page of the selected line's cause."""
        snapshot = self._latest()
        service = self._service(snapshot) if snapshot is not None else None
        if service is None:
            return
        name = self._rows.key.split(" ")[2:]
        row = next((one for one in service.rows if [one.server] == name), None)
        show_cause(self, row.cause if row is not None else service.cause)

    @on(Rows.Chosen, "#farm-rows")
    def _go(self) -> None:
        self.dismiss(self._rows.key)

    def action_back(self) -> None:
        self.dismiss(None)

    def action_help(self) -> None:
        self.app.push_screen(HelpModal("The picture of the farm", Content(HELP)))
