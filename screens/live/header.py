"""The live view's header: deployment, number of servers up, age of each source, what is not seen. Pure except for
the clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.cells import cell_len
from textual.content import Content

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.guarding import UNGUARDED
from dsrwizard.core.model.snapshot import Round, ServiceRow, Snapshot
from screens import clock
from screens.live.cells import STATES, faults
from screens.live.order import ORDERS, worst
from screens.widgets.glyphs import glyph
from screens.widgets.numbers import age, counted, milliseconds
from screens.widgets.rows import fit

SHOWN_ROUND = 2.0
"""Seconds. A longer round of probes is shown in the header."""
SHOWN_FAULTS = 2
"""Faults of the director or the network that have a line each; the log has all."""
WORST = ("vip-dead", "leaking", "unreachable", "drifted", "unknown", "draining")
"""The states that are not up; those that harm clients come first."""
HARMFUL = ("vip-dead", "leaking", "unreachable")
_COLOURS = {"good": "$text-success", "bad": "bold $text-error", "warn": "$text-warning"}


@dataclass(frozen=True)
class Tally:
    """Counts over all rows of a snapshot, made once for each snapshot."""

    rows: int = 0
    states: Counter[str] = field(default_factory=Counter)
    probed: float | None = None
    """Age of the oldest probe when the snapshot was made, in seconds; None: none yet."""

    @classmethod
    def of(cls, snapshot: Snapshot) -> Tally:
        rows = [row for service in snapshot.services for row in service.rows]
        ages = [row.probe_age for row in rows if row.probe_age is not None]
        return cls(len(rows), Counter(row.state for row in rows), max(ages, default=None))


@dataclass(frozen=True)
class Looking:
    """The view's own state, as the header shows it."""

    interval: float = 1.0
    paused: bool = False
    read_only: bool = False
    elsewhere: str = ""
    """Who has this deployment open in another terminal, as a sentence."""
    problem: str = ""
    """The error that kept the engine from watching."""
    filtered: str = ""
    """The table's filter, as a sentence."""
    order: str = ORDERS[0]
    marked: int = 0
    """Servers that are chosen together."""


def header_lines(
    deployment: Deployment | None, snapshot: Snapshot | None, tally: Tally, looking: Looking, width: int
) -> list[Content]:
    """The header: deployment and counts, then ages; more lines only for a filter or a problem."""
    lines = _joined(_who(deployment, tally, looking, verified=snapshot is not None and bool(snapshot.verdict)), width)
    if snapshot is not None and (worst_said := headline(snapshot, looking)):
        lines.append(Content.styled(fit(worst_said[0], width).rstrip(), _COLOURS[worst_said[1]]))
    problem = (snapshot.problem if snapshot else "") or looking.problem
    if snapshot is None or snapshot.read_at is None:
        said = f"{glyph('fail')} No numbers yet: {problem}" if problem else f"Reading{glyph('working')}"
        lines.append(Content.styled(said, _COLOURS["bad"] if problem else ""))
    else:
        lines += _joined(_ages(snapshot, tally, looking, width), width)
        if problem:
            said = f"Old numbers, {age(clock.now() - snapshot.read_at)}: " if old(snapshot, looking.interval) else ""
            lines.append(Content.styled(f"{glyph('fail')} {said}{problem}", _COLOURS["warn"]))
    if snapshot is not None and snapshot.directors:
        roles = " · ".join(f"{one.name} {one.words}" for one in snapshot.directors)
        holders = sum(bool(one.holds) for one in snapshot.directors)
        lines.append(Content.styled(roles, "" if holders == 1 else _COLOURS["bad" if holders else "warn"]))
    if snapshot is not None and (guarded := guard_words(snapshot)):
        words, colour = guarded
        lines += [Content.styled(line, _COLOURS[colour] if colour else "") for line in words]
    if snapshot is not None:
        lines += [Content.styled(line, _COLOURS["bad"]) for line in fault_words(snapshot)]
    if looking.elsewhere:
        lines.append(Content.styled(f"{glyph('warn')} Read-only: {looking.elsewhere}", _COLOURS["warn"]))
    if looking.marked:
        chosen = f"{counted(looking.marked)} server{'' if looking.marked == 1 else 's'} chosen"
        lines.append(Content.styled(f"{chosen}: d, u and w act on all. space adds, esc drops.", "$text-accent"))
    if looking.filtered:
        lines.append(Content.styled(looking.filtered, "$text-accent"))
    return lines


SAID = {
    "vip-dead": "does not answer for {vip}",
    "unreachable": "is unreachable",
    "leaking": "answers ARP for {vip} and takes its traffic",
    "drifted": "differs from the deployment",
    "unknown": "could not be checked for {vip}",
    "draining": "gets no new clients of {vip}",
}
"""State → the headline's words."""


def headline(snapshot: Snapshot, looking: Looking) -> tuple[str, str] | None:
    """The worst thing in words, since when, the key that helps, and the colour; None: there is nothing."""
    if snapshot.read_at is None or (found := worst(snapshot)) is None:
        return None
    service, row = found
    if row is None:
        words, _, colour = next(iter([*service_faults(service)]), ("", "warn", "bad"))
        what, since, mends = f"{service.vip} {service.service}: {words or service.message}", 0.0, False
    elif row.state == "unknown" and row.probe is None:
        return None  # the first look is under way
    else:
        what = f"{row.server} {SAID[row.state].format(vip=row.vip)}"
        since, colour = row.since, STATES[row.state][2]
        mends = row.state in ("vip-dead", "leaking", "drifted")
    cause = row.cause if row is not None else service.cause
    key = "" if looking.read_only else "m mend" if mends else "u restore" if cause == "drained" else ""
    key = key or ("x why" if cause else "enter details")
    ages = [age(clock.now() - since)] if since else []
    return " · ".join([f"{glyph('fail' if colour == 'bad' else 'warn')} {what}", *ages, key]), colour


def service_faults(service: ServiceRow) -> list[tuple[str, str, str]]:
    """What is wrong with a service as a whole: words, sign and colour."""
    return [(words, sign, "bad") for sign, words in faults(service)]


def fault_words(snapshot: Snapshot) -> list[str]:
    """What is wrong with the director or the network as a whole, a line each; what is wrong with one VIP is in its row
    of the table."""
    whole = [fault for fault in snapshot.faults if not fault.vip]
    lines = [
        f"{glyph('fail')} {fault.host}: {fault.message} ({age(fault.age + max(clock.now() - snapshot.at, 0.0))} ago)"
        for fault in whole[:SHOWN_FAULTS]
    ]
    more = len(whole) - SHOWN_FAULTS
    return [*lines, f"{glyph('fail')} {counted(more)} more"] if more > 0 else lines


def guard_words(snapshot: Snapshot) -> tuple[list[str], str] | None:
    """What the deployment's guard does and its first alarm, a line each, and the colour for them; None: there is
    none."""
    guard = snapshot.guard
    if guard is None or guard.over:
        return None
    if not guard.alive(clock.now()):
        held = f" and {guard.words}" if guard.held else ""
        return [f"{glyph('fail')} The guard is not running{held}. Nobody takes dead servers out."], "bad"
    colour = "warn" if guard.blind or guard.alarms or guard.held else ""
    alarms = [] if guard.blind else [f"  {alarm}" for alarm in guard.alarms[:1]]
    return [f"guard {guard.words}", *alarms], colour


def old(snapshot: Snapshot, interval: float) -> bool:
    """Whether the counters are out of date because they could not be read."""
    if not snapshot.problem or snapshot.read_at is None:
        return False
    return clock.now() - snapshot.read_at > 1.5 * interval + 0.5


def _who(deployment: Deployment | None, tally: Tally, looking: Looking, *, verified: bool) -> list[Content]:
    name = deployment.name if deployment else ""
    addresses = [vip.address for vip in deployment.vips] if deployment else []
    vips = addresses[0] if len(addresses) == 1 else f"{addresses[0]} and {len(addresses) - 1} more" if addresses else ""
    parts = [Content.styled(name, "bold"), Content(f"VIP {vips}")]
    if tally.rows:
        up = tally.states["up"]
        # The quick looks alone acquit nobody: green waits for the first verification.
        colour = _COLOURS["bad" if up == 0 else "good" if up == tally.rows and verified else "warn"]
        parts.append(Content.styled(f"{counted(up)}/{counted(tally.rows)} up", colour))
        if not verified:
            parts.append(Content.styled("not verified yet", _COLOURS["warn"]))
    for state in WORST:
        number = tally.states[state]
        if number:
            sign, word, style = STATES[state]
            parts.append(Content.styled(f"{glyph(sign)} {counted(number)} {word}", _COLOURS[style]))
    if looking.read_only and not looking.elsewhere:
        parts.append(Content.styled("read-only", "bold"))
    if looking.paused:
        parts.append(Content.styled("PAUSED", _COLOURS["warn"]))
    return parts


def _ages(snapshot: Snapshot, tally: Tally, looking: Looking, width: int) -> list[Content]:
    """The age of each source; a dash: not read yet."""
    now, passed = clock.now(), max(clock.now() - snapshot.at, 0.0)

    def since(then: float | None) -> str:
        return age(None if then is None else then + passed)

    read = None if snapshot.read_at is None else now - snapshot.read_at
    parts = [
        f"counters {age(read)}",
        f"probes {since(tally.probed)}",
        f"ARP {since(snapshot.audit_age)}",
        f"drift {since(snapshot.drift_age)}",
        f"every {looking.interval:g} s",
    ]
    if snapshot.read_milliseconds is not None and width >= 100:
        parts.append(f"read in {milliseconds(snapshot.read_milliseconds)}")
    whole = [Content(part) for part in parts]
    if pace := pace_words(snapshot.round):
        whole.append(Content(pace))
    if snapshot.proof_age is not None:
        style = {"fail": _COLOURS["bad"], "pass": ""}.get(snapshot.verdict, _COLOURS["warn"])
        said = f"verify {snapshot.verdict} {since(snapshot.proof_age)}"
        if snapshot.verdict == "pass" and any(tally.states[state] for state in HARMFUL):
            said, style = f"last verify passed {since(snapshot.proof_age)} ago, before this", _COLOURS["warn"]
        whole.append(Content.styled(said, style))
    unseen = [line for line in snapshot.unseen if line != UNGUARDED or guard_words(snapshot) is None]
    if unseen:
        whole.append(Content.styled(f"{len(unseen)} unseen (i)", _COLOURS["warn"]))
    if looking.order != ORDERS[0]:
        whole.append(Content(f"by {looking.order}" if looking.order != "file" else "as in the file"))
    return whole


def pace_words(pace: Round) -> str:
    """`round of 10,000 pairs 20 s, 31 %`; empty for a short round."""
    slow = pace.seconds is not None and pace.seconds > SHOWN_ROUND
    first = pace.seconds is None and pace.budget > 0 and pace.pairs > SHOWN_ROUND * pace.budget
    if not pace.pairs or not (slow or first):
        return ""
    done = f"{100 * min(pace.done, pace.pairs) // pace.pairs} %"
    if pace.seconds is None:
        return f"first round of {counted(pace.pairs)} pairs, {done}"
    return f"round of {counted(pace.pairs)} pairs {age(pace.seconds)}, {done}"


def _joined(parts: Sequence[Content], width: int) -> list[Content]:
    """The parts side by side, wrapped only between parts."""
    lines: list[list[Content]] = [[]]
    used = 0
    for part in parts:
        cells = cell_len(part.plain)
        if lines[-1] and used + 2 + cells > width:
            lines.append([])
            used = 0
        used += cells + (2 if lines[-1] else 0)
        lines[-1].append(part)
    return [Content("  ").join(line) for line in lines]
