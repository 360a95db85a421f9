"""Keys in, what a user sees out: helpers for the screens' tests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from textual import events
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Input

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.draft import Draft
from screens.widgets.field import Field
from screens.wizard.shell import WizardScreen

NAMES = {
    ".": "full_stop", " ": "space", ":": "colon", "-": "minus", "/": "slash", "*": "asterisk", "_": "underscore",
    ",": "comma", "[": "left_square_bracket", "]": "right_square_bracket", "=": "equals_sign",
}  # fmt: skip


async def type_text(pilot: Pilot[int], text: str) -> None:
    """Presses the keys of a text, without a pause but after Enter."""
    for character in text:
        if character == "\n":
            await taken(pilot)
            await pilot.press("enter")
        else:
            pilot.app.post_message(events.Key(NAMES.get(character, character), character))
    await taken(pilot)


async def taken(pilot: Pilot[int]) -> None:
    """Until every key that was typed has had its effect."""
    await pilot.pause()
    app: Any = pilot.app
    await until(pilot, lambda: app._keys.idle or not app.is_running or app._exit)
    await pilot.pause()


async def laid_out(pilot: Pilot[int]) -> None:
    """Until the screen on top has its layout: on a busy machine that is later than one round of messages."""
    app: Any = pilot.app

    def done() -> bool:
        if not app.is_running or app._exit or not app.screen_stack:
            return True
        return not (app.screen._layout_required or app.screen._scroll_required)

    await until(pilot, done)


async def settled(pilot: Pilot[int]) -> None:
    """Until background looks have ended and what they found is shown."""
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def seen(app: DsrApp) -> str:
    """The text of the screen on top, as a terminal shows it, with runs of spaces as one."""
    lines = app.screen._compositor.render_strips()
    return "\n".join(" ".join(strip.text.split()) for strip in lines)


def told(app: DsrApp) -> str:
    """What pops up for a few seconds beside the screen's own text."""
    return "\n".join(notice.message for notice in app._notifications)


def wizard(app: DsrApp) -> WizardScreen:
    screen = app.screen
    assert isinstance(screen, WizardScreen)
    return screen


def field(app: DsrApp, key: str) -> Field:
    """The visible field with this problem key on the screen on top."""
    return next(found for found in app.screen.query(Field) if found.key == key and found.display)


def focused_key(app: DsrApp) -> str:
    """The problem key of the field that has the focus."""
    node: Widget | None = app.screen.focused
    return next((one.key for one in node.ancestors_with_self if isinstance(one, Field)), "") if node else ""


def typed(app: DsrApp, key: str) -> str:
    """What stands in a text field."""
    return field(app, key).query_one(Input).value


def wizard_draft(app: DsrApp) -> Draft:
    """The draft behind the wizard, also while a modal stands before it."""
    return next(screen for screen in app.screen_stack if hasattr(screen, "desk")).desk.session.draft  # type: ignore[no-any-return]


async def until(pilot: object, so: Callable[[], bool]) -> None:
    """Waits for a worker thread to have had its effect, a minute at most."""
    async with asyncio.timeout(60):
        while not so():  # noqa: ASYNC110 - a thread of the engine has no event to wait for
            await asyncio.sleep(0.01)
