"""The connections of one server out of the director's table: which, in which order, and how many."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.model.connection_table import MOST_SHOWN, table_of
from dsrwizard.core.model.facts import Connection
from tests.unit.test_watching_poller import Watch

VIP, WEB1, WEB2 = "10.0.0.10", "10.0.0.101", "10.0.0.102"


def connection(number: int = 1, **others: Any) -> Connection:
    values: dict[str, Any] = {
        "protocol": "tcp", "client": f"203.0.113.{number % 250 + 1}", "client_port": 50_000 + number % 10_000,
        "vip": VIP, "port": 80, "address": WEB1, "dest_port": 80, "state": "ESTABLISHED", "expires": 900,
    }  # fmt: skip
    return Connection(**(values | others))


def test_only_those_of_the_service_and_the_server_count() -> None:
    found = [
        connection(1), connection(2, address=WEB2), connection(3, port=443), connection(4, vip="10.0.0.11"),
        connection(5, protocol="udp", state="UDP"),
    ]  # fmt: skip
    assert table_of(found, VIP, "tcp/80", [WEB1], 5.0).first == (found[0],)
    assert table_of(found, VIP, "tcp/80", [WEB1, WEB2], 5.0).total == 2
    assert table_of(found, VIP, "udp/80", [WEB1], 5.0).first == (found[4],)


def test_an_address_is_the_same_however_it_is_written() -> None:
    found = [connection(client="fd00::9", vip="fd00:10::10", address="fd00:10::101")]
    assert table_of(found, "fd00:10:0::0010", "tcp/80", ["fd00:0010::0101"], 5.0).total == 1


def test_half_open_ones_come_first_then_those_in_use_then_the_rest_and_the_freshest_of_each() -> None:
    found = [
        connection(1, state="TIME_WAIT", expires=119), connection(2, expires=100), connection(3, expires=899),
        connection(4, state="SYN_RECV", expires=59), connection(5, state="FIN_WAIT", expires=120),
    ]  # fmt: skip
    table = table_of(found, VIP, "tcp/80", [WEB1], 5.0)
    assert [one.expires for one in table.first] == [59, 899, 100, 120, 119]
    assert table.states[0] == ("ESTABLISHED", 2)
    assert dict(table.states) == {"ESTABLISHED": 2, "TIME_WAIT": 1, "SYN_RECV": 1, "FIN_WAIT": 1}


def test_thousands_are_counted_and_few_are_kept() -> None:
    table = table_of((connection(number) for number in range(4_411)), VIP, "tcp/80", [WEB1], 5.0)
    assert (table.total, len(table.first), table.more) == (4_411, MOST_SHOWN, 4_411 - MOST_SHOWN)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(tmp_path)


def test_a_watch_reads_the_directors_table_for_one_server_or_all(watch: Watch) -> None:
    watch.world.requests(4)
    one, whole = watch.poller.connections(VIP, "tcp/80", "web1"), watch.poller.connections(VIP, "tcp/80")
    assert (one.problem, whole.total) == ("", 4)
    assert 0 < one.total < 4
    assert {entry.address for entry in one.first} == {WEB1}
    assert one.at == watch.now


def test_a_table_that_cannot_be_read_says_why(watch: Watch) -> None:
    watch.world.unload_ipvs()
    table = watch.poller.connections(VIP, "tcp/80")
    assert table.total == 0
    assert "not loaded" in table.problem


def test_an_appliance_keeps_its_table_to_itself(tmp_path: Path) -> None:
    from dsrwizard.engine.watch.clients import clients_of

    watch = Watch(tmp_path)
    director = msgspec.structs.replace(watch.deployment.director, engine="external")
    elsewhere = msgspec.structs.replace(watch.deployment, director=director)
    table = clients_of(elsewhere, watch.hosts.director, VIP, "tcp/80", "", 5.0)
    assert "load balancer's own" in table.problem
