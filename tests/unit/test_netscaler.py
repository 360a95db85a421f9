"""A NetScaler driven over NITRO: judged by where its packets would go, by what of others is left, and by its log."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import DIRECTOR, Plan
from tests.fakes.box_shop import VIP, BoxShop, on_box
from tests.fakes.netscaler import Manners

MANNERS = {
    "as we think": Manners(),
    "the other way": Manners(
        own_status=400, one_per_address=False, text_numbers=False, state_follows=False, lists=False, capitals=True,
        reverse=False, server_takes_services=False,
    ),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


Make = Callable[..., BoxShop]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[BoxShop] = []

    def shop(**options: object) -> BoxShop:
        made.append(BoxShop(tmp_path, **options))  # type: ignore[arg-type]
        return made[-1]

    yield shop
    for one in made:
        one.close()
        assert not one.box.errors


@pytest.fixture
def shop(make: Make) -> BoxShop:
    return make()


def well(result: RunResult) -> None:
    assert result.ok, [(host.host, host.failure) for host in result.hosts if host.failure]


def called(plan: Plan) -> list[str]:
    return [call for step in on_box(plan) for call in step.calls or ()]


def sent(shop: BoxShop) -> list[str]:
    return [f"{method} {path}" for _, method, path, _ in shop.box.changed]


# --- apply, again, back ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("manners", MANNERS)
def test_apply_lets_every_server_in_once_it_is_proved_and_a_second_apply_writes_nothing(
    make: Make, manners: str
) -> None:
    shop = make(manners=MANNERS[manners])
    deployment = shop.deployment()
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]
    assert not shop.box.unsaved
    written = len(shop.box.changed)
    assert shop.plan(deployment).empty
    well(shop.apply(deployment))
    assert len(shop.box.changed) == written
    shop.engine.close()
    assert not shop.box.sessions, "every session is logged out: there are 20"


@pytest.mark.parametrize("manners", MANNERS)
def test_a_teardown_leaves_what_others_have_byte_for_byte(make: Make, manners: str) -> None:
    shop = make(manners=MANNERS[manners])
    before = shop.box.snapshot()
    deployment = shop.deployment()
    well(shop.apply(deployment))
    assert "Web-Two" in {one["servername"] for one in shop.box.running.services.values()}, "their object is used"
    well(shop.teardown(deployment))
    assert shop.box.snapshot() == before
    assert shop.engine.teardown_plan(deployment).empty


def test_the_plan_has_the_very_calls_that_are_made_and_their_undo(shop: BoxShop) -> None:
    deployment = shop.deployment()
    plan = shop.plan(deployment)
    told = [call.partition(" {")[0].replace("/nitro/v1/", "") for call in called(plan)]
    well(shop.apply(deployment))
    assert sorted(told) == sorted(sent(shop))
    (service,) = (step for step in on_box(plan) if step.purpose == "service")
    assert service.undo == ("DELETE /nitro/v1/config/lbvserver/dsr_shop_10.0.0.10_80",)
    (first, *_) = (step for step in on_box(plan) if step.purpose == "destination")
    assert first.undo == (
        "DELETE /nitro/v1/config/lbvserver_service_binding/dsr_shop_10.0.0.10_80?args=servicename:dsr_shop_web1_80",
        "DELETE /nitro/v1/config/service/dsr_shop_web1_80",
        "DELETE /nitro/v1/config/server/dsr_shop_web1",
    )


def test_names_with_a_slash_or_a_blank_are_quoted_twice(shop: BoxShop) -> None:
    config = shop.box.running
    config.services["two/any of theirs"] = {
        "name": "two/any of theirs", "servername": "Web-Two", "servicetype": "ANY", "port": 80, "ordered": "ENABLED",
        "usip": "YES",
    }  # fmt: skip
    before = shop.box.snapshot()
    deployment = shop.deployment()
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]
    assert ("dsr_shop_10.0.0.10_80", "two/any of theirs", 1) in config.bindings, "theirs is used, under its own name"
    well(shop.teardown(deployment))
    assert any("two%252Fany%2520of%2520theirs" in line for line in sent(shop))
    assert shop.box.running == before[0]


def test_a_server_that_leaves_the_file_is_taken_out_after_the_others_are_proved(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    well(shop.apply(msgspec.structs.replace(deployment, servers=deployment.servers[:2])))
    assert shop.served() == ["web1", "web2"]
    assert not any("web3" in name for name in shop.ours())
    well(shop.teardown(msgspec.structs.replace(deployment, servers=deployment.servers[:2])))
    assert shop.ours() == []


def test_another_scheduler_is_one_call_and_nothing_is_bound_again(shop: BoxShop) -> None:
    well(shop.apply(shop.deployment()))
    written = len(shop.box.changed)
    well(shop.apply(shop.deployment(Service(port=80, scheduler="wlc", persistence=120))))
    assert sent(shop)[written:] == ["PUT config/lbvserver", "POST config/nsconfig?action=save"]
    (vserver,) = (one for name, one in shop.box.running.vservers.items() if name.startswith("dsr_"))
    assert (vserver["lbmethod"], vserver["sessionless"]) == ("LEASTCONNECTION", "DISABLED")
    assert (vserver["persistencetype"], vserver["timeout"]) == ("SOURCEIP", 2)
    assert shop.served() == ["web1", "web2", "web3"]


def test_a_weight_changes_without_dropping_the_server(shop: BoxShop) -> None:
    service = Service(port=80, scheduler="wrr")
    well(shop.apply(shop.deployment(service)))
    written = len(shop.box.changed)
    heavier = shop.deployment(service, change=lambda one: msgspec.structs.replace(one, weight=20))
    well(shop.apply(heavier))
    assert set(sent(shop)[written:]) == {"PUT config/lbvserver", "POST config/nsconfig?action=save"}
    assert {weight for vserver, _, weight in shop.box.running.bindings if vserver.startswith("dsr_")} == {20}


def test_a_virtual_server_of_others_on_the_vip_is_used_and_put_back(shop: BoxShop) -> None:
    shop.box.running.vservers["hand made"] = {
        "name": "hand made", "servicetype": "ANY", "ipv46": VIP, "port": 80, "m": "IP", "state": "ENABLED",
        "lbmethod": "ROUNDROBIN", "sessionless": "DISABLED", "persistencetype": "NONE",
    }  # fmt: skip
    before = shop.box.snapshot()[0]
    deployment = shop.deployment()
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]
    assert "dsr_shop_10.0.0.10_80" not in shop.box.running.vservers
    well(shop.teardown(deployment))
    assert shop.box.running == before


def test_a_virtual_server_of_another_type_is_told_and_not_touched(shop: BoxShop) -> None:
    shop.box.running.vservers["web"] = {"name": "web", "servicetype": "HTTP", "ipv46": VIP, "port": 80, "m": "IP"}
    plan = shop.plan(shop.deployment())
    (host,) = (host for host in plan.hosts if host.host == DIRECTOR)
    assert "Virtual server web" in host.problem
    assert "type HTTP" in host.problem
    assert not shop.box.changed


# --- the traps -------------------------------------------------------------------------------------------------------


def test_a_server_that_does_not_answer_on_the_vip_is_never_let_in(shop: BoxShop) -> None:
    shop.world.servers["web2"].machine.listeners.clear()
    result = shop.apply(shop.deployment())
    assert shop.served() == ["web1", "web3"]
    assert not any(body.get("service", {}).get("name") == "dsr_shop_web2_80" for _, _, path, body in shop.box.changed
                   if path.endswith("action=enable"))  # fmt: skip
    (failed,) = (host.failure for host in result.hosts if host.host == "web2")
    assert failed is not None
    assert "weight 0" in failed.what
    for _, _, _, body in shop.box.changed:
        assert all(part.get("weight") != 0 for part in (body or {}).values()), "weight 0 does not exist there"


@pytest.mark.parametrize(
    ("scheduler", "method", "sessionless"),
    [
        ("rr", "ROUNDROBIN", "DISABLED"), ("wrr", "ROUNDROBIN", "DISABLED"), ("wlc", "LEASTCONNECTION", "DISABLED"),
        ("lc", "LEASTCONNECTION", "DISABLED"), ("sh", "SOURCEIPHASH", "ENABLED"), ("mh", "SOURCEIPHASH", "ENABLED"),
        ("dh", "DESTINATIONIPHASH", "DISABLED"),
    ],
)  # fmt: skip
def test_packets_are_balanced_alone_only_by_a_method_that_goes_by_the_client(
    shop: BoxShop, scheduler: str, method: str, sessionless: str
) -> None:
    well(shop.apply(shop.deployment(Service(port=80, scheduler=scheduler))))
    vserver = shop.box.running.vservers["dsr_shop_10.0.0.10_80"]
    assert (vserver["lbmethod"], vserver["sessionless"]) == (method, sessionless)
    assert shop.served() == ["web1", "web2", "web3"]


def test_a_method_of_its_own_goes_before_the_scheduler(shop: BoxShop) -> None:
    deployment = shop.deployment(method="SRCIPSRCPORTHASH")
    well(shop.apply(deployment))
    vserver = shop.box.running.vservers["dsr_shop_10.0.0.10_80"]
    assert (vserver["lbmethod"], vserver["sessionless"]) == ("SRCIPSRCPORTHASH", "ENABLED")
    assert shop.plan(deployment).empty


def test_two_protocols_on_a_port_are_one_virtual_server_and_both_are_proved(shop: BoxShop) -> None:
    both = (Service(port=7, scheduler="sh"), Service(protocol="udp", port=7, scheduler="sh"))
    for state in shop.world.servers.values():
        state.machine.listeners.append(msgspec.structs.replace(state.machine.listeners[0], port=7))
    web3 = shop.world.servers["web3"].machine
    web3.listeners = [one for one in web3.listeners if one.protocol != "udp"]
    shop.apply(shop.deployment(*both))
    assert [name for name in shop.box.running.vservers if name.startswith("dsr_")] == ["dsr_shop_10.0.0.10_7"]
    assert shop.served(port=7) == ["web1", "web2"], "web3 answers by TCP alone"
    assert {body["service"]["servicetype"] for _, method, path, body in shop.box.changed
            if (method, path) == ("POST", "config/service")} == {"ANY"}  # fmt: skip


def test_mac_based_forwarding_is_a_step_of_its_own_that_says_what_it_interrupts(shop: BoxShop) -> None:
    deployment = shop.deployment()
    (step,) = (step for step in on_box(shop.plan(deployment)) if step.id == "mode MBF")
    assert "It is global" in step.interrupts
    assert step.calls == ('POST /nitro/v1/config/nsmode?action=enable {"nsmode":{"mode":["MBF"]}}',)
    well(shop.apply(deployment))
    well(shop.teardown(deployment))
    assert "MBF" not in shop.box.running.modes


def test_mac_based_forwarding_stays_where_others_need_it_or_had_it(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.box.running.vservers["theirs"] = {
        "name": "theirs", "servicetype": "ANY", "ipv46": "10.0.9.30", "port": 80, "m": "MAC", "state": "ENABLED",
    }  # fmt: skip
    plan = shop.engine.teardown_plan(deployment)
    assert any("MBF stays on: theirs needs it." in note for host in plan.hosts for note in host.notes)
    well(shop.teardown(deployment))
    assert "MBF" in shop.box.running.modes
    assert shop.ours() == []


def test_what_others_have_not_saved_is_told_before_it_is_saved_with_ours(shop: BoxShop) -> None:
    shop.box.unsaved = True
    (step,) = (step for step in on_box(shop.plan(shop.deployment())) if step.id == "save")
    assert "another administrator's" in step.interrupts
    assert step.calls == ('POST /nitro/v1/config/nsconfig?action=save {"nsconfig":{}}',)


def test_a_drain_from_the_live_view_does_not_save_what_others_left(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.box.running.servers["half done"] = {"name": "half done", "ipaddress": "10.0.9.77"}
    shop.box.unsaved = True
    shop.engine.watch(deployment, read_only=False).set_weight("web1", 0)
    assert "half done" not in shop.box.saved.servers
    assert shop.served() == ["web2", "web3"]


def test_nothing_is_saved_where_the_file_says_so_and_a_reboot_takes_it_all(shop: BoxShop) -> None:
    deployment = shop.deployment(save=False)
    well(shop.apply(deployment))
    assert not any("action=save" in line for line in sent(shop))
    assert shop.served() == ["web1", "web2", "web3"]
    shop.box.reboot()
    assert shop.served() == []
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]


def test_a_reboot_keeps_what_was_saved(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    shop.box.reboot()
    assert shop.served() == ["web1", "web2", "web3"]
    assert shop.plan(deployment).empty


def test_a_service_whose_monitor_teaches_no_mac_is_refused(shop: BoxShop) -> None:
    config = shop.box.running
    config.monitors["ldap-check"] = {"monitorname": "ldap-check", "type": "LDAP"}
    config.services["two_any"] = {
        "name": "two_any", "servername": "Web-Two", "servicetype": "ANY", "port": 80, "ordered": "ENABLED",
    }  # fmt: skip
    config.monitored.append(("two_any", "ldap-check"))
    plan = shop.plan(shop.deployment())
    assert any("no monitor that teaches the NetScaler its MAC" in host.problem for host in plan.hosts)
    config.monitored[-1] = ("two_any", "ping")
    assert not any(host.problem for host in shop.plan(shop.deployment()).hosts)


@pytest.mark.parametrize("dead", [VIP, "10.0.0.20"])
@pytest.mark.parametrize("manners", MANNERS)
def test_two_vips_with_one_port_share_a_service_and_each_is_proved_alone(make: Make, manners: str, dead: str) -> None:
    shop = make(manners=MANNERS[manners])
    before = shop.box.snapshot()
    deployment = shop.deployment(vips=(VIP, "10.0.0.20"))
    well_on = "10.0.0.20" if dead == VIP else VIP
    shop.world.servers["web2"].machine.listeners[:] = [
        msgspec.structs.replace(one, address=well_on if one.port == 80 else "*")
        for one in shop.world.servers["web2"].machine.listeners
    ]
    shop.apply(deployment)
    assert shop.served(well_on) == ["web1", "web2", "web3"]
    assert shop.served(dead) == ["web1", "web3"]
    web2 = next(name for name, one in shop.box.running.services.items() if name.startswith("dsr_shop_web2"))
    assert web2 not in [service for vserver, service, _ in shop.box.running.bindings if dead in vserver], "not by luck"
    assert sum(name.endswith("_80") and "web" in name for name in shop.box.running.services) == 3
    well(shop.teardown(deployment))
    assert shop.box.snapshot() == before


def test_the_load_balancer_of_the_file_is_the_one_that_was_set_up(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    kernel = shop.world.deployment()
    for other in (
        kernel,
        msgspec.structs.replace(kernel, director=msgspec.structs.replace(kernel.director, engine="external")),
    ):
        with pytest.raises(UsageError, match="is another one than the deployment was set up on"):
            shop.engine.plan(other, shop.engine.observe(other))


# --- drain, restore, weight ------------------------------------------------------------------------------------------


def test_a_drain_gives_persistent_clients_time_and_a_restore_lets_the_server_in_again(shop: BoxShop) -> None:
    deployment = shop.deployment()
    well(shop.apply(deployment))
    watch = shop.engine.watch(deployment)
    watch.set_weight("web2", 0)
    assert shop.served() == ["web1", "web3"]
    assert shop.box.changed[-2][3] == {"service": {"name": "dsr_shop_web2_80", "delay": 600, "graceful": "YES"}}
    rows = {row.server: row for service in watch.once().services for row in service.rows}
    assert rows["web2"].state in ("draining", "drained")
    assert rows["web1"].state == "up"
    watch.set_weight("web2", None)
    assert shop.served() == ["web1", "web2", "web3"]
    assert not shop.box.unsaved
    well(shop.teardown(deployment))
    assert shop.ours() == []


# --- sessions, pairs, refusals ---------------------------------------------------------------------------------------


def test_a_session_that_expires_in_the_middle_is_made_anew(shop: BoxShop) -> None:
    shop.box.faults = [(lambda method, path: method == "PUT", "expire"), (lambda m, p: "enable" in p, "expire")]
    well(shop.apply(shop.deployment()))
    assert shop.served() == ["web1", "web2", "web3"]
    assert not shop.box.faults
    shop.engine.close()
    assert not shop.box.sessions


def test_a_full_house_is_told_as_one(shop: BoxShop) -> None:
    shop.box.others = 20
    observed = shop.engine.observe(shop.deployment())
    assert "20 people and programs" in observed.failed[DIRECTOR].text


@pytest.mark.parametrize("kind", ["drop", "refuse", "busy", "cut", "page"])
@pytest.mark.parametrize("call", ["config/service", "config/lbvserver_service_binding", "config/service?action=enable"])
def test_an_answer_that_is_lost_or_garbled_leaves_nothing_half_served(shop: BoxShop, call: str, kind: str) -> None:
    before = shop.box.snapshot()
    shop.box.faults = [(lambda method, path: path == call, kind)]
    deployment = shop.deployment()
    shop.apply(deployment)
    assert not shop.box.faults
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]
    well(shop.teardown(deployment))
    assert shop.box.snapshot() == before


def test_the_primary_of_a_pair_is_found_and_a_secondary_never_written_to(make: Make) -> None:
    shop = make(nodes=2)
    shop.box.primary = 1
    well(shop.apply(shop.deployment()))
    assert {node for node, *_ in shop.box.changed} == {1}
    assert shop.served() == ["web1", "web2", "web3"]


@pytest.mark.parametrize("call", ["config/lbvserver", "config/service", "config/service?action=enable",
                                  "config/nsconfig?action=save", "stat/hanode"])  # fmt: skip
def test_a_failover_in_the_middle_goes_on_at_the_other_node(make: Make, call: str) -> None:
    shop = make(nodes=2)
    before = shop.box.snapshot()
    seen: list[str] = []

    def fits(method: str, path: str) -> bool:
        seen.append(path)
        return path == call and seen.count(path) == (9 if call == "stat/hanode" else 1)

    shop.box.faults = [(fits, "failover")]
    deployment = shop.deployment()
    shop.apply(deployment)
    shop.box.errors[:] = [error for error in shop.box.errors if call not in error]  # that one came with the failover
    well(shop.apply(deployment))
    assert shop.served() == ["web1", "web2", "web3"]
    well(shop.teardown(deployment))
    assert shop.box.snapshot() == before


@pytest.mark.parametrize("look", [4, 9, 15])
def test_a_session_that_outlives_a_failover_is_not_used_to_write(make: Make, look: int) -> None:
    shop = make(nodes=2, manners=Manners(sessions_end=False))
    seen: list[str] = []

    def fits(method: str, path: str) -> bool:
        seen.append(path)
        return path == "stat/hanode" and seen.count(path) == look

    shop.box.faults = [(fits, "failover")]
    well(shop.apply(shop.deployment()))
    assert not shop.box.faults
    assert shop.box.errors == [], "it is a secondary by then"
    assert shop.served() == ["web1", "web2", "web3"]


def test_a_pair_without_a_primary_is_left_alone(make: Make) -> None:
    shop = make(nodes=2)
    shop.box.primary = 5
    observed = shop.engine.observe(shop.deployment())
    assert "no primary answers" in observed.failed[DIRECTOR].what
    assert not shop.box.changed


def test_a_user_who_may_only_read_is_told_which_call_was_refused(shop: BoxShop) -> None:
    shop.box.read_only = True
    result = shop.apply(shop.deployment())
    (director,) = (host for host in result.hosts if host.host == DIRECTOR)
    assert director.outcome is Outcome.FAILED
    assert director.failure is not None
    assert "nsmode?action=enable was refused" in director.failure.what
    assert "network or superuser" in director.failure.next


def test_a_save_beside_another_ones_is_tried_again(shop: BoxShop) -> None:
    shop.box.saving = 3
    well(shop.apply(shop.deployment()))
    assert not shop.box.unsaved
