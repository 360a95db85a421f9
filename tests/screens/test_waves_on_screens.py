"""Waves in the review and while they run; connections that a removal waits for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from dsrwizard.app import DsrApp
from screens.questions.confirm import ConfirmModal
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.screens.conftest import SIZES
from tests.screens.driving import seen, settled, until, wizard
from tests.screens.test_review_apply import rows, to_review

pytestmark = pytest.mark.long

Make = Callable[..., DsrApp]
VIP = "10.0.0.10"


@pytest.fixture
def world() -> World:
    return World.lab(5)


@pytest.mark.parametrize("size", SIZES)
async def test_the_review_says_who_is_in_which_wave_and_w_changes_all_at_once(
    make_app: Make, lab: World, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await to_review(pilot)
        listed = rows(app, "#review-rows")
        assert listed[1:4] == [
            "wave 1 of 3: web1; it serves no clients now",
            "wave 2 of 3: web2; it serves no clients now",
            "wave 3 of 3: web3, web4, web5; they serve no clients now",
        ]
        await pilot.press("w")
        assert not any("wave" in row for row in rows(app, "#review-rows"))
        assert wizard(app).desk.plan is not None
        await pilot.press("r")
        await settled(pilot)
        assert not any("wave" in row for row in rows(app, "#review-rows")), "the choice outlives a new look"
        await pilot.press("w", "ctrl+n")
        await settled(pilot)
        assert isinstance(app.screen, ConfirmModal)
        assert "wave 1 of 3: web1" in seen(app)


async def test_a_failure_in_the_first_wave_leaves_the_others_and_says_so(make_app: Make, lab: World) -> None:
    lab.servers["web1"].machine.listeners.clear()
    app = make_app()
    async with app.run_test(size=(120, 40)) as pilot:
        await to_review(pilot)
        await pilot.press("ctrl+n")
        await settled(pilot)
        await pilot.press("right", "enter")
        await settled(pilot)
        said = {row.split()[0]: row for row in rows(app, "#run-rows")}
        assert "held at 0" in said["web1"]
        for name in ("web2", "web3", "web4", "web5"):
            assert lab.servers[name].machine.holds(VIP) is None
        assert "web1 failed in the first wave" in said["web3"]


async def to_waiting(pilot: Pilot[int], world: World) -> None:
    """From the live pane into a teardown that waits for connections."""
    for virtual in world.ipvs.table.values():
        for entry in virtual.entries:
            entry.active = 2
    app = pilot.app
    assert isinstance(app, DsrApp)
    await until(pilot, lambda: "5/5 up" in seen(app))
    await pilot.press("X")
    await settled(pilot)
    await pilot.press("ctrl+n")
    await pilot.pause()
    app.screen.query_one(Input).value = VIP
    app.screen.query_one(Input).focus()
    await pilot.press("enter")
    await until(pilot, lambda: "10 connections left" in seen(app))


@pytest.fixture
def shop(world: World, tmp_path: Path) -> World:
    engine = engine_of(world, Nobody(), tmp_path / "journals")
    deployment = world.deployment()
    assert engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None).ok
    return world


@pytest.mark.parametrize("size", SIZES)
async def test_a_teardown_shows_what_it_waits_for_and_x_waits_no_longer(
    make_app: Make, shop: World, size: tuple[int, int]
) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=size) as pilot:
        await to_waiting(pilot, shop)
        await pilot.pause()
        assert "Waiting for connections: web1, web2 and 3 more: 10 connections left, " in seen(app).replace("\n", " ")
        assert "x Wait no longer" in seen(app)
        assert [entry.state.weight for one in shop.ipvs.table.values() for entry in one.entries] == [0] * 5
        await pilot.press("x")
        await settled(pilot)
        assert shop.ipvs.table == {}
        assert "x Wait no longer" not in seen(app)


async def test_stop_leaves_them_drained(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await to_waiting(pilot, shop)
        await pilot.press("s")
        await settled(pilot)
        assert [entry.state.weight for one in shop.ipvs.table.values() for entry in one.entries] == [0] * 5
        assert shop.machine.holds(VIP) == "eth0"
