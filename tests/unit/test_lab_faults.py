"""The names of the lab's faults: what they mean, and what is said about those that mean nothing."""

from __future__ import annotations

import pytest

from backends.lab import network
from backends.lab.naming import ALL, parse, parse_all
from dsrwizard.core.model.errors import UsageError


@pytest.mark.parametrize(
    ("name", "full", "flag", "service", "rip"),
    [
        ("drained@web2", "drained@web2", "-t", "10.0.0.10:80", "10.0.0.102"),
        ("drained@web2/10.0.0.11", "drained@web2/10.0.0.11/tcp/80", "-t", "10.0.0.11:80", "10.0.0.102"),
        ("drained@web2/10.0.0.11/tcp/8080", "drained@web2/10.0.0.11/tcp/8080", "-t", "10.0.0.11:8080", "10.0.0.102"),
        ("drained@web2/10.0.0.10/udp/7", "drained@web2/10.0.0.10/udp/7", "-u", "10.0.0.10:7", "10.0.0.102"),
        ("drained@web2/fd00:10::10", "drained@web2/fd00:10::10/tcp/80", "-t", "[fd00:10::10]:80", "fd00:10::102"),
        ("vip-missing@web1/fd00:10::10", "vip-missing@web1/fd00:10::10", "-t", "[fd00:10::10]:80", "fd00:10::101"),
        ("duplicate-vip@director/10.0.0.11", "duplicate-vip@stranger/10.0.0.11", "-t", "10.0.0.11:80", ""),
    ],
)
def test_a_fault_is_of_a_host_a_vip_or_a_service(name: str, full: str, flag: str, service: str, rip: str) -> None:
    made = parse(name)
    assert made.name == full
    assert parse(made.name) == made
    seen = made.variables
    assert (seen["FLAG"], seen["SERVICE"], seen["RIP"]) == (flag, service, rip)


@pytest.mark.parametrize(
    ("name", "what", "next_"),
    [
        ("vip-missing@web1/10.0.0.12", "The lab has no VIP '10.0.0.12'.", "Write 10.0.0.10, 10.0.0.11 or fd00:10::10."),
        ("vip-missing@web1/", "The lab has no VIP ''.", "Write 10.0.0.10, 10.0.0.11 or fd00:10::10."),
        (
            "firewall@web1/10.0.0.11/tcp/8081",
            "The lab serves no 'tcp/8081' on 10.0.0.11.",
            "Write tcp/80 or tcp/8080.",
        ),
        (
            "unreachable@web1/10.0.0.10",
            "unreachable@web1 affects the whole host, not one VIP.",
            "Write unreachable@web1.",
        ),
        (
            "vip-prefix@web1/10.0.0.10/tcp/80",
            "vip-prefix@web1 affects a whole VIP, not one service.",
            "Write vip-prefix@web1/10.0.0.10.",
        ),
    ],
)
def test_a_place_that_is_none_is_refused_with_those_there_are(name: str, what: str, next_: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse(name)
    assert (refused.value.what, refused.value.next) == (what, next_)


def test_the_same_fault_on_two_vips_is_two_and_on_one_is_named_twice() -> None:
    assert len(parse_all(["vip-missing@web1/10.0.0.10", "vip-missing@web1/10.0.0.11"])) == 2
    with pytest.raises(UsageError):
        parse_all(["vip-missing@web1/10.0.0.11", "vip-missing@web1/10.0.0.11"])


def test_only_what_the_simple_deployment_lacks_needs_the_rich_one() -> None:
    assert not parse("firewall@web1/10.0.0.10/tcp/80").rich
    assert not parse("firewall@web1").rich
    assert parse("firewall@web1/10.0.0.10/udp/7").rich
    assert parse("vip-missing@web1/fd00:10::10").rich


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: f"{fault.kind}@{fault.hosts[0]}")
def test_what_a_fault_lacks_is_said_in_words(fault: object) -> None:
    made = next(parse(f"{one.kind}@{one.hosts[0]}") for one in ALL if one is fault)
    assert "{" not in made.lacks
    if "{vip}" in made.fault.lacks:
        assert network.VIP in made.lacks


def test_the_interpreter_may_be_below_a_path_with_blanks() -> None:
    scripts = [action.make + action.mend + fault.needs for fault in ALL for action in fault.actions]
    calls = [script for script in scripts if "$PYTHON" in script]
    assert calls
    for script in calls:
        assert script.count("$PYTHON") == script.count('"$PYTHON"'), script
