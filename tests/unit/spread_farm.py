"""This director, lb2 and lb3, which announce the VIPs by BGP and are set up from here: in memory but for SSH alone."""

from __future__ import annotations

import base64
import re
from contextlib import nullcontext
from pathlib import Path

import msgspec

from dsrwizard import __version__
from dsrwizard.core.dialects.other_director.asking import END, read_order
from dsrwizard.core.model.bird import BIRD_CONF, BirdFacts
from dsrwizard.core.model.changes import DestinationState, ServiceKey
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import PeerDirector, RealServer
from dsrwizard.core.model.errors import Locked
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.steps import DIRECTOR, Plan
from dsrwizard.core.ports import Answer, Asker, OnLine, ServerPort
from dsrwizard.engine.asked import answered
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.servers.linux import LinuxServer
from tests.fakes.engine import engine_of
from tests.fakes.linux_host import FakeLinuxHost
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.unit.test_bgp import THEIRS, VIP, Spread

HTTP = ServiceKey(VIP, "tcp", 80)
DIRECTORS = ("lb2", "lb3")


def director_world(number: int) -> World:
    """A machine with systemd, BIRD and dsrwizard, which sees the same real servers."""
    world = World.lab(2)
    world.boot = DirectorBoot(systemd=True, program=("/usr/bin/dsrwizard",))
    world.bird = BirdFacts(version="2.0.12", systemd=True, enabled=True, running=True)
    machine = world.machine
    machine.name, machine.machine_id = f"lb{number}", f"{number:032x}"
    machine.links["eth0"].addresses = {f"10.0.0.{number + 1}": 24}
    machine.files[BIRD_CONF] = THEIRS
    return world


class OverSsh:
    """A Connector to another director: dsrwizard there answers, and the shell what a real server's would."""

    def __init__(self, there: World, shell: FakeLinuxHost, log: list[str]) -> None:
        self._there, self._shell, self._log = there, shell, log
        self.version, self.installed = __version__, True
        self.locked = False

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        asked = re.search(rf'"\$p" answer (\w+)\n(.*?)\n{END}\n', script, re.DOTALL)
        if asked is None:
            return self._shell.run(script, deadline=deadline, on_line=on_line)
        order = read_order(base64.b64decode(asked[2]))
        lines: list[str] = []

        def say(line: str) -> None:
            lines.append(line)
            if on_line is not None:
                on_line(line)

        def hold() -> nullcontext[None]:
            if self.locked:
                raise Locked("Another run is under way.")
            return nullcontext()

        if not self.installed:
            say(f"==dsr:{order.nonce}:absent==")
            return Answer(status=0, stdout="\n".join(lines), stderr="")
        if asked[1] == "steps":
            self._log.append(f"{self._there.machine.name} {' '.join(step.id for step in order.steps)}")
        answered(
            "steps" if asked[1] == "steps" else "look", order, self.version, self._there.director(), hold, say,
            lambda facts: lines.append(msgspec.json.encode(facts).decode()),
        )  # fmt: skip
        return Answer(status=0, stdout="\n".join(lines), stderr="")

    def close(self) -> None:
        self._shell.close()


class AllThree(Spread):
    """This director, lb2 and lb3."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.log: list[str] = []
        self.worlds = {"lb2": director_world(2), "lb3": director_world(3)}
        self.doors: dict[str, OverSsh] = {}
        peers = tuple(PeerDirector(name=name, address=f"10.0.0.{at}") for at, name in enumerate(DIRECTORS, 3))
        self.deployment = msgspec.structs.replace(
            self.deployment, director=msgspec.structs.replace(self.deployment.director, peers=peers)
        )
        for name, there in self.worlds.items():
            state = self.world.add_server(
                name, "10.0.0.3" if name == "lb2" else "10.0.0.4", f"02:00:0a:00:00:0{name[2]}"
            )
            state.machine = there.machine
            self.doors[name] = OverSsh(there, FakeLinuxHost(self.world, state, lambda text: text), self.log)

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), self.folder / "journal", open_server=self._open)

    def _open(self, server: RealServer, asker: Asker) -> ServerPort:
        if server.name in self.doors:
            return LinuxServer(server, lambda: self.doors[server.name])
        return self.world.open_server(server, asker)

    def plan(self) -> Plan:
        engine = self.engine()
        return engine.plan(self.deployment, engine.observe(self.deployment))

    def tables(self) -> dict[str, dict[str, DestinationState]]:
        """Director → RIP → what its table says."""
        every = {DIRECTOR: self.world, **self.worlds}
        return {
            name: {to.address: to.state for one in there.ipvs.services() for to in one.destinations}
            for name, there in every.items()
        }

    def announces(self) -> None:
        """Sessions stand, and guards are at work and announce."""
        state = GuardState(
            deployment="shop", pid=7, since=1.0, at=1.0, every=0.5, floor=50, rounds=9, watchdog=15.0, announces=True
        )
        for there in (self.world, *self.worlds.values()):
            assert there.bird is not None
            there.bird = msgspec.structs.replace(there.bird, state="Established")
            there.guards["shop"], there.guarded = state, True

    def verify(self) -> Report:
        return self.engine().verify(self.deployment)

    def beside(self, name: str) -> list[Check]:
        return [one for one in self.verify().checks if (one.check, one.host) == ("director.beside", name)]
