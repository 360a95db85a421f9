"""What a NetScaler says held against what is so: the VIP through each server, counters, settings, what is saved."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.outcome import RunResult
from tests.fakes.box_shop import VIP, BoxShop
from tests.fakes.netscaler import Config

BOX_MAC = "02:00:0a:00:00:42"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoxShop]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = BoxShop(tmp_path)
    yield made
    made.close()
    assert not made.box.errors


def well(result: RunResult) -> None:
    assert result.ok, [(host.host, host.failure) for host in result.hosts if host.failure]


def told(shop: BoxShop, server: str) -> Check:
    report = shop.engine.verify(shop.deployment())
    return next(one for one in report.checks if one.check == "director.balancer" and one.server == server)


def test_a_server_that_it_calls_up_while_the_vip_is_dead_through_it(shop: BoxShop) -> None:
    well(shop.apply(shop.deployment()))
    assert told(shop, "web2").outcome == "pass"
    del shop.world.servers["web2"].machine.links["lo"].addresses[VIP]
    found = told(shop, "web2")
    assert "The NetScaler says web2 UP; the VIP is dead through it: vip-missing." in found.message
    assert found.consequence_of == "vip-missing"
    assert "dsr_shop_tcp_80 asks 10.0.0.102: Success" in found.evidence
    assert told(shop, "web1").outcome == "pass"


def test_replies_that_pass_it_are_no_direct_server_return(shop: BoxShop) -> None:
    well(shop.apply(shop.deployment()))
    shop.box.counters["dsr_shop_web1_80"] = {"totalrequestbytes": "900", "totalresponsebytes": "70000"}
    found = told(shop, "web1")
    assert found.outcome == "unknown"
    assert "Replies of web1 pass the NetScaler" in found.message
    assert "response bytes 70000" in found.evidence


def test_what_is_not_saved_is_lost_at_its_next_reboot(shop: BoxShop) -> None:
    well(shop.apply(shop.deployment()))
    shop.box.unsaved = True
    report = shop.engine.verify(shop.deployment())
    (found,) = (one for one in report.failures if one.cause == "not-persistent")
    assert "loses what is not saved" in found.message
    assert "save ns config" in found.fix
    well(shop.apply(shop.deployment()))
    assert not [one for one in shop.engine.verify(shop.deployment()).failures if one.cause == "not-persistent"]


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda config: config.modes.discard("MBF"), "director-setting"),
        (lambda config: config.features.discard("LB"), "director-setting"),
        (lambda config: config.services["dsr_shop_web2_80"].update(ordered="DISABLED"), "drained"),
        (lambda config: config.vservers["dsr_shop_10.0.0.10_80"].update(m="IP"), "ipvs-differs"),
        (lambda config: config.vservers["dsr_shop_10.0.0.10_80"].update(sessionless="DISABLED"), "ipvs-differs"),
        (lambda config: config.vservers["dsr_shop_10.0.0.10_80"].update(state="DISABLED"), "director-vip"),
        (lambda config: config.vservers.pop("dsr_shop_10.0.0.10_80"), "ipvs-missing"),
    ],
)
def test_what_was_changed_there_has_a_cause(shop: BoxShop, spoil: Callable[[Config], object], cause: str) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.world.strangers[VIP] = ["02:00:0a:00:00:42"]  # the NetScaler, which answers ARP for it
    assert shop.engine.verify(deployment).verdict == "pass"
    spoil(shop.box.running)
    assert cause in {one.cause for one in shop.engine.verify(deployment).failures}


@pytest.mark.parametrize("how", ["rewrites", "swallows", "answers itself"])
def test_a_box_that_says_mac_and_does_not_do_so_is_found_by_a_packet_through_it(shop: BoxShop, how: str) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.world.strangers[VIP] = [BOX_MAC]

    def through() -> Check:
        checks = shop.engine.verify(deployment).checks
        return next(one for one in checks if one.check == "director.balancer" and one.vip and not one.server)

    found = through()
    assert found.outcome == "pass"
    assert re.search(r"tcp/80 answers through the NetScaler, and web\d replies past it", found.message)
    if how == "answers itself":
        proxy = shop.world.servers["proxy"] = copy.deepcopy(shop.world.servers["web1"])
        proxy.rips, proxy.machine.mac = ("10.0.0.250",), BOX_MAC
        for link in proxy.machine.links.values():
            link.addresses.pop("10.0.0.101", None)
        shop.world.box = lambda vip, port: ["10.0.0.250"]
    else:
        shop.box.forwards_as_ip = how == "rewrites"
        shop.box.lets_none_in = set(shop.box.running.services) if how == "swallows" else set()
    found = through()
    assert (found.outcome, found.cause) == ("fail", "ipvs-differs"), found
    assert ("itself" if how == "answers itself" else "dead through the NetScaler, and alive") in found.message


def test_what_is_dead_through_the_box_because_every_server_is_follows_from_that(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.world.strangers[VIP] = [BOX_MAC]
    for state in shop.world.servers.values():
        del state.machine.links["lo"].addresses[VIP]
    failures = shop.engine.verify(deployment).failures
    assert {one.cause for one in failures} == {"vip-missing"}


def test_a_netscaler_that_does_not_answer_is_told_and_the_rest_is_looked_at(shop: BoxShop) -> None:
    well(shop.apply(shop.deployment()))
    shop.box.faults = [(lambda method, path: path.startswith("config/login"), "busy") for _ in range(9)]
    shop.engine.close()
    shop.engine = shop.fresh()
    report = shop.engine.verify(shop.deployment())
    (found,) = (one for one in report.checks if one.check == "director.balancer")
    assert found.outcome == "unknown"
    assert "503" in found.evidence
    assert any(one.check.startswith("probe") and one.outcome == "pass" for one in report.checks)


def test_mend_turns_on_what_is_off_and_saves(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.world.strangers[VIP] = ["02:00:0a:00:00:42"]
    shop.box.running.modes.discard("MBF")
    shop.box.running.services["dsr_shop_web3_80"]["ordered"] = "DISABLED"
    shop.box.unsaved = True
    assert shop.served() == []
    report = shop.engine.verify(deployment)
    causes = {one.cause for one in report.failures}
    assert causes == {"director-setting", "drained", "not-persistent"}
    done = shop.engine.mend(deployment, shop.engine.mend_plan(deployment, *report.failures), lambda event: None)
    assert all(one.cured for one in done.mended)
    assert shop.served() == ["web1", "web2", "web3"]
    assert not shop.box.unsaved


def test_a_weight_that_it_does_not_take_is_refused_before_it_is_asked(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    before = len(shop.box.changed)
    with pytest.raises(UsageError, match="NetScaler takes whole numbers from 0"):
        shop.engine.watch(deployment).set_weight("web1", 101)
    assert len(shop.box.changed) == before


def test_the_live_view_counts_what_it_counts_and_names_no_stranger(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.world.strangers[VIP] = ["02:00:0a:00:00:42"]
    shop.box.counters["dsr_shop_web1_80"] = {
        "vsvrservicehits": "41",
        "totalrequestbytes": "900",
        "curclntconnections": "3",
    }
    (service,) = shop.engine.watch(deployment).once().services
    assert (service.owner, service.message) == ("director", "")
    web1 = next(row for row in service.rows if row.server == "web1")
    assert (web1.state, web1.weight, web1.active) == ("up", 1, 3)
    assert (web1.totals.connections, web1.totals.in_bytes) == (41, 900)
