"""A server that has left the deployment and is dead: the rest counts, what is owed there stays in the journal until the
machine answers or its operator says that it is gone for good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.record.owed import owed
from dsrwizard.engine.journal import Journals
from dsrwizard.session import state_dir
from tests.unit.test_cli import Shell, shell
from tests.unit.test_engine import Farm, outcome, weights

__all__ = ["shell"]


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(tmp_path)


def without_web3(whole: Deployment) -> Deployment:
    return msgspec.structs.replace(whole, servers=whole.servers[:2])


def left_on(farm: Farm, host: str) -> int:
    return sum(item.host == host for item in owed(Journals(farm.folder).of("shop").entries()))


def test_a_dead_server_that_was_taken_out_fails_no_apply_and_stays_in_the_journal(farm: Farm) -> None:
    whole = farm.world.deployment()
    assert farm.apply(whole).ok
    before = left_on(farm, "web3")
    farm.world.servers["web3"].reachable = False
    for _ in range(2):  # the one that takes it out, and every later one
        result = farm.apply(without_web3(whole))
        assert result.ok
        assert outcome(result, "web3") is Outcome.SKIPPED
        assert set(weights(farm)) == {"10.0.0.101", "10.0.0.102"}
        assert left_on(farm, "web3") == before
        (failure,) = [host.failure for host in result.hosts if host.failure is not None]
        assert failure.what == "web3 (10.0.0.103) is no longer in the file, and does not answer."
        assert "Still on it: the VIP 10.0.0.10 and" in failure.why
        assert "If it starts again, it holds 10.0.0.10 again." in failure.why
        assert "dsrwizard forget FILE web3" in failure.next


def test_it_is_taken_back_as_soon_as_it_answers(farm: Farm) -> None:
    before = farm.state()
    whole = farm.world.deployment()
    assert farm.apply(whole).ok
    web3 = farm.world.servers["web3"]
    web3.reachable = False
    assert farm.apply(without_web3(whole)).ok
    web3.reachable = True
    assert farm.apply(without_web3(whole)).ok
    assert web3.machine.holds("10.0.0.10") is None
    assert left_on(farm, "web3") == 0
    assert farm.teardown(whole).ok
    assert farm.state() == before


@pytest.mark.parametrize("way", ["login", "key", "steps"])
def test_one_that_is_alive_and_keeps_the_vip_fails_the_apply(farm: Farm, way: str) -> None:
    whole = farm.world.deployment()
    assert farm.apply(whole).ok
    web3 = farm.world.servers["web3"]
    match way:
        case "login":
            web3.password = "changed"
        case "key":
            web3.key = "changed"
        case _:
            observed = farm.engine.observe(without_web3(whole))
            plan = farm.engine.plan(without_web3(whole), observed)
            web3.fails = {step.id: "no" for step in plan.steps if step.host == "web3"}
    farm.engine = farm.fresh()
    result = farm.apply(without_web3(whole))
    assert not result.ok
    assert outcome(result, "web3") is Outcome.FAILED


def test_a_dead_server_of_the_file_fails_the_apply(farm: Farm) -> None:
    whole = farm.world.deployment()
    assert farm.apply(whole).ok
    farm.world.servers["web3"].reachable = False
    assert not farm.apply(whole).ok


def test_the_teardown_is_not_done_while_a_dead_server_has_something(farm: Farm) -> None:
    whole = farm.world.deployment()
    assert farm.apply(whole).ok
    farm.world.servers["web3"].reachable = False
    assert farm.apply(without_web3(whole)).ok
    assert not farm.teardown(without_web3(whole)).ok


# --- as commands -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dead(shell: Shell) -> Shell:
    """web3 is in no file any more, and its machine is dead."""
    assert shell("apply", str(shell.file), "--yes") == 0
    shell.world.servers["web3"].reachable = False
    shell.write(without_web3(shell.world.deployment()))
    return shell


def entries(name: str = "web3") -> int:
    return sum(item.host == name for item in owed(Journals(state_dir() / "journal").of("shop").entries()))


def test_it_is_said_once_and_the_exit_code_is_that_of_the_rest(dead: Shell) -> None:
    for command in (("plan",), ("apply", "--yes"), ("apply", "--yes"), ("apply",)):
        assert dead(command[0], str(dead.file), *command[1:]) == 0, dead.err
        assert (dead.out + dead.err).count("is no longer in the file, and does not answer") == 1
        assert "web3: left as it is" in dead.out
    assert dead("apply", str(dead.file), "--json") == 0
    (host,) = [host for host in dead.document()["hosts"] if host["host"] == "web3"]
    assert (host["outcome"], host["failure"]["kind"]) == ("skipped", "departed")


def test_a_machine_that_is_gone_for_good_is_forgotten_after_a_question(
    dead: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dead("apply", str(dead.file), "--yes") == 0
    assert dead("forget", str(dead.file), "web3") == 2, "there is nobody to ask"
    assert "undo: ip addr del 10.0.0.10/32 dev lo" in dead.out
    assert "If this machine starts again, it holds 10.0.0.10" in dead.out
    assert entries()
    assert dead("forget", str(dead.file), "10.0.0.103", "--yes") == 0
    assert "Forgotten: web3. Nothing was changed on any host." in dead.out
    assert entries() == 0
    assert dead("apply", str(dead.file), "--yes") == 0
    assert "web3" not in dead.out + dead.err
    assert dead("events", str(dead.file)) == 0
    assert "forget" in dead.out
    assert dead("teardown", str(dead.file), "--yes") == 0


def test_what_is_forgotten_as_json(dead: Shell) -> None:
    assert dead("apply", str(dead.file), "--yes") == 0
    assert dead("forget", str(dead.file), "web3", "--yes", "--json") == 0
    document: Any = dead.document()
    assert (document["server"], document["address"]) == ("web3", "10.0.0.103")
    assert document["forgotten"]


def test_only_a_machine_that_is_out_of_the_file_and_dead_is_forgotten(dead: Shell) -> None:
    assert dead("forget", str(dead.file), "web2", "--yes") == 2
    assert "web2 is in the file of shop." in dead.err
    assert dead("forget", str(dead.file), "web9", "--yes") == 2
    assert "It has something about web3." in dead.err
    dead.world.servers["web3"].reachable = True
    assert dead("forget", str(dead.file), "web3", "--yes") == 2
    assert "answers, so it is not gone." in dead.err
    assert entries()


def test_a_machine_that_has_moved_is_not_forgotten_by_its_former_address(shell: Shell) -> None:
    """It lives, at another address: what is owed is owed there."""
    assert shell("apply", str(shell.file), "--yes") == 0
    web3 = shell.world.servers["web3"]
    web3.machine.machine_id = "3" * 32
    shell.world.servers["web3"].reachable = True
    whole = shell.world.deployment()
    assert shell("apply", str(shell.file), "--yes") == 0
    web3.rips = ("10.0.0.113", *web3.rips[1:])
    moved = msgspec.structs.replace(whole.servers[2], address="10.0.0.113")
    shell.write(msgspec.structs.replace(whole, servers=(*whole.servers[:2], moved)))
    assert shell("forget", str(shell.file), "10.0.0.103", "--yes") == 2
    assert entries()
