"""A Loadbalancer.org driven over its API v2: judged by where its packets would go, by what of others is left, and by
what it was sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.dialects.loadbalancer_org.calls import calls
from dsrwizard.core.model.balancer_facts import Ldirectord
from dsrwizard.core.model.changes import ServiceChange, ServiceKey, ServiceState
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.errors import DsrError, UsageError
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import DIRECTOR
from tests.fakes.box_shop import VIP, on_box
from tests.fakes.loadbalancer_org import LbManners, LbState
from tests.fakes.org_shop import OrgShop

MANNERS = {
    "as we think": LbManners(),
    "the other way": LbManners(
        at_once=True, goes_on=False, halts_show=True, vip_brings_address=False, nested=False, numbers=True,
        words=("yes", "no"), quoted=True,
    ),
    "plain lines": LbManners(plain=True, vip_brings_address=False, halts_show=True),
    "no names in answers": LbManners(actions_told=False, addresses_told=False, at_once=True),
}  # fmt: skip
LABEL = "dsr_shop_10.0.0.10_80"


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


Make = Callable[..., OrgShop]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[OrgShop] = []

    def shop(**options: Any) -> OrgShop:
        made.append(OrgShop(tmp_path, **options))
        return made[-1]

    yield shop
    for one in made:
        one.close()
        assert not one.box.errors


@pytest.fixture
def shop(make: Make) -> OrgShop:
    return make()


def well(result: RunResult) -> None:
    assert result.ok, [(host.host, host.failure) for host in result.hosts if host.failure]


def sent(shop: OrgShop) -> list[str]:
    return [" ".join((one["action"], one.get("rip", one.get("ip", "")))).strip() for one in shop.box.changed]


# --- apply, again, back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manners", MANNERS)
def test_apply_lets_every_server_in_and_a_second_one_sends_nothing_and_a_teardown_leaves_what_others_have(
    make: Make, manners: str
) -> None:
    shop = make(manners=MANNERS[manners])
    before = shop.box.snapshot()
    deployment = shop.deployment()
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]
    written = len(shop.box.changed)
    assert shop.plan(deployment).empty
    well(shop.apply(deployment))
    assert len(shop.box.changed) == written
    shop.box.reboot()
    assert shop.served() == ["web1", "web2", "web3"], "what is configured is kept by itself"
    well(shop.teardown(deployment))
    assert shop.box.snapshot() == before
    assert shop.engine.teardown_plan(deployment).empty


def test_the_plan_has_the_very_requests_that_are_made_and_their_undo(shop: OrgShop) -> None:
    deployment = shop.deployment()
    steps = on_box(shop.plan(deployment))
    (service,) = (step for step in steps if step.purpose == "service")
    assert service.calls == (
        'POST /api/v2/ {"lbcli":[{"action":"add-vip","layer":"4","vip":"dsr_shop_10.0.0.10_80","ip":"10.0.0.10",'
        '"ports":"80","forwarding":"gate","protocol":"tcp"},{"action":"edit-vip","vip":"dsr_shop_10.0.0.10_80",'
        '"forwarding":"gate","scheduler":"wlc","persistent":"off","check_type":"connect","check_port":"80"},'
        '{"action":"reload-ldirectord"}]}',
    )
    assert service.undo == (
        'POST /api/v2/ {"lbcli":[{"action":"delete-vip","vip":"dsr_shop_10.0.0.10_80"},'
        '{"action":"reload-ldirectord"}]}',
    )
    told = sorted(call for step in steps for call in step.calls or ())
    made: list[list[dict[str, str]]] = []
    honest = shop.box._carried_out

    def noted(actions: list[dict[str, str]], at: int, fault: str) -> Any:
        if actions[0]["action"] != "list":
            made.append(actions)
        return honest(actions, at, fault)

    shop.box._carried_out = noted  # type: ignore[method-assign]
    well(shop.apply(deployment))
    texts = ['POST /api/v2/ {"lbcli":' + msgspec.json.encode(actions).decode() + "}" for actions in made]
    assert sorted(texts) == told


def test_each_change_is_reloaded_in_the_request_that_makes_it_and_nothing_is_restarted(shop: OrgShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    well(shop.teardown(deployment))
    steps = 1 + 3 + 3  # the service, each server, each weight
    assert sent(shop).count("reload-ldirectord") == 2 * steps
    assert not [line for line in sent(shop) if line.startswith("restart")]


def test_a_server_is_added_with_weight_0_and_halted_before_anything_is_reloaded(shop: OrgShop) -> None:
    shop.world.servers["web2"].machine.listeners.clear()
    result = shop.apply(shop.deployment())
    (failed,) = (host.failure for host in result.hosts if host.host == "web2")
    assert failed is not None
    assert "weight 0" in failed.what
    assert shop.served() == ["web1", "web3"]
    assert "online web2" not in sent(shop)
    at = sent(shop).index("add-rip web2")
    assert sent(shop)[at : at + 3] == ["add-rip web2", "halt web2", "reload-ldirectord"]
    assert {one["weight"] for one in shop.box.changed if one["action"] == "add-rip"} == {"0"}, "a halt does not show"


# --- what others have ------------------------------------------------------------------------------------------------


def theirs(shop: OrgShop, **change: str) -> None:
    """A service of others on the VIP, with one of the servers behind it."""
    shop.box.config.virtuals["hand.made"] = {
        "server": VIP, "ports": "80", "protocol": "tcp", "forwardingmethod": "masq", "scheduler": "wrr",
        "persistent": "on", "persist_time": "600", "granularity": "255.255.255.255",
    } | change  # fmt: skip
    shop.box.config.reals["hand.made"] = {
        "Two": {"server": "10.0.0.102", "port": "80", "weight": "100", "minconns": "0", "maxconns": "0"}
    }
    shop.box.config.floating.add(VIP)
    shop.box.reboot()


@pytest.mark.parametrize("manners", ["as we think", "the other way"])
def test_a_service_of_others_on_the_vip_is_used_and_put_back(make: Make, manners: str) -> None:
    shop = make(manners=MANNERS[manners])
    theirs(shop)
    before = shop.box.snapshot()
    deployment = shop.deployment()
    plan = shop.plan(deployment)
    assert not any(step.id.startswith("floating") for step in on_box(plan)), "it has the address already"
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]
    assert LABEL not in shop.box.config.virtuals
    assert shop.box.config.reals["hand.made"]["Two"]["weight"] == "1"
    well(shop.teardown(deployment))
    assert shop.box.snapshot() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ports": "80:443"}, "hand.made takes 10.0.0.10 tcp/80 together with other ports"),
        ({"ports": "20-90"}, "hand.made takes 10.0.0.10 tcp/80 together with other ports"),
        ({"protocol": "tcpudp"}, "hand.made takes 10.0.0.10 tcp/80 together with other ports"),
    ],
)
def test_a_service_of_others_that_takes_more_is_told_and_not_touched(
    shop: OrgShop, change: dict[str, str], words: str
) -> None:
    theirs(shop, **change)
    (host,) = (host for host in shop.plan(shop.deployment()).hosts if host.host == DIRECTOR)
    assert words in host.problem
    assert not shop.box.changed


def test_a_layer_7_service_on_the_vip_is_told(shop: OrgShop) -> None:
    shop.box.config.layer7["proxy"] = {"server": VIP, "ports": "80"}
    (host,) = (host for host in shop.plan(shop.deployment()).hosts if host.host == DIRECTOR)
    assert "proxy takes 10.0.0.10 tcp/80" in host.problem
    assert "layer 7" in " ".join(host.problem.split())


@pytest.mark.parametrize("name", ["web farm", "x;reboot", "$(id)", "a'b"])
def test_a_name_that_its_shell_would_take_apart_is_never_sent(shop: OrgShop, name: str) -> None:
    theirs(shop)
    config = shop.box.config
    config.virtuals[name], config.reals[name] = config.virtuals.pop("hand.made"), config.reals.pop("hand.made")
    (host,) = (host for host in shop.plan(shop.deployment()).hosts if host.host == DIRECTOR)
    assert "give to a shell" in host.problem
    assert not shop.box.changed


def test_another_server_of_the_same_name_behind_a_service_is_told(shop: OrgShop) -> None:
    theirs(shop)
    shop.box.config.reals["hand.made"]["web1"] = {"server": "10.0.0.77", "weight": "5"}
    (host,) = (host for host in shop.plan(shop.deployment()).hosts if host.host == DIRECTOR)
    assert "Another real server of hand.made is called web1: 10.0.0.77" in host.problem


def test_a_floating_ip_that_others_need_by_then_stays(make: Make) -> None:
    shop = make(manners=LbManners(vip_brings_address=False))
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.box.config.layer7["proxy"] = {"server": VIP, "ports": "443"}
    plan = shop.engine.teardown_plan(deployment)
    assert any("10.0.0.10 stays a floating IP: proxy needs it." in note for host in plan.hosts for note in host.notes)
    well(shop.teardown(deployment))
    assert VIP in shop.box.config.floating
    assert LABEL not in shop.box.config.virtuals


# --- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manners", MANNERS)
def test_scheduler_persistence_and_weight_change_without_an_interruption(make: Make, manners: str) -> None:
    shop = make(manners=MANNERS[manners])
    well(shop.apply(shop.deployment()))
    written = len(shop.box.changed)
    other = shop.deployment(
        Service(port=80, scheduler="wrr", persistence=90), change=lambda one: msgspec.structs.replace(one, weight=20)
    )
    well(shop.apply(other))
    assert {line.split()[0] for line in sent(shop)[written:]} == {"edit-vip", "edit-rip", "reload-ldirectord"}
    virtual = shop.box.running.virtuals[LABEL]
    assert (virtual["scheduler"], virtual["persistent"], virtual["persist_time"]) == ("wrr", "on", "90")
    assert {one["weight"] for one in shop.box.running.reals[LABEL].values()} == {"20"}
    assert shop.plan(other).empty


def test_two_protocols_on_a_port_are_two_services(shop: OrgShop) -> None:
    for state in shop.world.servers.values():
        state.machine.listeners.append(msgspec.structs.replace(state.machine.listeners[0], port=7))
    deployment = shop.deployment(Service(port=7), Service(protocol="udp", port=7))
    well(shop.apply(deployment))
    assert {name for name in shop.box.config.virtuals if name.startswith("dsr_")} == {
        "dsr_shop_10.0.0.10_7", "dsr_shop_10.0.0.10_7_udp"
    }  # fmt: skip
    assert shop.box.config.virtuals["dsr_shop_10.0.0.10_7_udp"]["check"] == "ping"
    assert shop.plan(deployment).empty


@pytest.mark.parametrize(
    "break_it",
    [
        lambda config: config.virtuals[LABEL].update(forwardingmethod="masq"),
        lambda config: config.virtuals[LABEL].update(scheduler="dh"),
        lambda config: config.virtuals[LABEL].update(persistent="on"),
        lambda config: config.reals[LABEL]["web2"].update(weight="7"),
        lambda config: config.reals[LABEL]["web2"].update(weight="0"),
        lambda config: config.reals[LABEL].pop("web1"),
        lambda config: config.floating.discard(VIP),
        lambda config: (config.virtuals.pop(LABEL), config.reals.pop(LABEL)),
    ],
)
def test_what_somebody_changed_by_hand_is_found_and_put_right(
    shop: OrgShop, break_it: Callable[[LbState], object]
) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.world.strangers[VIP] = ["02:00:0a:00:00:42"]  # the appliance, which answers ARP for it
    assert shop.engine.verify(deployment).verdict == "pass"
    right = shop.box.snapshot()[0]
    break_it(shop.box.config)
    shop.box.reboot()
    assert not shop.plan(deployment).empty
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]
    assert shop.box.config.virtuals == right.virtuals
    assert shop.box.config.floating == right.floating


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda config: config.virtuals[LABEL].update(forwardingmethod="masq"), "ipvs-differs"),
        (lambda config: config.reals[LABEL]["web2"].update(weight="0"), "drained"),
        (lambda config: config.reals[LABEL].pop("web2"), "ipvs-missing"),
        (lambda config: config.virtuals.pop(LABEL), "ipvs-missing"),
        (lambda config: config.floating.discard(VIP), "director-vip"),
    ],
)
def test_what_was_changed_there_has_a_cause(shop: OrgShop, spoil: Callable[[LbState], object], cause: str) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.world.strangers[VIP] = ["02:00:0a:00:00:42"]
    spoil(shop.box.config)
    assert cause in {one.cause for one in shop.engine.verify(deployment).failures}


def test_a_server_through_which_the_vip_is_dead_may_still_get_clients_and_that_is_said(shop: OrgShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    del shop.world.servers["web2"].machine.links["lo"].addresses[VIP]
    checks = shop.engine.verify(deployment).checks
    (found,) = (one for one in checks if one.check == "director.balancer" and one.server == "web2")
    assert "The Loadbalancer.org may send clients to web2; the VIP is dead through it: vip-missing." in found.message
    assert "connect asks 10.0.0.102" in found.evidence
    assert found.consequence_of == "vip-missing"


def test_mend_puts_right_what_was_changed_there(shop: OrgShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.world.strangers[VIP] = ["02:00:0a:00:00:42"]
    config = shop.box.config
    config.floating.discard(VIP)
    config.virtuals[LABEL].update(forwardingmethod="masq")
    config.reals[LABEL]["web3"].update(weight="0")
    shop.box.reboot()
    assert shop.served() == []
    report = shop.engine.verify(deployment)
    assert {one.cause for one in report.failures} == {"director-vip", "ipvs-differs", "drained"}
    done = shop.engine.mend(deployment, shop.engine.mend_plan(deployment, *report.failures), lambda event: None)
    assert all(one.cured for one in done.mended)
    assert shop.served() == ["web1", "web2", "web3"]


# --- drain, restore --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manners", MANNERS)
def test_a_drain_and_a_restore_from_the_live_view(make: Make, manners: str) -> None:
    shop = make(manners=MANNERS[manners])
    before = shop.box.snapshot()
    deployment = shop.deployment()
    well(shop.apply(deployment))
    watch = shop.engine.watch(deployment)
    watch.set_weight("web2", 0)
    assert shop.served() == ["web1", "web3"]
    assert shop.box.config.held == {(LABEL, "web2"): "drain"}
    rows = {row.server: row for service in watch.once().services for row in service.rows}
    assert rows["web2"].state in ("draining", "drained")
    assert rows["web1"].state == "up"
    watch.set_weight("web2", None)
    assert shop.served() == ["web1", "web2", "web3"]
    assert shop.box.config.held == {}
    well(shop.teardown(deployment))
    assert shop.box.snapshot() == before


def test_a_weight_that_it_does_not_take_is_refused_before_it_is_asked(shop: OrgShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    before = len(shop.box.changed)
    with pytest.raises(UsageError, match=r"Loadbalancer\.org takes whole numbers from 0"):
        shop.engine.watch(deployment).set_weight("web1", 65_536)
    assert len(shop.box.changed) == before


def test_one_that_takes_no_weight_0_is_told_and_nobody_is_served_unproved(make: Make) -> None:
    shop = make(manners=LbManners(takes_zero=False))
    before = shop.box.snapshot()
    deployment = shop.deployment()
    result = shop.apply(deployment)
    (director,) = (host for host in result.hosts if host.host == DIRECTOR)
    assert director.failure is not None
    assert "add-rip dsr_shop_10.0.0.10_80 web" in director.failure.what
    assert "no weight: 0" in director.failure.why
    assert shop.served() == []
    well(shop.teardown(deployment))
    assert shop.box.snapshot() == before


# --- answers that are lost, refused or wrong -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop", "refuse", "busy", "cut", "page"])
@pytest.mark.parametrize("action", ["add-floating-ip", "add-vip", "add-rip", "online", "edit-rip"])
@pytest.mark.parametrize("manners", ["as we think", "the other way"])
def test_an_answer_that_is_lost_or_garbled_leaves_nothing_half_served(
    make: Make, manners: str, action: str, kind: str
) -> None:
    shop = make(manners=MANNERS[manners], by_hand=True)
    before = shop.box.snapshot()
    shop.box.faults = [(lambda one: one["action"] == action, kind)]
    deployment = shop.deployment()
    shop.apply(deployment)
    assert not shop.box.faults
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]
    well(shop.teardown(deployment))
    assert shop.box.snapshot() == before


@pytest.mark.parametrize("action", ["add-vip", "add-rip", "online", "edit-rip", "reload-ldirectord"])
def test_an_action_that_it_refuses_is_named_and_a_later_apply_goes_on(make: Make, action: str) -> None:
    shop = make(by_hand=True)
    shop.box.faults = [(lambda one: one["action"] == action, "failed")]
    deployment = shop.deployment()
    result = shop.apply(deployment)
    (director,) = (host for host in result.hosts if host.host == DIRECTOR)
    assert director.failure is not None
    assert action in director.failure.what
    assert "was refused" in director.failure.what
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]


def test_one_that_says_success_and_does_nothing_is_found_out(make: Make) -> None:
    shop = make(by_hand=True)
    shop.box.faults = [(lambda one: one["action"] == "edit-rip", "idle")] * 9
    result = shop.apply(shop.deployment())
    (director,) = (host for host in result.hosts if host.host == DIRECTOR)
    assert director.failure is not None
    assert "did not take" in director.failure.what
    assert shop.served() == []


@pytest.mark.parametrize("action", ["add-vip", "edit-vip", "add-rip", "edit-rip"])
def test_a_request_that_breaks_off_before_its_reload_is_reloaded_by_the_same_run(make: Make, action: str) -> None:
    shop = make(by_hand=True, servers=1)
    shop.box.faults = [(lambda one: one["action"] == action, "torn")]
    well(shop.apply(shop.deployment()))
    assert not shop.box.faults
    assert shop.served() == ["web1"]
    assert shop.box.running == shop.box.config


def test_a_service_of_others_is_not_deleted_whatever_is_to_leave(shop: OrgShop) -> None:
    theirs(shop)
    config = Ldirectord(virtuals={"hand.made": {"server": VIP, "ports": "80", "protocol": "tcp"}}, reals={})
    key = ServiceKey(VIP, "tcp", 80)
    change = ServiceChange(service=key, old=ServiceState(scheduler="wlc"), new=None)
    assert calls(change, config, shop.deployment()) == ()


def test_a_dump_without_its_services_is_not_an_empty_one(shop: OrgShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.box, "_dump", lambda: {"haproxy": []})
    observed = shop.engine.observe(shop.deployment())
    assert "without ldirectord" in observed.failed[DIRECTOR].text
    assert shop.plan(shop.deployment()).hosts[0].steps == ()


def test_the_second_address_is_asked_where_the_first_is_silent_and_that_is_a_guess_which_is_said(make: Make) -> None:
    shop = make(nodes=2)
    deployment = shop.deployment()
    (host,) = (host for host in shop.plan(deployment).hosts if host.host == DIRECTOR)
    assert any("127.0.0.1 is taken for the active appliance" in note for note in host.notes)
    assert deployment.balancer is not None
    other = msgspec.structs.replace(deployment.balancer, addresses=("127.9.9.9", "127.0.0.2"))
    facts = shop.engine.observe(msgspec.structs.replace(deployment, balancer=other)).director
    assert facts is not None
    assert facts.balancer is not None
    assert facts.balancer.at == "127.0.0.2"


def test_nothing_but_words_and_no_services_option_leaves_this_machine() -> None:
    from backends.loadbalancer_org.lbcli import allowed

    for action in (
        {"action": "online", "vip": "a", "rip": "b", "services": "all"}, {"action": "online", "vip": "a b"},
        {"action": "online", "vip": "a\n"}, {"action": "online", "vip": ""}, {"action": "x;y"}, {"act ion": "x"},
        {"action": "online", "vip": "é"}, {"action": "edit-vip", "check_password": "x"},
    ):  # fmt: skip
        with pytest.raises(DsrError, match="is not sent"):
            allowed(action)
    allowed({"action": "online", "vip": "dsr_shop_fd00::10_80", "rip": "web-1.example"})
