"""`verify` of a deployment that asks for a guard: at work, gone, blind, by hand, without a watchdog."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from backends.notify import watchdog
from dsrwizard.core.model.changes import FileState
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.guarding import DestinationPlace, GuardState, HeldOut, guard_files
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.engine.engine import Engine
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World

FILE, UNIT, LINK = guard_files("shop")


class Farm:
    """A farm in force whose file asks for a guard."""

    def __init__(self, folder: Path, boot: DirectorBoot | None = None, *, guard: bool = True) -> None:
        self.folder, self.world = folder, World.lab(2)
        self.world.boot = boot or DirectorBoot(systemd=True, program=("/opt/bin/dsrwizard",))
        plain = self.world.deployment()
        self.deployment = msgspec.structs.replace(plain, director=msgspec.structs.replace(plain.director, guard=guard))
        engine = self.engine()
        assert engine.apply(
            self.deployment, engine.plan(self.deployment, engine.observe(self.deployment)), lambda event: None
        ).ok
        self.works()

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), self.folder)

    def works(self, **other: object) -> GuardState:
        now = time.time()
        state = GuardState(
            deployment="shop", pid=7, since=now, at=now, every=0.5, floor=50, rounds=9, watchdog=15.0
        )  # fmt: skip
        state = msgspec.structs.replace(state, **other)
        self.world.guards["shop"], self.world.guarded = state, state.alive(now)
        return state

    def check(self, deployment: Deployment | None = None) -> Check:
        report = self.engine().verify(deployment or self.deployment)
        (found,) = [one for one in report.checks if one.check == "director.guard"]
        return found


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def test_a_guard_at_work_passes_with_what_it_does(farm: Farm) -> None:
    check = farm.check()
    assert (check.outcome, check.message) == ("pass", "The guard is at work: it holds nothing out.")
    assert "watchdog 15 s" in check.evidence


def killed(farm: Farm) -> None:
    place = DestinationPlace("10.0.0.10", "tcp/80", "web2")
    held = HeldOut(place=place, weight=1, why="No answer.", since=1.0)
    farm.works(at=time.time() - 60, held=(held,))


def stopped(farm: Farm) -> None:
    farm.works(ended=True)


def rebooted(farm: Farm) -> None:
    farm.world.guards.clear()
    farm.world.guarded = False


@pytest.mark.parametrize(
    ("gone", "seen"),
    [(killed, "too long ago"), (stopped, "it was stopped"), (rebooted, "nothing since the last boot")],
)
def test_one_that_is_gone_is_a_fault_that_mend_cures(farm: Farm, gone: Callable[[Farm], None], seen: str) -> None:
    gone(farm)
    check = farm.check()
    assert (check.outcome, check.cause, check.host) == ("fail", "guard-off", "director")
    assert check.message.startswith("No guard is at work, and the deployment asks for one")
    assert ("web2 stay out" in check.message) is (gone is killed)
    assert seen in check.evidence
    assert check.fix == "On the director: systemctl restart dsrwizard-guard-shop.service"
    engine = farm.engine()
    cures = engine.mend_plan(farm.deployment, check).cures
    assert [step.purpose for step in cures[0].steps] == ["guard-service"]


def test_without_systemd_somebody_else_has_to_run_it(tmp_path: Path) -> None:
    farm = Farm(tmp_path, DirectorBoot(systemd=False))
    assert farm.check().outcome == "pass"
    rebooted(farm)
    check = farm.check()
    assert (check.cause, check.fix) == ("guard-off", "Have this run all the time: dsrwizard guard FILE.")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda files: files.pop(UNIT), "It was started by hand: there is no unit dsrwizard-guard-shop.service."),
        (lambda files: files.pop(LINK), "dsrwizard-guard-shop.service is not enabled."),
        (lambda files: files.update({UNIT: FileState(content="[Unit]\n")}), "is not as dsrwizard writes it."),
        (lambda files: files.update({FILE: FileState(content="", mode=0o600)}), "It reads another deployment"),
    ],
)
def test_one_that_the_next_boot_does_not_bring_back_is_named(
    farm: Farm, change: Callable[[dict[str, FileState]], object], words: str
) -> None:
    change(farm.world.machine.files)
    check = farm.check()
    assert (check.outcome, check.cause) == ("fail", "guard-off")
    assert words in check.message
    assert check.fix == "dsrwizard apply sets it up and starts it."


def test_one_without_a_watchdog_is_named(farm: Farm) -> None:
    farm.works(watchdog=0.0)
    check = farm.check()
    assert (check.cause, check.outcome) == ("guard-off", "fail")
    assert "without a watchdog" in check.message


def test_a_blind_one_is_named_and_follows_from_what_makes_it_blind(farm: Farm) -> None:
    farm.works(blind="No real server answers ARP.")
    check = farm.check()
    assert (check.outcome, check.cause) == ("fail", "guard-off")
    assert check.message == "The guard changes nothing. No real server answers ARP."
    for server in farm.world.servers.values():
        server.reachable = False
    check = farm.check()
    assert (check.outcome, check.consequence_of) == ("skipped", "unreachable")


def test_a_file_that_asks_for_none_is_not_told_of_one(tmp_path: Path) -> None:
    farm = Farm(tmp_path, guard=False)
    report = farm.engine().verify(farm.deployment)
    assert not [one for one in report.checks if one.check == "director.guard"]


def test_before_the_first_apply_it_is_no_fault(tmp_path: Path) -> None:
    farm = Farm(tmp_path, guard=False)
    rebooted(farm)
    asks = msgspec.structs.replace(farm.deployment.director, guard=True)
    fresh = World.lab(2)
    fresh.boot = DirectorBoot(systemd=True)
    report = engine_of(fresh, Nobody(), tmp_path / "other").verify(
        msgspec.structs.replace(farm.deployment, director=asks)
    )
    (check,) = [one for one in report.checks if one.check == "director.guard"]
    assert check.outcome == "skipped"


def test_a_user_without_privilege_is_told_that_it_was_not_seen(farm: Farm) -> None:
    rebooted(farm)
    farm.world.privileged = False
    assert farm.check().outcome == "unknown"


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [("15000000", None, 15.0), ("15000000", "1", 0.0), (None, None, 0.0), ("many", None, 0.0)],
)
def test_the_watchdog_is_what_the_service_manager_told_this_process(
    monkeypatch: pytest.MonkeyPatch, usec: str | None, pid: str | None, seconds: float
) -> None:
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert watchdog() == seconds
