"""A dialog that is answered, or whose app ends, while it opens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from screens.questions.modals import Choice, Question
from screens.turns import AppInTurn

MOMENTS = range(40)
"""How many turns of the event loop after the program opened it; the screen is there after fewer."""
LEAVING: dict[str, Callable[[AppInTurn, Question], object]] = {
    "answered": lambda _, dialog: dialog.dismiss("ok"),
    "taken away": lambda app, dialog: app.pop_screen() if app.screen is dialog else None,
    "the app ends": lambda app, _: app.exit(0),
}


def question() -> Question:
    return Question("Verified", "All is well.", [Choice("ok", "OK"), Choice("stay", "Stay")], "ok")


@pytest.mark.parametrize("how", LEAVING)
async def test_a_dialog_that_goes_before_it_is_there_is_no_defect(how: str) -> None:
    """Textual's test harness raises what a screen raises."""
    for moment in MOMENTS:
        app = AppInTurn()
        async with app.run_test() as pilot:
            dialog = question()
            app.push_screen(dialog)
            for _ in range(moment):
                await asyncio.sleep(0)
            LEAVING[how](app, dialog)
            if how != "the app ends":
                await pilot.pause()
                assert app.screen is not dialog
