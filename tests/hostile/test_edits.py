"""Whatever an operator edits in the file, and whatever becomes of the machines meanwhile: no client meets a server
without the VIP, a second plan is empty, and the teardown leaves every machine as it was.

A case is a farm with an apply in force and some rounds of edits, each followed by an apply: servers renamed, names
swapped or passed round, addresses changed, added or swapped, servers removed and put back, installed anew, copied from
another's image, given a new machine-id, rebooted.
"""

from __future__ import annotations

import copy
import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

import msgspec

from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.steps import Plan
from dsrwizard.engine.engine import Engine
from tests.fakes.engine import engine_of
from tests.fakes.host import linux_sysctls
from tests.fakes.operator import Nobody
from tests.fakes.server_state import ServerState
from tests.fakes.world import World
from tests.hostile.conftest import Tally

VIP = "10.0.0.10"
ROUNDS = 3


class Watched(list[Any]):
    """What is done in the world; after each step it is looked whether a server with a weight has lost the VIP."""

    def __init__(self, look: Callable[[], None]) -> None:
        super().__init__()
        self._look = look

    def extend(self, items: Iterable[Any]) -> None:
        super().extend(items)
        self._look()


@dataclass
class Farm:
    """Five machines, some of them in the file, and what each was like before dsrwizard came."""

    folder: Path
    seed: int
    world: World = field(default_factory=lambda: World.lab(5))
    names: dict[str, str] = field(default_factory=dict)
    """Machine → its name in the file, in the file's order."""
    broken: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    """Machines that something happened to since the last apply."""
    made: list[str] = field(default_factory=list)
    installed: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.names = {name: name for name in ("web1", "web2", "web3")}
        self.former = {name: self.state(name) for name in self.world.servers}
        self.director = copy.deepcopy(self.world.machine.interfaces()), dict(self.world.machine.sysctls)
        self.world.done = Watched(self.look)

    # -- the world

    def state(self, name: str) -> object:
        machine = self.world.servers[name].machine
        return copy.deepcopy((machine.links["lo"].addresses, machine.sysctls, machine.files))

    def without_vip(self) -> set[str]:
        """Addresses that the director sends clients to, of machines that lack the VIP or are mute about nothing."""
        found = set()
        for service in self.world.ipvs.services():
            for one in service.destinations:
                state = self.world.at(one.address)
                if one.state.weight > 0 and state is not None and not self.serves(state):
                    found.add(one.address)
        return found

    def serves(self, state: ServerState) -> bool:
        return state.machine.holds(VIP) is not None and not state.machine.answers_arp(VIP)

    def look(self) -> None:
        broken = self.without_vip()
        self.lost += sorted(broken - self.broken)
        self.broken &= broken

    def other(self, among: Iterable[str]) -> str:
        return self.random.choice(sorted(set(among) - self.touched))

    # -- the edits; each says what it did

    def rename(self) -> str:
        name = self.random.choice(list(self.names))
        self.names[name] = f"srv{self.random.randrange(10_000)}"
        return f"{name} called {self.names[name]}"

    def swap(self) -> str:
        return self.turn(2)

    def ring(self) -> str:
        return self.turn(3)

    def turn(self, count: int) -> str:
        chosen = self.random.sample(list(self.names), count)
        called = [self.names[one] for one in chosen]
        self.names |= dict(zip(chosen, called[1:] + called[:1], strict=True))
        return f"names passed round: {', '.join(chosen)}"

    def shuffle(self) -> str:
        order = list(self.names.items())
        self.random.shuffle(order)
        self.names = dict(order)
        return "the file's order"

    def told_apart(self) -> list[str]:
        """Servers with a machine-id of their own: copies are told apart by address, and keep theirs."""
        ids = Counter(state.machine.machine_id for state in self.world.servers.values())
        return [name for name in self.names if ids[self.world.servers[name].machine.machine_id] == 1]

    def moved(self) -> str:
        return self.address(keep=False)

    def added(self) -> str:
        return self.address(keep=True)

    def address(self, *, keep: bool) -> str:
        name = self.other(self.told_apart())
        new = f"10.0.0.{self.random.randrange(120, 250)}"
        if self.world.at(new) is not None:
            return self.rename()
        self.touched.add(name)
        state = self.world.servers[name]
        self.give(state, (*state.rips, new) if keep else (new,))
        return f"{name} at {new}{' too' if keep else ''}"

    def give(self, state: ServerState, rips: tuple[str, ...]) -> None:
        state.rips = rips
        state.machine.links["eth0"].addresses = dict.fromkeys(rips, 24)

    def swapped(self) -> str:
        one = self.other(self.told_apart())
        self.touched.add(one)
        other = self.other(self.told_apart())
        self.touched.add(other)
        first, second = self.world.servers[one], self.world.servers[other]
        rips = first.rips, second.rips
        self.give(first, rips[1])
        self.give(second, rips[0])
        return f"{one} and {other} have each other's addresses"

    def remove(self) -> str:
        name = self.other(self.names)
        if len(self.names) < 3:
            return self.rename()
        self.touched.add(name)
        del self.names[name]
        return f"{name} removed"

    def add(self) -> str:
        name = self.other(set(self.world.servers) - set(self.names))
        self.touched.add(name)
        self.names[name] = name if name not in self.names.values() else f"{name}-again{self.random.randrange(100)}"
        return f"{name} put in"

    def reinstall(self) -> str:
        name = self.other(self.names)
        self.touched.add(name)
        self.installed += 1
        machine = self.world.servers[name].machine
        machine.links["lo"].addresses = {"127.0.0.1": 8, "::1": 128}
        machine.sysctls, machine.files = linux_sysctls("lo", "eth0"), {}
        machine.machine_id = uuid5(NAMESPACE_OID, f"{name} {self.seed} {self.installed}").hex
        self.booted(name)
        self.former[name] = self.state(name)
        return f"{name} installed anew"

    def clone(self) -> str:
        source = self.other(self.names)
        self.touched.add(source)
        name = self.other(set(self.world.servers) - set(self.names))
        self.touched.add(name)
        model, machine = self.world.servers[source].machine, self.world.servers[name].machine
        machine.links["lo"].addresses = dict(model.links["lo"].addresses)
        machine.sysctls, machine.files = dict(model.sysctls), dict(model.files)
        machine.machine_id = model.machine_id
        self.booted(name)
        self.former[name] = self.state(name)
        self.names[name] = f"copy{self.random.randrange(10_000)}"
        return f"{name} put in, a copy of {source}"

    def regenerate(self) -> str:
        name = self.other(self.names)
        self.touched.add(name)
        self.installed += 1
        self.world.servers[name].machine.machine_id = uuid5(NAMESPACE_OID, f"new {self.seed} {self.installed}").hex
        return f"{name} has a new machine-id"

    def reboot(self) -> str:
        name = self.random.choice(list(self.names))
        self.booted(name)
        return f"{name} rebooted"

    def booted(self, name: str) -> None:
        self.installed += 1
        self.world.servers[name].machine.boot_id = str(uuid5(NAMESPACE_OID, f"boot {self.seed} {self.installed}"))

    def edit(self) -> None:
        """One edit, at random among those that can be made."""
        edits = [
            self.rename, self.swap, self.ring, self.shuffle, self.moved, self.added, self.swapped, self.remove,
            self.add, self.reinstall, self.clone, self.regenerate, self.reboot,
        ]  # fmt: skip
        while True:
            before = set(self.touched)
            try:
                self.made.append(self.random.choice(edits)())
                return
            except (IndexError, ValueError):  # nobody left to do it to
                self.touched = before

    # -- the product

    def deployment(self) -> Deployment:
        servers = tuple(
            RealServer(name=name, address=self.world.servers[machine].rips[-1], user="root")
            for machine, name in self.names.items()
        )
        return msgspec.structs.replace(self.world.deployment(), servers=servers)

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), self.folder)

    def plan(self) -> Plan:
        deployment, engine = self.deployment(), self.engine()
        return engine.plan(deployment, engine.observe(deployment))

    def apply(self) -> None:
        deployment, engine = self.deployment(), self.engine()
        self.broken = self.without_vip()
        made = engine.plan(deployment, engine.observe(deployment))
        self.says_one_thing(made)
        result = engine.apply(deployment, made, lambda event: None)
        problems = [host.problem for host in made.hosts if host.problem]
        assert result.ok, (problems, [host.failure for host in result.hosts if host.failure])
        assert not self.lost, f"the VIP was taken from {self.lost}, which got clients"
        assert not self.without_vip()
        self.touched.clear()

    def says_one_thing(self, made: Plan) -> None:
        """What is drained or removed is not said to stay."""
        going = {change.address for step in made.steps for change in step.changes if hasattr(change, "service")
                 and hasattr(change, "address") and change.new is None}  # fmt: skip
        staying = {note.split()[0] for host in made.hosts for note in host.notes if "left unchanged" in note}
        assert not going & staying

    def served(self) -> None:
        weights = {
            one.address: one.state.weight for service in self.world.ipvs.services() for one in service.destinations
        }
        assert weights == {server.address: 1 for server in self.deployment().servers}
        answered = self.world.requests(2 * len(weights))
        assert set(answered) == set(self.names), answered
        again = self.plan()
        assert [step.title for step in again.steps] == []
        assert not [host.problem for host in again.hosts if host.problem]
        for name in set(self.world.servers) - set(self.names):
            assert self.state(name) == self.former[name], f"{name} is not as it was"

    def teardown(self) -> None:
        deployment, engine = self.deployment(), self.engine()
        self.broken = self.without_vip()
        result = engine.teardown(deployment, engine.teardown_plan(deployment), lambda event: None)
        assert result.ok, [host.failure for host in result.hosts if host.failure]
        assert not self.lost, f"the VIP was taken from {self.lost}, which got clients"
        for name, before in self.former.items():
            assert self.state(name) == before, f"{name} is not as it was"
        assert (self.world.machine.interfaces(), self.world.machine.sysctls) == self.director
        assert not self.world.ipvs.services()
        assert not self.engine().teardown_plan(deployment).steps


def case(folder: Path, seed: int) -> None:
    farm = Farm(folder, seed)
    farm.apply()
    try:
        for _ in range(farm.random.randrange(1, ROUNDS + 1)):
            for _ in range(farm.random.randrange(1, 4)):
                farm.edit()
            farm.made.append("apply")
            farm.apply()
            farm.served()
        farm.made.append("teardown")
        farm.teardown()
    except AssertionError as error:
        raise AssertionError(f"after {'; '.join(farm.made)}: {error}") from error


def test_any_edit_of_the_file_is_planned_right(
    tmp_path: Path, tally: Callable[[str], Tally], scale: Callable[[int, int], int]
) -> None:
    counted = tally("edits of the file")
    for seed in range(scale(60, 1000)):
        with counted.case(f"seed {seed}"):
            case(tmp_path / str(seed), seed)
    counted.settle()
