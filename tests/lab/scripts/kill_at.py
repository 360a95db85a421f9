"""Runs a command and kills it (-9) as its journal reaches a number of lines. For the director of the lab.

    kill_at.py JOURNAL LINES SECONDS COMMAND…

The journal's folder is watched by inotify(7), at a real-time priority: on the guest's one processor the writer gets no
further than the end of its write. `SECONDS` later it is killed. Prints `killed LINES`, or `ended STATUS` when the
command was over before; its own output is passed on.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

IN_MODIFY, IN_CREATE, IN_MOVED_TO = 0x2, 0x100, 0x80  # linux/inotify.h


def main(journal: Path, lines: int, seconds: float, command: list[str]) -> None:
    journal.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init()
    if libc.inotify_add_watch(watch, os.fsencode(journal.parent), IN_MODIFY | IN_CREATE | IN_MOVED_TO) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(journal.parent))
    before = count(journal)
    process = subprocess.Popen(command)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    while process.poll() is None:
        if select.select([watch], [], [], 0.05)[0]:
            os.read(watch, 65536)
        reached = count(journal) - before
        if reached >= lines:
            if seconds:
                time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            if process.wait() == -signal.SIGKILL:
                print(f"killed {reached}")
                return
    print(f"ended {process.returncode}")


def count(journal: Path) -> int:
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
