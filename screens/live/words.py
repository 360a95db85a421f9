"""The live view's texts: details of a row, and lines of the event log. Pure except for the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dsrwizard.core.model.causes import with_words
from dsrwizard.core.model.history import METRICS
from dsrwizard.core.model.snapshot import Bypass, DestinationRow, Happening, Latency, ServiceRow, Snapshot, Totals
from screens import clock
from screens.live.cells import METRIC_TITLES, STATES, percent, replies, share
from screens.widgets.glyphs import arrows
from screens.widgets.numbers import age, counted, short, trend, volume

LINE = 30
"""The number of readings in a trend line of the details."""


WHOLES = {"connections": "new connections", "packets": "packets", "bytes": "bytes"}


def clock_time(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def moment(at: float) -> str:
    """Local date and time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def happening_line(entry: Happening) -> str:
    """One event as a line of the log below the table."""
    return f"{clock_time(entry.at)}  {entry.host}: {arrows(entry.message)}"


def detail_lines(snapshot: Snapshot, service: ServiceRow, row: DestinationRow | None) -> Iterator[tuple[str, str]]:
    """The selected row in words: first the problem, then the evidence, then the counters."""
    if row is None:
        yield from _service_lines(snapshot, service)
    else:
        yield from _server_lines(snapshot, service, row)


def _service_lines(snapshot: Snapshot, service: ServiceRow) -> Iterator[tuple[str, str]]:
    yield f"{service.vip} {service.service}", service.message
    yield "Fix", service.fix
    yield "Cause", with_words(service.cause)
    owner = {"director": "this director only, as it should be", "": "not known yet"}.get(service.owner, service.owner)
    yield "VIP answered by", owner
    yield "Replies", _reply_words(service)
    yield "Bypass", bypass_words(snapshot.bypass)
    yield "Counted", total_words(service.totals) if service.present else ""
    yield "Open connections", f"{service.active} active, {service.inactive} inactive (estimated)"
    manner = f", persistent for {service.persistence} s" if service.persistence else ""
    yield "Scheduler", f"{service.scheduler}{manner}"
    yield from _trends(snapshot, service.vip, service.service)


def _server_lines(snapshot: Snapshot, service: ServiceRow, row: DestinationRow) -> Iterator[tuple[str, str]]:
    yield f"{row.server} {row.address}", _state_words(row)
    yield "", missed_words(row)
    yield "Fix", row.fix  # before the cause: four lines are in sight at 80x24, and the first has the cause in words
    yield "Cause", with_words(row.cause) + (f", seen {age(row.found_age)} ago" if row.found_age is not None else "")
    yield "Probe", _probe_words(row)
    yield "Answers", latency_words(row.latency)
    yield (
        "ARP",
        {
            "silent": "does not answer for the VIP, as it should be",
            "leaks": "answers for the VIP, which takes the director's traffic",
            "unknown": "not checked yet",
        }[row.arp],
    )
    weight = "not in IPVS" if row.weight is None else str(row.weight)
    other = row.weight is not None and row.weight != row.wanted_weight
    yield "Weight", f"{weight}; the deployment says {row.wanted_weight}" if other else weight
    yield "Share", share_words(row, service)
    yield "Replies", _reply_words(service)
    yield "Counted", total_words(row.totals) if row.weight is not None else ""
    yield (
        "Connections",
        (f"{row.active} active, {row.inactive} inactive (estimated: the director sees only one direction)"),
    )
    yield from _trends(snapshot, row.vip, row.service, row.server)


def _state_words(row: DestinationRow) -> str:
    since = f" since {moment(row.since)} ({age(clock.now() - row.since)})" if row.since else ""
    return f"{STATES[row.state][1]}{since}. {row.message}".strip()


def _reply_words(service: ServiceRow) -> str:
    if service.present is None:
        return "unknown: IPVS is not read here"
    if service.totals.out_packets:
        return f"{replies(service)[0]} ({volume(service.totals.out_bytes)}): something routes them through it"
    return f"direct: the director saw none ({volume(service.totals.out_bytes)}, counted by IPVS)"


def bypass_words(bypass: Bypass | None) -> str:
    """`412 reply bytes per request byte (client, 14:02)`; empty if no client host has counted."""
    if bypass is None or bypass.ratio is None:
        return ""
    ratio = f"{bypass.ratio:,.0f}" if bypass.ratio >= 9.95 else f"{bypass.ratio:.1f}"
    return f"{ratio} reply bytes per request byte (client, {time.strftime('%H:%M', time.localtime(bypass.at))})"


def total_words(totals: Totals) -> str:
    """What IPVS counted since the entry was made."""
    return (
        f"{counted(totals.connections)} connections, {counted(totals.in_packets)} packets, "
        f"{volume(totals.in_bytes)} in since the entry was made"
    )


def latency_words(latency: Latency) -> str:
    """The latency of the last minute's probes; empty if none was sent."""
    if not latency.sent:
        return ""
    lost = f"{latency.lost} of {latency.sent} lost in the last minute"
    if latency.minimum is None or latency.median is None or latency.maximum is None:
        return lost
    return f"min/median/max {latency.minimum:.1f}/{latency.median:.1f}/{latency.maximum:.1f} ms, {lost}"


def nothing_to_mend(service: ServiceRow) -> str:
    """Why `m` mends nothing on a service's line, and what helps instead."""
    name = f"{service.vip} {service.service}"
    taker = next((row for row in service.rows if row.server == service.owner or row.state == "leaking"), None)
    if taker is not None:
        return f"{taker.server} answers for {service.vip}: m mends that on the line of {taker.server}."
    if service.cause or service.present is False:
        what = service.message or f"IPVS has no service {name}."
        again = service.present is False or "apply" in service.fix.lower()
        return f"{what} m mends real servers, and this is none's fault. " + (
            "Press a: it applies the deployment again." if again else service.fix or "x explains it."
        )
    if service.totals.out_packets:
        return f"{name}: replies come through the director. m mends real servers: v finds whose gateway it is."
    ill = next((row for row in service.rows if row.state != "up"), None)
    if ill is not None:
        return f"m mends a real server: put the cursor on {ill.server}, which is {STATES[ill.state][1]}."
    return f"{name} has no fault: nothing to mend."


def share_words(row: DestinationRow, service: ServiceRow) -> str:
    """The server's part of its service, of each metric; empty where nothing flows."""
    now = [f"{percent(part)} of {WHOLES[one]}" for one in METRICS if (part := share(row, service, one)) is not None]
    ever = row.totals.connections / service.totals.connections if service.totals.connections else None
    said = [f"{', '.join(now)} now"] if now else []
    if ever is not None:
        said.append(f"{percent(min(ever, 1.0))} of all connections that were counted")
    return "; ".join(said)


def missed_words(row: DestinationRow) -> str:
    """That the last look failed, when, and what follows; empty: it did not."""
    if not row.missed:
        return ""
    when = f"{clock_time(row.missed_at)} ({age(clock.now() - row.missed_at)} ago)"
    said = f"{row.missed} after {row.probe.signature}" if row.probe and not row.probe.good else row.missed
    return f"Last look failed, {when}: {said}. A second one in a row changes the state."


def _probe_words(row: DestinationRow) -> str:
    if row.probe is None:
        return "none yet"
    seen = f"{row.probe.signature} from {row.probe.answered_by}" if row.probe.answered_by else row.probe.signature
    took = f" in {row.probe.milliseconds:.1f} ms" if row.probe.milliseconds is not None else ""
    return f"{seen}{took}, {age(row.probe_age)} ago"


def _trends(snapshot: Snapshot, vip: str, service: str, server: str = "") -> Iterator[tuple[str, str]]:
    for metric in METRICS:
        line = snapshot.history.line(metric, vip, service, server)
        if line:
            bars = trend(line, min(LINE, len(line)))
            top = max(line[-LINE:])
            yield METRIC_TITLES[metric], f"{bars} {short(line[-1])} now; a full bar is {short(top)}"
