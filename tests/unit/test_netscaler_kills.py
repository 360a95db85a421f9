"""A kill, or a reboot that loses what was not saved, at every call: then it is applied again, or taken back.

The journal and the configuration are kept as they stand before and after each call that changes something; each pair is
what a kill at that moment leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.steps import DIRECTOR
from tests.fakes.box_shop import VIP, BoxShop
from tests.fakes.moments import applied_well, failures, moments_of, taken_back_well
from tests.fakes.netscaler import Config

State = tuple[Config, Config, bool]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoxShop]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = BoxShop(tmp_path, by_hand=True, servers=2)  # what is on the servers is not killed here
    yield made
    made.close()
    assert not made.box.errors


def applied(shop: BoxShop, deployment: Deployment) -> str:
    return applied_well(shop, deployment, ["web1", "web2"]) or ("not saved" if shop.box.unsaved else "")


def taken_back(shop: BoxShop, deployment: Deployment, before: State) -> str:
    return taken_back_well(shop, deployment, lambda: shop.box.running == before[0])


@pytest.mark.exhaustive
@pytest.mark.parametrize("theirs", [False, True], ids=["own virtual server", "a virtual server of others"])
def test_a_kill_at_every_call_of_an_apply(shop: BoxShop, theirs: bool) -> None:
    if theirs:
        shop.box.running.vservers["hand made"] = {
            "name": "hand made", "servicetype": "ANY", "ipv46": VIP, "port": 80, "m": "IP", "state": "ENABLED",
            "lbmethod": "ROUNDROBIN", "sessionless": "DISABLED", "persistencetype": "NONE",
        }  # fmt: skip
        shop.box.keep()
    before = shop.box.snapshot()
    deployment = shop.deployment()
    moments = moments_of(shop, lambda: shop.apply(deployment))
    assert len(moments.taken) >= 20, "before and after each call"
    assert failures(shop, moments, lambda: applied(shop, deployment)) == []
    assert failures(shop, moments, lambda: taken_back(shop, deployment, before)) == []


@pytest.mark.exhaustive
def test_a_kill_at_every_call_of_a_teardown(shop: BoxShop) -> None:
    before = shop.box.snapshot()
    deployment = shop.deployment()
    assert applied(shop, deployment) == ""
    moments = moments_of(shop, lambda: shop.teardown(deployment))
    assert len(moments.taken) >= 14
    assert failures(shop, moments, lambda: applied(shop, deployment)) == []
    assert failures(shop, moments, lambda: taken_back(shop, deployment, before)) == []


@pytest.mark.exhaustive
def test_a_reboot_without_a_save_at_every_call(shop: BoxShop) -> None:
    before = shop.box.snapshot()
    deployment = shop.deployment()
    moments = moments_of(shop, lambda: shop.apply(deployment))

    def rebooted(then: Callable[[], str]) -> Callable[[], str]:
        def work() -> str:
            shop.box.reboot()
            return then()

        return work

    assert failures(shop, moments, rebooted(lambda: applied(shop, deployment))) == []
    assert failures(shop, moments, rebooted(lambda: taken_back(shop, deployment, before))) == []


@pytest.mark.exhaustive
def test_a_kill_at_every_call_of_a_drain_and_a_restore(shop: BoxShop) -> None:
    before = shop.box.snapshot()
    deployment = shop.deployment()
    assert applied(shop, deployment) == ""

    def there_and_back() -> None:
        watch = shop.engine.watch(deployment)
        watch.set_weight("web1", 0)
        watch.set_weight("web1", None)

    moments = moments_of(shop, there_and_back)
    assert len(moments.taken) >= 8
    assert failures(shop, moments, lambda: applied(shop, deployment)) == []
    assert failures(shop, moments, lambda: taken_back(shop, deployment, before)) == []


def test_what_somebody_changed_by_hand_is_found_and_put_right(shop: BoxShop) -> None:
    deployment = shop.deployment()
    assert applied(shop, deployment) == ""
    breaks: tuple[Callable[[Config], object], ...] = (
        lambda config: config.vservers["dsr_shop_10.0.0.10_80"].update(m="IP"),
        lambda config: config.vservers["dsr_shop_10.0.0.10_80"].update(sessionless="DISABLED"),
        lambda config: config.services["dsr_shop_web2_80"].update(ordered="DISABLED"),
        lambda config: config.bindings.remove(("dsr_shop_10.0.0.10_80", "dsr_shop_web1_80", 1)),
        lambda config: config.modes.discard("MBF"),
        lambda config: config.features.discard("LB"),
    )
    for break_it in breaks:
        break_it(shop.box.running)
        assert not shop.plan(deployment).empty
        assert applied(shop, deployment) == ""


def test_a_service_that_others_put_behind_theirs_stays(shop: BoxShop) -> None:
    deployment = shop.deployment()
    assert applied(shop, deployment) == ""
    config = shop.box.running
    config.vservers["theirs"] = {"name": "theirs", "servicetype": "ANY", "ipv46": "10.0.9.44", "port": 80, "m": "IP",
                                 "state": "ENABLED"}  # fmt: skip
    config.bindings.append(("theirs", "dsr_shop_web1_80", 3))
    assert shop.teardown(deployment).ok
    assert ("theirs", "dsr_shop_web1_80", 3) in config.bindings
    assert not any(vserver.startswith("dsr_") for vserver, *_ in shop.box.running.bindings)


def test_a_server_at_weight_0_in_the_file_is_kept_out(shop: BoxShop) -> None:
    idle = shop.deployment(change=lambda one: msgspec.structs.replace(one, weight=0 if one.name == "web2" else 1))
    result = shop.apply(idle)
    assert result.ok
    assert shop.served() == ["web1"]
    assert shop.plan(idle).empty
    assert not any(host.problem for host in shop.plan(idle).hosts if host.host == DIRECTOR)
