"""What came in at the director and made no entry in IPVS: who is named for it, and who is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from dsrwizard.core.model.answers import Arrival, Arrivals
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Client
from dsrwizard.core.model.director_facts import (
    ComingIn,
    DirectorLook,
    KernelWay,
    NeighbourEntry,
)
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.packet_filter import FilterChain
from tests.unit.diagnosed import VIP, VIP6, Altered, Farm, find, only
from tests.unit.directed import CLIENT, KEY, OTHER, STRICT, WEB3, WEB3_MAC, seeing


def arrival(port: int = 5001, interface: str = "eth0", client: str = CLIENT) -> Arrival:
    return Arrival(client=client, client_port=port, vip=VIP, port=80, source=WEB3_MAC, interface=interface)


def with_arrivals(farm: Farm, *seen: Arrival) -> Report:
    """Verified while these came in."""

    class Coming(Altered):
        def arrivals(self, interface: str, vips: Sequence[str]) -> Any:
            return self

        def close(self) -> Arrivals:
            return Arrivals(seen=seen)

    return farm.verify(wire=Coming(farm))


def test_of_what_came_in_and_made_an_entry_nothing_is_said() -> None:
    farm = Farm()
    virtual = farm.world.ipvs.table[KEY]
    farm.world.ipvs.connected(KEY, virtual.entries[0], answered=True, client=(CLIENT, 5001))
    report = with_arrivals(farm, arrival())
    assert (report.verdict, [one for one in report.checks if one.check == "director.entry"]) == ("pass", [])


def test_what_came_in_and_made_no_entry_is_unknown_with_what_decides_and_never_the_router_s() -> None:
    report = with_arrivals(Farm(), arrival(), arrival(5003))
    check = find(report, "director.entry", "director")
    assert (check.outcome, check.cause, report.verdict) == ("unknown", "", "unknown")
    assert "2 of 2 connections to 10.0.0.10 tcp/80 came in at the director and made no entry" in check.message
    assert "nft list ruleset" in check.fix


def test_a_rule_for_some_clients_whose_counter_rose_meanwhile_is_convicted() -> None:
    farm = Farm()

    def look(seen: DirectorLook, lost: Sequence[Arrival]) -> DirectorLook:
        rule = f"[{9 if lost else 2}:540] -A INPUT -p tcp -m set --match-set banned src -j DROP"
        chain = FilterChain(tool="iptables-legacy", family=4, table="filter", name="INPUT", hook="input", rules=(rule,))
        return msgspec.structs.replace(seen, chains=(chain,))

    farm.world.looked = look
    assert farm.verify().failures == ()
    check = only(with_arrivals(farm, arrival()))
    assert (check.cause, check.host) == ("firewall", "director")
    assert "banned" in check.evidence


def test_reverse_path_filtering_is_named_by_what_the_kernel_says_of_the_very_client() -> None:
    farm = Farm()

    def look(seen: DirectorLook, lost: Sequence[Arrival]) -> DirectorLook:
        coming = tuple(
            ComingIn(
                vip=VIP, client=one.client, interface=one.interface, problem="Invalid cross-device link", number=18
            )
            for one in lost
        )
        ways = seen.ways | {CLIENT: KernelWay(address=CLIENT, kind="unicast", interface="dmz")}
        return msgspec.structs.replace(seen, coming=coming, ways=ways, settings=seen.settings | STRICT)

    farm.world.looked = look
    report = with_arrivals(farm, arrival())
    check = only(report)
    assert (check.check, check.cause) == ("director.settings", "director-setting")
    assert "by dmz" in check.evidence
    assert check.fix == "On the director: sysctl -w net.ipv4.conf.eth0.rp_filter=2"
    assert find(report, "director.entry", "director").consequence_of == "director-setting"


def test_without_raw_sockets_nothing_is_said_of_what_came_in() -> None:
    farm = Farm()
    farm.world.privileged = False
    assert not [one for one in farm.verify().checks if one.check == "director.entry"]


def test_behind_another_product_the_director_s_own_path_is_nobody_s() -> None:
    farm = Farm(addresses=(VIP, VIP6))
    director = msgspec.structs.replace(farm.deployment.director, engine="external")
    farm.deployment = msgspec.structs.replace(farm.deployment, director=director)
    seeing(farm, lambda seen: {"settings": {"net.ipv4.vs.drop_packet": "3", "net.ipv4.vs.am_droprate": "2"}})
    ids = {one.check for one in farm.verify().checks}
    assert not ids & {"director.filter", "director.settings", "director.way", "director.source", "director.entry"}


def test_a_client_host_whose_answers_the_director_drops_is_no_client_host_that_is_down() -> None:
    farm = Farm(change=lambda deployment: msgspec.structs.replace(deployment, client=Client(address=CLIENT)))
    counted = iter((8, 16, 16, 16))

    def look(seen: DirectorLook, lost: Sequence[Arrival]) -> DirectorLook:
        coming = (ComingIn(vip=VIP, client=CLIENT, interface="eth0", problem="Invalid link", number=18),)
        counters = {"TcpExtIPReversePathFilter": next(counted)}
        return msgspec.structs.replace(seen, coming=coming, counters=counters, settings=seen.settings | STRICT)

    farm.world.looked = look
    away = Failure(kind="host", what="client did not answer within 8 s.")
    check = only(farm.verify(client=away))
    assert (check.cause, check.fix) == (
        "director-setting", "On the director: sysctl -w net.ipv4.conf.eth0.rp_filter=2",
    )  # fmt: skip
    assert "rose by 8" in check.evidence
    report = farm.verify(client=away)
    assert report.failures == ()
    assert find(report, "director.settings", "director").outcome == "unknown"


def test_a_server_that_the_director_cannot_log_in_to_for_its_own_fault_leaves_no_doubt_of_its_own() -> None:
    farm = Farm()
    farm.world.servers["web3"].ssh = False
    entry = NeighbourEntry(address=WEB3, interface="eth0", mac=OTHER, state="permanent")
    seeing(farm, lambda seen: {"neighbours": (entry,)})
    report = farm.verify()
    assert [(one.cause, one.host) for one in report.failures] == [("director-neighbour", "director")]
    assert [one.check for one in report.checks if one.outcome == "unknown"] == []
    assert find(report, "server.access", "web3").consequence_of == "director-neighbour"
