"""An app over the real engine and a farm in memory, with a state directory of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.app import App
from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.deployment_file import dumps
from tests.fakes.engine import factory
from tests.fakes.world import World
from tests.screens.driving import laid_out, taken

SIZES = [(80, 24), (120, 40)]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The state directory of this test; nothing of the machine's own gets in."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setattr(App, "NOTIFICATION_TIMEOUT", 3600)  # on a busy machine five seconds pass before a test looks
    monkeypatch.delenv("DSRWIZARD_LAB", raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return tmp_path / "state" / "dsrwizard"


@pytest.fixture(autouse=True)
def keys_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that a test presses has had its effect when the test goes on, and a pause ends with the layout done."""
    press, pause = Pilot.press, Pilot.pause

    async def paused(pilot: Pilot[int], delay: float | None = None) -> None:
        await pause(pilot, delay)
        if isinstance(pilot.app, DsrApp):
            await laid_out(pilot)

    async def pressed(pilot: Pilot[int], *keys: str) -> None:
        await press(pilot, *keys)
        if isinstance(pilot.app, DsrApp):
            await taken(pilot)

    monkeypatch.setattr(Pilot, "press", pressed)
    monkeypatch.setattr(Pilot, "pause", paused)


@pytest.fixture
def world() -> World:
    """The lab's network: a director and three web servers."""
    return World.lab()


@pytest.fixture
def make_app(world: World, tmp_path: Path) -> Callable[..., DsrApp]:
    """Builds the app over the fake world; keyword arguments as `DsrApp`."""

    def make(**options: object) -> DsrApp:
        settings = {"ascii_only": False, **options}
        return DsrApp(factory(world, tmp_path / "journals"), **settings)  # type: ignore[arg-type]

    return make


@pytest.fixture
def lab(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """As `dsrwizard lab` starts it: the deployment's values are there, ready to accept."""
    path = tmp_path / "lab.toml"
    path.write_text(dumps(world.deployment()))
    monkeypatch.setenv("DSRWIZARD_LAB", str(path))
    return world


@pytest.fixture(autouse=True)
def no_other_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Journals of this machine's own users are none of the tests' business."""
    monkeypatch.setattr("dsrwizard.engine.journals_elsewhere._homes", lambda: iter(()))
