"""Several servers at once: chosen by space, drained, restored and weighted together after one question."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from dsrwizard.app import DsrApp
from dsrwizard.core.model.snapshot import ServiceRow, State
from screens.live.effects_together import effects_together
from screens.live.view import LiveView
from screens.wizard.server_form import ServerForm
from tests.fakes.pictures import destination, service
from tests.fakes.world import World
from tests.screens.driving import seen, settled, told, typed, until, wizard, wizard_draft
from tests.screens.test_live_actions import comes, on, shop, up, weight

__all__ = ["shop"]
Make = Callable[..., DsrApp]
ALL = ("10.0.0.101", "10.0.0.102", "10.0.0.103")


def weights(world: World) -> list[int]:
    return [weight(world, rip) for rip in ALL]


class TestLive:
    async def test_two_are_drained_and_restored_together(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            await pilot.press("space", "space")
            assert "2 servers chosen" in seen(app)
            await pilot.press("d")
            assert "Drain 2 servers?" in seen(app)
            assert "web1, web2." in seen(app)
            assert "new clients go to web3. web1 and web2 get none." in seen(app)
            assert weights(shop) == [1, 1, 1], "it asks first"
            await pilot.press("right", "enter")
            await until(pilot, lambda: weights(shop) == [0, 0, 1])
            await until(pilot, lambda: "2 of 2 servers drained" in told(app))
            await comes(pilot, "1/3 up")
            await pilot.press("u", "right", "enter")
            await until(pilot, lambda: weights(shop) == [1, 1, 1])
            await until(pilot, lambda: "2 of 2 servers restored to their weights" in told(app))
            await pilot.press("escape")
            assert "chosen" not in seen(app)

    async def test_all_of_a_service_are_chosen_on_its_line(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(120, 40)) as pilot:
            await up(pilot)
            await pilot.press("home", "space", "w", "0", "enter")
            assert "3 servers chosen" in "\n".join(
                strip.text for strip in app.screen_stack[0]._compositor.render_strips()
            )
            assert "Drain 3 servers?" in seen(app)
            assert "web1, web2 and web3 are all 3 healthy servers for 10.0.0.10 tcp/80." in seen(app)
            await pilot.press("enter")
            assert weights(shop) == [1, 1, 1], "the focus is on Cancel"

    async def test_one_that_fails_stops_no_other(
        self, make_app: Make, shop: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            watcher = app.screen.query_one(LiveView).watcher
            assert watcher is not None
            real = watcher.set_weight

            def fails(server: str, *rest: object) -> None:
                if server == "web1":
                    raise OSError(5, "no luck")
                real(server, *rest)  # type: ignore[arg-type]

            monkeypatch.setattr(watcher, "set_weight", fails)
            await pilot.press("space", "space", "w", "5", "enter", "right", "enter")
            await until(pilot, lambda: weights(shop) == [1, 5, 1])
            await until(pilot, lambda: "1 of 2 servers set to weight 5" in told(app))
            assert "no luck" in told(app)

    async def test_a_read_only_view_chooses_nothing(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live", read_only=True)
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "3/3 up")
            on(app, "web1")
            await pilot.press("space")
            assert "chosen" not in seen(app)


def farm(*states: State, active: int = 0) -> ServiceRow:
    return service(
        "10.0.0.10",
        tuple(destination(f"web{number}", state=one, active=active) for number, one in enumerate(states, 1)),
    )


class TestWords:
    """What is said of several servers at once goes by health, and by what is left after all of them are gone."""

    @pytest.mark.parametrize(
        ("states", "chosen", "weight", "said"),
        [
            (("up", "up", "up"), {"web1", "web2"}, 0, "new clients go to web3"),
            (("up", "up", "vip-dead"), {"web1", "web2"}, 0, "are all 2 healthy servers for 10.0.0.10 tcp/80."),
            (("up", "vip-dead", "vip-dead"), {"web1", "web2"}, 0, "web1 is the only healthy server for"),
            (("vip-dead", "vip-dead"), {"web1"}, 0, "No other server for 10.0.0.10 tcp/80 is healthy."),
            (("up", "up", "up", "vip-dead"), {"web1", "web2"}, 0, "50 % of them go to web4, which is not healthy."),
            (("up", "up", "up"), {"web1", "web2"}, 2, "web1 and web2 get 80 % of the new clients"),
            (("up", "vip-dead", "up"), {"web1", "web2"}, 2, "web2 is not healthy: 40 % of the new clients get no"),
            (("up", "up", "up"), {"web1", "web2"}, None, "67 % of the new clients of 10.0.0.10 tcp/80 (now 67 %)."),
        ],
    )
    def test_what_is_left_decides(
        self, states: tuple[State, ...], chosen: set[str], weight: int | None, said: str
    ) -> None:
        assert said in " ".join(effects_together([farm(*states)], chosen, weight))

    def test_open_connections_are_counted_together(self) -> None:
        lines = effects_together([farm("up", "up", "up", active=7)], {"web1", "web2"}, 0)
        assert "About 14 open connections stay with them" in " ".join(lines)

    def test_the_service_that_is_left_without_an_answer_comes_first(self) -> None:
        fine = farm("up", "up", "up")
        lines = effects_together([fine, fine, fine, fine, farm("up", "vip-dead")], {"web1"}, 0)
        assert "No" in lines[0] or "only healthy server" in lines[0]
        assert lines[-1] == "They are in 2 more services."

    def test_servers_that_ipvs_does_not_have_change_nothing(self) -> None:
        assert "changes nothing" in effects_together([farm("up")], {"web9"}, 0)[0]


class TestWizard:
    """The servers table before anything is applied."""

    async def test_words_narrow_the_table_and_are_counted(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n")
            await pilot.press("slash", "w", "e", "b", "2")
            assert "Only “web2”: 1 of 3." in seen(app)
            assert "10.0.0.103" not in seen(app)
            await pilot.press("enter", "e")
            assert isinstance(app.screen, ServerForm)
            assert typed(app, "servers[1].name") == "web2", "the one that is shown, not the first of the file"
            await pilot.press("escape", "escape")
            assert "10.0.0.103" in seen(app)
            assert wizard(app).step == "servers", "the first Escape shows all again"
            await pilot.press("escape")
            assert wizard(app).step == "director"

    async def test_several_are_removed_after_one_question(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n")
            await pilot.press("space", "down", "space")
            assert "2 of 3 chosen" in seen(app)
            await pilot.press("d")
            assert "Remove 2 servers (web1, web3) from the deployment?" in seen(app)
            await pilot.press("right", "enter")
            assert [server.name for server in wizard_draft(app).servers] == ["web2"]
            assert "chosen" not in seen(app)

    async def test_several_are_tested_and_weighted_together(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n")
            await pilot.press("space", "space", "t")
            assert "2 of 3 chosen" in seen(app)
            await settled(pilot)
            assert seen(app).count("not tested") == 1
            await pilot.press("w", "7", "0", "0", "0", "0", "enter")
            assert "65535" in seen(app)
            await pilot.press("home", "shift+end", "delete", "7", "enter")
            assert [server.weight for server in wizard_draft(app).servers] == ["7", "7", "1"]
            await pilot.press("escape")
            assert "chosen" not in seen(app)
            assert wizard(app).step == "servers"
