"""The live view: over the real poller and a farm in memory, and over pictures given to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.errors import CommandFailed
from dsrwizard.core.model.history import METRICS, Metric
from dsrwizard.core.model.snapshot import Rates, Snapshot
from screens.live.cells import SHARES, layout, percent, scaled, server_parts, service_parts, share, titles
from screens.live.header import Looking, Tally, header_lines
from screens.live.table import LiveTable
from screens.live.view import LiveView
from screens.questions.modals import HelpModal, Question
from screens.widgets.check_detail import Detail
from screens.widgets.glyphs import use_ascii
from screens.widgets.numbers import age, short, trend
from screens.widgets.rows import ListRow
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.pictures import destination, healthy, picture, service, unproved
from tests.fakes.world import World
from tests.screens.conftest import SIZES
from tests.screens.driving import seen, settled

Make = Callable[..., DsrApp]
KEY = ServiceKey("10.0.0.10", "tcp", 80)


@pytest.fixture
def shop(world: World, tmp_path: Path) -> World:
    """The farm with its deployment in force."""
    engine = engine_of(world, Nobody(), tmp_path / "journals")
    deployment = world.deployment()
    result = engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)
    assert result.ok
    return world


@pytest.fixture(autouse=True)
def unicode_again() -> Iterator[None]:
    yield
    use_ascii(False)


async def until(pilot: Pilot[int], condition: Callable[[], bool], what: str) -> None:
    """Waits for something the poller's threads bring about, a minute at most."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if condition():
            return
        await asyncio.sleep(0.02)
        await pilot.pause()
    raise AssertionError(f"never came: {what}\n{seen(pilot.app)}")  # type: ignore[arg-type]


async def comes(pilot: Pilot[int], text: str) -> None:
    await until(pilot, lambda: text in seen(pilot.app), text)  # type: ignore[arg-type]


def weight(world: World, rip: str) -> int:
    entry = world.ipvs.table[KEY].entry(rip, 80)
    assert entry is not None
    return entry.state.weight


class TestWatching:
    async def test_a_detail_read_further_down_stays_there_while_its_figures_change(
        self, make_app: Make, shop: World
    ) -> None:
        del shop.servers["web2"].machine.links["lo"].addresses["10.0.0.10"]
        async with make_app(deployment=shop.deployment(), start="live").run_test(size=(80, 24)) as pilot:
            await comes(pilot, "is not on")
            await pilot.press("home", "down", "down")
            detail = pilot.app.screen.query_one("#live-detail", Detail)
            detail.focus()
            await pilot.press("end")
            await until(pilot, lambda: detail.scroll_offset.y > 0, "a detail that is longer than its box")
            text = detail.text
            await until(pilot, lambda: detail.text != text, "other figures")
            await pilot.pause()
            assert detail.scroll_offset.y > 0
            pilot.app.screen.query_one("#live-table").focus()
            await pilot.press("up")
            assert detail.scroll_offset.y == 0

    @pytest.mark.parametrize("size", SIZES)
    async def test_it_shows_every_server_and_counts(self, make_app: Make, shop: World, size: tuple[int, int]) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=size) as pilot:
            await comes(pilot, "3/3 up")
            assert "replies direct" in seen(app)
            shop.requests(30)
            await comes(pilot, "0/10")
            assert "0.8ms" in seen(app)
            assert "silent" in seen(app)

    async def test_drain_and_restore_by_keys(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "3/3 up")
            await pilot.press("down", "d", "right", "enter")
            await comes(pilot, "▼ draining")
            assert weight(shop, "10.0.0.101") == 0
            assert "web1" not in shop.requests(6)
            await comes(pilot, "up → draining")
            await pilot.press("u", "right", "enter")
            await comes(pilot, "3/3 up")
            assert weight(shop, "10.0.0.101") == 1

    async def test_the_last_server_is_not_drained_without_asking(self, make_app: Make, shop: World) -> None:
        for rip in ("10.0.0.102", "10.0.0.103"):
            shop.ipvs.set_weight(KEY, rip, 80, 0)
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "1/3 up")
            table = app.screen.query_one(LiveTable)
            table.untouched = False
            table.put_cursor("10.0.0.10 tcp/80 web1")
            await pilot.press("d")
            assert isinstance(app.screen, Question)
            await pilot.press("enter")
            await settled(pilot)
            assert weight(shop, "10.0.0.101") == 1, "the focus is on Cancel"

    async def test_a_dead_server_turns_and_the_log_tells(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(120, 40)) as pilot:
            await comes(pilot, "3/3 up")
            shop.servers["web3"].reachable = False
            await comes(pilot, "unreachable")
            await comes(pilot, "web3: 10.0.0.10 tcp/80: up → unreachable")

    async def test_a_failed_poll_keeps_old_numbers_and_keys(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "3/3 up")
            shop.ipvs_problem = "The kernel module ip_vs is not loaded."
            await comes(pilot, "Old numbers")
            assert "module ip_vs is not loaded" in " ".join(seen(app).split())
            assert "3/3 up" in seen(app), "what was read last stays"
            table = app.screen.query_one(LiveTable)
            assert {name for _, name in table.row_at(1).parts} == {"old"}
            await pilot.press("down", "down")
            assert table.key.endswith("web2")

    async def test_a_poll_that_hangs_delays_no_key(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "3/3 up")
            shop.hold("dump")
            await until(pilot, lambda: shop.held("dump", 0), "a poll that hangs")
            await pilot.press("down", "down", "down")
            assert app.screen.query_one(LiveTable).key.endswith("web3")
            await pilot.press("f1")
            assert isinstance(app.screen, HelpModal)
            shop.release("dump")

    async def test_pause_stops_polling(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "3/3 up")
            await pilot.press("P")
            assert "PAUSED" in seen(app)
            await pilot.press("minus")
            assert "every 0.5 s" in seen(app)
            await settled(pilot)
            dumps = shop.dumps
            await asyncio.sleep(0.7)
            assert shop.dumps <= dumps + 1, "at most the poll under way"
            await pilot.press("P")
            await until(pilot, lambda: shop.dumps > dumps + 1, "polling again")

    async def test_verify_from_here(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment(), start="live")
        async with app.run_test(size=(80, 24)) as pilot:
            await comes(pilot, "3/3 up")
            await pilot.press("v")
            await comes(pilot, "Everything works")

    async def test_the_wizards_last_step_is_the_same_view(self, make_app: Make, shop: World) -> None:
        app = make_app(deployment=shop.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            for _ in range(6):
                await settled(pilot)
                await pilot.press("ctrl+n")
            await comes(pilot, "3/3 up")
            assert isinstance(app.focused, LiveTable)


class Bare(App[None]):
    """A view alone, fed by the test."""

    def compose(self) -> ComposeResult:
        yield LiveView(self._none, id="view")

    @staticmethod
    def _none() -> NoReturn:
        raise CommandFailed("no engine here")

    def feed(self, snapshot: Snapshot) -> None:
        view = self.query_one(LiveView)
        view.post_message(LiveView.Polled(snapshot, view._turn))


class TestDrawing:
    async def test_ten_thousand_rows_draw_only_what_is_seen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        many = picture(tuple(
            service(f"10.1.{number}.1", tuple(destination(f"web{k}", vip=f"10.1.{number}.1") for k in range(100)))
            for number in range(100)
        ))  # fmt: skip
        app = Bare()
        asked: list[int] = []
        real = LiveTable.row_at

        def counted(table: LiveTable, index: int) -> ListRow:
            asked.append(index)
            return real(table, index)

        monkeypatch.setattr(LiveTable, "row_at", counted)
        async with app.run_test(size=(120, 40)) as pilot:
            app.feed(many)
            await pilot.pause()
            table = app.query_one(LiveTable)
            table.focus()
            assert table.row_count() == 10_100
            asked.clear()
            await pilot.press("end")
            await pilot.pause()
            assert table.key == "10.1.99.1 tcp/80 web99"
            assert len(asked) < 500
            asked.clear()
            app.feed(many)
            await pilot.pause()
            assert len(asked) < 500, "a poll draws a screenful"
            assert table.key == "10.1.99.1 tcp/80 web99", "the cursor stays"

    async def test_nothing_is_drawn_under_a_modal(self) -> None:
        app = Bare()
        async with app.run_test(size=(80, 24)) as pilot:
            app.feed(picture())
            await pilot.pause()
            table = app.query_one(LiveTable)
            first = table.snapshot
            await app.push_screen(HelpModal("Help", "text"))
            app.feed(picture((service("10.0.0.10", (destination("web1", state="vip-dead"),)),)))
            await pilot.pause()
            assert table.snapshot is first
            await pilot.press("escape")
            await until(pilot, lambda: table.snapshot is not first, "the fresh picture")  # type: ignore[arg-type]

    async def test_replies_through_the_director_are_no_small_thing(self) -> None:
        app = Bare()
        async with app.run_test(size=(80, 24)) as pilot:
            app.feed(picture((service("10.0.0.10", (destination("web1"),), out_packets=1234),)))
            await pilot.pause()
            text = app.query_one(LiveTable).row_at(0).text
        assert "1234 replies came through the director" in text
        assert "direct" not in text.replace("director", "")

    async def test_an_ascii_console_gets_ascii(self) -> None:
        use_ascii(True)
        app = Bare()
        async with app.run_test(size=(80, 24)) as pilot:
            app.feed(picture((service("10.0.0.10", (destination("web1"), destination("web2", state="leaking"))),)))
            await pilot.pause()
            table = app.query_one(LiveTable)
            for text in table.texts():
                assert text.isascii(), text

    def test_a_row_fits_its_titles_at_every_width(self) -> None:
        row = destination("a-server-with-a-long-name", active=123456, inactive=7_654_321)
        for width in (*range(70, 130), 200):
            text = "".join(part for part, _ in server_parts(row, layout(width), (1.0, 12_345.0)))
            assert len(text) + 2 <= width
            assert len(titles(width)) == len(text) + 2
            for metric in METRICS:
                assert "…" not in titles(width, metric), "every title is read whole"
                assert (f" {SHARES[metric]} " in titles(width, metric)) is (width >= 75)

    @pytest.mark.parametrize(("metric", "parts"), [("connections", (75, 25, 0)), ("bytes", (50, 25, 25))])
    def test_each_servers_share_is_of_its_service(self, metric: Metric, parts: tuple[int, ...]) -> None:
        rates = [
            Rates(connections=c, in_packets=1.0, in_bytes=b) for c, b in ((6.0, 200.0), (2.0, 100.0), (0.0, 100.0))
        ]
        rows = tuple(
            msgspec.structs.replace(destination(f"web{number}"), rates=one) for number, one in enumerate(rates, 1)
        )
        whole = msgspec.structs.replace(
            service("10.0.0.10", rows), rates=Rates(connections=8.0, in_packets=3.0, in_bytes=400.0)
        )
        shares = [share(row, whole, metric) for row in rows]
        assert [percent(one) for one in shares] == [f"{part}%" for part in parts]
        text = "".join(part for part, _ in server_parts(rows[0], layout(75), (), shares[0]))
        assert f" {parts[0]}% " in text

    def test_nothing_that_flows_has_no_share(self) -> None:
        idle = msgspec.structs.replace(service("10.0.0.10", (destination("web1"),)), rates=Rates(connections=0.0))
        assert [share(idle.rows[0], idle, one) for one in METRICS] == [None, None, None]

    @pytest.mark.parametrize(
        ("line", "width", "text"),
        [
            ((1.0, 4.0, 8.0), 9, "  ▂▅█ 8"), ((), 9, ""), ((8.0, 1.0, 2.0), 4, "█▂▃"),
            ((12_345.0,) * 20, 9, "█████ 12k"), ((0.0, 0.0), 9, "▁▁ 0"), ((100.0, *(1.0,) * 7), 9, "███████ 1"),
        ],
    )  # fmt: skip
    def test_a_trend_says_what_its_full_bar_is(self, line: tuple[float, ...], width: int, text: str) -> None:
        assert scaled(line, width).strip() == text.strip()
        assert len(scaled(line, width)) == width

    @pytest.mark.parametrize(
        ("width", "words"),
        [(75, "replies direct, 0 B"), (117, "replies direct: 0 B seen"), (160, "replies direct: the director saw 0 B")],
    )  # fmt: skip
    def test_what_the_director_sees_of_replies_is_a_figure(self, width: int, words: str) -> None:
        text = "".join(part for part, _ in service_parts(service("10.0.0.10", (destination("web1"),)), width))
        assert text.endswith(words)
        assert len(text) + 2 <= width

    def test_the_header_tells_how_old_the_numbers_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("screens.clock.now", lambda: 1_000_100.0)
        snapshot = picture(problem="IPVS cannot be read.")
        lines = header_lines(World.lab().deployment(), snapshot, Tally.of(snapshot), Looking(), 80)
        assert "web3 does not answer for 10.0.0.10 · 6 min" in lines[1].plain
        assert "counters 100 s" in lines[2].plain
        assert "Old numbers, 100 s: IPVS cannot be read." in lines[4].plain

    @pytest.mark.parametrize("width", [80, 120])
    def test_no_count_is_green_before_a_verification_has_ended(self, width: int) -> None:
        said = {}
        for snapshot in (unproved(), healthy()):
            first = header_lines(World.lab().deployment(), snapshot, Tally.of(snapshot), Looking(), width)[0]
            style = next(str(span.style) for span in first.spans if first.plain[span.start : span.end] == "3/3 up")
            said[snapshot.verdict] = ("not verified yet" in first.plain, "success" in style)
        assert said == {"": (True, False), "pass": (False, True)}


class TestNumbers:
    @pytest.mark.parametrize(
        ("number", "text"),
        [(None, "—"), (0, "0"), (0.25, "0.2"), (9.96, "10"), (9999, "9999"), (10_000, "10.0k"), (1_234_567, "1.2M"),
         (999_950_000, "1.0G"), (123_456_789, "123M")],
    )  # fmt: skip
    def test_short(self, number: float | None, text: str) -> None:
        assert short(number) == text

    @pytest.mark.parametrize("number", [0, 3.14159, 9.949, 99.95, 9999.4, 10**5, 10**8, 999_949_999, 10**12])
    def test_short_never_needs_more_than_five_cells(self, number: float) -> None:
        assert len(short(number)) <= 5

    @pytest.mark.parametrize(
        ("seconds", "text"), [(0.04, "0.0 s"), (12, "12 s"), (180, "3 min"), (7200, "2 h"), (432_000, "5 d")]
    )
    def test_age(self, seconds: float, text: str) -> None:
        assert age(seconds) == text

    def test_a_trend_is_scaled_to_its_highest_and_never_hides_a_little(self) -> None:
        assert trend((0, 1, 100), 4) == " ▁▂█"
        assert trend((), 3) == "   "
        assert trend((5,) * 10, 4) == "████"


async def test_the_deployment_in_force_is_edited_from_its_live_pane(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await comes(pilot, "3/3 up")
        await pilot.press("ctrl+e")
        await settled(pilot)
        assert "VIP and services" in seen(app)
        assert "10.0.0.10" in seen(app)
        dumps = shop.dumps
        await asyncio.sleep(1.5)
        assert shop.dumps <= dumps + 1, "nobody watches the pane that was left"
