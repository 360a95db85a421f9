"""The live pane in a terminal of 120×40, beside Textual's own DataTable with the same rows: until the first row is
painted, from a key to the painted answer while a snapshot comes each second, and what one snapshot costs.

Each program runs on a terminal of its own and is measured from outside, by what it writes there. Snapshots are made
anew each second on another thread of the same process, as the poller does; the share of a core counts that too.
Run: python -m tests.bench.live_pane [ROWS ...]
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import statistics
import struct
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from textual.filter import LineFilter

SIZES = (10, 1_000, 10_000)
KEYS = 40
KEYS_SECONDS = 30.0
GOAL = 50.0
"""Milliseconds from key to paint (issue: 10,000 rows, a snapshot a second)."""
CORE = 25.0
"""Percent of a core."""
_CODES = re.compile(rb"\x1b\[[0-9;?=]*[A-Za-z]|\x1b[()][A-Z0-9]|\x1b[=>]|\x1bP[^\x1b]*\x1b\\")
Figures = dict[str, float]


# The two programs.


def picture_of(rows: int, turn: int) -> object:
    """A snapshot with so many rows, a hundred to a service, every one changed since the turn before."""
    from tests.fakes.pictures import destination, picture, service

    services = []
    for number in range(max(rows // 100, 1)):
        vip = f"10.1.{number}.1"
        servers = tuple(
            destination(f"web{number}x{k}", vip=vip, active=turn % 50 + k) for k in range(min(rows, 100))
        )  # fmt: skip
        services.append(service(vip, servers))
    return picture(tuple(services))


def ours(rows: int, notes: Path) -> None:
    """The product's view, fed by a thread."""
    from textual.app import App, ComposeResult

    from dsrwizard.core.model.snapshot import Snapshot
    from screens.background import let_keys_through
    from screens.live.table import LiveTable
    from screens.live.view import LiveView
    from screens.widgets.harmless_lines import HarmlessLines

    class Pane(App[None]):
        _harmless = HarmlessLines()  # the product's gate costs what it costs there

        def get_line_filters(self) -> Sequence[LineFilter]:
            return [self._harmless, *super().get_line_filters()]

        def compose(self) -> ComposeResult:
            yield LiveView(self._none, id="view")

        @staticmethod
        def _none() -> NoReturn:
            raise RuntimeError

        def on_mount(self) -> None:
            let_keys_through()
            self.query_one(LiveTable).focus()

        def key_z(self) -> None:
            view = self.query_one(LiveView)
            real = view.redraw

            def timed() -> None:
                fresh, began = view.snapshot is not view._drawn, time.perf_counter()
                real()
                if fresh:
                    took.append(1000 * (time.perf_counter() - began))

            view.redraw = timed  # type: ignore[method-assign]

            def show(picture: object) -> None:
                assert isinstance(picture, Snapshot)
                view.post_message(LiveView.Polled(picture, view._turn))

            feed(show, rows, notes, took)

    took: list[float] = []
    Pane().run()


def datatable(rows: int, notes: Path) -> None:
    """The same rows in a DataTable, each cell that changed updated."""
    from textual.app import App, ComposeResult
    from textual.widgets import DataTable, Static

    from dsrwizard.core.model.snapshot import Snapshot
    from screens.live.cells import layout, server_parts

    form = layout(117)

    def cells(picture: Snapshot) -> list[tuple[str, list[str]]]:
        return [
            (f"{row.vip} {row.server}", [text.strip() for text, _ in server_parts(row, form)])
            for service in picture.services
            for row in service.rows
        ]

    class Table(App[None]):
        def compose(self) -> ComposeResult:
            yield Static(id="chosen")
            yield DataTable[str](cursor_type="row")

        def on_mount(self) -> None:
            table = self.query_one(DataTable)
            for number in range(11):
                table.add_column(str(number), key=str(number))
            table.focus()

        def key_z(self) -> None:
            def show(picture: object) -> None:
                self.call_from_thread(self.take, picture)

            feed(show, rows, notes, took)

        def take(self, picture: Snapshot) -> None:
            began = time.perf_counter()
            table = self.query_one(DataTable)
            fresh = cells(picture)
            if not table.row_count:
                for key, row in fresh:
                    table.add_row(*row, key=key)
            else:
                for key, row in fresh:
                    for number, text in enumerate(row):
                        if table.get_cell(key, str(number)) != text:
                            table.update_cell(key, str(number), text)
            took.append(1000 * (time.perf_counter() - began))

        def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
            self.query_one("#chosen", Static).update(f"{(event.row_key.value or '').split()[-1]} 10.0.0.101:")

    took: list[float] = []
    Table().run()


def feed(show: object, rows: int, notes: Path, took: list[float]) -> None:
    """A fresh snapshot each second, from a thread; what each cost goes into the file."""
    assert callable(show)

    def work() -> None:
        picture, turn = picture_of(rows, 0), 0
        while True:
            began = time.monotonic()
            show(picture)
            notes.write_text(json.dumps(took))
            time.sleep(0.9)
            turn += 1
            picture = picture_of(rows, turn)
            time.sleep(max(0.0, 1.0 - (time.monotonic() - began)))

    threading.Thread(target=work, daemon=True).start()


# Measured from outside.


class Seen:
    """A program on a terminal, and what it has written there."""

    def __init__(self, program: str, rows: int, notes: Path) -> None:
        self.read = b""
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm-256color", COLUMNS="120", LINES="40", TEXTUAL_ANIMATIONS="none")
            os.execv(sys.executable, [sys.executable, "-m", "tests.bench.live_pane", program, str(rows), str(notes)])
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

    def until(self, wanted: bytes, seconds: float = 60.0) -> float:
        """Waits until this text is written; returns when it was, by the monotonic clock. What was read since the last
        key counts too."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            if wanted in _CODES.sub(b"", self.read):
                return time.monotonic()
            if select.select([self.terminal], [], [], 0.1)[0]:
                self.read += os.read(self.terminal, 65536)
        raise SystemExit(f"{wanted!r} was never painted: {_CODES.sub(b'', self.read)[-300:]!r}")

    def drain(self, seconds: float) -> None:
        """Reads what is written meanwhile."""
        ends = time.monotonic() + seconds
        while (left := ends - time.monotonic()) > 0:
            if select.select([self.terminal], [], [], left)[0]:
                os.read(self.terminal, 65536)

    def press(self, key: bytes) -> float:
        self.read = b""
        os.write(self.terminal, key)
        return time.monotonic()

    def seconds(self) -> float:
        """Processor time it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.terminal)


def measured(program: str, rows: int) -> Figures:
    """Milliseconds, and percent of a core."""
    with tempfile.TemporaryDirectory() as folder:
        notes = Path(folder) / "took"
        seen = Seen(program, rows, notes)
        try:
            seen.drain(3.0)
            began = seen.press(b"z")
            first = seen.until(b"web0x0") - began
            seen.drain(3.0)
            painted, told = [], []
            seen.press(b"\x1b[H" if program == "ours" else b"\x1b[1~")
            seen.drain(0.5)
            ends = time.monotonic() + KEYS_SECONDS
            for number in range(min(KEYS, rows - 2)):
                if time.monotonic() > ends:
                    break
                name = f"web0x{number if program == 'ours' else number + 1} ".encode()
                began = seen.press(b"\x1b[B")
                row = seen.until((b"\xe2\x80\xba " if program == "ours" else b"") + name)  # the sign of the cursor
                painted.append(1000 * (row - began))
                told.append(1000 * (seen.until(name + b"10.0.0.101:") - began))
                seen.drain(0.137)  # so that keys fall at every moment of the second
            used, began = seen.seconds(), time.monotonic()
            seen.drain(10.0)
            share = 100 * (seen.seconds() - used) / (time.monotonic() - began)
            took = json.loads(notes.read_text())
        finally:
            seen.end()
    return {
        "first paint": 1000 * first,
        "key to row, median": statistics.median(painted),
        "key to row, 95 %": sorted(painted)[int(0.95 * len(painted))],
        "key to detail, median": statistics.median(told),
        "a snapshot taken": statistics.median(took[1:]),
        "percent of a core": share,
    }


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:]] or SIZES
    print(f"{'rows':>7}  {'':<22}{'dsrwizard':>12}{'DataTable':>12}{'ratio':>8}")
    for rows in sizes:
        mine, theirs = measured("ours", rows), measured("datatable", rows)
        for name, value in mine.items():
            unit = "%" if name.startswith("percent") else "ms"
            ratio = theirs[name] / value if value else 0.0
            goal = GOAL if name == "key to row, 95 %" else CORE if unit == "%" else None
            verdict = "" if goal is None else f"   goal ≤ {goal:g} {unit}: {'reached' if value <= goal else 'MISSED'}"
            print(f"{rows:>7}  {name:<22}{value:>9.1f} {unit:<2}{theirs[name]:>9.1f} {unit:<2}{ratio:>7.1f}×{verdict}")


if __name__ == "__main__":
    if sys.argv[1:2] in (["ours"], ["datatable"]):
        {"ours": ours, "datatable": datatable}[sys.argv[1]](int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
