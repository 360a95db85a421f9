"""A second look within the round: who is asked again, and that it makes a guard no more hasty with those who serve."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from dsrwizard.core.guard.evidence import again, burdened, said, with_talks
from dsrwizard.core.guard.policy import Act, Limits, Said, Ward, carried_out, decide
from dsrwizard.core.guard.second_look import WITNESSES, alone, asked_again, both, settled
from dsrwizard.core.model.answers import Probed, Talked
from dsrwizard.core.model.guarding import DestinationPlace, HeldOut
from dsrwizard.engine.guard import SECOND_WAIT

WELL = Said(word="well")
SLOW = Said(word="well", slow=True)
SILENT = Said(word="dead", why="No answer.", silent=True)
REFUSES = Said(word="dead", why="Nothing listens.")
LIMITS = Limits()


def places(servers: int) -> list[DestinationPlace]:
    return [DestinationPlace("10.0.0.10", "tcp/80", f"web{n}") for n in range(1, servers + 1)]


def test_only_silent_ones_that_are_in_are_asked_again_beside_some_that_answer() -> None:
    all_ = places(9)
    said = dict.fromkeys(all_, WELL) | {all_[0]: SILENT, all_[1]: REFUSES, all_[2]: SILENT, all_[3]: SILENT}
    held = HeldOut(place=all_[2], weight=1, why="No answer.", since=1.0)
    silent, witnesses = asked_again({all_[2]: Ward(held=held), all_[3]: Ward(bad=2)}, said, LIMITS)
    assert silent == [all_[0]]
    assert len(witnesses) == WITNESSES
    assert set(witnesses) <= set(all_[4:])


def test_where_nobody_else_answers_there_is_no_second_look() -> None:
    all_ = places(3)
    assert asked_again({}, dict.fromkeys(all_, SILENT), LIMITS) == ([], [])
    mixed = {all_[0]: SILENT, DestinationPlace("10.0.0.10", "tcp/443", "web1"): WELL}
    assert asked_again({}, mixed, LIMITS) == ([], []), "a server is no witness of itself"


@pytest.mark.parametrize(
    ("second", "witness", "wanted"),
    [
        (SILENT, WELL, Said(word="dead", why="No answer.", silent=True, times=2)),
        (WELL, WELL, WELL),
        (Said(word="unknown"), WELL, Said(word="unknown")),
        (SILENT, SILENT, SILENT),
        (SILENT, Said(word="unknown"), SILENT),
        (SILENT, Said(word="well", slow=True), SILENT),
    ],
)
def test_a_second_look_counts_while_a_witness_answers(second: Said, witness: Said, wanted: Said) -> None:
    one, two = places(2)
    assert both({one: SILENT, two: WELL}, {one: second, two: witness}, [two]) == {one: wanted, two: WELL}


TWICE = Said(word="dead", why="No answer.", silent=True, times=2)


def test_who_answers_for_something_else_is_asked_a_third_time() -> None:
    busy, gone, two = DestinationPlace("10.0.0.10", "tcp/443", "web1"), *places(3)[1:]
    said = {busy: TWICE, gone: TWICE, places(1)[0]: WELL, two: WELL, DestinationPlace("x", "tcp/1", "web3"): SILENT}
    assert alone(said) == [busy]


@pytest.mark.parametrize(
    ("third", "witness", "wanted"),
    [
        (SILENT, WELL, TWICE),
        (WELL, WELL, WELL),
        (WELL, SILENT, WELL),
        (Said(word="unknown"), WELL, Said(word="unknown")),
        (SILENT, SILENT, SILENT),
        (SILENT, Said(word="well", slow=True), SILENT),
    ],
)
def test_a_third_look_decides_while_a_witness_answers(third: Said, witness: Said, wanted: Said) -> None:
    one, two = places(2)
    assert settled({one: TWICE, two: WELL}, {one: third, two: witness}, [two]) == {one: wanted, two: WELL}


class Simulated:
    """Looks at a farm in simulated time, as the guard does: a question, the same once more after half the wait."""

    wait = 0.25

    def __init__(self, alive: Callable[[str, float], bool], servers: int = 5) -> None:
        self.alive, self.places = alive, places(servers)
        self.weights = dict.fromkeys(self.places, 1)
        self.wards: Mapping[DestinationPlace, Ward] = {}
        self.now = 1000.0

    def look(self, asked: list[DestinationPlace], longer: float = 1.0) -> dict[DestinationPlace, Said]:
        wait = self.wait * longer
        times = (self.now, self.now + wait / 2)
        found = {one: WELL if any(self.alive(one.server, at) for at in times) else SILENT for one in asked}
        self.now += wait if SILENT in found.values() else 0.001
        return found

    def round(self) -> list[Act]:
        began = self.now
        heard = self.look(self.places)
        silent, witnesses = asked_again(self.wards, heard, LIMITS)
        if silent:
            heard = both(heard, self.look([*silent, *witnesses], SECOND_WAIT), witnesses)
        decided = decide(self.wards, heard, self.weights, self.now, limits=LIMITS)
        self.wards = carried_out(decided.wards, decided.acts, self.now, LIMITS)
        self.weights |= {act.place: act.weight for act in decided.acts}
        self.decided = self.now
        self.now = max(began + 0.5, self.now)
        return list(decided.acts)


@pytest.mark.parametrize("after", [0.0, 0.1, 0.2, 0.3, 0.4, 0.49])
def test_a_server_that_falls_silent_is_out_within_a_round_and_two_looks(after: float) -> None:
    died = 1000.5 + after
    farm = Simulated(lambda server, at: server != "web2" or at < died)
    while not (acts := farm.round()):
        assert farm.now < 1010
    assert [act.place.server for act in acts] == ["web2"]
    assert farm.decided - died <= 1.11


@pytest.mark.parametrize("seed", range(4))
def test_half_an_hour_of_short_silences_takes_out_nobody_who_spoke_within_a_third_of_a_second(seed: int) -> None:
    chance = random.Random(seed)
    dead: dict[str, tuple[float, float]] = {}
    cut = (0.0, 0.0)
    spoke: dict[str, float] = {}

    def alive(server: str, at: float) -> bool:
        first, last = dead.get(server, (0.0, 0.0))
        answers = not first <= at < last and not cut[0] <= at < cut[1] and chance.random() > 0.01
        if answers:
            spoke[server] = at
        return answers

    farm = Simulated(alive)
    wrong, acts = [], 0
    while farm.now < 2800:
        for server in ("web1", "web2"):
            if chance.random() < 0.02 and dead.get(server, (0.0, 0.0))[1] < farm.now:
                first = farm.now + chance.random()
                dead[server] = (first, first + chance.choice([0.05, 0.1, 0.2, 0.3, 0.35, 3, 20]))
        if chance.random() < 0.005 and cut[1] < farm.now:
            first = farm.now + chance.random()
            cut = (first, first + chance.choice([0.1, 0.4, 2, 10]))
        for act in farm.round():
            acts += 1
            server = act.place.server
            really = dead.get(server, (0.0, 0.0))
            if act.weight == 0 and (farm.decided - spoke.get(server, 0.0) < 1 / 3 or really[1] - really[0] < 0.36):
                wrong.append(f"{farm.decided}: {server} {really} {cut}")
    assert wrong == []
    assert acts > 10, "nothing was tried"


@pytest.mark.parametrize(
    ("result", "tries", "milliseconds", "word"),
    [
        ("hung", 3, 20.0, "dead"), ("hung", 2, 20.0, "well"), ("hung", 3, 300.0, "well"), ("closed", 2, 20.0, "dead"),
        ("closed", 1, 20.0, "well"), ("reset", 2, 20.0, "dead"), ("reset", 2, 300.0, "well"),
    ],
)  # fmt: skip
def test_an_application_that_says_nothing_is_dead_only_where_others_answer_promptly(
    result: Any, tries: int, milliseconds: float, word: str
) -> None:
    one, two = places(2)
    talks = {
        one: Talked(rip="10.0.0.101", vip=one.vip, port=80, result=result, tries=tries),
        two: Talked(rip="10.0.0.102", vip=two.vip, port=80, result="answered", milliseconds=milliseconds),
    }
    assert with_talks({one: WELL, two: WELL}, talks)[one].word == word


@pytest.mark.parametrize(
    ("result", "first", "second", "word"),
    [
        ("hung", SLOW, WELL, "well"), ("hung", WELL, SLOW, "well"), ("hung", SLOW, SLOW, "well"),
        ("closed", SLOW, WELL, "dead"), ("reset", WELL, SLOW, "well"),
    ],
)  # fmt: skip
def test_silence_while_the_machines_are_busy_convicts_no_application(
    result: Any, first: Said, second: Said, word: str
) -> None:
    """The first says nothing, the second answers; a probe of one of them, or of both, came late in this round."""
    one, two = places(2)
    talks = {
        one: Talked(rip="10.0.0.101", vip=one.vip, port=80, result=result, tries=3),
        two: Talked(rip="10.0.0.102", vip=two.vip, port=80, result="answered", milliseconds=20.0),
    }
    assert with_talks({one: first, two: second}, talks)[one].word == word


@pytest.mark.parametrize(("milliseconds", "slow"), [(0.4, False), (79.0, False), (81.0, True), (None, False)])
def test_who_answers_late_is_well_and_no_good_witness(milliseconds: float | None, slow: bool) -> None:
    answer = Probed(
        vip="10.0.0.10", port=80, protocol="tcp", rip="10.0.0.101", mac="02:00:00:00:00:01", signature="syn-ack",
        answered_by="02:00:00:00:00:01", milliseconds=milliseconds,
    )  # fmt: skip
    assert said(answer) == Said(word="well", slow=slow)


@pytest.mark.parametrize(
    ("heard", "busy"),
    [
        ([WELL, WELL, SLOW], False), ([WELL, SLOW], True), ([SLOW, SLOW, SILENT], True), ([SILENT, SILENT], False),
        ([WELL, WELL, SILENT], False), ([], False),
    ],
)  # fmt: skip
def test_where_half_of_the_answers_come_late_it_is_not_one_server_that_is_busy(heard: list[Said], busy: bool) -> None:
    assert burdened(dict(zip(places(len(heard)), heard, strict=True))) is busy


@pytest.mark.parametrize(
    ("result", "busy", "tries"),
    [("hung", [0, 0, 0], 3), ("hung", [0, 1, 0], 2), ("hung", [1, 1, 1], 0), ("closed", [1, 1], 2), ("reset", [1], 1)],
)
def test_silence_in_a_busy_moment_is_not_counted_and_forgives_nothing(result: Any, busy: list[int], tries: int) -> None:
    before = None
    for one in busy:
        talked = Talked(rip="10.0.0.101", vip="10.0.0.10", port=80, result=result)
        before = again(before, talked, burdened=bool(one))
    assert before is not None
    assert before.tries == tries
    assert before.result == result
