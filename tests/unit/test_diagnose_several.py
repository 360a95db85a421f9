"""Faults on one VIP, one service, one family alone are found there; any that are made together are each named.

What keeps what from being seen is a table (`several.hides`, `dsrwizard.core.diagnosis`), and nothing else does.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsrwizard.core.model.checks import Report
from tests.unit.several import Made, coexist, expected, on_director, on_server, rich, told

OF_WEB2, OF_DIRECTOR = on_server("web2"), on_director()
HERE = [*OF_WEB2, *OF_DIRECTOR]
EVERYWHERE = [*on_server("web1"), *HERE, *on_server("web3")]


def report_of(made: Sequence[Made]) -> Report:
    farm = rich()
    for one in made:
        one.make(farm)
    return farm.verify()


def names(made: Sequence[Made]) -> str:
    return " + ".join(one.name for one in made)


def test_the_rich_farm_is_healthy() -> None:
    report = rich().verify()
    assert (report.verdict, report.failures) == ("pass", ())
    assert {check.outcome for check in report.checks} <= {"pass", "skipped"}


@pytest.mark.parametrize("made", HERE, ids=lambda made: made.name)
def test_a_fault_is_found_where_it_is_and_nowhere_else(made: Made) -> None:
    report = report_of([made])
    (check,) = report.failures
    assert (check.cause, check.host, check.server) == (made.cause, made.host, made.server)
    assert not made.vip or check.vip == made.vip
    assert not made.service or check.service == made.service
    assert {one.consequence_of for one in report.checks} <= {"", made.cause}
    touched = {made.host, made.server, "director"}
    assert {one.host for one in report.checks if one.outcome not in ("pass", "skipped")} <= touched


@pytest.mark.exhaustive
@pytest.mark.parametrize("first", HERE, ids=lambda made: made.name)
def test_every_two_faults_of_a_server_and_its_director_are_both_named(first: Made) -> None:
    wrong = []
    for other in HERE[HERE.index(first) + 1 :: 3]:  # every third; the next test draws from all
        pair = (first, other)
        if coexist(pair) and (found := told(report_of(pair))) != expected(pair):
            wrong.append(f"{names(pair)}: {dict(found)}, not {dict(expected(pair))}")
    assert not wrong, "\n".join(wrong)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.lists(st.sampled_from(EVERYWHERE), min_size=3, max_size=4, unique_by=lambda made: made.slot))
def test_any_three_or_four_faults_on_any_hosts_are_each_named(made: list[Made]) -> None:
    assert told(report_of(made)) == expected(made), names(made)


def test_every_cause_that_a_linux_farm_can_have_is_made_here() -> None:
    assert {made.cause for made in EVERYWHERE} == {
        "unreachable", "service-down", "rip-only-listener", "vip-missing", "vip-prefix", "arp-leak", "arp-announce",
        "rp-filter", "firewall", "gateway", "duplicate-vip", "not-persistent", "ipvs-missing", "ipvs-differs",
        "director-vip", "drained",
    }  # fmt: skip


@pytest.mark.parametrize("servers", [2, 3])
def test_the_same_fault_on_several_servers_is_named_on_each(servers: int) -> None:
    hosts = ["web1", "web2", "web3"][:servers]
    for same in zip(*(on_server(host) for host in hosts), strict=True):
        assert told(report_of(same)) == expected(same), names(same)


def test_a_datagram_that_no_server_answers_is_unknown_because_the_application_may_ignore_it() -> None:
    dropped = [one for name in ("web1", "web2", "web3") for one in on_server(name) if one.cause == "firewall"]
    report = report_of([one for one in dropped if one.service == "udp/7"])
    assert (report.verdict, report.failures) == ("unknown", ())
