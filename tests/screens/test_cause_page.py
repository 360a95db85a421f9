"""`x` shows the page of a cause, in the live view and in verify, and leads back to where one was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsrwizard.app import DsrApp
from screens.questions.cause_page import CausePage
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.screens.conftest import SIZES
from tests.screens.driving import seen, settled, told, until
from tests.screens.test_snapshots import confirmed, steps

Make = Callable[..., DsrApp]


@pytest.fixture
def shop(world: World, tmp_path: Path) -> World:
    """The farm in force; since then web2 has lost its VIP."""
    engine = engine_of(world, Nobody(), tmp_path / "journals")
    deployment = world.deployment()
    engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)
    engine.close()
    del world.servers["web2"].machine.links["lo"].addresses["10.0.0.10"]
    return world


@pytest.mark.parametrize("size", SIZES)
async def test_the_page_of_a_servers_cause_is_read_and_closed(
    make_app: Make, shop: World, size: tuple[int, int]
) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "2/3 up" in seen(app))
        await until(
            pilot, lambda: "vip-missing" in seen(app)
        )  # silence alone has no cause: a look from within names it
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, CausePage) and "Why it happens" in seen(app))
        assert "every health check" in " ".join(seen(app).split())
        for _ in range(10):
            await pilot.press("pagedown")
        await until(pilot, lambda: "dsrwizard lab --fault vip-missing@web2" in seen(app))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, CausePage))


async def test_a_server_that_is_well_has_nothing_to_explain(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "2/3 up" in seen(app))
        await pilot.press("home", "down", "down", "x")  # the worst is the first
        await until(pilot, lambda: "nothing to explain" in told(app))


async def test_verify_explains_the_chosen_check(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment())
    async with app.run_test(size=(80, 24)) as pilot:
        await confirmed(pilot)
        del shop.servers["web2"].machine.links["lo"].addresses["10.0.0.10"]
        await steps(pilot, 1)
        await settled(pilot)
        await until(pilot, lambda: "Fix" in seen(app))
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, CausePage) and "What you see" in seen(app))
        assert app.screen.query_one(".cause-page").border_title == "vip-missing"
        await pilot.press("x")
        await until(pilot, lambda: not isinstance(app.screen, CausePage))
