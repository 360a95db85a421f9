"""The live view's sentences: the header with the age of the data, one row in words, one line of the event log. Pure but
for the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dsrwizard.core.model import Deployment
from dsrwizard.core.snapshot import DestinationRow, Happening, ServiceRow, Snapshot
from screens import clock
from screens.widgets.glyphs import arrows, glyph
from screens.widgets.live_numbers import age, milliseconds
from screens.widgets.live_table import replies


def header_lines(
    deployment: Deployment | None, snapshot: Snapshot | None, interval: float, paused: bool, problem: str
) -> list[str]:
    """The header; a second line only where something stands in the way of fresh numbers."""
    name = deployment.name if deployment else ""
    addresses = [vip.address for vip in deployment.vips] if deployment else []
    vips = addresses[0] if len(addresses) == 1 else f"{addresses[0]} and {len(addresses) - 1} more" if addresses else ""
    if snapshot is None:
        return [
            f"{name}  VIP {vips}  {glyph('working')} first look",
            *([f"{glyph('fail')} {problem}"] if problem else []),
        ]
    old = None if snapshot.read_at is None else clock.now() - snapshot.read_at
    parts = [f"VIP {vips}", f"read {age(old)} ago", f"every {interval:g} s"]
    if snapshot.read_milliseconds is not None:
        parts.append(f"took {milliseconds(snapshot.read_milliseconds)}")
    if snapshot.audit_age is not None:
        parts.append(f"ARP {age(snapshot.audit_age + clock.now() - snapshot.at)} ago")
    if paused:
        parts.append("PAUSED")
    lines = [f"{name}  " + "  ".join(parts)]
    if snapshot.problem or problem:
        lines.append(f"{glyph('fail')} Old numbers, {age(old)}: {snapshot.problem or problem}")
    return lines


def happening_line(entry: Happening) -> str:
    at = time.strftime("%H:%M:%S", time.localtime(entry.at))
    return f"{at}  {entry.host}: {arrows(entry.message)}"


def detail_lines(service: ServiceRow, row: DestinationRow | None) -> Iterator[tuple[str, str]]:
    """The chosen row in words."""
    if row is None:
        owner = {"director": "this director alone, as it should be", "": "not known yet"}.get(
            service.owner, service.owner
        )
        yield "VIP answered by", owner
        yield "Replies", _reply_words(service)
        yield "Open connections", f"{service.active} active, {service.inactive} inactive (estimated)"
        return
    yield f"{row.server} {row.address}", row.message or "serves; the VIP was seen to answer through it."
    yield "Probe", _probe_words(row)
    yield (
        "ARP",
        {
            "silent": "silent about the VIP, as it must be",
            "leaks": "answers for the VIP: its guard is off",
            "unknown": "not heard yet",
        }[row.arp],
    )
    yield "Replies", _reply_words(service)
    yield "State since", time.strftime("%H:%M:%S", time.localtime(row.since)) if row.since else ""
    yield (
        "Connections",
        (f"{row.active} active, {row.inactive} inactive: estimated, the director sees only one direction"),
    )


def _reply_words(service: ServiceRow) -> str:
    if service.present is None:
        return "not seen: IPVS is not read here"
    if service.totals.out_packets:
        return replies(service)[0] + ": something routes them back"
    return "direct: they bypass the director, which counted none"


def _probe_words(row: DestinationRow) -> str:
    if row.probe is None:
        return "none yet"
    seen = f"{row.probe.signature} from {row.probe.answered_by}" if row.probe.answered_by else row.probe.signature
    took = f" in {row.probe.milliseconds:.1f} ms" if row.probe.milliseconds is not None else ""
    return f"{seen}{took}, {age(row.probe_age)} ago"
