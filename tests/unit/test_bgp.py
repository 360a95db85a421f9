"""A director that has BIRD announce its VIPs: planned, applied, looked at again, and taken back without a trace."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.dialects.bird.writer import with_include
from dsrwizard.core.model.bird import BIRD_CONF, BirdFacts, OtherSession, bird_file, sign_of
from dsrwizard.core.model.changes import AddressChange, AnnounceChange, FileState, SavedTableChange
from dsrwizard.core.model.deployment import Bgp, Deployment, Service
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.guarding import GuardState, guard_files
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.engine.engine import Engine
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.unit.test_bird_files import DEBIANS

VIP = "10.0.0.10"
THEIRS = FileState(content=DEBIANS, mode=0o640)


class Spread:
    """A director with systemd, BIRD and a router, and two real servers."""

    def __init__(self, folder: Path) -> None:
        self.world, self.folder = World.lab(2), folder
        self.world.boot = DirectorBoot(systemd=True, program=("/usr/bin/dsrwizard",))
        self.world.bird = BirdFacts(version="2.0.12", systemd=True, enabled=True, running=True)
        self.world.machine.files[BIRD_CONF] = THEIRS
        self.deployment = self.with_bgp(self.world.deployment(services=(Service(port=80, scheduler="mh"),)))

    def with_bgp(self, plain: Deployment, neighbour: str = "10.0.0.1") -> Deployment:
        bgp = Bgp(neighbour=neighbour, local_as=65010, neighbour_as=65000)
        return msgspec.structs.replace(plain, director=msgspec.structs.replace(plain.director, guard=True, bgp=bgp))

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), self.folder / "journal")

    def steps(self, deployment: Deployment | None = None) -> tuple[Step, ...]:
        engine, wanted = self.engine(), deployment or self.deployment
        plan = engine.plan(wanted, engine.observe(wanted))
        return next((host.steps for host in plan.hosts if host.host == DIRECTOR), ())

    def problem(self, deployment: Deployment | None = None) -> str:
        engine, wanted = self.engine(), deployment or self.deployment
        plan = engine.plan(wanted, engine.observe(wanted))
        return next((host.problem for host in plan.hosts if host.host == DIRECTOR), "")

    def apply(self) -> RunResult:
        engine = self.engine()
        return engine.apply(self.deployment, engine.plan(self.deployment, engine.observe(self.deployment)), _nobody)

    def teardown(self) -> RunResult:
        engine = self.engine()
        return engine.teardown(self.deployment, engine.teardown_plan(self.deployment), _nobody)

    @property
    def conf(self) -> str:
        return self.world.machine.files[BIRD_CONF].content


def _nobody(event: object) -> None:
    pass


@pytest.fixture
def spread(tmp_path: Path) -> Spread:
    return Spread(tmp_path)


def test_it_is_set_up_and_the_second_plan_is_empty(spread: Spread) -> None:
    assert spread.apply().ok
    assert spread.conf == with_include(DEBIANS)
    assert sign_of("shop") in spread.world.machine.files[bird_file("shop")].content
    assert VIP in spread.world.machine.links["lo"].addresses
    assert VIP not in spread.world.machine.links["eth0"].addresses
    assert spread.steps() == ()


def test_nobody_is_told_by_arp(spread: Spread) -> None:
    """Several directors have the VIP: an answer of one of them would take it from the others."""
    assert spread.apply().ok
    changes = [change for host, change in spread.world.done if host == DIRECTOR]
    assert not [change for change in changes if isinstance(change, AnnounceChange)]
    assert [change.interface for change in changes if isinstance(change, AddressChange)] == ["lo"]
    settings = spread.world.machine.sysctls
    assert settings["net.ipv4.conf.all.arp_ignore"] == "1"
    assert settings["net.ipv4.conf.all.arp_announce"] == "2"
    assert settings["net.ipv4.vs.sloppy_tcp"] == "1"


def test_a_boot_brings_the_vip_back_where_it_was(spread: Spread) -> None:
    assert spread.apply().ok
    saved = next(change for _, change in spread.world.done if isinstance(change, SavedTableChange))
    assert saved.interface == "lo"
    assert "net.ipv4.vs.sloppy_tcp" in saved.settings


def test_every_director_chooses_alike(spread: Spread) -> None:
    """mh-port and mh-fallback: IP_VS_SVC_F_SCHED2 and 1 (linux/ip_vs.h)."""
    assert spread.apply().ok
    (service,) = spread.world.ipvs.services()
    assert (service.state.scheduler, service.state.flags & 0x18) == ("mh", 0x18)


def test_the_guard_comes_last_and_withdraws_whatever_becomes_of_it(spread: Spread) -> None:
    ids = [step.id for step in spread.steps()]
    assert ids.index("bgp") < ids.index("guard-service")
    assert spread.apply().ok
    unit = spread.world.machine.files[guard_files("shop")[1]].content
    assert f"ExecStopPost=-/usr/bin/env ip link del {sign_of('shop')}\n" in unit


def test_a_teardown_leaves_nothing(spread: Spread) -> None:
    before = dict(spread.world.machine.files), dict(spread.world.machine.sysctls)
    assert spread.apply().ok
    assert spread.teardown().ok
    assert (dict(spread.world.machine.files), dict(spread.world.machine.sysctls)) == before
    assert VIP not in spread.world.machine.links["lo"].addresses
    assert spread.engine().teardown_plan(spread.deployment).empty


def test_without_the_journal_bird_s_part_is_known_by_its_name(spread: Spread) -> None:
    before = dict(spread.world.machine.files)
    assert spread.apply().ok
    shutil.rmtree(spread.folder / "journal")
    assert spread.teardown().ok
    assert spread.world.machine.files[BIRD_CONF] == THEIRS
    assert dict(spread.world.machine.files) == before, "nor does a unit of ours stay"
    assert VIP not in spread.world.machine.links["lo"].addresses


def test_what_the_operator_wrote_since_stays_and_our_line_goes(spread: Spread) -> None:
    assert spread.apply().ok
    more = spread.conf + "protocol ospf { ipv4 { import all; export none; }; }\n"
    spread.world.machine.files[BIRD_CONF] = FileState(content=more, mode=0o640)
    assert spread.steps() == ()
    assert spread.teardown().ok
    assert spread.world.machine.files[BIRD_CONF] == FileState(content=more.replace(with_include(""), ""), mode=0o640)
    assert bird_file("shop") not in spread.world.machine.files


def test_the_line_goes_before_the_file_that_it_includes(spread: Spread) -> None:
    assert spread.apply().ok
    (host,) = [one for one in spread.engine().teardown_plan(spread.deployment).hosts if one.host == DIRECTOR]
    (step,) = [one for one in host.steps if one.id == "undo bgp"]
    paths = [getattr(change, "path", "") for change in step.changes]
    assert paths == [BIRD_CONF, bird_file("shop"), ""]


def test_files_that_bird_does_not_take_are_taken_back(spread: Spread) -> None:
    assert spread.world.bird is not None
    spread.world.bird = msgspec.structs.replace(spread.world.bird, running=False)
    plan = spread.engine()
    made = plan.plan(spread.deployment, plan.observe(spread.deployment))
    spread.world.bird = msgspec.structs.replace(spread.world.bird, problem="bird: syntax error")
    assert not plan.apply(spread.deployment, made, _nobody).ok
    assert spread.world.machine.files[BIRD_CONF] == THEIRS
    assert bird_file("shop") not in spread.world.machine.files


def test_an_edited_deployment_is_written_anew(spread: Spread) -> None:
    assert spread.apply().ok
    director = spread.deployment.director
    assert director.bgp is not None
    bgp = msgspec.structs.replace(director.bgp, neighbour_as=65001)
    spread.deployment = msgspec.structs.replace(spread.deployment, director=msgspec.structs.replace(director, bgp=bgp))
    assert [step.id for step in spread.steps()] == ["bgp", "guard-service"]
    assert spread.apply().ok
    assert "as 65001;" in spread.world.machine.files[bird_file("shop")].content
    assert spread.steps() == ()


@pytest.mark.parametrize(
    ("bird", "words"),
    [
        (BirdFacts(), "BIRD is not installed"),
        (BirdFacts(version="3.0.1"), "written for BIRD 2"),
        (BirdFacts(version="2.0.12", problem="bird.conf could not be read."), "could not be read"),
        (BirdFacts(version="2.0.12", sessions=(OtherSession("uplink", "10.0.0.1"),)), "the protocol uplink"),
    ],
)
def test_what_cannot_be_set_up_is_said_and_nothing_is_planned(spread: Spread, bird: BirdFacts, words: str) -> None:
    spread.world.bird = bird
    assert words in spread.problem()
    assert spread.steps() == ()


def test_a_router_elsewhere_is_no_neighbour(spread: Spread) -> None:
    assert "in no network of this director" in spread.problem(spread.with_bgp(spread.deployment, "192.0.2.1"))


def test_a_deployment_in_force_does_not_change_between_the_two_ways(spread: Spread) -> None:
    """The VIP would be gone for a while, or stay where ARP finds it."""
    assert spread.apply().ok
    plain = spread.world.deployment(services=(Service(port=80, scheduler="mh"),))
    with pytest.raises(UsageError, match=r"in force with \[director.bgp\]") as refused:
        spread.steps(plain)
    assert "teardown of shop first" in refused.value.next
    assert spread.teardown().ok
    spread.deployment, with_bgp = plain, spread.deployment
    assert spread.apply().ok
    with pytest.raises(UsageError, match=r"in force without \[director.bgp\]"):
        spread.steps(with_bgp)


def test_a_vip_where_arp_finds_it_is_named(spread: Spread) -> None:
    spread.world.machine.links["eth0"].addresses[VIP] = 32
    assert "The VIP 10.0.0.10 is on eth0 here" in spread.problem()


def told(spread: Spread) -> list[str]:
    """What `verify` finds wrong with the director's settings."""
    report = spread.engine().verify(spread.deployment)
    return [one.message for one in report.checks if one.check == "director.settings" and one.outcome == "fail"]


def test_verify_says_what_keeps_clients_from_this_director(spread: Spread) -> None:
    assert spread.apply().ok
    assert spread.world.bird is not None
    well = msgspec.structs.replace(spread.world.bird, state="Established")
    spread.world.bird = well
    assert told(spread) == []
    spread.world.bird = msgspec.structs.replace(well, state="Active")
    assert told(spread) == ["BIRD has no session with 10.0.0.1, so that router is not told of the VIPs."]
    spread.world.bird = msgspec.structs.replace(well, running=False, state="")
    assert told(spread) == ["BIRD does not run on this director, so no router is told of the VIPs."]
    spread.world.bird = well
    guard = GuardState(deployment="shop", pid=1, since=0, at=0, every=0.5, floor=50, announces=False)
    spread.world.guards["shop"] = guard
    assert told(spread) == ["This director does not announce the VIPs, because its guard finds it unfit."]
