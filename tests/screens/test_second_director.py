"""The director step asks whether there is one director or two, and says what that means for clients."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.deployment_file import dumps, loads
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.intake.validate import deployment_of
from dsrwizard.core.model.deployment import Balancer
from dsrwizard.session import Session
from tests.fakes.world import World
from tests.screens.driving import field, focused_key, seen, settled, type_text, typed, wizard, wizard_draft

pytestmark = pytest.mark.long

Make = Callable[..., DsrApp]


def _read(app: DsrApp) -> str:
    """The screen's sentences, without what frames and breaks them."""
    return " ".join(seen(app).replace("│", " ").split())


def _at_director(lab: World) -> Session:
    draft = Draft.from_deployment(lab.deployment())
    return Session(draft=draft, step="director", visited={"vip", "director"})


class TestOneDirectorOrTwo:
    async def test_one_is_the_rule_and_what_that_means_is_said(self, make_app: Make, lab: World) -> None:
        app = make_app(session=_at_director(lab))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("enter")  # resume
            await settled(pilot)
            assert "while it is down or restarts, nobody is served" in _read(app)
            assert not list(app.screen.query("#second Field"))

    async def test_two_by_keyboard_end_up_in_the_file(self, make_app: Make, lab: World) -> None:
        app = make_app(session=_at_director(lab))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("enter")  # resume
            await settled(pilot)
            field(app, "director.engine").take_focus()
            await pilot.pause()
            await pilot.press("down", "space")
            await settled(pilot)
            assert "the other takes the VIPs over in about 0.4 s" in _read(app)
            assert "must be told of each connection to 10.0.0.10 tcp/80" in _read(app)
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert wizard(app).step == "director", "the other director's address is missing"
            assert focused_key(app) == "director.peers[0].address"
            await type_text(pilot, "10.0.0.3")
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert wizard(app).step == "servers"
            written = loads(dumps(deployment_of(wizard_draft(app)))).director
            assert written.engine == "keepalived"
            assert [(peer.name, peer.address) for peer in written.peers] == [("lb2", "10.0.0.3")]

    async def test_who_changes_the_mind_twice_loses_nothing(self, make_app: Make, lab: World) -> None:
        app = make_app(session=_at_director(lab))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("enter")  # resume
            await settled(pilot)
            field(app, "director.engine").take_focus()
            await pilot.press("down", "space")
            await settled(pilot)
            field(app, "director.peers[0].address").take_focus()
            await pilot.pause()
            await type_text(pilot, "10.0.0.3")
            field(app, "director.engine").take_focus()
            await pilot.press("up", "space")
            await settled(pilot)
            assert wizard_draft(app).peers == [], "with one director the file names no other"
            assert not list(app.screen.query("#second Field"))
            await pilot.press("down", "space")
            await settled(pilot)
            assert typed(app, "director.peers[0].address") == "10.0.0.3"

    async def test_a_real_server_as_the_second_is_refused_with_the_reason(self, make_app: Make, lab: World) -> None:
        session = _at_director(lab)
        server = session.draft.servers[0].address
        app = make_app(session=session)
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("enter")  # resume
            await settled(pilot)
            field(app, "director.engine").take_focus()
            await pilot.press("down", "space")
            await settled(pilot)
            field(app, "director.peers[0].address").take_focus()
            await pilot.pause()
            await type_text(pilot, server)
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert wizard(app).step == "director"
            assert "packets would go round between the two" in _read(app)


class TestAnApplianceOfTheFile:
    async def test_it_goes_on_as_it_is_and_comes_back_when_the_mind_changes(self, make_app: Make, lab: World) -> None:
        deployment = msgspec.structs.replace(
            lab.deployment(engine="netscaler"),
            balancer=Balancer(addresses=("10.1.0.5",), user="nsroot", method="SRCIPSRCPORTHASH", save=False),
        )
        draft = Draft.from_deployment(deployment)
        app = make_app(session=Session(draft=draft, step="director", visited={"vip", "director"}))
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("enter")  # resume
            await settled(pilot)
            assert typed(app, "balancer.addresses[0]") == "10.1.0.5"
            field(app, "director.engine").take_focus()
            await pilot.pause()
            await pilot.press(*["down"] * 6, "space")  # from the first choice
            await settled(pilot)
            assert wizard_draft(app).engine == "external"
            assert wizard_draft(app).balancer is None, "else the file would be refused"
            await pilot.press(*["up"] * 4, "space")
            await settled(pilot)
            assert deployment_of(wizard_draft(app)) == deployment
