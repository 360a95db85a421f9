"""A running guest: the kernel's process, its private directory, and the socket to its agent."""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from backends.lab import confine, frames, network, prerequisites, recipe
from dsrwizard.core.model.errors import LookError

MEMORY = f"{prerequisites.MEMORY_MIB}M"
BOOT_SECONDS = 90
_PASSED_ON = ("TERM", "COLORTERM", "NO_COLOR", "FORCE_COLOR", "LANG", "LC_ALL", "LC_CTYPE", "LC_MESSAGES", "TZ")
_LOG_LINES = 5


class Guest:
    """Boots on `start`; `kill` ends every process of it and removes its directory."""

    def __init__(self, *, known_hosts: bool = False, servers: int = network.USUAL, directors: int = 1) -> None:
        self._known_hosts, self._servers, self._directors = known_hosts, servers, directors
        self._directory: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._decoder = frames.Decoder()
        self.credit = frames.WINDOW  # bytes that may be sent now
        self._credit_lock = threading.Lock()  # one thread may send while another receives
        self.socket: socket.socket

    def start(self) -> None:
        """Starts the kernel; `wait_until_ready` is the other half, so that the caller can do something meanwhile."""
        programs = prerequisites.find(self._directors)
        # A kernel's command line can hold a quoted blank, and no quotation mark.
        place = "/tmp" if '"' in tempfile.gettempdir() else None
        self._directory = Path(tempfile.mkdtemp(prefix="dsrwizard-lab-", dir=place))
        idle_before = _idle_times()
        try:
            made = recipe.write(
                self._directory,
                programs.ssh_keygen,
                known_hosts=self._known_hosts,
                files=programs.files,
                servers=self._servers,
                directors=self._directors,
            )
            self.socket, theirs = socket.socketpair()
            with theirs, self._log_file.open("wb") as log, _on_one_processor(idle_before):
                channel = theirs.fileno()
                kernel = [
                    programs.kernel,
                    f"mem={MEMORY}",
                    "rootfstype=hostfs",
                    "rootflags=/",
                    "ro",
                    f'init="{made.init}"',
                    "uml_dir=/",  # for the management console, which it cannot make
                    "con=null",
                    f"con0=fd:0,fd:{log.fileno()}",
                    f"con1=fd:{channel}",
                    "lpj=5000000",  # measuring it takes a quarter of a second
                    "quiet",
                ]
                self._process = subprocess.Popen(
                    confine.confined(kernel),
                    cwd=self._directory,  # it takes a file root_fs for its disk
                    env=os.environ | {"TMPDIR": programs.memory},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(channel, log.fileno()),
                    # Its own process group, so that all its processes can be ended together and no key reaches them.
                    start_new_session=True,
                )
        except BaseException:
            self.kill()
            raise

    @property
    def _log_file(self) -> Path:
        if self._directory is None:
            raise RuntimeError("the guest was not started")
        return self._directory / "log"

    def log(self) -> str:
        """What the kernel and the first process said so far."""
        try:
            return self._log_file.read_text(errors="replace")
        except (OSError, RuntimeError):
            return ""

    def wait_until_ready(self, seconds: float = BOOT_SECONDS) -> None:
        """Returns once every host is up; raises `LookError` with the end of the boot log if that does not happen."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if not select.select([self.socket], [], [], left)[0]:
                break
            got = self.receive()
            if got is None:
                raise self._not_started("The guest ended while it booted.")
            if any(kind == frames.READY for kind, _session, _payload in got):
                return
        raise self._not_started(f"The guest was not ready after {seconds:.0f} s.")

    def _not_started(self, why: str) -> LookError:
        said = [line.strip() for line in self.log().splitlines() if line.strip()][-_LOG_LINES:]
        return LookError(
            "The lab did not start.",
            f"{why} Its last output: {' | '.join(said) or 'nothing'}",
            "Try again; a machine without room in /dev/shm or without ptrace (some containers) cannot run the lab.",
        )

    def receive(self) -> list[tuple[bytes, int, bytes]] | None:
        """The frames that are there now, perhaps none yet; None when the guest is gone."""
        try:
            data = self.socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return None
        if not data:
            return None
        got = []
        for frame in self._decoder.feed(data):
            if frame[0] == frames.TAKEN:
                with self._credit_lock:
                    self.credit += int(frame[2])
            else:
                got.append(frame)
        return got

    def send_some(self, data: bytes | bytearray | memoryview) -> int:
        """Sends the beginning of the data, as much as may be under way to the guest, and says how much that was."""
        sent = self.socket.send(memoryview(data)[: self.credit]) if self.credit > 0 else 0
        with self._credit_lock:
            self.credit -= sent
        return sent

    def kill(self) -> None:
        """Ends the guest at once. May be called at any time, and twice."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
            self.socket.close()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None


@contextlib.contextmanager
def _on_one_processor(idle_before: Mapping[int, int]) -> Iterator[None]:
    """Processes started meanwhile stay on the processor that had least to do since `idle_before`.

    The guest has one processor, but its kernel and its programs are different processes here that hand over to each
    other at every system call and page fault. On one processor that is three times as quick.
    """
    allowed = os.sched_getaffinity(0)
    idle = {cpu: ticks - idle_before.get(cpu, 0) for cpu, ticks in _idle_times().items() if cpu in allowed}
    if idle:
        # Random among equals: several guests may start at the same time.
        most = max(idle.values())
        os.sched_setaffinity(0, {secrets.choice([cpu for cpu, ticks in idle.items() if ticks >= most - 1])})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _idle_times() -> dict[int, int]:
    """Every processor's idle time in ticks; empty where it cannot be read."""
    found: dict[int, int] = {}
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/stat").read_text().splitlines():
            name, *ticks = line.split()
            if name.startswith("cpu") and name != "cpu":
                found[int(name[3:])] = int(ticks[3])
    return found


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of commands in the lab: nothing of the user's but terminal, colours, language and interpreter."""
    # Not resolved: in a virtual environment the interpreter is a link that must be called by its own name.
    bin_directory = str(Path(sys.executable).parent)
    env = {
        "PATH": os.pathsep.join([bin_directory, "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]),
        "HOME": recipe.HOME,
        "USER": "root",
        "LOGNAME": "root",
        "SHELL": "/bin/bash",
        "DSRWIZARD_LAB": recipe.DEPLOYMENT_FILE,
    }
    env |= {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if not _importable_without_help():
        env["PYTHONPATH"] = str(recipe.PACKAGE_ROOT)
    return env | dict(extra or {})


def _importable_without_help() -> bool:
    """Whether the interpreter finds the program by itself: not when it runs from a checkout by PYTHONPATH or cwd."""
    return (recipe.PACKAGE_ROOT / "dsrwizard").is_dir() and recipe.PACKAGE_ROOT.name in {
        "site-packages",
        "dist-packages",
    }


def wizard_command(*arguments: str) -> list[str]:
    """The command that starts dsrwizard inside the lab, with the interpreter that runs now."""
    return [sys.executable, "-m", "dsrwizard", *arguments]


def spawn_frame(
    session: int,
    argv: Sequence[str],
    *,
    host: str = network.DIRECTOR.name,
    cwd: str = recipe.HOME,
    mode: bytes = frames.PIPES,
    size: tuple[int, int] = (24, 80),
    env: Mapping[str, str] | None = None,
) -> bytes:
    """The frame that starts `argv` on a host."""
    words = [os.fsencode(f"{name}={value}") for name, value in environment(env).items()]
    arguments = [os.fsencode(word) for word in argv]
    payload = frames.spawn_payload(host.encode(), cwd=os.fsencode(cwd), mode=mode, size=size, env=words, argv=arguments)
    return frames.pack(frames.SPAWN, session, payload)
