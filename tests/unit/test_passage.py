"""The director's table tells to whom a connection was given, and that one never came; a doubt is no proof."""

from __future__ import annotations

import pytest

from dsrwizard.core.diagnosis.bypass import hops
from dsrwizard.core.diagnosis.connection_match import bound, by_service, lacking, match
from dsrwizard.core.model.client_view import Tried
from dsrwizard.core.model.facts import Connection

VIP, CLIENT, NAT = "10.0.0.10", "203.0.113.10", "198.51.100.7"
WEB1, WEB2 = "10.0.0.101", "10.0.0.102"


def tried(*ports: int) -> list[Tried]:
    return [Tried(port=80, result="open", client=CLIENT, client_port=port) for port in ports]


def entry(port: int, rip: str = WEB1, client: str = CLIENT) -> Connection:
    return Connection(
        protocol="tcp", client=client, client_port=port, vip=VIP, port=80, address=rip, dest_port=80, state="FIN_WAIT",
        expires=119,
    )  # fmt: skip


def test_each_connection_is_found_by_its_port() -> None:
    given, missing = match(
        tried(5001, 5003), [entry(5001), entry(5003, WEB2), entry(5001, WEB2, NAT)], whole=True, counted=2
    )
    assert given == {5001: WEB1, 5003: WEB2}
    assert not missing


def test_what_is_not_in_the_table_beside_others_that_are_did_not_come() -> None:
    assert match(tried(5001, 5003), [entry(5001)], whole=True, counted=None) == ({5001: WEB1}, frozenset({5003}))


def test_a_table_that_was_not_read_to_its_end_proves_nothing() -> None:
    assert match(tried(5001, 5003), [entry(5001)], whole=False, counted=1) == ({5001: WEB1}, frozenset())
    assert match(tried(5001), [], whole=False, counted=0) == ({}, frozenset())


def test_none_in_the_table_and_none_counted_is_proof() -> None:
    assert match(tried(5001, 5003), [], whole=True, counted=0) == ({}, frozenset({5001, 5003}))


@pytest.mark.parametrize("counted", [None, 1, 17])
def test_none_in_the_table_but_some_counted_is_none(counted: int | None) -> None:
    assert match(tried(5001, 5003), [], whole=True, counted=counted) == ({}, frozenset())


def test_one_foreign_address_with_all_the_ports_is_the_nat() -> None:
    there = [entry(5001, client=NAT), entry(5003, WEB2, NAT), entry(6000, client="198.51.100.9")]
    assert match(tried(5001, 5003), there, whole=True, counted=2) == ({5001: WEB1, 5003: WEB2}, frozenset())


def test_two_foreign_addresses_with_the_ports_are_ambiguous() -> None:
    there = [entry(5001, client=NAT), entry(5001, WEB2, "198.51.100.9")]
    assert match(tried(5001), there, whole=True, counted=1) == ({}, frozenset())


def test_a_foreign_connection_with_the_port_from_before_is_not_ours_when_none_was_counted() -> None:
    assert match(tried(5001), [entry(5001, client=NAT)], whole=True, counted=0) == ({}, frozenset({5001}))


def test_what_the_host_could_not_tell_is_not_missed() -> None:
    unknown = [Tried(port=80, result="unknown", client=CLIENT, client_port=5001), Tried(port=80, result="silent")]
    assert match(unknown, [], whole=True, counted=0) == ({}, frozenset())


def test_addresses_of_ipv6_are_compared_however_they_are_written() -> None:
    one = [Tried(port=80, result="open", client="fd00:203:0::10", client_port=5001)]
    there = [entry(5001, "fd00::101", "fd00:203::10")]
    assert match(one, there, whole=True, counted=1)[0] == {5001: "fd00::101"}


def test_the_table_is_sorted_by_vip_and_port_and_udp_is_left_out() -> None:
    udp = Connection(
        protocol="udp", client=CLIENT, client_port=5001, vip=VIP, port=80, address=WEB1, dest_port=80, state="UDP",
        expires=300,
    )  # fmt: skip
    assert by_service([entry(5001), udp, entry(5003)]) == {(VIP, 80): [entry(5001), entry(5003)]}


@pytest.mark.parametrize(("servers", "most"), [(1, 12), (3, 20), (14, 64), (100, 64)])
def test_the_bound_grows_with_the_servers_to_a_limit(servers: int, most: int) -> None:
    assert bound(servers, one_server=False) == most
    assert bound(servers, one_server=True) == 1


def test_who_still_lacks_a_connection() -> None:
    assert lacking(["10.0.0.101", "fd00:0::101"], ["10.0.0.101"]) == {"fd00::101"}


@pytest.mark.parametrize(
    ("ttl", "passed"), [(64, 0), (63, 1), (128, 0), (120, 8), (255, 0), (250, 5), (1, 63), (65, 63)]
)
def test_hops_are_counted_from_the_next_usual_start(ttl: int, passed: int) -> None:
    assert hops(ttl) == passed
