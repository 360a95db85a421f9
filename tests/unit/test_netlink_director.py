"""Steps of the director on settings and files of a directory: what is checked first, and what is taken back."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from backends.director import port as director
from backends.director.port import LocalDirector
from backends.netlink import ipvs
from dsrwizard.core.model.bird import bird_file
from dsrwizard.core.model.changes import Change, FileChange, FileState, FolderChange, SysctlChange
from dsrwizard.core.model.deployment import Director
from dsrwizard.core.model.errors import CommandFailed, DsrError, LookError
from dsrwizard.core.model.steps import Step
from dsrwizard.core.plan.director import plan_director
from tests.fakes.world import World

REDIRECTS = "net.ipv4.conf.eth0/100.send_redirects"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A directory that stands for `/`: one setting of an interface whose name has a dot, and an `/etc`."""
    nic = tmp_path / "proc/sys/net/ipv4/conf/eth0.100"
    nic.mkdir(parents=True)
    (nic / "send_redirects").write_text("1\n")
    (tmp_path / "etc").mkdir()
    return tmp_path


def carry_out(root: Path, *changes: Change) -> None:
    step = Step(id="t", host="director", phase="prepare", title="t", why="t", changes=changes)
    LocalDirector(root=root).apply(step)


def setting(root: Path) -> str:
    return (root / "proc/sys/net/ipv4/conf/eth0.100/send_redirects").read_text()


def put(path: str, content: str, old: FileState | None = None) -> FileChange:
    return FileChange(path=path, old=old, new=FileState(content, 0o640))


def test_a_folder_for_our_files_is_readable_by_the_daemon_whatever_the_umask_and_goes_when_it_is_empty(
    root: Path,
) -> None:
    (root / "etc/bird").mkdir()
    change = FileChange(path=bird_file("shop"), old=None, new=FileState("x\n", 0o644))
    before = os.umask(0o077)
    try:
        carry_out(root, change)
    finally:
        os.umask(before)
    path = root / bird_file("shop").lstrip("/")
    assert path.parent.stat().st_mode & 0o777 == 0o755
    assert path.stat().st_mode & 0o777 == 0o644
    carry_out(root, change.inverse())
    assert not path.parent.exists()


def test_keepaliveds_folder_goes_by_a_change_of_its_own(root: Path) -> None:
    (root / "etc/keepalived/dsrwizard.d").mkdir(parents=True)
    path = "/etc/keepalived/dsrwizard.d/10-shop-vrrp.conf"
    carry_out(root, FileChange(path=path, old=None, new=FileState("x\n", 0o644)))
    carry_out(root, FileChange(path=path, old=FileState("x\n", 0o644), new=None))
    carry_out(root, FolderChange(path="/etc/keepalived/dsrwizard.d", old=True, new=False))
    assert not (root / "etc/keepalived/dsrwizard.d").exists()


def test_a_setting_is_set_and_set_back(root: Path) -> None:
    change = SysctlChange(key=REDIRECTS, old="1", new="0")
    carry_out(root, change)
    assert setting(root) == "0\n"
    carry_out(root, change.inverse())
    assert setting(root) == "1\n"


def test_a_setting_somebody_else_changed_stays_and_both_values_are_told(root: Path) -> None:
    with pytest.raises(CommandFailed, match="changed meanwhile") as raised:
        carry_out(root, SysctlChange(key=REDIRECTS, old="2", new="0"))
    assert "1" in raised.value.why
    assert "2" in raised.value.why
    assert raised.value.next
    assert setting(root) == "1\n"


@pytest.mark.parametrize("key", ["net.ipv4.no_such", "net.//.//.//.etc", "", "net..ipv4"])
def test_a_setting_that_is_none_is_refused(root: Path, key: str) -> None:
    with pytest.raises(DsrError):
        carry_out(root, SysctlChange(key=key, old="", new="1"))


def test_a_file_comes_with_its_mode_and_goes(root: Path) -> None:
    change = put("/etc/lvs.conf", "süß\n")
    carry_out(root, change)
    path = root / "etc/lvs.conf"
    assert path.read_bytes() == "süß\n".encode()
    assert path.stat().st_mode & 0o7777 == 0o640
    carry_out(root, change.inverse())
    assert list((root / "etc").iterdir()) == []


def test_a_file_is_put_back_byte_for_byte(root: Path) -> None:
    path = root / "etc/lvs.conf"
    path.write_bytes(b"old\r\nno newline")
    path.chmod(0o600)
    change = put("/etc/lvs.conf", "new\n", FileState("old\r\nno newline", 0o600))
    carry_out(root, change)
    assert path.read_bytes() == b"new\n"
    carry_out(root, change.inverse())
    assert path.read_bytes() == b"old\r\nno newline"
    assert path.stat().st_mode & 0o7777 == 0o600


def test_a_link_is_a_file_too(root: Path) -> None:
    change = FileChange(path="/etc/wanted", old=None, new=FileState(target="../unit"))
    carry_out(root, change)
    assert (root / "etc/wanted").readlink() == Path("../unit")
    carry_out(root, change.inverse())
    assert not (root / "etc/wanted").is_symlink()


@pytest.mark.parametrize("content", [b"theirs\n", b"\xff\xfe"])
def test_a_file_of_others_is_never_written_over(root: Path, content: bytes) -> None:
    path = root / "etc/lvs.conf"
    path.write_bytes(content)
    with pytest.raises(CommandFailed):
        carry_out(root, put("/etc/lvs.conf", "mine\n"))
    assert path.read_bytes() == content


def test_a_missing_directory_is_said(root: Path) -> None:
    with pytest.raises(CommandFailed, match="could not be written") as raised:
        carry_out(root, put("/etc/no/such/file", "x"))
    assert "directory" in raised.value.why


def test_a_step_that_fails_takes_back_what_it_did_last_first(root: Path) -> None:
    with pytest.raises(CommandFailed, match="changed meanwhile"):
        carry_out(
            root,
            SysctlChange(key=REDIRECTS, old="1", new="0"),
            put("/etc/lvs.conf", "one\n"),
            put("/etc/lvs.conf", "two\n", FileState("one\n", 0o640)),
            SysctlChange(key=REDIRECTS, old="1", new="0"),
        )
    assert setting(root) == "1\n"
    assert list((root / "etc").iterdir()) == []


# --- a kernel without IPVS -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("available", "modules", "may", "next_"),
    [
        (True, True, True, "Run `sudo modprobe ip_vs`."),
        (True, True, False, "Run `sudo modprobe ip_vs`."),
        (None, True, True, "Run `sudo modprobe ip_vs`."),
        (False, True, True, "Install it with `sudo apt install linux-modules-extra-"),
        (False, False, False, "After a kernel update: reboot."),
    ],
)
def test_status_and_plan_name_the_same_way_out(
    root: Path, monkeypatch: pytest.MonkeyPatch, available: bool | None, modules: bool, may: bool, next_: str
) -> None:
    """modprobe helps only where there is a module to load."""
    (root / "etc/os-release").write_text("ID=ubuntu\n")
    if modules:
        (root / "lib/modules" / os.uname().release).mkdir(parents=True)
    monkeypatch.setattr(director, "loaded", lambda: False)
    monkeypatch.setattr(ipvs, "loaded", lambda: False)
    monkeypatch.setattr(director, "module_available", lambda module: available)
    monkeypatch.setattr(director, "may_load_modules", lambda: may)
    here = LocalDirector(root=root)
    with pytest.raises(LookError) as raised:
        here.services()
    assert raised.value.next.startswith(next_)
    facts = here.observe(World.lab().deployment())
    assert facts.ipvs_next == raised.value.next
    assert facts.ipvs_problem.startswith(raised.value.why.removesuffix("."))


def test_who_may_not_load_ip_vs_is_told_before_anything_is_changed(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """CAP_NET_ADMIN changes addresses and IPVS, and loads no module: apply would break off at its first step."""
    deployment = World.lab().deployment()
    monkeypatch.setattr(director, "loaded", lambda: False)
    monkeypatch.setattr(director, "module_available", lambda module: True)
    for may in (True, False):
        monkeypatch.setattr(director, "may_load_modules", lambda may=may: may)
        facts = msgspec.structs.replace(LocalDirector(root=root).observe(deployment), privileged=True)
        planned = plan_director(deployment, facts, frozenset())
        assert ("only root (CAP_SYS_MODULE) may load it. Run `sudo modprobe ip_vs`." in planned.problem) is not may


def test_the_interfaces_are_there_to_choose_from_before_one_is_chosen(root: Path) -> None:
    """As the wizard asks when it begins."""
    asked = msgspec.structs.replace(World.lab().deployment(), director=Director(interface=""))
    facts = LocalDirector(root=root).observe(asked)
    assert facts.interface("lo") is not None


def test_a_folder_of_ours_goes_when_nobody_else_has_put_anything_into_it(tmp_path: Path) -> None:
    (tmp_path / "etc/keepalived").mkdir(parents=True)
    folder = FolderChange(path="/etc/keepalived/dsrwizard.d", old=False, new=True)
    file = FileChange(path="/etc/keepalived/dsrwizard.d/10-shop-vrrp.conf", old=None, new=FileState(content="x\n"))
    carry_out(tmp_path, folder, file)
    theirs = tmp_path / "etc/keepalived/dsrwizard.d/theirs.conf"
    theirs.write_text("y\n")
    carry_out(tmp_path, file.inverse(), folder.inverse())
    assert theirs.read_text() == "y\n"
    theirs.unlink()
    carry_out(tmp_path, file, file.inverse(), folder.inverse())
    assert [*(tmp_path / "etc/keepalived").iterdir()] == []
    with pytest.raises(CommandFailed, match="changed meanwhile"):
        carry_out(tmp_path, folder, folder)
