"""A teardown without the journal of the apply: lost, emptied, another user's, another machine's. The hosts are looked
at, what carries dsrwizard's name is taken back, and what cannot be known is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.changes import FORMER_GUARD_FILE, GUARD_FILE, FileState
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.record.owed import owed
from dsrwizard.engine import books as books_module
from dsrwizard.engine import journal as journal_module
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.leases import Leases
from dsrwizard.engine.locks import Locks
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.unit.test_cli import Shell, shell
from tests.unit.test_engine import Farm, outcome

__all__ = ["shell"]
GUARD = "net.ipv4.conf.all.arp_ignore"


def gone(journal: Path) -> None:
    journal.unlink()
    journal.with_suffix(".head").unlink()


def without_head(journal: Path) -> None:
    journal.unlink()


def emptied(journal: Path) -> None:
    journal.write_text("")


def half(journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]))


def the_first_alone(journal: Path) -> None:
    journal.write_bytes(journal.read_bytes().splitlines(keepends=True)[0])


LOSSES: list[Callable[[Path], None]] = [gone, without_head, emptied, half, the_first_alone]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("persistence", ["systemd", "ifupdown", "none"])
def test_what_stands_is_recognised_and_taken_back(
    tmp_path: Path, lose: Callable[[Path], None], persistence: Any
) -> None:
    farm = Farm(tmp_path)
    for server in farm.world.servers.values():
        server.machine.persistence = persistence
    shop = farm.world.deployment(services=(Service(port=80), Service(protocol="udp", port=7)))
    before = farm.state()
    assert farm.apply(shop).ok
    lose(tmp_path / "shop.jsonl")
    farm.engine = farm.fresh()
    plan = farm.engine.teardown_plan(shop)
    notes = {host.host: " ".join(host.notes) for host in plan.hosts}
    if lose is not half:
        assert "What was there before is not known" in notes["web1"]
        assert "send_redirects" in notes[DIRECTOR]
    assert farm.teardown(shop).ok
    assert farm.state() == before
    assert owed(Journals(tmp_path).of("shop").entries()) == []
    assert not farm.engine.in_force("shop")
    touched = len(farm.world.done)
    assert farm.engine.remarks(shop) == (), "nothing is left to be remarked"
    assert farm.teardown(shop).ok
    assert len(farm.world.done) == touched


def test_a_teardown_by_names_that_breaks_off_is_gone_on_with(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    before = farm.state()
    assert farm.apply(shop).ok
    gone(tmp_path / "shop.jsonl")
    farm.engine = farm.fresh()
    farm.world.servers["web2"].lost_at = "undo vip 10.0.0.10"
    assert not farm.teardown(shop).ok
    assert farm.engine.in_force("shop"), "it is in the books now"
    farm.engine = farm.fresh()
    assert farm.teardown(shop).ok
    assert farm.state() == before


def test_a_host_that_does_not_answer_is_no_host_where_nothing_is(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    assert farm.apply(shop).ok
    gone(tmp_path / "shop.jsonl")
    farm.engine = farm.fresh()
    farm.world.servers["web3"].reachable = False
    result = farm.teardown(shop)
    assert not result.ok
    assert outcome(result, "web3").value == "failed"
    assert farm.world.servers["web1"].machine.holds("10.0.0.10") is None


def test_what_others_set_up_by_hand_is_left_and_told(tmp_path: Path) -> None:
    """A farm that was adopted: the file says what stands, and dsrwizard did none of it."""
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    assert farm.apply(shop).ok
    for server in farm.world.servers.values():
        for path in [path for path in server.machine.files if "dsrwizard" in path]:
            del server.machine.files[path]
    gone(tmp_path / "shop.jsonl")
    farm.engine = farm.fresh()
    before, touched = farm.state(), len(farm.world.done)
    plan = farm.engine.teardown_plan(shop)
    assert not plan.steps
    problems = {host.host: host.problem for host in plan.hosts}
    assert set(problems) == {DIRECTOR, "web1", "web2", "web3"}
    assert "10.0.0.10" in problems["web1"]
    assert "the service 10.0.0.10 tcp/80" in problems[DIRECTOR]
    assert not farm.teardown(shop).ok
    assert (farm.state(), len(farm.world.done)) == (before, touched)


def test_another_deployments_files_and_vips_are_not_this_ones(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    mail = farm.world.deployment(vip="10.0.0.11", name="mail", services=(Service(port=80),))
    assert farm.apply(mail).ok
    before = farm.state()
    assert farm.teardown(farm.world.deployment()).ok
    assert farm.state() == before
    assert set(farm.world.requests(3, vip="10.0.0.11")) == {"web1", "web2", "web3"}


def test_two_deployments_without_journals_go_one_after_the_other(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    mail = farm.world.deployment(vip="10.0.0.11", name="mail", services=(Service(port=80),))
    before = farm.state()
    assert farm.apply(shop).ok
    assert farm.apply(mail).ok
    for name in ("shop", "mail"):
        gone(tmp_path / f"{name}.jsonl")
    farm.engine = farm.fresh()
    assert farm.teardown(shop).ok
    assert set(farm.world.requests(3, vip="10.0.0.11")) == {"web1", "web2", "web3"}
    assert farm.world.servers["web1"].machine.sysctls[GUARD] == "1", "the other VIP is still there"
    assert farm.teardown(mail).ok
    assert farm.teardown(shop).ok
    assert farm.state() == before


def test_an_address_that_serves_elsewhere_on_the_director_stays(tmp_path: Path) -> None:
    """Somebody else's service on the same director: its settings and its table are not touched."""
    farm = Farm(tmp_path)
    mail = farm.world.deployment(vip="10.0.0.11", name="mail", services=(Service(port=80),))
    shop = farm.world.deployment()
    assert farm.apply(mail).ok
    assert farm.apply(shop).ok
    for name in ("shop", "mail"):
        gone(tmp_path / f"{name}.jsonl")
    farm.engine = farm.fresh()
    plan = farm.engine.teardown_plan(shop)
    director = next(host for host in plan.hosts if host.host == DIRECTOR)
    assert any("other services use them" in note for note in director.notes)
    assert farm.teardown(shop).ok
    assert farm.world.machine.sysctls["net.ipv4.vs.expire_nodest_conn"] == "1"


def test_the_guards_file_of_earlier_versions_is_recognised(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    assert farm.apply(shop).ok
    machine = farm.world.servers["web1"].machine
    current = machine.files.pop(GUARD_FILE)
    assert isinstance(current, FileState)
    machine.files[FORMER_GUARD_FILE] = current
    gone(tmp_path / "shop.jsonl")
    farm.engine = farm.fresh()
    assert farm.teardown(shop).ok
    assert [path for path in machine.files if "dsrwizard" in path and machine.files[path] is not None] == []
    assert machine.sysctls[GUARD] == "0"


# --- another user, another machine


def test_another_users_journal_is_named_with_what_to_do(tmp_path: Path, no_other_homes: Path) -> None:
    farm = Farm(no_other_homes / ".local/state/dsrwizard/journal")
    shop = farm.world.deployment()
    assert farm.apply(shop).ok
    mine = engine_of(farm.world, Nobody(), tmp_path / "mine")
    (remark,) = mine.remarks(shop)
    assert str(farm.folder / "shop.jsonl") in remark
    assert "run the command with sudo -H" in remark or "run the command as" in remark
    assert mine.remarks(farm.world.deployment(name="mail", vip="10.0.0.11")) == ()


def test_a_journal_that_may_not_be_seen_is_known_by_the_machines_lock(tmp_path: Path) -> None:
    farm = Farm(tmp_path / "theirs")
    (tmp_path / "lock").mkdir()
    with Locks(tmp_path / "out of sight", tmp_path / "lock").hold("apply", "shop"):
        pass
    mine = engine_of(farm.world, Nobody(), tmp_path / "mine")
    mine._leases = Leases(Locks(tmp_path / "mine", tmp_path / "lock"))
    (remark,) = mine.remarks(farm.world.deployment())
    assert str(tmp_path / "out of sight" / "shop.jsonl") in remark


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From now on this is another machine."""

    def go(machine: str) -> None:
        for module in (books_module, journal_module):
            monkeypatch.setattr(module, "machine_id", lambda: machine)

    go("1" * 32)
    return go


def test_the_journal_of_another_director_is_not_settled_from_here(
    tmp_path: Path, elsewhere: Callable[[str], None]
) -> None:
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    assert farm.apply(shop).ok
    elsewhere("2" * 32)
    other = Farm(tmp_path)  # its own world: a director where nothing is
    entries = Journals(tmp_path).of("shop").entries()
    with pytest.raises(LookError, match="of another director") as told:
        other.teardown(shop)
    assert "run apply here first" in told.value.next
    assert len(Journals(tmp_path).of("shop").entries()) == len(entries)
    assert "another machine" in " ".join(other.engine.remarks(shop))
    elsewhere("1" * 32)
    assert farm.teardown(shop).ok


def test_a_director_with_a_new_machine_id_is_still_this_one(tmp_path: Path, elsewhere: Callable[[str], None]) -> None:
    """A container that was started anew, or a cloned machine that got its own id."""
    farm = Farm(tmp_path)
    shop = farm.world.deployment()
    before = farm.state()
    assert farm.apply(shop).ok
    elsewhere("2" * 32)
    farm.engine = farm.fresh()
    assert farm.teardown(shop).ok
    assert farm.state() == before


# --- the command


def test_the_command_says_what_it_found_and_what_it_cannot_know(shell: Shell) -> None:
    file = str(shell.file)
    assert shell("apply", file, "--yes") == 0
    journal = shell.folder / "state" / "dsrwizard" / "journal" / "shop.jsonl"
    emptied(journal)
    assert shell("teardown", file) == 2, "there is no terminal to confirm it"
    assert "ip addr del 10.0.0.10/32 dev lo" in shell.out
    assert "What was there before is not known" in shell.out
    assert "is not whole" in shell.err
    assert "nothing is left" in shell.err
    assert set(shell.world.requests(3)) == {"web1", "web2", "web3"}
    assert shell("teardown", file, "--yes") == 0
    assert shell.world.requests(1) == [""]
    assert shell("teardown", file, "--yes") == 0
    assert "Nothing to do" in shell.out
    assert shell.err == ""


def test_the_command_ends_with_1_where_it_leaves_something(shell: Shell) -> None:
    file = str(shell.file)
    assert shell("apply", file, "--yes") == 0
    gone(shell.folder / "state" / "dsrwizard" / "journal" / "shop.jsonl")
    for server in shell.world.servers.values():
        server.machine.files.clear()
    assert shell("teardown", file, "--yes") == 1
    assert "nothing there shows that dsrwizard put it there" in shell.out + shell.err
    assert set(shell.world.requests(3)) == {"web1", "web2", "web3"}


def test_a_journal_of_a_newer_version_and_a_damaged_one_change_nothing(shell: Shell) -> None:
    file = str(shell.file)
    assert shell("apply", file, "--yes") == 0
    journal = shell.folder / "state" / "dsrwizard" / "journal" / "shop.jsonl"
    content = journal.read_bytes()
    for spoilt, said in (
        (content.replace(b'"type":"AddressChange"', b'"type":"TunnelChange"'), "newer than this one"),
        (content.replace(b'{"type":"Intent"', b'{"type":"Int', 1), "damaged at line 2"),
    ):
        journal.write_bytes(spoilt)
        for command in ("apply", "teardown", "plan"):
            assert shell(command, file, *(["--yes"] if command != "plan" else [])) == 3
            assert said in shell.err
        assert set(shell.world.requests(3)) == {"web1", "web2", "web3"}
    shell.file.with_name("mail.toml").write_text(
        dumps(msgspec.structs.replace(shell.world.deployment(vip="10.0.0.11"), name="mail"))
    )
    assert shell("apply", str(shell.file.with_name("mail.toml")), "--yes") == 0
    assert shell("teardown", str(shell.file.with_name("mail.toml")), "--yes") == 0
    assert "damaged at line 2" in shell.err
