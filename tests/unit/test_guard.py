"""A guard over a farm in force: what it does to the table, what it says, and how it gets on with everybody else."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.cli import printing
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.errors import Locked
from dsrwizard.core.model.guarding import UNGUARDED, GuardState, state_path
from dsrwizard.core.tell.metrics import exposition
from dsrwizard.engine import guard_file
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.guard import Guard
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.locks import Locks
from screens import clock
from screens.live.header import guard_words
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.wire import FakeWire
from tests.fakes.world import World

VIP = "10.0.0.10"


class Guarded:
    """Three real servers in force, and a guard that is asked for one round after another."""

    def __init__(self, folder: Path, servers: int = 3) -> None:
        self.folder = folder
        self.world = World.lab(servers)
        self.deployment = self.world.deployment(services=(Service(port=80), Service(protocol="udp", port=7)))
        engine = self.engine()
        assert engine.apply(
            self.deployment, engine.plan(self.deployment, engine.observe(self.deployment)), lambda event: None
        ).ok
        self.now = 1_790_000_000.0
        self.told: list[str] = []
        self.guard = self.fresh()

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), self.folder / "journal")

    def fresh(self) -> Guard:
        """The guard's next process."""
        locks = Locks(self.folder / "journal")
        return Guard(
            self.deployment,
            director=self.world.director(),
            wire=self.world.wire(),
            journal=Journals(self.folder / "journal").of(self.deployment.name),
            hold=lambda: locks.hold("guard", self.deployment.name),
            folder=self.folder / "run",
            tell=self.told.append,
            clock=lambda: self.now,
        )

    def rounds(self, count: int = 2) -> GuardState:
        for _ in range(count):
            self.now += 0.5
            self.guard.round()
        written = guard_file.read(self.deployment.name, self.folder / "run")
        assert written is not None
        self.world.guards[self.deployment.name] = written
        return written

    def weights(self, protocol: str = "tcp") -> dict[str, int]:
        return {
            one.address: one.state.weight
            for service in self.world.ipvs.services()
            if service.key.protocol == protocol
            for one in service.destinations
        }

    def events(self) -> list[str]:
        return [line.message for line in self.engine().events(self.deployment)]


@pytest.fixture
def farm(tmp_path: Path) -> Guarded:
    return Guarded(tmp_path)


def no_vip(farm: Guarded) -> None:
    farm.world.servers["web2"].machine.links["lo"].addresses.pop(VIP)


def cable_out(farm: Guarded) -> None:
    farm.world.servers["web2"].reachable = False


def filtered(farm: Guarded) -> None:
    farm.world.servers["web2"].dropped.add(("tcp", 80))


def no_service(farm: Guarded) -> None:
    machine = farm.world.servers["web2"].machine
    machine.listeners = [one for one in machine.listeners if one.port != 80]


@pytest.mark.parametrize("fault", [no_vip, cable_out, filtered, no_service])
def test_whatever_clients_feel_takes_a_server_out_and_its_mending_brings_it_back(
    farm: Guarded, fault: Callable[[Guarded], None]
) -> None:
    before = farm.world.servers["web2"]
    addresses, listeners = dict(before.machine.links["lo"].addresses), list(before.machine.listeners)
    assert farm.rounds(4).held == ()
    fault(farm)
    state = farm.rounds()
    assert farm.weights() == {"10.0.0.101": 1, "10.0.0.102": 0, "10.0.0.103": 1}
    assert {(one.place.service, one.place.server, one.weight) for one in state.held} >= {("tcp/80", "web2", 1)}
    assert set(farm.world.requests(12)) == {"web1", "web3"}
    (line,) = [line for line in farm.events() if line.startswith("guard: ")]
    assert "Weight 1 → 0 for web2" in line
    assert state.held[0].why in line
    before.reachable, before.dropped = True, set()
    before.machine.links["lo"].addresses, before.machine.listeners = addresses, listeners
    assert farm.rounds().held == ()
    assert farm.weights() == {"10.0.0.101": 1, "10.0.0.102": 1, "10.0.0.103": 1}


def test_one_round_with_two_looks_takes_out_a_server_that_keeps_silent(farm: Guarded) -> None:
    farm.rounds(1)
    no_vip(farm)
    assert {one.place.server for one in farm.rounds(1).held} == {"web2"}
    assert farm.weights()["10.0.0.102"] == 0


def test_who_refuses_is_asked_again_in_the_next_round_since_a_service_may_start_again(farm: Guarded) -> None:
    farm.rounds(1)
    no_service(farm)
    assert farm.rounds(1).held == ()
    assert {one.place.server for one in farm.rounds(1).held} == {"web2"}


def test_an_application_that_says_nothing_while_others_answer_is_taken_out_after_three_conversations(
    farm: Guarded,
) -> None:
    farm.world.servers["web2"].hung = True
    farm.rounds()
    for _ in range(2):
        farm.guard.look_aside()
        assert farm.rounds(4).held == ()
    farm.guard.look_aside()
    (held,) = farm.rounds().held
    assert held.place.server == "web2"
    assert "says nothing" in held.why


def test_silence_while_everybody_is_late_convicts_no_application_afterwards(
    farm: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe = FakeWire.probe

    def late(*asked: Any) -> Any:
        return [msgspec.structs.replace(one, milliseconds=100.0) if one.good else one for one in probe(*asked)]

    farm.world.servers["web2"].hung = True
    farm.rounds()
    monkeypatch.setattr(FakeWire, "probe", late)
    for _ in range(3):
        farm.rounds(1)
        farm.guard.look_aside()
    monkeypatch.setattr(FakeWire, "probe", probe)
    assert farm.rounds(4).held == ()
    monkeypatch.setattr(time, "monotonic", lambda real=time.monotonic: real() + 60.0)
    for _ in range(3):
        farm.guard.look_aside()
    assert {one.place.server for one in farm.rounds().held} == {"web2"}


def test_a_server_whose_mac_is_known_by_one_service_is_not_asked_for_it_by_another(
    farm: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other service kept silent once; ARP is the server's."""
    farm.rounds()
    seen: list[tuple[int, str]] = []
    probe = FakeWire.probe

    def probed(wire: FakeWire, interface: str, targets: Any, *rest: Any) -> Any:
        seen.extend((one.port, one.mac) for one in targets if one.rip == "10.0.0.102")
        answers = list(probe(wire, interface, targets, *rest))
        first = len(seen) <= 2
        return [
            msgspec.structs.replace(answer, signature="silence", mac="", answered_by="", milliseconds=None)
            if first and (answer.rip, answer.port) == ("10.0.0.102", 80)
            else answer
            for answer in answers
        ]

    monkeypatch.setattr(FakeWire, "probe", probed)
    farm.rounds(1)
    assert {port for port, _ in seen} == {80, 7}
    assert all(mac for _, mac in seen), seen


@pytest.mark.parametrize(("looks", "out"), [(2, set()), (3, {"web2"})])
def test_a_busy_service_of_a_server_that_answers_otherwise_is_asked_a_third_time(
    farm: Guarded, monkeypatch: pytest.MonkeyPatch, looks: int, out: set[str]
) -> None:
    probe, left = FakeWire.probe, [looks]

    def probed(wire: FakeWire, *asked: Any) -> Any:
        dropped = farm.world.servers["web2"].dropped
        dropped.add(("tcp", 80)) if left[0] > 0 else dropped.discard(("tcp", 80))
        left[0] -= 1
        return probe(wire, *asked)

    farm.rounds()
    monkeypatch.setattr(FakeWire, "probe", probed)
    assert {held.place.server for held in farm.rounds(1).held} == out


def test_a_leak_alarms_and_takes_nobody_out(farm: Guarded) -> None:
    for server in farm.world.servers.values():
        server.machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "0"
        server.machine.sysctls["net.ipv4.conf.eth0.arp_ignore"] = "0"
        break
    farm.rounds()
    farm.guard.look_aside()
    state = farm.rounds(4)
    assert state.held == ()
    (alarm,) = state.alarms
    assert alarm.startswith("web1 (02:00:0a:00:00:65) answers ARP for 10.0.0.10")
    assert [line for line in farm.told if "Alarm" in line] == [f"Alarm: {alarm}"]


def test_a_udp_service_that_keeps_silent_is_left_in(farm: Guarded) -> None:
    farm.world.servers["web2"].dropped.add(("udp", 7))
    assert farm.rounds(6).held == ()


@pytest.mark.parametrize("blindness", ["down", "gone", "dead"])
def test_a_director_that_is_cut_off_changes_nothing(farm: Guarded, blindness: str) -> None:
    no_vip(farm)
    farm.rounds()
    before = farm.weights()
    nic = farm.world.machine.links["eth0"]
    for server in farm.world.servers.values():
        server.reachable = blindness != "gone"
        server.dropped |= {("tcp", 80), ("udp", 7)} if blindness == "dead" else set()
    nic.up = blindness != "down"
    state = farm.rounds(20)
    assert farm.weights() == before
    assert state.blind
    assert state.alarms


def test_an_operators_drain_and_restore_are_respected_while_it_holds_out(farm: Guarded) -> None:
    no_vip(farm)
    farm.rounds()
    watcher = farm.engine().watch(farm.deployment)
    watcher.set_weight("web2", 0)
    assert farm.rounds().held == ()
    assert any("web2 in 10.0.0.10 tcp/80 is not held out any more" in line for line in farm.told)
    farm.world.servers["web2"].machine.links["lo"].addresses[VIP] = 32
    farm.rounds(20)
    assert farm.weights()["10.0.0.102"] == 0, "it is the operator's drain now"
    watcher.set_weight("web2", None)
    farm.rounds(20)
    assert farm.weights()["10.0.0.102"] == 1
    no_vip(farm)
    farm.rounds()
    assert farm.weights()["10.0.0.102"] == 0
    watcher.set_weight("web2", 3)
    state = farm.rounds(20)
    assert farm.weights()["10.0.0.102"] == 3
    assert any("somebody gave it weight 3" in alarm for alarm in state.alarms)


def test_the_next_process_goes_on_with_what_the_last_one_held_out(farm: Guarded) -> None:
    no_vip(farm)
    farm.rounds()
    farm.guard = farm.fresh()
    assert {one.place.server for one in farm.rounds(4).held} == {"web2"}
    farm.world.servers["web2"].machine.links["lo"].addresses[VIP] = 32
    assert farm.rounds().held == ()
    assert farm.weights()["10.0.0.102"] == 1


def test_what_was_at_weight_0_when_it_began_stays_there(farm: Guarded) -> None:
    farm.world.ipvs.set_weight(farm.world.ipvs.services()[0].key, "10.0.0.102", 80, 0)
    state_path(farm.deployment.name, farm.folder / "run").unlink(missing_ok=True)
    farm.guard = farm.fresh()
    farm.rounds(20)
    assert farm.weights()["10.0.0.102"] == 0


def test_while_another_run_has_the_lock_it_waits_and_says_so(farm: Guarded) -> None:
    no_vip(farm)
    with Locks(farm.folder / "journal").hold("apply", farm.deployment.name):
        state = farm.rounds(4)
        assert farm.weights()["10.0.0.102"] == 1
        (alarm,) = state.alarms
        assert alarm.startswith("Weights are not changed now. apply of shop has been running since ")
    farm.rounds(1)
    assert farm.weights()["10.0.0.102"] == 0


def test_a_table_that_cannot_be_read_is_an_alarm_and_no_end(farm: Guarded) -> None:
    farm.world.ipvs_problem = "The kernel said no."
    state = farm.rounds(3)
    assert "The kernel said no." in state.blind
    farm.world.ipvs_problem = ""
    assert farm.rounds(1).blind == ""
    assert farm.told[-1] == "All alarms are over."


def test_a_boot_brings_back_the_weight_that_a_held_destination_has_otherwise(farm: Guarded) -> None:
    no_vip(farm)
    state = farm.rounds()
    kept = guard_file.without_guard(farm.world.ipvs.services(), state)
    assert {one.state.weight for service in kept for one in service.destinations} == {1}
    farm.world.ipvs.set_weight(farm.world.ipvs.services()[0].key, "10.0.0.103", 80, 0)
    kept = guard_file.without_guard(farm.world.ipvs.services(), state)
    left = [one.state.weight for service in kept for one in service.destinations if one.address == "10.0.0.103"]
    assert left[0] == 0, "an operator's"


def test_only_one_guard_of_a_deployment_runs(tmp_path: Path) -> None:
    with (
        guard_file.alone("shop", tmp_path),
        pytest.raises(Locked, match="A guard of shop is running"),
        guard_file.alone("shop", tmp_path),
    ):
        pass
    with guard_file.alone("shop", tmp_path):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"deployment": "shop"}), '{"version": 99}', "\xff"])
def test_a_damaged_file_of_its_own_says_nothing(tmp_path: Path, text: str) -> None:
    state_path("shop", tmp_path).write_text(text, encoding="latin-1")
    assert guard_file.read("shop", tmp_path) is None


def test_it_runs_until_it_is_stopped_with_a_heartbeat_in_its_file(farm: Guarded) -> None:
    stopped, beats = threading.Event(), []

    def beat() -> None:
        beats.append(guard_file.read(farm.deployment.name, farm.folder / "run"))
        if len(beats) == 3:
            stopped.set()

    farm.guard.run(stopped, beat)
    assert farm.world.ready, "an urgent weight would wait until the modules it needs are loaded"
    assert [state.rounds for state in beats if state] == [1, 2, 3]
    last = guard_file.read(farm.deployment.name, farm.folder / "run")
    assert last is not None
    assert last.ended
    assert not last.alive(farm.now)
    assert beats[0] is not None
    assert beats[0].alive(farm.now)
    assert not beats[0].alive(farm.now + 60)


# -- what others show of it


def test_a_look_shows_what_it_holds_out_and_says_the_cause_all_the_same(farm: Guarded) -> None:
    no_vip(farm)
    farm.rounds()
    snapshot = farm.engine().watch(farm.deployment, recorded=False).once()
    assert snapshot.guard is not None
    assert {one.place.server for one in snapshot.guard.held} == {"web2"}
    row = next(row for service in snapshot.services for row in service.rows if row.server == "web2")
    assert (row.state, row.cause) == ("vip-dead", "vip-missing")
    assert row.message.endswith("A guard holds it out: it gets no new clients.")
    text = exposition(snapshot, snapshot.at)
    assert 'dsrwizard_guard_held_out{vip="10.0.0.10",port="80",protocol="tcp",server="web2"} 1\n' in text
    assert "dsrwizard_guard_blind 0\n" in text


def test_a_server_that_is_well_again_and_still_held_out_is_not_called_drained_by_anybody(farm: Guarded) -> None:
    for _ in range(3):  # who flaps waits
        no_vip(farm)
        farm.rounds()
        farm.world.servers["web2"].machine.links["lo"].addresses[VIP] = 32
        farm.rounds(2)
    assert farm.weights()["10.0.0.102"] == 0
    snapshot = farm.engine().watch(farm.deployment, recorded=False).once()
    row = next(row for service in snapshot.services for row in service.rows if row.server == "web2")
    assert (row.state, row.cause) == ("draining", "")
    assert "a guard holds it out" in row.message
    farm.world.guarded = True
    report = farm.engine().verify(farm.deployment)
    assert report.failures == ()
    assert any("A guard holds web2 out of 10.0.0.10 tcp/80." in check.message for check in report.checks)
    farm.world.guarded = False
    (failure, *_) = farm.engine().verify(farm.deployment).failures
    assert failure.cause == "drained"
    assert failure.message.endswith("A guard held it out and is not running any more.")


@pytest.mark.parametrize("as_json", [False, True])
def test_status_prints_it(farm: Guarded, as_json: bool, capsys: pytest.CaptureFixture[str]) -> None:
    no_vip(farm)
    state = farm.rounds()
    snapshot = farm.engine().watch(farm.deployment, recorded=False).once()
    at = state.at + 1
    printing.snapshot(msgspec.structs.replace(snapshot, at=at), as_json=as_json)
    said = capsys.readouterr().out
    if as_json:
        assert json.loads(said)["guard"]["held"][0]["place"]["server"] == "web2"
        return
    assert "Guard: holds out web2; its last round was 1.0 s ago." in said
    assert f"holds out web2 in 10.0.0.10 tcp/80 for 1 s: {state.held[0].why}" in said
    printing.snapshot(msgspec.structs.replace(snapshot, at=state.at + 60), as_json=False)
    assert "The guard is not running. Its last round was 1 min ago; it holds out web2." in capsys.readouterr().out


def test_the_live_header_says_what_the_guard_does_and_that_it_has_stopped(
    farm: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_vip(farm)
    state = farm.rounds()
    snapshot = farm.engine().watch(farm.deployment, recorded=False).once()
    monkeypatch.setattr(clock, "now", lambda: state.at)
    assert guard_words(snapshot) == (["guard holds out web2"], "warn")
    assert snapshot.guard is not None
    alarmed = msgspec.structs.replace(snapshot.guard, alarms=("One thing.", "Another."))
    lines, _ = guard_words(msgspec.structs.replace(snapshot, guard=alarmed)) or ([], "")
    assert lines == ["guard holds out web2; 2 alarms", "  One thing."]
    monkeypatch.setattr(clock, "now", lambda: state.at + 60)
    (words,), colour = guard_words(snapshot) or ([], "")
    assert words.endswith("The guard is not running and holds out web2. Nobody takes dead servers out.")
    assert colour == "bad"


def test_a_deployment_that_was_applied_since_is_an_alarm(farm: Guarded) -> None:
    assert farm.rounds().alarms == ()
    changed = msgspec.structs.replace(farm.deployment, servers=farm.deployment.servers[:2])
    engine = farm.engine()
    assert engine.apply(changed, engine.plan(changed, engine.observe(changed)), lambda event: None).ok
    (alarm,) = farm.rounds().alarms
    assert alarm.startswith("The deployment was applied with other servers or services")
    assert alarm.endswith("Restart the guard.")


def test_an_apply_that_changes_no_destination_is_none(farm: Guarded) -> None:
    director = msgspec.structs.replace(farm.deployment.director, guard=True, guard_floor=30)
    changed = msgspec.structs.replace(farm.deployment, director=director)
    engine = farm.engine()
    assert engine.apply(changed, engine.plan(changed, engine.observe(changed)), lambda event: None).ok
    assert farm.rounds().alarms == ()


def test_a_run_waits_for_a_guard_that_sets_a_weight_and_is_not_refused(tmp_path: Path) -> None:
    locks, taken, order = Locks(tmp_path), threading.Event(), []

    def sets() -> None:
        with locks.hold("guard", "shop"):
            taken.set()
            time.sleep(0.5)
            order.append("guard")

    thread = threading.Thread(target=sets)
    thread.start()
    assert taken.wait(60)
    with locks.hold("apply", "shop"):
        order.append("apply")
        with pytest.raises(Locked), locks.hold("apply", "shop"):
            pass
    thread.join()
    assert order == ["guard", "apply"]


def test_a_deployment_that_asks_for_a_guard_and_has_none_is_told_so(farm: Guarded) -> None:
    asking = msgspec.structs.replace(farm.deployment.director, guard=True)
    deployment = msgspec.structs.replace(farm.deployment, director=asking)
    assert UNGUARDED in farm.engine().watch(deployment, recorded=False).once().unseen
    assert UNGUARDED not in farm.engine().watch(farm.deployment, recorded=False).once().unseen
    state = msgspec.structs.replace(farm.rounds(), at=time.time())
    farm.world.guards["shop"] = state
    assert UNGUARDED not in farm.engine().watch(deployment, recorded=False).once().unseen
    farm.world.guards["shop"] = msgspec.structs.replace(state, ended=True)
    assert UNGUARDED in farm.engine().watch(deployment, recorded=False).once().unseen


def test_once_finds_an_application_that_says_nothing_too(farm: Guarded) -> None:
    farm.world.servers["web2"].hung = True
    farm.guard.several()
    assert {one.place.server for one in farm.guard.state.held} == {"web2"}


def test_a_watch_tells_what_a_guard_does_while_it_looks_and_writes_none_of_it(farm: Guarded, tmp_path: Path) -> None:
    engine = engine_of(farm.world, Nobody(), farm.folder / "journal", tmp_path / "events")
    watcher = engine.watch(farm.deployment)
    farm.rounds()
    watcher.once()
    no_vip(farm)
    state = farm.rounds()
    told = [line.message for line in watcher.once().happenings if line.message.startswith("guard: ")]
    assert told == [f"guard: holds it out of 10.0.0.10 tcp/80. {state.held[0].why}"]
    farm.world.servers["web2"].machine.links["lo"].addresses[VIP] = 32
    farm.rounds()
    assert "guard: no longer holds it out of 10.0.0.10 tcp/80." in [line.message for line in watcher.once().happenings]
    watcher.close()
    assert "guard: holds it out" not in (tmp_path / "events" / "shop.jsonl").read_text()
