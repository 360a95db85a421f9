"""One fault gives one cause on the right host, with what was seen and what mends it; a healthy farm gives none."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from dsrwizard.core.model.changes import DestinationState, ServiceKey, ServiceState
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Deployment, Service
from dsrwizard.core.model.facts import Listener
from dsrwizard.engine.verify import verify
from tests.fakes.host import Link
from tests.fakes.ipvs import Entry, Virtual
from tests.unit.diagnosed import SERVER_FAULTS, STRANGER, VIP, VIP6, Farm, faults, find, only, vip_missing

KEY = ServiceKey(VIP, "tcp", 80)
ECHO = Service(protocol="udp", port=7)


@pytest.mark.parametrize(
    ("services", "addresses"),
    [
        ((Service(port=80),), (VIP,)),
        ((Service(port=80), ECHO), (VIP,)),
        ((Service(port=80),), (VIP, "10.0.0.11")),
        ((Service(port=80), ECHO), (VIP6,)),
        ((Service(port=80),), (VIP, VIP6)),
    ],
)
def test_a_healthy_farm_has_no_fault_and_nothing_unseen(
    services: tuple[Service, ...], addresses: tuple[str, ...]
) -> None:
    report = Farm(services=services, addresses=addresses).verify()
    assert report.verdict == "pass"
    assert {check.outcome for check in report.checks} <= {"pass", "skipped"}
    assert not any(check.consequence_of for check in report.checks)


def test_what_others_have_on_the_director_is_no_fault() -> None:
    farm = Farm()
    farm.world.ipvs.table[ServiceKey("10.0.0.99", "tcp", 443)] = Virtual(state=ServiceState("rr"))
    farm.world.ipvs.table[KEY].entries.append(Entry("10.0.0.200", 80, DestinationState(0)))
    farm.world.machine.links["eth0"].addresses["10.0.0.77"] = 32
    farm.world.requests(12)
    assert farm.verify().verdict == "pass"


def test_a_server_drained_by_the_deployment_is_no_fault() -> None:
    def drain(deployment: Deployment) -> Deployment:
        first, *others = deployment.servers
        return msgspec.structs.replace(deployment, servers=(msgspec.structs.replace(first, weight=0), *others))

    report = Farm(change=drain).verify()
    assert report.verdict == "pass"
    assert "drained" in find(report, "director.destination", "director").message


def test_a_missing_vip_is_not_blamed_on_the_way_back_that_the_kernel_denies_for_it() -> None:
    farm = Farm()
    del farm.server("web2").machine.links["lo"].addresses[VIP]
    observed = farm.observed()
    # `ip route get 198.51.100.1 from 10.0.0.10` says "Network is unreachable" where the host has no 10.0.0.10
    web2 = msgspec.structs.replace(observed.servers["web2"], ways={VIP: None})
    observed = msgspec.structs.replace(observed, servers={**observed.servers, "web2": web2})
    report = verify(farm.deployment, observed, farm.world.wire())
    assert [(check.cause, check.host) for check in report.failures] == [("vip-missing", "web2")]


@pytest.mark.parametrize("made", SERVER_FAULTS)
def test_one_fault_on_a_server_is_one_cause_on_that_server(made: str) -> None:
    make, cause = SERVER_FAULTS[made]
    farm = Farm()
    make(farm, "web2")
    report = farm.verify()
    check = only(report)
    assert (check.cause, check.host) == (cause, "web2")
    assert report.verdict == "fail"
    assert check.message.endswith(".")
    assert check.evidence
    assert check.fix
    assert "unknown" not in {one.outcome for one in report.checks if one.host != "web2"}


@pytest.mark.parametrize("made", SERVER_FAULTS)
def test_what_else_a_fault_shows_is_listed_as_its_consequence_only(made: str) -> None:
    make, cause = SERVER_FAULTS[made]
    farm = Farm()
    make(farm, "web2")
    after = [check for check in farm.verify().checks if check.consequence_of]
    assert {check.consequence_of for check in after} <= {cause}
    assert {check.outcome for check in after} <= {"skipped"}
    assert {check.host for check in after} <= {"web2"}


@pytest.mark.parametrize(
    ("one", "other"), [*itertools.product(SERVER_FAULTS, repeat=2)], ids=lambda made: str(made).replace(" ", "-")
)
def test_two_faults_on_different_servers_are_both_named(one: str, other: str) -> None:
    farm = Farm()
    SERVER_FAULTS[one][0](farm, "web1")
    SERVER_FAULTS[other][0](farm, "web3")
    assert faults(farm.verify()) == sorted([(SERVER_FAULTS[one][1], "web1"), (SERVER_FAULTS[other][1], "web3")])


SAME_HOST = [
    ("vip-missing", "rip-only-listener"),
    ("vip-missing", "service-down"),
    ("vip-missing", "arp-leak"),
    ("vip-missing", "not-persistent"),
    ("vip-prefix", "gateway"),
    ("arp-leak", "arp-announce"),
    ("arp-leak", "service-down"),
    ("arp-leak, stray setting", "firewall"),
    ("service-down", "gateway"),
    ("service-down", "firewall"),
    ("rp-filter", "firewall"),
    ("gateway", "not-persistent"),
    ("rip-only-listener", "not-persistent, guard"),
]


@pytest.mark.parametrize(("one", "other"), SAME_HOST)
def test_two_faults_on_the_same_server_are_both_named(one: str, other: str) -> None:
    farm = Farm()
    for made in (one, other):
        SERVER_FAULTS[made][0](farm, "web2")
    assert faults(farm.verify()) == sorted((SERVER_FAULTS[made][1], "web2") for made in (one, other))


def test_three_faults_on_three_servers_are_each_named() -> None:
    farm = Farm()
    for name, made in (("web1", "vip-missing"), ("web2", "arp-leak"), ("web3", "unreachable")):
        SERVER_FAULTS[made][0](farm, name)
    assert faults(farm.verify()) == [("arp-leak", "web2"), ("unreachable", "web3"), ("vip-missing", "web1")]


def test_an_unreachable_server_says_nothing_else_of_itself() -> None:
    farm = Farm()
    SERVER_FAULTS["unreachable"][0](farm, "web2")
    report = farm.verify()
    others = [check for check in report.checks if check.host == "web2" and check.outcome != "fail"]
    assert len(others) > 8
    assert {(check.outcome, check.consequence_of) for check in others} == {("skipped", "unreachable")}


def test_the_probe_is_where_the_missing_vip_shows() -> None:
    farm = Farm()
    SERVER_FAULTS["vip-missing"][0](farm, "web2")
    report = farm.verify()
    check = only(report)
    assert (check.check, check.vip, check.service) == ("vip.probe", VIP, "tcp/80")
    assert check.fix == "On web2: ip addr add 10.0.0.10/32 dev lo"
    assert "no answer" in check.evidence
    assert find(report, "server.port", "web2").outcome == "pass"  # what every balancer looks at, and it is green


def test_the_listening_addresses_are_the_evidence_of_a_listener_bound_to_the_rip() -> None:
    farm = Farm()
    SERVER_FAULTS["rip-only-listener"][0](farm, "web2")
    check = only(farm.verify())
    assert "10.0.0.102:80 (nginx)" in check.evidence
    assert "RST" in check.evidence


@pytest.mark.parametrize(
    ("made", "command"),
    [
        ("arp-leak", "sysctl -w net.ipv4.conf.all.arp_ignore=1"),
        ("arp-leak, stray setting", "sysctl -w net.ipv4.conf.eth0.arp_ignore=1"),
        ("arp-leak, VIP on the NIC", "ip addr del 10.0.0.10/32 dev eth0 && ip addr add 10.0.0.10/32 dev lo"),
        ("arp-announce", "sysctl -w net.ipv4.conf.all.arp_announce=2"),
        ("gateway", "ip route replace default via 10.0.0.1 dev eth0"),
        ("rp-filter", "sysctl -w net.ipv4.conf.eth0.rp_filter=2"),
        ("vip-prefix", "ip addr del 10.0.0.10/24 dev lo && ip addr add 10.0.0.10/32 dev lo"),
    ],
)
def test_the_fix_is_the_exact_command(made: str, command: str) -> None:
    farm = Farm()
    SERVER_FAULTS[made][0](farm, "web2")
    assert only(farm.verify()).fix == f"On web2: {command}"


def test_a_leak_is_named_by_server_and_mac() -> None:
    farm = Farm()
    SERVER_FAULTS["arp-leak"][0](farm, "web2")
    check = only(farm.verify())
    assert check.check == "arp.audit"
    assert "02:00:0a:00:00:66" in check.evidence
    assert "all=0" in check.evidence


def test_a_guard_that_is_off_is_found_before_there_is_a_vip_to_leak() -> None:
    farm = Farm()
    SERVER_FAULTS["vip-missing"][0](farm, "web2")
    SERVER_FAULTS["arp-leak"][0](farm, "web2")
    assert find(farm.verify(), "server.guard", "web2").cause == "arp-leak"


def test_of_interfaces_with_one_mac_the_guard_of_the_one_with_the_servers_address_counts() -> None:
    """A VLAN interface has the MAC of the one below it, which asks nobody and has the guard from before."""
    farm = Farm()
    machine = farm.server("web2").machine
    machine.links = {"below0": Link(mac=machine.links["eth0"].mac), **machine.links}
    machine.sysctls |= {"net.ipv4.conf.all.arp_ignore": "0", "net.ipv4.conf.below0.arp_ignore": "1"}
    check = only(farm.verify())
    assert (check.cause, check.host) == ("arp-leak", "web2")
    assert "arp_ignore acts as 0 on eth0" in check.evidence
    assert check.fix == "On web2: sysctl -w net.ipv4.conf.all.arp_ignore=1"


@pytest.mark.parametrize("value", ["4", "5", "6", "7", "9"])
def test_an_arp_ignore_that_means_nothing_answers_and_is_called_a_leak(value: str) -> None:
    """The kernel's arp_ignore() answers for 4 to 7 and above 8 (arp.c). Seen while there is a VIP, and before."""
    farm = Farm()
    farm.server("web2").machine.sysctls["net.ipv4.conf.eth0.arp_ignore"] = value
    assert faults(farm.verify()) == [("arp-leak", "web2")]
    SERVER_FAULTS["vip-missing"][0](farm, "web2")
    check = find(farm.verify(), "server.guard", "web2")
    assert (check.outcome, check.cause) == ("fail", "arp-leak")
    assert f"arp_ignore acts as {value} on eth0" in check.evidence


@pytest.mark.parametrize("cached", [False, True])
def test_a_server_muted_by_arp_ignore_8_is_told_from_a_dead_and_from_a_distant_one(cached: bool) -> None:
    farm = Farm()
    farm.server("web2").machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "8"
    observed = farm.observed()
    farm.server("web2").reachable = cached  # a neighbour entry from before keeps ping and TCP going for a while
    check = only(verify(farm.deployment, observed, farm.world.wire()))
    assert (check.cause, check.host) == ("unreachable", "web2")
    assert "arp_ignore is 8" in check.message


def test_a_fault_on_the_second_vip_only_is_found_there() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"))
    del farm.server("web2").machine.links["lo"].addresses["10.0.0.11"]
    check = only(farm.verify())
    assert (check.cause, check.vip) == ("vip-missing", "10.0.0.11")


def test_a_leaking_server_is_one_fault_however_many_vips_it_leaks() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"))
    SERVER_FAULTS["arp-leak"][0](farm, "web2")
    assert faults(farm.verify()) == [("arp-leak", "web2")]


def test_a_service_that_is_down_is_one_fault_on_however_many_vips() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"))
    SERVER_FAULTS["service-down"][0](farm, "web2")
    assert faults(farm.verify()) == [("service-down", "web2")]


def test_a_fault_of_the_second_service_only_is_found_there() -> None:
    farm = Farm(services=(Service(port=80), ECHO))
    machine = farm.server("web2").machine
    machine.listeners = [one for one in machine.listeners if one.protocol != "udp"]
    check = only(farm.verify())
    assert (check.cause, check.host, check.service) == ("service-down", "web2", "udp/7")


def test_a_udp_service_dropped_on_one_server_is_a_firewall_because_the_others_reply() -> None:
    farm = Farm(services=(ECHO,))
    farm.server("web2").dropped.add(("udp", 7))
    check = only(farm.verify())
    assert (check.cause, check.host) == ("firewall", "web2")


def test_a_udp_service_that_replies_nowhere_is_unknown_not_green() -> None:
    farm = Farm(services=(ECHO,))
    for state in farm.world.servers.values():
        state.dropped.add(("udp", 7))
    report = farm.verify()
    assert not report.failures
    assert report.verdict == "unknown"
    assert find(report, "vip.probe", "web1").fix


def test_a_udp_reply_from_the_rip_is_named() -> None:
    farm = Farm(services=(ECHO,))
    farm.server("web2").reply_from_rip = True
    check = only(farm.verify())
    assert (check.cause, check.host) == ("rip-only-listener", "web2")
    assert "from 10.0.0.102" in check.message


def test_something_else_on_the_port_of_a_dns_service_is_no_dns_service() -> None:
    dns = Service(protocol="udp", port=5353, probe="dns")
    farm = Farm(services=(dns,))
    for state in farm.world.servers.values():
        state.machine.listeners.append(Listener(protocol="udp", address="*", port=5353, process="chat"))
    assert farm.verify().verdict == "pass"
    farm.server("web2").garbled.add(("udp", 5353))
    check = only(farm.verify())
    assert (check.cause, check.host, check.service) == ("service-down", "web2", "udp/5353")
    assert "is not a DNS server" in check.message
    assert "not a DNS answer" in check.evidence
    assert "payload" in check.fix


def test_an_ipv6_vip_missing_on_one_server_is_found() -> None:
    farm = Farm(addresses=(VIP, VIP6))
    del farm.server("web2").machine.links["lo"].addresses[VIP6]
    check = only(farm.verify())
    assert (check.cause, check.host, check.vip) == ("vip-missing", "web2", VIP6)
    assert check.fix == "On web2: ip addr add fd00::10/128 dev lo nodad preferred_lft 0"


def test_an_ipv6_vip_on_the_nic_leaks_whatever_the_guard() -> None:
    farm = Farm(addresses=(VIP6,))
    links = farm.server("web2").machine.links
    del links["lo"].addresses[VIP6]
    links["eth0"].addresses[VIP6] = 128
    check = only(farm.verify())
    assert (check.cause, check.host) == ("arp-leak", "web2")
    assert "dev eth0" in check.fix


def test_ipv6_vips_ask_for_no_arp_guard() -> None:
    farm = Farm(addresses=(VIP6,))
    farm.server("web2").machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "0"
    report = farm.verify()
    assert report.verdict == "pass"
    assert find(report, "server.guard", "web2").outcome == "skipped"


def test_a_vip_on_an_interface_that_is_down_counts_as_missing() -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    del machine.links["lo"].addresses[VIP]
    machine.links["dsr0"] = Link("02:00:00:00:d0:01", up=False, kind="dummy", addresses={VIP: 32})
    check = only(farm.verify())
    assert check.cause == "vip-missing"
    assert "dsr0, which is down" in check.evidence


# -- the director


def test_a_stranger_with_the_vip_is_named_by_its_mac() -> None:
    farm = Farm()
    farm.world.strangers[VIP] = [STRANGER]
    check = only(farm.verify())
    assert (check.cause, check.host, check.vip) == ("duplicate-vip", "director", VIP)
    assert STRANGER in check.evidence


def test_a_leaking_server_and_a_stranger_are_two_faults() -> None:
    farm = Farm()
    farm.world.strangers[VIP] = [STRANGER]
    SERVER_FAULTS["arp-leak"][0](farm, "web1")
    assert faults(farm.verify()) == [("arp-leak", "web1"), ("duplicate-vip", "director")]


def test_the_director_without_the_vip() -> None:
    farm = Farm()
    del farm.world.machine.links["eth0"].addresses[VIP]
    check = only(farm.verify())
    assert (check.cause, check.host) == ("director-vip", "director")
    assert check.fix == "On the director: ip addr add 10.0.0.10/32 dev eth0"


def test_a_missing_service_is_made_without_a_server_that_cannot_serve() -> None:
    farm = Farm()
    del farm.world.ipvs.table[KEY]
    vip_missing(farm, "web2")
    check = find(farm.verify(), "director.ipvs", "director")
    assert "-r 10.0.0.101:80" in check.fix
    assert "10.0.0.102" not in check.fix


def test_a_missing_service_is_one_fault_and_its_destinations_follow() -> None:
    farm = Farm()
    del farm.world.ipvs.table[KEY]
    report = farm.verify()
    check = only(report)
    assert (check.cause, check.check) == ("ipvs-missing", "director.ipvs")
    assert check.fix == "; ".join(
        ["On the director: ipvsadm -A -t 10.0.0.10:80 -s wlc"]
        + [f"ipvsadm -a -t 10.0.0.10:80 -r 10.0.0.{last}:80 -g -w 1" for last in (101, 102, 103)]
    )
    assert find(report, "director.destination", "director").consequence_of == "ipvs-missing"


def test_a_missing_destination_names_the_server() -> None:
    farm = Farm()
    farm.world.ipvs.table[KEY].entries.pop(1)
    check = only(farm.verify())
    assert (check.cause, check.host) == ("ipvs-missing", "director")
    assert "web2" in check.message
    assert check.fix == "On the director: ipvsadm -a -t 10.0.0.10:80 -r 10.0.0.102:80 -g -w 1"


def test_a_dead_server_that_was_never_added_is_one_fault_and_nobody_is_told_to_send_clients_to_it() -> None:
    farm = Farm()
    farm.world.ipvs.table[KEY].entries.pop(1)
    farm.world.servers["web2"].reachable = False
    report = farm.verify()
    assert (only(report).cause, only(report).host) == ("unreachable", "web2")
    held = [check for check in report.checks if check.check == "director.destination" and check.consequence_of]
    assert [check.consequence_of for check in held] == ["unreachable"]
    assert not any("-w 1" in check.fix for check in report.checks)


def test_a_server_held_at_weight_zero_because_nothing_listens_is_one_fault() -> None:
    farm = Farm()
    farm.world.ipvs.table[KEY].entries[1].state = DestinationState(0)
    farm.world.servers["web2"].machine.listeners.clear()
    assert (only(farm.verify()).cause, only(farm.verify()).host) == ("service-down", "web2")


@pytest.mark.parametrize(
    ("state", "cause", "words"),
    [
        (DestinationState(0), "drained", "weight is 0"),
        (DestinationState(1, "nat"), "ipvs-differs", "by nat instead of direct routing"),
        (DestinationState(1, "tun"), "ipvs-differs", "by tun instead of direct routing"),
    ],
)
def test_a_destination_set_otherwise_names_the_server(state: DestinationState, cause: str, words: str) -> None:
    farm = Farm()
    farm.world.ipvs.table[KEY].entries[1].state = state
    check = only(farm.verify())
    assert (check.cause, check.host) == (cause, "director")
    assert "web2" in check.message
    assert words in check.message


def test_a_destination_on_another_port_differs() -> None:
    farm = Farm()
    farm.world.ipvs.table[KEY].entries[1].port = 8080
    check = only(farm.verify())
    assert check.cause == "ipvs-differs"
    assert "8080" in check.message


def test_two_drained_servers_are_two_faults() -> None:
    farm = Farm()
    for entry in farm.world.ipvs.table[KEY].entries[:2]:
        entry.state = DestinationState(0)
    assert faults(farm.verify()) == [("drained", "director"), ("drained", "director")]


@pytest.mark.parametrize("state", [ServiceState("rr"), ServiceState("wlc", persistence=300)])
def test_a_service_set_otherwise_differs(state: ServiceState) -> None:
    farm = Farm()
    farm.world.ipvs.table[KEY].state = state
    assert only(farm.verify()).cause == "ipvs-differs"


def test_ipvs_that_is_not_loaded_is_one_fault() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"))
    farm.world.machine.modules.clear()
    farm.world.ipvs_problem = "The kernel has no IPVS: module ip_vs is not loaded."
    farm.world.ipvs_next = "sudo modprobe ip_vs"
    check = only(farm.verify())
    assert (check.cause, check.fix) == ("ipvs-missing", "sudo modprobe ip_vs")


def test_ipvs_that_cannot_be_read_is_unknown() -> None:
    farm = Farm()
    farm.world.ipvs_problem = "Reading IPVS needs CAP_NET_ADMIN."
    farm.world.ipvs_next = "Run it with sudo."
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    assert find(report, "director.ipvs", "director").fix == "Run it with sudo."


def test_the_checks_come_in_the_order_a_packet_travels() -> None:
    def rank(check: Check) -> int:
        return ["client", "arp", "director", "server", "vip", "probe"].index(check.check.partition(".")[0])

    ranks = [min(rank(check), 3) for check in Farm().verify().checks]
    assert ranks == sorted(ranks)
