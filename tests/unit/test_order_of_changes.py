"""What comes is proved before what leaves goes, what leaves is drained and waited for, and a director without servers
gets no VIP."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.api import Patience
from dsrwizard.core.model.changes import AddressChange, DestinationChange, ServiceChange
from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.events import Draining, Event
from dsrwizard.core.model.facts import Listener
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.record.owed import owed
from dsrwizard.engine import draining
from dsrwizard.engine.journal import Journals
from tests.fakes.world import World
from tests.unit.test_engine import Farm, weights


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def on_8080(deployment: Deployment) -> Deployment:
    return with_services(deployment, Service(port=8080))


def with_services(deployment: Deployment, *services: Service, vip: str = "10.0.0.10") -> Deployment:
    return msgspec.structs.replace(deployment, vips=(Vip(address=vip, services=services),))


def listening(farm: Farm, *names: str, protocol: Any = "tcp", port: int = 8080) -> None:
    for name in names or farm.world.servers:
        farm.world.servers[name].machine.listeners.append(Listener(protocol=protocol, address="*", port=port))


def served(farm: Farm, vip: str = "10.0.0.10", port: int = 80, protocol: Any = "tcp") -> set[str]:
    return set(farm.world.requests(12, vip, port, protocol))


ALL = {"web1", "web2", "web3"}


def moments(farm: Farm, fresh: Deployment, *asked: tuple[str, int, str]) -> list[bool]:
    """Whether clients of one of these services were served by somebody, before each step of an apply."""
    seen: list[bool] = []
    director = farm.world.director()
    step = type(director).apply

    def watched(self: Any, made: Any) -> None:
        seen.append(any(served(farm, vip, port, protocol) & ALL for vip, port, protocol in asked))
        step(self, made)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(director), "apply", watched)
        assert farm.apply(fresh).ok
    return seen


CHANGES = [
    pytest.param(Service(port=8080), "10.0.0.10", id="port"),
    pytest.param(Service(protocol="udp", port=7), "10.0.0.10", id="protocol"),
    pytest.param(Service(port=80), "10.0.0.12", id="vip"),
    pytest.param(Service(port=80, scheduler="rr", persistence=300), "10.0.0.10", id="scheduler"),
]


@pytest.mark.parametrize(("service", "vip"), CHANGES)
def test_the_new_one_serves_before_the_old_one_goes(
    farm: Farm, service: Service, vip: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "QUIET_SECONDS", 0.0)
    old = farm.world.deployment()
    assert farm.apply(old).ok
    listening(farm)
    fresh = with_services(old, service, vip=vip)
    asked = [("10.0.0.10", 80, "tcp"), (vip, service.port, service.protocol)]
    assert all(moments(farm, fresh, *asked)), "there was a moment without any service"
    assert served(farm, vip, service.port, service.protocol) == ALL
    keys = [(one.key.address, one.key.protocol, one.key.port) for one in farm.world.ipvs.services()]
    assert keys == [(vip, service.protocol, service.port)]
    for server in farm.world.servers.values():
        assert (server.machine.holds("10.0.0.10") is None) == (vip != "10.0.0.10")
    assert farm.apply(fresh).changed == 0


@pytest.mark.parametrize("listen", [(), ("web1",), ("web1", "web2")])
def test_where_the_new_one_is_not_proved_the_old_one_stays(farm: Farm, listen: tuple[str, ...]) -> None:
    old = farm.world.deployment()
    assert farm.apply(old).ok
    if listen:
        listening(farm, *listen)
    result = farm.apply(on_8080(old))
    assert not result.ok
    assert served(farm) == ALL
    kept = {step.detail for host in result.hosts for step in host.steps if step.outcome is Outcome.NOT_ATTEMPTED}
    assert kept == {
        f"it stays until its replacement serves: {', '.join(sorted(ALL - set(listen)))} "
        f"{'is' if len(listen) == 2 else 'are'} not proved"
    }
    listening(farm, *ALL - set(listen))
    assert farm.apply(on_8080(old)).ok
    assert served(farm, port=8080) == ALL
    assert [one.key.port for one in farm.world.ipvs.services()] == [8080]


def test_a_server_in_the_place_of_another_serves_before_that_one_goes(tmp_path: Path) -> None:
    farm = Farm(tmp_path, World.lab(4))
    whole = farm.world.deployment()
    old = msgspec.structs.replace(whole, servers=whole.servers[:2])
    fresh = msgspec.structs.replace(whole, servers=(whole.servers[0], whole.servers[3]))
    assert farm.apply(old).ok
    farm.world.servers["web4"].machine.listeners.clear()
    assert not farm.apply(fresh).ok
    assert served(farm) == {"web1", "web2"}, "its replacement does not serve yet"
    listening(farm, "web4", port=80)
    assert farm.apply(fresh).ok
    assert served(farm) == {"web1", "web4"}
    assert farm.world.servers["web2"].machine.holds("10.0.0.10") is None


def test_a_dead_server_that_is_taken_out_goes_though_another_one_is_ill(farm: Farm) -> None:
    whole = farm.world.deployment()
    assert farm.apply(whole).ok
    farm.world.servers["web3"].reachable = False
    farm.world.servers["web2"].machine.listeners.clear()
    farm.apply(msgspec.structs.replace(whole, servers=whole.servers[:2]))
    assert set(weights(farm)) == {"10.0.0.101", "10.0.0.102"}


# --- no server, no VIP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["unreachable", "no privilege"])
def test_where_no_server_can_be_planned_nothing_is_done_on_the_director(farm: Farm, way: str) -> None:
    for server in farm.world.servers.values():
        server.reachable, server.privileged = way != "unreachable", way == "unreachable"
    deployment = farm.world.deployment()
    plan = farm.engine.plan(deployment, farm.engine.observe(deployment))
    assert plan.steps == ()
    assert "10.0.0.10 is left as it is" in " ".join(host.notes[0] for host in plan.hosts if host.host == DIRECTOR)
    assert not farm.apply(deployment).ok
    assert farm.world.done == []


def test_what_leaves_stays_while_no_server_can_be_changed(farm: Farm) -> None:
    whole = farm.world.deployment()
    assert farm.apply(whole).ok
    for server in farm.world.servers.values():
        server.ssh = False
    farm.apply(msgspec.structs.replace(whole, servers=whole.servers[:2]))
    assert served(farm) == ALL


def test_one_vip_of_two_whose_servers_are_out_of_reach_is_left_alone(farm: Farm) -> None:
    deployment = farm.world.deployment()
    vips = (*deployment.vips, Vip(address="10.0.0.11", services=(Service(port=80),)))
    only = tuple(
        msgspec.structs.replace(one, vips=("10.0.0.11" if one.name == "web3" else "10.0.0.10",))
        for one in deployment.servers
    )
    farm.world.servers["web3"].reachable = False
    farm.apply(msgspec.structs.replace(deployment, vips=vips, servers=only))
    assert farm.world.machine.holds("10.0.0.10") == "eth0"
    assert farm.world.machine.holds("10.0.0.11") is None


@pytest.mark.parametrize("way", ["gone", "refused", "silent"])
def test_a_vip_goes_up_with_the_first_server_that_is_proved(farm: Farm, way: str) -> None:
    deployment = farm.world.deployment()
    plan = farm.engine.plan(deployment, farm.engine.observe(deployment))
    for server in farm.world.servers.values():
        match way:
            case "gone":
                server.reachable = False
            case "refused":
                server.fails["vip 10.0.0.10"] = "RTNETLINK answers: Operation not permitted"
            case _:
                server.machine.listeners.clear()
    with farm.engine.lease("shop", "apply") as lease:
        result = farm.engine.apply(deployment, plan, farm.events.append, None, lease)
    assert farm.world.machine.holds("10.0.0.10") is None, "the director would refuse every client"
    director = next(host for host in result.hosts if host.host == DIRECTOR)
    assert {one.step: one.detail for one in director.steps}["vip 10.0.0.10"] == "no real server behind it is proved"
    assert not result.ok
    for server in farm.world.servers.values():
        server.reachable = True
        server.fails.clear()
    listening(farm, "web2", port=80)
    farm.apply(deployment)
    assert farm.world.machine.holds("10.0.0.10") == "eth0"
    before = World.lab().machine.interfaces()
    assert farm.teardown(deployment).ok
    assert farm.world.machine.interfaces() == before


def test_the_vip_comes_after_a_weight_and_its_service(farm: Farm) -> None:
    assert farm.apply(farm.world.deployment()).ok
    kinds = [
        change for host, change in farm.world.done
        if host == DIRECTOR and isinstance(change, AddressChange | DestinationChange | ServiceChange)
    ]  # fmt: skip
    place = next(number for number, change in enumerate(kinds) if isinstance(change, AddressChange))
    earlier = [change.new.weight for change in kinds[:place] if isinstance(change, DestinationChange) and change.new]
    assert 1 in earlier


def test_a_vip_whose_servers_are_drained_in_the_file_goes_up_all_the_same(farm: Farm) -> None:
    deployment = farm.world.deployment()
    servers = tuple(msgspec.structs.replace(server, weight=0) for server in deployment.servers)
    assert farm.apply(msgspec.structs.replace(deployment, servers=servers)).ok
    assert farm.world.machine.holds("10.0.0.10") == "eth0"


# --- draining --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "LOOK_SECONDS", 0.01)


class Connections:
    """What servers have open; `closed` ends those of one."""

    def __init__(self, farm: Farm, **counts: int) -> None:
        self._farm = farm
        for name, count in counts.items():
            self.set(name, count)

    def set(self, name: str, count: int) -> None:
        rip = self._farm.world.servers[name].rips[0]
        with self._farm.world.lock:
            for virtual in self._farm.world.ipvs.table.values():
                for entry in virtual.entries:
                    if entry.address == rip:
                        entry.active = count


REMOVALS = ["server", "address", "teardown", "roll-back"]


def remove(
    farm: Farm, how: str, patience: Patience, watch: Any = None, stop: threading.Event | None = None
) -> RunResult:
    """Takes web3 out of service, or all of it."""
    whole, tell = farm.world.deployment(), watch or farm.events.append
    farm.engine.patience = patience
    match how:
        case "teardown":
            return farm.engine.teardown(whole, farm.engine.teardown_plan(whole), tell, stop)
        case "roll-back":
            return farm.engine.roll_back(whole, ("web3",), tell)
        case "address":
            farm.world.add_server("web4", "10.0.0.104", "02:00:0a:00:00:68")
            moved = RealServer(name="web3", address="10.0.0.104", user="root")
            farm.world.servers["web3"], old = farm.world.servers["web4"], farm.world.servers["web3"]
            farm.world.servers["former"] = old
            fresh = msgspec.structs.replace(whole, servers=(*whole.servers[:2], moved))
        case _:
            fresh = msgspec.structs.replace(whole, servers=whole.servers[:2])
    plan = farm.engine.plan(fresh, farm.engine.observe(fresh))
    return farm.engine.apply(fresh, plan, tell, stop)


@pytest.mark.parametrize("how", REMOVALS)
def test_a_removal_waits_until_the_last_connection_has_ended(farm: Farm, how: str) -> None:
    assert farm.apply(farm.world.deployment()).ok
    open_ = Connections(farm, web3=2)
    seen: list[tuple[int, int | None]] = []

    def watch(event: Event) -> None:
        if isinstance(event, Draining):
            seen.append((event.left, weights(farm).get("10.0.0.103")))
            left = event.left - 1
            for name in ("web3", "former"):
                if name in farm.world.servers and farm.world.servers[name].rips[0] == "10.0.0.103":
                    open_.set(name, left)

    remove(farm, how, Patience(seconds=60.0), watch)
    assert seen == [(2, 0), (1, 0)], "at weight 0, and still there"
    assert "10.0.0.103" not in weights(farm)


@pytest.mark.parametrize("how", REMOVALS)
def test_when_the_time_is_over_the_rest_is_cut_and_counted(farm: Farm, how: str) -> None:
    assert farm.apply(farm.world.deployment()).ok
    Connections(farm, web3=14)
    result = remove(farm, how, Patience(seconds=0.05))
    assert "10.0.0.103" not in weights(farm)
    told = [step.detail for host in result.hosts for step in host.steps if step.detail]
    assert told == ["14 connections were cut"]


def test_all_servers_of_a_teardown_are_waited_for_together(farm: Farm) -> None:
    assert farm.apply(farm.world.deployment()).ok
    Connections(farm, web1=1, web2=1, web3=1)
    began = time.monotonic()
    assert remove(farm, "teardown", Patience(seconds=4)).ok
    assert 4 <= time.monotonic() - began < 11.9, "one after the other it takes twelve seconds"
    first = next(event for event in farm.events if isinstance(event, Draining))
    assert (set(first.servers), first.left) == (ALL, 3)


def test_zero_seconds_wait_for_nothing(farm: Farm) -> None:
    assert farm.apply(farm.world.deployment()).ok
    Connections(farm, web3=1)
    result = remove(farm, "server", Patience(seconds=0.0))
    assert not any(isinstance(event, Draining) for event in farm.events)
    assert result.ok
    assert "1 connection was cut" in [step.detail for host in result.hosts for step in host.steps]


@pytest.mark.parametrize("how", REMOVALS)
def test_a_skipped_wait_goes_on_with_the_removal(farm: Farm, how: str) -> None:
    assert farm.apply(farm.world.deployment()).ok
    Connections(farm, web3=5)
    patience = Patience(seconds=3600.0)
    assert remove(farm, how, patience, lambda event: patience.skip.set() if isinstance(event, Draining) else None).ok
    assert "10.0.0.103" not in weights(farm)
    assert not patience.waiting.is_set()


@pytest.mark.parametrize("then", ["on", "back"])
def test_a_wait_that_is_stopped_leaves_the_server_drained_and_the_next_run_goes_either_way(
    farm: Farm, then: str
) -> None:
    whole = farm.world.deployment()
    before = farm.state()
    assert farm.apply(whole).ok
    Connections(farm, web3=5)
    stop = threading.Event()

    def watch(event: Event) -> None:
        if isinstance(event, Draining):
            stop.set()

    result = remove(farm, "server", Patience(seconds=3600.0), watch, stop)
    assert not result.ok
    assert weights(farm)["10.0.0.103"] == 0
    assert farm.world.servers["web3"].machine.holds("10.0.0.10") == "lo"
    farm.engine = farm.fresh()
    Connections(farm, web3=0)
    if then == "back":
        assert farm.apply(whole).ok
        assert served(farm) == ALL
    else:
        fewer = msgspec.structs.replace(whole, servers=whole.servers[:2])
        assert farm.apply(fewer).ok
        assert "10.0.0.103" not in weights(farm)
        assert farm.world.servers["web3"].machine.holds("10.0.0.10") is None
    assert farm.teardown(whole).ok
    assert farm.state() == before
    assert owed(Journals(farm.folder).of("shop").entries()) == []


def test_datagrams_are_waited_for_until_none_has_come_for_a_while(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draining, "QUIET_SECONDS", 0.3)
    deployment = farm.world.deployment(services=(Service(protocol="udp", port=7),))
    assert farm.apply(deployment).ok
    farm.world.requests(3, port=7, protocol="udp")
    began, sent = time.monotonic(), 0

    def watch(event: Event) -> None:
        nonlocal sent
        if isinstance(event, Draining) and sent < 3:
            sent += 1
            for virtual in farm.world.ipvs.table.values():
                virtual.entries[0].counters.request(packets=1, size=60)

    result = farm.engine.teardown(deployment, farm.engine.teardown_plan(deployment), watch)
    assert result.ok
    assert 0.3 <= time.monotonic() - began < 10
    assert not [step.detail for host in result.hosts for step in host.steps if step.detail]


def test_a_service_without_datagrams_is_not_waited_for(farm: Farm) -> None:
    deployment = farm.world.deployment(services=(Service(protocol="udp", port=7),))
    assert farm.apply(deployment).ok
    assert farm.teardown(deployment).ok
    assert not any(isinstance(event, Draining) for event in farm.events)


def test_ipvs_that_cannot_be_read_is_not_waited_for(farm: Farm) -> None:
    assert farm.apply(farm.world.deployment()).ok
    Connections(farm, web3=5)
    plan = farm.engine.teardown_plan(farm.world.deployment())
    farm.world.ipvs_problem = "Operation not permitted"
    farm.engine.patience = Patience(seconds=3600)
    with farm.engine.lease("shop", "teardown") as lease:
        farm.engine.teardown(farm.world.deployment(), plan, farm.events.append, None, lease)
    assert not any(isinstance(event, Draining) for event in farm.events)
