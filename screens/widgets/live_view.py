"""The live view: header with the age of the data, table, the chosen server in words, event log, and the keys.

The engine's poller runs in threads of its own; its snapshots come in as messages, so a slow or dead poll never delays
a key. Nothing is drawn while the view is hidden or a modal stands before it.
"""

from __future__ import annotations

from collections.abc import Callable
from textwrap import wrap
from threading import Thread

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.events import Resize
from textual.message import Message
from textual.widgets import Static

from dsrwizard.core.api import Engine, Watcher
from dsrwizard.core.checks import Report
from dsrwizard.core.model import Deployment
from dsrwizard.core.snapshot import DestinationRow, Happening, ServiceRow, Snapshot
from screens.background import in_thread
from screens.modals import Choice, HelpModal, Question
from screens.widgets.check_detail import Detail, labelled
from screens.widgets.check_rows import check_lines, verdict_line
from screens.widgets.glyphs import glyph
from screens.widgets.host_log import TitledLog
from screens.widgets.host_words import in_words
from screens.widgets.live_rows import Rows
from screens.widgets.live_table import LiveTable, titles
from screens.widgets.live_words import detail_lines, happening_line, header_lines

INTERVALS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class LiveView(Vertical):
    """Watches one deployment while `start` has been called and `stop` has not."""

    BINDINGS = [
        Binding("d", "drain", "Drain", id="live.drain", tooltip="Weight 0: this server gets no new clients"),
        Binding("u", "restore", "Restore", id="live.restore", tooltip="Give this server its weight back"),
        Binding("p", "pause", "Pause", id="live.pause", tooltip="Stop polling, or go on"),
        Binding("v", "verify", "Verify", id="live.verify", tooltip="Run every check now"),
        Binding("plus,equals_sign", "interval(1)", "Slower", id="live.slower", show=False, tooltip="Poll less often"),
        Binding("minus", "interval(-1)", "Faster", id="live.faster", show=False, tooltip="Poll more often"),
        Binding("X", "tear_down", "Tear down…", id="live.tear-down", key_display="X",
                tooltip="Show what would be taken back; nothing is changed before you type the VIP"),
        Binding("q", "app.quit", "Quit", id="live.quit", tooltip="Leave dsrwizard; the service goes on"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    LiveView { height: 1fr; width: 1fr; }
    LiveView > #live-header { height: auto; max-height: 3; width: 1fr; padding: 0 1; }
    LiveView > #live-header.-old { color: $text-warning; text-style: bold; }
    LiveView > #live-titles { height: 1; width: 1fr; color: $text-muted; text-style: underline; }
    LiveView > #live-detail { height: 5; }
    LiveView > #live-log { height: 4; }
    LiveView > LiveTable { min-height: 4; }
    LiveView.-short > #live-log { display: none; }
    LiveView.-short > #live-detail { height: 3; }
    LiveView.-tall > #live-detail { height: 7; }
    LiveView.-tall > #live-log { height: 10; }
    """

    class Polled(Message, bubble=False):
        """The engine's one way to this view."""

        def __init__(self, snapshot: Snapshot, turn: int) -> None:
            super().__init__()
            self.snapshot = snapshot
            self.turn = turn

    class TeardownAsked(Message):
        """The operator wants to see what a teardown of this deployment would take back."""

        def __init__(self, deployment: Deployment) -> None:
            super().__init__()
            self.deployment = deployment

    class Verified(Message):
        """Every check was run from here."""

        def __init__(self, report: Report) -> None:
            super().__init__()
            self.report = report

    def __init__(self, engine: Callable[[], Engine], *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self._engine = engine
        self._deployment: Deployment | None = None
        self._watcher: Watcher | None = None
        self._turn = 0
        self._interval = 1.0
        self.paused = False
        self.snapshot: Snapshot | None = None
        self._drawn: Snapshot | None = None
        self._logged: tuple[Happening, ...] = ()
        self._problem = ""
        self._verifying = False

    def compose(self) -> ComposeResult:
        yield Static(id="live-header", markup=False)
        yield Static(id="live-titles", markup=False)
        yield LiveTable(id="live-table")
        yield Detail(id="live-detail")
        yield TitledLog("Events", id="live-log")

    def on_mount(self) -> None:
        self.set_interval(0.5, self._draw)

    def on_unmount(self) -> None:
        self.stop()

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height >= 26, "-tall")
        self.set_class(event.size.height < 16, "-short")
        self.query_one("#live-titles", Static).update(titles(self.query_one(LiveTable).line_width or event.size.width))

    # Watching.

    def start(self, deployment: Deployment) -> None:
        """Watches this deployment; nothing happens if it is watched already."""
        if self._watcher is not None and deployment == self._deployment:
            return
        self.stop()
        self._deployment = deployment
        self._turn += 1
        turn, interval, paused = self._turn, self._interval, self.paused
        self.run_worker(self._open(deployment, turn, interval, paused), group="live-open")

    async def _open(self, deployment: Deployment, turn: int, interval: float, paused: bool) -> None:
        def show(snapshot: Snapshot) -> None:
            self.post_message(self.Polled(snapshot, turn))

        def work() -> Watcher:
            watcher = self._engine().watch(deployment, interval)
            watcher.pause(paused)
            watcher.start(show)
            return watcher

        try:
            watcher = await in_thread(work)
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self._problem = str(in_words(error))
            self._draw()
            return
        if turn == self._turn:
            self._watcher = watcher
            watcher.set_interval(self._interval)  # a key may have come meanwhile
            watcher.pause(self.paused)
            self._problem = ""
        else:
            _close(watcher)

    def stop(self) -> None:
        """Ends the watching. Its threads end by themselves; nobody waits for them."""
        self._turn += 1
        if self._watcher is not None:
            _close(self._watcher)
            self._watcher = None

    @on(Polled)
    def polled(self, event: Polled) -> None:
        if event.turn == self._turn:
            self.snapshot = event.snapshot
            self._draw()

    # Drawing.

    def _draw(self) -> None:
        if not (self.is_mounted and self.screen.is_active and self.is_on_screen):
            return
        self._show_header()
        snapshot = self.snapshot
        if snapshot is None or snapshot is self._drawn:
            return
        self._drawn = snapshot
        self.query_one(LiveTable).show(snapshot)
        self._show_log(snapshot.happenings)

    def _show_header(self) -> None:
        header = self.query_one("#live-header", Static)
        lines = header_lines(self._deployment, self.snapshot, self._interval, self.paused, self._problem)
        header.update("\n".join(lines))
        header.set_class(len(lines) > 1, "-old")

    def _show_log(self, happenings: tuple[Happening, ...]) -> None:
        if happenings == self._logged:
            return
        log = self.query_one("#live-log", TitledLog)
        fresh = happenings
        if self._logged and self._logged[-1] in happenings:
            last = len(happenings) - 1 - happenings[::-1].index(self._logged[-1])
            fresh = happenings[last + 1 :]
        width = max(log.scrollable_content_region.width, 20)
        for entry in fresh:
            log.write_lines(wrap(happening_line(entry), width, subsequent_indent=" " * 10))
        self._logged = happenings

    @on(Rows.Moved, "#live-table")
    def _show_detail(self) -> None:
        found = self.query_one(LiveTable).chosen()
        self.query_one("#live-detail", Detail).show(detail_lines(*found) if found else [])

    @on(Rows.Chosen, "#live-table")
    def _open_detail(self) -> None:
        found = self.query_one(LiveTable).chosen()
        if found is not None:
            service, row = found
            title = row.server if row else f"{service.vip} {service.service}"
            self.app.push_screen(HelpModal(title, labelled(detail_lines(service, row))))

    # Keys.

    def action_drain(self) -> None:
        """Weight 0 for the chosen server; asks when it is the last that serves."""
        found = self._chosen_server()
        if found is None:
            return
        service, row = found
        others = [other for other in service.rows if other.weight and other.server != row.server]
        if others:
            self._weigh(row.server, 0)
            return
        body = f"{row.server} is the last with a weight behind {service.vip} {service.service}: clients get no answer."
        choices = (Choice("cancel", "Cancel", "primary"), Choice("drain", "Drain it", "warning"))

        def answered(choice: str | None) -> None:
            if choice == "drain":
                self._weigh(row.server, 0)

        self.app.push_screen(Question(f"Drain {row.server}?", body, choices, safe="cancel"), answered)

    def action_restore(self) -> None:
        found = self._chosen_server()
        if found is not None:
            self._weigh(found[1].server, None)

    def _chosen_server(self) -> tuple[ServiceRow, DestinationRow] | None:
        found = self.query_one(LiveTable).chosen()
        if found is None or found[1] is None:
            self.notify("Choose a real server first.", severity="warning", markup=False)
            return None
        return found[0], found[1]

    def _weigh(self, server: str, weight: int | None) -> None:
        watcher = self._watcher
        if watcher is not None:
            self.run_worker(self._set_weight(watcher, server, weight), group="live-weight")

    async def _set_weight(self, watcher: Watcher, server: str, weight: int | None) -> None:
        try:
            await in_thread(lambda: watcher.set_weight(server, weight))
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self.notify(str(in_words(error)), title=f"{server}: weight not set", severity="error", markup=False)
        else:
            done = "is drained: no new clients" if weight == 0 else "has its weight back"
            self.notify(f"{server} {done}.", markup=False)

    def action_pause(self) -> None:
        self.paused = not self.paused
        watcher = self._watcher
        if watcher is not None:
            watcher.pause(self.paused)
        self._show_header()

    def action_interval(self, by: int) -> None:
        """The next longer or shorter interval."""
        index = min(max(INTERVALS.index(self._interval) + by, 0), len(INTERVALS) - 1)
        self._interval = INTERVALS[index]
        if self._watcher is not None:
            self._watcher.set_interval(self._interval)
        self._show_header()

    def action_tear_down(self) -> None:
        if self._deployment is not None:
            self.post_message(self.TeardownAsked(self._deployment))

    def action_verify(self) -> None:
        """Runs every check in the background and shows the verdict."""
        if self._verifying or self._deployment is None:
            return
        self._verifying = True
        self.notify("Checking; the verdict comes up here.", markup=False)
        self.run_worker(self._verify(self._deployment), group="live-verify")

    async def _verify(self, deployment: Deployment) -> None:
        try:
            report = await in_thread(lambda: self._engine().verify(deployment))
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self.notify(str(in_words(error)), title="Not verified", severity="error", markup=False)
        else:
            self.post_message(self.Verified(report))
            lines: list[tuple[str, str]] = [("", verdict_line(report))]
            for check in report.checks:
                if check.outcome in ("fail", "unknown") and not check.consequence_of:
                    lines += [
                        ("", f"\n{glyph('fail' if check.outcome == 'fail' else 'unknown')} {check.host}"),
                        *check_lines(check),
                    ]
            self.app.push_screen(HelpModal("Verify", labelled(lines)))
        finally:
            self._verifying = False


def _close(watcher: Watcher) -> None:
    Thread(target=watcher.close, name="dsrwizard-unwatch", daemon=True).start()
