"""Prints what an operator waits for at the start: `--version`, the first painted wizard screen, and resident memory.

Each figure is the best of several runs, beside an empty Python program and `import textual` on the same machine.
Run: python -m tests.bench.startup
"""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

RUNS = 7
PAINTED = b"VIP address"
GOALS = {"--version": 0.15, "first screen": 0.6, "resident memory": 90.0}


def seconds(command: Sequence[str]) -> float:
    """Wall time of a command, start to end."""
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def wizard(home: str) -> tuple[float, float, float]:
    """Seconds until the first screen is painted in a terminal of 80×24, memory then and 3 s later, in MB."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(HOME=home, XDG_STATE_HOME=home, TERM="xterm-256color", LINES="24", COLUMNS="80")
        os.environ.pop("DSRWIZARD_LAB", None)
        os.execv(sys.executable, [sys.executable, "-m", "dsrwizard"])
    seen = b""
    try:
        painted = 0.0
        while True:
            if select.select([terminal], [], [], 0.05)[0]:
                seen += os.read(terminal, 65536)
            now = time.perf_counter() - began
            if not painted and PAINTED in seen:
                painted, first = now, resident(pid)
            if painted and now > painted + 3:
                return painted, first, resident(pid)
            if now > 30:
                raise SystemExit(f"no screen in 30 s: {seen[-500:]!r}")
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


def resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def row(what: str, value: float, unit: str, goal: float | None = None) -> None:
    verdict = "" if goal is None else f"   goal ≤ {goal:g} {unit}: {'reached' if value <= goal else 'MISSED'}"
    print(f"{what:<34} {value:8.2f} {unit}{verdict}")


def main() -> None:
    python = sys.executable
    row("python -c pass", min(seconds([python, "-c", "pass"]) for _ in range(RUNS)), "s")
    row("python -c 'import textual.app'", min(seconds([python, "-c", "import textual.app"]) for _ in range(RUNS)), "s")
    version = min(seconds([python, "-m", "dsrwizard", "--version"]) for _ in range(RUNS))
    row("dsrwizard --version", version, "s", GOALS["--version"])
    with tempfile.TemporaryDirectory() as home:
        runs = [wizard(home) for _ in range(RUNS)]
    row("first painted wizard screen", min(run[0] for run in runs), "s", GOALS["first screen"])
    row("resident memory when painted", max(run[1] for run in runs), "MB", GOALS["resident memory"])
    row("resident memory 3 s later", max(run[2] for run in runs), "MB", GOALS["resident memory"])


if __name__ == "__main__":
    main()
