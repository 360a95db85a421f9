"""What a client-like SYN leaves on a real server, and where handshakes hang: each signature and its one cause."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address, ip_network

import msgspec
import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.diagnosis.handshakes import Traffic
from dsrwizard.core.model.answers import Probed, Sent
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Deployment, Service
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import HalfOpenLook, Listener, Route
from dsrwizard.core.ports import ProbeTarget
from dsrwizard.engine.handshakes import Inside, try_client_like
from dsrwizard.engine.verify import gather
from tests.fakes.filters import input_drops
from tests.fakes.server_state import ServerState
from tests.unit.diagnosed import ROUTER, SERVER_FAULTS, VIP, VIP6, Altered, Farm, faults, find, gateway, only, rp_filter

RIP = "10.0.0.102"
KEY = (RIP, VIP, 80)


def all_of(report: Report, check: str) -> set[str]:
    return {one.outcome for one in report.checks if one.check == check}


# -- the client-like probe: the table of probe E


@pytest.mark.parametrize("addresses", [(VIP,), (VIP6,), (VIP, VIP6)])
def test_a_half_open_connection_on_the_server_is_a_client_let_in(addresses: tuple[str, ...]) -> None:
    report = Farm(addresses=addresses).verify()
    assert (report.verdict, all_of(report, "probe.client_like")) == ("pass", {"pass"})
    check = find(report, "probe.client_like", "web2")
    assert "half-open there" in check.evidence
    assert f"to {'[' + check.vip + ']' if ':' in check.vip else check.vip}:80 via 02:00:0a:00:00:66" in check.evidence


@pytest.mark.parametrize("vip", [VIP, VIP6])
def test_an_entry_that_the_routers_error_ended_at_once_is_a_client_let_in(vip: str) -> None:
    farm = Farm(addresses=(vip,))
    for state in farm.world.servers.values():
        state.router_refuses = True
    report = farm.verify()
    assert (report.verdict, all_of(report, "probe.client_like")) == ("pass", {"pass"})
    assert "as the counters there say" in find(report, "probe.client_like", "web1").evidence


def test_a_syn_cookie_is_a_client_let_in() -> None:
    farm = Farm()
    state = farm.server("web2")

    def cookie(sent: Sent) -> Sent:
        state.half_open.clear()
        state.counters["TcpExtSyncookiesSent"] += 1
        return sent

    assert farm.verify(wire=Altered(farm, sent=cookie)).verdict == "pass"


def test_no_entry_and_a_risen_counter_is_the_reverse_path_filter() -> None:
    farm = Farm()
    rp_filter(farm, "web2")
    report = farm.verify()
    check = only(report)
    assert (check.check, check.cause, check.host) == ("probe.client_like", "rp-filter", "web2")
    assert "TcpExtIPReversePathFilter went from 7 to 8" in check.evidence
    assert "dev eth1" in check.evidence
    assert check.fix == "On web2: sysctl -w net.ipv4.conf.eth0.rp_filter=2"
    assert find(report, "server.rp_filter", "web2").consequence_of == "rp-filter"


def test_a_reverse_path_filter_that_settings_do_not_show_is_found_by_its_counter() -> None:
    """A policy route takes the way back elsewhere; the default route looks right."""
    farm = Farm()
    machine = farm.server("web2").machine
    machine.sysctls["net.ipv4.conf.all.rp_filter"] = "1"
    machine.policy[VIP] = Route(gateway="192.168.9.1", interface="eth1")
    assert faults(farm.verify()) == [("rp-filter", "web2")]


def test_a_strict_filter_that_lets_clients_in_is_no_fault() -> None:
    """By the default route the way back would be another; the policy route of the VIP makes it the right one."""
    farm = Farm()
    rp_filter(farm, "web2")
    farm.server("web2").machine.policy[VIP] = Route(gateway=ROUTER, interface="eth0")
    report = farm.verify()
    assert report.verdict == "pass"
    assert find(report, "server.rp_filter", "web2").outcome == "pass"


def test_documentation_addresses_that_leave_no_trace_anywhere_convict_nobody() -> None:
    """The edge may drop them, as published lists of bogons say."""
    farm = Farm()
    farm.world.foreign_sources_lost = True
    report = farm.verify()
    assert (report.verdict, report.failures) == ("pass", ())
    check = find(report, "probe.client_like", "web2")
    assert check.outcome == "unknown"
    assert "this probe cannot tell" in check.message
    assert "no counter rose" in check.evidence
    assert "[client]" in check.fix


def bogons(farm: Farm, *names: str) -> None:
    """These servers drop what published lists of bogons name."""
    lists = ("192.0.2.0/24", "198.51.100.0/24", "240.0.0.0/4")
    rules = tuple(f"-s {network} -j DROP" for network in lists)
    for name in names:
        farm.server(name).strangers_dropped = True
        farm.server(name).filters = input_drops(*rules)


@pytest.mark.parametrize("names", [("web2",), ("web1", "web2", "web3")])
def test_a_filter_of_bogons_is_no_fault(names: tuple[str, ...]) -> None:
    farm = Farm()
    bogons(farm, *names)
    report = farm.verify()
    assert (report.verdict, report.failures) == ("pass", ())
    # Of the list, the very network that the SYN came from.
    evidence = find(report, "probe.client_like", "web2").evidence
    sender, rule = re.search(r"SYN from (\S+):\d+", evidence), re.search(r"-A INPUT -s (\S+) -j DROP", evidence)
    assert sender is not None
    assert rule is not None
    assert ip_address(sender[1]) in ip_network(rule[1])


def test_a_route_that_swallows_documentation_addresses_is_no_fault() -> None:
    """With a loose reverse-path filter the kernel counts them as filtered."""
    farm = Farm()

    def swallowed(sent: Sent) -> Sent:
        state = farm.server("web2")
        if sent.rip == RIP:
            state.half_open.clear()
            state.counters["TcpExtIPReversePathFilter"] += 1
        return sent

    report = farm.verify(wire=Altered(farm, sent=swallowed))
    assert report.failures == ()
    assert find(report, "probe.client_like", "web2").outcome == "unknown"


def test_a_rule_that_drops_all_but_neighbours_on_one_server_is_no_pass_and_no_verdict_on_anybody() -> None:
    farm = Farm()
    farm.server("web2").strangers_dropped = True
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    check = find(report, "probe.client_like", "web2")
    assert "! -s 10.0.0.0/16 -j DROP" in check.evidence


def test_clients_who_are_connected_through_a_server_acquit_it() -> None:
    farm = Farm()
    farm.server("web2").strangers_dropped = True
    report = told(farm, Traffic(connections=3, answered=("203.0.113.10",)))
    assert report.verdict == "pass"
    check = find(report, "probe.client_like", "web2")
    assert (check.outcome, "203.0.113.10" in check.evidence) == ("pass", True)
    near = told(farm, Traffic(connections=3, answered=("10.0.0.77",)))
    assert find(near, "probe.client_like", "web2").outcome == "unknown"


def test_each_family_is_judged_by_itself() -> None:
    farm = Farm(addresses=(VIP, VIP6))
    for state in farm.world.servers.values():
        state.dropped.add(("tcp", 80))  # the plain probe of IPv4 and of IPv6 fails then, too
    report = farm.verify()
    assert {check.cause for check in report.failures} == {"firewall"}
    assert "fail" not in all_of(report, "probe.client_like")


def test_answers_that_get_lost_are_not_taken_for_a_firewall() -> None:
    """The plain probe is silent though the server answered a client-like SYN: what it sends from the VIP is dropped."""
    farm = Farm()

    def silent(probed: Probed) -> Probed:
        if probed.rip != RIP:
            return probed
        return msgspec.structs.replace(probed, signature="silence", answered_by="", source="")

    check = only(farm.verify(wire=Altered(farm, probe=silent)))
    assert (check.check, check.cause, check.host) == ("vip.probe", "spoof-filter", "web2")


def test_an_answer_by_way_of_the_router_is_the_servers_where_it_was_seen_to_answer() -> None:
    farm = Farm()
    gateway(farm, "web2")
    farm.server("web2").machine.policy[VIP] = Route(gateway=ROUTER, interface="eth0")

    def by_router(probed: Probed) -> Probed:
        return msgspec.structs.replace(probed, answered_by="02:00:0a:00:00:01") if probed.rip == RIP else probed

    wire = Altered(farm, probe=by_router)
    assert farm.verify(wire=wire).verdict == "pass"
    farm.server("web2").strangers_dropped = True
    assert find(farm.verify(wire=wire), "vip.probe", "web2").outcome == "unknown"


@pytest.mark.parametrize("made", sorted(set(SERVER_FAULTS) - {"rp-filter"}))
def test_behind_another_fault_a_lost_syn_is_its_consequence_or_not_told(made: str) -> None:
    farm = Farm()
    SERVER_FAULTS[made][0](farm, "web2")
    report = farm.verify()
    check = find(report, "probe.client_like", "web2")
    assert check.outcome == "pass" or check.consequence_of == SERVER_FAULTS[made][1]
    assert only(report).check != "probe.client_like"


def test_a_single_lost_frame_is_no_fault() -> None:
    farm = Farm()
    lost: list[Sent] = []

    class Lossy(Altered):
        def offlink(
            self, interface: str, targets: Sequence[ProbeTarget], sources: object, deadline: float = 1.0
        ) -> Sequence[Sent]:
            for state in farm.world.servers.values():
                state.strangers_dropped = not any(sent.rip == state.rips[0] for sent in lost)
            sent = super().offlink(interface, targets, sources, deadline)  # type: ignore[arg-type]
            lost.extend(sent)
            return sent

    assert farm.verify(wire=Lossy(farm)).verdict == "pass"
    assert len(lost) == 6
    assert len({(sent.rip, sent.source) for sent in lost}) == 6


def test_what_nobody_can_look_at_is_unknown_and_spoils_nothing() -> None:
    def by_hand(deployment: Deployment) -> Deployment:
        first, *others = deployment.servers
        return msgspec.structs.replace(deployment, servers=(*others, msgspec.structs.replace(first, connect="manual")))

    farm = Farm()
    farm.deployment = by_hand(farm.deployment)
    report = farm.verify()
    check = find(report, "probe.client_like", "web1")
    assert (check.outcome, "login on web1" in check.fix) == ("unknown", True)
    assert [one.check for one in report.checks if one.outcome == "unknown" and one.host == "web2"] == []


def test_what_could_not_be_sent_says_why() -> None:
    farm = Farm()
    farm.world.privileged = False
    check = find(farm.verify(), "probe.client_like", "web2")
    assert (check.outcome, check.evidence) == ("unknown", "Raw sockets need root or CAP_NET_RAW.")


def test_a_server_that_cannot_be_looked_at_any_more_says_why() -> None:
    farm = Farm()

    def cut(sent: Sent) -> Sent:
        farm.server("web2").ssh = False
        return sent

    class Broken:
        def __init__(self, state: ServerState) -> None:
            self.state = state

        def half_open(self, *_: object) -> HalfOpenLook:
            raise LookError("web2 could not be looked at.", "The connection broke.", "Verify again.")

    inside = farm.inside()
    servers = {**inside.servers, "web2": Broken(farm.server("web2"))}
    evidence = gather(
        farm.deployment, farm.observed(), Altered(farm, sent=cut), None, Inside(servers, inside.connections)  # type: ignore[arg-type]
    )  # fmt: skip
    check = find(diagnose(evidence), "probe.client_like", "web2")
    assert (check.outcome, check.evidence, check.fix) == (
        "unknown", "web2 could not be looked at. The connection broke.", "Verify again.",
    )  # fmt: skip


@pytest.mark.parametrize("process", ["", "docker-proxy"])
def test_a_container_behind_a_translation_shows_no_half_open_connection_and_is_no_fault(process: str) -> None:
    farm = Farm()
    farm.server("web2").strangers_dropped = True
    machine = farm.server("web2").machine
    machine.listeners = [one for one in machine.listeners if one.port != 80]
    if process:
        machine.listeners.append(Listener(protocol="tcp", address="*", port=80, process=process))

    def answers(probed: Probed) -> Probed:
        if probed.rip != RIP:
            return probed
        return msgspec.structs.replace(probed, signature="syn-ack", answered_by=probed.mac, source=VIP)

    def connects(connected: object) -> object:
        return msgspec.structs.replace(connected, result="open")  # type: ignore[type-var]

    report = farm.verify(wire=Altered(farm, probe=answers, connect=connects))  # type: ignore[arg-type]
    assert report.verdict == "pass"
    assert find(report, "probe.client_like", "web2").outcome == "unknown"


def test_udp_has_no_half_open_connections() -> None:
    report = Farm(services=(Service(protocol="udp", port=7),)).verify()
    assert all_of(report, "probe.client_like") == all_of(report, "server.half_open") == set()


def test_every_server_is_asked_once_and_sent_one_syn_per_vip_and_service() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"), services=(Service(port=80), Service(port=443)))
    sent: list[Sent] = []
    targets = {"web1": [ProbeTarget(rip="10.0.0.101", vip=VIP, port=80), ProbeTarget(rip="10.0.0.101", vip=VIP, port=7,
                                                                                   protocol="udp")]}  # fmt: skip
    wire = Altered(farm, sent=lambda one: sent.append(one) or one)  # type: ignore[func-returns-value]
    found = try_client_like("eth0", targets, [], wire, farm.inside(), lambda target: True)
    assert [(one.vip, one.port) for one in sent] == [(VIP, 80)]
    assert found["web1"].fate(VIP, 80) == "accepted"
    assert found["web1"].fate(VIP, 443) == "unseen"


# -- the way back, with policy routes


def test_a_policy_route_past_the_director_is_the_way_back_that_counts() -> None:
    farm = Farm()
    gateway(farm, "web2")
    farm.server("web2").machine.policy[VIP] = Route(gateway=ROUTER, interface="eth0")
    report = farm.verify()
    assert report.verdict == "pass"
    assert f"from {VIP} via {ROUTER} dev eth0" in find(report, "server.gateway", "web2").evidence


def test_a_policy_route_to_the_director_is_found_behind_a_right_default_route() -> None:
    farm = Farm()
    farm.server("web2").machine.policy[VIP] = Route(gateway="10.0.0.2", interface="eth0")
    check = only(farm.verify())
    assert (check.cause, check.host, check.check) == ("gateway", "web2", "server.gateway")
    assert "policy route" in check.message
    assert f"from {VIP} via 10.0.0.2" in check.evidence


def test_a_policy_route_of_one_vip_alone_is_found() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"))
    farm.server("web3").machine.policy["10.0.0.11"] = Route(gateway="10.0.0.2", interface="eth0")
    check = only(farm.verify())
    assert (check.cause, check.host) == ("gateway", "web3")
    assert "10.0.0.11" in check.message


# -- clients' own connections: the table of probe D


def told(farm: Farm, seen: Traffic, *, problem: str = "") -> Report:
    evidence = gather(farm.deployment, farm.observed(), farm.world.wire(), None, farm.inside())
    return diagnose(msgspec.structs.replace(evidence, traffic={KEY: seen}, traffic_problem=problem))


@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (Traffic(connections=0), "skipped"),
        (Traffic(connections=900), "pass"),
        (Traffic(connections=900, waiting=4, tried=4, arrived=0), "pass"),
        (Traffic(connections=900, waiting=400, tried=90, completed=1, arrived=0), "pass"),
        (Traffic(connections=900, waiting=40, tried=1, completed=0, arrived=0), "pass"),
        (Traffic(connections=900, waiting=40, tried=9, completed=0, arrived=None), "unknown"),
    ],
)
def test_handshakes_that_end_or_are_too_few_are_no_fault(seen: Traffic, outcome: str) -> None:
    report = told(Farm(), seen)
    # Where they hang and nobody could look why, clients are lost.
    assert (report.verdict, report.failures) == ("unknown" if outcome == "unknown" else "pass", ())
    assert find(report, "server.half_open", "web2").outcome == outcome


def test_many_half_open_on_the_server_is_a_dead_way_back() -> None:
    check = only(told(Farm(), Traffic(connections=9, waiting=8, tried=3, arrived=8)))
    assert (check.check, check.cause, check.host) == ("server.half_open", "spoof-filter", "web2")
    assert "half-open on web2: 8" in check.evidence


def test_a_dead_way_back_with_a_wrong_gateway_is_the_gateways_doing() -> None:
    farm = Farm()
    gateway(farm, "web2")
    report = told(farm, Traffic(connections=9, waiting=8, tried=3, arrived=8))
    assert only(report).cause == "gateway"
    assert find(report, "server.half_open", "web2").consequence_of == "gateway"


def test_none_half_open_on_the_server_is_a_dead_way_there() -> None:
    farm = Farm()
    farm.world.foreign_sources_lost = True
    check = only(told(farm, Traffic(connections=9, waiting=8, tried=3, arrived=0)))
    assert (check.check, check.cause, check.host) == ("server.half_open", "spoof-filter", "director")


def test_clients_who_do_not_arrive_at_one_server_while_others_serve_them_are_not_blamed_on_the_directors_port() -> None:
    farm = Farm()
    bogons(farm, "web1", "web2", "web3")
    evidence = gather(farm.deployment, farm.observed(), farm.world.wire(), None, farm.inside())
    seen = {
        KEY: Traffic(connections=9, waiting=8, tried=3, arrived=0),
        ("10.0.0.101", VIP, 80): Traffic(connections=3, answered=("203.0.113.10",)),
    }
    report = diagnose(msgspec.structs.replace(evidence, traffic=seen))
    assert (report.verdict, report.failures) == ("unknown", ())
    assert find(report, "server.half_open", "web2").outcome == "unknown"


def test_hanging_handshakes_on_a_server_with_a_rule_that_drops_clients_are_its_firewall() -> None:
    farm = Farm()
    farm.server("web2").strangers_dropped = True
    check = only(told(farm, Traffic(connections=9, waiting=8, tried=3, arrived=0)))
    assert (check.check, check.cause, check.host) == ("server.half_open", "firewall", "web2")


def test_answers_of_all_servers_that_reach_no_client_are_one_fault_between_farm_and_clients() -> None:
    farm = Farm()
    evidence = gather(farm.deployment, farm.observed(), farm.world.wire(), None, farm.inside())
    hung = Traffic(connections=9, waiting=8, tried=3, arrived=8)
    traffic = {(f"10.0.0.10{number}", VIP, 80): hung for number in (1, 2, 3)}
    report = diagnose(msgspec.structs.replace(evidence, traffic=traffic))
    check = only(report)
    assert (check.check, check.cause, check.host) == ("server.half_open", "spoof-filter", "client")
    assert "between the farm and the clients" in check.message


@pytest.mark.parametrize(("others", "host"), [
    (Traffic(connections=3, waiting=3, tried=1, arrived=3), "client"),
    (Traffic(connections=4, waiting=2, arrived=2), "client"),
    (Traffic(connections=900, waiting=3, tried=1, arrived=3), "web2"),  # clients went away
    (Traffic(connections=9, waiting=8, tried=3, completed=1, arrived=8), "web2"),
    (Traffic(connections=3, answered=("203.0.113.10",)), "web2"),
])  # fmt: skip
def test_few_that_hang_on_the_other_servers_tell_what_lies_between_from_one_servers_port(
    others: Traffic, host: str
) -> None:
    farm = Farm()
    evidence = gather(farm.deployment, farm.observed(), farm.world.wire(), None, farm.inside())
    traffic = {(f"10.0.0.10{number}", VIP, 80): others for number in (1, 3)}
    traffic[KEY] = Traffic(connections=9, waiting=8, tried=3, arrived=8)
    check = only(diagnose(msgspec.structs.replace(evidence, traffic=traffic)))
    assert (check.cause, check.host) == ("spoof-filter", host)


def test_a_dead_way_there_that_only_live_traffic_shows_is_blamed_on_the_directors_port() -> None:
    farm = Farm()
    evidence = gather(farm.deployment, farm.observed(), farm.world.wire(), None, farm.inside())
    seen = Traffic(connections=9, waiting=8, tried=3, arrived=0)
    report = diagnose(msgspec.structs.replace(evidence, traffic={KEY: seen}, client_like={}))
    check = only(report)
    assert (check.check, check.cause, check.host) == ("server.half_open", "spoof-filter", "director")


def test_where_syns_arrive_from_nowhere_but_not_from_clients_is_not_told() -> None:
    report = told(Farm(), Traffic(connections=9, waiting=8, tried=3, arrived=0))
    assert (report.failures, find(report, "server.half_open", "web2").outcome) == ((), "unknown")


def test_a_filter_on_the_servers_own_way_out_leaves_few_half_open_and_is_found() -> None:
    check = only(told(Farm(), Traffic(connections=40, waiting=20, tried=9, arrived=2)))
    assert (check.cause, check.host) == ("spoof-filter", "web2")


@pytest.mark.parametrize("made", ["vip-missing", "service-down", "firewall", "rp-filter", "unreachable", "vip-prefix"])
def test_behind_another_fault_hanging_handshakes_are_its_consequence(made: str) -> None:
    farm = Farm()
    SERVER_FAULTS[made][0](farm, "web2")
    report = told(farm, Traffic(connections=40, waiting=20, tried=9, arrived=0))
    assert only(report).cause == SERVER_FAULTS[made][1]
    assert find(report, "server.half_open", "web2").consequence_of == SERVER_FAULTS[made][1]


def test_a_table_that_cannot_be_read_is_unknown_and_another_products_is_skipped() -> None:
    check = find(told(Farm(), Traffic(connections=0), problem="No."), "server.half_open", "web2")
    assert (check.outcome, check.evidence) == ("unknown", "No.")
    farm = Farm()
    director = msgspec.structs.replace(farm.deployment.director, engine="external")
    farm.deployment = msgspec.structs.replace(farm.deployment, director=director)
    assert all_of(farm.verify(), "server.half_open") == {"skipped"}
