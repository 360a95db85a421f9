"""Makes the README's pictures of the screens: `make pictures`. They go to tests/pictures/ as SVG.

The real app over the real engine and a farm in memory, walked by keys; the live pane shows a given moment.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from tests.fakes.engine import factory
from tests.fakes.pictures import AT, picture
from tests.fakes.world import World
from tests.screens.driving import settled
from tests.screens.test_snapshots import live_app, watched

FOLDER = Path(__file__).parent / "pictures"
SIZE = (120, 32)


def save(pilot: Pilot[int], name: str) -> None:
    """Writes what the terminal shows."""
    (FOLDER / f"{name}.svg").write_text(pilot.app.export_screenshot(title="dsrwizard"))


async def walk(folder: Path) -> None:
    """Every step of the wizard, with one server that loses its VIP before it is verified."""
    world = World.lab()
    app = DsrApp(factory(world, folder / "journals"), ascii_only=False, deployment=world.deployment())
    async with app.run_test(size=SIZE) as pilot:
        await settled(pilot)
        save(pilot, "1-vip")
        await pilot.press("ctrl+n")
        await settled(pilot)
        save(pilot, "2-director")
        await pilot.press("ctrl+n")
        await settled(pilot)
        await pilot.press("T")
        await settled(pilot)
        save(pilot, "3-servers")
        await pilot.press("ctrl+n")
        await settled(pilot)
        save(pilot, "4-review")
        await pilot.press("ctrl+n")
        await settled(pilot)
        await pilot.press("right", "enter")
        await settled(pilot)
        save(pilot, "5-apply")
        del world.servers["web2"].machine.links["lo"].addresses["10.0.0.10"]
        await pilot.press("ctrl+n")
        await settled(pilot)
        await pilot.press("f")
        await settled(pilot)
        save(pilot, "6-verify")


async def live() -> None:
    """The live pane at one moment."""
    async with live_app(picture()).run_test(size=SIZE) as pilot:
        await watched(pilot)
        save(pilot, "7-live")


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        settings = {"XDG_STATE_HOME": name, "TEXTUAL_ANIMATIONS": "none", "TZ": "UTC"}
        with (
            patch.dict(os.environ, settings),
            patch("screens.clock.now", lambda: AT + 0.4),
            patch("screens.clock.running", lambda: 100.0),
        ):
            time.tzset()
            asyncio.run(walk(Path(name)))
            asyncio.run(live())


if __name__ == "__main__":
    main()
