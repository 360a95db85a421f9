"""What is ours is for its owner alone, and nothing is followed or read that another user could have put there."""

from __future__ import annotations

import os
import stat
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.ssh.config import _config
from backends.ssh.expand import File
from backends.ssh.known import add, host_keys
from backends.winrm.trust import recall, remember
from dsrwizard import files
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.model.errors import DsrError, HostError, LookError
from dsrwizard.engine.defects import Defect
from dsrwizard.engine.journal import Journal, Journals
from dsrwizard.engine.timeline import Recorder, Timeline
from dsrwizard.session import Session, save_deployment
from tests.fakes.world import World

OTHER = 54321
Theirs = Callable[[Path], None]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home" / ".local" / "state"))
    return files.state_dir()


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch) -> Theirs:
    """Gives something to another user. Who may not give anything away becomes another user instead."""

    def give(path: Path) -> None:
        if os.geteuid() == 0:
            os.lchown(path, OTHER, OTHER)
        else:
            own = os.geteuid()
            monkeypatch.setattr(os, "geteuid", lambda: own + 1)

    return give


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- for its owner alone


def used(state: Path) -> None:
    """Everything that the product writes below its state folder."""
    deployment = World.lab().deployment()
    Session(draft=Draft(name="shop")).save()
    save_deployment(deployment)
    Journal(state / "journal", "shop").begin("apply", deployment)
    Recorder(Timeline(state / "events", "shop")).close()
    remember(state / "known_certificates", "10.0.0.101", 5986, "AB" * 32)
    files.export(state / "tickets" / "shop.md", "# Ticket\n")
    Defect.of(ValueError("x"))


@pytest.mark.parametrize("umask", [0o022, 0o000, 0o077])
def test_whatever_is_made_first_every_folder_is_0700_and_every_file_0600(state: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        used(state)
    finally:
        os.umask(before)
    made = list(state.parent.parent.parent.rglob("*"))
    assert len(made) > 12
    assert {mode(path) for path in made if path.is_dir()} == {0o700}
    assert {mode(path) for path in made if path.is_file()} == {0o600}


def test_what_is_there_and_wider_is_narrowed_and_what_is_above_it_is_not(state: Path) -> None:
    used(state)
    wide = [state, *(path for path in state.rglob("*"))]
    for path in wide:
        path.chmod(0o777 if path.is_dir() else 0o666)
    state.parent.chmod(0o755)
    used(state)
    assert {mode(path) for path in wide if path.is_dir()} == {0o700}
    assert {mode(path) for path in wide if path.is_file()} == {0o600}
    assert mode(state.parent) == 0o755


# -- another user's


READERS: dict[str, Callable[[Path], object]] = {
    "journal/shop.jsonl": lambda state: Journal(state / "journal", "shop").entries(),
    "events/shop.jsonl": lambda state: Timeline(state / "events", "shop").read(),
    "known_certificates": lambda state: recall(state / "known_certificates", "10.0.0.101", 5986),
}
WRITERS: dict[str, Callable[[Path], object]] = {
    "journal/shop.jsonl": lambda state: Journal(state / "journal", "shop").begin("apply", World.lab().deployment()),
    "known_certificates": lambda state: remember(state / "known_certificates", "10.0.0.101", 5986, "AB"),
    "session.json": lambda state: Session(draft=Draft()).save(),
    "deployments/shop.toml": lambda state: save_deployment(World.lab().deployment()),
}


@pytest.mark.parametrize("part", ["file", "folder", "state", "above"])
@pytest.mark.parametrize("name", READERS)
def test_nothing_is_read_that_another_user_could_have_written(
    state: Path, theirs: Theirs, name: str, part: str
) -> None:
    used(state)
    READERS[name](state)
    path = state / name
    given = {"file": path, "folder": path.parent, "state": state, "above": state.parent.parent}[part]
    theirs(given)
    with pytest.raises((DsrError, OSError)) as refused:
        READERS[name](state)
    said = str(refused.value)
    assert "belongs to" in said
    assert "sudo -H" in said
    assert "XDG_STATE_HOME" in said


@pytest.mark.parametrize("part", ["folder", "state", "above"])
@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_written_where_another_user_could_exchange_it(
    state: Path, theirs: Theirs, name: str, part: str
) -> None:
    used(state)
    path = state / name
    before = path.read_bytes()
    theirs({"folder": path.parent, "state": state, "above": state.parent}[part])
    with pytest.raises((DsrError, OSError), match="belongs to"):
        WRITERS[name](state)
    assert path.read_bytes() == before


def test_a_session_of_another_user_is_not_taken_up(state: Path, theirs: Theirs) -> None:
    used(state)
    theirs(state)
    told: list[str] = []
    assert Session.load(notice=told.append) is None
    assert "belongs to" in told[0]


def test_known_host_keys_of_another_user_are_not_used_and_the_reason_is_said(tmp_path: Path, theirs: Theirs) -> None:
    file = File(tmp_path / "ssh" / "known_hosts", "~/.ssh/known_hosts")
    add(file, "web1", "ssh-ed25519", b"key", hashed=False)
    assert host_keys([file], ("web1",)).keys
    assert (mode(file.path), mode(file.path.parent)) == (0o600, 0o700)
    os.utime(file.path, (1, 1))  # what was read before is remembered until the file changes
    theirs(file.path)
    with pytest.raises(HostError, match="are not used"):
        host_keys([file], ("web1",))


def test_an_ssh_configuration_of_another_user_is_not_used(tmp_path: Path, theirs: Theirs) -> None:
    """It may name a command to be run."""
    path = tmp_path / "config"
    path.write_text("Host web1\n  ProxyCommand id\n")
    assert _config((path,)).lookup("web1")
    os.utime(path, (1, 1))
    theirs(path)
    with pytest.raises(HostError, match="is not used") as refused:
        _config((path,))
    assert refused.value.why.startswith("The ")
    assert "belongs to" in refused.value.why


def test_what_is_missing_says_nothing_whoever_could_have_made_it(state: Path, theirs: Theirs) -> None:
    """A look without a journal needs none."""
    state.parent.parent.mkdir(parents=True)
    theirs(state.parent.parent)
    assert Journal(state / "journal", "shop").entries() == []
    assert Session.load() is None


# -- links, pipes and devices


def test_a_link_in_the_place_of_a_file_of_ours_is_not_followed(state: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("theirs")
    for name in ("journal/shop.jsonl", "known_certificates"):
        (state / name).parent.mkdir(parents=True, exist_ok=True)
        (state / name).symlink_to(victim)
        with pytest.raises((DsrError, OSError)):
            WRITERS[name](state)
    (state / "session.json").symlink_to(victim)
    Session(draft=Draft()).save()  # a new file takes the link's place
    assert victim.read_text() == "theirs"
    assert not (state / "session.json").is_symlink()


def test_the_operators_own_links_are_theirs_to_set(tmp_path: Path) -> None:
    kept = tmp_path / "dotfiles"
    kept.mkdir()
    (kept / "known_hosts").write_text("")
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "known_hosts").symlink_to(kept / "known_hosts")
    file = File(tmp_path / "ssh" / "known_hosts", "~/.ssh/known_hosts")
    add(file, "web1", "ssh-ed25519", b"key", hashed=False)
    assert host_keys([file], ("web1",)).keys
    assert "web1" in (kept / "known_hosts").read_text()


@pytest.mark.parametrize("where", ["at the end", "on the way", "behind another"])
def test_an_export_goes_through_no_link_of_another_user(tmp_path: Path, theirs: Theirs, where: str) -> None:
    target = tmp_path / "etc"
    target.mkdir()
    link = tmp_path / "link"
    link.symlink_to(target if where == "on the way" else target / "passwd")
    path = {"at the end": link, "on the way": link / "ticket.md", "behind another": link}[where]
    theirs(link)
    with pytest.raises(PermissionError, match=r"symbolic link .* belongs to"):
        files.export(path, "text")
    assert list(target.iterdir()) == []


def test_an_export_overwrites_what_is_there_as_wide_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out" / "ticket.md"
    before = os.umask(0o027)
    try:
        files.export(path, "a long text")
        assert (path.read_text(), mode(path)) == ("a long text", 0o640)
        files.export(path, "short")
    finally:
        os.umask(before)
    assert path.read_text() == "short"


def test_a_pipe_that_nobody_reads_takes_no_export(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        files.export(tmp_path / "pipe", "text")


def test_only_ordinary_files_are_read_and_only_so_much(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(b"x" * 1001)
    for path, words in ((tmp_path / "pipe", "not a regular file"), (Path("/dev/zero"), "not a regular file"),
                        (tmp_path, "directory"), (tmp_path / "big", "larger than 1 kB")):  # fmt: skip
        with pytest.raises(OSError, match=words):
            files.read(path, 1000)
    assert len(files.read(tmp_path / "big", 1001)) == 1001


# -- what is read back


def test_a_journal_that_is_too_large_or_garbage_is_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(state / "journal", "shop")
    for _ in range(2):
        journal.begin("apply", World.lab().deployment())
    good = journal.path.read_bytes()
    first, second = good.splitlines(keepends=True)
    for garbage, words in ((b"\xff\xfe\n", "damaged at line 2"), (b"[" * 100_000 + b"\n", "damaged at line 2"),
                           (b'{"type": "x"}\n', "newer than this one")):  # fmt: skip
        journal.path.write_bytes(first + garbage + second)
        with pytest.raises(LookError, match=words):
            journal.entries()
    journal.path.write_bytes(good)
    monkeypatch.setattr("dsrwizard.engine.journal_file.LARGEST", len(good) - 1)
    with pytest.raises(LookError, match="larger than"):
        journal.entries()


def test_a_long_torn_end_is_cut_off_and_what_was_before_stays(state: Path) -> None:
    journal = Journal(state / "journal", "shop")
    journal.begin("apply", World.lab().deployment())
    before = journal.entries()
    for torn in (5, 3_000_000):
        with journal.path.open("ab") as file:
            file.write(b"x" * torn)
        journal.begin("apply", World.lab().deployment())
        assert journal.entries()[:1] == before
    assert len(journal.entries()) == 3
    whole = state / "journal" / "torn.jsonl"
    whole.write_bytes(b"x" * 2_500_000)
    Journal(state / "journal", "torn").begin("apply", World.lab().deployment())
    assert len(Journal(state / "journal", "torn").entries()) == 1


def test_a_timeline_that_is_too_large_is_named(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used(state)
    monkeypatch.setattr("dsrwizard.engine.timeline.LARGEST", 10)
    with pytest.raises(LookError, match="larger than 10 bytes"):
        Timeline(state / "events", "shop").read()


def test_a_journal_of_another_user_is_told_by_name_and_hides_no_other_deployment(state: Path, theirs: Theirs) -> None:
    used(state)
    theirs(state / "journal" / "shop.jsonl")
    there, problems = Journals(state / "journal").surveyed()
    assert there == []
    assert [str(problem.path) for problem in problems] == [str(state / "journal" / "shop.jsonl")]
    assert "shop.jsonl cannot be read" in str(problems[0])


def test_a_small_file_takes_little_memory_however_large_it_might_be(tmp_path: Path) -> None:
    """A director may have half a gigabyte; the bound of a journal is more."""
    path = tmp_path / "journal"
    path.write_bytes(b"x" * 1000)
    tracemalloc.start()
    try:
        assert files.read(path, 2_000_000_000) == b"x" * 1000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
