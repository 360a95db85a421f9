"""Real Debian machines on one segment, as an ordinary user: each boots in User-Mode Linux; commands run over its
console, independent of its network; it reboots, and its power is cut."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from tests.reboots.segment import ASKER

_PRIVATE = ("ssh", "NetworkManager", "netplan")


class GuestFailed(Exception):
    """A guest did not do what it was told; the message says which and where its log is."""


class Processors:
    """Which processor a guest runs on. A guest's kernel and programs are processes that hand over to each other: they
    are quickest on one processor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._on: dict[str, int] = {}
        self._booting: set[str] = set()

    def take(self, name: str) -> int:
        """The one with the fewest guests that are booting, then with the fewest in all, then the idlest."""
        with self._lock:
            before = self._idle()
            time.sleep(0.1)
            after = self._idle()
            others = [(one, cpu) for one, cpu in self._on.items() if one != name]

            def load(cpu: int) -> tuple[int, int, int]:
                here = [one for one, on in others if on == cpu]
                return sum(one in self._booting for one in here), len(here), before[cpu] - after[cpu]

            self._on[name] = min(os.sched_getaffinity(0), key=load)
            self._booting.add(name)
            return self._on[name]

    def booted(self, name: str) -> None:
        with self._lock:
            self._booting.discard(name)

    @staticmethod
    def _idle() -> list[int]:
        lines = Path("/proc/stat").read_text("ascii").splitlines()
        return [int(line.split()[4]) for line in lines if re.match(r"cpu\d", line)]


PROCESSORS = Processors()


class Guest:
    """One machine. `seed`: its own files, put into its root at its first boot."""

    def __init__(self, folder: Path, name: str, image: Path, link: Path, mac: str, seed: dict[str, str], memory: int):
        self.name, self.dir, self.mac = name, folder / name, mac
        self._image, self._link, self._memory = image, link, memory
        (self.dir / "ctl").mkdir(parents=True)
        for path, text in seed.items():
            target = self.dir / "seed" / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
            target.chmod(0o600 if any(word in path for word in _PRIVATE) else 0o644)
        self.log = self.dir / "log"
        self._process: subprocess.Popen[bytes] | None = None
        self._console: socket.socket | None = None
        self._asked = 0
        self._news = threading.Condition()
        self._done: dict[int, int] = {}
        self._ready = self._ended = False
        self.boot_id = ""
        self.over = False

    def add(self, source: Path, place: str) -> None:
        """A folder of this machine is put into the root at the first boot, as `place`."""
        shutil.copytree(source, self.dir / "seed" / place.lstrip("/"))

    def start(self) -> None:
        if self.over:
            raise GuestFailed(f"{self.name}: the run is being ended")
        self._console, theirs = socket.socketpair()
        self._ready = self._ended = False
        with theirs, self.log.open("ab") as log:
            # `noreboot`: the kernel ends where it would run itself anew in place, which does not always come back.
            self._process = subprocess.Popen(
                [
                    "taskset", "-c", str(PROCESSORS.take(self.name)), "linux.uml", f"mem={self._memory}M",
                    f"ubd0={self.dir}/cow,{self._image}", "root=/dev/ubda", "rootfstype=ext4", "rw", "init=/lab/init",
                    f"SEED={self.dir}/seed", f"lab.ctl={self.dir}/ctl", f"systemd.hostname={self.name}",
                    f"umid={self.name}", f"uml_dir={self.dir}/",
                    f"vec0:transport=bess,dst={self._link},depth=64,mac={self.mac}", "con=null",
                    f"con0=null,fd:{log.fileno()}", f"con1=fd:{theirs.fileno()}", "lpj=5000000", "quiet", "noreboot",
                    "net.ifnames=0", "systemd.show_status=no",
                ],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs.fileno(), log.fileno()),
                start_new_session=True, env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/usr/bin", "TMPDIR": "/dev/shm"},
            )  # fmt: skip

        threading.Thread(target=self._hear, args=(self._console,), daemon=True).start()

    def _hear(self, console: socket.socket) -> None:
        """Reads what the guest says on its console until it ends."""
        buffer = b""
        while data := self._more(console):
            *lines, buffer = (buffer + data).split(b"\n")
            with self._news:
                for line in lines:
                    match line.decode(errors="replace").split():
                        case ["ready", boot, *_]:
                            self._ready, self.boot_id = True, boot
                        case ["done", number, status]:
                            self._done[int(number)] = int(status)
                        case _:
                            pass
                self._news.notify_all()
        with self._news:
            if console is self._console:
                self._ended = True
            self._news.notify_all()

    @staticmethod
    def _more(console: socket.socket) -> bytes:
        try:
            return console.recv(65536)
        except OSError:
            return b""

    def _wait(self, what: str, there: Callable[[], bool], seconds: float) -> None:
        with self._news:
            self._news.wait_for(lambda: there() or self._ended, seconds)
            if there():
                return
        end = "the guest ended" if self._ended else f"nothing in {seconds:.0f} s"
        raise GuestFailed(f"{self.name}: {what}: {end}; log: {self.log}")

    def ready(self, seconds: float = 300) -> None:
        self._wait("its boot", lambda: self._ready, seconds)

    def send(self, script: str) -> int:
        """Starts a script, beside those that run already; `result` waits for it."""
        with self._news:
            if self._console is None:
                raise GuestFailed(f"{self.name}: it is off")
            self._asked += 1
            number = self._asked
            (self.dir / "ctl" / f"{number}.sh").write_text(script, encoding="utf-8")
            self._console.sendall(f"{number}\n".encode())
        return number

    def result(self, number: int, seconds: float) -> tuple[int, str]:
        self._wait(f"script {number}", lambda: number in self._done, seconds)
        return self._done[number], self.said(number)

    def said(self, number: int) -> str:
        """What a script has printed so far."""
        out = self.dir / "ctl" / f"{number}.out"
        return out.read_text(encoding="utf-8", errors="replace") if out.exists() else ""

    def run(self, script: str, seconds: float = 300) -> str:
        """What a script prints, whatever its exit status."""
        return self.result(self.send(script), seconds)[1]

    def reboot(self, seconds: float = 240) -> None:
        """`systemctl reboot`, until commands run again in another boot."""
        before = self.boot_id
        self.send("systemctl reboot")
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise GuestFailed(f"{self.name}: it did not go down within {seconds:.0f} s; log: {self.log}") from None
        if b"Restarting system" not in self.log.read_bytes()[-600:]:
            raise GuestFailed(f"{self.name}: it ended otherwise than by a reboot; log: {self.log}")
        self.cut()
        self.start()
        self.ready(seconds)
        assert self.boot_id != before

    def cut(self) -> None:
        """The power goes: nothing that is not on the disk yet gets there."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        with self._news:  # whoever waits for it waits in vain
            console, self._console, self._ended = self._console, None, True
            self._news.notify_all()
        if console is not None:
            with contextlib.suppress(OSError):
                console.shutdown(socket.SHUT_RDWR)
            console.close()

    def up(self, address: str, seconds: float = 300) -> None:
        """Waits until sshd listens, the address is there and systemd has started what it starts."""
        self.run(
            f"for i in $(seq 600); do ss -Hltn sport = :22 | grep -q . && ip -4 addr show vec0 | grep -q {address}/ "
            "&& break; sleep .1; done; systemctl is-system-running --wait",
            seconds,
        )
        PROCESSORS.booted(self.name)


class Segment:
    """The switch, and the guests on it; all end with it."""

    def __init__(self, folder: Path) -> None:
        self.dir, self.socket, self.log = folder, folder / "segment.sock", folder / "arp.log"
        self.guests: list[Guest] = []
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Segment:
        self.log.touch()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.reboots.segment", str(self.socket), str(self.log)]
        )
        end = time.monotonic() + 30
        while not self.socket.exists():
            if time.monotonic() > end or self._process.poll() is not None:
                raise GuestFailed("The switch between the guests did not start.")
            time.sleep(0.02)
        return self

    def power_off(self) -> None:
        """Cuts the power of all guests; none starts again."""
        for guest in self.guests:
            guest.over = True
            guest.cut()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.power_off()
        if self._process is not None:
            self._process.terminate()
            self._process.wait()


class Asker:
    """Asks by ARP who has an address, every 20 ms, as a host of its own on the segment: whoever would answer at some
    moment of a boot is heard."""

    def __init__(self, segment: Segment, address: str) -> None:
        self._segment, self._address = segment, address
        self._stop = threading.Event()
        self.asked = 0
        self._frame = (
            b"\xff" * 6 + ASKER + bytes.fromhex("08060001080006040001") + ASKER + bytes([10, 0, 0, 254]) + bytes(6)
            + bytes(map(int, address.split(".")))
        )  # fmt: skip

    def __enter__(self) -> Asker:
        self._since = time.time()
        self._port = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._port.connect(str(self._segment.socket))
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        return self

    def _ask(self) -> None:
        while not self._stop.wait(0.02):
            try:
                self._port.send(self._frame)
                self.asked += 1
            except OSError:
                continue

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        time.sleep(0.2)
        self._stop.set()
        self._thread.join()
        self._port.close()

    def heard(self, mac: str, since: float = 0.0) -> list[str]:
        """What the host with this MAC said of the address since the start, or since a later moment of `time.time`:
        answers, announcements, questions in its name, and questions whether it is free."""
        said, since = [], max(since, self._since)
        for line in self._segment.log.read_text("ascii").splitlines():
            when, source, kind, sender, target = line.split()
            about = sender == self._address or (kind == "probe" and target == self._address)
            if about and float(when) >= since and source == mac:
                said.append(f"+{float(when) - since:.2f} s {kind}")
        return said
