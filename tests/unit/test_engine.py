"""Apply, apply again, teardown and everything that goes wrong in between, over a farm that keeps state."""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.changes import GUARD_FILE, DestinationState, FileChange, ServiceKey, SysctlChange
from dsrwizard.core.model.deployment import Deployment, Service, Vip
from dsrwizard.core.model.events import Event, HostFinished, StepFinished
from dsrwizard.core.model.facts import Listener
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.ports import HostKeyQuestion, ProbeTarget, SecretQuestion, WirePort
from dsrwizard.core.record.owed import Intent, owed
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from tests.fakes.wire import FakeWire
from tests.fakes.world import World


class Nobody:
    """An operator who says no to everything."""

    def secret(self, question: SecretQuestion) -> Secret | None:
        return None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        return False


class Farm:
    """The world, an engine on it, and short words for the runs."""

    def __init__(self, folder: Path, world: World | None = None) -> None:
        self.world = world or World.lab()
        self.folder = folder
        self.events: list[Event] = []
        self.engine = self.fresh()

    def fresh(self, wire: WirePort | None = None) -> Engine:
        """A new engine over the same world and journals, as after a restart."""
        return Engine(
            director=lambda interface: self.world.director(),
            wire=wire or self.world.wire(),
            connect=lambda host, target, asker: pytest.fail("no connector in this test"),
            asker=Nobody(),
            journals=Journals(self.folder),
            open_server=lambda server: self.world.open_server(server, Nobody()),
        )

    def apply(self, deployment: Deployment, stop: threading.Event | None = None) -> RunResult:
        observed = self.engine.observe(deployment)
        return self.engine.apply(deployment, self.engine.plan(deployment, observed), self.events.append, stop)

    def teardown(self, deployment: Deployment) -> RunResult:
        return self.engine.teardown(deployment, self.engine.teardown_plan(deployment), self.events.append)

    def state(self) -> object:
        """Everything a teardown must restore."""
        world = self.world
        services = {
            (service.key, service.state, destination.address, destination.state)
            for service in world.ipvs.services()
            for destination in (*service.destinations,)
        }
        machines = [world.machine, *(server.machine for server in world.servers.values())]
        return copy.deepcopy((services, [(m.name, m.interfaces(), dict(m.sysctls), dict(m.files)) for m in machines]))


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def outcome(result: RunResult, host: str) -> Outcome:
    return next(entry.outcome for entry in result.hosts if entry.host == host)


def weights(farm: Farm) -> dict[str, int]:
    return {
        destination.address: destination.state.weight
        for service in farm.world.ipvs.services()
        for destination in service.destinations
    }


def test_apply_brings_all_servers_into_traffic_and_a_second_apply_touches_nothing(farm: Farm) -> None:
    deployment = farm.world.deployment()
    assert farm.apply(deployment).ok
    assert set(farm.world.requests(6)) == {"web1", "web2", "web3"}
    touched = len(farm.world.done)
    again = farm.apply(deployment)
    assert again.ok
    assert again.changed == 0
    assert len(farm.world.done) == touched


def test_guard_comes_before_the_vip_and_weight_after_the_vip(farm: Farm) -> None:
    farm.apply(farm.world.deployment())
    finished = [event.result for event in farm.events if isinstance(event, StepFinished)]
    ids = [result.step for result in finished if result.host == "web1"]
    assert ids.index("guard") < ids.index("vip 10.0.0.10")
    order = [(result.host, result.step) for result in finished]
    zero = order.index((DIRECTOR, "destination 10.0.0.10 tcp/80 web1"))
    assert order.index(("web1", "vip 10.0.0.10")) < zero < order.index((DIRECTOR, "weight 10.0.0.10 tcp/80 web1"))


def test_teardown_restores_everything_and_leaves_nothing_owed(farm: Farm) -> None:
    deployment = farm.world.deployment(services=(Service(port=80), Service(protocol="udp", port=7)))
    before = farm.state()
    assert farm.apply(deployment).ok
    assert farm.engine.in_force("shop")
    assert farm.teardown(deployment).ok
    assert farm.state() == before
    assert not farm.engine.in_force("shop")
    assert owed(Journals(farm.folder).of("shop").entries()) == []


def test_a_server_whose_dns_is_something_else_gets_no_clients(farm: Farm) -> None:
    for state in farm.world.servers.values():
        state.machine.listeners.append(Listener(protocol="udp", address="*", port=53))
    farm.world.servers["web2"].garbled.add(("udp", 53))
    result = farm.apply(farm.world.deployment(services=(Service(protocol="udp", port=53),)))
    assert not result.ok
    assert weights(farm) == {"10.0.0.101": 1, "10.0.0.102": 0, "10.0.0.103": 1}
    (held,) = (step.detail for host in result.hosts for step in host.steps if step.outcome is Outcome.HELD)
    assert "not a DNS answer" in held


class LossyWire(FakeWire):
    """The first `lost` probes of each server get no answer."""

    def __init__(self, world: World, lost: int) -> None:
        super().__init__(world)
        self._lost = lost
        self.sent: Counter[str] = Counter()

    def probe(
        self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0
    ) -> Sequence[Probed]:
        answers = []
        for target, answer in zip(targets, super().probe(interface, targets, deadline, pace), strict=True):
            self.sent[target.rip] += 1
            lost = self.sent[target.rip] <= self._lost
            answers.append(msgspec.structs.replace(answer, signature="silence", answered_by="") if lost else answer)
        return answers


@pytest.mark.parametrize(("lost", "weight"), [(1, 1), (2, 1), (3, 0)])
def test_one_or_two_lost_probes_hold_no_server_back(farm: Farm, lost: int, weight: int) -> None:
    wire = LossyWire(farm.world, lost)
    farm.engine = farm.fresh(wire)
    result = farm.apply(farm.world.deployment())
    assert weights(farm) == dict.fromkeys(("10.0.0.101", "10.0.0.102", "10.0.0.103"), weight)
    assert result.ok is bool(weight)


def test_a_dead_server_is_reported_while_the_others_serve(farm: Farm) -> None:
    farm.world.servers["web2"].reachable = False
    result = farm.apply(farm.world.deployment())
    assert not result.ok
    assert outcome(result, "web2") is Outcome.FAILED
    assert outcome(result, "web1") is outcome(result, "web3") is Outcome.CHANGED
    assert weights(farm) == {"10.0.0.101": 1, "10.0.0.103": 1}
    failure = next(host.failure for host in result.hosts if host.host == "web2")
    assert failure is not None
    assert "does not answer" in failure.text


def test_with_no_server_in_reach_each_is_told_and_teardown_leaves_nothing(farm: Farm) -> None:
    before = farm.state()
    for server in farm.world.servers.values():
        server.reachable = False
    deployment = farm.world.deployment()
    result = farm.apply(deployment)
    assert not result.ok
    assert [outcome(result, name) for name in farm.world.servers] == [Outcome.FAILED] * 3
    assert weights(farm) == {}
    assert farm.teardown(deployment).ok
    assert farm.state() == before


def test_a_server_that_does_not_answer_on_the_vip_stays_at_weight_zero(farm: Farm) -> None:
    farm.world.servers["web3"].machine.listeners.clear()
    result = farm.apply(farm.world.deployment())
    assert weights(farm) == {"10.0.0.101": 1, "10.0.0.102": 1, "10.0.0.103": 0}
    assert outcome(result, "web3") is Outcome.HELD
    assert not result.ok


def test_a_connection_lost_in_the_middle_is_unknown_and_the_next_run_finishes(farm: Farm) -> None:
    farm.world.servers["web1"].lost_at = "vip 10.0.0.10"
    deployment = farm.world.deployment()
    assert outcome(farm.apply(deployment), "web1") is Outcome.UNKNOWN
    assert farm.apply(deployment).ok
    before = World.lab()
    assert farm.teardown(deployment).ok
    assert farm.world.servers["web1"].machine.sysctls == before.servers["web1"].machine.sysctls


def test_killed_between_intent_and_result_is_still_undone(farm: Farm) -> None:
    before = farm.state()
    deployment = farm.world.deployment()
    farm.apply(deployment)
    journal = Journals(farm.folder).of("shop")
    lines = journal.path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"type":"Intent"' in line or b'"type":"RunBegan"' in line]
    journal.path.write_bytes(b"".join(kept) + b'{"type":"Result","ru')
    farm.engine = farm.fresh()
    assert farm.teardown(deployment).ok
    assert farm.state() == before


def test_a_failed_step_is_quoted_and_nothing_after_it_runs(farm: Farm) -> None:
    farm.world.servers["web1"].fails["vip 10.0.0.10"] = "RTNETLINK answers: Operation not permitted"
    result = farm.apply(farm.world.deployment())
    web1 = next(host for host in result.hosts if host.host == "web1")
    assert web1.outcome is Outcome.FAILED
    assert web1.failure is not None
    assert "Operation not permitted" in web1.failure.why
    assert {step.step: step.outcome for step in web1.steps}["persistence"] is Outcome.NOT_ATTEMPTED


def test_stop_begins_nothing_new_and_says_so(farm: Farm) -> None:
    stop = threading.Event()
    stop.set()
    result = farm.apply(farm.world.deployment(), stop)
    assert not result.ok
    assert farm.world.done == []
    assert {host.outcome for host in result.hosts} == {Outcome.NOT_ATTEMPTED}


def test_roll_back_of_one_server_leaves_the_others_in_traffic(farm: Farm) -> None:
    deployment = farm.world.deployment()
    clean = copy.deepcopy(farm.world.servers["web2"].machine.sysctls)
    farm.apply(deployment)
    assert farm.engine.roll_back(deployment, ("web2",), farm.events.append).ok
    assert weights(farm) == {"10.0.0.101": 1, "10.0.0.103": 1}
    assert farm.world.servers["web2"].machine.sysctls == clean
    assert set(farm.world.requests(4)) == {"web1", "web3"}


def test_a_server_taken_out_of_the_file_is_withdrawn_by_the_next_apply(farm: Farm) -> None:
    deployment = farm.world.deployment()
    farm.apply(deployment)
    fewer = msgspec.structs.replace(deployment, servers=deployment.servers[:2])
    plan = farm.engine.plan(fewer, farm.engine.observe(fewer))
    assert {step.host for step in plan.steps} == {DIRECTOR, "web3"}
    assert farm.apply(fewer).ok
    assert weights(farm) == {"10.0.0.101": 1, "10.0.0.102": 1}
    assert farm.world.servers["web3"].machine.holds("10.0.0.10") is None
    assert farm.apply(fewer).changed == 0


def test_the_guard_stays_for_another_deployments_vip_and_goes_with_the_last(farm: Farm) -> None:
    before = farm.state()
    shop = farm.world.deployment()
    mail = farm.world.deployment(vip="10.0.0.11", name="mail", services=(Service(port=80),))
    assert farm.apply(shop).ok
    assert farm.apply(mail).ok
    assert farm.teardown(shop).ok
    assert farm.world.servers["web1"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] == "1"
    assert set(farm.world.requests(6, vip="10.0.0.11")) == {"web1", "web2", "web3"}
    assert farm.teardown(mail).ok
    assert farm.state() == before


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("link", ["lo", "vip0"])
def test_a_vip_of_two_deployments_goes_with_the_last_of_them(farm: Farm, first: int, link: str) -> None:
    """Only the one that came first has the VIP in its books; both need it."""
    before = farm.state()
    web = farm.world.deployment()
    servers = tuple(msgspec.structs.replace(server, vip_interface=link) for server in web.servers)
    web = msgspec.structs.replace(web, servers=servers)
    echo = farm.world.deployment(name="echo", services=(Service(protocol="udp", port=7),))
    echo = msgspec.structs.replace(echo, servers=servers)
    assert farm.apply(web).ok
    assert farm.apply(echo).ok
    gone, stays = (web, echo) if first == 0 else (echo, web)
    assert farm.teardown(gone).ok
    assert [one.name for one in Journals(farm.folder).in_force()] == [stays.name]
    for server in farm.world.servers.values():
        assert server.machine.holds("10.0.0.10") == link
        assert not server.machine.answers_arp("10.0.0.10")
    assert farm.world.machine.holds("10.0.0.10") == "eth0"
    assert farm.apply(stays).changed == 0
    assert farm.teardown(stays).ok
    for server in farm.world.servers.values():  # the kernel forgets an interface's settings with the interface
        for key in [key for key in server.machine.sysctls if ".vip0." in key]:
            del server.machine.sysctls[key]
    assert farm.state() == before
    assert Journals(farm.folder).in_force() == []
    assert [owed(journal.entries()) for journal in Journals(farm.folder).all()] == [[], []]


def test_a_teardown_that_left_a_server_out_does_not_give_the_deployment_up(farm: Farm) -> None:
    deployment = farm.world.deployment()
    farm.apply(deployment)
    farm.world.servers["web2"].reachable = False
    assert not farm.teardown(deployment).ok
    assert farm.engine.in_force("shop")
    farm.world.servers["web2"].reachable = True
    assert farm.teardown(deployment).ok
    assert not farm.engine.in_force("shop")


def test_what_others_put_there_stays(farm: Farm) -> None:
    world = farm.world
    foreign = ServiceKey("10.0.0.77", "tcp", 25)
    from dsrwizard.core.model.changes import DestinationChange, ServiceChange, ServiceState
    from dsrwizard.core.model.steps import Step

    def put(number: int, *changes: ServiceChange | DestinationChange) -> None:
        world.director().apply(
            Step(id=str(number), host=DIRECTOR, phase="service", title="by hand", why="", changes=changes)
        )

    put(
        1,
        ServiceChange(service=foreign, old=None, new=ServiceState("rr")),
        DestinationChange(service=foreign, address="10.0.0.50", port=25, old=None, new=DestinationState(3)),
    )
    deployment = world.deployment()
    plan = farm.engine.plan(deployment, farm.engine.observe(deployment))
    director = next(host for host in plan.hosts if host.host == DIRECTOR)
    assert any("10.0.0.77 tcp/25" in note for note in director.notes)
    farm.apply(deployment)
    shop = ServiceKey("10.0.0.10", "tcp", 80)
    put(2, DestinationChange(service=shop, address="10.0.0.99", port=80, old=None, new=DestinationState(1)))
    farm.teardown(deployment)
    left = {service.key: [entry.address for entry in service.destinations] for service in world.ipvs.services()}
    assert left == {foreign: ["10.0.0.50"], shop: ["10.0.0.99"]}


def test_a_setting_somebody_changed_since_is_left_and_told(farm: Farm) -> None:
    deployment = farm.world.deployment()
    farm.apply(deployment)
    farm.world.servers["web1"].machine.sysctls["net.ipv4.conf.all.arp_announce"] = "1"
    plan = farm.engine.teardown_plan(deployment)
    web1 = next(host for host in plan.hosts if host.host == "web1")
    assert any("arp_announce was changed by someone else (now 1)" in note for note in web1.notes)
    keys = [change.key for step in web1.steps for change in step.changes if isinstance(change, SysctlChange)]
    assert keys == ["net.ipv4.conf.all.arp_ignore"]


def test_teardown_goes_no_further_while_the_director_still_sends(farm: Farm) -> None:
    deployment = farm.world.deployment()
    farm.apply(deployment)
    plan = farm.engine.teardown_plan(deployment)
    farm.world.privileged = False
    farm.world.ipvs.table.clear()  # the first step finds another world than planned and fails
    result = farm.engine.teardown(deployment, plan, farm.events.append)
    assert not result.ok
    assert farm.world.servers["web1"].machine.holds("10.0.0.10") is not None


def test_external_engine_configures_servers_and_leaves_this_machine_alone(farm: Farm) -> None:
    deployment = farm.world.deployment(engine="external")
    assert farm.apply(deployment).ok
    assert {host for host, _ in farm.world.done} == {"web1", "web2", "web3"}


def test_the_journal_has_the_prior_value_before_the_change(farm: Farm) -> None:
    farm.apply(farm.world.deployment())
    entries = Journals(farm.folder).of("shop").entries()
    guard = next(e for e in entries if isinstance(e, Intent) and e.step.id == "guard" and e.step.host == "web1")
    assert [c.old for c in guard.step.changes if isinstance(c, SysctlChange)] == ["0", "0"]
    assert [c.path for c in guard.step.changes if isinstance(c, FileChange)] == [GUARD_FILE]


def test_two_vips_on_the_same_servers(farm: Farm) -> None:
    one = farm.world.deployment()
    both = msgspec.structs.replace(one, vips=(*one.vips, Vip(address="10.0.0.11", services=(Service(port=80),))))
    assert farm.apply(both).ok
    assert set(farm.world.requests(3, vip="10.0.0.11")) == {"web1", "web2", "web3"}
    assert farm.apply(one).ok  # the second VIP leaves the deployment
    assert farm.world.servers["web1"].machine.holds("10.0.0.11") is None
    assert set(farm.world.requests(3)) == {"web1", "web2", "web3"}


def test_every_host_finishes_exactly_once(farm: Farm) -> None:
    farm.apply(farm.world.deployment())
    finished = [event.host for event in farm.events if isinstance(event, HostFinished)]
    assert sorted(finished) == [DIRECTOR, "web1", "web2", "web3"]
