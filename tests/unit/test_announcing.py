"""A director announces its VIPs while its guard finds it fit, and withdraws for what is wrong with itself alone."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.guard.announcing import FIT_ROUNDS, UNFIT_ROUNDS, Fitness, after_round
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.bird import sign_of
from dsrwizard.core.model.deployment import Bgp, Deployment
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.engine import guard_file
from dsrwizard.engine.guard import Guard
from dsrwizard.engine.journal import Journals
from tests.unit.test_guard import Guarded, no_service

SIGN = sign_of("shop")
Happens = Callable[[Guarded], None]


def announcing(deployment: Deployment) -> Deployment:
    bgp = Bgp(neighbour="10.0.0.1", local_as=65010, neighbour_as=65000)
    director = msgspec.structs.replace(deployment.director, guard=True, bgp=bgp)
    return msgspec.structs.replace(deployment, director=director)


class Watched:
    """A guard that runs for so many rounds, while things happen before some of them."""

    def __init__(self, folder: Path) -> None:
        self.farm = Guarded(folder)
        self.seen: list[bool] = []
        """After each round: whether BIRD is told to announce."""

    def run(self, rounds: int, happens: dict[int, Happens] | None = None, *, bgp: bool = True) -> GuardState:
        farm, stopped = self.farm, threading.Event()
        guard = Guard(
            announcing(farm.deployment) if bgp else farm.deployment,
            director=farm.world.director(), wire=farm.world.wire(),
            journal=Journals(farm.folder / "journal").of("shop"), folder=farm.folder / "run", every=0.01,
            tell=farm.told.append, clock=lambda: farm.now,
        )  # fmt: skip

        def beat() -> None:
            self.seen.append(SIGN in farm.world.signs)
            farm.now += 0.5
            act = (happens or {}).get(len(self.seen))
            if act is not None:
                act(farm)
                guard.look_aside()
            if len(self.seen) == rounds:
                stopped.set()

        guard.run(stopped, beat)
        written = guard_file.read("shop", farm.folder / "run")
        assert written is not None
        return written


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_it_announces_after_some_good_rounds_and_withdraws_as_it_ends(watched: Watched) -> None:
    state = watched.run(FIT_ROUNDS + 2)
    assert watched.seen == [False] * (FIT_ROUNDS - 1) + [True] * 3
    assert SIGN not in watched.farm.world.signs, "nobody watches any more"
    assert state.ended
    assert state.announces is False
    assert "The VIPs are announced." in watched.farm.told


def test_without_bgp_no_sign_is_made(watched: Watched) -> None:
    state = watched.run(FIT_ROUNDS + 1, bgp=False)
    assert not any(watched.seen)
    assert state.announces is None


def test_a_sign_that_an_earlier_guard_left_is_taken_down_first(watched: Watched) -> None:
    watched.farm.world.signs.add(SIGN)
    watched.run(1)
    assert watched.seen == [False]


def unreachable(farm: Guarded) -> None:
    for server in farm.world.servers.values():
        server.reachable = False


def lost_table(farm: Guarded) -> None:
    farm.world.ipvs = type(farm.world.ipvs)()


def lost_vip(farm: Guarded) -> None:
    farm.world.machine.links["eth0"].addresses.pop("10.0.0.10")


def drained(farm: Guarded) -> None:
    for service in farm.world.ipvs.services():
        for one in service.destinations:
            farm.world.ipvs.set_weight(service.key, one.address, one.port, 0)


CUT_OFF: dict[str, tuple[Happens, str]] = {
    "cut off from all servers": (unreachable, "No real server can be reached from here"),
    "the table is gone": (lost_table, "Nothing is behind 10.0.0.10 tcp/80"),
    "an operator has drained all": (drained, "Every real server has weight 0"),
    "the VIP is gone": (lost_vip, "The VIP 10.0.0.10 is not on this machine"),
}


@pytest.mark.parametrize("case", CUT_OFF)
def test_what_is_wrong_with_the_director_withdraws(case: str, watched: Watched) -> None:
    happens, why = CUT_OFF[case]
    at = FIT_ROUNDS + 1
    watched.run(at + UNFIT_ROUNDS + 2, {at: happens})
    assert watched.seen[at - 1]
    assert not watched.seen[-1]
    assert any(line.startswith("The VIPs are withdrawn.") and why in line for line in watched.farm.told)


def test_one_bad_round_withdraws_nothing() -> None:
    fit = Fitness(announces=True, fit=9)
    for _ in range(UNFIT_ROUNDS - 1):
        fit = after_round(fit, "bad")
        assert fit.announces
    assert after_round(fit, "").announces


def every_service_down(farm: Guarded) -> None:
    for server in farm.world.servers.values():
        server.machine.listeners = []


@pytest.mark.parametrize("happens", [no_service, every_service_down])
def test_what_is_wrong_with_servers_is_so_for_every_director_and_withdraws_nothing(
    happens: Happens, watched: Watched
) -> None:
    watched.run(FIT_ROUNDS + 8, {FIT_ROUNDS + 1: happens})
    assert all(watched.seen[FIT_ROUNDS:])


def test_it_announces_again_once_it_is_fit(watched: Watched) -> None:
    def back(farm: Guarded) -> None:
        for server in farm.world.servers.values():
            server.reachable = True

    at = FIT_ROUNDS
    watched.run(at + 20, {at: unreachable, at + 8: back})
    assert not watched.seen[at + 7]
    assert watched.seen[-1]


def test_a_few_rounds_for_a_look_leave_the_sign_as_it_is(watched: Watched) -> None:
    """`guard --once` beside a guard that runs."""
    watched.farm.world.signs.add(SIGN)
    guard = Guard(
        announcing(watched.farm.deployment), director=watched.farm.world.director(), wire=watched.farm.world.wire(),
        journal=Journals(watched.farm.folder / "journal").of("shop"), folder=watched.farm.folder / "run",
    )  # fmt: skip
    guard.several()
    assert watched.farm.world.signs == {SIGN}


def test_who_may_not_make_interfaces_is_told_so(watched: Watched) -> None:
    def no_root(farm: Guarded) -> None:
        farm.world.privileged = False

    state = watched.run(FIT_ROUNDS + 3, {FIT_ROUNDS + 1: no_root})
    assert any("The VIPs cannot be announced." in line for line in state.alarms)


def test_its_words_say_so() -> None:
    state = GuardState(deployment="shop", pid=1, since=0, at=0, every=0.5, floor=50)
    assert msgspec.structs.replace(state, announces=True).words == "announces the VIPs; holds nothing out"
    assert msgspec.structs.replace(state, announces=False, blind="no carrier").words.startswith("withholds the VIPs")
    assert "VIPs" not in state.words


def test_the_file_that_the_guard_reads_has_the_session(tmp_path: Path) -> None:
    assert "[director.bgp]" in dumps(announcing(Guarded(tmp_path).deployment))
