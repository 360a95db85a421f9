"""The rules of a guard, over rounds in simulated time: who goes out, who comes back, and when nothing is changed."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
import pytest

from dsrwizard.core.guard.policy import Decided, Limits, Said, Ward, carried_out, decide
from dsrwizard.core.model.guarding import DestinationPlace

WELL, DEAD = Said(word="well"), Said(word="dead", why="It resets connections.")
MUTE, UNKNOWN = Said(word="dead", why="No ARP.", mute=True), Said(word="unknown", why="No socket.")


def places(servers: int, *services: str) -> list[DestinationPlace]:
    return [
        DestinationPlace("10.0.0.10", service, f"web{n}")
        for service in services or ("tcp/80",)
        for n in range(1, servers + 1)
    ]


@dataclass
class Farm:
    """A table and a guard over it; a round every half second."""

    places: list[DestinationPlace]
    limits: Limits = field(default_factory=Limits)
    weights: dict[DestinationPlace, int] = field(default_factory=dict)
    wards: Mapping[DestinationPlace, Ward] = field(default_factory=dict)
    by_hand: set[DestinationPlace] = field(default_factory=set)
    now: float = 1000.0
    last: Decided = field(default_factory=lambda: Decided(wards={}))
    acts: int = 0

    def __post_init__(self) -> None:
        self.weights = self.weights or dict.fromkeys(self.places, 1)

    def round(self, *not_well: DestinationPlace, said: Said = DEAD, others: Said = WELL) -> Decided:
        heard = {place: said if place in not_well else others for place in self.places}
        return self.hear(heard)

    def hear(self, heard: Mapping[DestinationPlace, Said]) -> Decided:
        self.now += 0.5
        self.last = decide(self.wards, heard, self.weights, self.now, limits=self.limits, by_hand=self.by_hand)
        for act in self.last.acts:
            assert self.weights[act.place] == act.before
            self.weights[act.place] = act.weight
        self.acts += len(self.last.acts)
        self.wards = carried_out(self.last.wards, self.last.acts, self.now, self.limits)
        return self.last

    def rounds(self, count: int, *not_well: DestinationPlace, said: Said = DEAD, others: Said = WELL) -> None:
        for _ in range(count):
            self.round(*not_well, said=said, others=others)

    @property
    def out(self) -> set[str]:
        return {place.server for place, weight in self.weights.items() if not weight}


def test_a_dead_server_is_out_after_two_rounds_and_back_after_two_good_ones_with_its_own_weight() -> None:
    one, two, three = places(3)
    farm = Farm([one, two, three], weights={one: 1, two: 7, three: 1})
    farm.round(two)
    assert farm.out == set()
    (act,) = farm.round(two).acts
    assert (act.place, act.before, act.weight, act.why) == (two, 7, 0, "It resets connections.")
    farm.rounds(10, two)
    assert (farm.out, farm.acts) == ({"web2"}, 1)
    farm.round()
    assert farm.out == {"web2"}
    farm.round()
    assert farm.weights[two] == 7


def test_one_lost_probe_now_and_then_takes_nobody_out() -> None:
    farm = Farm(places(3))
    for number in range(600):
        farm.round(*([farm.places[number % 3]] if number % 2 else []))
    assert farm.acts == 0


@pytest.mark.parametrize(
    ("servers", "floor", "most"), [(2, 50, 1), (3, 50, 1), (4, 50, 2), (9, 50, 4), (4, 1, 3), (4, 100, 0), (10, 90, 1)]
)
def test_the_floor_stays_in_whatever_the_probes_say(servers: int, floor: int, most: int) -> None:
    farm = Farm(places(servers), limits=Limits(floor=floor))
    farm.rounds(50, *farm.places[:-1])
    assert len(farm.out) == most
    assert any("stay in" in alarm for alarm in farm.last.alarms) or most == servers - 1


def test_the_floor_counts_each_service_for_itself() -> None:
    farm = Farm(places(2, "tcp/80", "tcp/443"))
    first, second = DestinationPlace("10.0.0.10", "tcp/80", "web1"), DestinationPlace("10.0.0.10", "tcp/443", "web2")
    farm.rounds(5, first, second)
    assert (farm.weights[first], farm.weights[second]) == (0, 0)


@pytest.mark.parametrize(
    ("said", "words"),
    [(DEAD, "No destination answers"), (MUTE, "No real server answers ARP"), (UNKNOWN, "No socket")],
)
def test_where_nobody_answers_nothing_is_changed_in_either_direction(said: Said, words: str) -> None:
    farm = Farm(places(4))
    farm.rounds(3, farm.places[0])
    assert farm.out == {"web1"}
    farm.rounds(100, *farm.places, said=said)
    assert farm.out == {"web1"}
    assert words in farm.last.blind
    farm.round()
    assert farm.out == {"web1"}, "one good round after it proves nothing yet"
    farm.rounds(2)
    assert farm.out == set()


def test_a_round_in_the_midst_of_which_the_cable_came_out_takes_nobody_out() -> None:
    farm = Farm(places(4))
    farm.round(*farm.places[2:])
    farm.rounds(5, *farm.places)
    assert farm.acts == 0


def test_a_service_without_a_living_server_keeps_them_all_while_another_service_is_served() -> None:
    farm = Farm(places(3, "tcp/80", "tcp/443"))
    dead = [place for place in farm.places if place.service == "tcp/443"]
    farm.rounds(5, *dead)
    assert farm.acts == 0
    assert any("No server of 10.0.0.10 tcp/443" in alarm for alarm in farm.last.alarms)


def test_what_is_only_unknown_takes_nobody_out_and_lets_nobody_in() -> None:
    farm = Farm(places(3))
    farm.rounds(20, farm.places[0], said=UNKNOWN)
    assert farm.acts == 0
    farm.rounds(3, farm.places[0])
    farm.rounds(20, farm.places[0], said=UNKNOWN)
    assert farm.out == {"web1"}


def test_an_operators_drain_is_left_alone() -> None:
    farm = Farm(places(3))
    farm.weights[farm.places[1]] = 0
    farm.rounds(20)
    farm.rounds(20, farm.places[1])
    farm.rounds(20)
    assert (farm.out, farm.acts) == ({"web2"}, 0)


def test_a_drain_of_what_is_held_out_makes_it_the_operators() -> None:
    farm = Farm(places(3))
    farm.rounds(3, farm.places[0])
    farm.by_hand.add(farm.places[0])
    farm.rounds(20)
    assert farm.out == {"web1"}
    assert all(ward.held is None for ward in farm.wards.values())


def test_a_weight_that_somebody_gives_to_a_dead_server_stands_until_it_was_well_once() -> None:
    farm = Farm(places(3))
    one = farm.places[0]
    farm.rounds(3, one)
    farm.weights[one] = 4
    farm.rounds(30, one)
    assert farm.weights[one] == 4
    assert any("somebody gave it weight 4" in alarm for alarm in farm.last.alarms)
    farm.rounds(2)
    farm.rounds(2, one)
    assert farm.weights[one] == 0


def test_who_flaps_waits_longer_each_time_and_no_longer_than_the_longest() -> None:
    farm = Farm(places(3), limits=Limits(first=5, longest=20))
    waited = []
    for _ in range(6):
        while not farm.out:
            farm.round(farm.places[0])
        start = farm.now
        while farm.out:
            farm.round()
        waited.append(farm.now - start)
    assert waited == [1.0, 5.5, 10.5, 20.5, 20.5, 20.5]
    farm.rounds(400)
    farm.rounds(2, farm.places[0])
    start = farm.now
    while farm.out:
        farm.round()
    assert farm.now - start == 1.0, "it was calm for so long that the flapping is forgotten"


@pytest.mark.parametrize("servers", [2, 3])
def test_who_only_waits_for_having_flapped_takes_the_place_of_one_that_is_dead(servers: int) -> None:
    """Of two servers with one held out, the floor leaves no other; of three neither, with half of them staying in."""
    farm = Farm(places(servers))
    one, two = farm.places[:2]
    for _ in range(4):
        while "web1" not in farm.out:
            farm.round(one)
        while "web1" in farm.out:
            farm.round()
    farm.rounds(2, one)
    farm.rounds(4)
    assert farm.out == {"web1"}, "it flapped, and waits"
    farm.round(two)
    assert farm.out == {"web1"}, "one look proves nothing"
    first, second = farm.round(two).acts
    assert (first.place, first.weight, first.why) == (one, 1, "It answers again, and web2 does not.")
    assert (second.place, second.weight) == (two, 0)
    assert farm.last.alarms == ()
    farm.rounds(4, two, one)
    assert farm.out == {"web2"}, "where both are dead, none takes the other's place"
    farm.rounds(40)
    assert farm.out == set()


def test_who_is_dead_itself_or_answered_once_takes_nobodys_place() -> None:
    farm = Farm(places(3))
    one, two, _ = farm.places
    farm.rounds(20, one, two)
    assert len(farm.out) == 1
    (out,) = (place for place in (one, two) if place.server in farm.out)
    (dead,) = {one, two} - {out}
    farm.round(dead)
    assert farm.out == {out.server}
    farm.round(dead)
    assert farm.out == {dead.server}


def test_a_weight_given_to_a_dead_server_does_not_keep_out_one_that_answers() -> None:
    farm = Farm(places(2), limits=Limits(first=60))
    one, two = farm.places
    farm.rounds(2, one)
    farm.rounds(2)
    farm.rounds(3, one)
    farm.rounds(4)
    farm.weights[two] = 1
    farm.wards = {**farm.wards, two: msgspec.structs.replace(farm.wards[two], forced=True)}
    farm.rounds(2, two)
    assert farm.weights == {one: 1, two: 1}


def test_a_destination_that_is_gone_from_the_table_is_forgotten() -> None:
    farm = Farm(places(3))
    farm.rounds(3, farm.places[0])
    del farm.weights[farm.places[0]]
    farm.rounds(5)
    assert farm.acts == 1
    farm.weights[farm.places[0]] = 0
    farm.rounds(5)
    assert farm.out == {"web1"}, "somebody put it there at weight 0"


@pytest.mark.parametrize("seed", range(4))
def test_thirty_minutes_of_flapping_and_noise_take_out_nobody_who_serves(seed: int) -> None:
    """Servers die and come back, single probes are lost, the director is cut off now and then. A removal is wrong where
    the server had answered within the last round, or where it leaves a service under its floor."""
    chance = random.Random(seed)
    farm = Farm(places(5, "tcp/80", "tcp/443"))
    dead_until: dict[str, float] = {}
    blind_until = 0.0
    wrong: list[str] = []
    heard: Mapping[DestinationPlace, Said] = {}
    for _ in range(3600):
        for server in ("web1", "web2", "web3"):
            if chance.random() < 0.01:
                dead_until[server] = farm.now + chance.choice([0.4, 1, 3, 30])
        if chance.random() < 0.002:
            blind_until = farm.now + chance.choice([1, 10])
        before, heard = heard, {}
        for place in farm.places:
            lost = chance.random() < 0.01 or dead_until.get(place.server, 0) > farm.now
            heard[place] = MUTE if blind_until > farm.now else DEAD if lost else WELL
        for act in farm.hear(heard).acts:
            if act.weight == 0 and before and before[act.place].word == "well":
                wrong.append(f"{farm.now}: {act.place}")
        for service in ("tcp/80", "tcp/443"):
            if sum(farm.weights[place] > 0 for place in farm.places if place.service == service) < 3:
                wrong.append(f"{farm.now}: {service} is below its floor")
    assert wrong == []
    assert farm.acts > 20, "nothing was tried"
    farm.rounds(300)
    assert farm.out == set()


def test_what_is_held_out_says_since_when_it_answers_and_when_it_comes_back() -> None:
    farm = Farm(places(3))
    for _ in range(2):
        farm.rounds(2, farm.places[0])
        while farm.out:
            farm.round()
    farm.rounds(2, farm.places[0])
    farm.round()
    held = farm.wards[farm.places[0]].held
    assert held is not None
    assert (held.well_since, held.back_at) == (farm.now, farm.now + 10)
    assert msgspec.json.decode(msgspec.json.encode(held), type=type(held)) == held
