"""Waves: who is changed first, what is at stake, and what a failure in one wave does to the next."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.deployment import Deployment, Service
from dsrwizard.core.model.events import Observer, StepFinished, WaveBegan
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import DIRECTOR, Plan
from dsrwizard.core.plan.waves import WaveMode, share_words, wave_lines
from dsrwizard.core.tell.difference import groups
from dsrwizard.core.tell.runbook import runbook, text
from dsrwizard.core.tell.ticket import ticket
from tests.fakes.world import World
from tests.unit.test_engine import Farm, outcome, weights


def farm_of(folder: Path, servers: int) -> Farm:
    return Farm(folder, World.lab(servers))


def planned(farm: Farm, deployment: Deployment, mode: WaveMode = "auto") -> Plan:
    farm.engine.wave = mode
    return farm.engine.plan(deployment, farm.engine.observe(deployment))


def carried(
    farm: Farm, deployment: Deployment, plan: Plan, watch: Observer | None = None, stop: threading.Event | None = None
) -> RunResult:
    """The plan as it was shown."""
    with farm.engine.lease("shop", "apply") as lease:
        return farm.engine.apply(deployment, plan, watch or farm.events.append, stop, lease)


def run(farm: Farm, deployment: Deployment, mode: WaveMode = "auto") -> RunResult:
    return carried(farm, deployment, planned(farm, deployment, mode))


def details(result: RunResult, host: str) -> set[str]:
    return {step.detail for entry in result.hosts if entry.host == host for step in entry.steps}


@pytest.mark.parametrize(
    ("servers", "mode", "sizes"),
    [
        (1, "on", []), (2, "on", [1, 1]), (3, "on", [1, 1, 1]), (3, "auto", []), (4, "auto", [1, 1, 2]),
        (10, "auto", [1, 1, 8]), (11, "auto", [1, 2, 8]), (50, "auto", [1, 5, 44]), (50, "off", []),
    ],
)  # fmt: skip
def test_one_then_a_tenth_rounded_up_then_the_rest(
    tmp_path: Path, servers: int, mode: WaveMode, sizes: list[int]
) -> None:
    farm = farm_of(tmp_path, servers)
    plan = planned(farm, farm.world.deployment(), mode)
    assert [len(wave.servers) for wave in plan.waves] == sizes
    named = [name for wave in plan.waves for name in wave.servers]
    assert len(set(named)) == len(named)


def test_only_servers_with_steps_count(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 6)
    deployment = farm.world.deployment()
    assert run(farm, deployment).ok
    for name in ("web2", "web3", "web5"):
        farm.world.servers[name].machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "0"
    assert planned(farm, deployment).waves == ()
    farm.world.servers["web6"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "0"
    assert {name for wave in planned(farm, deployment).waves for name in wave.servers} == {
        "web2", "web3", "web5", "web6",
    }  # fmt: skip


def weighted(deployment: Deployment, *given: int) -> Deployment:
    servers = tuple(
        msgspec.structs.replace(server, weight=weight) for server, weight in zip(deployment.servers, given, strict=True)
    )
    return msgspec.structs.replace(deployment, servers=servers)


@pytest.mark.parametrize(
    ("given", "first", "share"),
    [((3, 2, 1, 2), "web3", "1/8"), ((3, 0, 1, 2), "web2", ""), ((1, 1, 1, 1), "web1", "1/4")],
)
def test_the_first_is_the_one_with_the_least_at_stake(
    tmp_path: Path, given: tuple[int, ...], first: str, share: str
) -> None:
    farm = farm_of(tmp_path, 4)
    deployment = weighted(farm.world.deployment(), *given)
    assert run(farm, deployment).ok
    for server in farm.world.servers.values():
        server.machine.sysctls["net.ipv4.conf.all.arp_announce"] = "0"
    serves = f"it serves {share} of new clients now" if share else "it serves no clients now"
    assert wave_lines(planned(farm, deployment))[0] == f"wave 1 of 3: {first}; {serves}"


def test_each_wave_begins_when_the_one_before_is_through(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 4)
    assert run(farm, farm.world.deployment()).ok
    order = [
        event.servers if isinstance(event, WaveBegan) else event.result.host
        for event in farm.events
        if isinstance(event, WaveBegan) or (isinstance(event, StepFinished) and event.result.host != DIRECTOR)
    ]
    ends = [order.index(wave) for wave in (("web1",), ("web2",), ("web3", "web4"))]
    assert ends == sorted(ends)
    assert set(order[: ends[1]]) == {("web1",), "web1"}
    assert set(order[ends[1] : ends[2]]) == {("web2",), "web2"}


@pytest.mark.parametrize("fault", ["command", "lost", "held", "gone"])
@pytest.mark.parametrize(("failing", "ordinal"), [("web1", "first"), ("web2", "second")])
def test_a_failure_leaves_the_following_waves_alone(tmp_path: Path, fault: str, failing: str, ordinal: str) -> None:
    farm = farm_of(tmp_path, 5)
    deployment = farm.world.deployment()
    plan = planned(farm, deployment)
    server = farm.world.servers[failing]
    match fault:
        case "command":
            server.fails["vip 10.0.0.10"] = "RTNETLINK answers: Operation not permitted"
        case "lost":
            server.lost_at = "vip 10.0.0.10"
        case "held":
            server.machine.listeners.clear()
        case "gone":
            server.reachable = False
    result = carried(farm, deployment, plan)
    assert not result.ok
    for name in ("web3", "web4", "web5"):
        assert outcome(result, name) is Outcome.NOT_ATTEMPTED
        assert details(result, name) == {f"{failing} failed in the {ordinal} wave"}
        assert farm.world.servers[name].machine.holds("10.0.0.10") is None
    assert {host for host, _ in farm.world.done} <= {DIRECTOR, "web1", "web2"}
    server.fails.clear()
    server.reachable = True
    server.machine.listeners[:] = farm.world.servers["web5"].machine.listeners
    assert farm.apply(deployment).ok, "the next apply goes on from there"
    assert len(weights(farm)) == 5


def test_a_server_that_serves_already_is_proved_after_its_change_too(tmp_path: Path) -> None:
    """No weight is given here, so no gate asks."""
    farm = farm_of(tmp_path, 4)
    deployment = farm.world.deployment()
    assert run(farm, deployment).ok
    for server in farm.world.servers.values():
        server.machine.sysctls["net.ipv4.conf.all.arp_announce"] = "0"
    farm.world.servers["web1"].dropped.add(("tcp", 80))
    result = run(farm, deployment)
    (web1,) = (host for host in result.hosts if host.host == "web1")
    assert web1.failure is not None
    assert "10.0.0.10 tcp/80" in web1.failure.what
    assert details(result, "web3") == {"web1 failed in the first wave"}


def test_every_service_is_proved(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 4)
    deployment = farm.world.deployment(services=(Service(port=80), Service(protocol="udp", port=7)))
    assert run(farm, deployment).ok
    for server in farm.world.servers.values():
        server.machine.sysctls["net.ipv4.conf.all.arp_announce"] = "0"
    farm.world.servers["web1"].reply_from_rip = True
    result = run(farm, deployment)
    assert "udp/7" in next(host.failure.what for host in result.hosts if host.failure)
    assert outcome(result, "web2") is Outcome.NOT_ATTEMPTED


def test_what_only_a_client_notices_stops_the_waves(tmp_path: Path) -> None:
    """The probe from the same network is answered; there is no way back to who comes from elsewhere."""
    farm = farm_of(tmp_path, 4)
    for server in farm.world.servers.values():
        server.machine.routes.clear()
    result = run(farm, farm.world.deployment())
    web1 = next(host for host in result.hosts if host.host == "web1")
    assert web1.failure is not None
    assert web1.failure.what.startswith("web1: gateway: ")
    assert outcome(result, "web2") is Outcome.NOT_ATTEMPTED


def test_a_fault_of_a_server_in_a_later_wave_does_not_stop_the_first(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 4)
    farm.world.servers["web4"].machine.listeners.clear()
    result = run(farm, farm.world.deployment())
    assert weights(farm) == {"10.0.0.101": 1, "10.0.0.102": 1, "10.0.0.103": 1, "10.0.0.104": 0}
    assert outcome(result, "web4") is Outcome.HELD


def test_unreachable_servers_are_in_no_wave_and_stop_nobody(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 6)
    farm.world.servers["web1"].reachable = False
    plan = planned(farm, farm.world.deployment())
    assert plan.waves[0].servers == ("web2",)
    result = run(farm, farm.world.deployment())
    assert outcome(result, "web1") is Outcome.FAILED
    assert {outcome(result, f"web{number}") for number in range(2, 7)} == {Outcome.CHANGED}


def test_a_server_set_up_by_hand_waits_in_the_last_wave_and_stops_nobody(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 5)
    deployment = farm.world.deployment()
    servers = tuple(
        msgspec.structs.replace(server, connect="manual") if server.name in ("web1", "web2") else server
        for server in deployment.servers
    )
    deployment = msgspec.structs.replace(deployment, servers=servers)
    assert planned(farm, deployment).waves == (), "three are left that dsrwizard changes"
    plan = planned(farm, deployment, "on")
    assert plan.waves[-1].servers[-2:] == ("web1", "web2")
    result = carried(farm, deployment, plan)
    assert {name: weights(farm)[f"10.0.0.10{name}"] for name in range(1, 6)} == {1: 0, 2: 0, 3: 1, 4: 1, 5: 1}
    assert outcome(result, "web1") is Outcome.HELD


def test_stopped_between_waves_nothing_new_begins(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 4)
    stop = threading.Event()

    def watch(event: object) -> None:
        if isinstance(event, WaveBegan) and event.number == 2:
            stop.set()

    deployment = farm.world.deployment()
    result = carried(farm, deployment, planned(farm, deployment), watch, stop)
    assert outcome(result, "web1") is Outcome.CHANGED
    assert {outcome(result, name) for name in ("web2", "web3", "web4")} == {Outcome.NOT_ATTEMPTED}


def test_another_product_s_share_is_not_known(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 4)
    plan = planned(farm, farm.world.deployment(engine="external"))
    assert wave_lines(plan)[0] == "wave 1 of 3: web1; another product sends it clients"


def test_off_changes_all_at_once(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 5)
    farm.world.servers["web1"].machine.listeners.clear()
    run(farm, farm.world.deployment(), "off")
    assert sorted(weights(farm).values()) == [0, 1, 1, 1, 1]
    assert not any(isinstance(event, WaveBegan) for event in farm.events)


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (Fraction(1, 4), "1/4 of new clients"), (Fraction(2, 3), "2/3 of new clients"), (0, "no clients"),
        (1, "all new clients"), (0.23, "23 % of new clients"), (0.001, "1 % of new clients"),
    ],
)  # fmt: skip
def test_a_share_is_told_so_that_it_is_read_at_a_glance(share: float, words: str) -> None:
    assert share_words(float(share)) == words


# --- on paper --------------------------------------------------------------------------------------------------------


def test_a_ticket_says_who_is_in_which_wave_and_where_to_stop(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 5)
    deployment = farm.world.deployment()
    servers = list(deployment.servers)
    servers[0] = msgspec.structs.replace(servers[0], connect="manual")
    deployment = msgspec.structs.replace(deployment, servers=tuple(servers))
    plan = planned(farm, deployment)
    said = ticket(deployment, plan)
    waves = said.partition("## Waves")[2].partition("##")[0]
    for line in wave_lines(plan):
        assert line in waves
    assert "Stop after wave 1 until the VIP answers through web2 in every service." in waves
    assert "go no further: web3, web4, web5, web1 then stay as before" in waves
    assert "Stop after wave 2 until the VIP answers through web3 in every service." in waves
    assert "Stop after wave 3" not in said
    changes = said.partition("## Changes, in order of execution")[2].partition("## Undo")[0]
    headings = [line.removeprefix("### ") for line in changes.splitlines() if line.startswith("### web")]
    assert [heading for heading in headings if heading != "web1"] == [
        "web2, wave 1 of 3", "web3, wave 2 of 3", "web4, wave 3 of 3", "web5, wave 3 of 3",
    ]  # fmt: skip
    assert [group.host for group in groups(plan) if group.host in ("web1", "web2")] == ["web2", "web1"]


def test_a_ticket_of_a_few_servers_has_no_waves(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 3)
    said = ticket(farm.world.deployment(), planned(farm, farm.world.deployment()))
    assert "wave" not in said.lower()
    assert "Stop" not in said


def test_a_runbook_says_whose_turn_it_is_and_where_to_stop(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 6)
    deployment = farm.world.deployment()
    servers = tuple(
        msgspec.structs.replace(server, connect="manual") if server.name in ("web1", "web2") else server
        for server in deployment.servers
    )
    deployment = msgspec.structs.replace(deployment, servers=servers)
    by_hand = " ".join(text(runbook(deployment, servers[0])).split())
    assert "Wave 3 of 3: web5, web6, web1, web2. Begin when web3, web4 are proved." in by_hand
    assert "If one of them fails, stop: web1 stays as it is." in by_hand
    assert "Set up by hand: web1, web2. Do one of them first." in by_hand
    first = " ".join(text(runbook(deployment, servers[2])).split())
    assert "Wave 1 of 3: web3." in first
    assert "Stop after wave 1 until the VIP answers through web3 in every service." in first
    assert "Begin when" not in first


def test_a_runbook_of_the_only_server_by_hand_of_a_small_farm_says_nothing_of_turns(tmp_path: Path) -> None:
    farm = farm_of(tmp_path, 3)
    deployment = farm.world.deployment()
    one = msgspec.structs.replace(deployment.servers[0], connect="manual")
    alone = msgspec.structs.replace(deployment, servers=(one, *deployment.servers[1:]))
    said = text(runbook(alone, one))
    assert "Wave" not in said
    assert "Set up by hand" not in said
