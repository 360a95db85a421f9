"""The live pane's table: a line per service, a line per real server behind it, drawn as they come into sight."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from dsrwizard.core.snapshot import DestinationRow, ServiceRow, Snapshot
from screens.widgets.glyphs import Name, glyph
from screens.widgets.live_numbers import age, milliseconds, short, trend
from screens.widgets.live_rows import Part, Row, Rows, fit, right

STATES: dict[str, tuple[Name, str, str]] = {
    "up": ("ok", "up", "good"),
    "draining": ("down", "draining", "warn"),
    "vip-dead": ("fail", "VIP dead", "bad"),
    "leaking": ("warn", "LEAKING", "bad"),
    "drifted": ("stale", "drifted", "warn"),
    "unreachable": ("fail", "unreachable", "bad"),
    "unknown": ("unknown", "unknown", "warn"),
}
"""State → glyph, word, style."""

PROBES: dict[str, str] = {
    "rst": "closed",
    "port-unreachable": "closed",
    "silence": "none",
    "redirect": "loops",
    "unreachable": "error",
    "wrong-source": "not VIP",
    "no-mac": "no MAC",
    "unknown": "unseen",
    "syn-ack": "other",
    "reply": "other",
}
"""What came back from a bad probe in one word; `other`: another machine. Never "silent": that is what ARP must be."""
ARP: dict[str, tuple[str, str]] = {"silent": ("silent", "dim"), "leaks": ("LEAKS", "bad"), "unknown": ("?", "warn")}


@dataclass(frozen=True)
class Layout:
    """Widths of the columns, 0 where there is no room for one."""

    server: int
    state: int = 13
    weight: int = 3
    connections: int = 7
    rate: int = 5
    trend: int = 6
    probe: int = 7
    probe_age: int = 0
    arp: int = 6


def layout(width: int) -> Layout:
    """The columns in this many cells. 75 is what a wizard's pane leaves at 80 columns."""
    server, probe, probe_age, connections, rate = 8, 7, 0, 7, 5
    if width >= 108:
        server, probe, probe_age, connections, rate = 14, 9, 5, 11, 7
    used = 2 + server + 13 + 3 + connections + 3 * rate + probe + 6 + probe_age + 8 + (1 if probe_age else 0)
    spare = max(width - used - 1, 0)
    wide = min(spare, 30)
    server += min(spare - wide, 20)
    return Layout(server=server, connections=connections, rate=rate, trend=wide, probe=probe, probe_age=probe_age)


def titles(width: int) -> str:
    """The line of column titles over the table."""
    form = layout(width)
    wide = form.connections > 7
    cells = [
        "  " + fit("Server", form.server),
        fit("State", form.state),
        right("wt", form.weight),
        right("act/inact" if wide else "act/in", form.connections),
        right("new/s", form.rate),
        right("pkt/s", form.rate),
        right("B/s", form.rate),
    ]
    if form.trend:
        cells.append(fit("trend", form.trend))
    cells.append(fit("answer", form.probe))
    if form.probe_age:
        cells.append(fit("age", form.probe_age))
    cells.append(fit("ARP", form.arp))
    return " ".join(cells)


class LiveTable(Rows):
    """Shows a snapshot. Keys of rows are `VIP service` and `VIP service server`."""

    DEFAULT_CSS = """
    LiveTable { height: 1fr; scrollbar-gutter: stable; }
    """

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id)
        self.hint = "d drains a server: no new clients, those it has stay. u restores it."
        self.snapshot: Snapshot | None = None
        self._starts: list[int] = []
        self._count = 0
        self._shape: tuple[tuple[str, str, int], ...] = ()
        self._keys: dict[str, int] = {}

    def show(self, snapshot: Snapshot) -> None:
        """Draws this snapshot; the cursor stays where it is."""
        key = self.key
        self.snapshot = snapshot
        shape = tuple((row.vip, row.service, len(row.rows)) for row in snapshot.services)
        if shape != self._shape:
            self._reshape(snapshot)
            self._shape = shape
            self.rows_changed(key)
        else:
            self.refresh()
            self._tell_moved()

    def _reshape(self, snapshot: Snapshot) -> None:
        self._starts, self._count = [], 0
        self._keys = {}
        for service in snapshot.services:
            self._starts.append(self._count)
            self._keys[_key(service)] = self._count
            for number, row in enumerate(service.rows, self._count + 1):
                self._keys[_server_key(row)] = number
            self._count += 1 + len(service.rows)

    def chosen(self) -> tuple[ServiceRow, DestinationRow | None] | None:
        """What the cursor is on: a service, or a service and a server behind it."""
        return self._find(self.cursor) if 0 <= self.cursor < self._count else None

    def _find(self, index: int) -> tuple[ServiceRow, DestinationRow | None]:
        assert self.snapshot is not None  # noqa: S101 - rows exist only with a snapshot
        number = bisect_right(self._starts, index) - 1
        service = self.snapshot.services[number]
        offset = index - self._starts[number]
        return service, service.rows[offset - 1] if offset else None

    # What Rows asks.

    def row_count(self) -> int:
        return self._count

    def index_of(self, key: str) -> int:
        return self._keys.get(key, -1)

    def row_at(self, index: int) -> Row:
        service, server = self._find(index)
        old = bool(self.snapshot and self.snapshot.problem)
        if server is None:
            parts, key = (
                service_parts(service, self.line_width, self._line(service.vip, service.service)),
                _key(service),
            )
        else:
            line = self._line(server.vip, server.service, server.server)
            parts, key = server_parts(server, layout(self.line_width), line), _server_key(server)
        if old:
            parts = tuple((text, "old") for text, _ in parts)
        return Row(key, parts)

    def _line(self, vip: str, service: str, server: str = "") -> tuple[float, ...]:
        return self.snapshot.history.line("connections", vip, service, server) if self.snapshot else ()


def _key(service: ServiceRow) -> str:
    return f"{service.vip} {service.service}"


def _server_key(row: DestinationRow) -> str:
    return f"{row.vip} {row.service} {row.server}"


def service_parts(service: ServiceRow, width: int, line: tuple[float, ...] = ()) -> tuple[Part, ...]:
    """The line of a service: name, scheduler, how many are up, then totals under the servers' columns and which way
    replies go. What is wrong with the service as a whole stands in the totals' place."""
    form = layout(width)
    left = _service_name(service, form)
    used = sum(len(text) for text, _ in left)
    wrong = list(_wrong(service))
    if wrong:
        return (*left, *((f"  {glyph(name)} {text}", "bad") for name, text in wrong))
    if not service.present:
        return (*left, (f"  VIP answered by {service.owner}", "dim")) if service.owner else tuple(left)
    rates = service.rates
    cells = [
        (f"{short(service.active)}/{short(service.inactive)}", form.connections),
        (short(rates.connections), form.rate),
        (short(rates.in_packets), form.rate),
        (short(rates.in_bytes), form.rate),
    ]
    start = form.server + form.state + form.weight + 2
    parts = [*left]
    for text, room in cells:
        start += 1 + room
        if used + 1 + len(text) <= start:
            parts.append((right(text, start - used), ""))
            used = start
    tail = replies(service)
    if form.trend and form.probe_age:  # where there is no age, the words need the trend's room
        parts.append((" " * (start + 1 - used) + trend(line, form.trend), "accent"))
        used = start + 1 + form.trend
        start = used
    parts.append((" " * max(start + 1 - used, 1), ""))
    return (*parts, tail)


def _service_name(service: ServiceRow, form: Layout) -> list[Part]:
    """Who it is and how many of its servers are up; the scheduler where there is room before the first column."""
    up, whole = sum(row.state == "up" for row in service.rows), len(service.rows)
    name = f"{service.vip} {service.service}"
    manner = f" {service.scheduler}" + (f" p{service.persistence}" if service.persistence else "")
    count, room = f" {up}/{whole} up", form.server + form.state + form.weight + 2
    if len(name + manner + count) > room:
        manner = ""
    if len(name + manner + count) < room:
        count = f" {count}"
    style = "good" if up == whole else "bad" if up == 0 else "warn"
    return [(name, "head"), *([(manner, "dim")] if manner else []), (count, style)]


def _wrong(service: ServiceRow) -> Iterator[tuple[Name, str]]:
    if service.present is False:
        yield "fail", "NOT IN IPVS"
    if service.present is not None and service.owner not in ("", "director"):
        yield "warn", f"VIP answered by {service.owner}"
    if service.present and service.totals.out_packets:
        yield "warn", f"{short(service.totals.out_packets)} replies came through the director"


def replies(service: ServiceRow) -> Part:
    """Which way replies go: in direct routing the director sees none of them."""
    if service.totals.out_packets:
        return (f"{short(service.totals.out_packets)} replies came through the director", "bad")
    return ("replies direct", "good")


def server_parts(row: DestinationRow, form: Layout, line: tuple[float, ...] = ()) -> tuple[Part, ...]:
    """The line of a real server."""
    name, text, style = STATES[row.state]
    weight = glyph("dash") if row.weight is None else str(row.weight)
    slash = f"{short(row.active)}/{short(row.inactive)}"
    parts: list[Part] = [
        (fit(row.server, form.server) + " ", ""),
        (fit(f"{glyph(name)} {text}", form.state) + " ", style),
        (right(weight, form.weight) + " ", "warn" if row.weight != row.wanted_weight else ""),
        (right(slash, form.connections) + " ", ""),
        (right(short(row.rates.connections), form.rate) + " ", ""),
        (right(short(row.rates.in_packets), form.rate) + " ", ""),
        (right(short(row.rates.in_bytes), form.rate) + " ", ""),
    ]
    if form.trend:
        parts.append((trend(line, form.trend) + " ", "accent"))
    probe, probe_style = probe_word(row)
    if probe == "none" and form.probe > 8:
        probe = "no answer"
    parts.append((fit(probe, form.probe) + " ", probe_style))
    if form.probe_age:
        parts.append((fit(age(row.probe_age), form.probe_age) + " ", "dim"))
    arp, arp_style = ARP[row.arp]
    parts.append((fit(arp, form.arp), arp_style))
    return tuple(parts)


def probe_word(row: DestinationRow) -> Part:
    """The last probe in one word."""
    if row.probe is None:
        return glyph("dash"), "dim"
    if row.probe.good:
        return milliseconds(row.probe.milliseconds) or "ok", "good"
    return PROBES[row.probe.signature], "warn" if row.probe.signature == "unknown" else "bad"
