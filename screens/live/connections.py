"""The connections of the selected server out of the director's connection table, with its events beside them where the
terminal is wide."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.timer import Timer
from textual.widgets import Static

from dsrwizard.core.model.connection_table import ConnectionTable
from dsrwizard.core.model.facts import Connection
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.snapshot import Happening
from dsrwizard.core.record.timeline import in_order_of_time
from screens import clock
from screens.background import in_thread
from screens.live.cells import STATES
from screens.live.words import happening_line
from screens.questions.modals import HelpModal
from screens.questions.once import AnsweredOnce
from screens.widgets.check_detail import Detail
from screens.widgets.glyphs import glyph
from screens.widgets.host_words import in_words
from screens.widgets.keybar import KeyBar
from screens.widgets.numbers import age, counted
from screens.widgets.rows import ListRow, Rows, fit, right
from screens.widgets.words import frame_title

AGAIN = 2.0
"""Seconds from one reading to the next."""
RESTS = 10.0
"""Times as long as a reading took, nothing is read: a table of 100,000 connections takes a second to read."""
BESIDE = 110
"""From this width on, the events stand beside the connections."""
STATES_SHOWN = 4
EVENTS_SHOWN = 200
TITLES = ("Client", "State", "Expires", "Server")
MEANINGS = {
    "SYN_RECV": "the client has not answered a SYN-ACK yet; if it stays so, it gets none, or its answer gets lost",
    "ESTABLISHED": "in use, or kept open by the client",
    "FIN_WAIT": "the client has closed it",
    "CLOSE_WAIT": "it is being closed",
    "TIME_WAIT": "it is over",
    "CLOSE": "it was reset",
    "UDP": "a client has sent something",
}
HELP = (
    "The connections that IPVS has given to this server, as its own table has them. Half-open ones come first, then "
    "those in use, then the rest; of equals, those whose client was heard last. 200 at most are listed, the others "
    "are counted.\n\nThe director sees only what clients send, so a state is its estimate. IPVS keeps no age: Expires "
    "is when it forgets the connection if the client sends nothing more, and starts anew with each packet.\n\n"
    "Many in SYN_RECV: the server's answers do not reach the clients, or somebody floods it. None, while others have "
    "many: the server has weight 0, or clients are bound to others by persistence.\n\nThe list is read again every "
    "two seconds, less often if the table is large. r reads it now."
)


class ConnectionsScreen(AnsweredOnce[None]):
    """The screen. `about`: whose connections; `names`: address → server, for the list of a whole service; `read` blocks
    for a second at most; `happenings`: the events of this server that the watch saw; `stored` reads those before."""

    BINDINGS = [
        Binding("escape,c,q", "back", "Back", id="clients.back", key_display="esc", tooltip="Go back to the live pane"),
        Binding("r", "read", "Read again", id="clients.read", tooltip="Read the connection table now"),
        Binding("f1,question_mark", "help", "Help", id="clients.help", tooltip="What the words mean", key_display="f1"),
    ]
    DEFAULT_CSS = """
    ConnectionsScreen #clients-frame { border: round $primary; border-title-color: $text-primary; height: 1fr;
        border-title-style: bold; padding: 0 1; }
    ConnectionsScreen #clients-summary { height: auto; max-height: 3; width: 1fr; }
    ConnectionsScreen #clients-titles { height: 1; width: 1fr; color: $text-muted; text-style: underline; }
    ConnectionsScreen #clients-detail { height: 3; }
    ConnectionsScreen #clients-events { width: 2fr; display: none; border-left: solid $foreground 25%; padding: 0 1; }
    ConnectionsScreen.-beside #clients-events { display: block; }
    ConnectionsScreen #clients-left { width: 3fr; }
    """

    def __init__(
        self,
        about: str,
        names: Mapping[str, str],
        read: Callable[[], ConnectionTable],
        happenings: Callable[[], Sequence[Happening]],
        stored: Callable[[], Sequence[Happening]],
    ) -> None:
        super().__init__()
        self._about = about
        self._names = names
        self._read_table = read
        self._happenings = happenings
        self._stored = stored
        self._kept: Sequence[Happening] = ()
        self._unread = ""
        self._table: ConnectionTable | None = None
        self._problem = ""
        self._reading = False
        self._again: Timer | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="clients-frame"):
            yield Static(id="clients-summary", markup=False)
            with Horizontal():
                with Vertical(id="clients-left"):
                    yield Static(id="clients-titles", markup=False)
                    yield Rows(id="clients-rows")
                with Vertical(id="clients-events"):
                    yield Static("Events, the latest first", id="clients-events-title", markup=False)
                    yield Rows(id="clients-log")
            yield Detail(id="clients-detail")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#clients-frame").border_title = frame_title(f"Connections of {self._about}")
        self._rows.focus()
        self.set_interval(0.5, self._say)
        self._show()
        self.run_worker(self._read_events(), group="clients-events")
        self.action_read()

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width >= BESIDE, "-beside")
        self.call_after_refresh(self._show)

    @property
    def _rows(self) -> Rows:
        return self.query_one("#clients-rows", Rows)

    # Reading.

    def action_read(self) -> None:
        """Reads the table, and again after a while."""
        if not self._reading:
            self._reading = True
            self.run_worker(self._read(), group="clients")

    async def _read(self) -> None:
        began = clock.running()
        try:
            self._table = await in_thread(self._read_table)
            self._problem = self._table.problem
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._problem = str(in_words(error))
        self._reading = False
        if self.is_mounted:
            self._show()
            if self._again is not None:
                self._again.stop()
            self._again = self.set_timer(max(AGAIN, RESTS * (clock.running() - began)), self._once_more)

    async def _read_events(self) -> None:
        try:
            self._kept = await in_thread(self._stored)
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._unread = str(in_words(error))
        if self.is_mounted:
            self._show_events()

    def _once_more(self) -> None:
        """Reads again; nothing is read while another screen is before this one."""
        if self.is_current:
            self.action_read()
        else:
            self._again = self.set_timer(AGAIN, self._once_more)

    # Showing.

    def _show(self) -> None:
        table, width = self._table, self._rows.line_width
        several = len(self._names) > 1
        self.query_one("#clients-titles", Static).update(
            f"  {_line(TITLES, width, several)}"  # beside the cursor's place
        )
        rows = [self._row(one, width, several) for one in table.first] if table is not None else []
        if table is not None and table.more:
            rows.append(ListRow("more", ((f"and {counted(table.more)} more", "dim"),), selectable=False))
        self._rows.set_rows(rows)
        self._show_events()
        self._say()
        self._show_detail()

    def _show_events(self) -> None:
        events = [_event(one) for one in reversed(in_order_of_time(self._kept, self._happenings())[-EVENTS_SHOWN:])]
        if self._unread:
            events.append(ListRow("unread", ((f"{glyph('fail')} {self._unread}", "bad"),), selectable=False))
        elif not events:
            events = [ListRow("none", (("No events since watching began.", "dim"),), selectable=False)]
        self.query_one("#clients-log", Rows).set_rows(events)

    def _row(self, one: Connection, width: int, several: bool) -> ListRow:
        cells = (_client(one), one.state, f"{one.expires} s", self._names.get(one.address, one.address))
        style = "warn" if one.state == "SYN_RECV" else "" if one.state in ("ESTABLISHED", "UDP") else "dim"
        return ListRow(f"{one.protocol} {_client(one)}", ((_line(cells, width, several), style),))

    def _say(self) -> None:
        table = self._table
        if self._problem:
            text = f"{glyph('fail')} {self._problem}"
        elif table is None:
            text = f"Reading{glyph('working')}"
        elif not table.total:
            text = f"No connections. Read {age(clock.now() - table.at)} ago."
        else:
            states = [f"{counted(number)} {one_line(state)}" for state, number in table.states[:STATES_SHOWN]]
            rest = table.total - sum(number for _, number in table.states[:STATES_SHOWN])
            states += [f"{counted(rest)} other"] if rest else []
            ending = "" if table.total == 1 else "s"
            text = f"{counted(table.total)} connection{ending}: {', '.join(states)}. "
            text += f"Read {age(clock.now() - table.at)} ago."
        self.query_one("#clients-summary", Static).update(text)

    @on(Rows.Moved, "#clients-rows")
    def _show_detail(self) -> None:
        table, index = self._table, self._rows.cursor
        lines: list[tuple[str, str]] = []
        if table is not None and 0 <= index < len(table.first):
            one = table.first[index]
            name = self._names.get(one.address, one.address)
            meaning = MEANINGS.get(one.state, "")
            path = f"{_client(one)} {glyph('arrow')} {one.vip} {one.protocol}/{one.port} {glyph('arrow')} {name}"
            lines = [
                (one_line(path), f"{one_line(one.state)}{f': {meaning}' if meaning else ''}."),
                ("", f"IPVS forgets it in {one.expires} s, unless the client sends something."),
            ]
        self.query_one("#clients-detail", Detail).show(lines)

    # What the operator does.

    def action_back(self) -> None:
        self.dismiss(None)

    def action_help(self) -> None:
        self.app.push_screen(HelpModal("Connections", Content(HELP)))


def _client(one: Connection) -> str:
    return f"[{one.client}]:{one.client_port}" if ":" in one.client else f"{one.client}:{one.client_port}"


def _line(cells: tuple[str, str, str, str], width: int, several: bool) -> str:
    """Client, state, time left and, with several servers, the server."""
    client, state, expires, server = cells
    room = max(width - 2 - 12 - 9 - 2 - (13 if several else 0), 12)
    name = f" {fit(server, 12)}" if several else ""
    return f"{fit(client, room)} {fit(state, 12)}{right(expires, 9)}{name}"


def _event(entry: Happening) -> ListRow:
    style = STATES[entry.state][2] if entry.state != "info" else "dim"
    return ListRow(f"{entry.at} {entry.host} {entry.message}", ((happening_line(entry), style),))
