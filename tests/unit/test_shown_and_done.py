"""Nothing is done that was not shown: a plan is made again under the lock, and shown again where it is another one."""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
import pytest

from dsrwizard import out
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.errors import Locked
from dsrwizard.core.plan.again import PlanChanged, nothing_new
from dsrwizard.engine.locks import Locks
from dsrwizard.session import state_dir
from tests.unit.test_cli import Shell, Terminal, shell
from tests.unit.test_engine import Farm

__all__ = ["shell"]
GUARD = "net.ipv4.conf.all.arp_ignore"
KEY = ServiceKey("10.0.0.10", "tcp", 80)


def reweighed(farm: Farm | Shell, weight: int) -> None:
    """Somebody else sets a weight."""
    entry = farm.world.ipvs.table[KEY].entry("10.0.0.101", 80)
    assert entry is not None
    entry.state = msgspec.structs.replace(entry.state, weight=weight)


def test_a_plan_of_other_values_is_not_carried_out_and_comes_back_with_the_error(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    plan = farm.engine.plan(shop, farm.engine.observe(shop))
    farm.world.servers["web1"].machine.sysctls[GUARD] = "3"
    with pytest.raises(PlanChanged) as told:
        farm.engine.apply(shop, plan, farm.events.append)
    assert farm.world.done == []
    assert not nothing_new(plan, told.value.plan)
    assert told.value.observed is not None
    assert farm.engine.apply(shop, told.value.plan, farm.events.append).ok


def test_what_somebody_did_meanwhile_is_not_done_again_and_the_rest_is(tmp_path: Path) -> None:
    """Both shown the same plan: one has done it, the other finds nothing left."""
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    plan = farm.engine.plan(shop, farm.engine.observe(shop))
    other = farm.fresh()
    assert other.apply(shop, plan, farm.events.append).ok
    touched = len(farm.world.done)
    assert farm.engine.apply(shop, plan, farm.events.append).ok
    assert len(farm.world.done) == touched


def test_a_vip_without_its_guard_is_not_done_though_the_vip_was_shown(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    assert farm.apply(shop).ok
    machine = farm.world.servers["web1"].machine
    del machine.links["lo"].addresses["10.0.0.10"]
    plan = farm.engine.plan(shop, farm.engine.observe(shop))
    assert [step.id for step in plan.steps] == ["vip 10.0.0.10"]
    machine.sysctls[GUARD] = "0"
    with pytest.raises(PlanChanged):
        farm.engine.apply(shop, plan, farm.events.append)
    assert machine.holds("10.0.0.10") is None


def test_every_run_needs_the_right_to_change_hosts_and_no_look_does(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    assert farm.apply(shop).ok
    plan, back = farm.engine.plan(shop, farm.engine.observe(shop)), farm.engine.teardown_plan(shop)
    touched = len(farm.world.done)
    with Locks(tmp_path).hold("apply", "mail"):
        for run in (
            lambda: farm.engine.apply(shop, plan, farm.events.append),
            lambda: farm.engine.teardown(shop, back, farm.events.append),
            lambda: farm.engine.roll_back(shop, ("web1",), farm.events.append),
            lambda: farm.engine.watch(shop, recorded=False).set_weight("web1", 0),
        ):
            with pytest.raises(Locked, match="apply of mail has been running since"):
                run()
        assert len(farm.world.done) == touched
        assert farm.engine.verify(shop).verdict == "pass"
        assert farm.engine.watch(shop, recorded=False).once().services
        assert farm.engine.plan(shop, farm.engine.observe(shop)).empty


# --- the commands


@pytest.mark.parametrize("command", ["apply", "teardown"])
def test_a_second_command_ends_with_3_and_says_who_is_at_it(shell: Shell, command: str) -> None:
    with Locks(state_dir() / "journal").hold("apply", "mail"):
        assert shell(command, str(shell.file), "--yes") == 3
        assert "apply of mail has been running since" in shell.err
        assert "--wait" in shell.err
        assert shell(command, str(shell.file), "--yes", "--wait", "0.3") == 3
        for look in ("plan", "verify", "status"):
            assert shell(look, str(shell.file)) in (0, 1)
            assert "has been running" not in shell.err
    assert shell.world.done == []
    assert shell(command, str(shell.file), "--yes", "--wait", "30") == 0


def test_a_plan_that_is_another_one_after_the_answer_is_shown_and_asked_again(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shell("apply", str(shell.file), "--yes") == 0
    reweighed(shell, 5)
    asked: list[str] = []

    def thinking(question: str) -> bool:
        with Locks(state_dir() / "journal").hold("weight", "shop"):
            asked.append(question)  # nothing is locked while the operator thinks
            if len(asked) == 1:
                reweighed(shell, 9)
        return True

    monkeypatch.setattr(sys, "stdin", Terminal(""))
    monkeypatch.setattr(out, "confirm", thinking)
    assert shell("apply", str(shell.file)) == 0
    assert len(asked) == 2
    assert "The hosts have changed since this plan was made. Nothing was done." in shell.err
    assert shell.out.count("Weight 1 for web1") == 2
