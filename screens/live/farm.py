"""The picture of one service: client, director, real servers and the way of replies, with the arrow that is broken and
the cause at it. Pure.

An arrow is broken where the packets end: no MAC for the server's own address breaks the one that leads to it, a VIP
that does not answer breaks the one that leads back to the client.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.snapshot import DestinationRow, ServiceRow, Snapshot
from screens.live.cells import STATES, faults, percent, share
from screens.widgets.glyphs import ascii_only, glyph
from screens.widgets.numbers import counted, short, volume
from screens.widgets.rows import ListRow, RowPart, fit

MOST_LINES = 2
"""Lines of a cause's words; the page of the cause has the rest."""
_STEM = 5
_INDENT = " " * 11
_WHOLE = 74
"""On narrower terminals the arrows go before the addresses."""
_ASCII = str.maketrans({"│": "|", "├": "+", "└": "+", "─": "-", "▶": ">", "▼": "v"})


def farm_rows(deployment: Deployment, snapshot: Snapshot, service: ServiceRow, width: int) -> list[ListRow]:
    """The picture, a line each. The director's line and the servers' are selectable; their keys are those of the live
    table."""
    rows: list[ListRow] = []
    for key, parts in _lines(deployment, snapshot, service, width):
        shown = tuple((text.translate(_ASCII) if ascii_only() else text, style) for text, style in parts)
        rows.append(ListRow(key, shown, selectable=bool(key)))
    return rows


def _lines(
    deployment: Deployment, snapshot: Snapshot, service: ServiceRow, width: int
) -> Iterator[tuple[str, tuple[RowPart, ...]]]:
    stem, room = " " * _STEM + "│", max(width - len(_INDENT), 20)
    name = f"{service.vip} {service.service}"
    client = deployment.client.address if deployment.client else "clients"
    yield "", (("   client   ", "head"), (client, ""))
    for fault in snapshot.faults:
        if fault.host == "client" and fault.vip in ("", service.vip):
            yield from _cause(fault.cause, fault.message, "", "bad", stem, room)
    rates = service.rates
    flow = "" if rates.connections is None else f": {short(rates.connections)} new/s, {short(rates.in_bytes)} B/s"
    yield "", ((f"{stem}  requests to {name}{flow}", ""),)
    broken = list(_before_director(service))
    if broken:
        for number, words in enumerate(part for one in broken for part in wrap(one, width - _STEM - 3)):
            yield "", ((f"{' ' * _STEM}{' ' if number else glyph('fail')}  {words}", "bad"),)
        yield from _cause(service.cause, service.message, service.fix, "bad", " " * (_STEM + 1), room)
    else:
        yield "", ((" " * _STEM + "▼", ""),)
    up = sum(row.state == "up" for row in service.rows)
    here = deployment.director.in_kernel
    who = "director" if here else "load balancer"
    where = f" on {deployment.director.vip_interface}" if here else ""
    style = "good" if up == len(service.rows) else "bad" if not up else "warn"
    yield (
        f"{service.vip} {service.service}",
        (
            (f"   {who}   ", "head"),
            (f"VIP {service.vip}{where}, {service.scheduler}   ", ""),
            (f"{counted(up)}/{counted(len(service.rows))} up", style),
        ),
    )
    yield from _at_director(snapshot, service, bool(broken), stem, room)
    for number, row in enumerate(service.rows, 1):
        yield from _server(row, service, room, last=number == len(service.rows))
    seen = service.totals
    if seen.out_packets:
        words = f"{short(seen.out_packets)} replies, {volume(seen.out_bytes)}, came back through the director"
        yield "", ((f"   {glyph('fail')} {words}: something routes them through it.", "bad"),)
    elif service.present:
        yield "", ((f"   Replies go past the director: it saw {volume(seen.out_bytes)} of them.", "good"),)


def _before_director(service: ServiceRow) -> Iterator[str]:
    """Why requests do not come to the director, or not all of them."""
    takers = [row.server for row in service.rows if row.state == "leaking"]
    for server in takers:
        yield f"{server} takes requests past the director: it answers for {service.vip}"
    if service.owner not in ("", "director", *takers):
        yield f"VIP answered by {service.owner}"
    elif service.cause in ("director-vip", "duplicate-vip", "split-brain", "arp-mismatch", "orphan-vip") and not takers:
        yield f"{service.vip} does not lead here alone"


def _at_director(
    snapshot: Snapshot, service: ServiceRow, told: bool, stem: str, room: int
) -> Iterator[tuple[str, tuple[RowPart, ...]]]:
    """What is wrong with the director itself, or with the service there."""
    if not told:
        for sign, words in faults(service):
            if "through the director" not in words and words != service.message:
                yield "", ((f"{stem}  {glyph(sign)} {words}", "bad"),)
        yield from _cause(service.cause, service.message, service.fix, "bad", stem, room)
    for fault in snapshot.faults:
        same = fault.message == service.message and bool(service.message)
        if fault.host != "client" and fault.vip in ("", service.vip) and not same:
            yield from _cause(fault.cause, fault.message, fault.fix, "bad", stem, room)


def _server(
    row: DestinationRow, service: ServiceRow, room: int, *, last: bool
) -> Iterator[tuple[str, tuple[RowPart, ...]]]:
    sign, word, style = STATES[row.state]
    there, back = _arrows(row, service)
    part = percent(share(row, service, "connections"))
    yield (
        f"{row.vip} {row.service} {row.server}",
        (
            (f"{' ' * _STEM}{'└' if last else '├'}", ""),
            (f"{there} ", _colour(there)),
            (f"{fit(row.server, 11)} ", ""),
            (f"{fit(row.address, 15)} " if room + len(_INDENT) >= _WHOLE else "", ""),
            (f"{fit(f'{glyph(sign)} {word}', 13)} ", style),
            (f"{part:>4} ", ""),
            (f"{back} ", _colour(back)),
            ("client", ""),
        ),
    )
    stem = " " * (_STEM + 1) if last else " " * _STEM + "│"
    if row.state != "up" or row.cause:
        yield from _cause(row.cause, row.message, row.fix, style, stem, room)


def _arrows(row: DestinationRow, service: ServiceRow) -> tuple[str, str]:
    """The arrow from the director to this server, and the one from there to the client."""
    fine, broken, none = "────▶", f"─{glyph('fail')}──▶", "─ ─ ▶"
    if service.present is False or (service.present and row.weight is None) or row.state == "unreachable":
        return broken, none
    there = none if row.weight == 0 else fine
    if row.state == "vip-dead":
        return there, broken
    return there, "─?──▶" if row.state == "unknown" else fine


def _colour(arrow: str) -> str:
    return "bad" if glyph("fail") in arrow else "warn" if "?" in arrow or " " in arrow.strip() else "good"


def _cause(
    cause: str, message: str, fix: str, style: str, stem: str, room: int
) -> Iterator[tuple[str, tuple[RowPart, ...]]]:
    """The cause in words under what is broken, and its fix."""
    words = f"{cause}: {message}" if cause and message else cause or message
    if not words:
        return
    lines = wrap(words, room) or [words]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], fit(" ".join(lines[MOST_LINES - 1 :]), room).rstrip()]
    for text in lines:
        yield "", ((fit(stem, len(_INDENT)), ""), (text, style))
    if fix:
        yield "", ((fit(stem, len(_INDENT)), ""), (fit(f"Fix: {fix}", room).rstrip(), ""))
