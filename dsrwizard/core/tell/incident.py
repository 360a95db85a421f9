"""The incident report as plain text for a ticket: what, since when, which hosts, cause, evidence, fix. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo

from dsrwizard import __version__
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.snapshot import DestinationRow, Happening, ServiceRow, Snapshot
from dsrwizard.core.record.timeline import in_order_of_time

BAD = ("vip-dead", "leaking", "drifted", "unreachable")
"""States in which a real server does not do what the deployment says."""
LAST_EVENTS = 20
SHOWN_SERVICES = 20
"""More services or hosts than that are counted, not listed: a ticket is read by people."""
SHOWN_FAULTS = 50


def incident(
    snapshot: Snapshot,
    report: Report | None = None,
    *,
    events: Sequence[Happening] = (),
    versions: Sequence[str] = (),
    zone: tzinfo = UTC,
) -> str:
    """The whole text, ready to paste. `events` are older ones, from the timeline on disk; those of the snapshot are
    added. `versions` are lines about what runs here besides dsrwizard. `zone` is how times are written.

    Nothing in a snapshot or a report is a secret, so none is in the text.
    """
    return "\n".join(_lines(snapshot, report, events, versions, zone)).rstrip() + "\n"


def time_with_zone(at: float, zone: tzinfo = UTC) -> str:
    """A time as it stands in a ticket, with its distance from UTC."""
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M:%S %z")


def span(seconds: float) -> str:
    """A duration in words as short as they tell enough: `40 s`, `12 min`, `3 h 5 min`, `2 d 4 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes = whole // 60
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def cause_line(cause: str, message: str) -> str:
    """`vip-missing: what it is in words`; either part may be empty."""
    return ": ".join(part for part in (cause, message) if part)


def _lines(
    snapshot: Snapshot, report: Report | None, events: Sequence[Happening], versions: Sequence[str], zone: tzinfo
) -> Iterator[str]:
    faults = _faults(snapshot)
    hosts = list(dict.fromkeys(rows[0].server for rows in faults))
    strangers = [service for service in snapshot.services if _stolen(service)]
    missing = [service for service in snapshot.services if service.present is False]
    failed = [check for check in (report.checks if report else ()) if check.outcome == "fail"]
    yield f"Incident: Direct Server Return deployment {_text(snapshot.deployment)}"
    yield ""
    yield f"Seen:  {time_with_zone(snapshot.at, zone)}"
    yield f"What:  {_what(snapshot, faults, strangers, missing, failed)}"
    begun = [row.since for rows in faults for row in rows if row.since]
    if begun:
        yield f"Since: {time_with_zone(min(begun), zone)} ({span(snapshot.at - min(begun))})"
    if hosts:
        more = f" and {len(hosts) - SHOWN_FAULTS} more" if len(hosts) > SHOWN_FAULTS else ""
        yield f"Hosts: {', '.join(map(_text, hosts[:SHOWN_FAULTS]))}{more}"
    if snapshot.problem:
        yield f"Note:  the numbers may be old. {_text(snapshot.problem)}"
    yield ""
    for number, rows in enumerate(faults[:SHOWN_FAULTS], 1):
        yield from _fault(number, rows, failed, snapshot.at, zone)
    if len(faults) > SHOWN_FAULTS:
        yield from (f"... and {len(faults) - SHOWN_FAULTS} more.", "")
    yield from _services(snapshot)
    if report is not None:
        yield from _checks(report)
    yield from _section("Not checked", [f"  {_text(line)}" for line in snapshot.unseen])
    last = in_order_of_time(events, snapshot.happenings)[-LAST_EVENTS:]
    yield from _section("Last events", [event_line(entry, zone) for entry in last] or ["  none"])
    yield from _section("Versions", [f"  dsrwizard {__version__}", *(f"  {_text(line)}" for line in versions)])


def event_line(entry: Happening, zone: tzinfo = UTC) -> str:
    """One line of the timeline as text: when, which host, what, and the cause where one is known."""
    cause = f" [{entry.cause}]" if entry.cause else ""
    return f"  {time_with_zone(entry.at, zone)}  {_text(entry.host):<10}  {_text(entry.message)}{cause}"


def _what(
    snapshot: Snapshot,
    faults: Sequence[Sequence[DestinationRow]],
    strangers: Sequence[ServiceRow],
    missing: Sequence[ServiceRow],
    failed: Sequence[Check],
) -> str:
    servers = {row.server for service in snapshot.services for row in service.rows}
    bad = {row.server for rows in faults for row in rows}
    parts = []
    if bad:
        states = ", ".join(sorted({row.state for rows in faults for row in rows}))
        parts.append(f"{len(bad)} of {len(servers)} real servers: {states}.")
    if missing:
        parts.append(f"Not in IPVS: {', '.join(f'{row.vip} {row.service}' for row in missing[:SHOWN_SERVICES])}.")
    for vip, owner in dict.fromkeys((row.vip, row.owner) for row in strangers[:SHOWN_SERVICES]):
        parts.append(f"{vip} is answered by {_text(owner)}, not by the director.")
    for one in snapshot.faults[:SHOWN_SERVICES]:
        parts.append(f"{_text(one.host)}: {_text(cause_line(one.cause, one.message))}")
    causes = sorted({check.cause or check.check for check in failed if not check.consequence_of})
    if causes and not bad and not snapshot.faults:
        parts.append(f"The verification failed: {', '.join(causes)}.")
    return " ".join(parts) or "No fault was seen."


def _stolen(service: ServiceRow) -> bool:
    """Another host than the director answers ARP for the VIP."""
    return service.owner not in ("", "director")


def _faults(snapshot: Snapshot) -> list[list[DestinationRow]]:
    """Rows in a bad state, together where one host has one cause."""
    found: dict[tuple[str, str, str], list[DestinationRow]] = {}
    for service in snapshot.services:
        for row in service.rows:
            if row.state in BAD:
                found.setdefault((row.server, row.state, row.cause), []).append(row)
    return list(found.values())


def _fault(
    number: int, rows: Sequence[DestinationRow], failed: Sequence[Check], at: float, zone: tzinfo
) -> Iterator[str]:
    first = rows[0]
    since = min(row.since for row in rows)
    yield f"{number}. {_text(first.server)} ({first.address}): {first.state}" + (
        f" since {time_with_zone(since, zone)} ({span(at - since)})" if since else ""
    )
    names = [f"{row.vip} {row.service}" for row in rows]
    more = f" and {len(names) - SHOWN_SERVICES} more" if len(names) > SHOWN_SERVICES else ""
    yield f"   Services: {', '.join(names[:SHOWN_SERVICES])}{more}"
    matching = [
        check
        for check in failed
        if check.host == first.server and (check.cause == first.cause if first.cause else not check.consequence_of)
    ]
    yield f"   Cause:    {_text(cause_line(first.cause, first.message)) or 'not known'}"
    for text in dict.fromkeys(check.evidence for check in matching if check.evidence):
        yield f"   Evidence: {_text(text)}"
    for text in _seen(first, at, zone):
        yield f"   Evidence: {text}"
    fix = first.fix or next((check.fix for check in matching if check.fix), "")
    yield f"   Fix:      {_text(fix) or 'not known; run dsrwizard verify for more checks'}"
    yield ""


def _seen(row: DestinationRow, at: float, zone: tzinfo) -> Iterator[str]:
    """What the wire and IPVS said about it."""
    probe = row.probe
    if probe is not None:
        answered = f" from {probe.answered_by}" if probe.answered_by else ""
        when = "" if row.probe_age is None else f", {time_with_zone(at - row.probe_age, zone)}"
        detail = f" ({_text(probe.detail or probe.problem)})" if probe.detail or probe.problem else ""
        asked = f"probe of {row.vip} {row.service} by MAC {probe.mac or 'unknown'}"
        yield f"{asked}: {probe.signature}{answered}{detail}{when}"
    latency = row.latency
    if latency.sent:
        took = "" if latency.median is None else f", answers in {latency.median:.1f} ms (median)"
        yield f"probes of the last minute: {latency.lost} of {latency.sent} without a good answer{took}"
    weight = "not in IPVS" if row.weight is None else f"weight {row.weight} (deployment: {row.wanted_weight})"
    yield f"IPVS: {weight}, active {row.active}, inactive {row.inactive}; ARP for the VIP: {row.arp}"


def _services(snapshot: Snapshot) -> Iterator[str]:
    """Counters of the services concerned; of all where nothing is wrong."""
    concerned = [
        service
        for service in snapshot.services
        if _stolen(service) or service.present is False or any(row.state in BAD for row in service.rows)
    ] or list(snapshot.services)
    lines = []
    for service in concerned[:SHOWN_SERVICES]:
        totals = service.totals
        lines.append(f"  {service.vip} {service.service} {service.scheduler}  VIP owner: {service.owner or 'unknown'}")
        if service.present:
            lines.append(
                f"    connections {totals.connections}, packets in {totals.in_packets}, bytes in {totals.in_bytes}, "
                f"active {service.active}, inactive {service.inactive}, replies seen by the director "
                f"{totals.out_packets}"
            )
        else:
            lines.append("    not in IPVS" if service.present is False else "    counters could not be read here")
        states: dict[str, list[str]] = {}
        for row in service.rows:
            states.setdefault(row.state, []).append(row.server)
        for state, servers in sorted(states.items()):
            more = f" and {len(servers) - SHOWN_SERVICES} more" if len(servers) > SHOWN_SERVICES else ""
            lines.append(f"    {state}: {', '.join(map(_text, servers[:SHOWN_SERVICES]))}{more}")
    if len(concerned) > SHOWN_SERVICES:
        lines.append(f"  ... and {len(concerned) - SHOWN_SERVICES} more")
    return _section("Services", lines)


def _checks(report: Report) -> Iterator[str]:
    """What the verification found, without mere consequences."""
    lines = []
    for check in report.checks:
        if check.outcome not in ("fail", "unknown") or check.consequence_of:
            continue
        about = " ".join(part for part in (check.host, check.vip, check.service) if part)
        lines.append(f"  {check.outcome}  {_text(about)}  {_text(cause_line(check.cause, check.message))}")
        lines += [
            f"    {label}: {_text(text)}" for label, text in (("seen", check.evidence), ("fix", check.fix)) if text
        ]
    return _section(f"Verification: {report.verdict}", lines or ["  every check that ran passed"])


def _section(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield title
        yield from lines
        yield ""


def _text(text: str) -> str:
    """One line with single spaces."""
    return " ".join(one_line(text).split())
