"""The live view: header with the age of the data, table, details of the selected row, event log, and keys.

Nothing is drawn while the view is hidden or a dialog covers it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from textwrap import wrap

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.events import Resize
from textual.message import Message
from textual.widgets import Input, Static

from dsrwizard.core.api import Engine
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.history import METRICS
from dsrwizard.core.model.snapshot import DestinationRow, Happening, Snapshot
from screens import clock
from screens.background import in_thread
from screens.live.cells import titles
from screens.live.connections import ConnectionsScreen
from screens.live.farm_screen import FarmScreen
from screens.live.header import Looking, header_lines, old
from screens.live.order import ORDERS
from screens.live.table import LiveTable, Wanted
from screens.live.weighing import Weighing
from screens.live.words import detail_lines, happening_line, nothing_to_mend
from screens.questions.cause_page import show_cause
from screens.questions.export import PathModal
from screens.questions.modals import HelpModal
from screens.widgets.check_detail import Detail, labelled
from screens.widgets.check_rows import check_lines, verdict_line
from screens.widgets.glyphs import glyph
from screens.widgets.host_log import TitledLog
from screens.widgets.host_words import in_words
from screens.widgets.numbers import counted
from screens.widgets.rows import Rows

CHANGING = frozenset({"drain", "restore", "weight", "mark", "mend", "apply_again", "tear_down"})
"""Actions that change something; read-only mode does not have them."""
METRIC_WORDS = {"connections": "new connections", "packets": "packets in", "bytes": "bytes in"}


class LiveView(Weighing):
    """The view of one deployment. Watches it from `start` to `stop`. `read_only`: no key changes anything."""

    BINDINGS = [
        Binding("d", "drain", "Drain", id="live.drain", tooltip="Weight 0: this server gets no new clients"),
        Binding("u", "restore", "Restore", id="live.restore", tooltip="Restore this server's weight"),
        Binding("w", "weight", "Weight…", id="live.weight", tooltip="Set the weight of this server, 0 to 65535"),
        Binding("m", "mend", "Mend…", id="live.mend",
                tooltip="Show the fix for this server; nothing is changed until you agree"),
        Binding("v", "verify", "Verify", id="live.verify", tooltip="Run every check now"),
        Binding("f", "not_up", "Not up", id="live.not-up", show=False,
                tooltip="Show only servers that are not up, or all again"),
        Binding("slash", "find", "Find", id="live.find", key_display="/",
                tooltip="Show only rows with these words in name, address, VIP, state or cause"),
        Binding("l", "timeline", "Log", id="live.log", tooltip="Show all stored events, including earlier days"),
        Binding("p", "picture", "Picture", id="live.picture",
                tooltip="Draw client, director and servers, with the arrow that is broken and its cause"),
        Binding("c", "clients", "Clients", id="live.clients",
                tooltip="Show who is connected to this server, out of the director's connection table"),
        Binding("a", "apply_again", "Re-apply…", id="live.apply",
                tooltip="Check every host and show what differs from the deployment; asks before it changes anything"),
        Binding("q", "app.quit", "Quit", id="live.quit", tooltip="Quit dsrwizard; the service keeps running"),
        Binding("P", "pause", "Pause", id="live.pause", key_display="P", show=False, tooltip="Pause or resume polling"),
        Binding("e", "export", "Export incident…", id="live.export", show=False,
                tooltip="Write a text for a ticket: what is wrong, since when, and why"),
        Binding("x", "explain", "Explain", id="live.explain", show=False,
                tooltip="Explain the cause of this row's fault"),
        Binding("t", "metric", "Trend of…", id="live.trend", show=False,
                tooltip="Trend lines of connections, packets or bytes"),
        Binding("s", "sort", "Sort by…", id="live.sort", show=False,
                tooltip="Sort the servers by the next column: state, name, weight, connections, rates, answer, or the "
                        "file's order"),
        Binding("i", "unseen", "Not checked", id="live.unseen", show=False,
                tooltip="Show what could not be checked, and why"),
        Binding("plus,equals_sign", "interval(1)", "Slower", id="live.slower", show=False, tooltip="Poll less often"),
        Binding("minus", "interval(-1)", "Faster", id="live.faster", show=False, tooltip="Poll more often"),
        Binding("X", "tear_down", "Tear down…", id="live.tear-down", key_display="X", show=False,
                tooltip="Show what would be undone; nothing is changed until you type the VIP"),
        Binding("space", "mark", "Choose several", id="live.mark", show=False,
                tooltip="Choose this server together with others; d, u and w then act on all of them"),
        Binding("escape", "show_all", "Show all", id="live.all", show=False, tooltip="Show every row again"),
    ]  # fmt: skip
    DEFAULT_CSS = """
    LiveView { height: 1fr; width: 1fr; }
    LiveView > #live-header { height: auto; max-height: 6; width: 1fr; padding: 0 1; }
    LiveView > #live-find { height: 1; width: 1fr; margin: 0 1; display: none; background: $panel; }
    LiveView.-finding > #live-find { display: block; }
    LiveView > #live-titles { height: 1; width: 1fr; color: $text-muted; text-style: underline; }
    LiveView > #live-detail { height: 5; }
    LiveView > #live-log { height: 4; }
    LiveView > LiveTable { min-height: 4; }
    LiveView.-short > #live-log { display: none; }
    LiveView.-short > #live-detail { height: 3; }
    LiveView.-tall > #live-detail { height: 12; }
    LiveView.-tall > #live-log { height: 9; }
    """

    class TeardownAsked(Message):
        """The operator wants to see what a teardown of this deployment would undo."""

        def __init__(self, deployment: Deployment) -> None:
            super().__init__()
            self.deployment = deployment

    class ApplyAsked(Message):
        """The operator wants to see what differs from the deployment and apply it again."""

        def __init__(self, deployment: Deployment) -> None:
            super().__init__()
            self.deployment = deployment

    class MendAsked(Message):
        """The operator wants to mend this real server. `row` has cause, server, VIP and service."""

        def __init__(self, deployment: Deployment, row: DestinationRow) -> None:
            super().__init__()
            self.deployment = deployment
            self.row = row

    class TimelineAsked(Message):
        """The operator wants to read all stored events; `happenings` are those known here."""

        def __init__(self, deployment: Deployment, happenings: tuple[Happening, ...]) -> None:
            super().__init__()
            self.deployment = deployment
            self.happenings = happenings

    class Verified(Message):
        """All checks were run from here."""

        def __init__(self, report: Report) -> None:
            super().__init__()
            self.report = report

    def __init__(
        self,
        engine: Callable[[], Engine],
        *,
        id: str | None = None,  # noqa: A002 - Textual's word
        read_only: bool = False,
        interval: float = 1.0,
    ) -> None:
        super().__init__(engine, id=id, read_only=read_only, interval=interval)
        self._drawn: Snapshot | None = None
        self._logged: tuple[Happening, ...] = ()
        self._log_width = 0
        self._verifying = False
        self._report: Report | None = None
        self._leaving = False
        self._was_away = False
        """Whether a screen that may change hosts was opened from here. On return, everything is checked again."""

    def compose(self) -> ComposeResult:
        yield Static(id="live-header", markup=False)
        yield Input(id="live-find", compact=True, placeholder="name, address, VIP, state or cause; enter, or esc")
        yield Static(id="live-titles", markup=False)
        yield LiveTable(id="live-table")
        yield Detail(id="live-detail")
        yield TitledLog("Events", id="live-log")

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(0.5, self.redraw)

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.height >= 26, "-tall")
        self.set_class(event.size.height < 16, "-short")
        self._show_titles()
        self.call_after_refresh(self._wrap_log)

    # Drawing.

    def redraw(self) -> None:
        """Draws the latest snapshot, unless the view is covered."""
        if not (self.is_mounted and self.screen.is_active and self.is_on_screen):
            self._was_away, self._leaving = self._was_away or self._leaving, False
            return
        if self._was_away and self.watcher is not None:
            self._was_away = False
            self.watcher.look_now()
        snapshot = self.snapshot
        if snapshot is None or snapshot is self._drawn:
            self._show_header()
            return
        self._drawn = snapshot
        table = self.table
        table.old = old(snapshot, self.interval)
        table.show(snapshot)
        self._show_header()
        self._show_log(snapshot.happenings)

    def _show_header(self) -> None:
        looking = Looking(
            interval=self.interval, paused=self.paused, read_only=self.read_only, elsewhere=self.elsewhere,
            problem=self.problem, filtered=self._narrowed(), order=self.order, marked=len(self.table.marked),
        )  # fmt: skip
        header = self.query_one("#live-header", Static)
        width = max((header.content_size.width or self.size.width) or 78, 20)
        header.update(Content("\n").join(header_lines(self.deployment, self.snapshot, self.tally, looking, width)))

    def _narrowed(self) -> str:
        """The table's filter as a sentence; empty: none."""
        wanted = self.table.wanted
        if not wanted or self.snapshot is None:
            return ""
        what = f"“{' '.join(wanted.words)}”" if wanted.words else ""
        what = f"{what}, not up" if what and wanted.not_up else what or "what is not up"
        back = "esc" if wanted.words else "f"
        return f"Only {what}: {counted(self.table.picked)} of {counted(self.tally.rows)}. {back} shows all."

    def _show_titles(self) -> None:
        table = self.table
        self.query_one("#live-titles", Static).update(titles(table.line_width or self.size.width, table.metric))

    def _show_log(self, happenings: tuple[Happening, ...]) -> None:
        log = self.query_one("#live-log", TitledLog)
        width = max(log.scrollable_content_region.width, 20)
        if width != self._log_width:
            log.clear()
            self._log_width, self._logged = width, ()
        if happenings == self._logged:
            return
        fresh = happenings
        if self._logged and self._logged[-1] in happenings:
            last = len(happenings) - 1 - happenings[::-1].index(self._logged[-1])
            fresh = happenings[last + 1 :]
        for entry in fresh:
            log.write_lines(wrap(happening_line(entry), width, subsequent_indent=" " * 10))
        self._logged = happenings

    def _wrap_log(self) -> None:
        """Events are as wide as the view is now."""
        if self.is_mounted and self._logged:
            self._show_log(self._logged)

    @on(Rows.Moved, "#live-table")
    def _show_detail(self) -> None:
        self.query_one("#live-detail", Detail).show(self._detail(), about=self.table.key)

    @on(Rows.Chosen, "#live-table")
    def _open_detail(self) -> None:
        found = self.table.chosen()
        if found is not None:
            service, row = found
            title = row.server if row else f"{service.vip} {service.service}"
            self.app.push_screen(HelpModal(title, labelled(self._detail())))

    def _detail(self) -> list[tuple[str, str]]:
        found, snapshot = self.table.chosen(), self.table.snapshot
        return list(detail_lines(snapshot, *found)) if found and snapshot else []

    # Keys.

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Disables changing actions in read-only mode, and everything but Escape while the find bar is open."""
        if action in CHANGING and self.read_only:
            return False
        if not self.is_mounted:
            return True
        if action == "show_all":
            return bool(self.table.wanted or self.table.marked) or self.has_class("-finding")
        if self.query_one("#live-find").has_focus:
            return False
        if action == "unseen":
            return bool(self.snapshot and self.snapshot.unseen)
        return True

    # Which rows.

    def action_not_up(self) -> None:
        """Toggles between servers that are not up and all."""
        wanted = self.table.wanted
        self._want(Wanted(wanted.words, not wanted.not_up))

    def action_find(self) -> None:
        """Opens the find bar; the table filters as you type."""
        self.add_class("-finding")
        self.query_one("#live-find", Input).focus()

    @on(Input.Changed, "#live-find")
    def _find(self, event: Input.Changed) -> None:
        self._want(Wanted.of(event.value, self.table.wanted.not_up))

    @on(Input.Submitted, "#live-find")
    def _found(self, event: Input.Submitted) -> None:
        event.stop()
        self.remove_class("-finding")
        self.table.focus()

    def action_mark(self) -> None:
        """Chooses this server together with others."""
        self.table.mark()
        self._show_header()
        self.refresh_bindings()

    def action_show_all(self) -> None:
        """Removes the filter; without one, nothing is chosen any more."""
        if not self.table.wanted and not self.has_class("-finding"):
            self.table.mark_none()
        self.remove_class("-finding")
        self.query_one("#live-find", Input).clear()
        self._want(Wanted())
        self.table.focus()

    def _want(self, wanted: Wanted) -> None:
        self.table.want(wanted)
        self._show_header()
        self.refresh_bindings()

    def action_metric(self) -> None:
        """Shows the next metric in the trend column."""
        table = self.table
        table.metric = METRICS[(METRICS.index(table.metric) + 1) % len(METRICS)]
        table.refresh()
        self._show_titles()
        self.notify(f"Trend lines of {METRIC_WORDS[table.metric]} per second.", markup=False)

    def action_sort(self) -> None:
        """Sorts the servers of each service by the next column."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self.sort()
        self.redraw()
        said = "as in the deployment file" if self.order == "file" else f"by {self.order}"
        self.notify(f"Servers {said}{', the worst first' if self.order == ORDERS[0] else ''}.", markup=False)

    def action_pause(self) -> None:
        self.toggle_pause()
        self._show_header()

    def action_interval(self, by: int) -> None:
        """Sets the next longer or shorter interval."""
        self.change_interval(by)
        self._show_header()

    def action_unseen(self) -> None:
        """Shows what could not be checked, in full."""
        unseen = self.snapshot.unseen if self.snapshot else ()
        if unseen:
            text = "\n\n".join(f"{glyph('unknown')} {sentence}" for sentence in unseen)
            self.app.push_screen(HelpModal("Not checked", Content(text)))

    # What others do when asked.

    def action_tear_down(self) -> None:
        if self.deployment is not None:
            self.post_message(self.TeardownAsked(self.deployment))

    def action_apply_again(self) -> None:
        if self.deployment is not None:
            self._leaving = True
            self.post_message(self.ApplyAsked(self.deployment))

    def action_mend(self) -> None:
        """Opens the mend screen for the selected server, if it needs it; of a service's line, says where to mend."""
        found = self.table.chosen()
        if found is None or self.deployment is None:
            return
        service, row = found
        if row is None:
            self.notify(nothing_to_mend(service), severity="warning", markup=False)
            return
        if row.state == "up" and not row.cause:
            self.notify(f"{row.server} is up: nothing to mend.", markup=False)
            return
        self._leaving = True
        self.post_message(self.MendAsked(self.deployment, row))

    def action_explain(self) -> None:
        found = self.table.chosen()
        if found is not None:
            service, row = found
            show_cause(self, service.cause if row is None else row.cause)

    def action_clients(self) -> None:
        """Shows who is connected to the server under the cursor, or to the whole service."""
        found, watcher, deployment = self.table.chosen(), self.watcher, self.deployment
        if found is None or watcher is None or deployment is None:
            return
        service, row = found
        rows = service.rows if row is None else (row,)
        names, host = {one.address: one.server for one in rows}, row.server if row is not None else ""

        def happenings() -> list[Happening]:
            every = self.snapshot.happenings if self.snapshot else ()
            return [one for one in every if host in ("", one.host)]

        about = f"{service.vip} {service.service}" + (f" to {host}" if host else "")
        read = partial(watcher.connections, service.vip, service.service, host)
        stored = partial(self._engine().events, deployment, 0.0, host)
        self.app.push_screen(ConnectionsScreen(about, names, read, happenings, stored))

    def action_picture(self) -> None:
        """Draws the service under the cursor; comes back to the row that was chosen there."""
        if self.deployment is None or self.snapshot is None:
            return

        def answered(key: str | None) -> None:
            if key:
                self.table.untouched = False
                self.table.put_cursor(key)

        self.app.push_screen(FarmScreen(self.deployment, lambda: self.snapshot, self.table.key), answered)

    def action_timeline(self) -> None:
        if self.deployment is not None:
            happenings = self.snapshot.happenings if self.snapshot else ()
            self.post_message(self.TimelineAsked(self.deployment, happenings))

    # The incident.

    def action_export(self) -> None:
        """Asks for a path, then writes the incident as text."""
        if self.deployment is None or self.snapshot is None:
            self.notify("There is nothing to export yet: the first reading is not finished.", severity="warning")
            return
        from dsrwizard.session import incident_path

        deployment, snapshot, report = self.deployment, self.snapshot, self._report
        about = "A text for a ticket: what is wrong, since when and why, the last events and the counters."

        def answered(path: Path | None) -> None:
            if path is not None:
                self.run_worker(self._write_incident(path, deployment, snapshot, report), group="live-export")

        path = incident_path(deployment.name, clock.now())
        self.app.push_screen(PathModal("Export the incident", about, path), answered)

    async def _write_incident(
        self, path: Path, deployment: Deployment, snapshot: Snapshot, report: Report | None
    ) -> None:
        def work() -> None:
            from dsrwizard.session import incident_text, save_incident

            save_incident(path, incident_text(snapshot, report))

        try:
            await in_thread(work)
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self.notify(str(in_words(error)), title="Not written", severity="error", markup=False)
        else:
            self.notify(f"Written to {path}", title="Incident", markup=False)

    # Verifying.

    def action_verify(self) -> None:
        """Runs every check in the background and shows the verdict."""
        if self._verifying or self.deployment is None:
            return
        self._verifying = True
        self.notify("Checking. The result will appear here.", markup=False)
        self.run_worker(self._verify(self.deployment), group="live-verify")

    async def _verify(self, deployment: Deployment) -> None:
        try:
            report = await in_thread(lambda: self._engine().verify(deployment))
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self.notify(str(in_words(error)), title="Not verified", severity="error", markup=False)
        else:
            self._report = report
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
