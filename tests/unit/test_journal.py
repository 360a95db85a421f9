"""The journal on disk: whole or refused, for its owner alone, and readable after the machine went down."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.changes import SysctlChange
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import Step
from dsrwizard.core.record.owed import Entry, Intent, Result, RunBegan, RunEnded
from dsrwizard.engine.journal import Journal, Journals

SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0"),
    vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
    servers=(RealServer(name="größe", address="10.0.0.101"),),
)
STEP = Step(
    id="guard", host="größe", phase="guard", title="“Guard” → on\nsecond line", why="",
    changes=(SysctlChange(key="net.ipv4.conf.all.arp_ignore", old="0", new="1"),),
)  # fmt: skip


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journals(tmp_path / "new" / "folder").of("shop")


def one_run(journal: Journal) -> None:
    run = journal.begin("apply", SHOP)
    run.intend("10.0.0.101", STEP)
    run.result(STEP.host, STEP.id, Outcome.CHANGED, "said “yes”")
    run.end(True)


def kinds(entries: list[Entry]) -> list[type]:
    return [type(entry) for entry in entries]


def test_what_is_written_comes_back(journal: Journal) -> None:
    assert journal.entries() == []
    one_run(journal)
    entries = journal.entries()
    assert kinds(entries) == [RunBegan, Intent, Result, RunEnded]
    assert isinstance(entries[1], Intent)
    assert entries[1].step == STEP
    assert isinstance(entries[0], RunBegan)
    assert entries[0].deployment == SHOP


def test_it_is_readable_by_its_owner_alone(journal: Journal) -> None:
    one_run(journal)
    assert journal.path.stat().st_mode & 0o777 == 0o600
    assert journal.path.parent.stat().st_mode & 0o777 == 0o700


def test_a_journal_cut_at_any_byte_is_read_as_far_as_it_goes_and_goes_on(journal: Journal) -> None:
    one_run(journal)
    whole = journal.path.read_bytes()
    ends = [number + 1 for number, byte in enumerate(whole) if byte == ord("\n")]
    for cut in range(len(whole)):
        journal.path.write_bytes(whole[:cut])
        complete = sum(end <= cut for end in ends)
        assert complete <= len(journal.entries()) <= complete + 1
        if cut % 7 == 0:
            one_run(journal)
            assert kinds(journal.entries())[complete:] == [RunBegan, Intent, Result, RunEnded]


def test_zeros_at_the_end_are_a_torn_line(journal: Journal) -> None:
    """Some file systems show the blocks of a write that did not make it as zeros."""
    one_run(journal)
    with journal.path.open("ab") as file:
        file.write(b"\0" * 300)
    assert len(journal.entries()) == 4
    one_run(journal)
    assert len(journal.entries()) == 8


def test_damage_in_the_middle_is_named_by_line_and_never_passed_over(journal: Journal) -> None:
    one_run(journal)
    lines = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(lines[0] + b'{"type":"Intent","run"\n' + lines[2])
    with pytest.raises(LookError, match="damaged at line 2"):
        journal.entries()


def test_a_disk_that_takes_only_a_part_is_an_error_and_the_part_is_cut_off(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_run(journal)
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:40]))
        with pytest.raises(LookError, match="No space left") as problem:
            journal.begin("apply", SHOP)
    assert "XDG_STATE_HOME" in problem.value.next
    one_run(journal)
    assert len(journal.entries()) == 8


def test_a_folder_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journals(tmp_path / "file").of("shop")
    for look in (journal.entries, lambda: journal.begin("apply", SHOP)):
        with pytest.raises(LookError) as problem:
            look()
        assert problem.value.next


def test_an_intent_is_on_the_disk_before_it_returns(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    run = journal.begin("apply", SHOP)
    synced: list[bytes] = []
    sync = os.fsync

    def watched(descriptor: int) -> None:
        sync(descriptor)
        synced.append(journal.path.read_bytes())

    monkeypatch.setattr(os, "fsync", watched)
    run.intend("10.0.0.101", STEP)
    assert b'"Intent"' in synced[-1]


def test_the_deployments_in_force_latest_first(tmp_path: Path) -> None:
    from dsrwizard.core.model.changes import AddressChange

    vip = AddressChange(interface="lo", address="10.0.0.10", prefix=32, old=False, new=True)
    step = msgspec.structs.replace(STEP, id="vip", changes=(vip,))
    journals = Journals(tmp_path)
    assert journals.in_force() == []
    for name in ("one", "two", "gone", "guarded"):
        run = journals.of(name).begin("apply", msgspec.structs.replace(SHOP, name=name))
        used = STEP if name == "guarded" else step
        run.intend("10.0.0.101", used)
        run.result(used.host, used.id, Outcome.CHANGED)
        if name == "gone":
            run.intend("10.0.0.101", step.inverse())
            run.result(step.host, step.id, Outcome.CHANGED)
    assert [deployment.name for deployment in journals.in_force()] == ["two", "one"]


def test_a_run_that_its_program_leaves_gets_its_end_and_begins_nothing_more(tmp_path: Path) -> None:
    journals = Journals(tmp_path)
    started, go, refused = threading.Event(), threading.Event(), list[str]()

    def work() -> None:
        run = journals.of("shop").begin("apply", SHOP)
        started.set()
        go.wait(30)
        try:
            run.intend("10.0.0.101", STEP)
        except LookError as problem:
            refused.append(problem.what)
        run.end(ok=True)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(30)
    journals.abandon(0.05)
    go.set()
    thread.join(30)
    assert refused == ["Nothing more is done, because this run was ended."]
    ends = [entry for entry in journals.of("shop").entries() if isinstance(entry, RunEnded)]
    assert [end.ok for end in ends] == [False]


def test_a_run_that_comes_to_its_end_in_time_writes_it_itself(tmp_path: Path) -> None:
    journals = Journals(tmp_path)
    started = threading.Event()

    def work() -> None:
        run = journals.of("shop").begin("apply", SHOP)
        started.set()
        time.sleep(0.2)
        run.end(ok=True)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(30)
    journals.abandon(30)
    thread.join(30)
    ends = [entry for entry in journals.of("shop").entries() if isinstance(entry, RunEnded)]
    assert [end.ok for end in ends] == [True]


def test_a_run_whose_thread_failed_is_not_waited_for(tmp_path: Path) -> None:
    journals = Journals(tmp_path)
    journals.of("shop").begin("apply", SHOP)
    began = time.monotonic()
    journals.abandon(30)
    assert time.monotonic() - began < 20
    assert any(isinstance(entry, RunEnded) for entry in journals.of("shop").entries())
