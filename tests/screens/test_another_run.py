"""Another run has the right to change hosts: every screen that changes something says who, and a key tries again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from dsrwizard.app import DsrApp
from dsrwizard.engine.locks import Locks
from screens.questions.busy import TITLE
from screens.questions.confirm import ConfirmModal
from screens.questions.modals import Question
from screens.runs.teardown import TeardownScreen
from tests.fakes.world import World
from tests.screens.driving import seen, settled, told, until
from tests.screens.test_live_actions import comes, shop, up, weight

__all__ = ["shop"]
Make = Callable[..., DsrApp]


@contextmanager
def another(tmp_path: Path, verb: str = "apply") -> Iterator[None]:
    with Locks(tmp_path / "journals").hold(verb, "shop"):
        yield


async def refused(pilot: Pilot[int]) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, Question))
    await comes(pilot, TITLE)
    text = seen(pilot.app)  # type: ignore[arg-type]
    assert TITLE in text
    assert "apply of shop has been running since" in text
    assert "pid" in text


async def test_a_drain_waits_for_the_run_and_a_key_tries_again(make_app: Make, shop: World, tmp_path: Path) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await up(pilot)
        with another(tmp_path):
            await pilot.press("d", "right", "enter")
            await refused(pilot)
            await pilot.press("enter")
            await refused(pilot)
            assert weight(shop, "10.0.0.101") == 1
        await pilot.press("enter")
        await until(pilot, lambda: weight(shop, "10.0.0.101") == 0)


async def test_a_teardown_is_not_begun_beside_another_run(make_app: Make, shop: World, tmp_path: Path) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await up(pilot)
        await pilot.press("X")
        await comes(pilot, "To undo")
        with another(tmp_path):
            await pilot.press("ctrl+n")
            await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
            app.screen.query_one(Input).value = "10.0.0.10"
            await pilot.click("#confirm-apply")
            await refused(pilot)
            assert set(shop.requests(3)) == {"web1", "web2", "web3"}
            await pilot.press("escape")
            await pilot.pause()
            assert isinstance(app.screen, TeardownScreen)
            assert "Nothing has been changed yet" in seen(app), "the plan is shown again"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        app.screen.query_one(Input).value = "10.0.0.10"
        await pilot.click("#confirm-apply")
        await comes(pilot, "Nothing of the deployment is left")
        assert shop.requests(1) == [""]


async def test_a_teardown_whose_plan_has_changed_is_shown_anew(make_app: Make, shop: World) -> None:
    """Somebody has set another weight between the look and the answer."""
    from dsrwizard.core.model.changes import ServiceKey

    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await up(pilot)
        await pilot.press("X")
        await comes(pilot, "To undo")
        entry = shop.ipvs.table[ServiceKey("10.0.0.10", "tcp", 80)].entry("10.0.0.101", 80)
        assert entry is not None
        entry.state = msgspec.structs.replace(entry.state, weight=7)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        app.screen.query_one(Input).value = "10.0.0.10"
        await pilot.click("#confirm-apply")
        await until(pilot, lambda: "hosts have changed" in told(app))
        assert "Nothing has been changed yet" in seen(app)
        assert "weight 7 → 0" in seen(app)
        assert set(shop.requests(6)) == {"web1", "web2", "web3"}


async def test_the_wizards_apply_is_refused_and_goes_on_with_a_key(make_app: Make, lab: World, tmp_path: Path) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        for _ in range(3):
            await pilot.press("ctrl+n")
            await settled(pilot)
        await comes(pilot, "Nothing is changed until you confirm")
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, ConfirmModal))
        with another(tmp_path):
            await pilot.click("#confirm-apply")
            await refused(pilot)
            assert lab.done == []
        await pilot.press("enter")
        await comes(pilot, "Done: all 4 hosts")
        assert set(lab.requests(3)) == {"web1", "web2", "web3"}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The dialog does not wait for a name that is written already."""
    monkeypatch.setattr("dsrwizard.engine.locks._SETTLE_SECONDS", 0.0)
