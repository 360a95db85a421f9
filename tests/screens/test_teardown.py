"""The teardown from the live pane: shown first, confirmed by typing the VIP, carried out, and back to the wizard."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.session import deployments_dir
from screens.live.table import LiveTable
from screens.questions.confirm import ConfirmModal
from screens.questions.modals import HelpModal, Question
from screens.runs.teardown import TeardownScreen
from screens.widgets.rows import Rows
from screens.wizard.shell import WizardScreen
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.screens.driving import seen, settled, told, until, wizard, wizard_draft

Make = Callable[..., DsrApp]
VIP = "10.0.0.10"


@pytest.fixture
def before(world: World) -> dict[str, object]:
    """How every machine was before the deployment came."""
    return picture_of(world)


@pytest.fixture
def shop(world: World, before: dict[str, object], tmp_path: Path) -> World:
    """The farm with its deployment in force, and its file kept as apply keeps it."""
    engine = engine_of(world, Nobody(), tmp_path / "journals")
    deployment = world.deployment()
    assert engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None).ok
    deployments_dir().mkdir(parents=True)
    (deployments_dir() / "shop.toml").write_text(dumps(deployment))
    world.done.clear()
    return world


def picture_of(world: World) -> dict[str, object]:
    machines = [world.machine, *(state.machine for state in world.servers.values())]
    state = {m.name: (dict(m.sysctls), dict(m.files), m.holds(VIP)) for m in machines}
    return {**state, "ipvs": tuple(world.ipvs.table)}


async def to_teardown(pilot: Pilot[int], size: tuple[int, int] = (80, 24)) -> None:
    """From the live pane to the plan of what would be taken back."""
    app = pilot.app
    await until(pilot, lambda: "3/3 up" in seen(app))  # type: ignore[arg-type]
    await pilot.press("X")
    await settled(pilot)
    assert isinstance(app.screen, TeardownScreen)


async def confirmed(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+n")
    await pilot.pause()
    assert isinstance(pilot.app.screen, ConfirmModal)
    pilot.app.screen.query_one(Input).value = VIP
    pilot.app.screen.query_one(Input).focus()
    await pilot.press("enter")
    await settled(pilot)


async def test_it_is_shown_asked_for_and_leaves_nothing(
    make_app: Make, shop: World, before: dict[str, object], state: Path
) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await to_teardown(pilot)
        assert "Nothing has been changed yet" in seen(app)
        rows = app.screen.query_one("#teardown-rows", Rows).texts()
        order = [
            next(n for n, text in enumerate(rows) if word in text) for word in ("Drain web1", "web2 —", "after the")
        ]
        assert order == sorted(order), "the director stops sending, servers let go, the director's ground comes last"
        await pilot.press("ctrl+n")
        await pilot.press("right", "enter")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmModal), "without the VIP it does not go through"
        assert "Type 10.0.0.10 exactly" in seen(app)
        await pilot.press("escape")
        assert shop.done == []
        await confirmed(pilot)
        assert "Done: the director and the servers are as they were before" in seen(app)
        assert picture_of(shop) == before
        assert not list(deployments_dir().glob("*.toml"))
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert isinstance(app.screen, WizardScreen)
        assert wizard(app).step == "vip"
        assert [server.name for server in wizard_draft(app).servers] == ["web1", "web2", "web3"], "the draft is kept"


async def test_from_the_wizards_live_step_the_draft_stays_and_results_go(
    make_app: Make, shop: World, before: dict[str, object]
) -> None:
    app = make_app(deployment=shop.deployment())
    async with app.run_test(size=(120, 40)) as pilot:
        for _ in range(6):
            await settled(pilot)
            await pilot.press("ctrl+n")
        await to_teardown(pilot)
        await pilot.press("escape")
        await settled(pilot)
        assert isinstance(app.focused, LiveTable), "Esc changes nothing and leads back"
        assert shop.done == []
        await to_teardown(pilot)
        await confirmed(pilot)
        await pilot.press("escape")
        await settled(pilot)
        assert wizard(app).step == "vip"
        await pilot.press("alt+r")
        await settled(pilot)
        assert wizard(app).step == "vip", "the review of what is gone is not to be jumped to"
        for _ in range(3):
            await pilot.press("ctrl+n")
            await settled(pilot)
        assert "steps on 4 hosts" in seen(app), "planned anew: everything is missing again"
    assert picture_of(shop) == before


async def test_a_server_that_does_not_answer_keeps_the_deployment_in_force(
    make_app: Make, shop: World, before: dict[str, object]
) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        shop.servers["web2"].ssh = False
        await pilot.press("X")
        await settled(pilot)
        assert "1 host cannot be planned" in seen(app)
        await confirmed(pilot)
        assert "3 of 4 hosts restored; failed: web2" in seen(app)
        assert "web2 does not answer" in seen(app)
        assert "Not everything is undone yet" in seen(app)
        assert (deployments_dir() / "shop.toml").exists()
        shop.servers["web2"].ssh = True
        await pilot.press("r")
        await settled(pilot)
        await confirmed(pilot)
        assert "are as they were before" in seen(app)
    assert picture_of(shop) == before


async def test_it_is_not_cut_off_and_stops_between_steps(
    make_app: Make, shop: World, before: dict[str, object]
) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await to_teardown(pilot)
        shop.hold("web1")
        await pilot.press("ctrl+n")
        app.screen.query_one(Input).value = VIP
        app.screen.query_one(Input).focus()
        await pilot.press("enter")
        await until(pilot, lambda: shop.held("web1", 0))
        await pilot.press("escape")
        assert "It is still running" in seen(app)
        await pilot.press("ctrl+q")
        assert isinstance(app.screen, Question)
        assert "Teardown is running" in seen(app)
        await pilot.press("enter")
        await pilot.press("s")
        await pilot.pause()
        assert "Stopping" in seen(app)
        shop.release("web1")
        await settled(pilot)
        assert "Not everything is undone yet" in seen(app)
        await pilot.press("r")
        await settled(pilot)
        await confirmed(pilot)
        assert "are as they were before" in seen(app)
    assert picture_of(shop) == before


async def test_what_is_gone_already_is_finished_without_a_question(make_app: Make, world: World) -> None:
    app = make_app(deployment=world.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "0/3 up" in seen(app))
        await pilot.press("X")
        await settled(pilot)
        assert "Nothing is left to undo" in seen(app)
        await pilot.press("f1")
        assert isinstance(app.screen, HelpModal)
        await pilot.press("escape", "ctrl+n")
        await settled(pilot)
        assert "Nothing of the deployment is left" in seen(app)
        assert told(app) == ""
    assert world.done == []


async def test_a_kept_file_that_cannot_be_removed_is_told_though_all_is_taken_back(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await to_teardown(pilot)
        kept = deployments_dir() / "shop.toml"
        kept.unlink()
        kept.mkdir()  # nothing that unlink removes
        await confirmed(pilot)
        assert "✓ Done" in seen(app)
        assert "shop.toml" in told(app)
