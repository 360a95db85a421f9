"""The timeline: state changes the watch saw and what the operator did, in one order of time. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.snapshot import DestinationRow, FarmFault, Happening, Snapshot
from dsrwizard.core.model.steps import CLIENT, DIRECTOR
from dsrwizard.core.record.owed import Entry, Intent, Result, RunBegan, RunEnded

SAME_SECONDS = 10.0
"""Two watches of one deployment see the same change within this time of each other."""
SET_BACK = "The clock was set back by "
"""So begins the line of a watch that saw it. What follows may have earlier times and came later all the same."""
LAST = 100
"""So many events stand in a single look."""
_SPAN = re.compile(r"(\d{1,9})\s*([smhdw])")
_DONE = (Outcome.CHANGED, Outcome.UNCHANGED)
_FINE = Result(run="", at=0.0, host="", step="", outcome=Outcome.CHANGED)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def in_order_of_time(*parts: Iterable[Happening]) -> tuple[Happening, ...]:
    """Happenings of several sources in order of time. What two sources tell within moments of each other is told once:
    two watches do not see a change in the same instant.

    Where a source says that the clock was set back, what it tells afterwards comes after what it told before. The other
    sources, each in its own order, are put beside it as far as their times tell.
    """
    found: list[Happening] = []
    last: dict[tuple[str, ...], Happening] = {}
    for entry in _ordered([list(part) for part in parts]):
        what = entry.message if entry.state == "info" else entry.cause if entry.host in (DIRECTOR, CLIENT) else ""
        place = (entry.host, entry.vip, entry.service, what)
        before = last.get(place)
        if before is None or not same(before, entry):
            found.append(entry)
            last[place] = entry
    return tuple(found)


def is_set_back(entry: Happening) -> bool:
    """Whether this line says that the clock was set back."""
    return entry.state == "info" and entry.host == DIRECTOR and entry.message.startswith(SET_BACK)


def _ordered(parts: Sequence[Sequence[Happening]]) -> list[Happening]:
    """All lines; between two settings of the clock by their times."""
    spans: list[list[Happening]] = [[]]
    others: list[Sequence[Happening]] = []
    for part in parts:
        if not any(map(is_set_back, part)):
            others.append(part)
            continue
        for entry in part:
            if is_set_back(entry):
                spans.append([])
            spans[-1].append(entry)
    bounds = [
        (min(times, default=0.0), max(times, default=0.0)) for times in ([one.at for one in span] for span in spans)
    ]
    bounds[-1] = (bounds[-1][0], float("inf"))
    for part in others:
        number, before = 0, float("-inf")
        for entry in part:
            if entry.at < before - SAME_SECONDS:
                number = min(number + 1, len(spans) - 1)
            fitting = (
                later
                for later in range(number, len(spans))
                if bounds[later][0] - SAME_SECONDS <= entry.at <= bounds[later][1] + SAME_SECONDS
            )
            number = next(fitting, number)
            spans[number].append(entry)
            before = entry.at
    return [entry for span in spans for entry in sorted(span, key=lambda one: (not is_set_back(one), one.at))]


def same(one: Happening, other: Happening) -> bool:
    """Whether two lines about one place tell the same change."""
    return (one.before, one.state) == (other.before, other.state) and abs(one.at - other.at) <= SAME_SECONDS


def wanted(entries: Iterable[Happening], since: float = 0.0, host: str = "") -> tuple[Happening, ...]:
    """Those from `since` on (seconds since the epoch); of one host only when it is named."""
    return tuple(entry for entry in entries if entry.at >= since and host in ("", entry.host))


def begun(events: Iterable[Happening]) -> dict[tuple[str, str, str], Happening]:
    """(host, VIP, service) → the line with which its last state began. `events` in order of time."""
    last: dict[tuple[str, str, str], Happening] = {}
    for entry in events:
        if entry.state not in ("info", entry.before):  # with the state it had, only its cause became known
            last[entry.host, entry.vip, entry.service] = entry
    return last


def remembered(snapshot: Snapshot, events: Iterable[Happening]) -> Snapshot:
    """The snapshot of a single look with what only the timeline knows: when each state began, and what happened."""
    events = tuple(events)
    last = begun(events)

    def row_since(row: DestinationRow) -> DestinationRow:
        known = [last.get((row.server, row.vip, row.service)), last.get((row.server, "", ""))]
        entry = max((one for one in known if one is not None), key=lambda one: one.at, default=None)
        if entry is None or entry.state != row.state or entry.at >= row.since:
            return row
        return msgspec.structs.replace(row, since=entry.at)

    def fault_since(fault: FarmFault) -> FarmFault:
        known = [one for one in events if _about(one) == (fault.host, fault.cause, fault.vip, fault.service)]
        if not known or known[-1].state != "drifted" or known[-1].at >= fault.since:
            return fault
        return msgspec.structs.replace(fault, since=known[-1].at)

    services = tuple(
        msgspec.structs.replace(service, rows=tuple(map(row_since, service.rows))) for service in snapshot.services
    )
    faults = tuple(map(fault_since, snapshot.faults))
    return msgspec.structs.replace(snapshot, services=services, faults=faults, happenings=events[-LAST:])


def _about(entry: Happening) -> tuple[str, str, str, str]:
    return entry.host, entry.cause, entry.vip, entry.service


def since(text: str, now: float) -> float | None:
    """The moment meant by `30s`, `15m`, `2h`, `3d`, `1w` (ago) or by a date such as `2026-03-01 14:00` (local time
    unless it names its zone); None when it is neither."""
    text = text.strip()
    ago = _SPAN.fullmatch(text)
    if ago:
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return None


def of_journal(entries: Sequence[Entry]) -> tuple[Happening, ...]:
    """What the operator did, as the journal knows it: a line for each host of a run and for each weight set."""
    verbs = {entry.run: entry.verb for entry in entries if isinstance(entry, RunBegan)}
    intents: dict[str, list[Intent]] = {run: [] for run in verbs}
    results: dict[tuple[str, str, str], Result] = {}
    ended: dict[str, RunEnded] = {}
    for entry in entries:
        match entry:
            case Intent():
                intents.setdefault(entry.run, []).append(entry)
            case Result():
                results[entry.run, entry.host, entry.step] = entry
            case RunEnded():
                ended[entry.run] = entry
            case _:
                pass
    found: list[Happening] = []
    spans: list[list[Happening]] = [found]
    latest = float("-inf")
    for began in (entry for entry in entries if isinstance(entry, RunBegan)):
        if began.at < latest - SAME_SECONDS:  # the clock was set back between these runs
            found = []
            spans.append(found)
        latest = began.at
        mine = intents[began.run]
        if began.verb in ("weight", "guard"):
            found += _weights(mine, results, told=began.verb == "guard")
            continue
        if not mine:
            found.append(_nothing(began, ended.get(began.run)))
        for host in dict.fromkeys(intent.step.host for intent in mine):
            steps = [intent for intent in mine if intent.step.host == host]
            found.append(_host(began, host, steps, results, began.run in ended))
    return tuple(entry for span in spans for entry in in_order_of_time(span))


def _weights(intents: Sequence[Intent], results: dict[tuple[str, str, str], Result], *, told: bool) -> list[Happening]:
    """A server's new weight: one line, also where it is behind many services. `told`: with the reason for it."""
    found = []
    for server in dict.fromkeys(intent.step.server or intent.step.host for intent in intents):
        mine = [intent for intent in intents if server in (intent.step.server, intent.step.host)]
        known = [results.get((intent.run, intent.step.host, intent.step.id)) for intent in mine]
        bad = next((result for result in known if result is None or result.outcome not in _DONE), _FINE)
        step = mine[0].step
        more = f", the same in {len(mine)} services" if len(mine) > 1 else ""
        at = max([intent.at for intent in mine] + [result.at for result in known if result])
        by = f"guard: {step.title}{more}{_failed(bad)}. {step.why}" if told else f"{step.title}{more}{_failed(bad)}"
        found.append(Happening(at=at, host=server, message=by))
    return found


def _failed(result: Result | None) -> str:
    if result is not None and result.outcome in _DONE:
        return ""
    if result is None:
        return ": outcome unknown"
    return f": {result.outcome.value}{f' ({result.detail})' if result.detail else ''}"


def _nothing(began: RunBegan, end: RunEnded | None) -> Happening:
    """A run that came to no step."""
    how = "not finished" if end is None else "no change" if end.ok else "failed before the first step"
    return Happening(at=end.at if end else began.at, host=DIRECTOR, message=f"{began.verb}: {how}")


def _host(
    began: RunBegan, host: str, steps: Sequence[Intent], results: dict[tuple[str, str, str], Result], ended: bool
) -> Happening:
    """How one host fared in a run."""
    known = [results.get((began.run, host, intent.step.id)) for intent in steps]
    counts: dict[str, int] = {}
    for result in known:
        word = result.outcome.value if result else "with unknown outcome" if ended else "started"
        counts[word] = counts.get(word, 0) + 1
    words = ", ".join(f"{number} {word}" for word, number in counts.items())
    bad = next(
        (
            f" {intent.step.title}{_failed(result)}"
            for intent, result in zip(steps, known, strict=True)
            if result is not None and result.outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.HELD)
        ),
        "",
    )
    at = max([intent.at for intent in steps] + [result.at for result in known if result])
    number = f"{len(steps)} step{'' if len(steps) == 1 else 's'}"
    return Happening(at=at, host=host, message=f"{began.verb}: {number}, {words}.{bad}")
