"""Leaving a form and the program, and coming back: what was typed is asked about, or is there again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import TextArea

from dsrwizard.app import DsrApp
from dsrwizard.session import Session
from screens.questions.modals import Question
from screens.wizard.import_servers import ImportServers
from screens.wizard.server_form import ServerForm
from tests.fakes.world import World
from tests.screens.driving import seen, type_text, typed, until, wizard_draft

Make = Callable[..., DsrApp]


async def to_servers(pilot: Pilot[int]) -> None:
    await pilot.press("ctrl+n", "ctrl+n")


class TestForm:
    async def test_a_filled_form_is_left_only_after_a_question(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await to_servers(pilot)
            await pilot.press("a")
            await type_text(pilot, "web9\n10.0.0.109")
            await pilot.press("escape")
            assert isinstance(app.screen, Question)
            assert "What you entered for web9 is not saved." in seen(app)
            await pilot.press("enter")
            assert isinstance(app.screen, ServerForm), "the focus is on the answer that loses nothing"
            assert typed(app, "servers[3].address") == "10.0.0.109"
            await pilot.press("escape", "right", "enter")
            assert not isinstance(app.screen, ServerForm)
            assert len(wizard_draft(app).servers) == 3

    @pytest.mark.parametrize("key", ["a", "e"])
    async def test_a_form_in_which_nothing_was_changed_is_left_at_once(
        self, make_app: Make, lab: World, key: str
    ) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await to_servers(pilot)
            await pilot.press(key)
            await type_text(pilot, "x")
            await pilot.press("backspace", "escape")
            await until(pilot, lambda: len(app.screen_stack) == 1)

    async def test_a_form_that_was_open_is_open_again(self, make_app: Make, lab: World, state: Path) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await to_servers(pilot)
            await pilot.press("a")
            await type_text(pilot, "web9\n10.0.0.109")
            await pilot.press("ctrl+q")
        app = make_app(session=Session.load())
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ServerForm))
            await pilot.pause()
            assert typed(app, "servers[3].name") == "web9"
            assert typed(app, "servers[3].address") == "10.0.0.109"
            await pilot.press("ctrl+n")
            assert wizard_draft(app).servers[3].name == "web9"
            await pilot.press("ctrl+q")
        back = Session.load()
        assert back is not None
        assert back.form is None

    async def test_a_form_is_kept_while_it_is_typed(self, make_app: Make, lab: World, state: Path) -> None:
        """Nobody quits: the machine loses its power."""
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await to_servers(pilot)
            await pilot.press("e")
            await type_text(pilot, "x")

            def kept() -> bool:
                back = Session.load()
                return back is not None and back.form is not None and back.form.server.name == "web1x"

            await until(pilot, kept)


class TestImport:
    async def test_a_pasted_list_is_left_only_after_a_question(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await to_servers(pilot)
            await pilot.press("i", "tab")
            await type_text(pilot, "web9 10.0.0.109")
            await pilot.press("escape")
            assert "The list is not imported." in seen(app)
            await pilot.press("enter")
            assert isinstance(app.screen, ImportServers)
            await pilot.press("ctrl+q")
            assert app.return_code == 0
        app = make_app(session=Session.load())
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, ImportServers))
            assert app.screen.query_one("#list", TextArea).text == "web9 10.0.0.109"
            await until(pilot, lambda: "1 server" in seen(app))
            await pilot.press("ctrl+n")
            await until(pilot, lambda: len(wizard_draft(app).servers) == 4)
            await pilot.press("ctrl+q")
        back = Session.load()
        assert back is not None
        assert back.listed == ""
