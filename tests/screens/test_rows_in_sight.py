"""The row under the cursor is in sight, whatever happens to the list and to the room it has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Static

from dsrwizard.app import DsrApp
from dsrwizard.core.model.snapshot import Happening
from screens.live.timeline import TimelineScreen
from screens.widgets.rows import ListRow, Rows
from tests.fakes.engine import factory
from tests.fakes.pictures import AT
from tests.fakes.world import World
from tests.screens.conftest import SIZES
from tests.screens.driving import seen, settled
from tests.screens.test_review_apply import applied

pytestmark = pytest.mark.long

Make = Callable[..., DsrApp]
VIP = "10.0.0.10"


def under_cursor(app: App[int]) -> str:
    """The line that is marked as the cursor's, as it stands on the screen; empty: none does."""
    lines = (line.text.partition("› ")[2] for line in app.screen._compositor.render_strips())
    return next((" ".join(line.rstrip(" │▁▂▃▄▅▆▇█").split()) for line in lines if line), "")


async def wheel(pilot: Pilot[int], rows: Rows, turns: int) -> None:
    """Turns the mouse wheel over the list: down, or up where `turns` is negative."""
    event = events.MouseScrollDown if turns > 0 else events.MouseScrollUp
    for _ in range(abs(turns)):
        await pilot._post_mouse_events([event], rows)
    await pilot.pause()


# --- verify ----------------------------------------------------------------------------------------------------------


async def to_fault(pilot: Pilot[int], world: World) -> Rows:
    """Applied, the VIP taken from web2 behind its back, verified."""
    await applied(pilot)
    del world.servers["web2"].machine.links["lo"].addresses[VIP]
    await pilot.press("ctrl+n")
    await settled(pilot)
    await pilot.pause()
    return pilot.app.screen.query_one("#verify-rows", Rows)


@pytest.mark.parametrize("size", SIZES)
async def test_the_first_fault_is_under_the_cursor_and_in_sight(
    make_app: Make, world: World, size: tuple[int, int]
) -> None:
    app = make_app(deployment=world.deployment())
    async with app.run_test(size=size) as pilot:
        await to_fault(pilot, world)
        assert "FAIL" in under_cursor(app)
        await pilot.press("r")  # once more: the same fault at the same place
        await settled(pilot)
        await pilot.pause()
        assert "FAIL" in under_cursor(app)
        await pilot.press("home")
        assert "FAIL" not in under_cursor(app)
        await pilot.press("f")
        assert "FAIL" in under_cursor(app)


async def test_the_only_fault_is_found_again_after_the_wheel(make_app: Make, world: World) -> None:
    app = make_app(deployment=world.deployment())
    async with app.run_test(size=(80, 24)) as pilot:
        rows = await to_fault(pilot, world)
        await wheel(pilot, rows, -20)
        assert under_cursor(app) == "", "the wheel scrolls where the operator wants it"
        await pilot.press("f")
        assert "FAIL" in under_cursor(app)


# --- an apply --------------------------------------------------------------------------------------------------------


async def test_the_host_that_failed_is_in_sight_beside_what_is_said_of_it(tmp_path: Path) -> None:
    world = World.lab(16)
    world.servers["web16"].fails["guard"] = "sysctl: permission denied"
    app = DsrApp(factory(world, tmp_path / "journals"), deployment=world.deployment(), ascii_only=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await applied(pilot)
        await pilot.pause()
        assert under_cursor(app).startswith("web16")
        assert "permission denied" in seen(app)


# --- the timeline ----------------------------------------------------------------------------------------------------


async def test_the_timeline_opens_at_its_end(make_app: Make, world: World) -> None:
    app = make_app(deployment=world.deployment())
    async with app.run_test(size=(80, 24)) as pilot:
        old = [Happening(at=AT + number, host="web1", state="info", message=f"event {number}") for number in range(60)]
        app.push_screen(TimelineScreen(world.deployment(), app.engine, old))
        await settled(pilot)
        await pilot.pause()
        assert under_cursor(app).endswith("event 59")


# --- the list itself -------------------------------------------------------------------------------------------------


def made(count: int, first: int = 0) -> list[ListRow]:
    return [ListRow(f"row {number}", ((f"row {number}", ""),)) for number in range(first, first + count)]


class Listed(App[int]):
    """A list of forty rows below a text that can grow."""

    CSS = "Static { height: auto; } Rows { height: 1fr; }"

    def compose(self) -> ComposeResult:
        yield Static("one line", id="above")
        yield Rows(id="rows")

    def on_mount(self) -> None:
        self.rows.set_rows(made(40))
        self.rows.put_cursor("row 30")  # before the list has a size
        self.rows.focus()

    @property
    def rows(self) -> Rows:
        return self.query_one("#rows", Rows)


async def test_a_cursor_that_was_put_before_there_was_a_layout_is_in_sight() -> None:
    app = Listed()
    async with app.run_test(size=(40, 12)):
        assert under_cursor(app) == "row 30"


async def test_the_scrollbar_says_where_the_list_is_also_where_it_came_after_the_scrolling() -> None:
    app = Listed()
    async with app.run_test(size=(40, 12)) as pilot:
        app.rows.set_rows(made(3))
        await pilot.pause()
        app.rows.set_rows(made(40))  # no scrollbar yet
        app.rows.put_cursor("row 30")
        for _ in range(3):
            await pilot.pause()
        assert app.rows.vertical_scrollbar.position == app.rows.scroll_offset.y > 0


async def test_it_stays_in_sight_when_the_list_gets_less_room() -> None:
    app = Listed()
    async with app.run_test(size=(40, 12)) as pilot:
        app.query_one("#above", Static).update("one\ntwo\nthree\nfour")
        await pilot.pause()
        assert under_cursor(app) == "row 30"
        await pilot.resize_terminal(40, 8)
        await pilot.pause()
        assert under_cursor(app) == "row 30"


async def test_a_row_put_under_the_cursor_stands_in_the_middle_whatever_room_there_was_before() -> None:
    app = Listed()
    async with app.run_test(size=(40, 12)) as pilot:
        for heights in ((8, 12), (18, 12), (12, 6, 12)):
            for height in heights:
                await pilot.resize_terminal(40, height)
                await pilot.pause()
            assert app.rows.scroll_offset.y == 30 - 11 // 2, "not where the room before it left it"
        await pilot.press("home", "down")
        assert (app.rows.scroll_offset.y, under_cursor(app)) == (0, "row 1"), "a move scrolls no further than it must"


async def test_it_stays_in_sight_when_rows_come_and_go() -> None:
    app = Listed()
    async with app.run_test(size=(40, 12)) as pilot:
        app.rows.set_rows([*made(20, first=100), *made(40)])
        await pilot.pause()
        assert under_cursor(app) == "row 30"
        app.rows.set_rows(made(5, first=28))
        await pilot.pause()
        assert under_cursor(app) == "row 30"
        app.rows.set_rows([])
        app.rows.set_rows(made(40))
        await pilot.pause()
        assert under_cursor(app) == "row 0"
        await pilot.press("end")
        app.rows.set_rows([ListRow("", ((f"line {number}", ""),), selectable=False) for number in range(30)])
        await pilot.pause()
        assert app.rows.scroll_offset.y == 0


async def test_the_wheel_scrolls_it_away_and_the_next_key_brings_it_back() -> None:
    app = Listed()
    async with app.run_test(size=(40, 12)) as pilot:
        for keys, row in ((["up"], "row 29"), (["end"], "row 39"), (["end"], "row 39"), (["down"], "row 39")):
            await wheel(pilot, app.rows, -20)
            app.rows.set_rows(made(40))  # what is looked at meanwhile throws nobody back
            await pilot.pause()
            assert under_cursor(app) == ""
            await pilot.press(*keys)
            assert under_cursor(app) == row
        await pilot.press("home")
        await wheel(pilot, app.rows, 20)
        assert under_cursor(app) == ""
        await pilot.press("up")
        assert under_cursor(app) == "row 0"
