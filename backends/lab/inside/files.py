"""Keeps small the number of this machine's files that the guest holds open.

hostfs opens a file or directory of the machine when it is first opened in the guest, and closes it only when the
guest's kernel forgets the inode: for want of memory, which there is plenty of. One walk through all directories would
hold tens of thousands, more than a process may open. So the inodes are counted, and the caches dropped in time.
"""

# ruff: noqa: PTH123

from __future__ import annotations

import os
import sys
import time
import traceback

NEEDED = 512
"""With fewer open files allowed the lab does not start: a program or two keep half of them busy."""

_COUNT = "/sys/kernel/slab/hostfs_inode_info/objects"  # every open file of the machine is one of them
_DROP = "/proc/sys/vm/drop_caches"
_ENTRIES_AND_INODES, _SAY_NOTHING = b"2\n", b"4\n"
_OTHERS = 64  # consoles, memory, the kernel's own pipes
_MOST = 8192  # more are of no use, and take longer to drop
_LEAST_ROOM = 32
_A_SECOND = 20_000  # files a quick machine may open: a loop that does nothing else opens 3,000 on a slow one
_SHORTEST, _LONGEST = 0.002, 0.1  # seconds between two looks
_GRACE = 0.02  # seconds until dropped inodes are counted no more


def keep_few(limit: int) -> None:
    """Starts the process that does it, before everything else on the processor; `limit`: how many may be open."""
    if os.fork() == 0:
        try:
            _watch(min(limit, _MOST) - _OTHERS)
        except BaseException:  # noqa: BLE001 - belongs in the boot log
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(1)


def _watch(room: int) -> None:
    with open("/proc/self/comm", "w") as file:
        file.write("lab-files")
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    counter, drop = os.open(_COUNT, os.O_RDONLY), os.open(_DROP, os.O_WRONLY)
    os.pwrite(drop, _SAY_NOTHING, 0)  # in the kernel's log
    kept = 0  # what is in use cannot be dropped
    while True:
        most = kept + max((room - kept) * 3 // 4, _LEAST_ROOM)
        count = _read_number(counter)
        if count >= most:
            os.pwrite(drop, _ENTRIES_AND_INODES, 0)  # a sysctl takes nothing elsewhere
            time.sleep(_GRACE)
            kept = _read_number(counter)
            continue
        time.sleep(min(max((most - count) / _A_SECOND, _SHORTEST), _LONGEST))


def _read_number(descriptor: int) -> int:
    return int(os.pread(descriptor, 64, 0).split()[0])
