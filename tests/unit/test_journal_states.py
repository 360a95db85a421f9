"""Journals that are not as they were left: cut short, emptied, edited, of a newer version, taken by a power cut. Each
is told from the others, and one broken journal stands in no other deployment's way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard import __version__
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.record.owed import RunBegan, given_up, in_force, owed
from dsrwizard.engine.journal import Journal, Journals, JournalUnread
from tests.unit.test_engine import Farm
from tests.unit.test_journal import SHOP, STEP, one_run


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journals(tmp_path).of("shop")
    for _ in range(3):
        one_run(made)
    return made


def fresh(journal: Journal) -> Journal:
    """As the next program sees it."""
    return Journals(journal.path.parent).of("shop")


def lines_of(journal: Journal) -> list[bytes]:
    return journal.path.read_bytes().splitlines(keepends=True)


def head_of(journal: Journal) -> Path:
    return journal.path.with_suffix(".head")


# --- whole


def test_a_whole_journal_has_nothing_to_be_remarked(journal: Journal) -> None:
    assert fresh(journal).condition().remarks == ()
    assert len(journal.entries()) == 12
    assert head_of(journal).stat().st_mode & 0o777 == 0o600


def test_every_run_says_who_wrote_it_and_where(journal: Journal) -> None:
    began = journal.entries()[0]
    assert isinstance(began, RunBegan)
    assert (began.host, began.version) == (os.uname().nodename, __version__)
    assert began.user
    assert began.format == 1


def as_before(line: bytes) -> bytes:
    """A line as the version before this one wrote it."""
    entry = json.loads(line)
    for key in ("format", "user", "host", "machine", "durable") if entry["type"] == "RunBegan" else ():
        del entry[key]
    return json.dumps(entry).encode() + b"\n"


def test_a_journal_of_the_version_before_is_read_and_gone_on_with(journal: Journal) -> None:
    journal.path.write_bytes(b"".join(map(as_before, lines_of(journal))))
    head_of(journal).unlink()
    later = fresh(journal)
    assert later.condition().remarks == ()
    one_run(later)
    assert len(fresh(journal).entries()) == 16
    assert fresh(journal).condition().remarks == ()
    journal.path.write_bytes(b"".join(lines_of(journal)[:-1]))
    assert fresh(journal).condition().lost == 1


def test_a_run_of_the_version_before_in_between_is_no_loss(journal: Journal) -> None:
    """It writes the journal and knows no head."""
    with journal.path.open("ab") as file:
        file.write(b"".join(map(as_before, lines_of(journal)[:4])))
    assert fresh(journal).condition().remarks == ()
    one_run(fresh(journal))
    assert fresh(journal).condition().remarks == ()


@pytest.mark.parametrize("behind", [1, 2, 4])
def test_a_power_cut_between_journal_and_head_is_no_damage(tmp_path: Path, behind: int) -> None:
    journal = Journals(tmp_path).of("shop")
    one_run(journal)
    heads = [head_of(journal).read_bytes()]
    run = journal.begin("apply", SHOP)
    heads.append(head_of(journal).read_bytes())
    run.intend("10.0.0.101", STEP)
    heads.append(head_of(journal).read_bytes())
    run.result(STEP.host, STEP.id, Outcome.CHANGED)
    run.end(True)
    heads.append(head_of(journal).read_bytes())
    head_of(journal).write_bytes(heads[-behind])
    assert fresh(journal).condition().remarks == ()
    one_run(fresh(journal))
    assert fresh(journal).condition().remarks == ()
    assert len(fresh(journal).entries()) == 12


@pytest.mark.parametrize("slot", [0, 1])
def test_a_torn_head_is_no_damage(journal: Journal, slot: int) -> None:
    content = bytearray(head_of(journal).read_bytes())
    content[slot * 512 + 10 : slot * 512 + 400] = b"\0" * 390
    head_of(journal).write_bytes(content)
    assert fresh(journal).condition().remarks == ()
    one_run(fresh(journal))
    assert fresh(journal).condition().remarks == ()


# --- cut short, emptied, edited


def cut(journal: Journal, left: int) -> None:
    journal.path.write_bytes(b"".join(lines_of(journal)[:left]))


@pytest.mark.parametrize("left", range(12))
def test_a_journal_that_ends_at_an_earlier_line_is_noticed(journal: Journal, left: int) -> None:
    cut(journal, left)
    condition = fresh(journal).condition()
    assert condition.lost == 12 - left
    (remark,) = condition.remarks
    assert f"at least {12 - left} of its entries are gone" in remark
    assert str(journal.path) in remark


def test_an_older_copy_put_back_is_noticed_and_stays_so_after_the_next_run(journal: Journal) -> None:
    cut(journal, 4)
    one_run(fresh(journal))
    one_run(fresh(journal))
    assert fresh(journal).condition().lost == 8, "what was lost is still lost"


def test_a_journal_that_is_gone_is_not_one_that_never_was(journal: Journal, tmp_path: Path) -> None:
    assert Journals(tmp_path).of("never").condition().remarks == ()
    journal.path.unlink()
    assert "nothing is left" in fresh(journal).condition().remarks[0]


@pytest.mark.parametrize("number", range(11))
def test_a_line_taken_out_is_noticed_also_without_the_head_when_a_run_came_later(journal: Journal, number: int) -> None:
    lines = lines_of(journal)
    journal.path.write_bytes(b"".join(lines[:number] + lines[number + 1 :]))
    assert fresh(journal).condition().lost == 1
    head_of(journal).unlink()
    assert fresh(journal).condition().lost == (1 if number < 8 else 0), "the last run began after eight lines"


def test_a_line_that_was_edited_is_noticed(journal: Journal) -> None:
    journal.path.write_bytes(journal.path.read_bytes().replace(b'"old":"0"', b'"old":"1"', 1))
    assert fresh(journal).condition().lost
    assert fresh(journal).entries()


# --- a newer version


def edited(journal: Journal, number: int, change: Callable[[dict[str, Any]], object]) -> None:
    lines = lines_of(journal)
    entry = json.loads(lines[number])
    change(entry)
    lines[number] = json.dumps(entry).encode() + b"\n"
    journal.path.write_bytes(b"".join(lines))


NEWER: dict[str, tuple[int, Callable[[dict[str, Any]], object]]] = {
    "an entry type": (2, lambda entry: entry.update(type="Promise")),
    "a verb": (0, lambda entry: entry.update(verb="migrate", version="9.1")),
    "a change": (1, lambda entry: entry["step"]["changes"][0].update(type="RouteChange")),
    "a format": (0, lambda entry: entry.update(format=2, version="9.1")),
    "an outcome": (2, lambda entry: entry.update(outcome="postponed")),
}


@pytest.mark.parametrize("what", NEWER)
@pytest.mark.parametrize("head", [True, False])
def test_what_a_newer_version_wrote_is_told_as_that(journal: Journal, what: str, head: bool) -> None:
    number, change = NEWER[what]
    edited(journal, 0, lambda entry: entry.update(version="9.1"))
    edited(journal, number, change)
    if not head:
        head_of(journal).unlink()
    with pytest.raises(JournalUnread) as told:
        fresh(journal).entries()
    assert f"written by dsrwizard 9.1, newer than this one ({__version__})" in told.value.what
    assert "Upgrade" in told.value.next
    assert "damaged" not in str(told.value)
    assert "repair" not in str(told.value)


def test_a_value_of_the_wrong_kind_by_this_very_version_is_damage(journal: Journal) -> None:
    edited(journal, 1, lambda entry: entry.update(at="noon"))
    with pytest.raises(JournalUnread, match="damaged at line 2"):
        fresh(journal).entries()


# --- a power cut


def test_zeros_in_the_middle_where_only_results_can_have_been_are_passed_over(journal: Journal) -> None:
    run = journal.begin("apply", SHOP)
    run.intend("10.0.0.101", STEP)
    head = head_of(journal).read_bytes()
    run.result(STEP.host, STEP.id, Outcome.CHANGED)
    run.result(STEP.host, "other", Outcome.CHANGED)
    lines = lines_of(journal)
    journal.path.write_bytes(b"".join(lines[:-2]) + b"\0" * len(lines[-2]) + b"\0" * 40 + lines[-1][40:])
    head_of(journal).write_bytes(head)
    for _ in range(3):
        later = fresh(journal)
        assert len(later.condition().remarks) == 1
        assert "power cut" in later.condition().remarks[0]
        assert any(item.host == STEP.host and not item.certain for item in owed(later.entries()[-2:]))
        break
    before = len(fresh(journal).entries())
    one_run(fresh(journal))
    one_run(fresh(journal))
    assert len(fresh(journal).entries()) == before + 8, "later runs are read, and it is not damaged for ever"
    assert fresh(journal).condition().passed_over == 1


def test_zeros_where_an_intent_was_known_to_be_on_the_disk_are_damage(journal: Journal) -> None:
    lines = lines_of(journal)
    journal.path.write_bytes(b"".join([lines[0], b"\0" * (len(lines[1]) - 1) + b"\n", *lines[2:]]))
    with pytest.raises(JournalUnread, match="damaged at line 2"):
        fresh(journal).entries()


# --- the disk


def test_a_disk_that_fills_up_in_the_middle_does_not_claim_that_nothing_was_changed(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    run = journal.begin("apply", SHOP)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(LookError) as told:
            run.intend("10.0.0.101", STEP)
    assert "changes nothing without a journal" in told.value.why
    run.intend("10.0.0.101", STEP)
    monkeypatch.setattr(os, "write", full)
    writes: list[Callable[[], None]] = [
        lambda: run.result(STEP.host, STEP.id, Outcome.CHANGED),
        lambda: run.end(True),
    ]
    for write in writes:
        with pytest.raises(LookError) as told:
            write()
        assert "No space left" in told.value.what
        assert "changes nothing" not in told.value.why
        assert "What this run has changed before is in it" in told.value.why
        assert "teardown" in told.value.next


# --- a run beside a teardown, before there was a lock


def test_a_teardown_beside_an_apply_gives_nothing_up(tmp_path: Path) -> None:
    """As the journals of earlier versions have it: the apply was open as the teardown ended."""
    farm = Farm(tmp_path / "farm")
    shop = farm.world.deployment()
    assert farm.apply(shop).ok
    journal = Journals(tmp_path / "farm").of("shop")
    applied = lines_of(journal)
    torn = Journals(tmp_path / "farm").of("shop").begin("teardown", shop)
    torn.end(True)
    teardown = lines_of(journal)[len(applied) :]
    for at in (1, len(applied) // 2, len(applied) - 1):
        journal.path.write_bytes(b"".join([*applied[:at], *teardown, *applied[at:]]))
        entries = Journals(tmp_path / "farm").of("shop").entries()
        assert not given_up(entries)
        assert in_force(entries)
    journal.path.write_bytes(b"".join([*applied, *teardown]))
    assert given_up(Journals(tmp_path / "farm").of("shop").entries()), "one after the other"
    killed = [line for line in applied if b'"RunEnded"' not in line]
    journal.path.write_bytes(b"".join([*killed, *teardown]))
    assert given_up(Journals(tmp_path / "farm").of("shop").entries()), "the apply was killed before"


# --- others


@pytest.mark.parametrize("how", ["garbage", "newer", "unreadable"])
def test_a_broken_journal_stands_in_no_other_deployments_way(tmp_path: Path, how: str) -> None:
    farm = Farm(tmp_path / "farm")
    shop = farm.world.deployment()
    mail = farm.world.deployment(vip="10.0.0.11", name="mail", services=(Service(port=80),))
    assert farm.apply(shop).ok
    assert farm.apply(mail).ok
    other = tmp_path / "farm" / "mail.jsonl"
    match how:
        case "garbage":
            other.write_bytes(os.urandom(300) + b"\n" + other.read_bytes())
        case "newer":
            other.write_bytes(other.read_bytes().replace(b'"AddressChange"', b'"RouteChange"'))
        case _:
            other.unlink()
            other.mkdir()
    farm.engine = farm.fresh()
    (remark,) = farm.engine.remarks(shop)
    assert str(other) in remark
    plan = farm.engine.teardown_plan(shop)
    notes = {host.host: host.notes for host in plan.hosts}
    assert any("The guard stays" in note for note in notes["web1"])
    assert farm.teardown(shop).ok
    assert farm.world.servers["web1"].machine.holds("10.0.0.10") is None
    assert farm.world.servers["web1"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] == "1"
    assert set(farm.world.requests(3, vip="10.0.0.11")) == {"web1", "web2", "web3"}
    assert [one.name for one in Journals(tmp_path / "farm").in_force()] == []
    assert [problem.path for problem in Journals(tmp_path / "farm").surveyed()[1]] == [other]


def test_what_an_unreadable_journal_may_need_is_left_and_it_is_said_why(tmp_path: Path) -> None:
    farm = Farm(tmp_path / "farm")
    shop = farm.world.deployment()
    assert farm.apply(shop).ok
    (tmp_path / "farm" / "mail.jsonl").write_text("no journal\n")
    farm.engine = farm.fresh()
    notes = {host.host: host.notes for host in farm.engine.teardown_plan(shop).hosts}
    why = "the journal of mail cannot be read, and that deployment may need it."
    assert any(note == f"The guard stays: {why}" for note in notes["web1"])
    assert any("send_redirects" in note and note.endswith(f"stays: {why}") for note in notes["director"])
    assert farm.teardown(shop).ok
    assert farm.world.servers["web1"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] == "1"
    assert farm.world.requests(1) == [""]


def test_the_guard_goes_from_servers_that_the_broken_deployment_has_not(tmp_path: Path) -> None:
    farm = Farm(tmp_path / "farm")
    shop = farm.world.deployment()
    mail = farm.world.deployment(vip="10.0.0.11", name="mail", services=(Service(port=80),))
    mail = msgspec.structs.replace(mail, servers=mail.servers[:1])
    assert farm.apply(shop).ok
    assert farm.apply(mail).ok
    other = tmp_path / "farm" / "mail.jsonl"
    lines = other.read_bytes().splitlines(keepends=True)
    other.write_bytes(b"".join([*lines[:2], b"{{{\n", *lines[2:]]))
    farm.engine = farm.fresh()
    assert farm.teardown(shop).ok
    settings = [one.machine.sysctls["net.ipv4.conf.all.arp_ignore"] for one in farm.world.servers.values()]
    assert settings == ["1", "0", "0"]


def test_a_copy_of_the_whole_folder_is_whole(journal: Journal, tmp_path: Path) -> None:
    """A backup that is put back somewhere else."""
    shutil.copytree(journal.path.parent, tmp_path.parent / f"{tmp_path.name}-copy")
    assert Journals(tmp_path.parent / f"{tmp_path.name}-copy").of("shop").condition().remarks == ()
