"""Stands in for systemd around keepalived, because the lab has none: does what the lines say that dsrwizard writes.

    unit.py DROP-IN COMMAND…

systemd.service(5): the commands of ExecStartPre= run before it starts, those of ExecStopPost= after it ended, whatever
ended it; with Restart=always it is started again after RestartSec=. What is left of its processes is ended first
(systemd.kill(5), KillMode=control-group). A `-` before a command: it may fail. Ends with SIGTERM, as by systemctl stop.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from types import FrameType

_STOPPING_SECONDS = 5.0


class _Unit:
    def __init__(self, drop_in: str, command: list[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = False
        with open(drop_in, encoding="utf-8") as file:  # noqa: PTH123 - pathlib is slow to import in the guest
            pairs = [line.strip().partition("=")[::2] for line in file if "=" in line and line[0] != "#"]
        self._before = [value for key, value in pairs if key == "ExecStartPre"]
        self._after = [value for key, value in pairs if key == "ExecStopPost"]
        settings = dict(pairs)
        self._again = settings.get("Restart") == "always"
        self._rest = float(settings.get("RestartSec", "0.1"))

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True
        if self._process is not None:
            self._process.terminate()

    def run(self) -> None:
        while not self._stopping:
            self._all(self._before)
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, start_new_session=True)
            self._process.wait()
            self._end_the_rest(self._process.pid)
            self._all(self._after)
            if not self._again:
                return
            if not self._stopping:
                time.sleep(self._rest)  # RestartSec

    def _end_the_rest(self, group: int) -> None:
        end = time.monotonic() + _STOPPING_SECONDS
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, signal.SIGTERM)
            while time.monotonic() < end:
                time.sleep(0.02)
                os.killpg(group, 0)
            os.killpg(group, signal.SIGKILL)

    @staticmethod
    def _all(commands: list[str]) -> None:
        for command in commands:
            done = subprocess.run(shlex.split(command.removeprefix("-")), check=False)
            if done.returncode and command[0] != "-":
                sys.exit(f"{command}: status {done.returncode}")


def main() -> None:
    unit = _Unit(sys.argv[1], sys.argv[2:])
    signal.signal(signal.SIGTERM, unit.stop)
    unit.run()


if __name__ == "__main__":
    main()
