"""From the client host: which server answered, what its application said, and that replies bypass the director."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.diagnosis.bypass import witnesses
from dsrwizard.core.model.answers import Arrivals
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Client, Deployment, Service
from dsrwizard.core.model.errors import ConnectionLost
from dsrwizard.core.model.packet_filter import FilterChain
from dsrwizard.engine.client_looks import look
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.verify import gather
from tests.fakes.client_host import ANSWERED, ASKED, ROUTER_MAC, FakeClientHost
from tests.unit.diagnosed import (
    SERVER_FAULTS,
    STRANGER,
    VIP,
    VIP6,
    Farm,
    Nobody,
    faults,
    find,
    gateway,
    only,
    vip_missing,
)

DEAD = "02:00:5e:00:53:01"
WEB1_MAC = "02:00:0a:00:00:65"

LARGE = re.compile(r"^connections '[^']* big /", re.MULTILINE)
"""A run that sends large requests."""


class Seen:
    """A farm with a client host."""

    def __init__(
        self,
        *,
        servers: int = 3,
        services: tuple[Service, ...] = (Service(port=80, scheduler="rr"),),
        addresses: tuple[str, ...] = (VIP,),
        change: Callable[[Deployment], Deployment] = lambda deployment: deployment,
    ) -> None:
        def with_client(deployment: Deployment) -> Deployment:
            return change(msgspec.structs.replace(deployment, client=Client(address="203.0.113.10")))

        self.farm = Farm(servers=servers, services=services, addresses=addresses, change=with_client)
        self.host = FakeClientHost(self.farm.world)
        self.deaf = self.mute_director = False

    def verify(self) -> Report:
        """As a verification does that listens on the director's interface meanwhile, unless it is `deaf`."""
        farm, director = self.farm, self.farm.world.director()
        view = look(farm.deployment, self.host, director, counting=0.0)
        evidence = gather(farm.deployment, farm.observed(), farm.world.wire(), view, farm.inside())
        if self.mute_director:
            evidence = msgspec.structs.replace(evidence, talks={})
        heard = None if self.deaf else Arrivals(seen=tuple(self.host.arrived))
        return diagnose(msgspec.structs.replace(evidence, arrivals=heard))

    @property
    def rounds(self) -> list[str]:
        """The runs on the client host, without those that send large requests."""
        return [run for run in self.host.runs if not LARGE.search(run)]

    def connections(self) -> int:
        """How many the director has, without those of large requests, five or one of a service."""
        large = [int(count) for run in self.host.runs for count in re.findall(r" (\d+) big /", run)]
        return len(self.farm.world.ipvs.connections) - sum(large)


@pytest.fixture
def seen() -> Seen:
    return Seen()


# -- which server answered


def test_every_server_answers_and_the_figures_are_told_per_server(seen: Seen) -> None:
    report = seen.verify()
    check = find(report, "client.servers", "client")
    assert (report.verdict, check.outcome) == ("pass", "pass")
    assert check.message == "All 3 servers of 10.0.0.10:80 answered the client host."
    for name in ("web1", "web2", "web3"):
        assert f"{name} " in check.evidence
    assert "web3 1 of 1: connect 1.2/1.2/1.2 ms, first byte 2.4/2.4/2.4 ms" in check.evidence
    assert len(seen.rounds) == 1  # five connections in turn reach three servers


def test_a_server_that_deals_out_slowly_is_asked_again_and_no_more_than_the_bound(seen: Seen) -> None:
    seen.host.prefers = "10.0.0.101"
    check = find(seen.verify(), "client.servers", "client")
    assert check.outcome == "unknown"
    assert "web2, web3 got none of 20 connections" in check.message
    assert seen.connections() == 4 * 3 + 8
    assert len(seen.rounds) == 3


def test_what_is_not_told_of_a_busy_farm_spoils_no_verdict() -> None:
    seen = Seen(services=(Service(port=80, scheduler="wlc"),))
    seen.host.prefers = "10.0.0.101"
    report = seen.verify()
    assert report.verdict == "pass"
    assert "when the load is more even" in find(report, "client.servers", "client").fix


def test_one_that_round_robin_passes_over_is_not_put_down_to_the_load(seen: Seen) -> None:
    seen.host.prefers = "10.0.0.101"
    report = seen.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    check = find(report, "client.servers", "client")
    assert "rr gives each server its turn" in check.message
    assert "firewall mark" in check.fix
    assert "load" not in check.message + check.fix


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        (Service(port=80, scheduler="rr", persistence=300), "persistence keeps one client on one server for 300 s"),
        (Service(port=80, scheduler="sh"), "the scheduler sh gives one client one server"),
    ],
)
def test_one_connection_is_enough_where_a_client_always_gets_the_same_server(service: Service, reason: str) -> None:
    seen = Seen(services=(service,))
    check = find(seen.verify(), "client.servers", "client")
    assert check.outcome == "pass"
    assert check.message == f"web1 answered the client host for 10.0.0.10:80; {reason}."
    assert seen.connections() == 1


def test_a_server_drained_by_the_deployment_is_not_expected() -> None:
    def drained(deployment: Deployment) -> Deployment:
        one, *others = deployment.servers
        return msgspec.structs.replace(deployment, servers=(msgspec.structs.replace(one, weight=0), *others))

    check = find(Seen(change=drained).verify(), "client.servers", "client")
    assert check.message == "All 2 servers of 10.0.0.10:80 answered the client host."


def test_a_server_drained_in_ipvs_is_explained_by_that(seen: Seen) -> None:
    (service,) = seen.farm.world.ipvs.table
    seen.farm.world.director().set_weight(service, "10.0.0.102", 80, 0)
    report = seen.verify()
    assert faults(report) == [("drained", "director")]
    assert find(report, "client.servers", "client").consequence_of == "drained"


@pytest.mark.parametrize("made", ["vip-missing", "service-down", "firewall", "gateway", "rip-only-listener"])
def test_failed_connections_are_the_consequence_of_the_fault_of_the_server_that_got_them(seen: Seen, made: str) -> None:
    make, cause = SERVER_FAULTS[made]
    make(seen.farm, "web2")
    report = seen.verify()
    assert faults(report) == [(cause, "web2")]
    assert find(report, "client.connect", "client").outcome == "pass"  # the others answer
    check = find(report, "client.servers", "client")
    assert check.consequence_of == cause
    assert "web2 0 of 2" in check.evidence


def test_a_server_that_took_a_client_like_syn_and_leaves_clients_unanswered_is_filtered(seen: Seen) -> None:
    seen.host.flaky.add("10.0.0.102")
    check = only(seen.verify())
    assert (check.check, check.host, check.cause) == ("client.servers", "web2", "spoof-filter")
    assert "its answers do not reach the client host" in check.message
    assert "web2 0 of 2" in check.evidence


def test_the_one_server_that_persistence_gives_a_client_is_not_told_from_what_lies_between() -> None:
    seen = Seen(services=(Service(port=80, scheduler="rr", persistence=300),))
    seen.host.flaky.add("10.0.0.101")
    check = only(seen.verify())
    assert (check.check, check.host, check.cause) == ("client.servers", "web1", "")


def test_a_server_that_fails_without_a_known_fault_fails_by_its_name(seen: Seen) -> None:
    seen.host.flaky.add("10.0.0.102")
    seen.farm.world.servers["web2"].ssh = False  # whether a client-like SYN was accepted there cannot be seen
    check = only(seen.verify())
    assert (check.check, check.host, check.cause) == ("client.servers", "web2", "")
    assert "web2 was given 2 connections of the client host to 10.0.0.10:80 and left 2 unanswered" in check.message
    assert "silent" in check.evidence


def test_all_tries_failing_at_one_server_alone_are_its_fault_and_not_the_routers() -> None:
    seen = Seen(servers=1)
    vip_missing(seen.farm, "web1")
    report = seen.verify()
    assert faults(report) == [("vip-missing", "web1")]
    assert find(report, "client.connect", "client").consequence_of == "vip-missing"


def test_two_families_and_services_are_told_apart() -> None:
    seen = Seen(services=(Service(port=80, scheduler="rr"), Service(protocol="udp", port=7)), addresses=(VIP, VIP6))
    report = seen.verify()
    served = [check for check in report.checks if check.check == "client.servers"]
    assert [(one.vip, one.service, one.outcome) for one in served] == [
        (VIP, "tcp/80", "pass"), (VIP6, "tcp/80", "pass"),
    ]  # fmt: skip


def test_an_ipv6_vip_alone_astray_is_named_there() -> None:
    seen = Seen(addresses=(VIP, VIP6))
    seen.host.entries[VIP6] = DEAD
    check = only(seen.verify())
    assert (check.cause, check.vip) == ("stale-arp", VIP6)


# -- the first byte


@pytest.mark.parametrize("unseen", [("web2",), ("web1", "web3")])
def test_where_nobody_is_answered_a_server_that_cannot_be_looked_at_is_not_blamed(
    seen: Seen, unseen: tuple[str, ...]
) -> None:
    seen.host.flaky = {"10.0.0.101", "10.0.0.102", "10.0.0.103"}
    for name in unseen:
        seen.farm.server(name).ssh = False
    check = only(seen.verify())
    assert (check.check, check.host, check.cause) == ("client.servers", "client", "spoof-filter")
    assert "those servers that could be looked at" in check.evidence


def test_where_nobody_is_answered_and_nobody_could_look_it_is_one_failure_without_a_cause(seen: Seen) -> None:
    seen.host.flaky = {"10.0.0.101", "10.0.0.102", "10.0.0.103"}
    for name in ("web1", "web2", "web3"):
        seen.farm.server(name).ssh = False
    check = only(seen.verify())
    assert (check.check, check.host, check.cause) == ("client.servers", "client", "")
    assert "web1, web2, web3: what all of them share" in check.message
    assert "tcpdump" in check.fix


def test_a_server_that_only_shakes_hands_while_others_answer_is_named_from_the_client_host_alone(seen: Seen) -> None:
    """Where the director cannot talk to it: another address of the VIP's holds it."""
    seen.farm.server("web2").hung = True
    seen.mute_director = True
    check = only(seen.verify())
    assert (check.check, check.host, check.cause) == ("client.servers", "web2", "service-hung")
    assert "no byte came" in check.evidence
    assert len(seen.rounds) == 2
    assert "restart it" in check.fix


def test_what_the_director_was_not_answered_either_is_one_fault(seen: Seen) -> None:
    seen.farm.server("web2").hung = True
    report = seen.verify()
    check = only(report)
    assert (check.check, check.host, check.cause) == ("vip.answer", "web2", "service-hung")
    assert find(report, "client.servers", "client").consequence_of == "service-hung"


def test_an_application_that_is_only_slow_is_asked_again_and_is_well(seen: Seen) -> None:
    seen.host.slow = "web2"
    report = seen.verify()
    assert (report.verdict, report.failures) == ("pass", ())
    assert len(seen.rounds) == 2


def test_where_no_application_says_anything_nobody_is_convicted_and_it_is_no_pass(seen: Seen) -> None:
    for state in seen.farm.world.servers.values():
        state.hung = True
    report = seen.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    assert find(report, "client.servers", "client").outcome == "unknown"


# -- NAT and what nobody tells


def test_behind_a_nat_that_keeps_ports_the_servers_are_told_all_the_same(seen: Seen) -> None:
    seen.host.seen_as = "198.51.100.7"
    assert find(seen.verify(), "client.servers", "client").outcome == "pass"


def test_behind_a_nat_that_changes_ports_nothing_is_concluded(seen: Seen) -> None:
    seen.host.seen_as, seen.host.new_ports = "198.51.100.7", True
    report = seen.verify()
    assert (report.verdict, report.failures) == ("pass", ())
    check = find(report, "client.servers", "client")
    assert check.outcome == "unknown"
    assert "NAT" in check.fix


def test_a_director_of_another_product_tells_no_servers(seen: Seen) -> None:
    farm = seen.farm
    view = look(farm.deployment, seen.host, None)
    balancer = msgspec.structs.replace(farm.deployment.director, engine="external")
    farm.deployment = msgspec.structs.replace(farm.deployment, director=balancer)
    farm.world.strangers[VIP] = [STRANGER]
    check = find(farm.verify(client=view), "client.servers", "client")
    assert check.outcome == "skipped"
    assert "Another product balances" in check.message
    assert check.evidence.startswith("5 of 5: connect 1.2")


def test_of_two_services_each_is_told_by_its_own_connections() -> None:
    """Nobody listens on port 443."""
    seen = Seen(services=(Service(port=80, scheduler="rr"), Service(port=443, scheduler="rr")))
    view = look(seen.farm.deployment, seen.host, None)
    balancer = msgspec.structs.replace(seen.farm.deployment.director, engine="external")
    seen.farm.deployment = msgspec.structs.replace(seen.farm.deployment, director=balancer)
    served = [one for one in seen.farm.verify(client=view).checks if one.check == "client.servers"]
    assert [(one.service, one.evidence.partition(":")[0]) for one in served] == [
        ("tcp/80", "5 of 5"),
        ("tcp/443", "0 of 5"),
    ]


def test_without_python_the_ports_are_not_told_and_it_says_what_is_missing(seen: Seen) -> None:
    seen.host.python = False
    report = seen.verify()
    assert (report.verdict, report.bypass) == ("pass", None)
    check = find(report, "client.servers", "client")
    assert check.outcome == "unknown"
    assert "do not show the ports" in check.evidence
    assert "python3" in check.fix
    assert "python3" in find(report, "client.bypass", "client").evidence


def test_a_table_that_cannot_be_read_is_unknown_with_its_reason(seen: Seen) -> None:
    seen.farm.world.ipvs_problem = "The kernel module ip_vs is not loaded."
    check = find(seen.verify(), "client.servers", "client")
    assert check.outcome == "unknown"
    assert "not loaded" in check.evidence


def test_a_connection_to_the_client_host_that_breaks_later_keeps_what_was_seen(seen: Seen) -> None:
    seen.host.prefers, seen.host.lost_at = "10.0.0.101", 2
    check = find(seen.verify(), "client.servers", "client")
    assert "web2, web3 got none of 5 connections" in check.message


def test_a_connection_to_the_client_host_that_breaks_at_once_is_an_error(seen: Seen) -> None:
    seen.host.lost_at = 1
    with pytest.raises(ConnectionLost):
        seen.verify()


# -- bypass


def test_behind_a_router_the_hops_prove_the_bypass_and_the_bytes_are_counted(seen: Seen) -> None:
    report = seen.verify()
    check = find(report, "client.bypass", "client")
    assert check.outcome == "pass"
    assert "TTL 63, the director's own answer to ping with 63" in check.evidence
    assert witnesses(check) == set(), "whose replies they were is not seen from there"
    assert "IPVS has counted no reply" in check.evidence
    assert report.bypass is not None
    assert (report.bypass.request_bytes, report.bypass.reply_bytes) == (5 * ASKED, 5 * ANSWERED)
    assert report.bypass.ratio == pytest.approx(ANSWERED / ASKED)
    assert report.bypass.at > 1_600_000_000


def test_on_link_the_macs_prove_the_bypass(seen: Seen) -> None:
    seen.host.on_link = True
    check = find(seen.verify(), "client.bypass", "client")
    assert check.outcome == "pass"
    assert f"{WEB1_MAC} (web1)" in check.evidence
    assert witnesses(check) == {"web1", "web2", "web3"}
    assert ROUTER_MAC not in check.evidence


@pytest.mark.parametrize("on_link", [True, False])
def test_replies_through_the_director_are_never_called_bypassed(seen: Seen, on_link: bool) -> None:
    seen.host.on_link = on_link
    seen.host.by_director = {"10.0.0.101", "10.0.0.102", "10.0.0.103"}
    report = seen.verify()
    check = find(report, "client.bypass", "client")
    assert check.outcome == "fail"
    assert "come back through the director" in check.message
    assert "IPVS counted" in check.evidence
    assert (report.verdict, report.bypass) == ("fail", None)


def test_one_hop_more_without_a_count_is_not_told(seen: Seen) -> None:
    view = look(seen.farm.deployment, seen.host, seen.farm.world.director(), counting=0.0)
    nearer = tuple(msgspec.structs.replace(one, ttl=64) for one in view.vips)
    report = seen.farm.verify(client=msgspec.structs.replace(view, vips=nearer))
    check = find(report, "client.bypass", "client")
    assert (check.outcome, report.verdict, report.bypass) == ("unknown", "pass", None)
    assert "another path" in check.evidence


def test_a_hop_that_a_container_takes_is_not_put_down_to_a_gateway(seen: Seen) -> None:
    for state in seen.farm.world.servers.values():
        state.machine.listeners = [
            msgspec.structs.replace(one, process="docker-proxy") if one.port == 80 else one
            for one in state.machine.listeners
        ]
    view = look(seen.farm.deployment, seen.host, seen.farm.world.director(), counting=0.0)
    nearer = tuple(msgspec.structs.replace(one, ttl=64) for one in view.vips)
    check = find(seen.farm.verify(client=msgspec.structs.replace(view, vips=nearer)), "client.bypass", "client")
    assert check.outcome == "unknown"
    assert "a container or another translation" in check.evidence
    assert "gateway" not in check.fix


def test_without_an_answer_to_ping_the_hops_tell_nothing(seen: Seen) -> None:
    seen.host.pings = False
    report = seen.verify()
    check = find(report, "client.bypass", "client")
    assert check.outcome == "unknown"
    assert "ping" in check.fix


def test_a_login_without_privilege_leaves_the_bypass_unknown_in_words(seen: Seen) -> None:
    seen.host.root = False
    report = seen.verify()
    check = find(report, "client.bypass", "client")
    assert (check.outcome, report.verdict, report.bypass) == ("unknown", "pass", None)
    assert "root or CAP_NET_RAW" in check.evidence
    assert check.fix


def test_replies_that_nobody_sent_prove_nothing(seen: Seen) -> None:
    for name in ("web1", "web2", "web3"):
        gateway(seen.farm, name)
    report = seen.verify()
    assert {cause for cause, _ in faults(report)} == {"gateway"}
    assert find(report, "client.bypass", "client").outcome == "skipped"


# -- through the engine


def test_the_engine_asks_the_client_host_over_one_connection(tmp_path: Path) -> None:
    seen = Seen()
    opened: list[str] = []

    def connect(host: str, target: object, asker: object) -> FakeClientHost:
        opened.append(host)
        return seen.host

    world = seen.farm.world
    engine = Engine(
        director=lambda _: world.director(),
        wire=world.wire(),
        connect=connect,
        asker=Nobody(),
        journals=Journals(tmp_path),
        open_server=lambda server: world.open_server(server, Nobody()),
    )
    for _ in range(2):
        report = engine.verify(seen.farm.deployment)
        assert find(report, "client.servers", "client").outcome == "pass"
        assert report.bypass is not None
    engine.close()
    assert opened == ["client"]


def test_a_director_that_does_not_answer_for_the_vip_is_not_put_down_to_the_router(seen: Seen) -> None:
    seen.host.entries[VIP] = DEAD
    seen.farm.world.looked = lambda look, lost: msgspec.structs.replace(
        look, settings=look.settings | {"net.ipv4.conf.eth0.arp_ignore": "8"}
    )
    report = seen.verify()
    assert faults(report) == [("director-setting", "director")]
    assert find(report, "client.connect", "client").consequence_of == "director-setting"


def test_what_the_director_s_own_filter_drops_behind_ipvs_is_not_put_down_to_anybody_else(seen: Seen) -> None:
    """IPVS has an entry of every connection, and no real server gets one."""
    seen.host.flaky.update(("10.0.0.101", "10.0.0.102", "10.0.0.103"))
    rule = "[9:540] -A OUTPUT -d 10.0.0.10/32 -o eth0 -p tcp -m tcp --dport 80 -j DROP"
    chain = FilterChain(tool="iptables-legacy", family=4, table="filter", name="OUTPUT", hook="output", rules=(rule,))
    seen.farm.world.looked = lambda look, lost: msgspec.structs.replace(look, chains=(chain,))
    report = seen.verify()
    assert faults(report) == [("firewall", "director")]
    assert {one.consequence_of for one in report.checks if one.check == "client.servers"} == {"firewall"}


def test_errors_that_the_director_sends_for_a_server_out_of_reach_are_no_replies_through_it(seen: Seen) -> None:
    """Its kernel says host unreachable to the client, and IPVS counts that for the destination."""
    seen.farm.server("web2").reachable = False
    seen.host.by_director = {"10.0.0.102"}
    assert faults(seen.verify()) == [("unreachable", "web2")]
