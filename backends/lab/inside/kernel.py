"""The system calls that build a host out of namespaces and mounts, called directly: a fork costs 10 ms in here."""

from __future__ import annotations

import ctypes
import os

MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWNET = 0x40000000
NAMESPACES = ("net", "uts", "mnt")
"""What a host has of its own, as in /proc/PID/ns; the mounts last, as they bring another /proc."""
_POWER_OFF = 0x4321FEDC
_PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    done = _libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(done, f"mount {kind} {target}")


def enter_root(root: str, old: str) -> None:
    """Makes `root` the root of this mount namespace; the old one is at `old` (a path below `root`) afterwards."""
    os.chdir(root)
    _check(_libc.pivot_root(b".", old.lstrip("/").encode()), f"pivot_root {root}")
    os.chdir("/")


def detach(target: str) -> None:
    """Unmounts what is mounted there, now or once it is free."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), f"umount {target}")


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags), "unshare")


def set_namespace(descriptor: int) -> None:
    """setns(2); os.setns came with Python 3.12."""
    _check(_libc.setns(descriptor, 0), "setns")


def adopt_orphans() -> None:
    """From now on orphans among this process's descendants are its children."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    _check(_libc.sethostname(name.encode(), len(name.encode())), "sethostname")


def power_off() -> None:
    """Ends the guest at once."""
    _libc.reboot(ctypes.c_int(_POWER_OFF - (1 << 32) if _POWER_OFF >= 1 << 31 else _POWER_OFF))
