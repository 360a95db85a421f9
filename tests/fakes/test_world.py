"""The fake world refuses what a real farm refuses, and shows afterwards what was done to it."""

from __future__ import annotations

from contextlib import suppress

import pytest

from dsrwizard.core.model.changes import (
    AddressChange,
    Change,
    DestinationChange,
    DestinationState,
    ServiceChange,
    ServiceKey,
    ServiceState,
    SysctlChange,
)
from dsrwizard.core.model.errors import CommandFailed, ConnectTimeout
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.steps import Step
from dsrwizard.core.ports import HostKeyQuestion, ProbeTarget, SecretQuestion
from tests.fakes.step_watch import Told
from tests.fakes.world import World

VIP = "10.0.0.10"
KEY = ServiceKey(VIP, "tcp", 80)
GUARD = SysctlChange(key="net.ipv4.conf.all.arp_ignore", old="0", new="1")
ADDRESS = AddressChange(interface="lo", address=VIP, prefix=32, old=False, new=True)
SERVICE = ServiceChange(service=KEY, old=None, new=ServiceState("wlc"))
DESTINATION = DestinationChange(service=KEY, address="10.0.0.101", port=80, old=None, new=DestinationState(1))


class Nobody:
    """An operator who answers no question."""

    def secret(self, question: SecretQuestion) -> Secret | None:
        return None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        return False


def step(host: str, *changes: Change) -> Step:
    return Step(id="it", host=host, phase="vip", title="it", why="", changes=changes)


def on_server(world: World, *changes: Change) -> list[tuple[bool, str]]:
    told = Told()
    deployment = world.deployment()
    port = world.open_server(deployment.server("web1"), Nobody())
    with suppress(CommandFailed):
        port.apply([step("web1", *changes)], told)
    return [(worked, said) for _, worked, said in told.ends]


def probe(world: World) -> str:
    return world.wire().probe("eth0", [ProbeTarget(rip="10.0.0.101", vip=VIP, port=80)])[0].signature


def test_an_address_leaks_until_the_guard_is_up_and_answers_the_probe() -> None:
    world = World.lab()
    assert probe(world) == "silence"
    assert on_server(world, ADDRESS) == [(True, "")]
    assert probe(world) == "syn-ack"
    assert world.wire().owners("eth0", [VIP])[VIP].macs == (world.servers["web1"].machine.mac,)
    on_server(world, GUARD)
    assert world.wire().owners("eth0", [VIP])[VIP].macs == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (AddressChange(interface="lo", address=VIP, prefix=32, old=True, new=False), "Cannot assign"),
        (AddressChange(interface="eth9", address=VIP, prefix=32, old=False, new=True), "Cannot find device"),
        (SysctlChange(key="net.ipv4.conf.all.arp_ignore", old="2", new="1"), "is 0, was 2"),
        (SysctlChange(key="net.ipv4.conf.all.nonsense", old="0", new="1"), "No such file"),
    ],
)
def test_a_server_refuses_what_linux_refuses(change: Change, words: str) -> None:
    ((ok, said),) = on_server(World.lab(), change)
    assert not ok
    assert words in said


def test_adding_an_address_twice_is_refused() -> None:
    world = World.lab()
    on_server(world, ADDRESS)
    assert on_server(world, ADDRESS) == [(False, "RTNETLINK answers: File exists")]


def test_a_dead_server_times_out_and_has_no_mac() -> None:
    world = World.lab()
    world.servers["web1"].reachable = False
    with pytest.raises(ConnectTimeout):
        world.open_server(world.deployment().server("web1"), Nobody()).observe(world.deployment())
    assert probe(world) == "no-mac"


def test_a_destination_needs_its_service_and_a_known_scheduler() -> None:
    director = World.lab().director()
    with pytest.raises(CommandFailed, match="Service not defined"):
        director.apply(step("director", DESTINATION))
    with pytest.raises(CommandFailed, match="Scheduler"):
        director.apply(step("director", ServiceChange(service=KEY, old=None, new=ServiceState("nonsense"))))


def test_a_step_that_fails_half_way_on_the_director_leaves_nothing() -> None:
    world = World.lab()
    with pytest.raises(CommandFailed):
        world.director().apply(step("director", SERVICE, DESTINATION, DESTINATION))
    assert world.director().services() == ()
    assert world.done == []


def test_requests_reach_the_servers_that_can_answer_and_are_counted() -> None:
    world = World.lab()
    vip = AddressChange(interface="eth0", address=VIP, prefix=32, old=False, new=True)
    assert world.requests(1) == [""]
    world.director().apply(step("director", vip, SERVICE, DESTINATION))
    on_server(world, ADDRESS)
    assert world.requests(3) == ["web1"] * 3
    (service,) = world.director().services()
    assert service.stats.connections == 3
    assert service.destinations[0].stats.in_packets > 0
    assert service.destinations[0].stats.out_packets == 0
