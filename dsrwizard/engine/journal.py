"""The journal on disk: one JSON line an entry, appended and flushed before anything is changed."""

from __future__ import annotations

import errno
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from dsrwizard import __version__, files
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.foreign import in_json
from dsrwizard.core.model.outcome import Outcome
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

LARGEST = 500_000_000
"""Bytes of a journal that is read: thousands of runs of thousands of steps. What is larger is none of ours."""
_PIECE = 1 << 20

_decoder = msgspec.json.Decoder(Entry)


class Journal:
    """The journal of one deployment. Safe to use from several threads. Raises LookError where it cannot be written:
    without a journal nothing may be changed."""

    def __init__(self, folder: Path, deployment: str) -> None:
        self.path = folder / f"{deployment}.jsonl"
        self._lock = threading.Lock()

    def entries(self) -> list[Entry]:
        """Everything written so far.

        A torn line (the machine went down while writing) is passed over: an intent is complete on disk before anything
        is done, and a step without a result counts as uncertain.
        """
        try:
            lines = files.read(self.path, LARGEST, ours=True).split(b"\n")
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise LookError(
                f"The journal {self.path} cannot be read: {problem.strerror}.",
                "Without it, dsrwizard does not know what to undo.",
                "Give access to that folder, or set XDG_STATE_HOME to another one.",
            ) from problem
        entries = []
        for number, line in enumerate(lines, 1):
            try:
                entries.append(_decoder.decode(line))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
                if not line or number == len(lines):  # the last one has no end: torn
                    continue
                raise LookError(
                    f"The journal {self.path} is damaged at line {number}.",
                    "That line cannot be read, so dsrwizard does not know what to undo.",
                    "Restore the file from a backup, or repair that line.",
                ) from problem
        return entries

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
            )
        )
        return run

    def append(self, *entries: Entry, durable: bool = True) -> None:
        """Writes the entries, in one piece. `durable`: they are on the disk when it returns; an intent must be before
        anything is done, a result may be lost with the machine, for a step without one counts as uncertain."""
        data = "".join(in_json(msgspec.json.encode(entry).decode()) + "\n" for entry in entries).encode()
        try:
            with self._lock:
                descriptor = files.opened(self.path, os.O_RDWR | os.O_APPEND)
                try:
                    _cut_torn(descriptor)
                    if os.write(descriptor, data) != len(data):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                except OSError:
                    os.close(descriptor)
                    raise
            try:
                if durable:
                    os.fsync(descriptor)  # outside the lock: the hosts' writes reach the disk together
            finally:
                os.close(descriptor)
        except OSError as problem:
            raise LookError(
                f"The journal {self.path} cannot be written: {problem.strerror}.",
                "dsrwizard changes nothing without a journal, because it could not undo the changes.",
                "Free some space or make that folder writable, or set XDG_STATE_HOME to another one.",
            ) from problem


def _cut_torn(descriptor: int) -> None:
    """Cuts off a last line without its end: the machine went down as it was written, and nothing was done for it."""
    size = os.fstat(descriptor).st_size
    if not size or os.pread(descriptor, 1, size - 1) == b"\n":
        return
    while size:  # backwards, piece by piece: what is torn may be long
        start = max(0, size - _PIECE)
        found = os.pread(descriptor, size - start, start).rfind(b"\n")
        if found >= 0:
            os.ftruncate(descriptor, start + found + 1)
            return
        size = start
    os.ftruncate(descriptor, 0)


class Run:
    """One run's entries. A step that belongs to another deployment is written into that one's journal: a guard that was
    left for the sake of this deployment is taken back in the books of the one that set it."""

    def __init__(self, journal: Journal, run: str) -> None:
        self._journal = journal
        self.id = run
        self.machines: Mapping[str, str] = {}
        """Host → which machine it is (`Intent.machine`), as far as it is known."""
        self._others: dict[str, Run] = {}
        """Deployment → the run in its journal."""
        self._elsewhere: dict[tuple[str, str], Run] = {}
        """Host and step id → the run it was written into, where that is not this one."""

    def writes_for(self, deployment: str, run: Run) -> None:
        """From now on steps of that deployment are written into `run`, which ends with this one."""
        self._others[deployment] = run

    def intend(self, address: str, *steps: Step, machine: str | None = None) -> None:
        """Before the steps run. `machine`: which one they are meant for, where that is not the host's."""
        now = time.time()
        mine = [
            Intent(
                run=self.id, at=now, address=address, step=step,
                machine=self.machines.get(step.host, "") if machine is None else machine,
            )
            for step in steps if not step.owner
        ]  # fmt: skip
        if mine:
            self._journal.append(*mine)
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
            self._journal.append(*entries)

    def result(self, host: str, step: str, outcome: Outcome, detail: str = "") -> None:
        """When a step's end is known."""
        other = self._elsewhere.get((host, step))
        if other is not None:
            other.result(host, step, outcome, detail)
            return
        result = Result(run=self.id, at=time.time(), host=host, step=step, outcome=outcome, detail=detail)
        self._journal.append(result, durable=False)

    def made(self, address: str, step: Step, name: str, device: str, guid: str) -> None:
        """As soon as a host says that it made a device for the adapter `name`."""
        entry = DeviceMade(
            run=self.id, at=time.time(), host=step.host, address=address, step=step.id, name=name, device=device,
            guid=guid,
        )  # fmt: skip
        self._journal.append(entry)

    def end(self, ok: bool) -> None:
        self._journal.append(RunEnded(run=self.id, at=time.time(), ok=ok))
        for other in self._others.values():
            other.end(ok)


class Journals:
    """All deployments' journals in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, deployment: str) -> Journal:
        return Journal(self.folder, deployment)

    def all(self) -> Iterator[Journal]:
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("*.jsonl")):
                yield Journal(self.folder, path.name.removesuffix(".jsonl"))

    def adapters_made(self) -> dict[str, tuple[str, ...]]:
        """Adapters that any deployment's runs made: name → GUIDs, in lower case."""
        return adapters_made(entry for journal in self.all() for entry in journal.entries())

    def in_force(self) -> list[Deployment]:
        """Every deployment in force, as last applied, the latest first."""
        found: list[tuple[float, Deployment]] = []
        for journal in self.all():
            entries = journal.entries()
            deployment = last_deployment(entries)
            if deployment is not None and in_force(entries):
                found.append((max(entry.at for entry in entries), deployment))
        return [deployment for _, deployment in sorted(found, key=lambda pair: -pair[0])]
