"""The guard that the deployment file asks for: its unit is planned, started, renewed, and taken away again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.intake.deployment_file import FileRefused, dumps, loads
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.guarding import guard_files, guard_unit
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.engine.engine import Engine
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World

FILE, UNIT, LINK = guard_files("shop")


class Asked:
    """A director with systemd, and a deployment that asks for a guard."""

    def __init__(self, folder: Path, boot: DirectorBoot | None = None) -> None:
        self.world, self.folder = World.lab(2), folder
        self.world.boot = boot or DirectorBoot(systemd=True, program=("/opt/dsr wizard/bin/dsrwizard",))
        self.deployment = self.asking()

    def asking(self, *, guard: bool = True, floor: int = 50) -> Deployment:
        plain = self.world.deployment()
        director = msgspec.structs.replace(plain.director, guard=guard, guard_floor=floor)
        return msgspec.structs.replace(plain, director=director)

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), self.folder)

    def steps(self, deployment: Deployment) -> list[Step]:
        engine = self.engine()
        plan = engine.plan(deployment, engine.observe(deployment))
        steps = [step for host in plan.hosts if host.host == DIRECTOR for step in host.steps]
        return [step for step in steps if step.purpose == "guard-service"]

    def apply(self, deployment: Deployment) -> RunResult:
        engine = self.engine()
        return engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)

    @property
    def files(self) -> dict[str, str]:
        found = self.world.machine.files
        return {path: found[path].target or found[path].content for path in (FILE, UNIT, LINK) if path in found}


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_apply_writes_the_unit_and_its_file_and_starts_it_and_a_teardown_takes_all_of_it_back(asked: Asked) -> None:
    before = dict(asked.world.machine.files)
    assert asked.apply(asked.deployment).ok
    assert asked.files[LINK] == UNIT
    assert 'ExecStart="/opt/dsr wizard/bin/dsrwizard" guard ' + FILE in asked.files[UNIT]
    assert loads(asked.files[FILE]) == asked.deployment
    assert asked.world.running == [guard_unit("shop")]
    assert asked.steps(asked.deployment) == []
    engine = asked.engine()
    assert engine.teardown(asked.deployment, engine.teardown_plan(asked.deployment), lambda event: None).ok
    assert asked.world.machine.files == before
    assert not asked.world.guarded


def test_another_floor_or_server_renews_its_file_and_starts_it_anew(asked: Asked) -> None:
    assert asked.apply(asked.deployment).ok
    changed = asked.asking(floor=30)
    (step,) = asked.steps(changed)
    assert step.title == "Run the guard as a systemd unit"
    assert asked.apply(changed).ok
    assert loads(asked.files[FILE]).director.guard_floor == 30
    assert len(asked.world.running) == 2


def test_a_guard_that_died_is_started_again_by_the_next_apply(asked: Asked) -> None:
    assert asked.apply(asked.deployment).ok
    asked.world.guarded = False
    assert len(asked.steps(asked.deployment)) == 1
    assert asked.apply(asked.deployment).ok
    assert asked.world.guarded


def test_a_file_that_asks_for_none_any_more_takes_it_away(asked: Asked) -> None:
    assert asked.apply(asked.deployment).ok
    plain = asked.asking(guard=False)
    (step,) = asked.steps(plain)
    assert step.title == "Remove the guard's systemd unit"
    assert asked.apply(plain).ok
    assert asked.files == {}
    assert not asked.world.guarded
    assert asked.steps(plain) == []


@pytest.mark.parametrize(
    ("boot", "why"),
    [
        (DirectorBoot(), "This machine does not run systemd."),
        (DirectorBoot(systemd=True, writable=False), "Only root may"),
    ],
)
def test_where_no_unit_can_be_written_it_is_said_what_has_to_run(tmp_path: Path, boot: DirectorBoot, why: str) -> None:
    asked = Asked(tmp_path, boot)
    engine = asked.engine()
    plan = engine.plan(asked.deployment, engine.observe(asked.deployment))
    (note,) = [one for host in plan.hosts for one in host.notes if "guard" in one]
    assert why in note
    assert note.endswith("Have this run all the time: dsrwizard guard FILE")
    assert asked.steps(asked.deployment) == []


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('engine = "external"\nguard = true', "A guard needs IPVS on this machine."),
        ("guard = true\nguard_floor = 0", "0 is not a share in per cent."),
        ("guard_floor = 101", "101 is not a share in per cent."),
        ('guard = "yes"', "true or false"),
    ],
)
def test_what_cannot_be_is_refused_with_its_place(asked: Asked, lines: str, said: str) -> None:
    text = dumps(asked.asking(guard=False)).replace('interface = "eth0"', f'interface = "eth0"\n{lines}', 1)
    with pytest.raises(FileRefused, match="director") as refused:
        loads(text)
    assert said in str(refused.value)
