"""What somebody sees within three seconds of opening the live view: the worst thing, since when, and what to do."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from dsrwizard.app import LAB_ENDS
from dsrwizard.core.model.guarding import UNGUARDED
from dsrwizard.core.model.snapshot import Happening, Snapshot
from screens.live.header import Looking, Tally, header_lines
from screens.live.order import arranged, worst
from screens.live.table import LiveTable
from tests.fakes.pictures import AT, destination, healthy, picture, service, two_faults
from tests.screens.conftest import SIZES
from tests.screens.driving import seen, until
from tests.screens.test_snapshots import live_app


def farm(*states: str) -> Snapshot:
    rows = tuple(
        destination(
            f"web{number}", state=state, cause="" if state == "up" else "vip-missing",  # type: ignore[arg-type]
            message="" if state == "up" else f"The VIP is not on web{number}.",
            fix="" if state == "up" else "Press m to mend it, or run: ip address add 10.0.0.10/32 dev lo",
        )
        for number, state in enumerate(states, 1)
    )  # fmt: skip
    return picture((service("10.0.0.10", rows),))


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screens.clock.now", lambda: AT + 0.4)


@pytest.mark.parametrize("size", [*SIZES, (60, 18)])
async def test_the_cursor_is_on_the_worst_row_and_cause_and_fix_are_in_sight(size: tuple[int, int]) -> None:
    app = live_app(farm("up", "up", "drifted", "vip-dead", "up"))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "3/5 up" in seen(app))
        assert app.screen.query_one(LiveTable).key == "10.0.0.10 tcp/80 web4"
        await until(pilot, lambda: "web4 does not answer for 10.0.0.10 · 4 min · m mend" in seen(app))
        text = seen(app)
        assert "Fix: Press m to mend it" in text
        assert size[0] < 80 or "vip-missing" in text


async def test_it_stays_where_the_operator_has_put_it() -> None:
    app = live_app(farm("up", "vip-dead"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "1/2 up" in seen(app))
        await pilot.press("end")
        table = app.screen.query_one(LiveTable)
        key = table.key
        table.show(farm("up", "up"))
        table.show(arranged(farm("leaking", "up"), "state"))
        assert table.key == key


async def test_faults_come_first_and_s_sorts_by_the_next_column_and_back() -> None:
    app = live_app(farm("up", "up", "vip-dead"))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "2/3 up" in seen(app))

        def names() -> list[str]:
            table = app.screen.query_one(LiveTable)
            return [key for key in (table.row_at(n).key.split()[-1] for n in range(table.row_count())) if "web" in key]

        assert names() == ["web3", "web1", "web2"]
        await pilot.press("s")
        assert names() == ["web1", "web2", "web3"]
        assert "by server" in seen(app)
        assert app.screen.query_one(LiveTable).key.endswith("web3"), "the cursor stays on its server"


def lines(snapshot: Snapshot, *, read_only: bool = False) -> str:
    heads = header_lines(None, snapshot, Tally.of(snapshot), Looking(read_only=read_only), 120)
    return "\n".join(line.plain for line in heads)


class TestHeader:
    @pytest.mark.parametrize(
        ("state", "words"),
        [
            ("unreachable", "web1 is unreachable · 4 min · x why"),
            ("leaking", "web1 answers ARP for 10.0.0.10 and takes its traffic · 4 min · m mend"),
            ("drifted", "web1 differs from the deployment · 4 min · m mend"),
        ],
    )
    def test_the_worst_thing_in_words(self, state: str, words: str) -> None:
        snapshot = farm(state, "up")
        snapshot = arranged(snapshot, "state")
        assert words in lines(snapshot)
        assert ("m mend" in lines(snapshot, read_only=True)) is False

    def test_a_server_that_answers_for_the_vip_is_the_worst_and_not_its_service(self) -> None:
        (one,) = farm("vip-dead", "leaking", "up").services
        snapshot = picture((msgspec.structs.replace(one, owner="web2"),))
        assert "web2 answers ARP for 10.0.0.10 and takes its traffic · 4 min · m mend" in lines(snapshot)
        stranger = picture((msgspec.structs.replace(one, owner="02:00:00:00:00:99"),))
        assert "VIP answered by 02:00:00:00:00:99" in lines(stranger)

    def test_a_farm_that_is_well_has_none(self) -> None:
        assert worst(healthy()) is None
        assert "mend" not in lines(healthy())

    def test_a_pass_from_before_a_server_died_is_called_so(self) -> None:
        snapshot = msgspec.structs.replace(farm("vip-dead", "up"), verdict="pass", proof_age=83.0)
        assert "last verify passed 83 s ago, before this" in lines(snapshot)
        assert "verify pass " not in lines(snapshot)

    def test_a_guard_that_is_missed_is_told_once(self) -> None:
        snapshot = msgspec.structs.replace(farm("up"), unseen=(UNGUARDED,))
        assert "1 unseen" in lines(snapshot), "no other line says so"


@pytest.mark.parametrize("size", SIZES)
async def test_a_look_that_failed_alone_is_told_with_its_moment_and_changes_no_state(size: tuple[int, int]) -> None:
    (one,) = healthy().services
    missed = msgspec.structs.replace(one.rows[0], missed="silence", missed_at=AT - 1.6)
    app = live_app(picture((msgspec.structs.replace(one, rows=(missed, *one.rows[1:])),)))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        await pilot.press("home", "down")
        when = time.strftime("%H:%M:%S", time.localtime(AT - 1.6))
        text = seen(app)
        assert f"Last look failed, {when} (2.0 s ago): silence." in text
        assert sum("missed" in line for line in text.splitlines()) == 1
        assert ("last look failed" in text) is (size[0] > 100)
        app.screen.query_one(LiveTable).show(healthy())
        await until(pilot, lambda: "ook failed" not in seen(app))


class TestSince:
    def test_what_a_watch_before_has_seen_is_so_since_then(self, tmp_path: Path) -> None:
        import threading

        from dsrwizard.core.model.answers import Probed
        from dsrwizard.core.model.snapshot import Round
        from dsrwizard.engine.timeline import Recorder, Timeline
        from dsrwizard.engine.watch.board import Board
        from tests.fakes.world import World

        deployment = World.lab().deployment()
        timeline = Timeline(tmp_path, "shop")
        place = {"vip": "10.0.0.10", "service": "tcp/80"}
        timeline.append(Happening(at=1000.0, host="web2", message="x", state="vip-dead", before="up", **place))
        timeline.append(Happening(at=1500.0, host="web2", message="x", state="vip-dead", before="vip-dead", **place))
        timeline.append(Happening(at=1200.0, host="web1", message="x", state="unreachable", before="up", **place))
        record = Recorder(timeline, lambda: 5000.0)
        board = Board(deployment, lambda: 5000.0, record, threading.Event())
        answers = {}
        for number in (1, 2, 3):
            answers["10.0.0.10", "tcp/80", f"web{number}"] = Probed(
                vip="10.0.0.10", port=80, protocol="tcp", rip=f"10.0.0.10{number}", mac=f"02:00:0a:00:00:6{number}",
                signature="silence" if number == 2 else "syn-ack",
            )  # fmt: skip
        board.probed(5000.0, answers, Round())
        board.refresh()
        since = {row.server: (row.state, row.since) for row in board.snapshot().services[0].rows}
        assert since["web2"] == ("vip-dead", 1000.0)
        assert since["web1"][1] == 5000.0, "it was in another state then"
        assert since["web3"][1] == 5000.0
        record.close()


@pytest.mark.parametrize(("keys", "words"), [(("q",), "The service keeps running"), (("ctrl+e", "ctrl+q"), "is saved")])
async def test_quitting_says_how_to_come_back(
    keys: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    app = live_app(healthy())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        await pilot.press(*keys)
    said = " ".join(capsys.readouterr().err.split())
    assert words in said
    assert "run the same command again" in said


async def test_a_lab_that_ends_with_the_wizard_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(LAB_ENDS, "yes")
    app = live_app(healthy())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        await pilot.press("q")
    assert "The lab has ended" in (said := " ".join(capsys.readouterr().err.split()))
    assert "keeps running" not in said


async def test_events_are_as_wide_as_the_terminal_is_now() -> None:
    words = " ".join(f"word{number}" for number in range(16))
    snapshot = msgspec.structs.replace(two_faults(), happenings=(Happening(at=AT, host="web1", message=words),))
    app = live_app(snapshot)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "word0" in seen(app))
        assert words not in seen(app)
        await pilot.resize_terminal(170, 40)
        await until(pilot, lambda: words in seen(app))
        assert seen(app).count("word0 ") == 1
