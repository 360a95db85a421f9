"""A seeded part of what `make monkey` does: no crash, and nothing done that nobody confirmed."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.monkey import PLACES, SIZES, Tally, bursts, one_app, press, told, twice
from tests.screens.driving import until

pytestmark = pytest.mark.long

SEED = 7
KEYS = 120


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    """The environment and the folder are the monkey's during a test."""
    folder = Path.cwd()
    yield
    os.chdir(folder)


@pytest.mark.parametrize("size", SIZES)
async def test_bursts_of_any_keys_crash_nothing_and_do_nothing_unasked(size: tuple[int, int]) -> None:
    tally = Tally()
    await bursts(size, KEYS, tally, random.Random(f"{SEED} {size}"), places=(0, 6))
    assert tally.keys >= KEYS
    assert not tally.crashes + tally.unasked, told(size, tally, 0)


@pytest.mark.parametrize("place", ["live, weight"])
async def test_each_key_twice_in_a_dialog_crashes_nothing(place: str) -> None:
    tally = Tally()
    number = next(number for number, one in enumerate(PLACES) if one[0] == place)
    await twice(number, SIZES[0], tally, random.Random(SEED), share=0.4)
    assert tally.bindings
    assert not tally.crashes + tally.unasked, told(SIZES[0], tally, 0)


async def test_the_monkey_sees_an_act_that_nobody_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `d` drained at once."""
    from screens.live.weighing import Weighing

    monkeypatch.setattr(Weighing, "_weigh", lambda self, chosen, wanted: self._set(chosen, wanted))
    tally = Tally()

    async def play(pilot: Pilot[int]) -> None:
        await press(pilot, ["home", "down", "d"], tally)
        async with asyncio.timeout(20):
            await pilot.app.workers.wait_for_complete()

    await one_app(0, SIZES[0], tally, play)
    assert tally.unasked[0].startswith("weight of web")


@pytest.mark.parametrize(("keys", "unasked"), [((), 0), (("u",), 1)])
async def test_one_answer_is_for_all_servers_that_were_chosen_and_for_nothing_after_it(
    keys: tuple[str, ...], unasked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first drain is asked for; the second is not, as if `u` restored at once."""
    from screens.live.weighing import Weighing

    tally = Tally()
    place = next(number for number, one in enumerate(PLACES) if one[0] == "live, several")

    async def play(pilot: Pilot[int]) -> None:
        await press(pilot, ["right", "enter"], tally)
        await until(pilot, lambda: tally.acts["weight"] == 2)
        monkeypatch.setattr(Weighing, "_weigh", lambda self, chosen, wanted: self._set(chosen[:1], wanted))
        await press(pilot, keys, tally)
        async with asyncio.timeout(20):
            await pilot.app.workers.wait_for_complete()

    await one_app(place, SIZES[0], tally, play)
    assert not tally.crashes
    assert len(tally.unasked) == unasked
