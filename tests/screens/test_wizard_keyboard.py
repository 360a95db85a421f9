"""The wizard by its keys: what they reach, what they say, and terminals of every size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dsrwizard.app import DsrApp
from screens.questions.modals import HelpModal
from screens.widgets.field import FieldText
from screens.wizard import field_texts
from tests.fakes.world import World
from tests.screens.conftest import SIZES
from tests.screens.driving import focused_key, laid_out, seen, settled, type_text, wizard

Make = Callable[..., DsrApp]


class TestKeyboard:
    @pytest.mark.parametrize("step", ["vip", "director", "servers"])
    @pytest.mark.parametrize("size", SIZES)
    async def test_tab_reaches_everything_and_it_is_in_sight(
        self, make_app: Make, lab: World, step: str, size: tuple[int, int]
    ) -> None:
        app = make_app()
        async with app.run_test(size=size) as pilot:
            while wizard(app).step != step:
                await pilot.press("ctrl+n")
            await settled(pilot)
            pane = wizard(app).pane
            assert pane is not None
            wanted = {one for one in pane.query("*") if one.focusable and one.size.area}
            reached = set()
            for _ in range(len(wanted) + 1):
                focused = app.screen.focused
                assert focused is not None
                reached.add(focused)
                await laid_out(pilot)
                assert pane.region.contains_region(focused.region), f"{focused} is out of sight"
                await pilot.press("tab")
                await pilot.pause()
            assert wanted <= reached

    async def test_every_field_says_its_consequence_in_one_line(self) -> None:
        texts = [text for text in vars(field_texts).values() if isinstance(text, FieldText)]
        assert len(texts) > 10
        assert [text.label for text in texts if not text.hint or len(text.hint) > 78] == []
        assert [text.label for text in texts if not text.help] == []

    async def test_f1_explains_the_field(self, make_app: Make) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("f1")
            await pilot.pause()
            assert isinstance(app.screen, HelpModal)
            assert "always configured as /32" in " ".join(seen(app).replace("│", " ").split())
            await pilot.press("escape")
            await pilot.pause()
            assert focused_key(app) == "vips[0].address"

    async def test_wide_terminals_have_help_beside_the_form(self, make_app: Make) -> None:
        app = make_app()
        async with app.run_test(size=(120, 40)) as pilot:
            assert "The service address (VIP)" in seen(app)
            assert "you are here" in seen(app)
            await pilot.resize_terminal(80, 24)
            await pilot.pause()
            assert "The service address (VIP)" not in seen(app)
            assert "1/7" in seen(app)

    async def test_small_terminals_say_so_and_still_work(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(50, 14)) as pilot:
            assert "Please enlarge the terminal" in seen(app)
            await pilot.press("ctrl+n")
            assert wizard(app).step == "director"

    async def test_every_binding_has_an_id_a_tooltip_and_a_palette_entry(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n")
            await settled(pilot)
            offered = {command.title for command in app.get_system_commands(app.screen)}
            own = [
                binding
                for node, binding, enabled, _ in app.screen.active_bindings.values()
                if enabled and binding.show and node.__module__.startswith(("screens", "dsrwizard"))
            ]
            assert len(own) > 6
            assert [binding.key for binding in own if not binding.id or not binding.tooltip] == []
            assert {"servers: Test all", "wizard: Back", "step: Go to VIP", "app: Quit"} <= offered

    async def test_the_palette_runs_what_it_names(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "ctrl+p")
            await type_text(pilot, "step: Go to VIP")
            await settled(pilot)
            await pilot.press("enter")
            await settled(pilot)
            assert wizard(app).step == "vip"

    async def test_ascii_consoles_get_ascii_signs(self, world: World, tmp_path: Path, make_app: Make) -> None:
        from screens.widgets.glyphs import use_ascii

        app = make_app()
        use_ascii(True)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n")
            await pilot.pause()
            assert "> VIP" in seen(app)
            assert "x The VIP is missing" in seen(app)
        use_ascii(False)
