"""A menu's list stays within its pane: frame, hint and keys are not painted over, however small the terminal is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsrwizard.app import DsrApp
from dsrwizard.core.model.deployment import SCHEDULERS
from tests.fakes.world import World
from tests.screens.driving import field

Make = Callable[..., DsrApp]


@pytest.mark.parametrize("size", [(80, 24), (60, 18), (60, 15), (120, 40)], ids=str)
@pytest.mark.parametrize("key", ["vips[0].services[0].protocol", "vips[0].services[0].scheduler"])
async def test_the_list_leaves_frame_hint_and_keys_alone(
    make_app: Make, lab: World, size: tuple[int, int], key: str
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        field(app, key).take_focus()
        await pilot.pause()
        before = app.screen.query_one("#panes").region
        await pilot.press("space")
        await pilot.pause()
        overlay = field(app, key).query_one("SelectOverlay")
        assert overlay.region.height >= 2
        within = app.screen.query_one("#vip").content_region
        assert within.y <= overlay.region.y
        assert overlay.region.bottom <= within.bottom, (overlay.region, within)
        assert before.y == app.screen.query_one("#panes").region.y
        line = field(app, key).control_widget.region
        assert not overlay.region.overlaps(line), "what is chosen now stays in sight"
        await pilot.press("escape")


@pytest.mark.parametrize("size", [(80, 24), (60, 15)], ids=str)
async def test_a_list_that_is_cut_is_scrolled(make_app: Make, lab: World, size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        field(app, "vips[0].services[0].scheduler").take_focus()
        await pilot.press("space", "end", "enter")
        assert field(app, "vips[0].services[0].scheduler").value == list(SCHEDULERS)[-1]
