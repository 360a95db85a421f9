"""The timeline screen: every stored event, the latest last, each in full below the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from dsrwizard.core.api import Engine
from dsrwizard.core.model.causes import with_words
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.snapshot import Happening
from dsrwizard.core.record.timeline import in_order_of_time
from screens.background import in_thread
from screens.live.cells import STATES
from screens.live.words import moment
from screens.questions.modals import HelpModal
from screens.questions.once import AnsweredOnce
from screens.widgets.check_detail import Detail, labelled
from screens.widgets.glyphs import arrows, glyph
from screens.widgets.host_words import in_words
from screens.widgets.keybar import KeyBar
from screens.widgets.numbers import counted
from screens.widgets.rows import ListRow, Rows, fit
from screens.widgets.words import frame_title

HELP = (
    "Every change of a real server's state that was seen while this deployment was watched, and every action from "
    "dsrwizard: weights, mends, applies, teardowns. The latest event is last.\n\nf shows only the selected line's "
    "host; press it again to show all. Enter shows a line in full. Changes are recorded only while dsrwizard "
    "watches: keep `dsrwizard watch` or `dsrwizard metrics` running."
)


class TimelineScreen(AnsweredOnce[None]):
    """The screen. Shows `happenings` at once, and adds the engine's stored events once they are read."""

    BINDINGS = [
        Binding("escape,q", "back", "Back", id="log.back", key_display="esc", tooltip="Go back to the live pane"),
        Binding(
            "f",
            "one_host",
            "This host only",
            id="log.host",
            tooltip="Show only the selected line's host, or every host again",
        ),
        Binding("r", "read", "Read again", id="log.read", tooltip="Read the stored events again"),
        Binding("f1,question_mark", "help", "Help", id="log.help", tooltip="What this list shows", key_display="f1"),
    ]
    DEFAULT_CSS = """
    TimelineScreen #log-frame { border: round $primary; border-title-color: $text-primary; height: 1fr;
        border-title-style: bold; padding: 0 1; }
    TimelineScreen #log-summary { height: auto; max-height: 3; width: 1fr; padding: 0 1; }
    TimelineScreen #log-detail { height: 5; }
    """

    def __init__(
        self, deployment: Deployment, engine: Callable[[], Engine], happenings: Sequence[Happening] = ()
    ) -> None:
        super().__init__()
        self._deployment = deployment
        self._engine = engine
        self._all = in_order_of_time(happenings)
        self._shown: tuple[Happening, ...] = ()
        self._host = ""
        self._reading = False
        self._problem = ""

    def compose(self) -> ComposeResult:
        with Container(id="log-frame"):
            yield Static(id="log-summary", markup=False)
            yield Rows(id="log-rows")
            yield Detail(id="log-detail")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one("#log-frame").border_title = frame_title(f"Events of {self._deployment.name}")
        self._rows.focus()
        self._show()
        self.action_read()

    @property
    def _rows(self) -> Rows:
        return self.query_one("#log-rows", Rows)

    # Reading.

    def action_read(self) -> None:
        """Reads the stored events."""
        if not self._reading:
            self._reading = True
            self._say()
            self.run_worker(self._read(), group="log")

    async def _read(self) -> None:
        try:
            kept = await in_thread(lambda: self._engine().events(self._deployment))
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._problem = str(in_words(error))
        else:
            self._problem = ""
            self._all = in_order_of_time(kept, self._all)
        self._reading = False
        self._show()

    # Showing.

    def _show(self) -> None:
        last = self._rows.cursor >= len(self._shown) - 1
        self._shown = tuple(entry for entry in self._all if self._host in ("", entry.host))
        self._rows.set_rows([_row(entry) for entry in self._shown])
        if last:
            self._rows.action_end(1)
        self._say()
        self._show_detail()

    def _say(self) -> None:
        if self._problem:
            text = f"{glyph('fail')} {self._problem}"
        elif not self._all:
            text = f"Reading{glyph('working')}" if self._reading else "No events since watching began."
        else:
            count = len(self._shown)
            text = f"{counted(count)} event{'' if count == 1 else 's'}"
            text += f" of {self._host}; f shows every host." if self._host else ", the latest at the end."
        self.query_one("#log-summary", Static).update(text)

    @on(Rows.Moved, "#log-rows")
    def _show_detail(self) -> None:
        entry = self._chosen()
        self.query_one("#log-detail", Detail).show(_lines(entry) if entry else [])

    def _chosen(self) -> Happening | None:
        index = self._rows.cursor
        return self._shown[index] if 0 <= index < len(self._shown) else None

    @on(Rows.Chosen, "#log-rows")
    def _open(self) -> None:
        entry = self._chosen()
        if entry is not None:
            self.app.push_screen(HelpModal(f"{entry.host}, {moment(entry.at)}", labelled(_lines(entry))))

    # What the operator does.

    def action_one_host(self) -> None:
        """Toggles between the selected line's host and every host."""
        entry = self._chosen()
        self._host = "" if self._host or entry is None else entry.host
        self._show()

    def action_back(self) -> None:
        self.dismiss(None)

    def action_help(self) -> None:
        self.app.push_screen(HelpModal("Events", Content(HELP)))


def _row(entry: Happening) -> ListRow:
    sign, style = glyph("dash"), "dim"
    if entry.state != "info":
        name, _, style = STATES[entry.state]
        sign = glyph(name)
    return ListRow(
        f"{entry.at} {entry.host} {entry.vip} {entry.service} {entry.message}",
        (
            (f"{moment(entry.at)}  ", "dim"),
            (fit(entry.host, 12) + " ", "head"),
            (f"{sign} {arrows(entry.message)}", style),
        ),
    )


def _lines(entry: Happening) -> list[tuple[str, str]]:
    about = " ".join(part for part in (entry.vip, entry.service) if part)
    state = STATES[entry.state][1] if entry.state != "info" else ""
    was = f"{STATES[entry.before][1]} before" if entry.before else ""
    return [
        (f"{moment(entry.at)} {entry.host}", arrows(entry.message)),
        ("Service", about),
        ("State", ", ".join(part for part in (state, was) if part)),
        ("Cause", with_words(entry.cause)),
    ]
