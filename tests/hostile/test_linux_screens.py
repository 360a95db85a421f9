"""The screens over a farm in which one Linux server answers nonsense: they live, and nothing of it acts on them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.ports import Asker, ServerPort
from screens.questions.modals import HelpModal
from tests.fakes.engine import engine_of
from tests.fakes.linux_host import text_server
from tests.fakes.world import World
from tests.hostile.conftest import Tally
from tests.hostile.spoiling import Spoiler
from tests.screens.driving import seen, settled, told, until

ACTS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069]")


def app_over(world: World, folder: Path, seed: int) -> DsrApp:
    spoiler = Spoiler(seed)

    def open_server(server: RealServer, asker: Asker) -> ServerPort:
        spoil = spoiler if server.name == "web2" else lambda text: text
        return text_server(world, server, asker, spoil)

    return DsrApp(
        lambda asker: engine_of(world, asker, folder, open_server=open_server), deployment=world.deployment(),
        ascii_only=False,
    )  # fmt: skip


def harmless(app: DsrApp) -> str:
    """The text on the screen, which does nothing and tells of no defect."""
    text = seen(app) + told(app)
    assert not ACTS.search(text), repr(text)
    assert "itself failed" not in text, text
    return text


async def walked(pilot: Pilot[int], world: World) -> None:
    """Servers tested, plan, apply, verify with every row opened, and the live view."""
    app: DsrApp = pilot.app  # type: ignore[assignment]
    for key in ("ctrl+n", "ctrl+n", "T", "ctrl+n"):
        await settled(pilot)
        await pilot.press(key)
        harmless(app)
    await settled(pilot)
    assert "web1" in harmless(app)
    await pilot.press("ctrl+n")
    await settled(pilot)
    await pilot.press("right", "enter")
    await settled(pilot)
    harmless(app)
    assert world.servers["web1"].machine.holds("10.0.0.10")
    assert world.servers["web3"].machine.holds("10.0.0.10")
    await pilot.press("k")  # what is not done is left
    await settled(pilot)
    await pilot.press("ctrl+n")
    await settled(pilot)
    harmless(app)
    for _ in range(6):
        await pilot.press("enter")
        await pilot.pause()
        harmless(app)
        if isinstance(app.screen, HelpModal):
            await pilot.press("escape")
        await pilot.press("down")
    await pilot.press("ctrl+n")
    await until(pilot, lambda: {"web1", "web3"} <= set(re.findall(r"(web\d).* up ", seen(app))))
    harmless(app)


@pytest.fixture(autouse=True)
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.delenv("DSRWIZARD_LAB", raising=False)


async def test_the_wizard_and_the_live_view_over_a_hostile_server(
    tmp_path: Path, scale: Callable[[int, int], int], tally: Callable[[str], Tally]
) -> None:
    cases = tally("screens over a hostile Linux server")
    for seed in range(scale(2, 16)):
        with cases.case(f"seed {seed}"):
            world = World.lab()
            async with app_over(world, tmp_path / f"journals{seed}", seed).run_test(size=(120, 40)) as pilot:
                await walked(pilot, world)
    cases.settle()
