"""What a guard changes so that a destination gets clients or none: weights in IPVS where no other program keeps the
table, health files where keepalived does.

A weight is changed under the locks of every run, so that it never changes the table below an apply; where another run
has them, the guard waits for its next round. A health file is the guard's alone and needs none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Protocol

import msgspec

from dsrwizard import files
from dsrwizard.core.guard.policy import Act, Said, Ward
from dsrwizard.core.model.changes import DestinationChange, ServiceKey
from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.errors import CommandFailed, DsrError, Locked
from dsrwizard.core.model.facts import Destination, VirtualService
from dsrwizard.core.model.guarding import FOLDER, DestinationPlace, HeldOut, health_path
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.core.plan.director import key_of
from dsrwizard.core.plan.weight import health_step, weight_step
from dsrwizard.core.ports import DirectorPort, ProbeTarget
from dsrwizard.core.record.owed import drained_on_purpose, last_deployment, place_of
from dsrwizard.engine.defects import failure_of
from dsrwizard.engine.journal import Journal

_WELL, _DEAD = b"0\n", b"1\n"
UNPROVED = "It has not been proved yet."
FOUND_DEAD = "Its health file said so before this guard looked."

Wards = Mapping[DestinationPlace, Ward]


class Hands(Protocol):
    """`met` brings what is remembered in line with what others did, before a round is decided. `blind`: this round says
    nothing of the servers. `weights`: those by which clients are given to destinations. Both raise DsrError."""

    def met(self, wards: Wards, *, blind: bool) -> Wards: ...

    def weights(self, said: Mapping[DestinationPlace, Said]) -> dict[DestinationPlace, int]: ...

    def by_hand(self) -> frozenset[DestinationPlace]:
        """Destinations that an operator drained and that are no concern of the guard's."""
        ...

    def carry_out(self, acts: Sequence[Act]) -> tuple[list[Act], list[str]]:
        """Which acts are done, and what stood in the way of others."""
        ...

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is wrong with what it changes."""
        ...

    @property
    def applied(self) -> Deployment | None:
        """The deployment as it was applied last, as far as the journal here knows."""
        ...

    @property
    def table(self) -> Mapping[ServiceKey, VirtualService]:
        """IPVS as `weights` found it."""
        ...


class Office:
    """What both kinds of hands have: the deployment's places, the director, and the journal."""

    def __init__(
        self, deployment: Deployment, targets: Mapping[DestinationPlace, ProbeTarget], director: DirectorPort,
        journal: Journal, tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.deployment, self.targets, self.director, self.journal = deployment, targets, director, journal
        self.tell = tell
        self.about = {place: _about(deployment, place) for place in targets}
        self._read: tuple[float, frozenset[str]] = (-1.0, frozenset())
        self.applied: Deployment | None = None
        self.seen: Mapping[ServiceKey, VirtualService] = {}

    def table(self) -> Mapping[ServiceKey, VirtualService]:
        """Raises DsrError."""
        self.seen = {}
        self.seen = {service.key: service for service in self.director.services()}
        return self.seen

    def destination(self, place: DestinationPlace, table: Mapping[ServiceKey, VirtualService]) -> Destination | None:
        vip, service, _ = self.about[place]
        virtual = table.get(key_of(vip, service))
        return virtual.destination(self.targets[place].rip, service.port) if virtual is not None else None

    def drained(self) -> frozenset[DestinationPlace]:
        """Destinations that an operator drained, as the journal says; it is read anew once it has changed."""
        with suppress(OSError, DsrError):
            changed = self.journal.path.stat().st_mtime
            if changed != self._read[0]:
                entries = self.journal.entries()
                self._read = (changed, drained_on_purpose(entries))
                self.applied = last_deployment(entries)
        return frozenset(place for place in self.targets if self._identity(place) in self._read[1])

    def _identity(self, place: DestinationPlace) -> str:
        vip, service, _ = self.about[place]
        return place_of(
            DestinationChange(
                service=key_of(vip, service), address=self.targets[place].rip, port=service.port, old=None, new=None
            )
        )

    def journaled(
        self, steps: Sequence[tuple[Act, Step]], do: Callable[[Act, Step], None]
    ) -> tuple[list[Act], list[str]]:
        """Carries out the steps in a run of the guard's; `do` raises DsrError."""
        done: list[Act] = []
        problems: list[str] = []
        run = self.journal.begin("guard", self.deployment)
        for act, step in steps:
            run.intend("local", step)
            try:
                do(act, step)
            except DsrError as problem:
                run.result(DIRECTOR, step.id, Outcome.FAILED, str(problem))
                problems.append(f"{step.title} failed. {failure_of(problem).text}")
                continue
            run.result(DIRECTOR, step.id, Outcome.CHANGED)
            done.append(act)
            self.tell(f"{step.title}. {act.why}")
        run.end(not problems)
        return done, problems


class _Hands:
    """What every kind knows by its office."""

    def __init__(self, office: Office) -> None:
        self._office = office

    @property
    def applied(self) -> Deployment | None:
        return self._office.applied

    @property
    def table(self) -> Mapping[ServiceKey, VirtualService]:
        return self._office.seen


class TableHands(_Hands):
    """Weights over netlink. `hold` gives the right to change the director, and raises Locked."""

    alarms: tuple[str, ...] = ()

    def __init__(self, office: Office, hold: Callable[[], AbstractContextManager[object]]) -> None:
        super().__init__(office)
        self._hold = hold

    def met(self, wards: Wards, *, blind: bool) -> Wards:
        return wards

    def weights(self, said: Mapping[DestinationPlace, Said]) -> dict[DestinationPlace, int]:
        table = self._office.table()
        found = {place: self._office.destination(place, table) for place in said}
        return {place: one.state.weight for place, one in found.items() if one is not None}

    def by_hand(self) -> frozenset[DestinationPlace]:
        return self._office.drained()

    def carry_out(self, acts: Sequence[Act]) -> tuple[list[Act], list[str]]:
        try:
            with self._hold():
                return self._written(acts)
        except Locked as problem:
            return [], [f"Weights are not changed now. {problem.what}"]
        except DsrError as problem:
            return [], [f"Weights could not be changed. {failure_of(problem).text}"]

    def _written(self, acts: Sequence[Act]) -> tuple[list[Act], list[str]]:
        table = self._office.table()  # a run may have changed it meanwhile
        current = [(act, self._office.destination(act.place, table)) for act in acts]
        wanted = [(act, one) for act, one in current if one is not None and one.state.weight == act.before]
        steps = []
        for act, destination in wanted:
            vip, service, server = self._office.about[act.place]
            steps.append((act, weight_step(server.name, vip, service, destination, act.weight, act.why)))
        return self._office.journaled(steps, lambda _, step: self._office.director.apply(step)) if steps else ([], [])


class HealthHands(_Hands):
    """Health files for keepalived's FILE_CHECK (keepalived.conf(5)): `0` is well, `1` is dead. A file that is missing
    or holds anything else counts as well there, so each is written from the first round on, moved into place, and
    written again where somebody took it away. None is ever removed."""

    def __init__(self, office: Office, folder: Path, clock: Callable[[], float]) -> None:
        super().__init__(office)
        self._clock = clock
        self._paths = {
            place: folder / health_path(office.deployment.name, place).relative_to(FOLDER) for place in office.targets
        }
        self._written: dict[DestinationPlace, bytes] = {}
        """What stood in the files that this process has seen."""
        self._unproved: set[DestinationPlace] = set()
        self._problem = ""
        self._unserved: tuple[str, ...] = ()

    @property
    def alarms(self) -> tuple[str, ...]:
        return (*((self._problem,) if self._problem else ()), *self._unserved)

    def met(self, wards: Wards, *, blind: bool) -> Wards:
        self._problem = ""
        found = dict(wards)
        for place, path in self._paths.items():
            now = _read(path)
            if now is None:
                now = self._again(place, blind=blind)
            if now is None:
                continue
            self._written[place] = now
            ward = found.get(place, Ward())
            if now == _DEAD and ward.held is None:
                found[place] = msgspec.structs.replace(ward, held=self._held(place))
        return found

    def _again(self, place: DestinationPlace, *, blind: bool) -> bytes | None:
        """Writes a file that is missing or damaged. One that was never there: dead until it is proved, unless nothing
        can be proved now; keepalived itself begins with dead (init_file)."""
        before = self._written.get(place)
        if before is None and blind:
            return None
        content = before or _DEAD
        try:
            self._put(place, content)
        except DsrError as problem:
            self._problem = failure_of(problem).text
            return None
        if before is None:
            self._unproved.add(place)
        else:
            told = f"{self._paths[place]} was missing or damaged, which keepalived takes for well: restored."
            self._office.tell(told)
        return content

    def _held(self, place: DestinationPlace) -> HeldOut:
        why = UNPROVED if place in self._unproved else FOUND_DEAD
        return HeldOut(place=place, weight=self._office.about[place][2].weight, why=why, since=self._clock())

    def weights(self, said: Mapping[DestinationPlace, Said]) -> dict[DestinationPlace, int]:
        """What the files say; one that is well and has weight 0 in IPVS all the same was drained in keepalived's own
        configuration."""
        table = self._table()
        found = {}
        for place in said:
            if place not in self._written:
                continue
            destination = self._office.destination(place, table)
            drained = destination is not None and not destination.state.weight and said[place].word == "well"
            well = self._written[place] == _WELL and not drained
            found[place] = self._office.about[place][2].weight if well else 0
        return found

    def _table(self) -> Mapping[ServiceKey, VirtualService]:
        try:
            table = self._office.table()
        except DsrError as problem:
            self._unserved = (f"IPVS cannot be read. {failure_of(problem).text}",)
            return {}
        missing = dict.fromkeys(
            f"{vip.address} {service.label}"
            for vip, service, _ in self._office.about.values()
            if key_of(vip, service) not in table
        )
        self._unserved = tuple(
            f"IPVS has no service {name}: keepalived does not run here, or reads other files." for name in missing
        )
        return table

    def by_hand(self) -> frozenset[DestinationPlace]:
        self._office.drained()  # for the deployment that was applied last
        return frozenset()  # a drain is keepalived's own weight: the file says nothing but dead or well

    def carry_out(self, acts: Sequence[Act]) -> tuple[list[Act], list[str]]:
        steps = []
        for one in acts:
            first = one.weight and one.place in self._unproved
            act = msgspec.structs.replace(one, why="It answers.") if first else one
            self._unproved.discard(act.place)
            vip, service, server = self._office.about[act.place]
            steps.append((act, health_step(server.name, vip, service, dead=not act.weight, why=act.why)))
        try:
            return self._office.journaled(steps, lambda act, _: self._put(act.place, _WELL if act.weight else _DEAD))
        except DsrError as problem:
            return [], [f"Health files could not be written. {failure_of(problem).text}"]

    def _put(self, place: DestinationPlace, content: bytes) -> None:
        """Raises CommandFailed."""
        path = self._paths[place]
        try:
            files.replace(path, content)
        except OSError as problem:
            raise CommandFailed(
                f"{path} cannot be written: {problem.strerror}.", "keepalived reads there who is dead.",
                "Run the guard as root, or give it a folder there with RuntimeDirectory=dsrwizard in its unit.",
            ) from problem  # fmt: skip
        self._written[place] = content


def _read(path: Path) -> bytes | None:
    """What a health file says; None: it is missing, or says neither."""
    with suppress(OSError):
        word = files.read(path, 16).strip()
        return {b"0": _WELL, b"1": _DEAD}.get(word)
    return None


def _about(deployment: Deployment, place: DestinationPlace) -> tuple[Vip, Service, RealServer]:
    vip = next(one for one in deployment.vips if one.address == place.vip)
    return vip, next(one for one in vip.services if one.label == place.service), deployment.server(place.server)
