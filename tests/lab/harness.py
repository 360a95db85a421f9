"""A running lab for tests: commands on any of its hosts, files in and out, waiting for conditions.

    lab.run("web1", "ip -br addr").stdout
    lab.dsrwizard("apply", "/lab/shop.toml", "--yes").status
    with lab.spawn("web1", ["tcpdump", "-n"]) as capture: ...

Commands may run at the same time, from several threads, too. A command is over when its own process ends; what
processes it left in the background write afterwards is not collected.
"""

from __future__ import annotations

import json
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backends.lab import frames, guest, network, recipe

HOSTS = tuple(host.name for host in network.HOSTS)
SERVERS = tuple(host.name for host in network.SERVERS)
VIP = network.VIP
VIP6 = network.VIP6
DEPLOYMENT_FILE, RICH_FILE = recipe.DEPLOYMENT_FILE, recipe.RICH_FILE
ROOT_PASSWORD = recipe.ROOT_PASSWORD
OPS_HOST, OPS_USER, OPS_PASSWORD = recipe.OPS_HOST, recipe.OPS_USER, recipe.OPS_PASSWORD

PATIENCE = 120
"""Seconds until something that should come about is given up: a busy machine with one processor takes long."""

ANSWER_SECONDS = 20
"""The same for one answer of a service: two SYNs may be lost, and the machine may be busy."""

SURE = 60
"""Requests until each of three servers has had one, where a hash of the client's port chooses: one is left out with a
probability of 3·(2/3)^60, less than one in a thousand million."""

_ASK = (Path(__file__).parent / "scripts" / "ask.py").read_text("utf-8")


class LabDied(Exception):
    """The guest ended; the message holds its boot log."""


@dataclass(frozen=True)
class Result:
    """What a command did."""

    command: str
    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Standard output as the one JSON document it should be."""
        return json.loads(self.stdout)

    def ok(self) -> Self:
        """Itself when the status is 0; otherwise an AssertionError with everything the command said."""
        assert self.status == 0, f"{self.command}: status {self.status}\n{self.stdout}\n{self.stderr}"
        return self


class Process:
    """A command that runs. As a context manager it is killed at the end of the block."""

    def __init__(self, lab: Lab, number: int, command: str) -> None:
        self.command = command
        self.status: int | None = None
        self._lab = lab
        self._number = number
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._changed = threading.Condition()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def stdout(self) -> str:
        """What it wrote so far; with a terminal, everything the terminal shows."""
        return self._stdout.decode(errors="replace")

    @property
    def stderr(self) -> str:
        """What it wrote to standard error so far."""
        return self._stderr.decode(errors="replace")

    def send(self, data: str | bytes) -> None:
        """Writes to its standard input, or types on its terminal."""
        payload = data.encode() if isinstance(data, str) else data
        for start in range(0, len(payload), frames.CHUNK):
            self._lab.send(frames.INPUT, self._number, payload[start : start + frames.CHUNK])

    def close_input(self) -> None:
        """Ends its standard input."""
        self._lab.send(frames.INPUT, self._number)

    def resize(self, rows: int, cols: int) -> None:
        """Changes the size of its terminal."""
        self._lab.send(frames.SIZE, self._number, frames.size_payload(rows, cols))

    def signal(self, number: int) -> None:
        """Sends a signal to the command and its children."""
        self._lab.send(frames.SIGNAL, self._number, str(int(number)).encode())

    def wait(self, seconds: float = PATIENCE) -> Result:
        """Waits for its end."""
        if not self.wait_for(lambda: self.status is not None, seconds):
            said = f"{self.stdout}\n{self.stderr}"
            self.kill()
            raise TimeoutError(f"{self.command}: still running after {seconds} s\n{said}")
        assert self.status is not None
        return Result(self.command, self.status, self.stdout, self.stderr)

    def wait_for(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Waits until the condition holds, asking after each output; False when it did not in time."""
        with self._changed:
            done = self._changed.wait_for(lambda: condition() or self._lab.death is not None, seconds)
            if self._lab.death is not None and not condition():
                raise LabDied(self._lab.death)
            return done

    def expect(self, text: str, seconds: float = PATIENCE) -> None:
        """Waits until the text is in standard output."""
        arrived = self.wait_for(lambda: text in self.stdout, seconds)
        assert arrived, f"{self.command}: no {text!r} in {seconds} s\n{self.stdout}\n{self.stderr}"

    def kill(self) -> None:
        """Kills the command and waits until it is gone. Nothing happens if it ended before."""
        if self.status is None and self._lab.death is None:
            self.signal(signal.SIGKILL)
            self.wait_for(lambda: self.status is not None)

    def take(self, kind: bytes, payload: bytes) -> None:
        """For the lab: a frame of this command arrived."""
        with self._changed:
            if kind == frames.OUTPUT:
                self._stdout += payload
            elif kind == frames.ERRORS:
                self._stderr += payload
            elif kind == frames.EXIT:
                self.status = int(payload)
            self._changed.notify_all()

    def wake(self) -> None:
        """For the lab: the guest is gone."""
        with self._changed:
            self._changed.notify_all()


class Lab:
    """One guest that stays up. With `known_hosts` the director knows every host's key from the start. `servers` and
    `directors`: how many it has."""

    def __init__(self, *, known_hosts: bool = True, servers: int = network.USUAL, directors: int = 1) -> None:
        self.death: str | None = None
        self._guest = guest.Guest(known_hosts=known_hosts, servers=servers, directors=directors)
        self._hosts = {host.name for host in network.hosts(servers, directors)}
        self._processes: dict[int, Process] = {}
        self._lock = threading.Lock()  # one frame at a time
        self._credit = threading.Condition()
        self._reader = threading.Thread(target=self._read, name="lab-reader", daemon=True)
        self._closing = False

    def __enter__(self) -> Self:
        try:
            self._guest.start()
            self._guest.wait_until_ready()
        except BaseException:
            self._guest.kill()
            raise
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing = True
        self._guest.kill()
        self._reader.join(10)

    def run(
        self,
        host: str,
        command: str | Sequence[str],
        *,
        stdin: str | bytes = b"",
        timeout: float = PATIENCE,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Runs a command (a string is for the shell) on a host and waits for its end."""
        with self.spawn(host, command, env=env) as process:
            if stdin:
                process.send(stdin)
            process.close_input()
            return process.wait(timeout)

    def spawn(
        self,
        host: str,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        terminal: tuple[int, int] | None = None,
        cwd: str = recipe.HOME,
    ) -> Process:
        """Starts a command; `terminal` (rows, columns) gives it one."""
        if host not in self._hosts:
            raise ValueError(f"no host {host!r} in the lab")
        argv = ["/bin/bash", "-c", command] if isinstance(command, str) else list(command)
        variables = ({"TERM": "xterm-256color", "LANG": "C.UTF-8"} if terminal else {}) | dict(env or {})
        with self._lock:
            number = len(self._processes) + 1
            process = Process(self, number, f"{host}: {command if isinstance(command, str) else shlex.join(argv)}")
            self._processes[number] = process
        mode = frames.TERMINAL if terminal else frames.PIPES
        size = terminal or (24, 80)
        self._transmit(guest.spawn_frame(number, argv, host=host, cwd=cwd, mode=mode, size=size, env=variables))
        return process

    def dsrwizard(
        self, *arguments: str, stdin: str = "", timeout: float = 2 * PATIENCE, env: Mapping[str, str] | None = None
    ) -> Result:
        """Runs dsrwizard on the director."""
        return self.run("director", guest.wizard_command(*arguments), stdin=stdin, timeout=timeout, env=env)

    def put(self, path: str, text: str, *, host: str = "director") -> None:
        """Writes a file, with its directories."""
        directory = shlex.quote(path.rpartition("/")[0] or "/")
        self.run(host, f"mkdir -p {directory} && cat >{shlex.quote(path)}", stdin=text).ok()

    def read(self, host: str, path: str) -> str:
        """A file's text; an AssertionError when there is none."""
        return self.run(host, ["cat", path]).ok().stdout

    def exists(self, host: str, path: str) -> bool:
        """Whether there is such a file or directory."""
        return self.run(host, ["test", "-e", path]).status == 0

    def wait(self, host: str, condition: str, seconds: int = PATIENCE) -> None:
        """Waits until the shell condition holds on the host."""
        patience = f"[ $SECONDS -le {int(seconds)} ] || exit 1; sleep 0.05"
        loop = f"until {condition}; do {patience}; done"
        result = self.run(host, loop, timeout=seconds + 30)
        assert result.status == 0, f"{host}: not in {seconds} s: {condition}\n{result.stdout}\n{result.stderr}"

    def request(
        self, address: str, *, port: int = network.SERVICE_PORT, host: str = "client", seconds: int = ANSWER_SECONDS
    ) -> str:
        """The name of the server whose TCP service answered, or an empty string."""
        script = f"exec 3<>/dev/tcp/{address}/{port} && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3 | tail -n 1"
        return self._talk(host, script, seconds)

    def requests(
        self, address: str, times: int = SURE, *, port: int = network.SERVICE_PORT, seconds: int = ANSWER_SECONDS
    ) -> list[str]:
        """As many requests of the client, one after the other: what `request` says of each."""
        words = [sys.executable, "-c", _ASK, address, str(port), str(times), str(seconds)]
        said = self.run("client", words, timeout=times * seconds + PATIENCE).ok().stdout.splitlines()
        assert len(said) == times, said
        return said

    def echo(self, address: str, payload: str = "hello", *, host: str = "client", seconds: int = ANSWER_SECONDS) -> str:
        """Sends a datagram to the UDP service; the answer's text if it came from that address, or an empty string."""
        # dd reads just once, and one read takes one datagram whole.
        script = (
            f"exec 3<>/dev/udp/{address}/{network.ECHO_PORT} && printf %s {shlex.quote(payload)} >&3"
            " && dd bs=65535 count=1 status=none <&3"
        )
        return self._talk(host, script, seconds)

    def _talk(self, host: str, script: str, seconds: int) -> str:
        return self.run(host, ["timeout", str(seconds), "bash", "-c", script], timeout=seconds + 30).stdout.strip()

    def stop_service(self, host: str) -> None:
        """Stops a real server's TCP and UDP service."""
        self.run(host, ["lab-service", "stop"]).ok()

    def start_service(self, host: str, address: str | None = None) -> None:
        """Starts the service again, on every address or only on the one given."""
        self.run(host, ["lab-service", "start", *([address] if address else [])]).ok()

    def stop_sshd(self, host: str) -> None:
        """Stops listening for SSH; sessions that are open stay."""
        self.run(host, "kill $(cat /run/sshd.pid)").ok()
        self.wait(host, "[ ! -e /run/sshd.pid ]")

    def start_sshd(self, host: str) -> None:
        """Starts sshd again."""
        # In a subshell: as a session's leader and a child of process 1 it takes itself for a daemon and stays.
        self.run(host, "(/usr/sbin/sshd); exit").ok()
        self.wait(host, "[ -s /run/sshd.pid ]")

    def change_host_key(self, host: str) -> None:
        """Gives the host's sshd another key, as after a new installation."""
        self.stop_sshd(host)
        key = "/etc/ssh/ssh_host_ed25519_key"
        self.run(host, f"rm -f {key} {key}.pub; ssh-keygen -q -t ed25519 -N '' -f {key}").ok()
        self.start_sshd(host)

    def know_hosts(self) -> None:
        """The director knows every host's key."""
        self.run("director", f"cp {recipe.KNOWN_HOSTS_FILE} ~/.ssh/known_hosts").ok()

    def forget_hosts(self) -> None:
        """The director knows no host's key."""
        self.run("director", ": >~/.ssh/known_hosts").ok()

    def log(self) -> str:
        """The guest's boot log and kernel messages."""
        return self._guest.log()

    def send(self, kind: bytes, session: int, payload: bytes = b"") -> None:
        """For processes: one frame to the guest."""
        self._transmit(frames.pack(kind, session, payload))

    def _transmit(self, data: bytes) -> None:
        if self.death is not None:
            raise LabDied(self.death)
        rest = memoryview(data)
        try:
            with self._lock, self._credit:
                while rest:
                    self._credit.wait_for(lambda: self._guest.credit > 0 or self.death is not None)
                    if self.death is not None:
                        raise LabDied(self.death)
                    rest = rest[self._guest.send_some(rest) :]
        except OSError as error:
            raise LabDied(f"the guest is gone: {error}\n{self.log()}") from error

    def _read(self) -> None:
        while True:
            try:
                got = self._guest.receive()
            except OSError:  # closed by __exit__
                got = None
            if got is None:
                break
            with self._credit:
                self._credit.notify_all()
            for kind, number, payload in got:
                if process := self._processes.get(number):
                    process.take(kind, payload)
        self.death = "the lab was closed" if self._closing else f"the guest ended. Its log:\n{self.log()}"
        with self._credit:
            self._credit.notify_all()
        for process in list(self._processes.values()):
            process.wake()
