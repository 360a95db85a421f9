"""The guard: it proves every destination over and over, and sets the weight of those that are dead to 0.

What it decides is in `core.guard`, what it changes in `guard_hands`; this looks round by round, and says what it does.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path

import msgspec

from dsrwizard.core.guard.evidence import (
    MOST_TALKS,
    again,
    asked_for,
    burdened,
    destinations,
    in_doubt,
    leaks,
    macs_of,
    said,
    with_talks,
)
from dsrwizard.core.guard.policy import Decided, Limits, Said, Ward, blindness, carried_out, decide
from dsrwizard.core.guard.second_look import alone, asked_again, both, settled
from dsrwizard.core.live.schedule import BUDGET
from dsrwizard.core.model.answers import Owners, Probed, Talked
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.guarding import FOLDER, DestinationPlace, GuardState
from dsrwizard.core.ports import DirectorPort, WirePort
from dsrwizard.engine import guard_file
from dsrwizard.engine.announcing import Announcement
from dsrwizard.engine.defects import failure_of
from dsrwizard.engine.directors_seen import DirectorsSeen
from dsrwizard.engine.guard_hands import Hands, HealthHands, Office, TableHands
from dsrwizard.engine.journal import Journal

EVERY = 0.5
"""Seconds from one round to the next."""
OWNERS_SECONDS = 3.0
"""Seconds from one question for the VIPs' owners to the next."""
TALKS_SECONDS = 2.0
"""Seconds from one conversation with the applications to the next."""
DOUBT_SECONDS = 1.5
"""The same, after one that ended badly for the first time. It may have taken a second: the next one is not of the same
moment."""
TALK_SECONDS = 1.0
LATE_SECONDS = 0.15
"""This process was given the processor so much later than it had asked for: the machine is busy."""
LISTENS = 0.8
_LONGEST_WAIT = 0.25
SECOND_WAIT = 1.4
"""A second look waits so many times as long: who kept silent for a moment gets the more time."""
_OLD = "The deployment was applied with other servers or services than this guard was given. Restart the guard."


class Guard:
    """One deployment's guard. `hold` gives the right to change the director, for a block, and raises Locked where
    somebody else has it; `tell` gets a sentence for whatever is new; `clock` in seconds since the epoch."""

    def __init__(
        self,
        deployment: Deployment,
        *,
        director: DirectorPort,
        wire: WirePort,
        journal: Journal,
        hold: Callable[[], AbstractContextManager[object]] = nullcontext,
        limits: Limits | None = None,
        every: float = EVERY,
        folder: Path = FOLDER,
        tell: Callable[[str], None] = lambda line: None,
        record: Callable[[str], None] = lambda line: None,
        clock: Callable[[], float] = time.time,
        pid: int = 0,
        watchdog: float = 0.0,
    ) -> None:
        self._deployment = deployment
        self._director = director
        self._wire, self._folder, self._tell, self._clock = wire, folder, tell, clock
        self._limits = limits or Limits()
        self._targets = destinations(deployment)
        office = Office(deployment, self._targets, director, journal, tell)
        self._hands: Hands = (
            HealthHands(office, folder, clock)
            if deployment.director.engine == "keepalived"
            else TableHands(office, hold)
        )
        self._answers: dict[DestinationPlace, Probed] = {}
        self._talks: Mapping[DestinationPlace, Talked] = {}
        self._burdened_at = -math.inf
        """When this machine or the network was too busy for silence to say anything, by the monotonic clock."""
        self._owners: Mapping[str, Owners] = {}
        self._told: tuple[str, ...] = ()
        self._announcement = Announcement(deployment, director, tell)
        self._directors = DirectorsSeen(deployment, director, record, clock)
        self._stands = False
        """It runs until it is stopped: a few rounds for a look announce nothing and withdraw nothing."""
        now = clock()
        self.state = GuardState(
            deployment=deployment.name, pid=pid, since=now, at=now, every=every, floor=self._limits.floor,
            watchdog=watchdog,
        )  # fmt: skip
        before = guard_file.read(deployment.name, folder)
        self._wards: Mapping[DestinationPlace, Ward] = {
            held.place: Ward(held=held, outs=1, out_at=held.since)
            for held in (before.held if before is not None else ())
            if held.place in self._targets
        }

    # --- rounds --------------------------------------------------------------------------------------------------

    def run(self, stopped: threading.Event, beat: Callable[[], None] = lambda: None) -> None:
        """Rounds until it is stopped; `beat` is called after each of them."""
        self._stands = True
        with suppress(DsrError):
            self._director.ready()
        with suppress(DsrError):
            self._announcement.look()
        aside = [
            threading.Thread(target=self._over_and_over, args=(stopped, ask), name=f"guard-{ask.__name__}", daemon=True)
            for ask in (self._talk, self._ask_owners)
        ]
        for one in aside:
            one.start()
        while not stopped.is_set():
            began = time.monotonic()
            self.round()
            beat()
            due = max(began + self.state.every, time.monotonic())
            stopped.wait(due - time.monotonic())
            if time.monotonic() - due > LATE_SECONDS:
                self._burdened_at = time.monotonic()
        self._announcement.end()
        for one in aside:
            one.join(timeout=3)
        self._publish(msgspec.structs.replace(self.state, ended=True, announces=self._announcement.announces))

    @property
    def proved_after(self) -> int:
        """So many rounds prove anything."""
        return max(self._limits.dead_after, self._limits.well_after)

    def several(self) -> None:
        """As many conversations as it takes to prove anything, and as many rounds once they are known."""
        enough = max(self.proved_after, MOST_TALKS)
        for _ in range(enough):
            self.round()
            self.look_aside()
        for _ in range(enough):
            self.round()
        self._publish(msgspec.structs.replace(self.state, ended=True))

    def round(self) -> GuardState:
        """One round. Never raises: whatever goes wrong is an alarm, and nothing is changed."""
        began = time.monotonic()
        try:
            decided, problems = self._round()
        except Exception as problem:  # noqa: BLE001 - a guard that dies watches over nobody
            decided = Decided(wards=self._wards, blind=failure_of(problem).text)
            problems = [decided.blind, *(self._announcement.failed() if self._stands else ())]
        now = self._clock()
        self._wards = decided.wards
        macs = macs_of(self._targets, self._answers.values())
        alarms = tuple(
            dict.fromkeys(
                (*self._directors.alarms, *decided.alarms, *problems, *leaks(self._deployment, self._owners, macs))
            )
        )
        self._say(alarms)
        self._publish(
            msgspec.structs.replace(
                self.state, at=now, rounds=self.state.rounds + 1, round_seconds=time.monotonic() - began,
                blind=decided.blind, alarms=alarms, announces=self._announcement.announces,
                held=tuple(
                    msgspec.structs.replace(ward.held, rip=self._targets[place].rip)
                    for place, ward in self._wards.items() if ward.held is not None
                ),
            )
        )  # fmt: skip
        return self.state

    def _round(self) -> tuple[Decided, list[str]]:
        heard = self._heard()
        self._wards = self._hands.met(self._wards, blind=bool(blindness(heard)))
        weights = self._hands.weights(heard)
        now = self._clock()
        decided = decide(self._wards, heard, weights, now, limits=self._limits, by_hand=self._hands.by_hand())
        announced = self._announcement.round(heard, self._hands.table) if self._stands else ()
        self._dropped(decided)
        applied = self._hands.applied
        old = (_OLD,) if applied is not None and destinations(applied) != self._targets else ()
        decided = msgspec.structs.replace(decided, alarms=(*decided.alarms, *self._hands.alarms, *old))
        if not decided.acts:
            return decided, [*announced]
        done, problems = self._hands.carry_out(decided.acts)
        wards = carried_out(decided.wards, done, now, self._limits)
        return msgspec.structs.replace(decided, wards=wards), [*problems, *announced]

    def _heard(self) -> dict[DestinationPlace, Said]:
        """What everybody says now; who kept silent is asked again. The MAC of a server that answers for any of its
        services is kept; the others' are asked for anew."""
        heard = self._probed(self._targets)
        if burdened(heard):
            self._burdened_at = time.monotonic()
        silent, witnesses = asked_again(self._wards, heard, self._limits)
        if silent:
            heard = both(heard, self._probed((*silent, *witnesses), SECOND_WAIT), witnesses)
            if lone := alone(heard):
                heard = settled(heard, self._probed((*lone, *witnesses), SECOND_WAIT), witnesses)
        return with_talks(heard, self._talks)

    def _probed(self, places: Iterable[DestinationPlace], longer: float = 1.0) -> dict[DestinationPlace, Said]:
        """One look at some of them, which waits so many times as long for answers."""
        before = self._answers
        macs = {answer.rip: answer.mac for answer in before.values() if answer.good}
        targets = {
            place: msgspec.structs.replace(target, mac=macs.get(target.rip, ""))
            for place, target in ((place, self._targets[place]) for place in places)
        }
        wait = longer * min(_LONGEST_WAIT, self.state.every / 2)
        answers = self._wire.probe(self._deployment.director.interface, list(targets.values()), wait, BUDGET)
        found = dict(zip(targets, answers, strict=True))
        self._answers = before | found
        return {place: said(answer) for place, answer in found.items()}

    # --- beside the rounds ---------------------------------------------------------------------------------------

    @staticmethod
    def _over_and_over(stopped: threading.Event, ask: Callable[[], float]) -> None:
        pause = TALKS_SECONDS
        while not stopped.wait(pause):
            began, wanted = time.monotonic(), OWNERS_SECONDS
            with suppress(Exception):  # the next one may see more; the rounds go on
                wanted = ask()
            pause = max(0.0, wanted - (time.monotonic() - began))

    def look_aside(self) -> None:
        """Speaks to the applications that take connections, and asks who answers for the VIPs."""
        self._talk()
        self._ask_owners()

    def _talk(self) -> float:
        """Returns how many seconds after its begin the next conversation is due."""
        talkers = {
            place: msgspec.structs.replace(self._targets[place], mac=answer.mac)
            for place, answer in self._answers.items()
            if answer.good and answer.protocol == "tcp"
        }
        interface, began = self._deployment.director.interface, time.monotonic()
        talks = dict(zip(talkers, self._wire.talk(interface, list(talkers.values()), TALK_SECONDS), strict=True))
        busy = self._burdened_at >= began - self.state.every
        self._talks = {place: again(self._talks.get(place), one, burdened=busy) for place, one in talks.items()}
        return DOUBT_SECONDS if any(in_doubt(one) for one in self._talks.values()) else TALKS_SECONDS

    def _ask_owners(self) -> float:
        """As above."""
        self._owners = self._wire.owners(self._deployment.director.interface, asked_for(self._deployment), LISTENS)
        self._directors.look(self._owners)
        self._announcement.look()
        return OWNERS_SECONDS

    # --- what is told --------------------------------------------------------------------------------------------

    def _dropped(self, decided: Decided) -> None:
        """Says which destinations somebody else has taken over."""
        for place, ward in self._wards.items():
            if ward.held is not None and place in decided.wards and decided.wards[place].held is None:
                who = "somebody gave it a weight" if decided.wards[place].forced else "its weight is an operator's now"
                self._tell(f"{place} is not held out any more: {who}.")

    def _say(self, alarms: Iterable[str]) -> None:
        new = tuple(alarms)
        for line in new:
            if line not in self._told:
                self._tell(f"Alarm: {line}")
        if self._told and not new:
            self._tell("All alarms are over.")
        self._told = new

    def _publish(self, state: GuardState) -> None:
        self.state = state
        try:
            guard_file.write(state, self._folder)
        except OSError as problem:
            self._tell(f"{self._folder} cannot be written: {problem.strerror}. Nobody sees what this guard does.")
