"""Servers that put themselves back: the cable comes out before, in the middle of and after every change of every step,
in the farm in memory under the real engine and its journal."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path

from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.events import Event, HostSaid, HostStarted, RevertArmed, RevertOff, StepStarted
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.engine.engine import Engine
from screens.runs.hosts import HostRuns
from tests.fakes.engine import engine_of
from tests.fakes.host import Machine
from tests.fakes.operator import Nobody
from tests.fakes.server_state import Moment
from tests.fakes.world import World


class Farm:
    """A world of two servers, the second of which has neither folder for our files, and the engine on it."""

    def __init__(self, journals: Path, servers: int = 2) -> None:
        self.world = World.lab(servers=servers)
        self.web2 = self.world.servers["web2"]
        self.web2.machine.persistence = "ifupdown"
        self.web2.machine.no_folders = {"/etc/sysctl.d", "/etc/network/interfaces.d"}
        self.deployment = self.world.deployment(services=(Service(protocol="tcp", port=80),))
        self.journals = journals
        self.told: list[Event] = []

    def engine(self) -> Engine:
        """Another process on the same journals."""
        return engine_of(self.world, Nobody(), self.journals)

    def apply(self) -> RunResult:
        engine = self.engine()
        plan = engine.plan(self.deployment, engine.observe(self.deployment))
        self.told.clear()
        result = engine.apply(self.deployment, plan, self.told.append)
        engine.close()
        return result

    def teardown(self) -> RunResult:
        engine = self.engine()
        result = engine.teardown(self.deployment, engine.teardown_plan(self.deployment), self.told.append)
        engine.close()
        return result

    def notes(self, host: str = "web2") -> tuple[str, ...]:
        engine = self.engine()
        plan = engine.plan(self.deployment, engine.observe(self.deployment))
        return next(one.notes for one in plan.hosts if one.host == host)

    def picture(self) -> dict[str, object]:
        return {name: _seen(state.machine) for name, state in self.world.servers.items()}


def _seen(machine: Machine) -> object:
    return copy.deepcopy((machine.links, machine.sysctls, machine.files, machine.no_folders))


def at(wanted_step: str, wanted_change: int, wanted: Moment) -> Callable[[Step, int, Moment], bool]:
    return lambda step, change, moment: (step.id, change, moment) == (wanted_step, wanted_change, wanted)


def every_cut(journals: Path) -> list[tuple[str, int, Moment]]:
    farm = Farm(journals)
    engine = farm.engine()
    plan = engine.plan(farm.deployment, engine.observe(farm.deployment))
    steps = next(host.steps for host in plan.hosts if host.host == "web2")
    moments: tuple[Moment, ...] = ("before", "midway", "after")
    return [(step.id, n, moment) for step in steps for n, moment in product(range(len(step.changes)), moments)]


def test_cut_at_every_moment_of_every_change_a_server_puts_itself_back(tmp_path: Path) -> None:
    cuts = every_cut(tmp_path / "plan")
    assert len(cuts) >= 18
    undisturbed = Farm(tmp_path / "undisturbed")
    before = undisturbed.picture()
    assert undisturbed.apply().ok
    wanted = undisturbed.picture()
    reverted = 0
    for number, (step, change, moment) in enumerate(cuts):
        for then in ("apply", "teardown"):
            where = f"{moment} change {change} of {step}, then {then}"
            farm = Farm(tmp_path / f"{number} {then}")
            farm.web2.cut = at(step, change, moment)
            result = farm.apply()
            assert not result.ok, where
            assert farm.web2.armed, where
            farm.web2.cut = lambda step, change, moment: False
            assert farm.world.silence("web2"), where
            farm.web2.reachable = True
            assert _seen(farm.web2.machine) == before["web2"], where
            reverted += 1
            (note,) = [note for note in farm.notes() if "put itself back at" in note]
            days = {time.strftime("%Y-%m-%d", time.gmtime(time.time() - ago)) for ago in (0, 3600)}
            assert any(day in note for day in days)
            if then == "apply":
                assert farm.apply().ok, where
                assert farm.picture() == wanted, where
                assert farm.apply().changed == 0, where
                assert farm.notes() == (), where
            assert farm.teardown().ok, where
            assert farm.picture() == before, where
            assert farm.engine().teardown_plan(farm.deployment).empty, where
            assert not farm.engine().in_force("shop"), where
    print(f"connection cuts tried / reverted (in memory): {2 * len(cuts)} / {reverted}")


def test_a_server_keeps_what_was_proved_before_clients_come_to_it(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    weights: list[dict[str, float]] = []

    def watch(event: Event) -> None:
        if isinstance(event, RevertOff):
            table = farm.world.ipvs.table.values()
            weights.append({one.address: one.state.weight for virtual in table for one in virtual.entries})
        farm.told.append(event)

    engine = farm.engine()
    engine.apply(farm.deployment, engine.plan(farm.deployment, engine.observe(farm.deployment)), watch)
    assert [event.host for event in farm.told if isinstance(event, RevertOff)] in (["web1", "web2"], ["web2", "web1"])
    assert not any(farm.world.silence(name) for name in farm.world.servers)
    assert farm.world.requests(2)[0] in ("web1", "web2")


def test_what_is_not_proved_is_said_and_goes_back(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    farm.web2.machine.listeners.clear()
    before = _seen(farm.web2.machine)
    result = farm.apply()
    held = next(host for host in result.hosts if host.host == "web2")
    assert held.failure is not None
    assert held.failure.kind == "held"
    assert [event.seconds for event in farm.told if isinstance(event, RevertArmed) and event.host == "web2"] == [60]
    assert any("puts itself back 60 s" in event.line for event in farm.told if isinstance(event, HostSaid))
    assert farm.world.silence("web2")
    assert not farm.world.silence("web1")
    assert _seen(farm.web2.machine) == before


def test_a_server_that_cannot_be_told_to_keep_it_gets_no_client(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    state = farm.web2

    def watch(event: Event) -> None:
        step = getattr(getattr(event, "result", None), "step", "")
        if step.startswith("destination") and step.endswith("web2") and event.host == DIRECTOR:
            state.ssh = False  # sshd dies while the VIP answers through it

    engine = farm.engine()
    result = engine.apply(farm.deployment, engine.plan(farm.deployment, engine.observe(farm.deployment)), watch)
    assert not result.ok
    outcomes = {step.step: step.outcome for host in result.hosts for step in host.steps}
    assert outcomes["weight 10.0.0.10 tcp/80 web2"] is Outcome.HELD
    assert set(farm.world.requests(6)) <= {"web1", ""}
    assert farm.world.silence("web2")


def test_stopped_before_the_probe_it_goes_back_unless_the_next_run_proves_it(tmp_path: Path) -> None:
    for next_run in (True, False):
        farm = Farm(tmp_path / str(next_run))
        before = _seen(farm.web2.machine)
        engine, stop = farm.engine(), threading.Event()

        def watch(event: Event, farm: Farm = farm, stop: threading.Event = stop) -> None:
            farm.told.append(event)
            if isinstance(event, RevertArmed) and event.host == "web2":
                stop.set()

        plan = engine.plan(farm.deployment, engine.observe(farm.deployment))
        engine.apply(farm.deployment, plan, watch, stop)
        assert any("puts itself back 60 s" in event.line for event in farm.told if isinstance(event, HostSaid))
        assert any("puts itself back in 60 s" in note for note in farm.notes())
        assert not next_run or farm.apply().ok
        assert farm.world.silence("web2") is not next_run
        assert (_seen(farm.web2.machine) == before) is not next_run


def test_it_can_be_turned_off_and_a_teardown_arms_nothing(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    engine = farm.engine()
    engine.revert_after = 0
    engine.apply(farm.deployment, engine.plan(farm.deployment, engine.observe(farm.deployment)), farm.told.append)
    farm.teardown()
    assert not [event for event in farm.told if isinstance(event, RevertArmed)]


def test_a_host_that_cannot_put_itself_back_is_not_changed(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    farm.web2.cannot_arm = True
    before = _seen(farm.web2.machine)
    result = farm.apply()
    failed = next(host for host in result.hosts if host.host == "web2")
    assert {step.outcome for step in failed.steps} == {Outcome.NOT_ATTEMPTED}
    assert _seen(farm.web2.machine) == before


def test_what_a_server_took_back_is_owed_no_more(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    farm.web2.cut = at("persistence", 0, "before")
    farm.apply()
    farm.world.silence("web2")
    farm.web2.reachable = True
    farm.web2.cut = lambda step, change, moment: False
    report = farm.engine().verify(farm.deployment)
    (missing,) = [check for check in report.failures if check.cause == "vip-missing"]
    assert "It put itself back at" in missing.evidence
    farm.web2.fails["guard"] = "sysctl: permission denied"
    farm.apply()
    farm.web2.machine.links["lo"].addresses["10.0.0.10"] = 32  # somebody's own, from now on
    farm.teardown()
    assert farm.web2.machine.holds("10.0.0.10") == "lo"


def test_the_note_of_it_goes_with_the_next_run_also_where_that_changes_nothing_there(tmp_path: Path) -> None:
    farm = Farm(tmp_path / "apply")
    assert farm.apply().ok
    farm.web2.reverted = 1_790_000_000  # somebody has set by hand what the server took back
    assert farm.apply().changed == 0
    assert farm.notes() == ()
    farm = Farm(tmp_path / "teardown")
    farm.web2.cut = at("guard", 0, "before")
    farm.apply()
    farm.world.silence("web2")
    farm.web2.reachable = True
    assert farm.web2.reverted
    assert farm.teardown().ok
    assert not farm.web2.reverted


def test_the_screen_counts_down_from_the_last_sign_of_life() -> None:
    runs = HostRuns()
    runs.take(HostStarted(host="web1", at=0.0, steps=2))
    runs.take(RevertArmed(host="web1", at=1.0, seconds=60.0))
    runs.take(StepStarted(host="web1", at=2.0, step="guard", title="Guard", number=1, of=2))
    assert _row_of(runs, 21.0).endswith("web1 puts itself back in 41 s unless proved")
    runs.take(StepStarted(host="web1", at=22.0, step="vip", title="VIP", number=2, of=2))
    assert _row_of(runs, 22.0).endswith("web1 puts itself back in 60 s unless proved")
    assert _row_of(runs, 90.0).endswith("web1 put itself back")
    runs.take(RevertOff(host="web1", at=30.0))
    assert "back" not in _row_of(runs, 31.0)


def _row_of(runs: HostRuns, now: float) -> str:
    (row,) = runs.rows(now)
    return row.text
