"""Real Debian machines on one segment, as an ordinary user: each boots in User-Mode Linux; commands run over its
console, independent of its network; it reboots, and its power is cut."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType

from tests.reboots.segment import ASKER

_PRIVATE = ("ssh", "NetworkManager", "netplan")


class GuestFailed(Exception):
    """A guest did not do what it was told; the message says which and where its log is."""


def _idlest() -> int:
    """The processor that had least to do in the last quarter of a second."""

    def idle() -> list[int]:
        lines = Path("/proc/stat").read_text("ascii").splitlines()
        return [int(line.split()[4]) for line in lines if re.match(r"cpu\d", line)]

    before = idle()
    time.sleep(0.25)
    after = idle()
    return max(os.sched_getaffinity(0), key=lambda one: after[one] - before[one])


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
        self._buffer = b""
        self._asked = 0
        self.boot_id = ""
        self.began = 0.0

    def add(self, source: Path, place: str) -> None:
        """A folder of this machine is put into the root at the first boot, as `place`."""
        shutil.copytree(source, self.dir / "seed" / place.lstrip("/"))

    def start(self) -> None:
        self._console, theirs = socket.socketpair()
        self.began = time.monotonic()
        with theirs, self.log.open("ab") as log:
            # A guest's kernel and programs are processes that hand over to each other: quickest on one processor.
            # `noreboot`: the kernel ends where it would run itself anew in place, which does not always come back.
            self._process = subprocess.Popen(
                [
                    "taskset", "-c", str(_idlest()), "linux.uml", f"mem={self._memory}M",
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

    def _line(self, pattern: str, seconds: float) -> str:
        end = time.monotonic() + seconds
        while True:
            while b"\n" in self._buffer:
                line, _, self._buffer = self._buffer.partition(b"\n")
                text = line.decode(errors="replace").strip()
                if text.startswith("ready "):
                    self.boot_id = text.split()[1]
                if re.match(pattern, text):
                    return text
            left = end - time.monotonic()
            if self._console is None or left <= 0 or not select.select([self._console], [], [], left)[0]:
                raise GuestFailed(f"{self.name}: no {pattern!r} in {seconds:.0f} s; log: {self.log}")
            data = self._console.recv(65536)
            if not data:
                raise GuestFailed(f"{self.name}: the guest ended; log: {self.log}")
            self._buffer += data

    def ready(self, seconds: float = 300) -> None:
        self._line("ready ", seconds)

    def send(self, script: str) -> int:
        """Starts a script; `result` waits for it."""
        assert self._console is not None
        self._asked += 1
        (self.dir / "ctl" / f"{self._asked}.sh").write_text(script, encoding="utf-8")
        self._console.sendall(f"{self._asked}\n".encode())
        return self._asked

    def result(self, number: int, seconds: float) -> tuple[int, str]:
        status = int(self._line(f"done {number} ", seconds).split()[2])
        return status, (self.dir / "ctl" / f"{number}.out").read_text(encoding="utf-8", errors="replace")

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
        if self._console is not None:
            self._console.close()
        self._buffer = b""

    def up(self, address: str, seconds: float = 300) -> None:
        """Waits until sshd listens, the address is there and systemd has started what it starts."""
        self.run(
            f"for i in $(seq 600); do ss -Hltn sport = :22 | grep -q . && ip -4 addr show vec0 | grep -q {address}/ "
            "&& break; sleep .1; done; systemctl is-system-running --wait",
            seconds,
        )


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

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for guest in self.guests:
            guest.cut()
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

    def heard(self, mac: str) -> list[str]:
        """What the host with this MAC said of the address since the start: answers, announcements, questions in its
        name, and questions whether it is free."""
        said = []
        for line in self._segment.log.read_text("ascii").splitlines():
            when, source, kind, sender, target = line.split()
            about = sender == self._address or (kind == "probe" and target == self._address)
            if about and float(when) >= self._since and source == mac:
                said.append(f"+{float(when) - self._since:.2f} s {kind}")
        return said
