"""Who is connected to the server under the cursor: the list, its bounds, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsrwizard.app import DsrApp
from dsrwizard.core.model.errors import LookError
from screens.live.connections import ConnectionsScreen
from screens.live.table import LiveTable
from screens.widgets.rows import Rows
from tests.fakes.world import World
from tests.screens.driving import seen, until
from tests.screens.test_live import shop
from tests.unit.test_connection_table import connection

__all__ = ["shop"]
Make = Callable[..., DsrApp]


async def opened(pilot: object, app: DsrApp, *keys: str) -> None:
    await until(pilot, lambda: "3/3 up" in seen(app))
    table = app.screen.query_one(LiveTable)
    table.untouched = False
    table.put_cursor("10.0.0.10 tcp/80 web1")
    await pilot.press(*keys)  # type: ignore[attr-defined]
    await until(pilot, lambda: isinstance(app.screen, ConnectionsScreen))


@pytest.mark.parametrize(("size", "beside"), [((80, 24), False), ((120, 40), True)])
async def test_the_list_and_the_way_back(make_app: Make, shop: World, size: tuple[int, int], beside: bool) -> None:
    shop.ipvs.connections.extend(
        [connection(1, client="203.0.113.10", client_port=50_001), connection(2, state="SYN_RECV", expires=59),
         connection(3, address="10.0.0.102", client="203.0.113.77")]
    )  # fmt: skip
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=size) as pilot:
        await opened(pilot, app, "c")
        await until(pilot, lambda: "2 connections: 1 ESTABLISHED, 1 SYN_RECV. Read" in seen(app))
        text = seen(app)
        assert "Connections of 10.0.0.10 tcp/80 to web1" in text
        assert "203.0.113.10:50001 ESTABLISHED 900 s" in text
        titles, row = (
            next(strip.text for strip in app.screen._compositor.render_strips() if word in strip.text)
            for word in ("Expires", "203.0.113.10:50001 ")
        )
        assert titles.index("State") == row.index("ESTABLISHED"), "a title stands above its column"
        assert "203.0.113.77" not in text, "it is another server's"
        assert "web1: SYN_RECV: the client has not" in text, "the first line is explained"
        assert ("Events, the latest first" in text) is beside
        if beside:
            await until(pilot, lambda: "web1: apply: " in seen(app))  # what was before the watch
        shop.ipvs.connections.append(connection(9, client="203.0.113.99"))
        await pilot.press("r")
        await until(pilot, lambda: "3 connections" in seen(app))
        await pilot.press("escape")
        await until(pilot, lambda: "3/3 up" in seen(app))


async def test_thousands_are_two_hundred_lines_and_a_figure(make_app: Make, shop: World) -> None:
    shop.ipvs.connections.extend(connection(number) for number in range(4_411))
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "c")
        await until(pilot, lambda: "4,411 connections" in seen(app))
        await pilot.press("end")
        await until(pilot, lambda: "and 4,211 more" in seen(app))
        assert app.screen.query_one("#clients-rows", Rows).row_count() == 201


async def test_a_whole_service_names_the_servers(make_app: Make, shop: World) -> None:
    shop.ipvs.connections.extend([connection(1), connection(2, address="10.0.0.102")])
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "up", "c")
        await until(pilot, lambda: "2 connections" in seen(app))
        lines = [line for line in seen(app).splitlines() if "203.0.113." in line and "ESTABLISHED" in line]
        assert {name for name in ("web1", "web2", "web3") if any(name in line for line in lines)} == {"web1", "web2"}


async def test_nobody_connected_and_a_table_that_cannot_be_read(
    make_app: Make, shop: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, app, "c")
        await until(pilot, lambda: "No connections. Read" in seen(app))
        monkeypatch.setattr(
            "tests.fakes.director.FakeDirector.connections",
            lambda self: (_ for _ in ()).throw(
                LookError("The connections of IPVS could not be read.", "No.", "Load it.")
            ),
        )
        await pilot.press("r")
        await until(pilot, lambda: "The connections of IPVS could not be read" in seen(app))
