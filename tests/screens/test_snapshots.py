"""Pictures of the result steps at both sizes, in colour, without, on a light theme, and in ASCII.

Made the same each time on purpose: clocks stand still, the live view shows a given picture, nothing blinks.
Made anew with `pytest --snapshot-update`, then looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from dsrwizard.core.api import Engine
from dsrwizard.core.model.changes import ServiceKey, ServiceState
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.snapshot import Snapshot
from screens.widgets.glyphs import terminal_is_ascii, use_ascii
from screens.widgets.rows import Rows
from tests.fakes.ipvs import Virtual
from tests.fakes.pictures import AT, healthy, picture, ten_thousand, two_faults, unproved
from tests.fakes.world import World
from tests.screens.conftest import SIZES
from tests.screens.driving import seen, settled, until

Compare = Callable[..., bool]
Make = Callable[..., DsrApp]
VIP = "10.0.0.10"


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clocks stand still, in UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr("screens.clock.now", lambda: AT + 0.4)
    monkeypatch.setattr("screens.clock.running", lambda: 100.0)
    monkeypatch.setattr("dsrwizard.engine.telling.time", SimpleNamespace(monotonic=lambda: 0.0))
    yield
    monkeypatch.undo()
    time.tzset()
    use_ascii(False)


class StillWatcher:
    """Shows one picture."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def start(self, show: Callable[[Snapshot], None]) -> None:
        show(self._snapshot)

    def pause(self, paused: bool) -> None: ...

    def set_interval(self, seconds: float) -> None: ...

    def close(self) -> None: ...


class StillEngine:
    """An engine for the live view alone."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def watch(
        self, deployment: Deployment, interval: float = 1.0, *, recorded: bool = True, read_only: bool = False
    ) -> StillWatcher:
        return StillWatcher(self._snapshot)

    def seat(self, deployment: str) -> str:
        return ""

    def close(self) -> None: ...


def live_app(snapshot: Snapshot, *, ascii_only: bool = False) -> DsrApp:
    def build(asker: object) -> Engine:
        return cast(Engine, StillEngine(snapshot))

    return DsrApp(build, deployment=World.lab().deployment(), start="live", ascii_only=ascii_only)


async def steps(pilot: Pilot[int], count: int) -> None:
    for _ in range(count):
        await settled(pilot)
        await pilot.press("ctrl+n")
    await settled(pilot)
    for _ in range(3):
        await pilot.pause()  # scrollbars are drawn a turn after what they belong to


async def unmoving(pilot: Pilot[int]) -> None:
    """Until the picture, scrollbars and all, stays as it is for a while."""
    before, same = "", 0
    while same < 6:
        await pilot.pause(0.05)
        now = pilot.app.export_screenshot()
        same = same + 1 if now == before else 0
        before = now


async def confirmed(pilot: Pilot[int]) -> None:
    await steps(pilot, 4)
    await pilot.press("right", "enter")
    await settled(pilot)


async def watched(pilot: Pilot[int]) -> None:
    await settled(pilot)
    await until(pilot, lambda: "web3" in seen(pilot.app))  # type: ignore[arg-type]
    await pilot.press("down", "down", "down")
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
def test_review(snap_compare: Compare, make_app: Make, world: World, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await steps(pilot, 3)
        await pilot.press("down", "down", "down", "down")

    world.servers["web3"].reachable = False
    assert snap_compare(make_app(deployment=world.deployment()), terminal_size=size, run_before=before)


def test_review_without_colour(
    snap_compare: Compare, make_app: Make, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await steps(pilot, 3)

    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(make_app(deployment=world.deployment()), terminal_size=(80, 24), run_before=before)


def test_step_in_full(snap_compare: Compare, make_app: Make, world: World) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await steps(pilot, 3)
        rows = pilot.app.screen.query_one("#review-rows", Rows)
        rows.put_cursor("step web1 vip 10.0.0.10")
        await pilot.press("enter")

    assert snap_compare(make_app(deployment=world.deployment()), terminal_size=(80, 24), run_before=before)


def test_confirmation_of_what_replaces_something(snap_compare: Compare, make_app: Make, world: World) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await steps(pilot, 4)

    world.ipvs.table[ServiceKey(VIP, "tcp", 80)] = Virtual(ServiceState("rr"))
    assert snap_compare(make_app(deployment=world.deployment()), terminal_size=(80, 24), run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_apply_with_a_failed_host(snap_compare: Compare, make_app: Make, world: World, size: tuple[int, int]) -> None:
    world.servers["web2"].fails["vip 10.0.0.10"] = "RTNETLINK answers: [Operation] not permitted"
    app = make_app(deployment=world.deployment())
    assert snap_compare(app, terminal_size=size, run_before=confirmed)


@pytest.mark.parametrize("size", SIZES)
def test_verify_with_a_fault(snap_compare: Compare, make_app: Make, world: World, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await confirmed(pilot)
        del world.servers["web2"].machine.links["lo"].addresses[VIP]
        await steps(pilot, 1)
        await unmoving(pilot)

    assert snap_compare(make_app(deployment=world.deployment()), terminal_size=size, run_before=before)


def test_mend(snap_compare: Compare, make_app: Make, world: World) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await confirmed(pilot)
        del world.servers["web2"].machine.links["lo"].addresses[VIP]
        await steps(pilot, 1)
        await pilot.press("m")
        await settled(pilot)
        for _ in range(3):
            await pilot.pause()

    assert snap_compare(make_app(deployment=world.deployment()), terminal_size=(80, 24), run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_live(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(live_app(picture()), terminal_size=size, run_before=watched)


@pytest.mark.parametrize("size", SIZES)
def test_live_of_a_healthy_farm(snap_compare: Compare, size: tuple[int, int]) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await watched(pilot)
        await pilot.press("home")
        await pilot.pause()

    assert snap_compare(live_app(healthy()), terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", SIZES)
def test_live_that_is_not_verified_yet(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(live_app(unproved()), terminal_size=size, run_before=watched)


@pytest.mark.parametrize("size", SIZES)
def test_live_with_two_faults(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(live_app(two_faults()), terminal_size=size, run_before=watched)


@pytest.mark.parametrize("size", SIZES)
def test_live_of_ten_thousand_rows(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(live_app(ten_thousand()), terminal_size=size, run_before=watched)


def test_live_of_ten_thousand_rows_but_only_what_is_not_up(snap_compare: Compare) -> None:
    async def before(pilot: Pilot[int]) -> None:
        await watched(pilot)
        await pilot.press("f", "end")
        await pilot.pause()

    assert snap_compare(live_app(ten_thousand()), terminal_size=(80, 24), run_before=before)


def test_live_with_old_numbers_and_no_colour(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    problem = "IPVS cannot be read. The kernel module ip_vs is not loaded."
    app = live_app(picture(problem=problem, read_at=AT - 12))
    assert snap_compare(app, terminal_size=(80, 24), run_before=watched)


def test_live_on_a_light_theme(snap_compare: Compare) -> None:
    async def before(pilot: Pilot[int]) -> None:
        pilot.app.theme = "textual-light"
        await watched(pilot)

    assert snap_compare(live_app(picture()), terminal_size=(120, 40), run_before=before)


def test_live_in_ascii(snap_compare: Compare) -> None:
    assert snap_compare(live_app(picture(), ascii_only=True), terminal_size=(80, 24), run_before=watched)


async def test_an_ascii_console_gets_nothing_else(make_app: Make, world: World) -> None:
    world.servers["web2"].fails["vip 10.0.0.10"] = "RTNETLINK answers: “Grüße”"
    app = make_app(deployment=world.deployment(), ascii_only=True)
    async with app.run_test(size=(80, 24)) as pilot:
        for keys in (
            ["ctrl+n"],
            ["ctrl+n"],
            ["e"],
            ["escape", "ctrl+n"],
            ["f1"],
            ["escape", "ctrl+n"],
            ["right", "enter"],
        ):
            await settled(pilot)
            assert seen(app).isascii(), seen(app)
            await pilot.press(*keys)
        await settled(pilot)
        assert "web2 x FAILED" in seen(app)
        assert seen(app).isascii(), seen(app)


@pytest.mark.parametrize(
    ("locale", "plain"),
    [
        ({"LANG": "C"}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),  # what Python itself makes of the line above
        ({"LC_ALL": "POSIX", "LANG": "de_DE.UTF-8"}, True),
        ({"LANG": "de_DE.UTF-8"}, False),
        ({"LC_ALL": "C.UTF-8", "LANG": "C"}, False),
        ({}, False),
    ],
)
def test_a_plain_locale_means_ascii(monkeypatch: pytest.MonkeyPatch, locale: dict[str, str], plain: bool) -> None:
    monkeypatch.setattr("sys.__stdout__", SimpleNamespace(encoding="utf-8"))
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in locale.items():
        monkeypatch.setenv(name, value)
    assert terminal_is_ascii() is plain
