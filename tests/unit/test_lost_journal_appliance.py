"""A teardown without the journal of the apply, where an appliance balances: what carries the deployment's name there is
taken back, what others have stays, and what cannot be known is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.steps import DIRECTOR
from tests.fakes.box_shop import VIP, ApplianceShop, BoxShop
from tests.fakes.org_shop import OrgShop

Shops = dict[str, Callable[[Path], ApplianceShop[Any]]]
SHOPS: Shops = {"netscaler": BoxShop, "loadbalancer.org": OrgShop}


@pytest.fixture(params=SHOPS)
def shop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[ApplianceShop[Any]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = SHOPS[request.param](tmp_path)
    yield made
    made.close()
    assert not made.box.errors


def lose(shop: ApplianceShop[Any]) -> None:
    for file in (shop.folder / "journal").glob("shop.*"):
        file.unlink()
    shop.engine.close()
    shop.engine = shop.fresh()


def notes(shop: ApplianceShop[Any], deployment: Any) -> str:
    plan = shop.engine.teardown_plan(deployment)
    return " ".join(note for host in plan.hosts if host.host == DIRECTOR for note in host.notes)


def both(shop: ApplianceShop[Any]) -> tuple[Service, Service]:
    for state in shop.world.servers.values():
        first = state.machine.listeners[0]
        state.machine.listeners.append(type(first)(protocol="tcp", address="*", port=443, process=first.process))
    return Service(port=80, scheduler=shop.scheduler), Service(port=443, scheduler=shop.scheduler)


def test_what_carries_our_name_is_taken_back_and_the_rest_is_said(shop: ApplianceShop[Any]) -> None:
    before = shop.box.snapshot()[0]
    deployment = shop.deployment()
    assert shop.apply(deployment).ok
    lose(shop)
    said = notes(shop, deployment)
    assert "What was there before is not known" in said
    assert ("MBF stay on." if isinstance(shop, BoxShop) else f"{VIP} stays a floating IP.") in said
    assert shop.teardown(deployment).ok
    assert shop.ours() == []
    assert shop.served() == []
    now = shop.box.snapshot()[0]
    if isinstance(shop, BoxShop):
        assert now.modes == {"MBF"}
        now.modes = before.modes
    assert now == before
    assert shop.engine.teardown_plan(deployment).empty


def test_a_service_of_others_on_the_vip_stays_and_so_does_what_it_is_set_to(shop: ApplianceShop[Any]) -> None:
    if isinstance(shop, BoxShop):
        shop.box.running.vservers["theirs"] = {
            "name": "theirs", "servicetype": "ANY", "ipv46": VIP, "port": 80, "m": "MAC", "state": "ENABLED",
            "lbmethod": "SOURCEIPHASH", "sessionless": "ENABLED", "persistencetype": "NONE",
        }  # fmt: skip
    elif isinstance(shop, OrgShop):
        shop.box.config.virtuals["theirs"] = {
            "server": VIP, "ports": "80", "protocol": "tcp", "forwardingmethod": "gate", "scheduler": "wlc",
            "persistent": "off", "persist_time": "300", "granularity": "255.255.255.255",
        }  # fmt: skip
        shop.box.config.reals["theirs"] = {}
        shop.box.config.floating.add(VIP)
    deployment = shop.deployment()
    assert shop.apply(deployment).ok
    lose(shop)
    plan = shop.engine.teardown_plan(deployment)
    (host,) = (one for one in plan.hosts if one.host == DIRECTOR)
    if isinstance(shop, BoxShop):  # what is behind it has names of ours
        assert "has another name than dsrwizard's and stays as it is set" in " ".join(host.notes)
        assert shop.teardown(deployment).ok
        assert shop.ours() == []
        assert "theirs" in shop.box.running.vservers
        assert not [one for one in shop.box.running.bindings if one[0] == "theirs" and one[1].startswith("dsr_")]
    else:
        assert "No journal here tells of it" in host.problem
        assert f"{VIP} tcp/80" in host.problem
        shop.teardown(deployment)
        assert shop.served() == ["web1", "web2", "web3"], "whom it sends clients to keeps the VIP"
        assert "theirs" in shop.box.config.virtuals


def test_what_was_never_applied_and_is_somebody_elses_is_told_and_left(shop: ApplianceShop[Any]) -> None:
    if isinstance(shop, BoxShop):
        shop.box.running.vservers["theirs"] = {
            "name": "theirs", "servicetype": "ANY", "ipv46": VIP, "port": 80, "m": "IP", "state": "ENABLED",
        }  # fmt: skip
    elif isinstance(shop, OrgShop):
        shop.box.config.virtuals["theirs"] = {
            "server": VIP, "ports": "80", "protocol": "tcp", "forwardingmethod": "masq", "scheduler": "wlc",
            "persistent": "off", "persist_time": "300",
        }  # fmt: skip
        shop.box.config.reals["theirs"] = {}
    before = shop.box.snapshot()
    plan = shop.engine.teardown_plan(shop.deployment())
    (host,) = (one for one in plan.hosts if one.host == DIRECTOR)
    assert "nothing there shows that dsrwizard put it there" in host.problem
    shop.teardown(shop.deployment())
    assert shop.box.snapshot() == before


def test_another_deployment_of_ours_on_the_same_appliance_is_not_touched(shop: ApplianceShop[Any]) -> None:
    first = shop.deployment()
    other = msgspec.structs.replace(
        first, name="other", vips=(msgspec.structs.replace(first.vips[0], address="10.0.0.20"),)
    )
    for one in (first, other):
        assert shop.apply(one).ok
    lose(shop)
    assert shop.teardown(first).ok
    assert shop.served() == []
    assert shop.served("10.0.0.20") == ["web1", "web2", "web3"]
