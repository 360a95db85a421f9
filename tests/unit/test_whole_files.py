"""Files on servers are there whole or not at all, and what a power cut left of one is known as ours."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dsrwizard.core.dialects.linux.apply import apply_script
from dsrwizard.core.dialects.linux.plan import asides_of, files_of
from dsrwizard.core.model.changes import FORMER_GUARD_FILE, GUARD_FILE, FileChange, FileState, FolderChange, aside, torn
from tests.unit.test_linux_revert import SHELLS, Host, cuts, killed, step
from tests.unit.test_revert import Farm

OURS = FileState(content="[Unit]\nDescription=ours\n", mode=0o644)
LEFT = {
    "nothing": lambda text: "",
    "one byte": lambda text: text[:1],
    "half": lambda text: text[: len(text) // 2],
    "all but one byte": lambda text: text[:-1],
    "zeros": lambda text: "\0" * len(text),
    "half and zeros": lambda text: text[: len(text) // 2] + "\0" * 7,
}


@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT.keys())
@pytest.mark.parametrize("persistence", ["systemd", "ifupdown"])
@pytest.mark.parametrize("then", ["apply", "teardown"])
def test_what_a_power_cut_left_is_written_anew_or_removed(
    tmp_path: Path, left: object, persistence: str, then: str
) -> None:
    assert callable(left)
    farm = Farm(tmp_path)
    farm.web2.machine.persistence = "systemd" if persistence == "systemd" else "ifupdown"
    before = farm.picture()
    assert farm.apply().ok
    applied = farm.picture()
    files = farm.web2.machine.files
    written = [path for path in files_of("shop") if path in files and files[path].target is None]
    assert len(written) == 2
    for path in written:
        files[path] = FileState(content=left(files[path].content), mode=0o600)
    assert not any("someone else" in note for note in farm.notes())
    if then == "apply":
        assert farm.apply().ok
        assert farm.picture() == applied
    assert farm.teardown().ok
    assert farm.picture() == before
    assert farm.engine().teardown_plan(farm.deployment).empty


def test_what_somebody_wrote_there_is_nobodys_half(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    farm.apply()
    theirs = FileState(content="# dsrwizard: no\nnet.ipv4.conf.all.arp_ignore = 1\n")
    farm.web2.machine.files[GUARD_FILE] = theirs
    farm.teardown()
    assert farm.web2.machine.files[GUARD_FILE] == theirs
    assert not torn(FileState(target="/dev/null"), OURS)
    assert not torn(OURS, OURS)
    assert not torn(None, OURS)


def test_what_a_cut_left_beside_a_file_goes_with_the_next_run(tmp_path: Path) -> None:
    written = [path for path in asides_of("shop") if "dispatcher" not in path and path != aside(FORMER_GUARD_FILE)]
    assert len(written) == 3
    for number, path in enumerate(written):
        for then in ("apply", "teardown"):
            farm = Farm(tmp_path / f"{number} {then}")
            farm.web2.machine.persistence = "ifupdown" if "interfaces.d" in path else "systemd"
            before = farm.picture()
            farm.apply()
            applied = farm.picture()
            farm.web2.machine.files[path] = FileState(content="half")
            if then == "apply":
                assert farm.apply().ok
                assert farm.picture() == applied, path
            assert farm.teardown().ok
            assert farm.picture() == before, path
            assert farm.engine().teardown_plan(farm.deployment).empty


def test_what_a_cut_left_beside_a_file_that_is_not_there_yet_stands_in_nobodys_way(tmp_path: Path) -> None:
    """The host went down between the two: the next run writes that very file, and takes its place beside it."""
    written = [path for path in asides_of("shop") if "dispatcher" not in path and path != aside(FORMER_GUARD_FILE)]
    for number, path in enumerate(written):
        farm = Farm(tmp_path / str(number))
        farm.web2.machine.persistence = "ifupdown" if "interfaces.d" in path else "systemd"
        farm.web2.machine.no_folders.discard(path.rpartition("/")[0])
        farm.web2.machine.files[path] = FileState(content="half")
        assert farm.apply().ok, path
        assert path not in farm.web2.machine.files
        assert farm.teardown().ok


def test_what_a_cut_left_beside_a_file_that_is_put_back_stands_in_nobodys_way(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    theirs = FileState(content="# somebody's\n", mode=0o640)
    farm.web2.machine.files[GUARD_FILE] = theirs
    farm.web2.machine.no_folders.discard("/etc/sysctl.d")
    assert farm.apply().ok
    farm.web2.machine.files[aside(GUARD_FILE)] = FileState(content="half")
    assert farm.teardown().ok
    assert farm.web2.machine.files[GUARD_FILE] == theirs
    assert aside(GUARD_FILE) not in farm.web2.machine.files


def test_a_folder_that_somebody_uses_by_now_stays_and_is_owed_no_more(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    farm.apply()
    assert farm.web2.machine.no_folders == set()
    farm.web2.machine.files["/etc/sysctl.d/theirs.conf"] = FileState(content="x = 1\n")
    assert farm.teardown().ok
    assert farm.web2.machine.no_folders == {"/etc/network/interfaces.d"}
    assert farm.engine().teardown_plan(farm.deployment).empty


def test_a_file_that_is_there_keeps_its_mode_and_what_has_to_run_can(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    farm.web2.machine.files[GUARD_FILE] = FileState(content="# somebody's\n", mode=0o640)
    farm.web2.machine.no_folders.discard("/etc/sysctl.d")
    before = farm.picture()
    farm.apply()
    assert farm.web2.machine.files[GUARD_FILE].mode == 0o640
    farm.teardown()
    assert farm.picture() == before


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_killed_at_any_command_a_file_is_the_old_one_or_the_new_one(shell: list[str], tmp_path: Path) -> None:
    old = FileState(content="old\n" * 100, mode=0o640)
    new = FileState(content="new\n" * 100, mode=0o640)
    model = Host(tmp_path / "model", shell)

    def change(host: Host) -> FileChange:
        path = Path(host.path("f.conf"))
        path.write_text(old.content)
        path.chmod(old.mode)
        if os.geteuid() == 0:
            os.chown(path, 33, 33)
        return FileChange(path=str(path), old=old, new=new)

    places = cuts(apply_script("n", [step("f", change(model))], ":", 0, model.places))
    assert len(places) > 6
    seen = set()
    for where in places:
        host = Host(tmp_path / where.replace(":", "-"), shell)
        one = change(host)
        path = Path(one.path)
        host.sh(killed(apply_script("n", [step("f", one)], ":", 0, host.places), where))
        seen.add(path.read_text())
        assert path.read_text() in (old.content, new.content), where
        assert path.stat().st_mode & 0o777 == 0o640
        assert path.stat().st_uid == (33 if os.geteuid() == 0 else os.geteuid())
        assert {str(other) for other in path.parent.iterdir()} <= {str(path), aside(str(path))}, where
    assert seen == {old.content, new.content}


def test_a_folder_is_made_readable_by_all_and_removed_when_it_is_empty(tmp_path: Path) -> None:
    assert shutil.which("sh")
    host = Host(tmp_path, ["sh"])
    folder = Path(host.path("d"))
    made = FolderChange(path=str(folder), old=False, new=True)
    host.sh("umask 077\n" + apply_script("n", [step("d", made)], ":", 0, host.places))
    assert folder.stat().st_mode & 0o777 == 0o755
    (folder / "theirs").touch()
    host.apply(step("d", made.inverse()), after=0)
    assert host.log == ["start d", "done d"]
    assert folder.is_dir()
    (folder / "theirs").unlink()
    host.apply(step("d", made.inverse()), after=0)
    assert not folder.exists()
    folder.mkdir()
    assert host.apply(step("d", made), after=0).failed is not None, "somebody made it meanwhile: theirs"
