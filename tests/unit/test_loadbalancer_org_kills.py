"""A kill at every request to a Loadbalancer.org: then it is applied again, or taken back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.box_shop import VIP
from tests.fakes.loadbalancer_org import LbManners
from tests.fakes.moments import Moments, applied_well, failures, moments_of, taken_back_well
from tests.fakes.org_shop import OrgShop

MANNERS = {
    "reload needed": LbManners(),
    "at once": LbManners(at_once=True, halts_show=True, vip_brings_address=False, goes_on=False),
    "halts show": LbManners(halts_show=True, vip_brings_address=False),
}


@pytest.fixture(params=MANNERS)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[OrgShop]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = OrgShop(tmp_path, by_hand=True, servers=2, manners=MANNERS[request.param])
    yield made
    made.close()
    assert not made.box.errors


class Trial:
    """A shop with what was there at first."""

    def __init__(self, shop: OrgShop) -> None:
        self.shop, self.deployment = shop, shop.deployment()
        self.before = shop.box.snapshot()

    def applied(self) -> str:
        return applied_well(self.shop, self.deployment, ["web1", "web2"])

    def taken_back(self) -> str:
        return taken_back_well(self.shop, self.deployment, lambda: self.shop.box.snapshot() == self.before)

    def both(self, moments: Moments) -> list[str]:
        return [*failures(self.shop, moments, self.applied), *failures(self.shop, moments, self.taken_back)]


@pytest.mark.exhaustive
@pytest.mark.parametrize("theirs", [False, True], ids=["own service", "a service of others"])
def test_a_kill_at_every_request_of_an_apply(shop: OrgShop, theirs: bool) -> None:
    if theirs:
        shop.box.config.virtuals["hand.made"] = {
            "server": VIP, "ports": "80", "protocol": "tcp", "forwardingmethod": "masq", "scheduler": "wrr",
            "persistent": "on", "persist_time": "600", "granularity": "255.255.255.255",
        }  # fmt: skip
        shop.box.config.reals["hand.made"] = {}
        shop.box.config.floating.add(VIP)
        shop.box.reboot()
    trial = Trial(shop)
    moments = moments_of(shop, lambda: shop.apply(trial.deployment))
    assert len(moments.taken) >= 14, "before and after each request"
    assert trial.both(moments) == []


@pytest.mark.exhaustive
def test_a_kill_at_every_request_of_a_teardown(shop: OrgShop) -> None:
    trial = Trial(shop)
    assert trial.applied() == ""
    moments = moments_of(shop, lambda: shop.teardown(trial.deployment))
    assert len(moments.taken) >= 10
    assert trial.both(moments) == []


@pytest.mark.exhaustive
def test_a_kill_at_every_request_of_a_drain_and_a_restore(shop: OrgShop) -> None:
    trial = Trial(shop)
    assert trial.applied() == ""

    def there_and_back() -> None:
        watch = shop.engine.watch(trial.deployment)
        watch.set_weight("web1", 0)
        watch.set_weight("web1", None)

    moments = moments_of(shop, there_and_back)
    assert len(moments.taken) >= 6
    assert trial.both(moments) == []


@pytest.mark.exhaustive
def test_a_reboot_at_every_request_of_an_apply(shop: OrgShop) -> None:
    trial = Trial(shop)
    moments = moments_of(shop, lambda: shop.apply(trial.deployment))

    def rebooted(then: Callable[[], str]) -> Callable[[], str]:
        def work() -> str:
            shop.box.reboot()
            return then()

        return work

    assert failures(shop, moments, rebooted(trial.applied)) == []
    assert failures(shop, moments, rebooted(trial.taken_back)) == []
