"""What the lab takes of this machine: few open files, and nothing written, whoever is root in it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from backends.lab import confine
from backends.lab.inside.files import NEEDED
from backends.lab.launch import KNOWN_HOSTS_VARIABLE
from tests.lab.harness import SERVERS, Lab
from tests.lab.test_lab_itself import ROOT, guests_of, launcher

pytestmark = pytest.mark.long

NOBODY = 65534


# --- open files -------------------------------------------------------------------------------------------------


def limited(soft: int, hard: int, command: list[str]) -> list[str]:
    return ["sh", "-c", f'ulimit -Sn {soft} && ulimit -Hn {hard} && exec "$@"', "sh", *command]


class Counted(threading.Thread):
    """The most files that a process held open while this ran."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._directory = Path(f"/proc/{pid}/fd")
        self.most = 0
        self.start()

    def run(self) -> None:
        try:
            while True:
                self.most = max(self.most, len(os.listdir(self._directory)))  # noqa: PTH208 - quicker
                time.sleep(0.005)
        except OSError:
            return  # it has ended


def test_hard_work_in_it_needs_few_open_files() -> None:
    walk = 'find / -xdev 2>&1 | head -n 20000 >/run/walk; wc -l </run/walk; grep "Too many" /run/walk'
    script = f"""
        echo up
        say() {{ dsrwizard "$@" >/run/said 2>&1 && echo "$1 done" || cat /run/said; }}
        say apply $DSRWIZARD_LAB --yes
        say verify $DSRWIZARD_LAB
        for host in {" ".join(SERVERS)}; do LC_ALL=C ssh root@$host {shlex.quote(walk)} & done
        wait
        say apply $DSRWIZARD_LAB --yes
        say verify $DSRWIZARD_LAB
    """
    with subprocess.Popen(
        limited(256, 1024, launcher("bash", "-c", script)),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        cwd=ROOT, env=os.environ | {KNOWN_HOSTS_VARIABLE: "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        (kernel,) = (int(pid) for pid in guests_of(process.pid) if int(pid) != process.pid)
        counted = Counted(kernel)
        said = process.stdout.read().splitlines()
    assert said == ["apply done", "verify done", *["20000"] * len(SERVERS), "apply done", "verify done"]
    counted.join(10)
    assert 100 < counted.most < 1000


def test_too_few_open_files_are_one_clear_error() -> None:
    got = subprocess.run(
        limited(200, NEEDED - 1, launcher("true")), capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (got.returncode, got.stdout) == (3, "")
    what, why, mend = got.stderr.splitlines()
    assert what == "The lab cannot start: the limit on open files is too low."
    assert f"is {NEEDED - 1} here" in why
    assert mend.startswith("Raise the hard limit to 4096")


# --- nothing is written -----------------------------------------------------------------------------------------


def photographed(directory: Path) -> dict[str, object]:
    """Everything below that a change would show in."""
    seen: dict[str, object] = {}
    for path in [directory, *sorted(directory.rglob("*"))]:
        status = path.lstat()
        shown = (status.st_mode, status.st_uid, status.st_gid, status.st_nlink, status.st_size, status.st_mtime_ns)
        attributes = {name: os.getxattr(path, name) for name in os.listxattr(path)}
        seen[str(path)] = (*shown, attributes, path.read_bytes() if path.is_file() else b"")
    return seen


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A directory of the user who runs the tests, whom it lets do everything."""
    directory = tmp_path / "mine"
    (directory / "inner").mkdir(parents=True)
    (directory / "file").write_text("as it was\n")
    (directory / "other").write_text("this, too\n")
    (directory / "link").symlink_to("file")
    return directory


ATTEMPTS = """
    echo x >file;  echo x >>file;  : >|file;  truncate -s 0 file;  dd if=/dev/zero of=file bs=1 count=1 conv=notrunc
    echo x >new;  touch new;  mkdir new;  ln file new;  ln -s file new;  mknod new p;  mknod new b 7 0;  mknod new c 1 3
    rm file;  rmdir inner;  mv file new;  mv file other;  cp /etc/hostname file;  rm link
    chmod 0 file;  chmod 777 .;  chown 1:1 file;  chown -h 1 link;  chgrp 1 file;  touch file;  touch -d 2001-01-01 file
    exec 5<>file;  python3 -c 'import os; os.setxattr("file", "user.x", b"x")'
"""


def test_root_in_the_lab_changes_nothing_on_this_machine(lab: Lab, mine: Path) -> None:
    before = photographed(mine)
    place = shlex.quote(str(mine))
    ways = {  # to look at the same directory, through a hostfs of one's own
        "all": f"mount -t hostfs none /mnt && cd /mnt{place}",
        "only this": f"mount -t hostfs none /mnt -o {place} && cd /mnt",
        "writable": f"mount -t hostfs -o rw none /mnt -o {place} && mount -o remount,rw /mnt && cd /mnt",
        "another's root": f"mount -t hostfs none /mnt -o /proc/self/root && cd /mnt{place}",
        "the first process": f"mount -t hostfs none /mnt -o /proc/{os.getpid()}/root && cd /mnt{place}",
        "below the overlay": f"cd /proc/1/root/lab/fs/hostfs && mount -o remount,rw,bind . && cd .{place}",
    }
    attempts = [attempt.strip() for line in ATTEMPTS.strip().splitlines() for attempt in line.split(";  ")]
    reached = set()
    for name, way in ways.items():
        script = f"""
            ({way} && cat file) || exit 9
            {way}
            while read -r attempt; do
                bash -c "$attempt" </dev/null >/dev/null 2>&1  # some seem to succeed, in the guest's memory
            done
            sync
        """
        got = lab.run("director", ["unshare", "-m", "bash", "-c", script], stdin="\n".join(attempts) + "\n")
        assert photographed(mine) == before, name
        if got.status != 9:
            reached.add(name)
            assert got.stdout == "as it was\n"
    assert {"all", "only this", "writable", "another's root"} <= reached, "these were tried for real"


def test_no_device_and_no_console_of_the_kernel_leads_out(lab: Lab) -> None:
    # 98: ubd, UML's own disks, which are files of the machine; 7: loop, 253, 254, 259: disks of other kinds.
    script = """
        cd "$(mktemp -d)"
        for major in 7 8 98 253 254 259; do
            mknod disk b $major 0 && dd if=/dev/zero of=disk bs=512 count=1 conv=fsync && echo "written: $major"
            rm disk
        done
        ls /sys/block | grep -v loop
    """
    got = lab.run("director", script)
    assert "written" not in got.stdout
    assert "ubd" not in got.stdout
    directory = lab._guest._directory
    assert directory is not None
    assert [path for path in directory.rglob("*") if path.is_socket()] == [], "a management console"


# What the lab's kernel could be made to do by a module of root's in it, done by the process that becomes the kernel.
HOSTILE = """
import ctypes, os, socket, sys
sys.path.insert(0, sys.argv[1])
uid, mine, parent = int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
from backends.lab import confine
if uid != os.getuid():
    os.setgroups([]); os.setgid(uid); os.setuid(uid)
held = os.open(mine + "/file", os.O_RDONLY)
confine.confine()
os.chdir(mine)
libc = ctypes.CDLL(None, use_errno=True)
bytes_at = ctypes.create_string_buffer
FILE, NEW, XATTR = bytes_at(b"file"), bytes_at(b"new"), bytes_at(b"user.x")
HOW = bytes_at((2).to_bytes(8, "little") + bytes(16))
NO_DUMP = bytes_at((0x40).to_bytes(8, "little"))
W = os.O_WRONLY
THEIRS = "/proc/%d/root%s/file" % (parent, mine)

def raw(*words):
    if libc.syscall(*words) < 0:
        raise OSError(ctypes.get_errno(), "")

attempts = dict(
    write=lambda: os.open("file", W),
    read_and_write=lambda: os.open("file", os.O_RDWR),
    exclusive=lambda: os.open("file", W | os.O_EXCL),
    append=lambda: os.open("file", W | os.O_APPEND),
    cut=lambda: os.open("file", os.O_RDONLY | os.O_TRUNC),
    odd=lambda: os.open("file", 3),
    create=lambda: os.open("new", W | os.O_CREAT | os.O_EXCL),
    create_only=lambda: os.open("new", os.O_RDONLY | os.O_CREAT),
    nameable=lambda: os.open(".", os.O_RDWR | os.O_CLOEXEC | os.O_TMPFILE),
    at=lambda: os.open("file", W, dir_fd=os.open(".", os.O_RDONLY)),
    old_open=lambda: raw(2, FILE, 1, 0),
    creat=lambda: raw(85, NEW, 0o600),
    openat2=lambda: raw(437, -100, FILE, HOW, 24),
    ring=lambda: raw(425, 8, bytes_at(120)),
    x32=lambda: raw(0x40000000 + 257, -100, FILE, 1, 0),
    again=lambda: os.open("/proc/self/fd/%d" % held, W),
    memory=lambda: os.open("/proc/self/mem", os.O_RDWR),
    theirs=lambda: os.open(THEIRS, W),
    null=lambda: os.open("/dev/null", W),
    mkdir=lambda: os.mkdir("new"),
    rmdir=lambda: os.rmdir("inner"),
    unlink=lambda: os.unlink("file"),
    rename=lambda: os.rename("file", "new"),
    exchange=lambda: raw(316, -100, FILE, -100, bytes_at(b"other"), 2),
    link=lambda: os.link("file", "new"),
    symlink=lambda: os.symlink("file", "new"),
    fifo=lambda: os.mkfifo("new"),
    truncate=lambda: os.truncate("file", 0),
    chmod=lambda: os.chmod("file", 0),
    fchmod=lambda: os.fchmod(held, 0),
    fchmodat2=lambda: raw(452, -100, FILE, 0, 0),
    chown=lambda: os.chown("file", uid, os.getgid()),
    fchown=lambda: os.fchown(held, uid, os.getgid()),
    lchown=lambda: os.lchown("link", uid, os.getgid()),
    utime=lambda: os.utime("file", (1, 1)),
    futime=lambda: os.utime(held, (1, 1)),
    utimes=lambda: raw(235, FILE, None),
    setxattr=lambda: os.setxattr("file", "user.x", b"x"),
    fsetxattr=lambda: os.setxattr(held, "user.x", b"x"),
    setxattrat=lambda: raw(463, -100, FILE, 0, XATTR, bytes_at(24), 16),
    unix_socket=lambda: socket.socket(socket.AF_UNIX),
    network=lambda: socket.socket(socket.AF_INET),
    attach=lambda: raw(101, 16, parent, 0, 0),
    seize=lambda: raw(101, 0x4206, parent, 0, 0),
    flag=lambda: raw(16, held, 0x40086602, NO_DUMP),
    mount=lambda: raw(165, b"none", b"inner", b"tmpfs", 0, None),
)
for name, attempt in attempts.items():
    try:
        attempt()
    except OSError:
        continue
    print("done:", name)
print(len(attempts), open("file").read().strip(), flush=True)
look = "grep -E 'CapEff|open files' /proc/self/status /proc/self/limits"
os.execv("/bin/sh", ["sh", "-c", "echo x >file; chmod 0 file; " + look])
"""


@pytest.mark.parametrize("user", ["this one", "nobody"])
def test_a_confined_process_changes_nothing_whatever_it_tries(user: str, mine: Path) -> None:
    uid = os.getuid() if user == "this one" else NOBODY
    if uid != os.getuid() and os.getuid() != 0:
        uid = os.getuid()  # an ordinary user can be nobody else, and has been tried
    for path in (mine, mine / "file", mine / "other", mine / "inner"):
        os.chown(path, uid, -1)
    for path in (mine, *(one for one in mine.parents if one.is_relative_to(tempfile.gettempdir()))):
        if path.stat().st_uid in (os.getuid(), uid):  # folders of others let everybody in
            path.chmod(path.stat().st_mode | 0o755)
    before = photographed(mine)
    argv = [sys.executable, "-c", HOSTILE, str(ROOT), str(uid), str(mine), str(os.getpid())]
    got = subprocess.run(limited(256, 700, argv), capture_output=True, text=True, check=False)
    assert photographed(mine) == before, got.stdout + got.stderr
    said = got.stdout.splitlines()
    assert [line for line in said if line.startswith("done")] == []
    assert said[0].endswith(" as it was"), got.stdout + got.stderr
    assert int(said[0].split()[0]) > 40
    # Reading everything is all that is left to root.
    assert int(said[1].split()[-1], 16) == (0 if uid else 0b110)
    assert said[2].split()[-3:] == ["700", "700", "files"]


def test_without_the_guard_the_attempts_would_succeed(mine: Path) -> None:
    """So that the tests above are known to try what can be done."""
    attempts = [attempt.strip() for line in ATTEMPTS.strip().splitlines() for attempt in line.split(";  ")]
    script = 'while read -r attempt; do (eval "$attempt") >/dev/null 2>&1 && echo done; rm -rf new; done; true'
    got = subprocess.run(
        ["bash", "-c", script], cwd=mine, input="\n".join(attempts), capture_output=True, text=True, check=False
    )
    assert got.stdout.count("done") > len(attempts) // 2


def test_a_kernel_that_cannot_be_confined_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    unconfinable = "import platform; platform.machine = lambda: 'riscv64'; import runpy, sys; sys.argv = sys.argv[1:]; "
    unconfinable += "runpy.run_path(sys.argv[0], run_name='__main__')"
    got = subprocess.run(
        [sys.executable, "-c", unconfinable, confine.__file__, "/bin/echo", "started"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert got.returncode == 1
    assert got.stdout == ""
    assert "could not be confined" in got.stderr
    assert "x86-64" in got.stderr


def test_what_this_machine_closes_to_the_user_is_root_s_in_the_lab(lab: Lab) -> None:
    lab.put("/root/mine", "x")
    lab.run("web1", "useradd --create-home oper && id oper && touch /etc/ssl/private/key /etc/sudoers.d/oper").ok()
    assert lab.run("web2", "find /etc -type f -exec cat {} + >/dev/null").stderr == ""
