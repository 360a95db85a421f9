"""Mending by keys: from a failed check and from the live pane to what cures it, asked for, done, and probed again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from dsrwizard.core.model.snapshot import DestinationRow
from screens.live.view import LiveView
from screens.questions.confirm import ConfirmModal
from screens.questions.modals import HelpModal, Question
from screens.runs.mend import MendScreen
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.screens.driving import seen, settled, told, until

Make = Callable[..., DsrApp]
VIP = "10.0.0.10"


@pytest.fixture
def shop(world: World, tmp_path: Path) -> World:
    """The farm with its deployment in force."""
    engine = engine_of(world, Nobody(), tmp_path / "journals")
    deployment = world.deployment()
    assert engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None).ok
    world.done.clear()
    return world


def no_vip(world: World, name: str = "web2") -> None:
    del world.servers[name].machine.links["lo"].addresses[VIP]


def holds(world: World, name: str = "web2") -> bool:
    return world.servers[name].machine.holds(VIP) is not None


async def to_verify(pilot: Pilot[int], *faults: Callable[[], object]) -> None:
    """Through the wizard to the verification of what is in force; the faults come just before it."""
    for _ in range(4):
        await settled(pilot)
        await pilot.press("ctrl+n")
    await settled(pilot)
    for fault in faults:
        fault()
    await pilot.press("ctrl+n")
    await settled(pilot)


async def to_mend(pilot: Pilot[int], *faults: Callable[[], object]) -> None:
    await to_verify(pilot, *faults)
    await pilot.press("m")
    await settled(pilot)
    assert isinstance(pilot.app.screen, MendScreen)


async def asked_about(pilot: Pilot[int], world: World, **row: str) -> None:
    """As the live pane asks for a row of its."""
    app = pilot.app
    await until(pilot, lambda: "web3" in seen(app))  # type: ignore[arg-type]
    made = DestinationRow(
        **{"server": "web2", "address": "10.0.0.102", "vip": VIP, "service": "tcp/80", "wanted_weight": 1} | row  # type: ignore[arg-type]
    )
    app.screen.query_one(LiveView).post_message(LiveView.MendAsked(world.deployment(), made))
    await pilot.pause()
    await settled(pilot)
    assert isinstance(app.screen, MendScreen)


async def agreed(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+n")
    await pilot.pause()
    assert isinstance(pilot.app.screen, ConfirmModal)
    await pilot.press("right", "enter")
    await settled(pilot)


async def test_a_failed_check_is_cured_after_a_question_and_probed_again(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment())
    async with app.run_test(size=(80, 24)) as pilot:
        await to_mend(pilot, lambda: no_vip(shop))
        text = seen(app)
        assert "Mend vip-missing of web2" in text
        for told_before in (
            "Cause: vip-missing: the VIP is not on the real server",
            "Seen: TCP probe to 10.0.0.10:80",
            "On web2: VIP 10.0.0.10/32 on lo",
            "ip addr add 10.0.0.10/32 dev lo",
            "Nothing has been changed yet",
        ):
            assert told_before in text
        await pilot.press("end")
        await pilot.pause()
        assert "ip addr del 10.0.0.10/32 dev lo" in seen(app), "the undo"
        await pilot.press("enter")
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert isinstance(app.screen, ConfirmModal)
        assert "Mend vip-missing on web2?" in seen(app)
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(app.screen, MendScreen)
        assert shop.done == [], "Enter alone changes nothing"
        await agreed(pilot)
        assert "✓ Fixed: 10.0.0.10 tcp/80 answers through web2." in seen(app)
        assert holds(shop)
        await pilot.press("escape")
        await settled(pilot)
        assert "✓ Everything works" in seen(app), "the verification after it is what the step shows now"


async def test_only_what_was_chosen_is_cured_and_the_rest_is_named(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment())
    async with app.run_test(size=(120, 40)) as pilot:
        await to_mend(pilot, lambda: no_vip(shop), lambda: no_vip(shop, "web3"))
        await agreed(pilot)
        assert "✓ Fixed: 10.0.0.10 tcp/80 answers through web2." in seen(app)
        assert "Other checks still fail: vip-missing on web3." in seen(app)
        assert (holds(shop), holds(shop, "web3")) == (True, False)
        await pilot.press("r")
        await settled(pilot)
        assert "This fault is gone" in seen(app)
        assert "Other checks fail: vip-missing on web3." in seen(app)


async def test_what_no_step_cures_says_who_must_do_what_and_looks_again(make_app: Make, shop: World) -> None:
    listeners, shop.servers["web2"].machine.listeners = shop.servers["web2"].machine.listeners, []
    app = make_app(deployment=shop.deployment())
    async with app.run_test(size=(80, 24)) as pilot:
        await to_mend(pilot)
        assert "dsrwizard does not start services: start the service on web2." in seen(app)
        assert "Fix: Start the service on web2, listening on port 80" in seen(app)
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert isinstance(app.screen, MendScreen), "there is nothing to agree to"
        shop.servers["web2"].machine.listeners = listeners
        await pilot.press("r")
        await settled(pilot)
        assert "✓ This fault is gone" in seen(app)
    assert shop.done == []


async def test_a_step_that_fails_is_told_and_not_called_cured(make_app: Make, shop: World) -> None:
    shop.servers["web2"].fails[f"vip {VIP}"] = "RTNETLINK answers: Operation not permitted"
    app = make_app(deployment=shop.deployment())
    async with app.run_test(size=(120, 40)) as pilot:
        await to_mend(pilot, lambda: no_vip(shop))
        await agreed(pilot)
        assert "✗ Not fixed: 10.0.0.10 is not on web2" in seen(app)
        assert "Operation not permitted" in seen(app)
        assert "Press r to verify again and see how to fix what is left." in seen(app)
        assert "Press esc to go back." not in seen(app)
        del shop.servers["web2"].fails[f"vip {VIP}"]
        await pilot.press("r")
        await settled(pilot)
        await agreed(pilot)
        assert "✓ Fixed" in seen(app)
        assert "Press esc to go back." in seen(app)
    assert holds(shop)


async def test_it_is_not_cut_off(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment())
    async with app.run_test(size=(80, 24)) as pilot:
        await to_mend(pilot, lambda: no_vip(shop))
        shop.hold("web2")
        await pilot.press("ctrl+n")
        await pilot.press("right", "enter")
        await until(pilot, lambda: shop.held("web2", 0))
        await pilot.press("escape")
        assert "It is still running" in seen(app)
        await pilot.press("ctrl+q")
        assert isinstance(app.screen, Question)
        assert "Mending is running on 1 host." in seen(app)
        await pilot.press("enter")
        await pilot.press("s")
        await pilot.pause()
        assert "Stopping" in seen(app)
        shop.release("web2")
        await settled(pilot)
        assert "Stopped before the final verification" in seen(app)
        await pilot.press("r")
        await settled(pilot)
        assert "This fault is gone" in seen(app)


async def test_m_on_a_check_that_passed_says_what_to_do(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment())
    async with app.run_test(size=(80, 24)) as pilot:
        await to_verify(pilot)
        await pilot.press("m")
        await settled(pilot)
        assert "Select a failed check first" in told(app)
        assert not isinstance(app.screen, MendScreen)


async def test_the_live_panes_row_is_verified_first_and_then_cured(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        no_vip(shop)
        await until(pilot, lambda: "2/3 up" in seen(app))
        await pilot.press("m")  # the cursor is on the worst row
        await until(pilot, lambda: isinstance(app.screen, MendScreen))
        await settled(pilot)
        assert "ip addr add 10.0.0.10/32 dev lo" in seen(app)
        await agreed(pilot)
        assert "✓ Fixed" in seen(app)
        await pilot.press("f1")
        assert isinstance(app.screen, HelpModal)
        await pilot.press("escape", "escape")
        await settled(pilot)
        assert app.screen.query(LiveView)
    assert holds(shop)


async def test_a_cause_on_the_director_is_found_from_the_servers_row(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        shop.machine.links["eth0"].addresses.pop(VIP)
        await asked_about(pilot, shop, cause="director-vip")
        assert "ip addr add 10.0.0.10/32 dev eth0" in seen(app)


async def test_a_row_that_is_well_by_now_says_so(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await asked_about(pilot, shop, cause="vip-missing")
        assert "✓ This fault is gone" in seen(app)
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert isinstance(app.screen, MendScreen)
    assert shop.done == []


async def test_what_cannot_be_seen_is_not_called_well(make_app: Make, shop: World) -> None:
    app = make_app(deployment=shop.deployment(), start="live")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "web3" in seen(app))
        shop.privileged = False
        await asked_about(pilot, shop, cause="vip-missing")
        assert "could not be run" in seen(app)
