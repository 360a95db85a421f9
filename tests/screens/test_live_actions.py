"""What an operator does from the live pane, by keys: over the real engine and a farm in memory, and given pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from dsrwizard.app import DsrApp
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.snapshot import Snapshot
from screens.live.table import LiveTable
from screens.live.timeline import TimelineScreen
from screens.live.view import CHANGING, LiveView
from screens.live.weight import WeightModal
from screens.questions.confirm import ConfirmModal
from screens.questions.modals import HelpModal, Question
from screens.wizard.reapply import ReapplyScreen
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.pictures import destination, healthy, picture, service, ten_thousand, two_faults
from tests.fakes.world import World
from tests.screens.driving import seen, settled, told, until
from tests.screens.test_snapshots import live_app

Make = Callable[..., DsrApp]
KEY = ServiceKey("10.0.0.10", "tcp", 80)


@pytest.fixture
def shop(world: World, tmp_path: Path) -> World:
    """The farm with its deployment in force."""
    engine = engine_of(world, Nobody(), tmp_path / "journals")
    deployment = world.deployment()
    assert engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None).ok
    return world


async def comes(pilot: Pilot[int], text: str) -> None:
    await until(pilot, lambda: text in seen(pilot.app))  # type: ignore[arg-type]


async def up(pilot: Pilot[int]) -> None:
    """Until the farm is seen to be well, and then on web1."""
    await comes(pilot, "3/3 up")
    await pilot.press("home", "down")
    await pilot.pause()


def on(app: DsrApp, server: str) -> None:
    """Puts the cursor on this server; the rows are sorted, the worst first."""
    table = app.screen.query_one(LiveTable)
    table.untouched = False
    table.put_cursor(f"10.0.0.10 tcp/80 {server}")


def weight(world: World, rip: str) -> int:
    entry = world.ipvs.table[KEY].entry(rip, 80)
    assert entry is not None
    return entry.state.weight


class TestWeight:
    async def test_a_weight_is_checked_as_it_is_typed_and_set(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(120, 40)) as pilot:
            await up(pilot)
            await pilot.press("w")
            assert isinstance(app.screen, WeightModal)
            assert "Now 1; the deployment says 1." in seen(app)
            await pilot.press(*"65536")
            assert "65535" in seen(app)
            await pilot.press("enter")
            assert isinstance(app.screen, WeightModal), "what is no weight is not taken"
            await pilot.press("home", "shift+end", "delete", "5", "0")
            assert "in proportion" in seen(app)
            await pilot.press("enter")
            assert "web1 gets 96 % of the new clients of 10.0.0.10 tcp/80 (now 33 %)." in seen(app)
            assert weight(shop, "10.0.0.101") == 1, "it asks first"
            await pilot.press("right", "enter")
            await until(pilot, lambda: weight(shop, "10.0.0.101") == 50)
            await until(pilot, lambda: "web1 set to weight 50" in told(app))
            await comes(pilot, "Weight: 50; the deployment says 1")

    async def test_escape_and_the_present_weight_change_nothing(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            await pilot.press("w", "9", "escape")
            await pilot.press("w", "enter")
            await settled(pilot)
            assert app.screen.query(LiveView)
            assert weight(shop, "10.0.0.101") == 1
            assert "weight" not in told(app)

    async def test_a_weight_for_one_of_two_services(self, make_app: Make, shop: World, tmp_path: Path) -> None:
        vip = shop.deployment().vips[0]
        more = msgspec.structs.replace(
            vip, services=(*vip.services, msgspec.structs.replace(vip.services[0], port=443))
        )
        deployment = msgspec.structs.replace(shop.deployment(), vips=(more,))
        engine = engine_of(shop, Nobody(), tmp_path / "journals")
        engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)
        app = make_app(deployment=deployment, start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "10.0.0.10 tcp/443")
            on(app, "web1")
            await pilot.press("w", "7", "tab", "space", "shift+tab")
            await pilot.press("enter", "right", "enter")
            await until(pilot, lambda: weight(shop, "10.0.0.101") == 7)
            await until(pilot, lambda: "web1 set to weight 7 in 10.0.0.10 tcp/80" in told(app))
            other = shop.ipvs.table[ServiceKey("10.0.0.10", "tcp", 443)].entry("10.0.0.101", 443)
            assert other is not None
            assert other.state.weight != 7

    async def test_the_last_server_gets_no_weight_0_without_asking(self, make_app: Make, shop: World) -> None:
        for rip in ("10.0.0.102", "10.0.0.103"):
            shop.ipvs.set_weight(KEY, rip, 80, 0)
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "1/3 up")
            on(app, "web1")
            await pilot.press("w", "0", "enter")
            await pilot.pause()
            assert isinstance(app.screen, Question)
            assert "web1 is the only healthy server of 3 for 10.0.0.10 tcp/80." in seen(app)
            await pilot.press("enter")
            await settled(pilot)
            assert weight(shop, "10.0.0.101") == 1, "the focus is on Cancel"


class TestApplyAgain:
    async def test_what_differs_is_shown_asked_for_and_applied(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            addresses = shop.servers["web2"].machine.links["lo"].addresses
            del addresses["10.0.0.10"]
            await pilot.press("a")
            await settled(pilot)
            assert isinstance(app.screen, ReapplyScreen)
            assert "Nothing is changed until you confirm" in seen(app)
            assert "web2" in seen(app)
            await pilot.press("ctrl+n")
            await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
            await pilot.press("enter")
            await settled(pilot)
            assert "10.0.0.10" not in addresses, "the focus is on Cancel"
            await pilot.press("ctrl+n", "right", "enter")
            await settled(pilot)
            assert "10.0.0.10" in addresses
            assert "Done: all" in seen(app)
            await pilot.press("ctrl+n")
            await comes(pilot, "3/3 up")

    async def test_a_farm_as_it_should_be_has_nothing_to_apply(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            done = len(shop.done)
            await pilot.press("a")
            await settled(pilot)
            assert "Nothing to do, 4 hosts unchanged." in seen(app)
            await pilot.press("ctrl+n")
            await comes(pilot, "3/3 up")
            assert len(shop.done) == done

    async def test_a_host_that_fails_is_named_and_the_way_back_is_open(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            del shop.servers["web2"].machine.links["lo"].addresses["10.0.0.10"]
            shop.servers["web2"].fails["vip 10.0.0.10"] = "RTNETLINK answers: Operation not permitted"
            await pilot.press("a")
            await settled(pilot)
            await pilot.press("ctrl+n", "right", "enter")
            await settled(pilot)
            assert "hosts done; failed: web2" in seen(app)
            assert "Operation not permitted" in seen(app)
            await pilot.press("escape")
            await comes(pilot, "2/3 up")


class TestTimeline:
    async def test_events_of_the_watch_and_of_the_operator_one_host_and_back(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(120, 40)) as pilot:
            await up(pilot)
            await pilot.press("d", "right", "enter")
            await comes(pilot, "up → draining")
            await pilot.press("l")
            await settled(pilot)
            assert isinstance(app.screen, TimelineScreen)
            text = seen(app)
            assert "Weight 1 → 0 for web1" in text
            assert "up → draining" in text
            await pilot.press("f")
            assert "of web1; f shows every host" in seen(app)
            await pilot.press("enter")
            assert isinstance(app.screen, HelpModal)
            await pilot.press("escape", "escape")
            await comes(pilot, "2/3 up")

    async def test_a_timeline_that_cannot_be_read_says_so_and_shows_what_is_known(
        self, make_app: Make, shop: World, tmp_path: Path
    ) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            await pilot.press("d", "right", "enter")
            await comes(pilot, "up → draining")
            journal = next((tmp_path / "journals").glob("*"))
            journal.unlink()
            journal.mkdir()
            await pilot.press("l")
            await settled(pilot)
            assert "✗" in seen(app)
            assert "Weight 1 → 0 for web1" in seen(app)


class TestIncident:
    async def test_it_is_written_where_the_operator_says(self, state: Path, tmp_path: Path) -> None:
        app = live_app(two_faults())
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "1/3 up")
            await pilot.press("e")
            assert str(state / "incidents") in app.screen.query_one(Input).value
            path = tmp_path / "ticket.txt"
            app.screen.query_one(Input).value = str(path)
            await pilot.press("enter")
            await settled(pilot)
            text = path.read_text()
            assert "service-down" in text
            assert "arp-leak" in text
            assert f"Written to {path}" in told(app)

    async def test_a_path_that_cannot_be_written_is_told(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        app = live_app(two_faults())
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "1/3 up")
            await pilot.press("e")
            app.screen.query_one(Input).value = str(tmp_path / "file" / "ticket.txt")
            await pilot.press("enter")
            await settled(pilot)
            assert "could not be saved" in told(app)


class TestMending:
    async def test_a_server_that_is_up_needs_none(self) -> None:
        app = live_app(healthy())
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            await pilot.press("m")
            await pilot.pause()
            assert "nothing to mend" in told(app)
            assert app.screen.query(LiveView)


class TestReadOnly:
    async def test_no_key_changes_anything_and_none_is_offered(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live", read_only=True)
        async with app.run_test(size=(120, 40)) as pilot:
            await up(pilot)
            text = seen(app)
            assert "read-only" in text
            for word in ("Drain", "Restore", "Weight…", "Mend…", "Re-apply…", "Edit deployment"):
                assert word not in text.splitlines()[-2] + text.splitlines()[-1], word
            assert "Verify" in text
            done, screen = len(shop.done), app.screen
            for key in ("d", "u", "w", "m", "a", "X", "ctrl+e"):
                await pilot.press(key)
                await settled(pilot)
                assert app.screen is screen, key
            assert len(shop.done) == done
            assert weight(shop, "10.0.0.101") == 1
            commands = {command.title for command in app.get_system_commands(app.screen)}
            assert "live: Verify" in commands
            assert not any(word in title for title in commands for word in ("Drain", "Weight", "Mend", "apply", "Tear"))

    async def test_every_changing_action_has_a_key_otherwise(self) -> None:
        app = live_app(two_faults())
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "1/3 up")
            offered = {
                binding.action for _, binding, enabled, _ in app.screen.active_bindings.values() if enabled
            }  # fmt: skip
            assert offered >= CHANGING


class TestNarrowing:
    async def test_only_what_is_not_up_and_everything_again(self) -> None:
        app = live_app(two_faults())
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "1/3 up")
            on(app, "web2")
            await pilot.press("f")
            assert names(app) == ["", "web2", "web3"]
            assert app.screen.query_one(LiveTable).key.endswith("web2"), "the cursor stays on its server"
            assert "Only what is not up: 2 of 3" in seen(app)
            await pilot.press("f")
            assert names(app) == ["", "web2", "web3", "web1"], "the worst first"

    async def test_a_healthy_farm_has_nothing_that_is_not_up(self) -> None:
        app = live_app(healthy())
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            await pilot.press("f")
            assert "Every real server is up." in seen(app)
            await pilot.press("enter", "d", "down", "up", "end")
            assert "Select a real server first" in told(app)
            await pilot.press("f")
            assert "web2" in seen(app)

    async def test_a_service_that_is_wrong_as_a_whole_is_not_hidden(self) -> None:
        stolen = msgspec.structs.replace(service("10.0.0.11", (destination("web1", vip="10.0.0.11"),)), owner="02:aa")
        app = live_app(picture((service("10.0.0.10", (destination("web1"),)), stolen)))
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "2/2 up")
            await pilot.press("f")
            assert "VIP answered by 02:aa" in seen(app)
            assert [row.split()[0] for row in app.screen.query_one(LiveTable).texts()] == ["10.0.0.11"]

    async def test_words_are_looked_for_in_ten_thousand_rows_as_they_are_typed(self) -> None:
        app = live_app(ten_thousand())
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "9,990/10,000 up")
            await pilot.press("slash", *"10.1.20.1")
            await pilot.press("space", *"DRIFT")
            assert names(app) == ["", "web20"]
            await pilot.press("enter", "down")
            assert app.screen.query_one(LiveTable).key == "10.1.20.1 tcp/80 web20"
            await pilot.press("escape")
            assert app.screen.query_one(LiveTable).row_count() == 10_100
            assert app.screen.query_one(LiveTable).key == "10.1.20.1 tcp/80 web20"
            assert "web20" in seen(app), "the row under the cursor is in sight"

    async def test_letters_are_no_keys_while_words_are_typed(self) -> None:
        app = live_app(healthy())
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            await pilot.press("slash", *"dqX")
            assert app.screen.query_one("#live-find", Input).value == "dqX"
            assert "No real server matches." in seen(app)
            assert "Drain" not in seen(app)
            await pilot.press("escape")
            assert names(app) == ["", "web1", "web2", "web3"]

    async def test_a_server_that_comes_up_leaves_the_list_and_one_that_falls_comes(
        self, make_app: Make, shop: World
    ) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await up(pilot)
            await pilot.press("f")
            shop.servers["web3"].reachable = False
            await until(pilot, lambda: names(app) == ["", "web3"])
            shop.servers["web3"].reachable = True
            await until(pilot, lambda: "Every real server is up." in seen(app))


def names(app: DsrApp) -> list[str]:
    """The servers of the rows that are shown; a service's line has none."""
    table = app.screen.query_one(LiveTable)
    return ["".join(table.row_at(index).key.split(" ")[2:]) for index in range(table.row_count())]


class TestShowing:
    async def test_the_trend_column_takes_the_next_metric(self) -> None:
        app = live_app(healthy())
        async with app.run_test(size=(160, 40)) as pilot:
            await up(pilot)
            assert "trend new/s" in seen(app)
            await pilot.press("t")
            assert "trend pkt/s" in seen(app)
            await pilot.press("t", "t")
            assert "trend new/s" in seen(app)

    async def test_what_is_unseen_is_counted_and_told_in_full(self) -> None:
        app = live_app(two_faults())
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "1 unseen (i)")
            await pilot.press("i")
            assert "Press v to log in once" in seen(app)

    async def test_a_server_and_a_service_in_full(self) -> None:
        app = live_app(healthy())
        async with app.run_test(size=(120, 40)) as pilot:
            await up(pilot)
            text = seen(app)
            assert "min/median/max 0.5/0.8/2.1 ms, 1 of 60 lost in the last minute" in text
            assert "27,000 connections, 162,000 packets, 13.0 MB" in text
            await pilot.press("home")
            await comes(pilot, "VIP answered by: this director only")
            text = seen(app)
            assert "the director saw none" in text
            assert "412 reply bytes per request byte (client, " in text
            await pilot.press("enter")
            await comes(pilot, "esc Close")
            assert "412 reply bytes per request byte" in seen(app)

    async def test_a_fault_in_full_says_since_when_what_and_how_to_mend_it(self) -> None:
        app = live_app(two_faults())
        async with app.run_test(size=(120, 40)) as pilot:
            await comes(pilot, "1/3 up")
            on(app, "web2")
            await pilot.press("down", "up")
            text = seen(app)
            assert "LEAKING since 1970-01-12" in text
            assert "arp-leak: the real server answers ARP for the VIP" in text
            assert "Fix: Press m to mend it" in text

    async def test_before_the_first_reading_it_says_so(self) -> None:
        app = live_app(Snapshot(deployment="shop", at=0.0))
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "Reading…")
            assert "Old numbers" not in seen(app)

    async def test_a_first_look_that_fails_has_no_old_numbers(self) -> None:
        app = live_app(Snapshot(deployment="shop", at=0.0, problem="IPVS cannot be read."))
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "No numbers yet: IPVS cannot be read.")
            assert "Old numbers" not in seen(app)
