"""Each edit of the file and each fate of a machine: which machine a host is, what is planned, what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.changes import (
    AddressChange,
    DestinationChange,
    ServiceKey,
    SysctlChange,
)
from dsrwizard.core.model.deployment import Deployment, EngineName, RealServer, Service
from dsrwizard.core.model.facts import Observed, ServerFacts
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan
from dsrwizard.core.model.windows_facts import WindowsFacts
from dsrwizard.core.plan.whereabouts import Whereabouts
from dsrwizard.core.record.owed import Owed
from dsrwizard.engine.engine import Engine
from tests.fakes.engine import engine_of
from tests.fakes.host import linux_sysctls
from tests.fakes.operator import Nobody
from tests.fakes.server_state import ServerState
from tests.fakes.world import World

VIP = "10.0.0.10"
WEB = ServiceKey(VIP, "tcp", 80)
MAIL = ServiceKey(VIP, "tcp", 25)


@dataclass
class Farm:
    """Three servers in force and a spare machine."""

    folder: Path
    world: World = field(default_factory=lambda: World.lab(4))
    servers: dict[str, str] = field(default_factory=lambda: {f"web{n}": f"10.0.0.10{n}" for n in (1, 2, 3)})
    """Name in the file → address."""
    name: str = "shop"
    balancer: EngineName = "netlink"

    def deployment(self) -> Deployment:
        servers = tuple(RealServer(name=name, address=address) for name, address in self.servers.items())
        made = self.world.deployment(name=self.name, engine=self.balancer)
        return msgspec.structs.replace(made, servers=servers)

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), self.folder)

    def plan(self) -> Plan:
        wanted, engine = self.deployment(), self.engine()
        return engine.plan(wanted, engine.observe(wanted))

    def back(self) -> Plan:
        return self.engine().teardown_plan(self.deployment())

    def apply(self) -> RunResult:
        wanted, engine = self.deployment(), self.engine()
        return engine.apply(wanted, engine.plan(wanted, engine.observe(wanted)), lambda event: None)

    def teardown(self) -> RunResult:
        wanted, engine = self.deployment(), self.engine()
        return engine.teardown(wanted, engine.teardown_plan(wanted), lambda event: None)

    # -- what becomes of machines

    def machine(self, name: str) -> ServerState:
        return self.world.servers[name]

    def give(self, name: str, *rips: str) -> None:
        state = self.machine(name)
        state.rips = rips
        state.machine.links["eth0"].addresses = dict.fromkeys(rips, 24)

    def fresh(self, name: str) -> None:
        """Installed anew."""
        machine = self.machine(name).machine
        machine.links["lo"].addresses = {"127.0.0.1": 8, "::1": 128}
        machine.sysctls, machine.files = linux_sysctls("lo", "eth0"), {}
        machine.machine_id, machine.boot_id = "f" * 32, "ffffffff-0000-4000-8000-000000000001"

    def copy_of(self, source: str, name: str) -> None:
        model, machine = self.machine(source).machine, self.machine(name).machine
        machine.machine_id = model.machine_id
        machine.files, machine.sysctls = dict(model.files), dict(model.sysctls)
        machine.links["lo"].addresses = dict(model.links["lo"].addresses)


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    made = Farm(tmp_path)
    assert made.apply().ok
    return made


def host(plan: Plan, name: str) -> HostPlan:
    return next(one for one in plan.hosts if one.host == name)


def titles(plan: Plan) -> dict[str, list[str]]:
    return {one.host: [step.title for step in one.steps] for one in plan.hosts if one.steps}


def said(plan: Plan, name: str) -> str:
    return " ".join(host(plan, name).notes)


DRAINED = [
    "Drain web1 in 10.0.0.10 tcp/80: weight 1 → 0",
    "Undo: web1 (10.0.0.101) behind 10.0.0.10 tcp/80, direct, weight 0",
]


def added(name: str, address: str) -> list[str]:
    return [
        f"{name} ({address}) behind 10.0.0.10 tcp/80, direct, weight 0",
        f"Weight 1 for {name} in 10.0.0.10 tcp/80, once proved",
    ]


# --- names and addresses ---------------------------------------------------------------------------------------------


def renamed(farm: Farm) -> None:
    farm.servers = {"www1": "10.0.0.101", "web2": "10.0.0.102", "web3": "10.0.0.103"}


def names_swapped(farm: Farm) -> None:
    farm.servers = {"web1": "10.0.0.103", "web2": "10.0.0.102", "web3": "10.0.0.101"}


def names_in_a_ring(farm: Farm) -> None:
    farm.servers = {"web1": "10.0.0.102", "web2": "10.0.0.103", "web3": "10.0.0.101"}


def machines_swapped(farm: Farm) -> None:
    farm.give("web1", "10.0.0.103")
    farm.give("web3", "10.0.0.101")
    names_swapped(farm)


def another_case(farm: Farm) -> None:
    farm.servers = {"WEB1": "10.0.0.101", "web2": "10.0.0.102", "web3": "10.0.0.103"}


def rebooted(farm: Farm) -> None:
    farm.machine("web1").machine.boot_id = "ffffffff-0000-4000-8000-000000000001"


def no_longer_told(farm: Farm) -> None:
    farm.machine("web1").machine.machine_id = ""
    renamed(farm)


@pytest.mark.parametrize(
    ("edit", "name", "word"),
    [
        (renamed, "www1", "This machine was called web1 before."),
        (names_swapped, "web1", "This machine was called web3 before."),
        (names_in_a_ring, "web3", "This machine was called web1 before."),
        (machines_swapped, "web1", "This machine was web1 (10.0.0.101)"),
        (another_case, "WEB1", "This machine was called web1 before."),
        (no_longer_told, "www1", "This machine was called web1 before."),
        (rebooted, "web1", ""),
    ],
)
def test_what_needs_no_step_gets_none(farm: Farm, edit: Callable[[Farm], None], name: str, word: str) -> None:
    edit(farm)
    plan = farm.plan()
    assert titles(plan) == {}
    assert not [one.problem for one in plan.hosts if one.problem]
    assert word in said(plan, name)
    assert farm.apply().ok
    assert set(farm.world.requests(6)) == {"web1", "web2", "web3"}
    assert "before" not in " ".join(note for one in farm.plan().hosts for note in one.notes), "it is known by now"
    assert farm.teardown().ok
    assert all(state.machine.holds(VIP) is None for state in farm.world.servers.values())
    assert titles(farm.back()) == {}


@pytest.mark.parametrize("name", ["web1", "www1"])
@pytest.mark.parametrize("kept", [False, True], ids=["moved", "second address"])
def test_a_new_address_of_a_machine_changes_the_director_alone(farm: Farm, name: str, kept: bool) -> None:
    farm.give("web1", *(["10.0.0.101"] if kept else []), "10.0.0.111")
    farm.servers = {name: "10.0.0.111", "web2": "10.0.0.102", "web3": "10.0.0.103"}
    plan = farm.plan()
    assert titles(plan) == {DIRECTOR: [*added(name, "10.0.0.111"), *DRAINED]}
    assert "This machine was web1 (10.0.0.101)" in said(plan, name)
    assert "left unchanged" not in said(plan, DIRECTOR), "10.0.0.101 does not stay"
    assert farm.apply().ok
    assert titles(farm.plan()) == {}
    assert not [one for one in farm.plan().hosts if one.problem], "nobody asks at the former address again"
    assert farm.teardown().ok
    assert farm.machine("web1").machine.holds(VIP) is None


def test_the_address_and_the_name_of_a_removed_server_go_to_another_machine(farm: Farm) -> None:
    farm.give("web1", "10.0.0.181")
    farm.give("web4", "10.0.0.101")
    plan = farm.plan()
    assert "not the installation that dsrwizard set up at 10.0.0.101 as web1: its machine-id differs" in said(
        plan, "web1"
    )
    assert "remove the VIP there" in said(plan, "web1")
    assert [step.purpose for step in host(plan, "web1").steps] == ["guard", "vip", "persistence"]


# --- installations ---------------------------------------------------------------------------------------------------


def test_a_server_that_was_installed_anew_owes_nothing(farm: Farm) -> None:
    farm.fresh("web1")
    plan = farm.plan()
    assert "It was reinstalled, or another machine has the address" in said(plan, "web1")
    assert farm.apply().ok
    assert farm.machine("web1").machine.holds(VIP)
    assert titles(farm.plan()) == {}
    assert "reinstalled" not in said(farm.plan(), "web1")
    assert farm.teardown().ok
    assert titles(farm.back()) == {}, "nothing is owed on the former installation"


def test_a_teardown_leaves_what_was_installed_anew(farm: Farm) -> None:
    farm.fresh("web1")
    farm.machine("web1").machine.links["lo"].addresses[VIP] = 32  # by somebody
    back = farm.back()
    assert "web1" not in titles(back)
    assert farm.teardown().ok
    assert farm.machine("web1").machine.holds(VIP) == "lo"


def test_where_a_machine_is_stays_open_while_a_server_cannot_be_asked(farm: Farm) -> None:
    farm.fresh("web1")
    farm.machine("web2").reachable = False
    plan = farm.plan()
    assert "It is not known where web1 is now, because web2 could not be asked." in said(plan, "web1")
    assert not farm.apply().ok
    farm.machine("web2").reachable = True
    assert "reinstalled" in said(farm.plan(), "web1"), "it was kept until it could be told"


def test_a_new_machine_id_makes_no_new_machine(farm: Farm) -> None:
    farm.machine("web1").machine.machine_id = "f" * 32
    plan = farm.plan()
    assert titles(plan) == {}
    assert "What dsrwizard set up is still there, so it is the same machine" in said(plan, "web1")
    assert farm.apply().ok
    assert said(farm.plan(), "web1") == ""
    assert farm.teardown().ok
    assert farm.machine("web1").machine.holds(VIP) is None


def test_copies_of_one_image_are_told_apart_by_address(farm: Farm) -> None:
    farm.copy_of("web1", "web4")
    farm.servers["web4"] = "10.0.0.104"
    plan = farm.plan()
    for name in ("web1", "web4"):
        assert "web1 and web4 have the same machine-id" in said(plan, name)
        assert "systemd-machine-id-setup" in said(plan, name)
    assert titles(plan) == {DIRECTOR: added("web4", "10.0.0.104")}
    assert farm.apply().ok
    del farm.servers["web1"]
    assert set(titles(farm.plan())) == {DIRECTOR, "web1"}, "the copy keeps what the other gives back"
    assert farm.apply().ok
    assert farm.machine("web1").machine.holds(VIP) is None
    assert farm.machine("web4").machine.holds(VIP)


def test_containers_of_one_machine_are_no_machine_twice(farm: Farm) -> None:
    farm.copy_of("web1", "web4")
    farm.machine("web4").machine.boot_id = farm.machine("web1").machine.boot_id
    farm.servers["web4"] = "10.0.0.104"
    assert not [one.problem for one in farm.plan().hosts if one.problem]


def test_one_machine_in_the_file_twice_is_refused(farm: Farm) -> None:
    farm.give("web1", "10.0.0.101", "10.0.0.111")
    farm.servers["web9"] = "10.0.0.111"
    plan = farm.plan()
    for name in ("web1", "web9"):
        assert "web1 (10.0.0.101) and web9 (10.0.0.111) are the same machine" in host(plan, name).problem
    assert titles(plan) == {}
    assert set(farm.world.requests(6)) == {"web1", "web2", "web3"}


@pytest.mark.parametrize(("name", "other"), [("web1", "web2"), ("web2", "web1")])
def test_a_host_that_claims_the_address_of_another_convinces_nobody(farm: Farm, name: str, other: str) -> None:
    liar, honest = farm.machine(name).machine, farm.machine(other)
    liar.machine_id, liar.boot_id = honest.machine.machine_id, honest.machine.boot_id
    liar.links["eth0"].addresses[honest.rips[0]] = 24
    plan = farm.plan()
    assert not [one.problem for one in plan.hosts if one.problem]
    assert titles(plan) == {}


@pytest.mark.parametrize("removed", [False, True])
def test_a_server_that_claims_to_be_one_that_cannot_be_asked_convinces_nobody(farm: Farm, removed: bool) -> None:
    liar = farm.machine("web2").machine
    own, liar.machine_id = liar.machine_id, farm.machine("web1").machine.machine_id
    farm.machine("web1").ssh = False
    if removed:
        del farm.servers["web1"]
    assert "was web1" not in said(farm.plan(), "web2")
    assert farm.apply().ok == removed, "one of the file has to answer"
    farm.machine("web1").ssh, liar.machine_id = True, own
    farm.servers["web1"] = "10.0.0.101"
    farm.apply()
    assert farm.teardown().ok
    assert farm.machine("web1").machine.holds(VIP) is None, "what is owed on it was not lost"


def test_a_host_that_cannot_be_reached_is_nobody(farm: Farm) -> None:
    farm.servers = {"web9": "10.0.0.199", "web2": "10.0.0.102", "web3": "10.0.0.103"}
    farm.machine("web1").ssh = False
    plan = farm.plan()
    assert "does not answer" in host(plan, "web9").problem
    assert "does not answer" in said(plan, "web1")
    assert not farm.apply().ok
    assert farm.machine("web1").machine.holds(VIP), "it could not be asked"
    farm.machine("web1").ssh = True
    assert "web1" in titles(farm.plan()), "it is owed until it is taken back"


# --- the director, and other deployments -----------------------------------------------------------------------------


def test_the_journal_of_another_director_is_said_to_be_one(farm: Farm) -> None:
    machine = farm.world.machine
    farm.world.ipvs.table.clear()
    del machine.links["eth0"].addresses[VIP]
    machine.machine_id = "d" * 32
    back = farm.back()
    assert DIRECTOR not in titles(back)
    plan = farm.plan()
    assert "The journal was written on another director" in said(plan, DIRECTOR)
    assert "the VIP 10.0.0.10, 1 IPVS service, and its kernel settings" in said(plan, DIRECTOR)
    assert f"VIP {VIP}/32 on eth0, announced to the neighbours" in titles(plan)[DIRECTOR]


def test_a_director_with_a_new_machine_id_is_the_same(farm: Farm) -> None:
    farm.world.machine.machine_id = "d" * 32
    assert titles(farm.plan()) == {}
    assert farm.teardown().ok
    assert farm.world.machine.holds(VIP) is None


@pytest.mark.parametrize("moves", [False, True], ids=["same address", "new address"])
def test_two_deployments_share_a_machine_under_two_names(farm: Farm, moves: bool) -> None:
    other = Farm(farm.folder, farm.world, {"mx1": "10.0.0.101"}, "mail")
    wanted = msgspec.structs.replace(
        other.deployment(), vips=farm.world.deployment(vip="10.0.0.53", services=(Service(port=80),)).vips
    )
    engine = other.engine()
    assert engine.apply(wanted, engine.plan(wanted, engine.observe(wanted)), lambda event: None).ok
    if moves:
        farm.give("web1", "10.0.0.111")
        farm.servers["web1"] = "10.0.0.111"
        assert farm.apply().ok
    assert farm.teardown().ok
    machine = farm.machine("web1").machine
    assert machine.holds(VIP) is None
    assert (machine.holds("10.0.0.53"), machine.answers_arp("10.0.0.53")) == ("lo", False), "the other's guard stays"


def test_a_deployment_under_another_name_is_told_who_owns_its_service(farm: Farm) -> None:
    farm.name = "store"
    plan = farm.plan()
    assert "The deployment shop is in force and has 10.0.0.10 tcp/80 as well." in said(plan, DIRECTOR)
    assert not [step for step in plan.steps if step.phase in ("destination", "weight", "withdraw")]
    assert farm.apply().ok
    assert set(farm.world.requests(6)) == {"web1", "web2", "web3"}
    assert farm.teardown().ok
    farm.name = "shop"
    assert "is in force and has" not in said(farm.plan(), DIRECTOR), "shop has its own"
    assert farm.teardown().ok
    assert not [name for name, state in farm.world.servers.items() if state.machine.holds(VIP)]


# --- the system of a server ------------------------------------------------------------------------------------------


def test_a_server_that_runs_another_system_now_owes_nothing() -> None:
    """Moved from SSH to WinRM: what was owed on the Linux is gone with it, whatever the ids say."""
    server = RealServer(name="web1", address="10.0.0.101", connect="winrm")
    wanted = msgspec.structs.replace(World.lab(1).deployment(), servers=(server,))
    item = Owed(
        host="web1", address="10.0.0.101", server="", phase="guard", step="guard", title="Guard", order=1,
        change=SysctlChange(key="net.ipv4.conf.all.arp_ignore", old="0", new="1"),
    )  # fmt: skip
    for machine in ("", "4" * 32):
        facts = ServerFacts(host="web1", machine=machine, windows=WindowsFacts(dialect="2012", version="10.0.20348"))
        where = Whereabouts(wanted, (), Observed(servers={"web1": facts}))
        assert where.rehomed([item]) == []
        assert where.gone([item]) == [item]
        plan = where.noted(Plan(deployment="shop", hosts=(HostPlan(host="web1"),)), [item])
        assert "as web1: it runs another system." in said(plan, "web1")


def test_no_change_of_a_server_is_one_of_the_vip(farm: Farm) -> None:
    """The VIP renumbered: the director's old service goes before any server loses the old VIP."""
    wanted = msgspec.structs.replace(farm.deployment(), vips=farm.world.deployment(vip="10.0.0.20").vips)
    engine = farm.engine()
    order: list[str] = []
    plan = engine.plan(wanted, engine.observe(wanted))
    assert engine.apply(wanted, plan, lambda event: None).ok
    for where, change in farm.world.done:
        gone = isinstance(change, DestinationChange) and change.new is None
        if gone or (isinstance(change, AddressChange) and not change.new and where != DIRECTOR):
            order.append("destination" if gone else "address")
    assert order == ["destination"] * 3 + ["address"] * 3
    assert set(farm.world.requests(6, vip="10.0.0.20")) == {"web1", "web2", "web3"}
