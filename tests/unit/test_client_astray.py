"""From the client host: connections that did not pass the director, and who is to blame for them."""

from __future__ import annotations

import msgspec
import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.diagnosis.handshakes import Traffic
from dsrwizard.core.model.answers import Arrival, Arrivals
from dsrwizard.engine.client_looks import look
from dsrwizard.engine.verify import gather
from tests.unit.diagnosed import (
    SERVER_FAULTS,
    STRANGER,
    VIP,
    arp_leak,
    faults,
    find,
    firewall,
    only,
)
from tests.unit.test_client_rounds import Seen
from tests.unit.test_several_directors import ADDRESS, OTHER, two

DEAD = "02:00:5e:00:53:01"
WEB1_MAC = "02:00:0a:00:00:65"


@pytest.fixture
def seen() -> Seen:
    return Seen()


def test_no_entry_in_the_directors_table_proves_another_mac_on_the_way(seen: Seen) -> None:
    seen.host.entries[VIP] = DEAD
    check = only(seen.verify())
    assert (check.check, check.cause, check.host, check.vip) == ("client.connect", "stale-arp", "client", VIP)
    assert "most likely the upstream router still has the wrong MAC" in check.message
    assert check.evidence == (
        "5 of 5 connections not in the director's table: silent; none of them came in on the director's interface"
    )
    assert "arping -U" in check.fix


def test_a_ping_that_comes_through_shows_that_the_router_has_the_right_mac(seen: Seen) -> None:
    """Then a filter on the way keeps the service out, and announcing the VIP again would cure nothing."""
    seen.host.entries[VIP] = DEAD
    run = seen.host.run

    def answered(script: str, *, deadline: float, on_line: object = None) -> object:
        said = run(script, deadline=deadline)
        return msgspec.structs.replace(
            said, stdout=said.stdout.replace(f"ping {VIP} silent -", f"ping {VIP} answered 0.4 63")
        )

    seen.host.run = answered  # type: ignore[assignment,method-assign]
    check = only(seen.verify())
    assert (check.check, check.cause, check.host) == ("client.connect", "", "client")
    assert "but pings do" in check.message
    assert "arping" not in check.fix


def test_where_nobody_listened_no_entry_in_the_table_blames_nobody(seen: Seen) -> None:
    """The director may have dropped them itself."""
    seen.host.entries[VIP], seen.deaf = DEAD, True
    check = only(seen.verify())
    assert (check.check, check.cause, check.host) == ("client.connect", "", "client")
    assert "a filter stopped them, or the director did" in check.message
    assert "tcpdump -eni eth0" in check.fix


def test_what_came_in_and_made_no_entry_is_not_the_routers_doing(seen: Seen) -> None:
    seen.host.entries[VIP] = DEAD
    view_of = seen.host.run

    def run(script: str, *, deadline: float, on_line: object = None) -> object:
        said = view_of(script, deadline=deadline)
        ports = [int(line.split()[7]) for line in said.stdout.splitlines() if f" tcp {VIP} 80 " in line]
        seen.host.arrived += [Arrival(client=seen.host.address, client_port=port, vip=VIP, port=80) for port in ports]
        return said

    seen.host.run = run  # type: ignore[assignment,method-assign]
    assert "stale-arp" not in {cause for cause, _ in faults(seen.verify())}


def test_on_link_the_clients_own_entry_proves_another_mac(seen: Seen) -> None:
    seen.host.on_link, seen.deaf = True, True
    seen.host.entries[VIP] = DEAD
    assert faults(seen.verify()) == [("stale-arp", "client")]


def test_no_reply_from_any_server_that_took_the_packets_is_one_fault_between_farm_and_clients(seen: Seen) -> None:
    seen.host.flaky.update(("10.0.0.101", "10.0.0.102", "10.0.0.103"))
    report = seen.verify()
    check = only(report)
    assert (check.check, check.host, check.cause) == ("client.connect", "client", "spoof-filter") or (
        check.check, check.host, check.cause,
    ) == ("client.servers", "client", "spoof-filter")  # fmt: skip
    assert "between the farm and the clients" in check.message
    assert find(report, "client.connect", "client").consequence_of == "spoof-filter"
    assert find(report, "client.ping", "client").outcome == "pass"


def test_a_server_that_drops_documentation_addresses_and_serves_the_client_host_is_well(seen: Seen) -> None:
    seen.farm.server("web2").strangers_dropped = True
    seen.host.served.add("10.0.0.102")
    report = seen.verify()
    assert (report.verdict, report.failures) == ("pass", ())
    check = find(report, "probe.client_like", "web2")
    assert check.outcome == "pass"
    assert "the client host was answered through web2" in check.evidence


def test_the_client_hosts_own_address_proves_a_filter_on_one_server(seen: Seen) -> None:
    seen.farm.server("web2").strangers_dropped = True
    report = seen.verify()
    assert faults(report) == [("firewall", "web2")]
    check = find(report, "probe.client_like", "web2")
    assert "SYN from 203.0.113.10:" in check.evidence
    assert "! -s 10.0.0.0/16 -j DROP" in check.evidence


def test_connections_from_before_do_not_acquit_a_server_that_answers_nobody_now(seen: Seen) -> None:
    """The director keeps what has ended for two minutes, and what is open for fifteen."""
    farm = seen.farm
    farm.server("web2").strangers_dropped = True
    view = look(farm.deployment, seen.host, farm.world.director(), counting=0.0)
    evidence = gather(farm.deployment, farm.observed(), farm.world.wire(), view, farm.inside())
    before = {("10.0.0.102", VIP, 80): Traffic(connections=3, answered=("203.0.113.77",))}
    report = diagnose(msgspec.structs.replace(evidence, traffic=before, arrivals=Arrivals()))
    assert faults(report) == [("firewall", "web2")]


def test_without_a_rule_that_explains_it_a_lost_client_is_not_called_filtered(seen: Seen) -> None:
    seen.farm.server("web2").strangers_dropped = True
    seen.farm.server("web2").filters = ()
    report = seen.verify()
    assert faults(report) == [("", "web2")]
    check = find(report, "probe.client_like", "web2")
    assert check.outcome == "unknown"
    assert "tcpdump" in check.fix


def test_the_directors_own_port_is_named_where_the_client_hosts_address_leaves_no_trace_anywhere(seen: Seen) -> None:
    seen.farm.world.foreign_sources_lost = True
    seen.host.flaky.update(("10.0.0.101", "10.0.0.102", "10.0.0.103"))
    report = seen.verify()
    assert faults(report) == [("spoof-filter", "director")]


def test_a_link_that_drops_documentation_addresses_alone_is_well_where_the_client_host_is_served(seen: Seen) -> None:
    seen.farm.world.foreign_sources_lost = True
    report = seen.verify()
    assert (report.verdict, report.failures) == ("pass", ())
    assert {one.outcome for one in report.checks if one.check == "probe.client_like"} == {"pass"}


@pytest.mark.parametrize("made", SERVER_FAULTS)
def test_a_stale_entry_beside_a_fault_of_a_server_is_named_and_so_is_the_fault(seen: Seen, made: str) -> None:
    make, cause = SERVER_FAULTS[made]
    make(seen.farm, "web1")
    seen.host.entries[VIP] = DEAD
    report = seen.verify()
    assert faults(report) == sorted([(cause, "web1"), ("stale-arp", "client")])
    assert find(report, "client.ping", "client").consequence_of == "stale-arp"


def test_a_server_that_leaks_and_does_not_serve_explains_what_it_swallows(seen: Seen) -> None:
    arp_leak(seen.farm, "web1")
    firewall(seen.farm, "web1")
    seen.host.entries[VIP] = WEB1_MAC
    assert faults(seen.verify()) == [("arp-leak", "web1"), ("firewall", "web1")]


def test_connections_that_a_server_answers_without_the_director_are_astray_though_open(seen: Seen) -> None:
    seen.host.entries[VIP] = WEB1_MAC
    report = seen.verify()
    check = only(report)
    assert (check.check, check.cause) == ("client.servers", "stale-arp")
    assert "were answered, but bypassed the director" in check.message
    assert report.bypass is None  # nothing the director gave to anybody


def test_what_a_leaking_server_answers_itself_is_the_leaks_consequence(seen: Seen) -> None:
    arp_leak(seen.farm, "web1")
    seen.host.entries[VIP] = WEB1_MAC
    report = seen.verify()
    assert faults(report) == [("arp-leak", "web1")]
    assert find(report, "client.servers", "client").consequence_of == "arp-leak"


def test_what_a_stranger_swallows_is_the_strangers_doing(seen: Seen) -> None:
    seen.farm.world.strangers[VIP] = [STRANGER]
    seen.host.entries[VIP] = STRANGER
    assert faults(seen.verify()) == [("duplicate-vip", "director")]


def test_a_director_without_the_vip_or_the_service_proves_nothing_about_the_router(seen: Seen) -> None:
    seen.farm.world.ipvs.table.clear()
    report = seen.verify()
    assert faults(report) == [("ipvs-missing", "director")]
    assert find(report, "client.connect", "client").consequence_of == "ipvs-missing"


def test_a_right_entry_on_link_is_no_stale_one(seen: Seen) -> None:
    seen.host.on_link = True
    report = seen.verify()
    assert (report.verdict, find(report, "client.arp", "client").outcome) == ("pass", "pass")


@pytest.mark.parametrize("here", [True, False])
def test_what_the_other_director_balances_is_not_astray(seen: Seen, here: bool) -> None:
    """On the standby there is no fault, and no announcement that would take the VIP from the one that serves; where
    both hold it, the one fault is that."""
    seen.host.entries[VIP] = WEB1_MAC  # answered, and past this director
    seen.farm.deployment = two(seen.farm.deployment)
    seen.farm.world.strangers |= {ADDRESS: [OTHER], VIP: [OTHER]}
    if not here:
        seen.farm.world.machine.links["eth0"].addresses.pop(VIP)
    report = seen.verify()
    assert faults(report) == ([("split-brain", "director")] if here else [])
    assert "arping" not in " ".join(check.fix for check in report.checks)
    assert (find(report, "client.servers", "client").consequence_of or "") == ("split-brain" if here else "")
