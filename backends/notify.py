"""Telling systemd that a service is up and alive (sd_notify(3)); without systemd nothing is sent."""

from __future__ import annotations

import contextlib
import os
import socket


def watchdog() -> float:
    """Seconds without a heartbeat after which this process is started again (sd_watchdog_enabled(3)); 0: by nobody."""
    told = os.environ.get("WATCHDOG_USEC", "")
    mine = os.environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
    return int(told) / 1e6 if mine and told.isascii() and told.isdecimal() and len(told) < 16 else 0.0


def notify(*lines: str) -> bool:
    """Sends `READY=1`, `WATCHDOG=1`, `STATUS=…` or `STOPPING=1`. False: nobody listens. Never raises."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if path[:1] not in ("/", "@"):
        return False
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.settimeout(1.0)  # a service manager that hangs holds up no round
        channel.sendto("\n".join(lines).encode(), "\0" + path[1:] if path[0] == "@" else path)
        return True
    return False
