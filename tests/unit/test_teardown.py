"""The way back: its order, what it leaves to others, and that it works wherever an earlier run was cut off."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.changes import (
    GUARD_FILE,
    AddressChange,
    Change,
    DestinationChange,
    DestinationState,
    FileChange,
    FileState,
    LinkChange,
    ServiceChange,
    ServiceKey,
    ServiceState,
    SysctlChange,
)
from dsrwizard.core.model.deployment import Deployment, Service
from dsrwizard.core.model.facts import (
    Destination,
    DirectorFacts,
    Failure,
    Interface,
    InterfaceAddress,
    Observed,
    ServerFacts,
    VirtualService,
)
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Phase, Step
from dsrwizard.core.plan.teardown import taken_back_by_others, teardown_plan
from dsrwizard.core.record.owed import Entry, Intent, Owed, Result, in_force, owed
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journal, Journals
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World

IGNORE = "net.ipv4.conf.all.arp_ignore"
WEB = ServiceKey("10.0.0.10", "tcp", 80)
GUARD = SysctlChange(key=IGNORE, old="0", new="1")
VIP = AddressChange(interface="lo", address="10.0.0.10", prefix=32, old=False, new=True)


class Killed(BaseException):
    """The machine dsrwizard runs on went down."""


class Farm:
    """A world of two servers, and engines that come and go over the same journals."""

    def __init__(self, folder: Path) -> None:
        self.world = World.lab(2)
        self.folder = folder
        self.deployment = self.world.deployment(services=(Service(port=80), Service(protocol="udp", port=7)))

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), self.folder)

    def apply(self, deployment: Deployment | None = None) -> RunResult:
        wanted, engine = deployment or self.deployment, self.engine()
        return engine.apply(wanted, engine.plan(wanted, engine.observe(wanted)), lambda event: None)

    def teardown(self) -> RunResult:
        engine = self.engine()
        return engine.teardown(self.deployment, engine.teardown_plan(self.deployment), lambda event: None)

    def journal(self) -> Path:
        return Journals(self.folder).of(self.deployment.name).path

    def state(self) -> object:
        world = self.world
        services = sorted(
            (repr(service.key), repr(service.state), destination.address, repr(destination.state))
            for service in world.ipvs.services()
            for destination in service.destinations
        )
        machines = [world.machine, *(server.machine for server in world.servers.values())]
        return copy.deepcopy((services, [(m.name, m.interfaces(), dict(m.sysctls), dict(m.files)) for m in machines]))


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def kill_at(monkeypatch: pytest.MonkeyPatch, entry: int, work: Callable[[], object]) -> bool:
    """Runs `work` and dies as its entry number `entry` is about to be written (False: it never came to that).

    From then on nothing more is written and nothing is changed any more, as when the machine goes down.
    """
    written, dead = [0], [False]
    append = Journal.append

    def counted(self: Journal, *entries: Entry, durable: bool = True) -> None:
        for one in entries:
            if dead[0] or written[0] == entry:
                dead[0] = True
                raise Killed
            written[0] += 1
            append(self, one, durable=durable)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", counted)
        try:
            work()
        except Killed:
            dead[0] = True
    return dead[0]


def test_wherever_an_apply_is_cut_off_teardown_restores_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Over every entry of one apply's journal: killed just before it is written."""
    cuts = 0
    for entry in range(1000):
        farm = Farm(tmp_path / str(entry))
        before = farm.state()
        if not kill_at(monkeypatch, entry, farm.apply):
            break
        cuts += 1
        farm.teardown()
        assert farm.state() == before, f"killed before entry {entry}"
        assert not in_force(Journals(farm.folder).of("shop").entries()), f"killed before entry {entry}"
    assert cuts > 40  # run, 20 steps with intent and result, end


def test_wherever_a_teardown_is_cut_off_the_next_one_finishes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cuts = 0
    for entry in range(1000):
        farm = Farm(tmp_path / str(entry))
        before = farm.state()
        assert farm.apply().ok
        if not kill_at(monkeypatch, entry, farm.teardown):
            break
        cuts += 1
        assert farm.teardown().ok
        assert farm.state() == before, f"killed before entry {entry}"
        assert owed(Journals(farm.folder).of("shop").entries()) == [], f"killed before entry {entry}"
    assert cuts > 30


def test_a_torn_last_line_at_any_byte_is_passed_over(farm: Farm) -> None:
    farm.apply()
    whole = farm.journal().read_bytes()
    start = whole.rstrip(b"\n").rindex(b"\n") + 1
    intents = [line for line in whole.splitlines(keepends=True) if b'"Intent"' in line]
    head, last = whole[:start], intents[-1]
    count = len(Journals(farm.folder).of("shop").entries())
    for cut in range(len(last) - 1):
        farm.journal().write_bytes(head + last[:cut])
        assert len(Journals(farm.folder).of("shop").entries()) == count - 1


def test_the_world_is_dismantled_in_the_order_of_safety(farm: Farm) -> None:
    farm.apply()
    mark = len(farm.world.done)
    assert farm.teardown().ok
    order = [_kind(host, change) for host, change in farm.world.done[mark:]]
    director = [kind for kind in order if kind.startswith("director")]
    ranks = ["drain", "destination", "service", "address", "sysctl"]
    assert list(dict.fromkeys(director)) == [f"director {rank}" for rank in ranks]
    assert director == sorted(director, key=lambda kind: ranks.index(kind.split()[1]))
    last_vip_of_director = max(i for i, kind in enumerate(order) if kind == "director address")
    first_of_servers = min(i for i, kind in enumerate(order) if not kind.startswith("director"))
    assert last_vip_of_director < first_of_servers  # the director stops sending before a server lets go
    for name in ("web1", "web2"):
        own = [kind.split()[1] for kind in order if kind.startswith(name)]
        assert own.index("address") < own.index("sysctl")  # the guard outlives the VIP


def _kind(host: str, change: Change) -> str:
    match change:
        case DestinationChange(new=DestinationState()):
            return f"{host} drain"
        case _:
            return f"{host} {type(change).__name__.removesuffix('Change').lower()}"


def test_after_a_reboot_of_everything_nothing_is_owed_or_in_force(farm: Farm) -> None:
    """Run-time state is gone with the reboot; what files brought back is there. The books must not keep it for ever."""
    farm.apply()
    farm.world.ipvs.table.clear()
    farm.world.machine.links["eth0"].addresses.pop("10.0.0.10")
    assert Journals(farm.folder).in_force() != []
    assert farm.teardown().ok
    assert Journals(farm.folder).in_force() == []
    assert farm.state() == Farm(farm.folder / "other").state()


def test_what_could_not_be_looked_at_stays_owed(farm: Farm) -> None:
    farm.apply()
    farm.world.servers["web2"].reachable = False
    assert not farm.teardown().ok
    left = {item.host for item in owed(Journals(farm.folder).of("shop").entries())}
    assert left == {"web2"}
    farm.world.servers["web2"].reachable = True
    assert farm.teardown().ok
    assert farm.state() == Farm(farm.folder / "other").state()


def test_a_vip_of_ours_stays_while_a_service_of_others_uses_it(farm: Farm) -> None:
    farm.apply()
    foreign = ServiceKey("10.0.0.10", "tcp", 443)
    change = ServiceChange(service=foreign, old=None, new=ServiceState("rr"))
    farm.world.director().apply(Step(id="x", host=DIRECTOR, phase="service", title="x", why="", changes=(change,)))
    plan = farm.engine().teardown_plan(farm.deployment)
    director = next(host for host in plan.hosts if host.host == DIRECTOR)
    assert "The VIP 10.0.0.10 stays: another service uses it." in director.notes
    farm.teardown()
    assert farm.world.machine.holds("10.0.0.10") == "eth0"
    assert [service.key for service in farm.world.ipvs.services()] == [foreign]


def test_a_destination_that_was_there_gets_its_old_method_and_weight_back(farm: Farm) -> None:
    nat = DestinationState(weight=5, method="nat", upper=9)
    farm.world.director().apply(
        Step(
            id="theirs", host=DIRECTOR, phase="service", title="", why="",
            changes=(
                ServiceChange(service=WEB, old=None, new=ServiceState("rr", persistence=60)),
                DestinationChange(service=WEB, address="10.0.0.101", port=80, old=None, new=nat),
            ),
        )
    )  # fmt: skip
    before = farm.state()
    assert farm.apply().ok
    assert farm.teardown().ok
    assert farm.state() == before


# --- one plan --------------------------------------------------------------------------------------------------------


def item(change: Change, phase: Phase, order: int, host: str = "web1", **others: object) -> Owed:
    base = Owed(
        host=host, address="10.0.0.101", server="", phase=phase, step=f"step {order}", title=f"Step {order}",
        change=change, order=order,
    )  # fmt: skip
    return msgspec.structs.replace(base, **others)


def lo(*addresses: str) -> Interface:
    pairs = [address.split("/") for address in addresses]
    entries = tuple(InterfaceAddress(address=address, prefix=int(prefix)) for address, prefix in pairs)
    return Interface(name="lo", up=True, addresses=entries)


def web1(*addresses: str, ignore: str = "1", files: dict[str, FileState | None] | None = None) -> ServerFacts:
    return ServerFacts(
        host="web1", privileged=True, interfaces=(lo(*addresses),), sysctls={IGNORE: ignore}, files=files or {}
    )


def back(*items: Owed, facts: ServerFacts | DirectorFacts, shared: tuple[Owed, ...] = ()) -> HostPlan:
    observed = Observed(servers={"web1": facts}) if isinstance(facts, ServerFacts) else Observed(director=facts)
    (host,) = teardown_plan("shop", items, observed, shared).hosts
    return host


def test_a_guard_that_was_set_after_the_vip_still_goes_after_it() -> None:
    """The operator had a guard of their own when the VIP came, cleared it, and the next apply set ours."""
    plan = back(item(VIP, "vip", 1), item(GUARD, "guard", 2), facts=web1("10.0.0.10/32"))
    assert [step.phase for step in plan.steps] == ["vip", "guard"]


def test_the_guard_stays_while_another_vip_is_there() -> None:
    plan = back(item(GUARD, "guard", 1), item(VIP, "vip", 2), facts=web1("10.0.0.10/32", "10.0.0.53/32"))
    assert [step.phase for step in plan.steps] == ["vip"]
    assert plan.notes == ("The guard stays because it is still needed for 10.0.0.53.",)


def test_the_guard_stays_for_a_vip_of_another_deployment_that_is_not_there_right_now() -> None:
    """It may come back by itself: an interface that is down, an agent that sets it again."""
    theirs = item(msgspec.structs.replace(VIP, address="10.0.0.53"), "vip", 1, owner="mail")
    plan = back(item(GUARD, "guard", 1), item(VIP, "vip", 2), facts=web1("10.0.0.10/32"), shared=(theirs,))
    assert [step.phase for step in plan.steps] == ["vip"]
    assert plan.notes == ("The guard stays because it is still needed for 10.0.0.53.",)


def test_an_interface_of_ours_stays_while_it_carries_somebody_elses_address() -> None:
    link = LinkChange(interface="lo", old=False, new=True)
    plan = back(item(link, "vip", 1), item(VIP, "vip", 2), facts=web1("10.0.0.10/32", "10.0.0.53/32"))
    assert [step.changes for step in plan.steps] == [(VIP.inverse(),)]
    assert plan.notes == ("The interface lo stays: it carries 10.0.0.53.",)
    assert len(back(item(link, "vip", 1), item(VIP, "vip", 2), facts=web1("10.0.0.10/32")).steps) == 2


def test_the_guard_goes_though_the_vip_is_gone_already() -> None:
    plan = back(item(GUARD, "guard", 1), item(VIP, "vip", 2), facts=web1("127.0.0.1/8"))
    assert [step.changes for step in plan.steps] == [(GUARD.inverse(),)]


def test_the_address_is_found_beside_the_same_address_with_another_prefix() -> None:
    plan = back(item(VIP, "vip", 1), facts=web1("10.0.0.10/24", "10.0.0.10/32"))
    assert [step.changes for step in plan.steps] == [(VIP.inverse(),)]


@pytest.mark.parametrize(
    ("present", "steps", "notes"),
    [("1", 1, 0), ("0", 0, 0), ("2", 0, 1)],
)
def test_a_setting_goes_back_only_from_what_we_left(present: str, steps: int, notes: int) -> None:
    plan = back(item(GUARD, "guard", 1), facts=web1(ignore=present))
    assert (len(plan.steps), len(plan.notes)) == (steps, notes)


@pytest.mark.parametrize(("present", "steps"), [("1", 1), ("2", 1), ("0", 0), ("7", 0)])
def test_an_uncertain_setting_goes_back_from_any_value_we_may_have_left(present: str, steps: int) -> None:
    perhaps = (SysctlChange(key=IGNORE, old="0", new="2"),)
    plan = back(item(GUARD, "guard", 1, certain=False, perhaps=perhaps), facts=web1(ignore=present))
    assert [step.changes for step in plan.steps] == [(SysctlChange(key=IGNORE, old=present, new="0"),)] * steps


def test_a_file_somebody_changed_is_left_and_told() -> None:
    change = FileChange(path=GUARD_FILE, old=None, new=FileState("ours\n"))
    plan = back(item(change, "guard", 1), facts=web1(files={GUARD_FILE: FileState("theirs\n")}))
    assert plan.steps == ()
    assert GUARD_FILE in plan.notes[0]


def test_hosts_that_were_not_seen_are_named_with_the_reason() -> None:
    failed = {"web1": Failure(kind="timeout", what="web1 does not answer.")}
    plan = teardown_plan("shop", [item(GUARD, "guard", 1), item(VIP, "vip", 2, DIRECTOR)], Observed(failed=failed))
    assert {host.host: host.problem for host in plan.hosts} == {
        "web1": "web1 does not answer.", DIRECTOR: "It was not checked.",
    }  # fmt: skip


def facts_of_director(*services: VirtualService, **others: object) -> DirectorFacts:
    base = DirectorFacts(privileged=True, module_loaded=True, services=services, interfaces=(lo("10.0.0.10/32"),))
    return msgspec.structs.replace(base, **others)


OURS = ServiceChange(service=WEB, old=None, new=ServiceState("wlc"))


def test_ipvs_that_cannot_be_read_is_not_taken_for_empty() -> None:
    facts = facts_of_director(services=None, ipvs_problem="It cannot be read.", ipvs_next="Mend it.")
    assert back(item(OURS, "service", 1, DIRECTOR), facts=facts).problem == "It cannot be read. Mend it."
    assert taken_back_by_others([item(OURS, "service", 1, DIRECTOR)], Observed(director=facts)) == []


def test_ipvs_that_is_not_loaded_is_empty() -> None:
    facts = facts_of_director(services=None, module_loaded=False)
    owes = item(OURS, "service", 1, DIRECTOR)
    assert back(owes, facts=facts) == HostPlan(host=DIRECTOR)
    assert taken_back_by_others([owes], Observed(director=facts)) == [owes]


def test_a_service_whose_scheduler_was_changed_goes_all_the_same_because_we_made_it() -> None:
    now = VirtualService(key=WEB, state=ServiceState("rr"))
    (step,) = back(item(OURS, "service", 1, DIRECTOR), facts=facts_of_director(now)).steps
    assert step.changes == (ServiceChange(service=WEB, old=ServiceState("rr"), new=None),)


def test_a_service_with_strangers_behind_it_stays() -> None:
    stranger = Destination(address="10.0.0.99", port=80, state=DestinationState(1))
    now = VirtualService(key=WEB, state=ServiceState("wlc"), destinations=(stranger,))
    plan = back(item(OURS, "service", 1, DIRECTOR), facts=facts_of_director(now))
    assert plan.steps == ()
    assert "10.0.0.99" in plan.notes[0]


def test_unprivileged_is_said_before_anything_is_tried() -> None:
    assert "sudo" in back(item(OURS, "service", 1, DIRECTOR), facts=facts_of_director(privileged=False)).problem


def test_every_result_in_the_journal_belongs_to_an_intent(farm: Farm) -> None:
    farm.apply()
    farm.teardown()
    intents: set[tuple[str, str, str]] = set()
    for entry in Journals(farm.folder).of("shop").entries():
        if isinstance(entry, Intent):
            intents.add((entry.run, entry.step.host, entry.step.id))
        if isinstance(entry, Result):
            assert (entry.run, entry.host, entry.step) in intents
