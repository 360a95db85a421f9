"""Work in a thread that ends while its screen is being taken away writes on nothing of that screen."""

from __future__ import annotations

import asyncio
from threading import Event

from textual.app import App, ComposeResult
from textual.screen import Screen
from textual.widgets import Static

from screens.background import in_thread


class Slow(Static):
    """Takes its time to go, in which the thread ends."""

    async def on_unmount(self) -> None:
        screen = self.screen
        assert isinstance(screen, Working)
        screen.gate.set()
        for _ in range(20):
            await asyncio.sleep(0.01)


class Working(Screen[None]):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Event()
        self.wrote = False

    def compose(self) -> ComposeResult:
        yield Slow("slow")
        yield Static(id="hint")

    def on_mount(self) -> None:
        self.run_worker(self.work())

    async def work(self) -> None:
        await in_thread(lambda: self.gate.wait(60))
        self.wrote = True
        self.query_one("#hint", Static).update("done")


async def test_a_screen_that_leaves_hears_nothing_of_its_work() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        screen = Working()
        await app.push_screen(screen)
        await pilot.pause()
        screen.dismiss()
        async with asyncio.timeout(60):
            while screen.is_running:  # noqa: ASYNC110 - it sets no event
                await asyncio.sleep(0.01)
        assert screen.gate.is_set()
        assert not screen.wrote


async def test_a_screen_that_stays_does() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        screen = Working()
        await app.push_screen(screen)
        await pilot.pause()
        screen.gate.set()
        await app.workers.wait_for_complete()
        assert screen.wrote
