"""The locks of a run: who holds one is told, a dead holder's is free, and what stands in the way of locking is said."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsrwizard.core.model.errors import Locked, LookError
from dsrwizard.engine import locks as module
from dsrwizard.engine.locks import Locks

HOLD = """
import sys, time
from pathlib import Path
from dsrwizard.engine.locks import Locks
folder, shared, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
with Locks(folder, shared).hold("apply", name):
    print("held", flush=True)
    time.sleep(120)
"""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    (tmp_path / "run-lock").mkdir()
    return tmp_path / "run-lock"


@pytest.fixture
def holder(tmp_path: Path, shared: Path) -> Iterator[subprocess.Popen[str]]:
    """Another user's run for another deployment, in a process of its own."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "theirs"), str(shared), "mail"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def mine(tmp_path: Path, shared: Path | None) -> Locks:
    return Locks(tmp_path / "mine", shared)


def lock_file(shared: Path) -> Path:
    (path,) = shared.iterdir()
    return path


def test_the_second_is_told_who_holds_it_since_when_and_what_to_do(
    tmp_path: Path, shared: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(Locked) as told, mine(tmp_path, shared).hold("apply", "shop"):
        pytest.fail("both hold it")
    said = str(told.value)
    minutes = {time.strftime("%H:%M", time.localtime(time.time() - ago)) for ago in range(0, 600, 30)}
    assert any(f"apply of mail has been running since {minute}" in said for minute in minutes)
    assert f"pid {holder.pid}" in said
    assert "user root" in said or f"user {module.user_name()}" in said
    assert f"on {os.uname().nodename}" in said
    assert "--wait" in told.value.next
    assert told.value.exit_code == 3


def test_a_lock_is_free_once_its_holder_was_killed_and_that_one_is_named(
    tmp_path: Path, shared: Path, holder: subprocess.Popen[str]
) -> None:
    holder.kill()
    holder.wait()
    with mine(tmp_path, shared).hold("teardown", "shop") as lease:
        (note,) = lease.notes
    assert "apply of mail" in note
    assert f"pid {holder.pid}" in note
    assert "stale" in note
    with mine(tmp_path, shared).hold("teardown", "shop") as lease:
        assert lease.notes == (), "it is told once"


def test_a_holder_that_has_signed_off_and_lets_go_in_a_moment_refuses_nobody(tmp_path: Path, shared: Path) -> None:
    with mine(tmp_path, shared).hold("apply", "shop"):
        pass
    descriptor = os.open(lock_file(shared), os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    let_go = threading.Timer(0.1, os.close, [descriptor])
    let_go.start()
    with mine(tmp_path, shared).hold("apply", "mail"):
        let_go.join()


def test_who_waits_gets_it_as_soon_as_it_is_free_and_is_told_once(
    tmp_path: Path, shared: Path, holder: subprocess.Popen[str]
) -> None:
    told: list[Locked] = []

    def waiting(problem: Locked) -> None:
        told.append(problem)
        holder.kill()

    with mine(tmp_path, shared).hold("apply", "shop", wait=60, waiting=waiting):
        assert len(told) == 1


def test_who_waits_in_vain_is_told_after_that_time(tmp_path: Path, shared: Path, holder: subprocess.Popen[str]) -> None:
    began = time.monotonic()
    with pytest.raises(Locked, match=f"pid {holder.pid}"), mine(tmp_path, shared).hold("apply", "shop", wait=0.5):
        pytest.fail("both hold it")
    assert time.monotonic() - began >= 0.5


def test_two_threads_of_one_program_do_not_both_hold_it(tmp_path: Path, shared: Path) -> None:
    locks, inside, most, at_once = mine(tmp_path, shared), threading.Lock(), [0], [0]

    def work() -> None:
        for _ in range(5):
            with locks.hold("weight", "shop", wait=60):
                with inside:
                    at_once[0] += 1
                    most[0] = max(most[0], at_once[0])
                time.sleep(0.002)
                with inside:
                    at_once[0] -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]
    with locks.hold("weight", "shop"), pytest.raises(Locked, match="this program"), locks.hold("apply", "shop"):
        pytest.fail("both hold it")


def test_a_journal_on_two_machines_is_locked_for_both(tmp_path: Path) -> None:
    """A home directory that is mounted on two directors: each has a machine's lock of its own."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = Locks(tmp_path / "home", tmp_path / "one"), Locks(tmp_path / "home", tmp_path / "two")
    with one.hold("apply", "shop"):
        with pytest.raises(Locked, match="apply of shop"), two.hold("teardown", "shop"):
            pytest.fail("both hold it")
        with two.hold("apply", "mail"):
            pass


def test_a_place_that_nobody_may_write_to_is_named_and_the_own_one_is_used(tmp_path: Path) -> None:
    missing = tmp_path / "no such folder"
    locks = mine(tmp_path, missing)
    with locks.hold("apply", "shop") as lease:
        (note,) = lease.notes
        with pytest.raises(Locked), locks.hold("apply", "mail"):
            pytest.fail("the own one is not locked")
    assert note.startswith("Runs of other users on this machine are not noticed:")
    assert str(missing) in note
    assert "No such file" in note


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL])
def test_a_file_system_without_locks_is_named(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """NFS without its lock daemon, for one (flock(2))."""
    flock = fcntl.flock

    def refusing(descriptor: int, how: int) -> None:
        if "mine" in str(Path(f"/proc/self/fd/{descriptor}").readlink()):
            raise OSError(number, os.strerror(number))
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", refusing)
    with mine(tmp_path, shared).hold("apply", "shop") as lease:
        (note,) = lease.notes
    assert "its file system has no locks" in note
    assert "Runs on other machines are not noticed" in note
    with pytest.raises(LookError, match="no lock could be taken") as told, mine(tmp_path, None).hold("apply", "shop"):
        pytest.fail("nothing is locked")
    assert "XDG_STATE_HOME" in told.value.next


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_nothing_is_written_but_a_file_of_its_own(tmp_path: Path, shared: Path, kind: str) -> None:
    with mine(tmp_path, shared).hold("apply", "shop"):
        path = lock_file(shared)
    path.unlink()
    victim = tmp_path / "shadow"
    victim.write_text("root:*:\n")
    match kind:
        case "link":
            path.symlink_to(victim)
        case "hard link":
            path.hardlink_to(victim)
        case "pipe":
            os.mkfifo(path)
        case _:
            path.mkdir()
    with mine(tmp_path, shared).hold("apply", "shop") as lease:
        assert "of other users on this machine are not noticed" in lease.notes[0]
    assert victim.read_text() == "root:*:\n"


@pytest.mark.parametrize("content", ["", "no JSON", "[]", '{"holder": 7}', "\0" * 900, '{"holder": {"pid": "x"}}'])
def test_what_others_wrote_into_it_is_no_reason_to_fail(tmp_path: Path, shared: Path, content: str) -> None:
    with mine(tmp_path, shared).hold("apply", "shop"):
        path = lock_file(shared)
    path.write_text(content)
    with mine(tmp_path, shared).hold("apply", "shop") as lease:
        assert lease.notes == ()
        path.write_text(content)
        with pytest.raises(Locked, match=f"pid {os.getpid()}"), mine(tmp_path, shared).hold("apply", "shop"):
            pytest.fail("both hold it")


def test_every_user_may_lock_the_machines_file_and_nobody_else_the_deployments(tmp_path: Path, shared: Path) -> None:
    umask = os.umask(0o077)
    try:
        with mine(tmp_path, shared).hold("apply", "shop"):
            assert lock_file(shared).stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(umask)
    assert (tmp_path / "mine" / "shop.lock").stat().st_mode & 0o777 == 0o600


def test_a_program_that_it_starts_does_not_keep_the_lock(tmp_path: Path, shared: Path) -> None:
    """As a proxy command of ssh, which may outlive a run."""
    locks = mine(tmp_path, shared)
    with locks.hold("apply", "shop"):
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with locks.hold("apply", "shop"):
            pass
    finally:
        child.kill()
        child.wait()


def test_who_ran_last_is_known_to_other_users(tmp_path: Path, shared: Path) -> None:
    with mine(tmp_path, shared).hold("apply", "shop"):
        pass
    last = Locks(tmp_path / "theirs", shared).last("shop")
    assert last is not None
    assert (last.subject, last.journal) == ("apply of shop", str(tmp_path / "mine" / "shop.jsonl"))
    assert Locks(tmp_path / "theirs", shared).last("mail") is None


def test_a_run_of_yesterday_has_its_date(tmp_path: Path) -> None:
    assert module.moment(1_800_000_000.0, now=1_800_000_000.0 + 86_400 * 2).count("-") == 2
    assert len(module.moment(1_800_000_000.0, now=1_800_000_060.0)) == 5
