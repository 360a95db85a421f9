"""What the client host sees is explained by what is known of the others, or is a fault of the way to the VIP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
import pytest

from dsrwizard.core.model.answers import Connected
from dsrwizard.core.model.client_view import ClientView, ClientVip
from dsrwizard.core.model.deployment import Client, Deployment, Service
from dsrwizard.core.model.facts import Failure
from tests.unit.diagnosed import SERVER_FAULTS, STRANGER, VIP, Farm, arp_leak, faults, find, only, vip_missing

DIRECTOR_MAC = "02:00:0a:00:00:02"
WEB1_MAC = "02:00:0a:00:00:65"
Result = Literal["open", "refused", "silent", "unreachable", "unknown"]


def with_client(deployment: Deployment) -> Deployment:
    return msgspec.structs.replace(deployment, client=Client(address="203.0.113.10"))


def view(
    result: Result = "open",
    *,
    ping: Literal["answered", "silent", "unknown"] = "answered",
    on_link: bool | None = False,
    mac: str = "",
) -> ClientView:
    connect = Connected(address=VIP, port=80, result=result, milliseconds=2.0 if result == "open" else None)
    return ClientView(vips=(ClientVip(vip=VIP, ping=ping, on_link=on_link, neighbour=mac, connects=(connect,)),))


@pytest.fixture
def farm() -> Farm:
    return Farm(change=with_client)


def test_a_client_that_is_answered_passes(farm: Farm) -> None:
    report = farm.verify(client=view())
    assert report.verdict == "pass"
    assert find(report, "client.connect", "client").outcome == "pass"
    assert find(report, "client.arp", "client").outcome == "skipped"  # behind a router


def test_the_client_comes_first(farm: Farm) -> None:
    report = farm.verify(client=view(on_link=True, mac=DIRECTOR_MAC))
    assert [check.check for check in report.checks[:3]] == ["client.arp", "client.ping", "client.connect"]
    unasked = {check.check for check in report.checks if check.outcome != "pass"}
    assert unasked == {"server.half_open"}  # without a client's connection there is nothing to compare


@pytest.mark.parametrize("made", [made for made in SERVER_FAULTS if not made.startswith("not-persistent")])
def test_a_known_fault_explains_a_client_that_gets_no_answer(farm: Farm, made: str) -> None:
    make, cause = SERVER_FAULTS[made]
    make(farm, "web1")
    report = farm.verify(client=view("silent"))
    assert faults(report) == [(cause, "web1")]
    assert find(report, "client.connect", "client").consequence_of == cause


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (lambda farm: farm.world.machine.links["eth0"].addresses.pop(VIP), "director-vip"),
        (lambda farm: farm.world.ipvs.table.clear(), "ipvs-missing"),
        (lambda farm: farm.world.strangers.update({VIP: [STRANGER]}), "duplicate-vip"),
    ],
)
def test_a_fault_of_the_director_explains_silence_to_ping_and_tcp(
    farm: Farm, make: Callable[[Farm], object], cause: str
) -> None:
    make(farm)
    vip_missing(farm, "web2")
    report = farm.verify(client=view("silent", ping="silent"))
    assert faults(report) == sorted([(cause, "director"), ("vip-missing", "web2")])
    assert find(report, "client.ping", "client").consequence_of == cause
    assert find(report, "client.connect", "client").consequence_of == cause


def test_silence_though_all_is_right_is_one_failure_that_blames_nobody(farm: Farm) -> None:
    report = farm.verify(client=view("silent", ping="silent"))
    check = only(report)
    assert (check.cause, check.host, check.vip) == ("", "client", VIP)
    assert "Nothing wrong was seen on the director and the servers" in check.message
    assert "tcpdump -eni eth0" in check.fix
    assert find(report, "client.ping", "client").outcome == "skipped"


def test_silence_behind_another_product_is_looked_for_there_and_not_on_this_machine() -> None:
    farm = Farm(
        change=lambda made: msgspec.structs.replace(
            made, director=msgspec.structs.replace(made.director, engine="netscaler")
        )
    )
    farm.world.strangers[VIP] = [STRANGER]
    check = only(farm.verify(client=view("silent", ping="silent")))
    assert "may not reach the NetScaler" in check.message
    assert "On the NetScaler" in check.fix
    assert "director" not in check.message + check.fix


def test_silence_while_something_is_unseen_is_a_failure_without_a_guess(farm: Farm) -> None:
    farm.world.privileged = False
    report = farm.verify(client=view("silent"))
    check = only(report)
    assert (check.check, check.cause) == ("client.connect", "")
    assert report.verdict == "fail"


def test_a_stale_entry_is_found_and_names_whose_mac_it_is(farm: Farm) -> None:
    report = farm.verify(client=view("silent", ping="silent", on_link=True, mac=WEB1_MAC.upper()))
    check = only(report)
    assert (check.check, check.cause, check.host) == ("client.arp", "stale-arp", "client")
    assert "web1" in check.message
    assert find(report, "client.connect", "client").consequence_of == "stale-arp"


def test_an_entry_of_a_leaking_server_is_the_leaks_consequence(farm: Farm) -> None:
    arp_leak(farm, "web1")
    report = farm.verify(client=view(on_link=True, mac=WEB1_MAC))
    assert faults(report) == [("arp-leak", "web1")]
    assert find(report, "client.arp", "client").consequence_of == "arp-leak"


def test_an_entry_of_a_stranger_is_the_strangers_consequence(farm: Farm) -> None:
    farm.world.strangers[VIP] = [STRANGER]
    report = farm.verify(client=view("silent", ping="silent", on_link=True, mac=STRANGER))
    assert faults(report) == [("duplicate-vip", "director")]


def test_ping_filtered_on_the_way_is_no_fault_when_tcp_is_answered(farm: Farm) -> None:
    assert farm.verify(client=view(ping="silent")).verdict == "pass"


def test_every_server_drained_on_purpose_is_no_fault_of_the_way() -> None:
    def drained(deployment: Deployment) -> Deployment:
        servers = tuple(msgspec.structs.replace(server, weight=0) for server in deployment.servers)
        return with_client(msgspec.structs.replace(deployment, servers=servers))

    assert Farm(change=drained).verify(client=view("refused")).verdict == "pass"


def test_a_client_host_without_tools_is_unknown(farm: Farm) -> None:
    report = farm.verify(client=view("unknown", ping="unknown"))
    assert (report.verdict, report.failures) == ("unknown", ())
    assert "nc, python3 or curl" in find(report, "client.connect", "client").fix


def test_a_client_host_that_cannot_be_reached_is_unknown_with_its_message(farm: Farm) -> None:
    failure = Failure(kind="timeout", what="client does not answer at 203.0.113.10 port 22.", next="Check it.")
    report = farm.verify(client=failure)
    assert (report.verdict, report.failures) == ("unknown", ())
    check = find(report, "client.connect", "client")
    assert "203.0.113.10" in check.evidence
    assert check.fix == "Check it."


def test_without_a_client_host_its_checks_are_skipped() -> None:
    report = Farm().verify()
    assert report.verdict == "pass"
    assert find(report, "client.connect", "client").outcome == "skipped"


def test_a_fault_of_another_service_explains_nothing_here() -> None:
    farm = Farm(services=(Service(port=80), Service(port=22)), change=with_client)
    SERVER_FAULTS["service-down"][0](farm, "web1")
    seen = view().vips[0]
    ssh = Connected(address=VIP, port=22, result="silent")
    report = farm.verify(client=ClientView(vips=(msgspec.structs.replace(seen, connects=(*seen.connects, ssh)),)))
    check = find(report, "client.connect", "client", service="tcp/22")
    assert (check.outcome, check.consequence_of) == ("fail", "")
