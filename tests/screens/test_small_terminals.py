"""Small terminals: a menu's list stays within its pane, where it paints over neither frame nor hint nor keys, and no
dialog loses its buttons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from textual.screen import Screen
from textual.widgets import Button, TextArea

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.model.deployment import SCHEDULERS
from dsrwizard.core.ports import SecretQuestion
from screens.live.weight import WeightModal
from screens.questions.export import PathModal
from screens.questions.modals import Choice, Question, SecretModal
from screens.widgets.keybar import KeyBar
from screens.wizard.import_servers import ImportServers
from screens.wizard.server_form import ServerForm
from screens.wizard.several import DraftWeights
from tests.fakes.pictures import destination, healthy
from tests.fakes.world import World
from tests.screens.driving import field, laid_out, seen, settled, until
from tests.screens.test_snapshots import live_app

Make = Callable[..., DsrApp]


@pytest.mark.parametrize("size", [(80, 24), (60, 18), (60, 15), (120, 40)], ids=str)
@pytest.mark.parametrize("key", ["vips[0].services[0].protocol", "vips[0].services[0].scheduler"])
@pytest.mark.parametrize("hasty", [False, True], ids=["after the form moved", "while the form moves"])
async def test_the_list_leaves_frame_hint_and_keys_alone(
    make_app: Make, lab: World, size: tuple[int, int], key: str, hasty: bool
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        await laid_out(pilot)
        before = app.screen.query_one("#panes").region
        field(app, key).take_focus()
        if not hasty:
            await settled(pilot)
        await pilot.press("space")
        overlay, pane = field(app, key).query_one("SelectOverlay"), app.screen.query_one("#vip")
        await until(pilot, lambda: overlay.region.height >= 2 and pane.content_region.y <= overlay.region.y)
        await settled(pilot)
        await laid_out(pilot)
        within = pane.content_region
        assert overlay.region.height >= 2
        assert within.y <= overlay.region.y
        assert overlay.region.bottom <= within.bottom, (overlay.region, within)
        assert before.y == app.screen.query_one("#panes").region.y
        line = field(app, key).control_widget.region
        assert not overlay.region.overlaps(line), "what is chosen now stays in sight"
        await pilot.press("escape")


@pytest.mark.parametrize("size", [(80, 24), (60, 15)], ids=str)
async def test_a_list_that_is_cut_is_scrolled(make_app: Make, lab: World, size: tuple[int, int]) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        field(app, "vips[0].services[0].scheduler").take_focus()
        await pilot.press("space", "end", "enter")
        assert field(app, "vips[0].services[0].scheduler").value == list(SCHEDULERS)[-1]


QUESTION = SecretQuestion(
    host="web1", kind="sudo", user="ops", detail="It is asked for because sudo on web1 wants it.", refused=True
)
ROW = destination("web1")
DIALOGS: dict[str, Callable[[], Screen[Any]]] = {
    "weight": lambda: WeightModal([ROW], [ROW, ROW]),
    "weight of several": lambda: WeightModal([ROW, ROW], [ROW, ROW]),
    "weight in the wizard": lambda: DraftWeights("3 servers", "1"),
    "path": lambda: PathModal("Export", "A text for a ticket: what is wrong, since when and why.", Path("/a/file")),
    "secret": lambda: SecretModal(QUESTION),
    "form of a server": lambda: ServerForm(Draft(), None),
    "import": ImportServers,
    "question": lambda: Question("Sure?", "word " * 400, (Choice("no", "No"), Choice("yes", "Yes")), safe="no"),
}


@pytest.mark.parametrize("size", [(60, 15), (60, 18), (80, 24)], ids=str)
@pytest.mark.parametrize("name", DIALOGS)
async def test_no_dialog_loses_its_buttons(name: str, size: tuple[int, int]) -> None:
    app = live_app(healthy())
    async with app.run_test(size=size) as pilot:
        await app.push_screen(DIALOGS[name]())
        await pilot.pause()
        await laid_out(pilot)
        frame = app.screen.query_one(".modal").content_region
        for button in app.screen.query(Button):
            assert frame.contains_region(button.region), (button.label, button.region, frame)
            assert button.region.height == 1


@pytest.mark.parametrize("size", [(60, 15), (60, 18), (80, 24)], ids=str)
async def test_what_an_import_would_do_is_in_sight(size: tuple[int, int]) -> None:
    app = live_app(healthy())
    async with app.run_test(size=size) as pilot:
        await app.push_screen(ImportServers())
        app.screen.query_one("#list", TextArea).text = "web1 10.0.0.101\nweb2 10.0.0.102"
        await until(pilot, lambda: "2 servers" in seen(app))
        said, frame = app.screen.query_one("#said"), app.screen.query_one(".modal")
        await until(pilot, lambda: said.region.height >= 2 and frame.content_region.contains_region(said.region))


async def test_on_few_columns_a_note_beside_a_field_is_not_a_narrow_column(make_app: Make, lab: World) -> None:
    async with make_app().run_test(size=(60, 24)) as pilot:
        await settled(pilot)
        await laid_out(pilot)
        assert field(pilot.app, "vips[0].address").region.height <= 2  # type: ignore[arg-type]
        assert "nobody else" in seen(pilot.app)  # type: ignore[arg-type]


async def test_what_pops_up_leaves_the_keys_in_sight() -> None:
    app = live_app(healthy())
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        app.notify("word " * 30)
        await until(pilot, lambda: bool(app.screen.query("Toast")))
        await laid_out(pilot)
        bar = app.screen.query_one(KeyBar).region
        assert bar.height == 2
        for toast in app.screen.query("Toast"):
            assert not toast.region.overlaps(bar), (toast.region, bar)
