"""The cells of the live table: columns for each width, a service's line, a real server's line. Pure except for the
clock."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dsrwizard.core.model.history import Metric
from dsrwizard.core.model.snapshot import STATE_WORDS, DestinationRow, Rates, ServiceRow
from screens import clock
from screens.widgets.glyphs import Name, glyph
from screens.widgets.numbers import brief, milliseconds, short, trend, volume
from screens.widgets.rows import RowPart, fit, right

STATES: dict[str, tuple[Name, str, str]] = {
    "up": ("ok", "up", "good"),
    "draining": ("down", "draining", "warn"),
    "vip-dead": ("fail", STATE_WORDS["vip-dead"], "bad"),
    "leaking": ("warn", STATE_WORDS["leaking"], "bad"),
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
    "wrong-reply": "garbled",
    "no-mac": "no MAC",
    "unknown": "unseen",
    "syn-ack": "other",
    "reply": "other",
}
"""A failed probe's result in one word; `other`: another machine answered. Never "silent", because that is the good
result of ARP."""
ARP: dict[str, tuple[str, str]] = {"silent": ("silent", "dim"), "leaks": ("LEAKS", "bad"), "unknown": ("?", "warn")}
METRIC_TITLES: dict[Metric, str] = {"connections": "new/s", "packets": "pkt/s", "bytes": "B/s"}

SHARED = 75
"""From this width on, each server's share of its service's traffic has a column."""
WIDE = 108
"""From this width on, numbers get wider columns."""
REASONED = 116
"""From this width on, the cause has its own column."""
IN_WORDS = 30
"""A cause column this wide shows words; a narrower one shows the id (the longest is 17)."""
TREND = 12
"""A trend line with its scale that is shorter than this shows nothing, where nothing else would be missed."""
SHARES: dict[Metric, str] = {"connections": "%new", "packets": "%pkt", "bytes": "%B"}


@dataclass(frozen=True)
class Columns:
    """Widths of the columns; 0: the column is not shown."""

    server: int
    state: int
    weight: int
    connections: int
    trend: int
    why: int
    probe: int
    rate: int = 5
    share: int = 4
    arp: int = 6

    @property
    def wide(self) -> bool:
        return self.connections > 7


def layout(width: int) -> Columns:
    """The columns for this width in cells. A wizard pane has 75 on a terminal of 80 columns."""
    if width < SHARED:
        return Columns(
            server=8 + max(width - 70, 0), state=14, weight=3, connections=7, trend=0, why=0, probe=7, share=0
        )
    if width < WIDE:
        spare, line = width - SHARED, 0
        if spare > TREND:
            line = TREND + min(max(spare - TREND - 9, 0), 8)
            spare -= line + 1
        return Columns(server=8 + spare, state=14, weight=3, connections=7, trend=line, why=0, probe=7)
    if width < REASONED:
        return Columns(server=14, state=18, weight=5, connections=11, trend=width - 94, why=0, probe=9)
    spare = width - 90
    line = min(9 + (spare - 26) // 4, 24)
    why = min(spare - line, 70)
    return Columns(
        server=12 + spare - line - why, state=17, weight=4, connections=10, trend=line, why=why, probe=9
    )  # fmt: skip


def titles(width: int, metric: Metric = "connections") -> str:
    """The table's line of column titles."""
    form = layout(width)
    cells = [
        "  " + fit("Server", form.server),
        fit("State   since" if form.wide else "State", form.state),
        right("wt", form.weight),
        right("act/inact" if form.wide else "act/in", form.connections),
        right("new/s", form.rate),
        right("pkt/s", form.rate),
        right("B/s", form.rate),
    ]
    if form.share:
        cells.append(right(SHARES[metric], form.share))
    if form.trend:
        name = f"{METRIC_TITLES[metric]} max"
        cells.append(right(f"trend {name}" if form.trend > 15 else name, form.trend))
    if form.why:
        cells.append(fit("cause", form.why))
    cells.append(fit("answer", form.probe))
    cells.append(fit("ARP", form.arp))
    return " ".join(cells)


def service_parts(service: ServiceRow, width: int, line: tuple[float, ...] = ()) -> tuple[RowPart, ...]:
    """The line of a service: name, scheduler, servers up, then totals under the servers' columns and the path of
    replies. A problem of the whole service replaces the totals."""
    form = layout(width)
    left = _service_name(service, form)
    used = sum(len(text) for text, _ in left)
    wrong = list(faults(service))
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
    if form.trend and form.wide:  # elsewhere the words need the trend's room
        start += form.share + 1
        parts.append((" " * (start + 1 - used) + scaled(line, form.trend), "accent"))
        used = start + 1 + form.trend
        start = used
    parts.append((" " * max(start + 1 - used, 1), ""))
    return (*parts, replies(service, width - 2 - max(start + 1, used + 1)))


def _service_name(service: ServiceRow, form: Columns) -> list[RowPart]:
    """The service's name and how many of its servers are up, plus the scheduler if it fits before the first column."""
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


def faults(service: ServiceRow) -> Iterator[tuple[Name, str]]:
    """A problem of the service as a whole: sign and words."""
    if service.present is False:
        yield "fail", "NOT IN IPVS"
    if service.present is not None and service.owner not in ("", "director"):
        yield "warn", f"VIP answered by {service.owner}"
    elif service.present is not False and service.message:
        yield "warn", service.message
    if service.present and service.totals.out_packets:
        yield "warn", f"{short(service.totals.out_packets)} replies came through the director"


def replies(service: ServiceRow, room: int = 14) -> RowPart:
    """The path of replies: in direct routing the director sees none of them, and IPVS counts what it sees. `room` in
    cells."""
    if service.totals.out_packets:
        return (f"{short(service.totals.out_packets)} replies came through the director", "bad")
    seen = volume(service.totals.out_bytes)
    said = (f"replies direct: the director saw {seen}", f"replies direct: {seen} seen", f"replies direct, {seen}")
    return (next((one for one in said if len(one) <= room), "replies direct"), "good")


def scaled(line: tuple[float, ...], width: int) -> str:
    """A trend line and, behind it, what its full bar stands for; exactly `width` cells."""
    if not line or width < 6:
        return trend(line, width)
    bars = width - 2
    while (text := _scale(line[-bars:])) and bars + 1 + len(text) > width:
        bars = width - 1 - len(text)
    return f"{trend(line, bars)} {text}".rjust(width)


def _scale(line: tuple[float, ...]) -> str:
    """The highest of these in at most four cells."""
    return re.sub(r"\.\d(?=[kMGTP])", "", short(max(line)))


def share(row: DestinationRow, service: ServiceRow, metric: Metric) -> float | None:
    """The server's part of its service's traffic now, 0 to 1; None: there is none, or it is not known."""
    mine, whole = (rate_of(one.rates, metric) for one in (row, service))
    return min(mine / whole, 1.0) if mine is not None and whole else None


def rate_of(rates: Rates, metric: Metric) -> float | None:
    match metric:
        case "connections":
            return rates.connections
        case "packets":
            return rates.in_packets
        case "bytes":
            return rates.in_bytes


def percent(part: float | None) -> str:
    """`0.25` as `25%`; a dash: not known."""
    return glyph("dash") if part is None else f"{100 * part:.0f}%"


def server_parts(
    row: DestinationRow, form: Columns, line: tuple[float, ...] = (), part: float | None = None
) -> tuple[RowPart, ...]:
    """The line of a real server. `part`: its share of the traffic."""
    style = STATES[row.state][2]
    slash = f"{short(row.active)}/{short(row.inactive)}"
    parts: list[RowPart] = [
        (fit(row.server, form.server) + " ", ""),
        (state_cell(row, form.state) + " ", style),
        (right(_weight(row.weight, form), form.weight) + " ", "warn" if row.weight != row.wanted_weight else ""),
        (right(slash, form.connections) + " ", ""),
        (right(short(row.rates.connections), form.rate) + " ", ""),
        (right(short(row.rates.in_packets), form.rate) + " ", ""),
        (right(short(row.rates.in_bytes), form.rate) + " ", ""),
    ]
    if form.share:
        parts.append((right(percent(part), form.share) + " ", ""))
    if form.trend:
        parts.append((scaled(line, form.trend) + " ", "accent"))
    if form.why:
        why = (row.message or row.cause) if form.why >= IN_WORDS else (row.cause or row.message)
        doubt = bool(row.missed) and not why
        why = "last look failed" if doubt else why
        parts.append((fit(why, form.why) + " ", "warn" if doubt else style if row.state != "up" else "dim"))
    probe, probe_style = probe_word(row)
    if probe == "none" and form.probe > 8:
        probe = "no answer"
    parts.append((fit(probe, form.probe) + " ", probe_style))
    arp, arp_style = ARP[row.arp]
    parts.append((fit(arp, form.arp), arp_style))
    return tuple(parts)


def state_cell(row: DestinationRow, width: int) -> str:
    """Sign and word of the state, and its age if there is room."""
    name, text, _ = STATES[row.state]
    word = f"{glyph(name)} {text}"
    since = brief(clock.now() - row.since) if row.since else ""
    if not since or len(word) + 1 + len(since) > width:
        return fit(word, width)
    return word + right(since, width - len(word))


def _weight(weight: int | None, form: Columns) -> str:
    if weight is None:
        return glyph("dash")
    return str(weight) if weight < 10**form.weight else f"{weight // 1000}k"


def probe_word(row: DestinationRow) -> RowPart:
    """The last probe's result in one word; `missed`: it failed, and the one before did not."""
    if row.missed:
        return "missed", "warn"
    if row.probe is None:
        return glyph("dash"), "dim"
    if row.probe.good:
        return milliseconds(row.probe.milliseconds) or "ok", "good"
    return PROBES[row.probe.signature], "warn" if row.probe.signature == "unknown" else "bad"
