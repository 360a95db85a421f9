"""The journal on disk: one JSON line an entry, appended and flushed before anything is changed."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from dsrwizard import __version__
from dsrwizard.core.model.changes import KeepalivedChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.foreign import in_json
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.steps import Step
from dsrwizard.core.record.owed import (
    DeviceMade,
    Entry,
    Intent,
    Owed,
    Recognised,
    Result,
    RunBegan,
    RunEnded,
    Verb,
    adapters_made,
    in_force,
    last_deployment,
)
from dsrwizard.core.record.reading import FORMAT, Unread, read
from dsrwizard.engine.journal_file import JournalFile
from dsrwizard.engine.locks import machine_id, user_name


class JournalUnread(LookError):
    """A journal cannot be read: damaged, or written by a newer version. `path` is its file."""

    kind = "journal"

    def __init__(self, path: Path, what: str, why: str, next_: str) -> None:
        self.path = path
        super().__init__(what, why, next_)


class Condition(Shown, frozen=True, kw_only=True):
    """What state a journal is in, beside its entries. `lost`: so many lines are known to be gone, be it all of them;
    `passed_over`: so many were taken by a power cut, with results alone."""

    path: str
    entries: int = 0
    lost: int = 0
    passed_over: int = 0

    @property
    def remarks(self) -> tuple[str, ...]:
        """What an operator should know of it, in sentences."""
        said = []
        if self.lost:
            left = f"{self.entries} entries are left" if self.entries else "nothing is left"
            said.append(
                f"The journal {self.path} is not whole: at least {self.lost} of its entries are gone, and {left}. What "
                "they said about earlier changes is not known."
            )
        if self.passed_over:
            said.append(
                f"The journal {self.path} has {self.passed_over} unreadable lines from a power cut. They were results "
                "of steps: those steps count as uncertain."
            )
        return tuple(said)


class Journal:
    """The journal of one deployment. Safe to use from several threads. Raises LookError where it cannot be written:
    without a journal nothing may be changed."""

    def __init__(self, folder: Path, deployment: str) -> None:
        self.path = folder / f"{deployment}.jsonl"
        self._file = JournalFile(self.path)
        self._runs: list[Run] = []

    @property
    def open_runs(self) -> list[Run]:
        """Those that this program has begun and not ended."""
        return [run for run in self._runs if not run.ended.is_set()]

    def entries(self) -> list[Entry]:
        """Everything written so far. Raises JournalUnread where some of it cannot be read."""
        entries, problem = self.readable()
        if problem is not None:
            raise problem
        return entries

    def readable(self) -> tuple[list[Entry], JournalUnread | None]:
        """As much as can be read, and what stands in the way of the rest."""
        try:
            data, head = self._file.read(), self._file.head()
        except OSError as problem:
            return [], self._unreadable(problem)
        found = read(data, head.lines if head is not None else None, __version__)
        unread = found.unread
        if unread is None and found.passed_over and head is not None and not self._file.whole(data, head):
            unread = Unread(found.passed_over[0], False)  # no power cut did that: what was on the disk is another
        return found.entries, self._unread(unread) if unread is not None else None

    def condition(self) -> Condition:
        """Whether it is whole. Raises JournalUnread."""
        try:
            data, head = self._file.read(), self._file.head()
        except OSError as problem:
            raise self._unreadable(problem) from problem
        found = read(data, head.lines if head is not None else None, __version__)
        return Condition(
            path=str(self.path), entries=len(found.entries), lost=max(found.lost, self._file.lost(data, head)),
            passed_over=len(found.passed_over),
        )  # fmt: skip

    def _unreadable(self, problem: OSError) -> JournalUnread:
        return JournalUnread(
            self.path,
            f"The journal {self.path} cannot be read: {problem.strerror}.",
            "Without it, dsrwizard does not know what to undo.",
            "Give access to that folder, or set XDG_STATE_HOME to another one.",
        )

    def _unread(self, unread: Unread) -> JournalUnread:
        if unread.newer:
            version = f" {unread.version}" if unread.version else ""
            return JournalUnread(
                self.path,
                f"The journal {self.path} was written by dsrwizard{version}, newer than this one ({__version__}).",
                f"Line {unread.line} says something that this version does not know, so it cannot tell what to undo.",
                "Upgrade dsrwizard on this machine, then run the command again.",
            )
        return JournalUnread(
            self.path,
            f"The journal {self.path} is damaged at line {unread.line}.",
            "That line cannot be read, so dsrwizard does not know what to undo.",
            "Restore the file from a backup, or repair that line. Without a backup, move the file away: a teardown "
            "then looks at the hosts for what dsrwizard left there.",
        )

    def begin(self, verb: Verb, deployment: Deployment) -> Run:
        """Opens a run."""
        run = Run(self, f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(3)}")
        self.append(
            RunBegan(
                run=run.id,
                at=time.time(),
                verb=verb,
                deployment=deployment,
                version=__version__,
                format=FORMAT,
                user=user_name(),
                host=os.uname().nodename,
                machine=machine_id(),
                durable=self._durable(),
            )
        )
        self._runs = [*self.open_runs, run]
        return run

    def _durable(self) -> int | None:
        """How many lines are on the disk for certain."""
        with contextlib.suppress(OSError):
            data, head = self._file.read(), self._file.head()
            if head is not None or not data:
                return min(head.lines, data.count(b"\n")) if head is not None else 0
        return None

    def append(self, *entries: Entry, durable: bool = True) -> None:
        """Writes the entries, in one piece. `durable`: they are on the disk when it returns; an intent must be before
        anything is done, a result may be lost with the machine, for a step without one counts as uncertain."""
        data = "".join(in_json(msgspec.json.encode(entry).decode()) + "\n" for entry in entries).encode()
        try:
            self._file.append(data, durable=durable)
        except OSError as problem:
            raise LookError(
                f"The journal {self.path} cannot be written: {problem.strerror}.",
                "dsrwizard changes nothing without a journal, because it could not undo the changes.",
                "Free some space or make that folder writable, or set XDG_STATE_HOME to another one.",
            ) from problem

    def forgive(self) -> None:
        """What was lost of it is of no account any more: the hosts were looked at, and nothing of it is left there.
        Where that cannot be written, the next teardown looks again."""
        with contextlib.suppress(OSError):
            self._file.forgive()


class Run:
    """One run's entries. A step that belongs to another deployment is written into that one's journal: a guard that was
    left for the sake of this deployment is taken back in the books of the one that set it."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal = journal
        self.id = run
        self.machines: Mapping[str, str] = {}
        """Host → which machine it is (`Intent.machine`), as far as it is known."""
        self._intended = False
        """Whether anything may have been changed by now."""
        self._others: dict[str, Run] = {}
        """Deployment → the run in its journal."""
        self._elsewhere: dict[tuple[str, str], Run] = {}
        """Host and step id → the run it was written into, where that is not this one."""
        self.ended = threading.Event()
        self.thread = threading.current_thread()
        """The one that carries it out."""
        self._writing = threading.Lock()

    def writes_for(self, deployment: str, run: Run) -> None:
        """From now on steps of that deployment are written into `run`, which ends with this one."""
        self._others[deployment] = run

    def intend(self, address: str, *steps: Step, machine: str | None = None) -> None:
        """Before the steps run. `machine`: which one they are meant for, where that is not the host's."""
        now = time.time()
        mine = [
            Intent(
                run=self.id, at=now, address=address, step=_kept(step),
                machine=self.machines.get(step.host, "") if machine is None else machine,
            )
            for step in steps if not step.owner
        ]  # fmt: skip
        if mine:
            self._append(*mine)
            self._intended = True
        for step in steps:
            if step.owner:
                other = self._others[step.owner]
                self._elsewhere[step.host, step.id] = other
                known = self.machines.get(step.host, "") if machine is None else machine
                other.intend(address, msgspec.structs.replace(step, owner=""), machine=known)

    def recognised(self, found: Iterable[tuple[Owed, str, str, str]]) -> None:
        """Machines on which something is owed that have another name, address or id now."""
        entries = [
            Recognised(
                run=self.id, at=time.time(), host=host, address=address, machine=machine,
                was_address=item.address, was_machine=item.machine,
            )
            for item, host, address, machine in found
        ]  # fmt: skip
        if entries:
            self._append(*entries)

    def result(self, host: str, step: str, outcome: Outcome, detail: str = "") -> None:
        """When a step's end is known."""
        other = self._elsewhere.get((host, step))
        if other is not None:
            other.result(host, step, outcome, detail)
            return
        result = Result(run=self.id, at=time.time(), host=host, step=step, outcome=outcome, detail=detail)
        self._append(result, durable=False)

    def made(self, address: str, step: Step, name: str, device: str, guid: str) -> None:
        """As soon as a host says that it made a device for the adapter `name`."""
        entry = DeviceMade(
            run=self.id, at=time.time(), host=step.host, address=address, step=step.id, name=name, device=device,
            guid=guid,
        )  # fmt: skip
        self._append(entry)

    def _append(self, *entries: Entry, durable: bool = True) -> None:
        """As the journal does it. Where something was changed already, an error says so. Nothing comes after the end:
        then nothing more is begun."""
        try:
            with self._writing:
                if self.ended.is_set():
                    raise LookError("Nothing more is done, because this run was ended.")
                self._journal.append(*entries, durable=durable)
                if any(isinstance(entry, RunEnded) for entry in entries):
                    self.ended.set()
        except LookError as problem:
            if not self._intended:
                raise
            raise LookError(
                problem.what,
                "Nothing more is begun without a journal. What this run has changed before is in it, with the former "
                "values; how the last steps ended is not.",
                "Free some space or make that folder writable, then run the command again, or run teardown.",
            ) from problem

    def end(self, ok: bool) -> None:
        """Its end, once."""
        if self.ended.is_set():
            return
        self._append(RunEnded(run=self.id, at=time.time(), ok=ok))
        for other in self._others.values():
            other.end(ok)


class Journals:
    """All deployments' journals in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, Journal] = {}

    def of(self, deployment: str) -> Journal:
        return self._known.setdefault(deployment, Journal(self.folder, deployment))

    def abandon(self, patience: float) -> None:
        """The program ends: runs that are still open get their end in the journal. Those whose thread is alive have so
        many seconds to write it themselves, and then come to an end before their next step."""
        until = time.monotonic() + patience
        for run in [run for journal in self._known.values() for run in journal.open_runs]:
            while run.thread.is_alive() and run.thread is not threading.current_thread():
                left = until - time.monotonic()
                if left <= 0 or run.ended.wait(min(left, 0.1)):
                    break
            with contextlib.suppress(LookError):
                run.end(ok=False)

    def all(self) -> Iterator[Journal]:
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("*.jsonl")):
                yield self.of(path.name.removesuffix(".jsonl"))

    def adapters_made(self) -> dict[str, tuple[str, ...]]:
        """Adapters that any deployment's runs made: name → GUIDs, in lower case. From journals that cannot be read
        whole, those that can."""
        return adapters_made(entry for journal in self.all() for entry in journal.readable()[0])

    def in_force(self) -> list[Deployment]:
        """Every deployment in force, as last applied, the latest first; those of journals that cannot be read are left
        out."""
        return self.surveyed()[0]

    def surveyed(self) -> tuple[list[Deployment], list[JournalUnread]]:
        """The same, and what stands in the way of reading the others."""
        found: list[tuple[float, Deployment]] = []
        problems: list[JournalUnread] = []
        for journal in self.all():
            entries, problem = journal.readable()
            if problem is not None:
                problems.append(problem)
                continue
            deployment = last_deployment(entries)
            if deployment is not None and in_force(entries):
                found.append((max(entry.at for entry in entries), deployment))
        return [deployment for _, deployment in sorted(found, key=lambda pair: -pair[0])], problems


def _kept(step: Step) -> Step:
    """The step without what no undo needs: the files that keepalived was given to check, among them the operator's own,
    in which a password may stand."""
    if not any(isinstance(change, KeepalivedChange) and change.files for change in step.changes):
        return step
    changes = [
        msgspec.structs.replace(change, files=()) if isinstance(change, KeepalivedChange) else change
        for change in step.changes
    ]
    return msgspec.structs.replace(step, changes=tuple(changes))
