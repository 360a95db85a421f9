"""Mending: each cause a step can cure is cured by it and by nothing more, and a teardown afterwards is exact."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.causes import causes
from dsrwizard.core.model.changes import GUARD_FILE, DestinationState, ServiceKey
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment, Service, Vip
from dsrwizard.core.model.facts import Interface, InterfaceAddress, Route
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.core.plan.mend import Cure, MendResult, felt_at, mending
from dsrwizard.core.record.owed import RunBegan, owed
from dsrwizard.engine.journal import Journals
from tests.fakes.host import Link
from tests.fakes.world import World
from tests.unit.diagnosed import Farm as Deployed
from tests.unit.test_engine import Farm, weights

VIP = "10.0.0.10"
WEB = ServiceKey(VIP, "tcp", 80)
RIP2 = "10.0.0.102"
IGNORE, ANNOUNCE = "net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_announce"


def no_vip(world: World) -> None:
    del world.servers["web2"].machine.links["lo"].addresses[VIP]


def wide(world: World) -> None:
    world.servers["web2"].machine.links["lo"].addresses[VIP] = 30


def leak(world: World) -> None:
    world.servers["web2"].machine.sysctls[IGNORE] = "0"


def speaks(world: World) -> None:
    world.servers["web2"].machine.sysctls[ANNOUNCE] = "0"


def filters(world: World) -> None:
    machine = world.servers["web2"].machine
    machine.links["eth1"] = Link("02:00:00:00:00:aa", addresses={"192.168.7.2": 24})
    machine.sysctls["net.ipv4.conf.eth0.rp_filter"] = "1"
    machine.routes[:] = [Route(gateway="192.168.7.1", interface="eth1")]


def forgets(world: World) -> None:
    del world.servers["web2"].machine.files[GUARD_FILE]


def mute(world: World) -> None:
    world.servers["web2"].machine.sysctls[IGNORE] = "8"


def out_of_ipvs(world: World) -> None:
    entries = world.ipvs.table[WEB].entries
    entries[:] = [entry for entry in entries if entry.address != RIP2]


def no_service(world: World) -> None:
    del world.ipvs.table[WEB]


def by_tunnel(world: World) -> None:
    entry = world.ipvs.table[WEB].entry(RIP2, 80)
    assert entry is not None
    entry.state = DestinationState(1, method="tun")


def other_scheduler(world: World) -> None:
    world.ipvs.table[WEB].state = msgspec.structs.replace(world.ipvs.table[WEB].state, scheduler="rr")


def settings_of_old(world: World) -> None:
    """As a kernel begins with them."""
    world.machine.sysctls |= {"net.ipv4.vs.expire_nodest_conn": "0", "net.ipv4.conf.all.send_redirects": "1"}


def no_weight(world: World) -> None:
    world.ipvs.set_weight(WEB, RIP2, 80, 0)


def not_held(world: World) -> None:
    del world.machine.links["eth0"].addresses[VIP]


Fault = Callable[[World], None]
FAULTS: list[tuple[str, str, Fault, list[str]]] = [
    ("vip-missing", "web2", no_vip, [f"ip addr add {VIP}/32 dev lo"]),
    ("vip-prefix", "web2", wide, [f"ip addr del {VIP}/30 dev lo", f"ip addr add {VIP}/32 dev lo"]),
    ("arp-leak", "web2", leak, [f"sysctl -qw {IGNORE}=1", f"arping -U -c 3 -I eth0 {VIP}"]),
    ("arp-announce", "web2", speaks, [f"sysctl -qw {ANNOUNCE}=2", f"arping -U -c 3 -I eth0 {VIP}"]),
    ("rp-filter", "web2", filters, ["sysctl -qw net.ipv4.conf.eth0.rp_filter=2"]),
    ("not-persistent", "web2", forgets, [f"cat > {GUARD_FILE} <<'DSRWIZARD_END'", f"chmod 644 {GUARD_FILE}"]),
    ("ipvs-missing", DIRECTOR, out_of_ipvs,
     [f"ipvsadm -a -t {VIP}:80 -r {RIP2}:80 -g -w 0", f"ipvsadm -e -t {VIP}:80 -r {RIP2}:80 -g -w 1"]),
    ("ipvs-missing", DIRECTOR, no_service,
     [f"ipvsadm -A -t {VIP}:80 -s wlc", *(
         f"ipvsadm -{verb} -t {VIP}:80 -r 10.0.0.10{number}:80 -g -w {weight}"
         for number in (1, 2, 3) for verb, weight in (("a", 0), ("e", 1)))]),
    ("ipvs-differs", DIRECTOR, by_tunnel,
     [f"ipvsadm -e -t {VIP}:80 -r {RIP2}:80 -g -w 0", f"ipvsadm -e -t {VIP}:80 -r {RIP2}:80 -g -w 1"]),
    ("ipvs-differs", DIRECTOR, other_scheduler, [f"ipvsadm -E -t {VIP}:80 -s wlc"]),
    ("director-setting", DIRECTOR, settings_of_old,
     ["sysctl -qw net.ipv4.vs.expire_nodest_conn=1", "sysctl -qw net.ipv4.conf.all.send_redirects=0"]),
    ("drained", DIRECTOR, no_weight, [f"ipvsadm -e -t {VIP}:80 -r {RIP2}:80 -g -w 1"]),
    ("director-vip", DIRECTOR, not_held, [f"ip addr add {VIP}/32 dev eth0", f"arping -U -c 3 -I eth0 {VIP}"]),
]  # fmt: skip


class Shop(Farm):
    """A deployment in force on a farm, and what it was like before."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.deployment = self.world.deployment()
        self.before = self.state()
        assert self.apply(self.deployment).ok
        self.applied = self.state()

    def failures(self) -> tuple[Check, ...]:
        return self.engine.verify(self.deployment).failures

    def only_failure(self) -> Check:
        (check,) = self.failures()
        return check

    def mend(self, *checks: Check) -> MendResult:
        made = self.engine.mend_plan(self.deployment, *checks)
        return self.engine.mend(self.deployment, made, self.events.append)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def lines(steps: tuple[Step, ...]) -> list[str]:
    return [line.splitlines()[0] for step in steps for change in step.changes for line in commands(change)]


@pytest.mark.parametrize(("cause", "host", "make", "wanted"), FAULTS, ids=[f"{f[0]}-{f[2].__name__}" for f in FAULTS])
def test_the_step_for_a_cause_and_no_other_is_shown_and_cures_it(
    shop: Shop, cause: str, host: str, make: Fault, wanted: list[str]
) -> None:
    make(shop.world)
    check = shop.only_failure()
    assert (check.cause, check.host) == (cause, host)
    made = shop.engine.mend_plan(shop.deployment, check)
    own = made.cures[0].steps
    assert lines(own) == wanted
    assert sorted(lines(own)) == sorted(lines(made.plan.steps))
    result = shop.engine.mend(shop.deployment, made, shop.events.append)
    assert result.run.ok
    assert result.cured
    after = result.mended[0].after
    assert after is not None
    assert after.outcome == "pass"
    assert result.report is not None
    assert result.report.verdict == "pass"
    assert set(weights(shop).values()) == {1}, "no server is left without clients"


@pytest.mark.parametrize(("cause", "host", "make", "wanted"), FAULTS, ids=[f"{f[0]}-{f[2].__name__}" for f in FAULTS])
def test_a_teardown_after_a_mend_leaves_what_was_there_before(
    shop: Shop, cause: str, host: str, make: Fault, wanted: list[str]
) -> None:
    make(shop.world)
    shop.mend(shop.only_failure())
    assert shop.teardown(shop.deployment).ok
    if make is filters:  # what the operator did to that server after the apply stays the operator's
        machine = shop.world.servers["web2"].machine
        assert machine.sysctls["net.ipv4.conf.eth0.rp_filter"] == "1"
        machine.sysctls["net.ipv4.conf.eth0.rp_filter"] = "0"
        del machine.links["eth1"]
    assert shop.state() == shop.before
    assert not owed(Journals(shop.folder).of("shop").entries())


def test_it_stands_in_the_journal_as_what_it_is(shop: Shop) -> None:
    no_vip(shop.world)
    shop.mend(shop.only_failure())
    entries = Journals(shop.folder).of("shop").entries()
    assert [entry.verb for entry in entries if isinstance(entry, RunBegan)] == ["apply", "mend"]


def test_two_faults_of_one_server_are_cured_one_at_a_time_or_together(shop: Shop) -> None:
    def both() -> None:
        no_vip(shop.world)
        forgets(shop.world)

    both()
    missing, forgotten = shop.failures()
    result = shop.mend(missing)
    assert result.run.ok, "what was not to be done is no failure of what was"
    assert result.cured
    assert shop.only_failure().cause == "not-persistent", "what was not asked for stays as it is"
    assert shop.mend(forgotten).cured
    both()
    together = shop.mend(*shop.failures())
    assert together.cured
    assert shop.state() == shop.applied


def test_the_guard_comes_before_the_address(shop: Shop) -> None:
    no_vip(shop.world)
    leak(shop.world)
    missing = next(check for check in shop.failures() if check.cause == "vip-missing")
    made = shop.engine.mend_plan(shop.deployment, missing)
    assert [step.id for step in made.cures[0].steps] == ["guard", f"vip {VIP}"]


def test_a_server_kept_out_by_its_probe_gets_its_clients_back(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    deployment = farm.world.deployment()
    farm.world.servers["web2"].ssh = False
    assert not farm.apply(deployment).ok
    assert RIP2 not in weights(farm)
    farm.world.servers["web2"].ssh = True
    (check,) = (one for one in farm.engine.verify(deployment).failures if one.cause == "vip-missing")
    result = farm.engine.mend(deployment, farm.engine.mend_plan(deployment, check), farm.events.append)
    assert result.cured
    assert weights(farm)[RIP2] == 1
    assert result.report is not None
    assert result.report.verdict == "pass", "also what is kept over a reboot"


def test_a_server_at_weight_zero_since_its_vip_died_gets_it_back_once_proved(shop: Shop) -> None:
    no_vip(shop.world)
    no_weight(shop.world)
    check = shop.only_failure()
    assert check.cause == "vip-missing"
    shop.world.servers["web2"].dropped.add(("tcp", 80))
    held = shop.mend(check)
    assert weights(shop)[RIP2] == 0, "the probe is red: no clients"
    assert [one.outcome for host in held.run.hosts for one in host.steps] == [Outcome.HELD, Outcome.CHANGED]
    shop.world.servers["web2"].dropped.clear()
    no_vip(shop.world)
    assert shop.mend(shop.only_failure()).cured
    assert weights(shop)[RIP2] == 1


def test_a_server_drained_on_purpose_stays_so(shop: Shop) -> None:
    shop.engine.watch(shop.deployment).set_weight("web2", 0)
    no_vip(shop.world)
    made = shop.engine.mend_plan(shop.deployment, shop.only_failure())
    assert any("drained on purpose" in note for host in made.plan.hosts for note in host.notes)
    result = shop.engine.mend(shop.deployment, made, shop.events.append)
    assert result.cured
    assert weights(shop)[RIP2] == 0
    drained = shop.only_failure()
    assert drained.cause == "drained"
    again = shop.engine.mend_plan(shop.deployment, drained)
    assert again.cures[0].notes == ("web2 was drained on purpose in the live pane.",)
    shop.engine.mend(shop.deployment, again, shop.events.append)
    assert weights(shop)[RIP2] == 1
    no_vip(shop.world)
    no_weight(shop.world)
    shop.mend(shop.only_failure())
    assert weights(shop)[RIP2] == 1, "since then nobody drained it on purpose"


def test_of_two_drained_servers_the_one_asked_for_is_restored(shop: Shop) -> None:
    shop.world.ipvs.set_weight(WEB, "10.0.0.101", 80, 0)
    no_weight(shop.world)
    first, second = shop.failures()
    assert (first.server, second.server) == ("web1", "web2")
    result = shop.mend(second)
    assert result.cured
    assert weights(shop) == {"10.0.0.101": 0, RIP2: 1, "10.0.0.103": 1}
    assert shop.only_failure() == first


def test_an_answer_that_is_not_green_is_not_called_cured(shop: Shop) -> None:
    no_vip(shop.world)
    check = shop.only_failure()
    made = shop.engine.mend_plan(shop.deployment, check)
    shop.world.servers["web2"].fails[f"vip {VIP}"] = "RTNETLINK answers: Operation not permitted"
    result = shop.engine.mend(shop.deployment, made, shop.events.append)
    assert not result.run.ok
    assert not result.cured
    after = result.mended[0].after
    assert after is not None
    assert (after.outcome, after.cause) == ("fail", "vip-missing")
    shop.world.servers["web2"].reachable = False
    lost = shop.engine.mend(shop.deployment, made, shop.events.append)
    assert not lost.cured
    after = lost.mended[0].after
    assert after is not None
    assert after.consequence_of == "unreachable", "green was not seen"


def test_stopped_it_begins_nothing_and_claims_nothing(shop: Shop) -> None:
    no_vip(shop.world)
    made = shop.engine.mend_plan(shop.deployment, shop.only_failure())
    stop = threading.Event()
    stop.set()
    result = shop.engine.mend(shop.deployment, made, shop.events.append, stop)
    assert (result.report, [one.after for one in result.mended], result.cured) == (None, [None], False)
    assert shop.world.servers["web2"].machine.holds(VIP) is None


def test_a_server_that_answers_for_none_of_its_addresses_is_given_its_voice_back(shop: Shop) -> None:
    mute(shop.world)
    check = Check(check="server.ping", outcome="fail", host="web2", cause="unreachable", message="")
    made = shop.engine.mend_plan(shop.deployment, check)
    assert lines(made.plan.steps) == [f"sysctl -qw {IGNORE}=1"]


# --- what no step cures


def unseen(cause: str, host: str = "web2", **other: str) -> Check:
    return Check(check="x", outcome="fail", host=host, cause=cause, message="It is so.", fix="Do this.", **other)


@pytest.mark.parametrize("cause", causes(lambda row: bool(row.by_hand)))
def test_what_no_step_cures_names_who_must_do_something(shop: Shop, cause: str) -> None:
    made = shop.engine.mend_plan(shop.deployment, unseen(cause))
    (cure,) = made.cures
    assert made.plan.empty
    assert "{" not in cure.by_hand
    assert cure.by_hand.endswith(".")
    assert "administrator" in cure.by_hand or "web2" in cure.by_hand


def test_a_mending_without_steps_only_looks_again(shop: Shop) -> None:
    shop.world.servers["web2"].machine.listeners = []
    check = shop.only_failure()
    assert check.cause == "service-down"
    touched = len(shop.world.done)
    result = shop.mend(check)
    assert (result.run.hosts, result.cured) == ((), False)
    assert len(shop.world.done) == touched
    assert [e.verb for e in Journals(shop.folder).of("shop").entries() if isinstance(e, RunBegan)] == ["apply"]


def cure_of(shop: Shop, check: Check, deployment: Deployment | None = None) -> Cure:
    return shop.engine.mend_plan(deployment or shop.deployment, check).cures[0]


def test_a_server_that_cannot_be_changed_says_why(shop: Shop) -> None:
    shop.world.servers["web2"].ssh = False
    shop.engine = shop.fresh()
    cure = cure_of(shop, unseen("vip-missing", vip=VIP))
    assert not cure.steps
    assert "web2 does not answer" in cure.by_hand
    drained = cure_of(shop, unseen("drained", DIRECTOR, vip=VIP, service="tcp/80", server="web2"))
    assert "web2 does not answer" in drained.by_hand


def test_without_privilege_the_director_is_left_alone_and_says_why(shop: Shop) -> None:
    shop.world.privileged = False
    assert "needs root" in cure_of(shop, unseen("director-vip", DIRECTOR, vip=VIP)).by_hand


def test_a_server_looked_after_by_hand_is_not_touched(shop: Shop) -> None:
    servers = tuple(msgspec.structs.replace(server, connect="manual") for server in shop.deployment.servers)
    manual = msgspec.structs.replace(shop.deployment, servers=servers)
    no_vip(shop.world)
    assert "configured by hand" in cure_of(shop, unseen("vip-missing", vip=VIP), manual).by_hand


def test_with_another_product_nothing_is_announced_or_balanced_here(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    deployment = farm.world.deployment(engine="external")
    assert farm.apply(deployment).ok
    leak(farm.world)
    made = farm.engine.mend_plan(
        deployment, unseen("arp-leak", vip=VIP), unseen("stale-arp", "client", vip=VIP),
        unseen("director-vip", DIRECTOR, vip=VIP),
    )  # fmt: skip
    assert lines(made.plan.steps) == [f"sysctl -qw {IGNORE}=1"]
    assert all("Another product" in cure.by_hand for cure in made.cures[1:])


def test_a_vip_is_announced_only_by_the_director_that_holds_it(shop: Shop) -> None:
    stale = unseen("stale-arp", "client", vip=VIP)
    assert lines(cure_of(shop, stale).steps) == [f"arping -U -c 3 -I eth0 {VIP}"]
    shop.world.machine.announced.clear()
    shop.mend(stale)
    assert shop.world.machine.announced == [("eth0", VIP)]
    not_held(shop.world)
    assert cure_of(shop, stale).steps == ()


def test_what_is_in_place_is_not_done_again(shop: Shop) -> None:
    for cause in ("vip-missing", "arp-leak", "not-persistent"):
        cure = cure_of(shop, unseen(cause, vip=VIP))
        assert (cure.steps, "in place" in cure.by_hand) == ((), True)


def test_a_vip_on_an_interface_that_is_down_is_told_not_added_a_second_time() -> None:
    farm = Deployed()
    observed = farm.observed()
    web2 = observed.servers["web2"]
    held = InterfaceAddress(address=VIP, prefix=32)
    links = (
        *(link for link in web2.interfaces if link.name != "lo"),
        Interface(name="lo", up=False, addresses=(held,)),
    )
    observed = msgspec.structs.replace(
        observed, servers={**observed.servers, "web2": msgspec.structs.replace(web2, interfaces=links)}
    )
    made = mending(farm.deployment, observed, [unseen("vip-missing", vip=VIP)])
    assert made.plan.empty
    assert "ip link set lo up" in made.cures[0].by_hand


# --- which checks


def test_a_fault_of_one_vip_is_cured_on_that_vip_alone(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    second = Vip(address="10.0.0.11", services=(Service(port=80),))
    deployment = farm.world.deployment()
    deployment = msgspec.structs.replace(deployment, vips=(*deployment.vips, second))
    assert farm.apply(deployment).ok
    for address in (VIP, "10.0.0.11"):
        del farm.world.servers["web2"].machine.links["lo"].addresses[address]
    found = [check for check in farm.engine.verify(deployment).failures if check.vip == "10.0.0.11"]
    made = farm.engine.mend_plan(deployment, *found)
    assert lines(made.plan.steps) == ["ip addr add 10.0.0.11/32 dev lo"]
    assert farm.engine.mend(deployment, made, farm.events.append).cured
    assert farm.world.servers["web2"].machine.holds(VIP) is None


def test_the_checks_behind_a_servers_state() -> None:
    def failed(cause: str, host: str, **other: str) -> Check:
        return Check(check="x", outcome="fail", host=host, cause=cause, message="", **other)

    own = failed("vip-missing", "web2", vip=VIP)
    others = failed("vip-missing", "web1", vip=VIP)
    about = failed("drained", DIRECTOR, vip=VIP, service="tcp/80", server="web2")
    shared = failed("director-vip", DIRECTOR, vip=VIP)
    elsewhere = failed("vip-missing", "web2", vip="10.0.0.11")
    report = Report(deployment="shop", verdict="fail", checks=(own, others, about, shared, elsewhere))
    where = {"server": "web2", "vip": VIP, "service": "tcp/80"}
    assert felt_at(report.checks, **where, cause="vip-missing") == (own,)
    assert felt_at(report.checks, **where, cause="drained") == (about,)
    assert felt_at(report.checks, **where, cause="director-vip") == (shared,)
    assert felt_at(report.checks, **where) == (own, about)
    assert felt_at(report.checks, **where, cause="firewall") == (own, about), "verify knows better than the live pane"


def test_what_was_mended_without_ever_being_applied_is_in_force_and_can_be_taken_back(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    deployment = farm.world.deployment()
    before = farm.state()
    found = farm.engine.verify(deployment).failures
    assert farm.engine.mend(deployment, farm.engine.mend_plan(deployment, *found), farm.events.append).cured
    assert set(farm.world.requests(3)) == {"web1", "web2", "web3"}
    assert farm.engine.in_force("shop")
    assert [one.name for one in Journals(tmp_path).in_force()] == ["shop"]
    assert farm.teardown(deployment).ok
    assert not farm.engine.in_force("shop")
    assert farm.state() == before
