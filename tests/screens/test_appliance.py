"""The director step offers load balancers by their names; a driven one goes by keyboard to the live view."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.intake.validate import deployment_of
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.ports import Asker, BalancerPort
from dsrwizard.engine.engine import Engine
from dsrwizard.session import Session
from screens.questions.modals import SecretModal
from tests.fakes.box_shop import VIP, ApplianceShop, BoxShop
from tests.fakes.loadbalancer_org import ORG_KEY, ORG_PASSWORD
from tests.fakes.netscaler import PASSWORD
from tests.fakes.org_shop import OrgShop
from tests.fakes.world import World
from tests.screens.driving import field, focused_key, seen, settled, type_text, until, wizard, wizard_draft
from tests.screens.test_review_apply import on_row

Make = Callable[..., DsrApp]
ORDER = ("netlink", "keepalived", "netscaler", "loadbalancer.org", "aloha", "barracuda", "external")


def _read(app: DsrApp) -> str:
    """The screen's sentences, without what frames and breaks them."""
    return " ".join(seen(app).replace("│", " ").split())


def _at_director(draft: Draft) -> Session:
    return Session(draft=draft, step="director", visited={"vip", "director"})


async def _choose(pilot: Pilot[int], engine: str) -> None:
    app = pilot.app
    assert isinstance(app, DsrApp)
    field(app, "director.engine").take_focus()
    await pilot.pause()
    now = ORDER.index(wizard_draft(app).engine)
    await pilot.press(*["down" if ORDER.index(engine) > now else "up"] * abs(ORDER.index(engine) - now), "space")
    await settled(pilot)
    assert wizard_draft(app).engine == engine


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_every_product_is_a_choice_by_its_name(make_app: Make, lab: World, size: tuple[int, int]) -> None:
    app = make_app(session=_at_director(Draft.from_deployment(lab.deployment())))
    async with app.run_test(size=size) as pilot:
        await pilot.press("enter")  # resume
        await settled(pilot)
        for name in ("NetScaler", "Loadbalancer.org", "HAProxy ALOHA", "Barracuda", "Any other product"):
            assert name in _read(app), name
        for engine in ORDER[2:]:
            await _choose(pilot, engine)
            keys = {one.key for one in app.screen.query("Appliance Field")}  # type: ignore[attr-defined]
            assert bool(keys) == (engine in ("netscaler", "loadbalancer.org"))


async def test_what_is_driven_has_to_say_where_it_is(make_app: Make, lab: World) -> None:
    app = make_app(session=_at_director(Draft.from_deployment(lab.deployment())))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")  # resume
        await settled(pilot)
        await _choose(pilot, "netscaler")
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert wizard(app).step == "director"
        assert focused_key(app) == "balancer.addresses[0]"
        assert "The management address of the NetScaler is missing." in _read(app)
        await type_text(pilot, VIP)
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert "10.0.0.10 is the VIP, not the management of the NetScaler." in _read(app)
        await pilot.press(*["backspace"] * len(VIP))
        await type_text(pilot, "10.1.0.5")
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert focused_key(app) == "balancer.user"
        await type_text(pilot, "nsroot")
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert wizard(app).step == "servers"
        made = deployment_of(wizard_draft(app))
        assert made.director.engine == "netscaler"
        assert made.balancer is not None
        assert (made.balancer.addresses, made.balancer.user, made.balancer.save) == (("10.1.0.5",), "nsroot", True)


async def test_who_changes_the_mind_loses_nothing_and_the_file_has_what_the_choice_needs(
    make_app: Make, lab: World
) -> None:
    app = make_app(session=_at_director(Draft.from_deployment(lab.deployment())))
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("enter")  # resume
        await settled(pilot)
        await _choose(pilot, "netscaler")
        field(app, "balancer.addresses[1]").take_focus()
        await pilot.pause()
        await type_text(pilot, "10.1.0.6")
        await _choose(pilot, "netlink")
        assert wizard_draft(app).balancer is None, "else the file would be refused"
        assert not list(app.screen.query("Appliance Field"))
        await _choose(pilot, "barracuda")
        assert not list(app.screen.query("Appliance Field"))
        await _choose(pilot, "external")
        assert wizard_draft(app).balancer is None
        await _choose(pilot, "loadbalancer.org")
        given = wizard_draft(app).balancer
        assert given is not None
        assert given.addresses == ["10.1.0.6"]


SHOPS: dict[str, Callable[[Path], ApplianceShop[Any]]] = {
    "netscaler": BoxShop,
    "loadbalancer.org": OrgShop,
}


@pytest.fixture(params=SHOPS)
def shop(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[ApplianceShop[Any]]:
    made = SHOPS[request.param](tmp_path)
    made.world.strangers[VIP] = ["02:00:0a:00:00:42"]  # the appliance, which answers ARP for it
    yield made
    made.close()
    assert not made.box.errors


AT = "10.1.0.5"
SECRETS = {"netscaler": (PASSWORD,), "loadbalancer.org": (ORG_PASSWORD, ORG_KEY)}


async def test_by_keyboard_from_the_choice_to_the_live_view(
    shop: ApplianceShop[Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    open_it = shop.open_balancer

    def there(deployment: Deployment, asker: Asker) -> BalancerPort:
        given = deployment.balancer
        assert given is not None
        assert given.addresses == (AT,)
        here = msgspec.structs.replace(given, addresses=shop.box.addresses)
        return open_it(msgspec.structs.replace(deployment, balancer=here), asker)

    def engine(asker: Asker) -> Engine:
        shop.operator = asker  # type: ignore[assignment]
        shop.engine.close()
        shop.engine = shop.fresh()
        return shop.engine

    monkeypatch.setattr(shop, "open_balancer", there)
    draft = Draft.from_deployment(shop.deployment())
    draft.engine, draft.balancer = "netlink", None
    app = DsrApp(engine, ascii_only=False, session=_at_director(draft))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("enter")  # resume
        await settled(pilot)
        await _choose(pilot, shop.engine_name)
        for key, text in (
            ("balancer.addresses[0]", AT), ("balancer.user", shop.user), ("balancer.port", str(shop.box.port)),
        ):  # fmt: skip
            field(app, key).take_focus()
            await pilot.pause()
            await type_text(pilot, text)
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert wizard(app).step == "servers"
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "Refuse" in seen(app))
        assert "This certificate is not trusted." in _read(app)
        await pilot.press("right", "enter")
        for secret in SECRETS[shop.engine_name]:
            await until(pilot, lambda: isinstance(app.screen, SecretModal))
            await type_text(pilot, secret)
            await pilot.press("enter")
        await until(pilot, lambda: "steps on" in _read(app))
        await settled(pilot)
        assert wizard(app).step == "review"
        await on_row(pilot, "#review-rows", "Virtual server" if shop.engine_name == "netscaler" else "Virtual service")
        await pilot.press("enter")
        await settled(pilot)
        assert CALLED[shop.engine_name].replace(" ", "") in _read(app).replace(" ", "")
        await pilot.press("escape")
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert f"The {'NetScaler' if shop.engine_name == 'netscaler' else 'appliance'} takes 10.0.0.10." in _read(app)
        assert not shop.box.changed, "nothing before it is confirmed"
        await pilot.press("right", "enter")
        await settled(pilot)
        assert "Done: all 4 hosts." in _read(app)
        assert shop.served() == ["web1", "web2", "web3"]
        await pilot.press("ctrl+n")
        await settled(pilot)
        assert wizard(app).step == "verify"
        assert "failed" not in _read(app)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: "3/3 up" in seen(app))


CALLED = {
    "netscaler": "POST /nitro/v1/config/lbvserver",
    "loadbalancer.org": 'POST /api/v2/ {"lbcli":[{"action":"add-vip"',
}
