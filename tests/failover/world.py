"""The lab under load: clients at work, two who watch, and events whose moment is known."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from backends.lab import network
from tests.failover.figures import Records, Seen, seen
from tests.lab.harness import Lab, Process

INSIDE = Path(__file__).parent / "inside"
RATE, TRANSFERS = 50, 20
AT_THE_SWITCH = "nsenter --target=1 --net "
"""Before a command: it runs where the cables of all hosts end (process 1 of the guest)."""


def program(name: str, *words: str) -> list[str]:
    """A program of `inside`, as it is started in the guest: without site-packages, which take long to read there."""
    return [sys.executable, "-I", "-S", str(INSIDE / f"{name}.py"), *words]


class Watched:
    """Clients of the lab's VIP and those who watch, from entering to `records`.

    `directors`: whose kernel's news of the VIP are heard. `inside`: words that enter a director's network first.
    """

    def __init__(self, lab: Lab, directors: Sequence[str], *, settle: float = 3.0) -> None:
        self._lab, self._settle = lab, settle
        self._owners = lab.spawn(network.ROUTER.name, [*AT_THE_SWITCH.split(), *program("owners", network.VIP)])
        self._held = {name: lab.spawn(name, program("holding", network.VIP)) for name in directors}
        self._load = lab.spawn(
            network.CLIENT.name,
            program("load", network.VIP, str(network.SERVICE_PORT), str(RATE), str(TRANSFERS)),
        )
        self.marks: list[float] = []

    def __enter__(self) -> Self:
        self._load.expect("ready")
        time.sleep(self._settle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in (self._load, self._owners, *self._held.values()):
            process.kill()

    def event(self, host: str, script: str, wait: float) -> None:
        """Something happens on a host, and is looked at for so many seconds. Its moment is that before the script."""
        self.marks.append(float(self._lab.run(host, f"cat /proc/uptime; {script}").ok().stdout.split()[0]))
        self.look_on(wait)

    def look_on(self, seconds: float) -> None:
        """The load goes on for so long: what it meets then counts to the last event."""
        time.sleep(seconds)

    def now(self) -> float:
        return float(self._lab.read(network.CLIENT.name, "/proc/uptime").split()[0])

    def records(self) -> tuple[Records, list[Seen]]:
        """What was seen in all, and from each event to the next."""
        self.marks.append(self.now())
        owners, load = _document(self._owners), _document(self._load)
        found = Records.read(load, owners, {name: _document(process) for name, process in self._held.items()})
        return found, [seen(found, since, until) for since, until in zip(self.marks, self.marks[1:], strict=False)]


def _document(process: Process) -> dict[str, Any]:
    process.close_input()
    result = process.wait()
    assert result.status == 0, f"{result.command}: {result.stderr}"
    document: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return document


def put(lab: Lab, host: str, files: dict[str, str]) -> None:
    """Writes files on a host, all at once: each command in the guest costs time."""
    lines = []
    for path, text in files.items():
        lines += [
            f"mkdir -p {shlex.quote(path.rpartition('/')[0])}",
            f"printf %s {shlex.quote(text)} >{shlex.quote(path)}",
        ]
    lab.run(host, "bash -e", stdin="\n".join(lines)).ok()


def cable(host: str, words: str) -> str:
    """A change of a host's port on the switch: `nomaster` (cut: frames go nowhere, the carrier stays), `down`."""
    return f"{AT_THE_SWITCH}ip link set v{host} {words}"


def uncut(host: str) -> str:
    return cable(host, "master br0 up")
