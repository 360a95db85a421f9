"""What the wizard says where somebody types the wrong thing, has little room, or leaves a server out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Button

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.draft import Draft, DraftServer
from dsrwizard.engine.engine import Engine
from screens.runs.hosts import HostRuns
from screens.widgets.field import Field
from screens.widgets.keybar import KeyBar
from screens.wizard.servers import ServersPane
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.screens.driving import field, laid_out, seen, settled, type_text, wizard, wizard_draft

Make = Callable[..., DsrApp]
SMALL = (80, 24)


async def test_a_character_that_is_not_taken_is_told_why_until_the_field_is_left(make_app: Make) -> None:
    app = make_app()
    async with app.run_test(size=SMALL) as pilot:
        port = field(app, "vips[0].services[0].port")
        port.take_focus()
        await pilot.pause()
        await type_text(pilot, "8x0")
        assert port.value == "80"
        assert "Only digits go here." in seen(app)
        await pilot.press("tab")
        await pilot.pause()
        assert "Only digits go here." not in seen(app)
        assert port.problem == ""


async def test_a_blank_in_a_name_is_told_and_blanks_around_a_paste_are_dropped(make_app: Make) -> None:
    from textual import events

    app = make_app()
    async with app.run_test(size=SMALL) as pilot:
        name = field(app, "name")
        name.take_focus()
        await pilot.press("ctrl+u")
        await type_text(pilot, "my shop")
        assert name.value == "myshop"
        assert "No blanks here." in seen(app)
        vip = field(app, "vips[0].address")
        vip.take_focus()
        await pilot.pause()
        vip.control_widget.post_message(events.Paste(" 10.0.0.10 \n"))
        await pilot.pause()
        assert vip.value == "10.0.0.10"


async def test_a_value_that_is_too_long_says_how_long_it_may_be(make_app: Make) -> None:
    app = make_app()
    async with app.run_test(size=SMALL) as pilot:
        field(app, "vips[0].services[0].port").take_focus()
        await pilot.pause()
        await type_text(pilot, "123456")
        assert "At most 5 characters fit here." in seen(app)


async def test_a_service_or_vip_that_was_just_added_is_not_red(make_app: Make) -> None:
    app = make_app()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("ctrl+n")  # refused: what there is turns red
        await pilot.pause()
        red = {one.key for one in app.screen.query(Field) if one.problem}
        assert red == {"vips[0].address", "vips[0].services[0].port"}
        for key in ("f2", "f3"):
            await pilot.press(key)
            await settled(pilot)
        assert {one.key for one in app.screen.query(Field) if one.problem} == red
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert "vips[1].services[0].port" in {one.key for one in app.screen.query(Field) if one.problem}


@pytest.mark.parametrize(("typed", "said"), [("10.0.0.2", "own address on eth0"), ("10.0.0.255", "broadcast")])
async def test_the_directors_own_address_is_refused_as_a_vip_at_once(make_app: Make, typed: str, said: str) -> None:
    app = make_app()
    async with app.run_test(size=SMALL) as pilot:
        await type_text(pilot, typed)
        await pilot.press("tab")
        await settled(pilot)
        vip = field(app, "vips[0].address")
        assert said in vip.problem
        field(app, "vips[0].services[0].port").take_focus()
        await pilot.pause()
        await type_text(pilot, "80")
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert wizard(app).step == "vip"


async def test_the_keys_of_a_screen_are_not_shown_behind_a_dialog(make_app: Make, lab: World) -> None:
    app = make_app()
    async with app.run_test(size=SMALL) as pilot:
        for _ in range(2):
            await pilot.press("ctrl+n")
            await settled(pilot)
        assert "Test all" in seen(app)
        below = app.screen.query_one(KeyBar)
        await pilot.press("a")
        await pilot.pause()
        assert below.render().plain == ""
        assert "esc Cancel" in seen(app)
        await pilot.press("escape")
        await pilot.pause()
        assert "Test all" in seen(app)


@pytest.mark.parametrize("size", [(80, 24), (60, 20)])
async def test_a_form_full_of_errors_keeps_its_buttons_in_sight(
    make_app: Make, lab: World, size: tuple[int, int]
) -> None:
    app = make_app()
    async with app.run_test(size=size) as pilot:
        for _ in range(2):
            await pilot.press("ctrl+n")
            await settled(pilot)
        await pilot.press("a")
        await pilot.pause()
        for key, text in (("address6", "zz"), ("weight", "99999"), ("port", "99999")):
            one = field(app, f"servers[3].{key}")
            one.take_focus()
            await pilot.press("ctrl+u")
            await type_text(pilot, text)
        await pilot.press("ctrl+n")
        await pilot.pause()
        await laid_out(pilot)
        assert len([one for one in app.screen.query(Field) if one.problem]) >= 4
        for button in app.screen.query(Button):
            assert button.region.bottom <= size[1] - 1, button.id
            assert str(button.label) in seen(app)


@pytest.mark.parametrize("width", [80, 120])
async def test_a_long_name_leaves_the_test_its_room(make_app: Make, lab: World, width: int) -> None:
    app = make_app()
    async with app.run_test(size=(width, 24)) as pilot:
        for _ in range(2):
            await pilot.press("ctrl+n")
            await settled(pilot)
        pane = app.screen.query_one(ServersPane)
        pane.draft.servers.append(
            DraftServer(name="a" * 63, address="2001:db8:1234:5678:9abc:def0:1234:5678", user="administrator-of-web")
        )
        pane._fill()
        await pilot.pause()
        assert seen(app).count("not tested") == 3
        assert "has a" in seen(app)
        assert "…" in seen(app)


async def test_a_failed_test_says_in_its_cell_what_failed_and_not_where(make_app: Make, lab: World) -> None:
    lab.servers["web2"].reachable = False
    app = make_app()
    async with app.run_test(size=SMALL) as pilot:
        for _ in range(2):
            await pilot.press("ctrl+n")
            await settled(pilot)
        await pilot.press("T")
        await settled(pilot)
        (row,) = (line for line in seen(app).splitlines() if "web2" in line and "10.0.0.102" in line)
        assert "does not answer" in row


def test_a_server_that_is_left_out_does_not_wait(tmp_path: Path) -> None:
    lab = World.lab()
    lab.servers["web2"].reachable = False
    engine: Engine = engine_of(lab, Nobody(), tmp_path / "journal")
    shop = lab.deployment()
    plan = engine.plan(shop, engine.observe(shop))
    engine.close()
    runs = HostRuns(plan)
    assert {run.host: run.state for run in runs.hosts.values()} == {
        "director": "waiting", "web1": "waiting", "web2": "left out", "web3": "waiting",
    }  # fmt: skip
    assert runs.total == 3
    assert runs.untouched


def test_a_draft_has_no_problem_that_only_this_machine_can_see() -> None:
    from dsrwizard.core.intake.validate import problems_of_draft

    assert not [one for one in problems_of_draft(Draft()) if "own address" in one.text]


async def test_a_path_that_is_typed_at_once_is_no_server_and_a_bad_address_is_refused_in_the_preview(
    make_app: Make, lab: World
) -> None:
    from textual import events
    from textual.widgets import TextArea

    app = make_app()
    async with app.run_test(size=(80, 40)) as pilot:
        await pilot.press("ctrl+n", "ctrl+n", "i")
        await pilot.pause()
        before = len(wizard_draft(app).servers)
        await type_text(pilot, "/nope.txt")
        assert app.screen.query_one(TextArea).text == "", "the file's name goes into its field"
        path = app.screen.query_one("#path")
        path.post_message(events.Paste("web1 10.0.0.101\nbad 10.0.0.999\nweb7 10.0.0.107 5\n"))
        await pilot.pause()
        assert "✗ bad 10.0.0.999: not imported." in seen(app)
        assert "web1 is in the list already" in seen(app)
        assert "✓ web7 10.0.0.107, weight 5" in seen(app)
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert [server.name for server in wizard_draft(app).servers[before:]] == ["web7"]
