"""A farm of real servers for benchmarks: N network namespaces on a bridge, each with its own /etc and a real sshd.

    with Farm(Path("/tmp/farm"), 20) as farm:
        farm.addresses, farm.key, farm.known_hosts

Root only. Every server is a network namespace with a veth pair to a bridge in a namespace of the farm's own, where the
commands to be measured run (`farm.run`); nothing is added to this machine's own network. Its /etc is an overlay, its
/run and the home of root are tmpfs, so that what a login shell runs there (.bashrc) is not measured; all in a mount
namespace that dies with its processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

PREFIX = "10.88.0"
DIRECTOR = f"{PREFIX}.1"
_SERVER = """
set -e
mount -t tmpfs none {where}
mkdir -p {where}/upper {where}/work
mount -t overlay overlay -o lowerdir=/etc,upperdir={where}/upper,workdir={where}/work /etc
mount -t tmpfs none /run
mkdir -p /run/sshd
mount -t sysfs none /sys
mount -t tmpfs none "$HOME"
printf 'web%s\\n' {number} > /etc/hostname
ip link set lo up
exec /usr/sbin/sshd -D -e -f {config}
"""


class Farm:
    """`count` servers. `addresses` are their RIPs; `key` logs in as root; `known_hosts` knows them all."""

    def __init__(self, where: Path, count: int) -> None:
        if os.getuid() != 0:
            raise SystemExit("The farm needs root: network namespaces and overlay mounts.")
        self.where, self.count = where, count
        self.addresses = [f"{PREFIX}.{number + 10}" for number in range(count)]
        self.key, self.known_hosts = where / "key", where / "known_hosts"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._holder: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        shutil.rmtree(self.where, ignore_errors=True)
        self.where.mkdir(parents=True)
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        for name in ("key", "host"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.where / name)], check=True)
        host = " ".join((self.where / "host.pub").read_text().split()[:2])
        self.known_hosts.write_text("".join(f"{address} {host}\n" for address in self.addresses))
        (self.where / "authorized").write_text((self.where / "key.pub").read_text())
        self._config().chmod(0o600)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _config(self) -> Path:
        config = self.where / "sshd_config"
        config.write_text(
            f"HostKey {self.where / 'host'}\nAuthorizedKeysFile {self.where / 'authorized'}\nStrictModes no\n"
            "UsePAM no\nPidFile none\nPermitRootLogin yes\nMaxStartups 200\nPasswordAuthentication no\nUseDNS no\n"
        )
        return config

    def _start(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"], start_new_session=True)
        self._wait(lambda: self._net(self._pid) != self._net(os.getpid()))
        self._inside(
            f"ip link add br0 type bridge; ip addr add {DIRECTOR}/24 dev br0; ip link set br0 up; ip link set lo up"
        )
        for number in range(self.count):
            place = self.where / f"web{number}"
            place.mkdir()
            script = _SERVER.format(where=place, number=number, config=self.where / "sshd_config")
            with (self.where / f"web{number}.log").open("wb") as log:
                process = subprocess.Popen(
                    ["unshare", "--net", "--mount", "--uts", "sh", "-c", script], stderr=log, start_new_session=True
                )
            self._processes.append(process)
        commands = []
        for number, (process, address) in enumerate(zip(self._processes, self.addresses, strict=True)):
            self._wait(lambda pid=process.pid: self._net(pid) not in (self._net(os.getpid()), ""))  # type: ignore[misc]
            commands.append(
                f"ip link add v{number} type veth peer name eth0 netns {process.pid};"
                f" ip link set v{number} master br0 up;"
                f" nsenter --net=/proc/{process.pid}/ns/net sh -c"
                f" 'ip addr add {address}/24 dev eth0; ip link set eth0 up; ip route add default via {DIRECTOR}'"
            )
        self._inside("set -e\n" + "\n".join(commands))
        for number in range(self.count):
            said = self.where / f"web{number}.log"
            self._wait(lambda said=said: b"Server listening" in said.read_bytes())  # type: ignore[misc]

    @property
    def _pid(self) -> int:
        assert self._holder
        return self._holder.pid

    @staticmethod
    def _net(pid: int) -> str:
        try:
            return os.readlink(f"/proc/{pid}/ns/net")  # noqa: PTH115  (not a path)
        except OSError:
            return ""

    @staticmethod
    def _wait(condition: Callable[[], bool], seconds: float = 20.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("the farm does not come up")
            time.sleep(0.01)

    def _inside(self, script: str) -> None:
        subprocess.run(["nsenter", f"--net=/proc/{self._pid}/ns/net", "sh", "-ec", script], check=True)

    def run(self, command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command where the director stands."""
        inside = ["nsenter", f"--net=/proc/{self._pid}/ns/net", *command]
        return subprocess.run(inside, capture_output=True, text=True, check=False, env=os.environ | environment)

    def on(self, number: int, script: str) -> str:
        """Runs a shell script on a server, past its sshd."""
        pid = self._processes[number].pid
        command = ["nsenter", f"--target={pid}", "--net", "--mount", "--uts", "sh", "-c", script]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def stop(self) -> None:
        """Ends every server; namespaces and mounts go with them."""
        for process in (*self._processes, *([self._holder] if self._holder else [])):
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in (*self._processes, *([self._holder] if self._holder else [])):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._processes.clear()
        self._holder = None
        shutil.rmtree(self.where, ignore_errors=True)
