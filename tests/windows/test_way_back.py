"""Where the replies of a Windows server leave: by the default route of the lowest metric, whichever adapter has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dsrwizard.core.diagnosis import Evidence, diagnose
from dsrwizard.core.diagnosis.handshakes import ClientLike, Traffic, Try
from dsrwizard.core.model.answers import Owners, Sent
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import ClientView, ClientVip, Passage, Tried
from dsrwizard.core.model.facts import HalfOpen, HalfOpenLook, Observed
from dsrwizard.core.plan.plan import host_plan
from tests.unit.diagnosed import faults, find
from tests.windows.conftest import VIP, VIP6, shop
from tests.windows.diagnosed import SOME, evidence, look, set_up
from tests.windows.host import Adapter, WindowsHost
from tests.windows.host.model import nic

RIP, GATEWAY, CLIENT = "10.0.0.101", "10.0.0.1", "198.51.100.7"
OLD, NEW = "00:00:0c:07:ac:0b", "02:00:0a:00:00:fe"
Change = Callable[[Evidence], Evidence]


def second(host: WindowsHost, *, metric: int, gateway: str = "192.168.50.1", family: int = 4) -> Adapter:
    """An adapter for management, with a gateway of its own."""
    one = nic("192.168.50.21", gateway=gateway, mac="02:00:0a:00:01:65")
    one.name, one.number, one.index = "Management", 8, 14
    one.guid, one.pnp = "{6C3B0A4E-7B1F-4E52-9A44-0D5B4A1F7D02}", one.pnp + "2"
    one.rows[family].metric = metric
    host.adapters.append(one)
    return one


def gateway(host: WindowsHost, *changes: Change, address: str = VIP) -> Check:
    """`server.gateway` of the VIP's family."""
    deployment = shop(address)
    seen = evidence(host, look(host, deployment), deployment)
    for change in changes:
        seen = change(seen)
    report = diagnose(seen)
    assert faults(report) in ([], [("gateway", "win1")]), faults(report)
    return find(report, "server.gateway", "win1")


def having(**fields: Any) -> Change:
    return lambda seen: msgspec.structs.replace(seen, **fields)


def accepted() -> Change:
    """A client-like SYN was answered by the server itself."""
    sent = Sent(rip=RIP, vip=VIP, port=80, source=CLIENT, source_port=4001, mac="02:00:0a:00:00:65")
    there = HalfOpen(vip=VIP, port=80, client=CLIENT, client_port=4001)
    return having(client_like={"win1": ClientLike(tries=(Try(sent=(sent,), look=HalfOpenLook(seen=(there,))),))})


def client(result: Any, rip: str = RIP) -> Change:
    """What the client host saw of a connection that the director gave to this server."""
    tried = Tried(port=80, client_port=4002, result=result)
    seen = ClientVip(vip=VIP, tries=(tried,), passages={80: Passage(given={4002: rip}, able=True)})
    return having(client=ClientView(vips=(seen,)))


@pytest.mark.parametrize("version", SOME)
def test_one_gateway_on_the_network_of_the_director_passes(version: str) -> None:
    assert gateway(set_up(version)).outcome == "pass"


@pytest.mark.parametrize("version", SOME)
@pytest.mark.parametrize("by", ["interface", "route"])
def test_the_lowest_metric_wins_whichever_adapter_has_it(version: str, by: str) -> None:
    host = set_up(version)
    other = second(host, metric=5 if by == "interface" else 50)
    if by == "route":
        host.wire.route_metric, other.route_metric = 100, 0
    check = gateway(host, accepted())
    assert check.outcome == "unknown"
    assert "replies to clients by Management, not by Ethernet" in check.message
    assert "192.168.50.1 on Management" in check.evidence
    assert "192.168.50.1" in check.fix


@pytest.mark.parametrize("version", SOME)
def test_a_second_gateway_that_loses_changes_nothing(version: str) -> None:
    host = set_up(version)
    second(host, metric=500)
    assert gateway(host, accepted()).outcome == "pass"


@pytest.mark.parametrize("version", SOME)
def test_the_only_gateway_on_another_adapter_is_told(version: str) -> None:
    host = set_up(version)
    second(host, metric=25)
    host.wire.gateways = [one for one in host.wire.gateways if ":" in one]
    check = gateway(host)
    assert check.outcome == "unknown"
    assert "Management" in check.message


@pytest.mark.parametrize("version", SOME)
def test_it_fails_where_the_client_host_hears_nothing(version: str) -> None:
    host = set_up(version)
    second(host, metric=5)
    check = gateway(host, accepted(), client("silent"))
    assert (check.outcome, check.cause) == ("fail", "gateway")
    assert "do not arrive" in check.message


def test_it_fails_where_clients_handshakes_hang() -> None:
    host = set_up("2025")
    second(host, metric=5)
    hanging = {(RIP, VIP, 80): Traffic(connections=9, waiting=9, tried=9, arrived=9)}
    check = gateway(host, having(traffic=hanging))
    assert (check.outcome, check.cause) == ("fail", "gateway")


@pytest.mark.parametrize(
    "proof",
    [client("open"), having(traffic={(RIP, VIP, 80): Traffic(connections=9, waiting=1, completed=8)})],
    ids=["client host", "clients"],
)
def test_it_passes_where_clients_are_served(proof: Change) -> None:
    host = set_up("2025")
    second(host, metric=5)
    assert gateway(host, accepted(), proof).outcome == "pass"


def test_what_another_server_answered_proves_nothing() -> None:
    host = set_up("2025")
    second(host, metric=5)
    assert gateway(host, accepted(), client("open", "10.0.0.102")).outcome == "unknown"


def test_each_family_has_a_way_of_its_own() -> None:
    one, other = set_up("2025", shop(VIP6)), set_up("2025", shop(VIP6))
    second(one, metric=5)
    assert gateway(one, address=VIP6).outcome == "pass"
    second(other, metric=5, gateway="fd00:50::1", family=6)
    assert gateway(other, address=VIP6).outcome == "unknown"


def test_metrics_that_are_not_known_are_said_to_be_so() -> None:
    host = set_up("2025")
    second(host, metric=5).route_metric = None  # type: ignore[assignment]
    check = gateway(host)
    assert check.outcome == "unknown"
    assert "metrics are not known" in check.message


def test_a_disabled_adapter_has_no_way() -> None:
    host = set_up("2025")
    second(host, metric=5).up = False
    assert gateway(host).outcome == "pass"


@pytest.mark.parametrize("version", SOME)
def test_the_plan_tells_of_a_second_gateway(version: str) -> None:
    host = WindowsHost(version)
    second(host, metric=5)
    deployment = shop()
    notes = " ".join(host_plan(deployment, deployment.servers[0], look(host)).notes)
    assert "more than one default gateway" in notes
    assert "192.168.50.1 on Management (metric 5)" in notes


# -- the gateway's MAC


def who_has(*macs: str, address: str = GATEWAY, problem: str = "") -> Change:
    def change(seen: Evidence) -> Evidence:
        return having(owners={**seen.owners, address: Owners(address=address, macs=macs, problem=problem)})(seen)

    return change


@pytest.mark.parametrize("version", SOME)
def test_a_gateway_that_has_moved_to_another_mac_is_named(version: str) -> None:
    host = set_up(version)
    host.neighbours[GATEWAY] = OLD
    check = gateway(host, accepted(), who_has(NEW))
    assert (check.outcome, check.cause) == ("fail", "gateway")
    assert OLD in check.evidence
    assert NEW in check.evidence
    assert GATEWAY in check.fix


@pytest.mark.parametrize("version", SOME)
@pytest.mark.parametrize(
    ("kept", "heard"),
    [
        pytest.param(NEW, [who_has(NEW)], id="the same"),
        pytest.param(NEW.upper(), [who_has(OLD, NEW)], id="one of two that answer"),
        pytest.param("00:07:b4:00:01:01", [who_has("00:07:b4:00:01:02")], id="GLBP: each host has another"),
        pytest.param(OLD, [], id="nobody was asked"),
        pytest.param(OLD, [who_has()], id="nobody answers the director"),
        pytest.param(OLD, [who_has(NEW, problem="no raw sockets")], id="it could not be asked"),
        pytest.param(OLD, [who_has(NEW), accepted(), client("open")], id="the client host is served"),
        pytest.param("", [who_has(NEW)], id="no entry yet"),
    ],
)
def test_a_healthy_gateway_is_left_in_peace(version: str, kept: str, heard: list[Change]) -> None:
    host = set_up(version)
    host.neighbours[GATEWAY] = kept
    assert gateway(host, *heard).outcome == "pass"


def test_an_ipv6_gateway_that_has_moved_is_named_too() -> None:
    host = set_up("2025", shop(VIP6))
    host.neighbours["fd00::1"] = OLD
    check = gateway(host, who_has(NEW, address="fd00::1"), address=VIP6)
    assert (check.outcome, check.cause) == ("fail", "gateway")


def test_the_verification_asks_who_has_the_gateway() -> None:
    from dsrwizard.engine.verify import gather
    from tests.fakes.world import World

    host = set_up("2025")
    host.neighbours[GATEWAY] = OLD
    deployment = shop()
    seen = gather(deployment, Observed(servers={"win1": look(host)}), World.lab().wire())
    assert GATEWAY in seen.owners
