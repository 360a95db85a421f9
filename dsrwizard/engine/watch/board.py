"""The shared state of a watch: each source adds what it saw, and snapshots are taken from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from dsrwizard.core.diagnosis import ASIDE
from dsrwizard.core.live.directors import director_rows
from dsrwizard.core.live.findings import Findings, without
from dsrwizard.core.live.last_seen import Heard
from dsrwizard.core.live.latency import Latencies
from dsrwizard.core.live.log_lines import fault_lines, state_lines
from dsrwizard.core.live.readings import Reading, RowPlace, compared
from dsrwizard.core.live.table import LiveRows
from dsrwizard.core.model.answers import Owners, Probed
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.guarding import UNGUARDED, GuardState
from dsrwizard.core.model.history import History
from dsrwizard.core.model.snapshot import Bypass, Happening, Round, ServiceRow, Snapshot, State
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.record.timeline import begun
from dsrwizard.engine.timeline import Recorder
from dsrwizard.engine.watch.timepiece import Timepiece

KEPT_HAPPENINGS = 500
SHOWN_UNKNOWN = 20
FINDING_SECONDS = 30.0
"""So long after its start a watch finds what was so before; what it sees later is new."""
KEPT_SECONDS = 8.0
"""Readings older than this are of no use for a rate."""


class Board:
    """Safe from many threads. Moments are those of `time`; a clock in its place never jumps. `ended` says that the
    watch is over."""

    def __init__(
        self,
        deployment: Deployment,
        clock: Timepiece | Callable[[], float],
        record: Recorder | None,
        ended: threading.Event,
    ) -> None:
        self.time = clock if isinstance(clock, Timepiece) else Timepiece.by(clock)
        self.clock = self.time.now
        self.changed = threading.Event()
        """Set when a source saw something new: worth a snapshot before the next reading."""
        self.unsettled = threading.Event()
        """Set when the wire says something else of a server than before: worth a look from within."""
        self.doubtful = threading.Event()
        self._moved: dict[str, float] = {}
        """Real server → when its state last changed."""
        """Set when a state has changed: what the last verification found may be over, or there is more."""
        self._deployment = deployment
        self._record = record
        self._ended = ended
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._table = LiveRows(deployment)
        self._table.remember(
            {
                (vip, service, host): (entry.state, self.time.kept(entry.at))
                for (host, vip, service), entry in begun(record.past() if record is not None else ()).items()
                if entry.state != "info"
            },
            self.clock() + FINDING_SECONDS,
        )
        self._readings: list[Reading] = []
        self._before: Reading | None = None
        self._reading: Reading | None = None
        self._read_milliseconds: float | None = None
        self._rows: tuple[ServiceRow, ...] = ()
        self._history = History()
        self._heard = Heard()
        self._latencies = Latencies()
        self._findings = Findings()
        self._log: list[Happening] = []
        self._problems: dict[str, str] = {}
        self._unseen: dict[str, tuple[str, ...]] = {}
        self._drift_at: float | None = None
        self._round = Round()
        self._bypass: Bypass | None = None

    @property
    def heard(self) -> Heard:
        return self._heard

    @property
    def findings(self) -> Findings:
        return self._findings

    @property
    def over(self) -> bool:
        """The watch was closed."""
        return self._ended.is_set()

    def rest(self, seconds: float) -> None:
        """Waits, for no longer than the watch lasts."""
        self._ended.wait(seconds)

    # --- what the sources put in ---------------------------------------------------------------------------------

    def read(self, reading: Reading, milliseconds: float | None = None) -> None:
        """A dump of IPVS was made."""
        with self._telling:
            with self._lock:
                self._log = [*self._log, *self._of_guard(reading)][-KEPT_HAPPENINGS:]
                self._before = compared(self._readings, reading.at)
                if reading.services is not None:
                    kept = [old for old in self._readings if old.at >= reading.at - KEPT_SECONDS]
                    self._readings = [*kept, reading]
                self._reading, self._read_milliseconds = reading, milliseconds or self._read_milliseconds
                self._problems.pop("read", None)
                lines = self._judge()
                self._history = self._table.next_history(self._history, self._rows)
            self._tell(lines)

    def read_failed(self, problem: str) -> None:
        """IPVS could not be read; the last numbers stand."""
        with self._lock:
            self._problems["read"] = problem
            if self._reading is None or self._reading.services is None:  # there are no numbers to keep
                self._reading = Reading(at=self.clock())
        self.refresh()

    def refresh(self) -> None:
        """The rows again, with what was heard and found since the last reading."""
        with self._telling:
            with self._lock:
                lines = self._judge()
            self._tell(lines)

    def probed(self, at: float, answers: Mapping[RowPlace, Probed], round_: Round) -> None:
        """A slice was probed."""
        with self._lock:
            before, missed = self._heard.probes, self._heard.missed
            self._latencies.add(at, ((place[2], answer) for place, answer in answers.items()))
            self._heard = self._heard.with_probes(at, answers, self._latencies.of_all(at))
            self._round = round_
            new = self._heard.missed.keys() != missed.keys() or any(
                _word(before.get(place)) != _word((at, answer)) for place, answer in answers.items()
            )
        if new:
            self.changed.set()

    def audited(self, at: float, owners: Mapping[str, Owners]) -> None:
        """Who answers for these VIPs now."""
        with self._lock:
            before = self._heard.owners
            self._heard = self._heard.with_owners(at, owners)
            new = any(vip not in before or before[vip][1] != found for vip, found in owners.items())
        if new:
            self.changed.set()

    def claimed(self, vip: str, at: float, mac: str, by: str = "") -> None:
        """Somebody named a VIP as its own without being asked. `by`: who said so, where that is another than `mac`."""
        with self._lock:
            heard = self._heard
            self._heard = heard.with_told(vip, at, mac, by) if by else heard.with_claims(vip, at, (mac,))
        self.changed.set()

    def found(self, findings: Findings, macs: Mapping[str, str], at: float | None) -> None:
        """What facts say. `macs` of the servers looked at; `at`: when a look at all of them began."""
        with self._lock:
            self._findings = findings.beside(self._findings.proved)
            self._heard = self._heard.with_macs(macs)
            self._drift_at = at or self._drift_at
        self.changed.set()

    def proved(self, report: Report, at: float) -> None:
        """What a whole verification that began `at` found. A server whose state changed meanwhile is not blamed for it:
        what was seen of it is of different moments."""
        with self._telling:
            with self._lock:
                report = without(report, {name for name, moved in self._moved.items() if moved >= at})
                before = self._findings.proved
                if at < before.at:
                    return  # one that the operator asked for has overtaken it
                self._findings = self._findings.with_proof(report, self._deployment, at)
                if report.bypass is not None:
                    self._bypass = report.bypass
                self._unseen["proof"] = _unknown(report)
                lines = fault_lines(before.faults, self._findings.proved.faults, self.clock())
                self._log = [*self._log, *lines][-KEPT_HAPPENINGS:]
                lines += self._judge()
            self._tell(lines)
        self.changed.set()

    def unseen(self, source: str, sentences: Iterable[str]) -> None:
        """What a source could not look at and why, in place of what it said before."""
        with self._lock:
            self._unseen[source] = tuple(dict.fromkeys(sentences))

    def problem(self, source: str, text: str) -> None:
        """What went wrong with a whole look; empty: it works again."""
        with self._lock:
            if text:
                self._problems[source] = text
            else:
                self._problems.pop(source, None)

    def note(self, host: str, message: str, state: State | Literal["info"] = "info") -> None:
        """Something the operator did."""
        self.noted([Happening(at=self.time.shown(self.clock()), host=host, message=message, state=state)])

    def noted(self, lines: Iterable[Happening]) -> None:
        """Lines as others have put them, by the wall clock."""
        kept = [msgspec.structs.replace(line, at=self.time.kept(line.at)) for line in lines]
        with self._lock:
            self._log = [*self._log, *kept][-KEPT_HAPPENINGS:]
        self.changed.set()

    # --- what is taken out -----------------------------------------------------------------------------------------

    def take_unsettled(self) -> frozenset[str]:
        """The servers of which the wire said something else than before, since this was asked last."""
        with self._lock:
            self.unsettled.clear()
            names = frozenset(self._table.unsettled)
            self._table.unsettled.clear()
        return names

    def snapshot(self) -> Snapshot:
        """The picture as of the last looks."""
        with self._lock:
            if not self._rows:
                self._judge()
            now, shown = self.clock(), self.time.shown
            audits = [at for at, _ in self._heard.owners.values()]
            read_problem = self._problems.get("read", "")
            proved = self._findings.proved
            guard = self._reading.guard if self._reading else None
            asked = self._deployment.director.guard
            unguarded = (UNGUARDED,) if asked and not _at_work(guard, shown(now)) else ()
            unseen = (*self._unseen.values(), unguarded)
            unwritten = (self._record.problem,) if self._record is not None and self._record.problem else ()
            return Snapshot(
                deployment=self._deployment.name,
                at=shown(now),
                read_at=shown(self._reading.at if self._reading else now),
                read_milliseconds=self._read_milliseconds,
                services=self._rows,
                happenings=tuple(map(self._shown, self._log)),
                problem=read_problem or next(iter(self._problems.values()), ""),
                read_problem=read_problem,
                audit_age=now - min(audits) if audits else None,
                drift_age=None if self._drift_at is None else now - self._drift_at,
                proof_age=now - proved.at if proved.at else None,
                verdict=proved.verdict,
                faults=tuple(
                    msgspec.structs.replace(fault, age=now - proved.at, since=shown(fault.since))
                    for fault in proved.faults.values()
                ),
                unseen=tuple(dict.fromkeys(line for lines in (*unseen, unwritten) for line in lines)),
                round=self._round,
                bypass=self._bypass,
                guard=guard,
                directors=director_rows(self._deployment, self._heard, self._findings, now),
                history=self._history,
                clock_set=self.time.ahead,
            )

    def _of_guard(self, now: Reading) -> list[Happening]:
        """What a guard has done since the last reading. The journal keeps it, so no timeline does. In the lock."""
        if self._reading is None:
            return []
        before = {one.place: one for one in (self._reading.guard.held if self._reading.guard else ())}
        after = {one.place: one for one in (now.guard.held if now.guard else ())}
        found = [(one, f"guard: holds it out of {one.vip} {one.service}. {held.why}") for one, held in after.items()
                 if one not in before]  # fmt: skip
        found += [
            (one, f"guard: no longer holds it out of {one.vip} {one.service}.") for one in before if one not in after
        ]
        return [Happening(at=now.at, host=one.server, message=words) for one, words in found]

    def _shown(self, line: Happening) -> Happening:
        """As the wall clock is set now, whatever it said then."""
        return msgspec.structs.replace(line, at=self.time.shown(line.at)) if self.time.ahead else line

    def _judge(self) -> list[Happening]:
        """The rows anew, and the lines to be told of them. Inside the lock."""
        at = self.clock()
        reading = self._reading or Reading(at=at)
        self._rows = self._table.rows(at, reading, self._before, self._heard, self._findings, ahead=self.time.ahead)
        changes, self._table.changes = self._table.changes, []
        if self._table.unsettled:
            self.unsettled.set()
        told = [Happening(at=at, host=DIRECTOR, message=one) for one in self.time.notes()]
        states = state_lines(changes, at)
        lines = [*told, *states]
        if changes:
            self.doubtful.set()
            self._moved |= dict.fromkeys((line.host for line in states), at)
        if lines:
            self._log = [*self._log, *lines][-KEPT_HAPPENINGS:]
        return lines

    def _tell(self, lines: Iterable[Happening]) -> None:
        """To the timeline, in order: inside `_telling`, and outside the lock, for a disk may be slow."""
        if self._record is not None and not self._ended.is_set():
            for line in sorted(lines, key=lambda one: one.state != "info"):  # what follows is by the clock as it is now
                if line.state == "info":
                    self._record.note(self._shown(line))
                else:
                    self._record(self._shown(line))
            self._record.again()


def _at_work(guard: GuardState | None, now: float) -> bool:
    return guard is not None and guard.alive(now)


def _unknown(report: Report) -> tuple[str, ...]:
    """What a verification could not see and traffic depends on, a sentence each."""
    said = dict.fromkeys(
        f"verify: {one.message}" for one in report.checks if one.outcome == "unknown" and one.check not in ASIDE
    )
    more = len(said) - SHOWN_UNKNOWN
    return (*list(said)[:SHOWN_UNKNOWN], *([f"verify: {more} more checks are unknown."] if more > 0 else []))


def _word(timed: tuple[float, Probed] | None) -> tuple[str, bool]:
    return (timed[1].signature, timed[1].good) if timed else ("", False)
