"""One connection per host: shared by threads that overlap, and opened again when it has died while idle."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from dsrwizard.core.model.changes import SysctlChange
from dsrwizard.core.model.deployment import Client, Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import ConnectionLost, ConnectionRefused
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import HostPlan, Plan, Step
from dsrwizard.core.ports import Answer, OnLine
from dsrwizard.core.record.owed import owed
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.locks import Lease
from dsrwizard.engine.servers.linux import LinuxServer
from tests.fakes.operator import Nobody
from tests.fakes.step_watch import Told
from tests.fakes.world import World

SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0", engine="external"),
    vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
    servers=(RealServer(name="web1", address="10.0.0.101"),),
)
GUARD = Step(
    id="guard", host="web1", phase="guard", title="Guard", why="",
    changes=(SysctlChange(key="net.ipv4.conf.all.arp_ignore", old="0", new="1"),),
)  # fmt: skip


class Machine:
    """A host that can be dialled; each connection to it lives until the machine or the caller ends it."""

    def __init__(self) -> None:
        self.dialled = 0
        self.open: list[Connection] = []
        self.sshd = True
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Event()
        self.go_on.set()

    def dial(self) -> Connection:
        if not self.sshd:
            raise ConnectionRefused("web1 refuses the connection.", "Nothing listens on port 22.", "Start sshd.")
        self.dialled += 1
        self.open.append(Connection(self))
        return self.open[-1]

    def die(self) -> None:
        """What is open breaks: a reboot, or sshd killed with its children."""
        self.open.clear()


class Connection:
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        self._machine.begun.release()
        self._machine.go_on.wait(30)
        if self not in self._machine.open:
            lost = ConnectionLost("web1: the connection was lost.", "The script was not started.", "Connect again.")
            lost.begun = False
            raise lost
        nonce = script.partition("m='==dsr:")[2].partition("'")[0]
        lines = [f"==dsr:{nonce}:begin==", f"==dsr:{nonce}:addr==", "[]", f"==dsr:{nonce}:end=="]
        if ":start:" in script:
            lines = [f"==dsr:{nonce}:start:1==", f"==dsr:{nonce}:done:1==", *lines]
        for line in lines:
            if on_line is not None:
                on_line(line)
        return Answer(status=0, stdout="\n".join(lines), stderr="")

    def close(self) -> None:
        if self in self._machine.open:
            self._machine.open.remove(self)


def side_by_side(*work: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    return threads


def test_a_look_nobody_waits_for_shares_the_connection_and_does_not_disturb_an_apply() -> None:
    machine = Machine()
    server = LinuxServer(SHOP.servers[0], machine.dial)
    machine.go_on.clear()
    told = Told()
    looks = side_by_side(lambda: server.observe(SHOP))
    assert machine.begun.acquire(timeout=30)
    looks += side_by_side(lambda: server.apply([GUARD], told))
    assert not machine.begun.acquire(timeout=0.2)  # the apply waits for its turn
    machine.go_on.set()
    for look in looks:
        look.join(30)
    assert told.ends == [("guard", True, "")]
    assert machine.dialled == 1


def test_a_connection_that_died_while_idle_is_opened_again() -> None:
    machine = Machine()
    server = LinuxServer(SHOP.servers[0], machine.dial)
    server.observe(SHOP)
    machine.die()
    assert server.observe(SHOP).host == "web1"
    assert machine.dialled == 2


def test_a_connection_that_died_just_before_the_apply_is_opened_again_for_it() -> None:
    machine = Machine()
    server = LinuxServer(SHOP.servers[0], machine.dial)
    server.observe(SHOP)
    machine.die()
    told = Told()
    server.apply([GUARD], told)
    assert told.ends == [("guard", True, "")]
    assert machine.dialled == 2


def test_an_sshd_that_died_since_the_look_is_told_and_nothing_is_claimed(tmp_path: Path) -> None:
    machine = Machine()
    world = World.lab(1)
    engine = Engine(
        director=lambda interface: world.director(),
        wire=world.wire(),
        connect=lambda host, target, asker: machine.dial(),
        asker=Nobody(),
        journals=Journals(tmp_path),
    )
    engine.observe(SHOP)
    machine.die()
    machine.sshd = False
    plan = Plan(deployment="shop", hosts=(HostPlan(host="web1", steps=(GUARD,)),))
    (web1,) = engine.apply(SHOP, plan, lambda event: None, None, Lease()).hosts
    assert web1.outcome is Outcome.FAILED
    assert web1.failure is not None
    assert web1.failure.kind == "refused"
    assert [step.outcome for step in web1.steps] == [Outcome.NOT_ATTEMPTED]
    assert not engine.in_force("shop")
    assert owed(Journals(tmp_path).of("shop").entries()) == []


def test_the_client_hosts_connection_is_opened_again_when_it_has_died(tmp_path: Path) -> None:
    machine = Machine()
    world = World.lab(1)
    engine = Engine(
        director=lambda interface: world.director(),
        wire=world.wire(),
        connect=lambda host, target, asker: machine.dial(),
        asker=Nobody(),
        journals=Journals(tmp_path),
    )
    client = Client(address="203.0.113.10")
    assert engine.test_client(client) is None
    assert engine.test_client(client) is None
    assert machine.dialled == 1
    machine.die()
    assert engine.test_client(client) is None
    assert machine.dialled == 2
    machine.die()
    machine.sshd = False
    failure = engine.test_client(client)
    assert failure is not None
    assert failure.kind == "refused"
    machine.sshd = True
    assert engine.test_client(client) is None
    engine.close()
    assert machine.open == []
