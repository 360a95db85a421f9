"""The mouse: a click does what its key does, keys that come in one piece with it reach what it opens, and no click
alone changes traffic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.events import MouseMove
from textual.geometry import Offset
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Static

from dsrwizard.app import DsrApp
from tests.fakes.pictures import healthy
from tests.monkey import PLACES, Tally, clicked, each_click, typed
from tests.screens.driving import seen, settled, taken, until
from tests.screens.test_snapshots import live_app


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    """The environment and the folder are the monkey's during a test."""
    folder = Path.cwd()
    yield
    os.chdir(folder)


def spot(app: DsrApp, text: str) -> str:
    """A click on the first place that shows this."""
    for y, strip in enumerate(app.screen._compositor.render_strips()):
        if text in strip.text:
            return f"click at {strip.text.index(text) + 1},{y}"
    raise AssertionError(f"{text!r} is not shown:\n{seen(app)}")


async def one_piece(pilot: Pilot[int], click: str, keys: str) -> None:
    """As a slow link hands over what was done one after the other."""
    for event in [*clicked(click), *map(typed, keys)]:
        pilot.app.post_message(event)
    await settled(pilot)
    await taken(pilot)


@pytest.mark.parametrize("text", ["db1", "web2", "umad", "dwXa"])
async def test_what_is_typed_after_a_click_on_find_is_looked_for(text: str) -> None:
    app = live_app(healthy())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        await pilot.press("home", "down")
        await one_piece(pilot, spot(app, "/ Find"), text)
        assert app.screen.query_one("#live-find", Input).value == text
        assert len(app.screen_stack) == 1, "no dialog has opened"


async def test_a_number_typed_after_a_click_on_weight_is_all_in_its_field() -> None:
    app = live_app(healthy())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        await pilot.press("home", "down")
        await one_piece(pilot, spot(app, "w Weight"), "250")
        assert app.screen.query_one("#weight", Input).value == "250"


@pytest.mark.long
@pytest.mark.parametrize("place", ["live", "live, teardown", "VIP", "servers, form"])
async def test_a_click_on_everything_crashes_nothing_and_changes_no_traffic(place: str) -> None:
    tally = Tally()
    number = next(number for number, one in enumerate(PLACES) if one[0] == place)
    await each_click(number, (80, 24), tally)
    assert tally.keys > 10
    assert not tally.crashes + tally.unasked
    assert not tally.acts


async def test_a_click_on_something_that_has_just_left_the_screen_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The picture that the mouse is looked up in is older than the screen for a moment."""
    app = live_app(healthy())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        gone = Static("gone")
        monkeypatch.setattr(DsrApp, "get_widget_at", lambda self, x, y: (gone, gone.region))
        monkeypatch.setattr(Screen, "get_widget_at", lambda self, x, y: (gone, gone.region))
        monkeypatch.setattr(Screen, "get_widget_and_offset_at", lambda self, x, y: (gone, Offset(1, 0)))
        for event in clicked("click at 5,5"):
            if not isinstance(event, MouseMove):
                app.post_message(event)
        await taken(pilot)
        assert app._exception is None
        monkeypatch.undo()
        await pilot.press("slash")
        assert app.screen.query_one("#live-find", Input).has_focus
