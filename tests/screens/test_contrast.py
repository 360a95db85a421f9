"""Letters can be read on every theme that the palette offers: WCAG 2.2 asks for a contrast of 4.5."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from rich.style import Style
from textual.color import Color
from textual.pilot import Pilot
from textual.theme import BUILTIN_THEMES
from textual.widget import Widget

from dsrwizard.app import DsrApp
from screens.widgets.contrast import ENOUGH, INKS, contrast, readable
from tests.fakes.pictures import picture
from tests.fakes.world import World
from tests.screens.driving import settled
from tests.screens.test_snapshots import live_app, watched

SIGNS = set(" ▼▁▂▃▄▅▆▇█╭╮╰╯─│┃▔▏▎▍▌▊▉▐▕╸╺━")
"""No letters: frames, bars and the sign of a menu."""


@pytest.mark.parametrize(
    ("one", "other", "known"), [("#000", "#fff", 21.0), ("#767676", "#fff", 4.54), ("#777", "#fff", 4.48)]
)
def test_contrast_is_what_the_standard_says(one: str, other: str, known: float) -> None:
    assert contrast(Color.parse(one), Color.parse(other)) == pytest.approx(known, abs=0.01)


@pytest.mark.parametrize("name", [name for name in BUILTIN_THEMES if not name.startswith("ansi")])
def test_each_theme_has_letters_that_can_be_read(name: str) -> None:
    theme = BUILTIN_THEMES[name]
    made = readable({**theme.to_color_system().generate(), **theme.variables})
    pairs = [(ink, ground) for ink, grounds in INKS.items() for ground in grounds if ink in made]
    pairs.append(("block-cursor-foreground", "block-cursor-background"))
    weak = {pair for pair in pairs if contrast(*(Color.parse(made[one]) for one in pair)) < ENOUGH}
    assert not weak


@pytest.mark.parametrize("name", ["ansi-dark", "ansi-light"])
def test_the_terminals_own_colours_stay(name: str) -> None:
    theme = BUILTIN_THEMES[name]
    own = {**theme.to_color_system().generate(), **theme.variables}
    assert readable(own) == own


def _weak(app: DsrApp, within: Widget | None = None) -> set[str]:
    """What can hardly be read of the screen on top, or of a part of it."""
    found = set()
    region = (within or app.screen).region
    for strip in app.screen._compositor.render_strips()[region.y : region.bottom]:
        for text, style, _ in strip.crop(region.x, region.right):
            if style is not None and not set(text) <= SIGNS and (short := _of(style)) < ENOUGH:
                found.add(f"{text.strip()!r}: {short:.1f}")
    return found


def _of(style: Style) -> float:
    ink, ground = style.color, style.bgcolor
    assert ink is not None
    assert ground is not None
    return contrast(Color(*ink.get_truecolor()), Color(*ground.get_truecolor(foreground=False)))


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
class TestScreens:
    async def test_the_live_view_and_its_dialogs(self, theme: str) -> None:
        async with live_app(picture()).run_test(size=(120, 40)) as pilot:
            app = await _themed(pilot, theme)
            await watched(pilot)
            assert not _weak(app)
            await pilot.press("slash")
            await pilot.pause()
            assert not _weak(app), "with the search open"
            await pilot.press("escape", "end", "w")
            await pilot.pause()
            assert not _weak(app, app.screen.query_one(".modal"))
            await pilot.press("escape", "x")
            await settled(pilot)
            assert not _weak(app)

    async def test_forms(self, make_app: Callable[..., DsrApp], lab: World, theme: str) -> None:
        async with make_app().run_test(size=(120, 40)) as pilot:
            app = await _themed(pilot, theme)
            await settled(pilot)
            for step in ("VIP", "director", "servers", "review"):
                assert not _weak(app), step
                await pilot.press("ctrl+n")
                await settled(pilot)
            assert not _weak(app, app.screen.query_one(".modal")), "the question before the plan is applied"
            await pilot.press("escape")
            await pilot.press("escape", "escape", "a")
            await settled(pilot)
            assert not _weak(app, app.screen.query_one(".modal")), "the form of a server"


async def _themed(pilot: Pilot[int], theme: str) -> DsrApp:
    app = pilot.app
    assert isinstance(app, DsrApp)
    app.theme = theme
    await pilot.pause()
    return app


async def test_without_the_focus_only_the_chosen_answer_is_marked(make_app: Callable[..., DsrApp], lab: World) -> None:
    async with make_app().run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+n")
        await settled(pilot)
        grounds = {
            text.strip(): style.bgcolor
            for strip in pilot.app.screen._compositor.render_strips()
            for text, style, _ in strip
            if style is not None
        }
        answers = {grounds[said] for said in grounds if "by hand" in said or "Take them out" in said}
        assert len(answers) == 1, "as if two were chosen"
