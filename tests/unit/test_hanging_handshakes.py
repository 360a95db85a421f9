"""The director's connection table, read three times: which handshakes hang, and where they were looked at."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dsrwizard.core.diagnosis.handshakes import Traffic, hanging, traffic
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import Connection, HalfOpen, HalfOpenLook
from dsrwizard.engine.handshakes import Inside, watch_traffic
from tests.unit.diagnosed import VIP, Farm
from tests.unit.test_diagnose_handshakes import all_of

RIP = "10.0.0.102"
KEY = (RIP, VIP, 80)


def connection(port: int, state: str = "SYN_RECV", expires: int = 59, rip: str = RIP) -> Connection:
    return Connection(
        protocol="tcp", client="203.0.113.10", client_port=port, vip=VIP, port=80, address=rip, dest_port=80,
        state=state, expires=expires,
    )  # fmt: skip


def half_open(*ports: int) -> dict[str, HalfOpenLook]:
    there = tuple(HalfOpen(vip=VIP, port=80, client="203.0.113.10", client_port=port) for port in ports)
    return {RIP: HalfOpenLook(waiting=there)}


def test_a_handshake_hangs_when_it_waits_in_two_readings_and_was_tried_when_its_time_was_set_anew() -> None:
    first = [connection(1, expires=30), connection(2, expires=58), connection(3)]
    second = [connection(1, expires=29), connection(2, expires=59), connection(3, expires=58), connection(4)]
    third = [
        connection(1, expires=28),
        connection(2, expires=58),
        connection(3, expires=57),
        connection(4),
        connection(5),
    ]
    found = traffic([first, second, third], half_open(2, 4, 5, 99))[KEY]
    assert found == Traffic(connections=5, waiting=4, hung=("203.0.113.10",), tried=2, completed=0, arrived=3)


def test_a_handshake_that_ended_meanwhile_counts_and_an_old_connection_does_not() -> None:
    first = [connection(1), connection(2, "ESTABLISHED", 800)]
    third = [connection(1, "ESTABLISHED", 899), connection(2, "ESTABLISHED", 899), connection(3, "FIN_WAIT", 119)]
    assert traffic([first, first, third], half_open())[KEY].completed == 2
    reset = [connection(1, "CLOSE", 9)]
    assert traffic([first, first, reset], half_open())[KEY].completed == 0


def test_clients_that_gave_up_before_a_repair_prove_nothing() -> None:
    tables = [[connection(port, expires=40 - at) for port in range(1, 30)] for at in range(3)]
    assert traffic(tables, half_open())[KEY].verdict == "fine"


@pytest.mark.parametrize(("arrived", "verdict"), [(0, "forward"), (2, "unclear"), (5, "return"), (12, "return")])
def test_the_verdict_is_by_how_many_arrived(arrived: int, verdict: str) -> None:
    table = [connection(port) for port in range(1, 13)]
    found = traffic([table, table, table], half_open(*range(1, arrived + 1)))[KEY]
    assert (found.waiting, found.tried, found.verdict) == (12, 12, verdict)


def test_without_a_look_at_the_server_nothing_is_concluded() -> None:
    table = [connection(port) for port in range(1, 13)]
    assert traffic([table, table, table], {})[KEY].verdict == "unseen"


def test_few_unfinished_handshakes_are_not_watched() -> None:
    few = [connection(port) for port in range(1, 5)]
    assert hanging(few) == set()
    assert hanging([*few, connection(5)]) == {KEY}
    assert hanging([*few, connection(5, rip="10.0.0.101")]) == set()


def test_only_hanging_servers_are_looked_at_and_the_table_is_read_no_more_than_needed() -> None:
    farm = Farm()
    rips = {name: state.rips for name, state in farm.world.servers.items()}
    reads: list[int] = []

    def inside(table: list[Connection]) -> Inside:
        return Inside(farm.inside().servers, lambda: reads.append(1) or table)  # type: ignore[func-returns-value]

    quiet, problem = watch_traffic(rips, inside([connection(1)]), pause=0)
    assert (quiet, problem, len(reads)) == ({KEY: Traffic(connections=1)}, "", 1)

    reads.clear()
    farm.server("web2").half_open += half_open(*range(1, 9))[RIP].waiting
    before = {name: state.sessions for name, state in farm.world.servers.items()}
    found, _ = watch_traffic(rips, inside([connection(port) for port in range(1, 9)]), pause=0)
    assert (found[KEY].verdict, found[KEY].arrived, len(reads)) == ("return", 8, 3)
    asked = {name for name, state in farm.world.servers.items() if state.sessions > before[name]}
    assert asked == {"web2"}


def test_a_table_that_cannot_be_read_says_why() -> None:
    def refuse() -> Sequence[Connection]:
        raise LookError("The connections of IPVS could not be read.", "No module.", "Load it.")

    assert watch_traffic({}, Inside({}, refuse)) == ({}, "The connections of IPVS could not be read. No module.")
    assert watch_traffic({}, Inside()) == ({}, "")


def test_live_traffic_is_no_fault() -> None:
    farm = Farm()
    farm.world.requests(30)
    report = farm.verify()
    assert (report.verdict, all_of(report, "server.half_open")) == ("pass", {"pass"})
