"""Two runs at once, in processes of their own: the farm and the journals end as after one run and then the other."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.record.owed import identity, in_force, owed
from dsrwizard.engine.journal import Journals
from tests.fakes.engine import engine_of
from tests.fakes.farm_process import Farm, Worker, run
from tests.fakes.operator import Nobody
from tests.fakes.world import World

LAB = World.lab()
SHOP = LAB.deployment()
FEWER = msgspec.structs.replace(SHOP, servers=SHOP.servers[:2])
MAIL = LAB.deployment(vip="10.0.0.11", name="mail", services=(Service(port=80),))
FILES = {"shop": SHOP, "fewer": FEWER, "mail": MAIL}


class Act(NamedTuple):
    """What one operator does."""

    verb: str
    file: str
    user: str = "root"

    def __str__(self) -> str:
        return f"{self.verb} {self.file} by {self.user}"


APPLY, FEW, TEARDOWN, DRAIN, BACK = (
    Act("apply", "shop"), Act("apply", "fewer"), Act("teardown", "shop"), Act("drain", "shop"), Act("roll-back", "shop")
)  # fmt: skip
MAIL_APPLY, MAIL_TEARDOWN = Act("apply", "mail"), Act("teardown", "mail")
OTHER_USER = Act("apply", "mail", "ops")
PAIRS = {
    "two applies": ((), APPLY, APPLY),
    "apply and teardown, nothing there": ((), APPLY, TEARDOWN),
    "apply and teardown, in force": ((APPLY,), APPLY, TEARDOWN),
    "an edited file and teardown": ((APPLY,), FEW, TEARDOWN),
    "an edited file and the former one": ((APPLY,), FEW, APPLY),
    "two teardowns": ((APPLY,), TEARDOWN, TEARDOWN),
    "apply and a drain from the live view": ((APPLY,), FEW, DRAIN),
    "teardown and a drain": ((APPLY,), TEARDOWN, DRAIN),
    "teardown and a rollback": ((APPLY,), TEARDOWN, BACK),
    "two deployments on the same servers": ((), APPLY, MAIL_APPLY),
    "one comes as another goes": ((MAIL_APPLY,), APPLY, MAIL_TEARDOWN),
    "two deployments go": ((APPLY, MAIL_APPLY), TEARDOWN, MAIL_TEARDOWN),
    "two users": ((), APPLY, OTHER_USER),
    "two users, one comes and one goes": ((APPLY,), TEARDOWN, OTHER_USER),
}  # fmt: skip


def files(folder: Path) -> dict[str, Path]:
    for name, deployment in FILES.items():
        (folder / f"{name}.toml").write_text(dumps(deployment))
    return {name: folder / f"{name}.toml" for name in FILES}


def state(world: World, folder: Path) -> object:
    """Everything that two orders of runs may differ in: director, servers, and what the journals add up to."""
    services = {
        (service.key, service.state, destination.address, destination.state)
        for service in world.ipvs.services()
        for destination in service.destinations
    }
    machines = [
        (one.name, one.interfaces(), dict(one.sysctls), dict(one.files))
        for one in (world.machine, *(server.machine for server in world.servers.values()))
    ]
    books = {}
    for user in ("root", "ops"):
        for name in ("shop", "mail"):
            entries = Journals(folder / user).of(name).entries()
            left = {(item.host, identity(item.change), str(item.change.old), item.certain) for item in owed(entries)}
            books[user, name] = (in_force(entries), left)
    return services, machines, books


def serial(folder: Path, acts: tuple[Act, ...]) -> tuple[object, list[bool]]:
    """The state after these runs one after the other, and which of them said that it is so."""
    folder.mkdir()
    world, paths = World.lab(), files(folder)
    said = []
    for act in acts:
        engine = engine_of(world, Nobody(), folder / act.user)
        said.append(bool(run(engine, act.verb, paths[act.file], 0)["ok"]))
        engine.close()
    return state(world, folder), said


class Race:
    """Two workers on one farm."""

    def __init__(self, folder: Path, workers: list[Worker], before: tuple[Act, ...], seed: int) -> None:
        self.folder = folder
        self.workers = workers
        folder.mkdir()
        self.chance = random.Random(seed)
        self.farm = Farm(folder / "socket", lambda: 0.0)
        self.files = files(folder)
        self.shared = folder / "lock"
        self.shared.mkdir()
        for act in before:
            self.begin(0, act, 0.0)
            assert self.workers[0].result()["ok"]
        self.farm.pause = lambda: self.chance.uniform(0, 0.008)

    def begin(self, worker: int, act: Act, wait: float) -> None:
        journals = self.folder / act.user
        self.workers[worker].begin(self.folder / "socket", act.verb, self.files[act.file], journals, self.shared, wait)

    def both(self, first: Act, second: Act, later: float, wait: float) -> list[dict[str, Any]]:
        self.begin(0, first, wait)
        if later:
            time.sleep(later)  # the offset is what is tried; nothing is waited for
        self.begin(1, second, wait)
        return [worker.result() for worker in self.workers]

    def close(self) -> None:
        self.farm.close()


@pytest.fixture(scope="module")
def workers() -> Iterator[list[Worker]]:
    made = [Worker(), Worker()]
    yield made
    for worker in made:
        worker.end()


EVERY = pytest.mark.exhaustive


@pytest.mark.parametrize("later", [0.1, pytest.param(0.0, marks=EVERY), pytest.param(0.25, marks=EVERY)])
@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("wait", [0.0, 60.0], ids=["refused", "waits"])
def test_two_runs_at_once_end_as_one_after_the_other(
    tmp_path: Path,
    workers: list[Worker],
    record_property: Callable[[str, object], None],
    pair: str,
    wait: float,
    later: float,
) -> None:
    before, first, second = PAIRS[pair]
    race = Race(tmp_path / "race", workers, before, int(later * 100))
    try:
        results = race.both(first, second, later, wait)
        ran = [act for act, result in zip((first, second), results, strict=True) if result.get("kind") != "locked"]
        assert ran, results
        if wait and not {first.verb, second.verb} & {"drain", "roll-back"}:  # in the screens a key tries again
            assert len(ran) == 2, results
        for result in results:
            if result.get("kind") == "locked":
                assert "has been running since" in result["said"], result
                assert any(f"pid {worker.pid}" in result["said"] for worker in race.workers), result
        now = state(race.farm.world, race.folder)
        said = [bool(one["ok"]) for one in results if one.get("kind") != "locked"]
        orders = []
        for turn, order in enumerate(permutations(range(len(ran)))):
            after, spoke = serial(tmp_path / f"serial{turn}", (*before, *(ran[at] for at in order)))
            orders.append((after, [spoke[len(before) + order.index(at)] for at in range(len(ran))]))
        assert (now, said) in orders, f"{first} and {second}, {later} s later: {results}"
    finally:
        race.close()
    record_property("orders", f"{pair}, {later} s, {wait}")  # counted at the end of the run: tests/conftest.py
