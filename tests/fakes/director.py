"""The director of a farm in memory: its machine's settings and its IPVS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.answers import Arrival
from dsrwizard.core.model.bird import BIRD_CONF, BirdFacts, bird_file
from dsrwizard.core.model.changes import (
    Change,
    DestinationChange,
    ModuleChange,
    SavedTableChange,
    ServiceChange,
    ServiceKey,
    UnitChange,
)
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.director_facts import DirectorLook, KernelWay
from dsrwizard.core.model.errors import CommandFailed, LookError, NoPrivilege
from dsrwizard.core.model.facts import Connection, DirectorFacts, VirtualService
from dsrwizard.core.model.guarding import GuardState, Holdings, guard_files
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.core.plan.director_boot import files_of
from tests.fakes.host import Refused

if TYPE_CHECKING:
    from tests.fakes.world import World


class FakeDirector:
    """The director of the world (DirectorPort)."""

    def __init__(self, world: World) -> None:
        self._world = world

    def observe(self, deployment: Deployment) -> DirectorFacts:
        world, machine = self._world, self._world.machine
        with world.lock:
            readable = not world.ipvs_problem
            return DirectorFacts(
                privileged=world.privileged,
                hostname=machine.name,
                kernel=machine.kernel,
                machine=machine.machine_id,
                interfaces=machine.interfaces(),
                default_routes=tuple(machine.routes),
                sysctls=dict(machine.sysctls),
                module_loaded="ip_vs" in machine.modules,
                services=world.ipvs.services() if readable else None,
                ipvs_problem=world.ipvs_problem,
                ipvs_next=world.ipvs_next,
                boot=self._boot(deployment),
                guard=world.guards.get(deployment.name),
                guarded=world.guarded,
                keepalived=world.keepalived_seen,
                bird=self._bird(deployment),
            )

    def _bird(self, deployment: Deployment) -> BirdFacts | None:
        files = self._world.machine.files
        if self._world.bird is None:
            return None
        own = files.get(bird_file(deployment.name))
        return msgspec.structs.replace(self._world.bird, conf=files.get(BIRD_CONF), own=own)

    def _boot(self, deployment: Deployment) -> DirectorBoot | None:
        """The world's, with the files of its machine and what was saved of its table."""
        world, boot = self._world, self._world.boot
        if boot is None:
            return None
        kept = world.saved.get(deployment.name)
        states = {(one.key, to.address): to.state for one in world.ipvs.services() for to in one.destinations}
        saved = {(one.key, to.address): to.state for one in kept or () for to in one.destinations}
        older = any(saved.get(place) != state for place, state in states.items())
        paths = (*files_of(deployment.name, boot.networkd), *guard_files(deployment.name))
        return msgspec.structs.replace(
            boot,
            files={path: world.machine.files.get(path) for path in paths},
            saved="missing" if kept is None else "older" if older else "current",
        )

    def ready(self) -> None:
        self._world.ready = True

    def apply(self, step: Step) -> None:
        self._world.pass_gate(DIRECTOR)
        with self._world.lock:
            made: list[Change] = []
            for change in step.changes:
                try:
                    self._change(change)
                except Refused as refused:
                    for earlier in reversed(made):
                        self._change(earlier.inverse())
                    command = commands(change)
                    raise CommandFailed(
                        f"director: {step.title} failed.",
                        f"{command[0] if command else ''}: {refused}".lstrip(": "),
                        "Look again.",
                    ) from refused
                made.append(change)
            self._world.done.extend((DIRECTOR, change) for change in made)

    def look(self, deployment: Deployment, lost: Sequence[Arrival] = ()) -> DirectorLook:
        with self._world.lock:
            world, nic = self._world, deployment.director.interface
            ways, entries = {}, {}
            for state in world.servers.values():
                for rip in state.rips:
                    own = next((a for a in world.machine.links[nic].addresses if (":" in a) == (":" in rip)), "")
                    plain = KernelWay(address=rip, kind="unicast", interface=nic, source=own, table="main")
                    ways[rip] = plain
                    entries[rip] = msgspec.structs.replace(plain, entry="10.0.0.0/24", source="")
            seen = DirectorLook(
                chains=() if world.privileged else None,
                chains_problem="" if world.privileged else "Only root may read the rules of the packet filter.",
                settings={f"net.ipv4.vs.{name}": "0" for name in ("drop_packet", "drop_entry", "am_droprate")},
                ways=ways, entries=entries, sync=(),
            )  # fmt: skip
            return world.looked(seen, lost)

    def services(self) -> Sequence[VirtualService]:
        self._world.pass_gate("dump")
        self._readable()
        with self._world.lock:
            self._world.dumps += 1
            return self._world.ipvs.services()

    def connections(self) -> Sequence[Connection]:
        self._readable()
        with self._world.lock:
            return tuple(self._world.ipvs.connections)

    def save(self, deployment: Deployment) -> None:
        with self._world.lock:
            if deployment.name in self._world.saved:
                self._world.saved[deployment.name] = self._world.ipvs.services()

    def set_weight(self, service: ServiceKey, address: str, port: int, weight: int) -> None:
        self._readable()
        with self._world.lock:
            try:
                self._world.ipvs.set_weight(service, address, port, weight)
            except Refused as refused:
                raise CommandFailed(f"The weight of {address} was not set.", str(refused), "Look again.") from refused

    def holdings(self, deployment: Deployment) -> Holdings:
        vips = {vip.address for vip in deployment.vips}
        here = [address for link in self._world.machine.links.values() for address in link.addresses]
        return Holdings(vips=tuple(one for one in here if one in vips), keepalived=self._world.keepalived_runs)

    def sign(self, name: str, *, up: bool) -> None:
        if not self._world.privileged:
            raise NoPrivilege(f"The dummy interface {name} could not be created.")
        (self._world.signs.add if up else self._world.signs.discard)(name)

    def guard(self, deployment: str) -> GuardState | None:
        return self._world.guards.get(deployment)

    def _readable(self) -> None:
        if self._world.ipvs_problem:
            raise LookError("IPVS cannot be read.", self._world.ipvs_problem, self._world.ipvs_next)

    def _change(self, change: Change) -> None:
        if not self._world.privileged:
            raise Refused("Operation not permitted")
        match change:
            case ServiceChange():
                self._ipvs_there()
                self._world.ipvs.service(change)
            case DestinationChange():
                self._ipvs_there()
                self._world.ipvs.destination(change)
            case SavedTableChange(deployment=name, new=True):
                self._world.saved[name] = self._world.ipvs.services()
            case SavedTableChange(deployment=name):
                del self._world.saved[name]
            case ModuleChange(module="ip_vs", new=True):
                self._world.load_ipvs()
            case UnitChange(of="bird"):
                assert self._world.bird is not None
                if self._world.bird.problem:
                    raise Refused(self._world.bird.problem)
                self._world.bird = msgspec.structs.replace(self._world.bird, running=True)
            case UnitChange(of="service", unit=unit, new="running"):
                if f"/etc/systemd/system/{unit}" not in self._world.machine.files:
                    raise Refused(f"Unit {unit} not found.")
                self._world.running.append(unit)
                self._world.guarded = True
            case UnitChange(of="service"):
                self._world.guarded = False
            case _:
                self._world.machine.change(change)

    def _ipvs_there(self) -> None:
        if self._world.ipvs_problem:
            raise Refused("Can't initialize ipvs: Protocol not available")
