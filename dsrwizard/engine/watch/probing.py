"""The second and third source: the VIP probed through every real server, and who answers or claims on the wire.

What is good turns bad only when a second probe, sent at once, says so too: one lost packet is no outage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from dsrwizard.core.live.readings import RowPlace
from dsrwizard.core.live.schedule import BUDGET, ProbePlace, Turns
from dsrwizard.core.model.answers import Claim, Probed
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.ports import Hearing, ProbeTarget, WirePort
from dsrwizard.engine.verify import targets_of
from dsrwizard.engine.watch.board import Board

FIRST_SECONDS = 0.25
"""How long an answer is waited for; a silent server is asked a second time in half of it."""
SECOND_SECONDS = 0.4
"""How long before a good server is called bad, after that."""
AUDIT_LISTENS = 0.8
"""Answers to who-has are collected this long, and the next question follows at once: there are no deaf moments."""
AUDIT_ADDRESSES = 40
"""VIPs asked for at a time: each is asked for twice, and a question is a broadcast to the whole network."""
ANSWERS = frozenset({"reply", "advertisement"})
"""Claims that a question has brought about, most often our own: the audit hears who answers, and hears it end."""
EXCUSES = 10
"""Times in a row that a place which was good may be silent right after this machine stood still."""
HURRY = 4
"""Times the budget, where everything is to be probed once and somebody waits for it."""


class Probes:
    """Sends the probes of one deployment in turns. Used from one thread at a time."""

    def __init__(self, deployment: Deployment, wire: WirePort, board: Board, budget: int = BUDGET) -> None:
        self._interface = deployment.director.interface
        self._wire = wire
        self._board = board
        self._budget = budget
        self._targets: dict[ProbePlace, ProbeTarget] = {}
        self._places: dict[ProbePlace, list[RowPlace]] = {}
        self._sick: dict[ProbePlace, None] = {}
        self._answers: dict[ProbePlace, Probed] = {}
        self._excused: dict[ProbePlace, int] = {}
        numbered = []
        for number, server in enumerate(deployment.servers):
            places = [
                (vip.address, service.label, server.name)
                for vip in deployment.vips_of(server)
                if server.rip_for(vip) is not None
                for service in vip.services
            ]
            for order, (place, target) in enumerate(zip(places, targets_of(deployment, server), strict=True)):
                key = (target.rip, target.vip, target.protocol, target.port)
                self._targets[key] = target
                self._places.setdefault(key, []).append(place)
                numbered.append((order, number, key))
        # Neighbours in the round are different servers, so that each is heard of often.
        self._turns = Turns((key for _, _, key in sorted(numbered)), budget)

    def slice(self) -> None:
        """Probes those whose turn it is."""
        self._probe(self._turns.slice(self._board.clock(), lambda: list(self._sick)))

    def all(self) -> None:
        """Probes everything now."""
        self._probe(self._turns.all(self._board.clock()), HURRY)

    def _probe(self, keys: Sequence[ProbePlace], hurry: int = 1) -> None:
        pace = hurry * self._budget
        answers = dict(zip(keys, self._ask(keys, FIRST_SECONDS, pace), strict=True))
        doubtful = [key for key, answer in answers.items() if self._doubtful(key, answer)]
        if doubtful:  # their MAC is asked for anew: the machine may have been exchanged
            again = self._ask(doubtful, SECOND_SECONDS, pace, known=False)
            answers |= dict(zip(doubtful, again, strict=True))
        for key in self._excusable(answers):
            del answers[key]
        for key, answer in answers.items():
            was = self._answers.get(key)
            self._sick.pop(key, None)
            if not answer.good:
                self._sick[key] = None
                if was is not None and was.good:
                    self._turns.soon(other for other in self._targets if other[0] == key[0] and other not in answers)
            self._answers[key] = answer
        at = self._board.clock()
        self._turns.over(at)
        self._board.probed(
            at,
            {place: answer for key, answer in answers.items() for place in self._places[key]},
            self._turns.round(),
        )
        problems = dict.fromkeys(answer.problem for answer in answers.values() if answer.signature == "unknown")
        self._board.unseen("probes", (f"The VIPs could not be probed: {problem}" for problem in problems))

    def _excusable(self, answers: Mapping[ProbePlace, Probed]) -> list[ProbePlace]:
        """Places that were good and are not, while this machine itself has just come back: they are asked again."""
        bad = [key for key, answer in answers.items() if key in self._answers and self._doubtful(key, answer)]
        settling = bool(bad) and self._board.time.settling()
        found = [key for key in bad if settling and self._excused.get(key, 0) < EXCUSES]
        self._excused = {key: self._excused.get(key, 0) + 1 for key in found} | {
            key: count for key, count in self._excused.items() if key not in answers
        }
        self._sick |= dict.fromkeys(found)
        return found

    def _doubtful(self, key: ProbePlace, answer: Probed) -> bool:
        was = self._answers.get(key)
        return not answer.good and answer.signature != "unknown" and (was is None or was.good)

    def _ask(self, keys: Sequence[ProbePlace], seconds: float, pace: int, *, known: bool = True) -> Sequence[Probed]:
        """A MAC is kept while the probes to it succeed; others are resolved anew."""
        macs = {key: self._answers[key].mac for key in keys if key in self._answers and self._answers[key].good}
        targets = [msgspec.structs.replace(self._targets[key], mac=macs.get(key, "") if known else "") for key in keys]
        return self._wire.probe(self._interface, targets, seconds, pace)


class OwnerAudit:
    """Asks who has the VIPs, and the other directors' own addresses, over and over. Used from one thread at a time."""

    def __init__(self, deployment: Deployment, wire: WirePort, board: Board) -> None:
        self._interface = deployment.director.interface
        self._addresses = [vip.address for vip in deployment.vips]
        self._addresses += [peer.address for peer in deployment.director.peers]
        self._wire = wire
        self._board = board
        self._next = 0

    def look(self) -> None:
        """Asks for the VIPs whose turn it is."""
        if self._next >= len(self._addresses):
            self._next = 0
        chosen = self._addresses[self._next : self._next + AUDIT_ADDRESSES]
        self._next += AUDIT_ADDRESSES
        self._ask(chosen)

    def all(self) -> None:
        """Asks for every VIP now."""
        for start in range(0, len(self._addresses), AUDIT_ADDRESSES):
            self._ask(self._addresses[start : start + AUDIT_ADDRESSES])

    def _ask(self, addresses: Sequence[str]) -> None:
        owners = self._wire.owners(self._interface, addresses, AUDIT_LISTENS)
        self._board.audited(self._board.clock(), owners)
        problems = dict.fromkeys(found.problem for found in owners.values() if found.problem)
        self._board.unseen("audit", (f"Cannot listen for who answers for the VIPs: {problem}" for problem in problems))


class Ear:
    """Listens for claims that nobody asked for: a question of a server's own with the VIP as sender steals it."""

    def __init__(self, deployment: Deployment, wire: WirePort, board: Board) -> None:
        self._interface = deployment.director.interface
        self._addresses = [vip.address for vip in deployment.vips]
        self._wire = wire
        self._board = board
        self._hearing: Hearing | None = None

    def open(self) -> None:
        """Listens until it is closed."""
        self._hearing = self._wire.hear(self._interface, self._addresses, self._heard)

    def look(self) -> None:
        """Says why nothing can be heard, where that is so."""
        problem = self._hearing.problem if self._hearing is not None else ""
        said = [f"Cannot listen for unsolicited claims of the VIPs: {problem}"] if problem else []
        self._board.unseen("ear", said)

    def close(self) -> None:
        if self._hearing is not None:
            self._hearing.close()
            self._hearing = None

    def _heard(self, claim: Claim) -> None:
        if claim.kind in ANSWERS:
            return
        self._board.claimed(claim.address, self._board.clock(), claim.mac, claim.by)
