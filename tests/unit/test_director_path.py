"""What lies on the director's own path: what came in, settings, routes, neighbours, the whole table."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.changes import DestinationState, ServiceState
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.director_facts import (
    ComingIn,
    KernelRule,
    KernelWay,
    NeighbourEntry,
    OtherService,
)
from dsrwizard.core.model.packet_filter import FilterChain
from tests.fakes.host import Link
from tests.fakes.ipvs import Entry
from tests.unit.diagnosed import VIP, Altered, Farm, faults, find, only
from tests.unit.directed import KEY, OTHER, STRICT, WEB3, WEB3_MAC, applied, routed, seeing, setting

# -- IPVS' and the network's settings


@pytest.mark.parametrize(
    ("values", "fix"),
    [
        ({"drop_packet": "3", "am_droprate": "2"}, "sysctl -w net.ipv4.vs.drop_packet=0"),
        ({"drop_packet": "2", "am_droprate": "10"}, "sysctl -w net.ipv4.vs.drop_packet=0"),
        ({"drop_entry": "3"}, "sysctl -w net.ipv4.vs.drop_entry=0"),
    ],
)
def test_a_defence_of_ipvs_that_drops_is_named(values: dict[str, str], fix: str) -> None:
    farm = Farm()
    setting(farm, **values)
    check = only(farm.verify())
    assert (check.check, check.cause, check.host) == ("director.settings", "director-setting", "director")
    assert check.fix == f"On the director: {fix}"
    name, value = next(iter(values.items()))
    assert f"{name}={value}" in check.evidence


@pytest.mark.parametrize(
    "values",
    [
        {"drop_packet": "1", "am_droprate": "10", "drop_entry": "1"}, {"drop_packet": "3", "am_droprate": "0"},
        {"secure_tcp": "3", "sloppy_tcp": "1", "conntrack": "1"}, {"backup_only": "1"},
        {"expire_nodest_conn": "0", "nat_icmp_send": "1", "schedule_icmp": "1", "ignore_tunneled": "1"},
    ],
)  # fmt: skip
def test_what_drops_nothing_now_is_told_at_most(values: dict[str, str]) -> None:
    farm = Farm()
    setting(farm, **values)
    report = farm.verify()
    assert (report.verdict, report.failures) == ("pass", ())
    if "secure_tcp" in values:
        assert "secure_tcp=3" in find(report, "director.settings", "director").evidence


def test_a_backup_that_only_backs_up_passes_nothing_on() -> None:
    farm = Farm()
    seeing(farm, lambda seen: {"sync": ("backup",), "settings": seen.settings | {"net.ipv4.vs.backup_only": "1"}})
    check = only(farm.verify())
    assert (check.cause, check.fix) == ("director-setting", "On the director: sysctl -w net.ipv4.vs.backup_only=0")
    seeing(farm, lambda seen: {"sync": ("master",), "settings": seen.settings | {"net.ipv4.vs.backup_only": "1"}})
    assert farm.verify().failures == ()


@pytest.mark.parametrize(("mode", "silent"), [("8", True), ("1", False), ("2", False), ("0", False)])
def test_a_director_that_does_not_answer_for_its_own_vip_is_named(mode: str, silent: bool) -> None:
    farm = Farm()
    seeing(farm, lambda seen: {"settings": seen.settings | {"net.ipv4.conf.eth0.arp_ignore": mode}})
    assert faults(farm.verify()) == ([("director-setting", "director")] if silent else [])


def test_arp_ignore_matters_where_the_vip_is_on_another_interface() -> None:
    farm = Farm()
    del farm.world.machine.links["eth0"].addresses[VIP]
    farm.world.machine.links["lo"].addresses[VIP] = 32
    seeing(farm, lambda seen: {"settings": seen.settings | {"net.ipv4.conf.all.arp_ignore": "1"}})
    check = only(farm.verify())
    assert check.fix == "On the director: sysctl -w net.ipv4.conf.all.arp_ignore=0"


def test_drift_of_what_apply_set_is_a_fault_and_of_what_others_set_is_told() -> None:
    farm = Farm()
    farm.world.machine.sysctls |= {"net.ipv4.vs.expire_nodest_conn": "0", "net.ipv4.conf.all.send_redirects": "1"}
    told = find(farm.verify(), "director.settings", "director")
    assert told.outcome == "pass"
    assert "net.ipv4.vs.expire_nodest_conn=0 (apply sets 1)" in told.evidence
    check = only(applied(farm, kept=("net.ipv4.vs.expire_nodest_conn", "net.ipv4.conf.all.send_redirects")))
    assert (check.check, check.cause) == ("director.settings", "director-setting")
    assert check.fix == (
        "On the director: sysctl -w net.ipv4.vs.expire_nodest_conn=1 net.ipv4.conf.all.send_redirects=0"
    )


# -- routes and rules for the VIP


def stopped(
    vip: str = VIP, number: int = 22, problem: str = "Invalid argument", kind: str = ""
) -> tuple[ComingIn, ...]:
    return (ComingIn(vip=vip, client="192.0.2.1", interface="eth0", kind=kind, problem=problem, number=number),)


@pytest.mark.parametrize(
    ("what", "text"), [("rule", "from all to 10.0.0.10 blackhole priority 99"), ("route", "prohibit 10.0.0.10 table 7")]
)
def test_what_throws_away_packets_for_the_vip_is_named_and_taken_back(what: Any, text: str) -> None:
    farm = Farm()
    seeing(farm, lambda seen: {"coming": stopped(), "stops": (KernelRule(what=what, text=text, covers=(VIP,)),)})
    check = only(farm.verify())
    assert (check.cause, check.vip) == ("director-setting", VIP)
    assert check.fix == f"On the director: ip {what} del {text}"


def test_a_vip_without_its_local_route_is_not_taken_in() -> None:
    farm = Farm()
    way = KernelWay(address=VIP, kind="unicast", interface="eth0", table="main", entry="10.0.0.0/24")
    seeing(farm, lambda seen: {"coming": stopped(number=113), "entries": seen.entries | {VIP: way}})
    check = only(farm.verify())
    assert check.fix == (
        "On the director: ip route replace local 10.0.0.10 dev eth0 table local proto kernel scope host src 10.0.0.10"
    )


def test_a_sender_that_is_filtered_on_purpose_convicts_nobody() -> None:
    farm = Farm()
    near = ComingIn(vip=VIP, client="10.0.0.101", interface="eth0", kind="local")
    bogon = KernelRule(what="rule", text="from 192.0.2.0/24 blackhole priority 9", covers=())
    seeing(farm, lambda seen: {"coming": (*stopped(), near), "stops": (bogon,)})
    assert farm.verify().failures == ()
    local = KernelWay(address=VIP, kind="local", interface="lo", table="local", entry=VIP)
    seeing(farm, lambda seen: {"coming": stopped(), "entries": seen.entries | {VIP: local}})
    assert farm.verify().failures == ()


def test_a_vip_that_one_client_s_way_back_alone_keeps_out_is_no_fault() -> None:
    farm = Farm()
    seeing(farm, lambda seen: {"coming": stopped(number=18), "settings": seen.settings | STRICT})
    report = farm.verify()
    assert report.failures == ()
    assert "rp_filter=1 on all" in find(report, "director.settings", "director").evidence


# -- the ways to the servers


def test_a_route_by_a_gateway_to_a_server_on_the_link_is_the_director_s_fault() -> None:
    farm = Farm()
    routed(farm, WEB3, gateway="10.0.0.1", entry=WEB3)
    check = only(farm.verify())
    assert (check.check, check.cause, check.host, check.server) == ("director.way", "not-on-link", "director", "web3")
    assert "sends 10.0.0.103 (web3) via 10.0.0.1" in check.message
    assert check.fix == "On the director: ip route del 10.0.0.103 via 10.0.0.1 dev eth0"


def test_an_interface_s_name_means_nothing_to_a_shell() -> None:
    farm = Farm()
    farm.world.machine.links["a;b"] = Link("02:00:0a:00:00:04", kind="dummy", addresses={})
    routed(farm, WEB3, interface="a;b", entry=WEB3)
    assert only(farm.verify()).fix == "On the director: ip route del 10.0.0.103 dev 'a;b'"


def test_a_route_of_another_table_is_taken_from_there() -> None:
    farm = Farm()
    routed(farm, WEB3, gateway="10.0.0.1", entry="10.0.0.96/28", table="77", metric=5)
    assert only(farm.verify()).fix.endswith("ip route del 10.0.0.96/28 via 10.0.0.1 dev eth0 table 77 metric 5")


@pytest.mark.parametrize("kind", ["blackhole", "unreachable", "prohibit"])
def test_a_route_that_throws_a_server_s_packets_away_is_named(kind: str) -> None:
    farm = Farm()
    stop = KernelRule(what="route", text=f"{kind} 10.0.0.103", covers=(WEB3,))
    seeing(
        farm,
        lambda seen: {
            "entries": seen.entries | {WEB3: KernelWay(address=WEB3, problem="Invalid argument", number=22)},
            "stops": (stop,),
        },
    )
    check = only(farm.verify())
    assert (check.cause, check.server) == ("not-on-link", "web3")
    assert check.fix == f"On the director: ip route del {kind} 10.0.0.103"


def test_a_server_behind_a_router_is_no_fault_of_the_route_to_it() -> None:
    farm = Farm()
    routed(farm, WEB3, gateway="10.0.0.1", entry=WEB3)
    wire = Altered(farm, owners=lambda one: Owners(address=one.address) if one.address == WEB3 else one)
    assert faults(farm.verify(wire=wire)) == [("not-on-link", "web3")]


def test_two_cards_in_one_network_are_no_fault_and_a_dummy_is() -> None:
    farm = Farm()
    farm.world.machine.links["eth1"] = Link("02:00:0a:00:00:03", addresses={"10.0.0.3": 24})
    entry = NeighbourEntry(address=WEB3, interface="eth1", mac=WEB3_MAC, state="reachable")
    seeing(
        farm,
        lambda seen: {
            "entries": seen.entries | {WEB3: msgspec.structs.replace(seen.entries[WEB3], interface="eth1")},
            "neighbours": (entry,),
        },
    )
    assert farm.verify().failures == ()
    farm.world.machine.links["dum0"] = Link("02:00:0a:00:00:04", kind="dummy", addresses={})
    routed(farm, WEB3, interface="dum0", entry=WEB3)
    check = only(farm.verify())
    assert (check.cause, check.fix) == ("not-on-link", "On the director: ip route del 10.0.0.103 dev dum0")


@pytest.mark.parametrize(
    ("mac", "state", "outcome"),
    [
        (OTHER, "permanent", "fail"), (OTHER, "reachable", "fail"), (OTHER, "noarp", "fail"),
        (OTHER, "stale", "unknown"),
        (WEB3_MAC, "permanent", "pass"), (WEB3_MAC, "stale", "pass"), ("", "failed", "pass"), (OTHER, "failed", "pass"),
    ],
)  # fmt: skip
def test_a_neighbour_entry_is_compared_with_who_answers(mac: str, state: str, outcome: str) -> None:
    farm = Farm()
    entry = NeighbourEntry(address=WEB3, interface="eth0", mac=mac, state=state)
    seeing(farm, lambda seen: {"neighbours": (entry,)})
    report = farm.verify()
    (check,) = [one for one in report.checks if one.check == "director.way" and one.server == "web3"]
    assert check.outcome == outcome
    if outcome == "fail":
        assert (check.cause, check.host) == ("director-neighbour", "director")
        assert check.fix == "On the director: ip neigh del 10.0.0.103 dev eth0"
        assert [check] == list(report.failures)


def test_a_small_mtu_is_told_and_is_no_fault() -> None:
    farm = Farm()
    routed(farm, WEB3, mtu=1300)
    report = farm.verify()
    assert report.failures == ()
    assert any("1300 bytes at most" in one.evidence for one in report.checks if one.check == "director.way")


def from_vip(farm: Farm, prefix: int = 24) -> None:
    """The director speaks from the VIP, so that no server answers it."""
    addresses = farm.world.machine.links["eth0"].addresses
    addresses[VIP] = prefix
    for state in farm.world.servers.values():
        state.reachable = False
    seeing(farm, lambda seen: {
        "ways": {rip: msgspec.structs.replace(way, source=VIP) for rip, way in seen.ways.items()},
        "entries": {rip: msgspec.structs.replace(way, source=VIP) for rip, way in seen.entries.items()},
    })  # fmt: skip


def test_the_vip_as_source_is_one_fault_of_the_director_and_servers_are_not_to_be_switched_on() -> None:
    farm = Farm()
    from_vip(farm)
    report = farm.verify()
    check = only(report)
    assert (check.check, check.cause, check.host) == ("director.source", "vip-as-source", "director")
    assert check.fix == (
        "On the director: ip addr add 10.0.0.10/32 dev eth0 && sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1 && "
        "ip addr del 10.0.0.10/24 dev eth0 && sysctl -qw net.ipv4.conf.eth0.promote_secondaries=0"
    )
    assert {one.consequence_of for one in report.checks if one.check == "server.ping"} == {"vip-as-source"}
    assert {one.consequence_of for one in report.checks if one.consequence_of} == {"vip-as-source"}


def test_a_route_that_names_the_vip_as_source_gets_the_directors_own() -> None:
    farm = Farm()
    from_vip(farm, 32)
    assert only(farm.verify()).fix == (
        "On the director: ip route replace 10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2"
    )


# -- the whole table


def test_a_destination_that_the_deployment_does_not_have_is_named_once_with_what_removes_it() -> None:
    farm = Farm()
    farm.world.ipvs.table[KEY].entries.append(Entry("10.0.0.104", 80, DestinationState(1)))
    check = only(farm.verify())
    assert (check.check, check.cause, check.host) == ("director.destination", "ipvs-differs", "director")
    assert check.fix == "On the director: ipvsadm -d -t 10.0.0.10:80 -r 10.0.0.104:80"


def test_another_weight_is_drift_where_apply_set_one_as_status_says_too() -> None:
    farm = Farm()
    entry = farm.world.ipvs.table[KEY].entry("10.0.0.102", 80)
    assert entry is not None
    entry.state = DestinationState(5)
    assert farm.verify().failures == ()
    check = only(applied(farm))
    assert (check.cause, check.server, check.fix) == (
        "ipvs-differs", "web2", "On the director: ipvsadm -e -t 10.0.0.10:80 -r 10.0.0.102:80 -g -w 1",
    )  # fmt: skip


def test_a_threshold_is_a_fault_where_apply_set_none_or_where_it_is_reached() -> None:
    farm = Farm()
    entry = farm.world.ipvs.table[KEY].entry("10.0.0.102", 80)
    assert entry is not None
    entry.state = DestinationState(1, upper=1)
    assert farm.verify().failures == ()
    check = only(applied(farm))
    assert (check.cause, check.server, check.fix.partition(" -g")[0]) == (
        "ipvs-differs", "web2", "On the director: ipvsadm -e -t 10.0.0.10:80 -r 10.0.0.102:80",
    )  # fmt: skip
    entry.active = 1
    assert only(farm.verify()).server == "web2"


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (ServiceState("sh", flags=0x10), "the flag sh-port"), (ServiceState("sh", flags=0x04), "one-packet"),
        (ServiceState("sh", persistence=60, netmask=0xFFFFFF00), "the persistence mask 255.255.255.0"),
    ],
)  # fmt: skip
def test_flags_and_masks_are_drift_where_apply_set_none_and_else_told(state: ServiceState, words: str) -> None:
    farm = Farm(services=(Service(port=80, scheduler="sh", persistence=state.persistence),))
    farm.world.ipvs.table[KEY].state = state
    report = farm.verify()
    assert report.failures == ()
    assert words in find(report, "director.ipvs", "director").evidence
    check = only(applied(farm))
    assert (check.cause, words in check.message) == ("ipvs-differs", True)
    assert check.fix.startswith("On the director: ipvsadm -E -t 10.0.0.10:80 -s sh")


@pytest.mark.parametrize("flags", [0x18, 0x08, 0x10, 0])
def test_the_flags_by_which_two_directors_agree_belong_to_their_table(flags: int) -> None:
    farm = Farm(services=(Service(port=80, scheduler="mh"),))
    director = msgspec.structs.replace(farm.deployment.director, engine="keepalived")
    farm.deployment = msgspec.structs.replace(farm.deployment, director=director)
    farm.world.ipvs.table[KEY].state = ServiceState("mh", flags=flags)
    told = [check for check in applied(farm).failures if check.check == "director.ipvs"]
    if flags == 0x18:
        assert told == []
        return
    lacking = " and ".join(word for bit, word in ((0x08, "mh-fallback"), (0x10, "mh-port")) if not flags & bit)
    assert [check.message for check in told] == [f"IPVS has 10.0.0.10 tcp/80 with the scheduler mh without {lacking}."]
    assert told[0].fix == "On the director: ipvsadm -E -t 10.0.0.10:80 -s mh -b mh-fallback,mh-port"


def marking(ports: str) -> tuple[FilterChain, ...]:
    rule = f"-A PREROUTING -d 10.0.0.10/32 -p tcp -m multiport --dports {ports} -j MARK --set-xmark 0x1/0xffffffff"
    return (
        FilterChain(
            tool="iptables-legacy", family=4, table="mangle", name="PREROUTING", hook="prerouting", rules=(rule,)
        ),
    )


def test_a_firewall_mark_that_takes_the_vip_s_packets_first_is_named() -> None:
    farm = Farm()
    marked = OtherService(
        label="firewall mark 1", family=4, mark=1, state=ServiceState("rr", persistence=300),
        destinations=(("10.0.0.101", 0, DestinationState(1)),),
    )  # fmt: skip
    seeing(farm, lambda seen: {"others": (marked,), "chains": marking("80,443")})
    check = only(farm.verify())
    assert (check.check, check.cause, check.host) == ("director.ipvs", "ipvs-differs", "director")
    assert "Firewall mark 1 takes packets for 10.0.0.10 tcp/80 first" in check.message
    assert check.fix == "On the director: ipvsadm -D -f 1"
    seeing(farm, lambda seen: {"others": (marked,), "chains": marking("443")})
    assert farm.verify().failures == ()
    seeing(farm, lambda seen: {"others": (), "chains": marking("80,443")})
    assert farm.verify().failures == ()
