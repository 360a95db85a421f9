"""Ports of this machine that nobody listens on, and nobody takes before they are used."""

from __future__ import annotations

import itertools
import os
import socket

FIRST, SHARE, SHARES = 20000, 1200, 10
"""Below 32768, where Linux begins to give ports to connections and to `bind` with port 0 (ip(7)); each worker of a run
has a share of its own."""
_worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
_asked = itertools.count(os.getpid())


def free_port(*kinds: socket.SocketKind) -> int:
    """One that is free on 127.0.0.1 for TCP, or for each of these kinds; another one each time."""
    mine = FIRST + int(_worker) % SHARES * SHARE
    for _ in range(SHARE):
        port = mine + next(_asked) % SHARE
        if all(_free(port, kind) for kind in kinds or (socket.SOCK_STREAM,)):
            return port
    raise AssertionError(f"no port from {mine} to {mine + SHARE - 1} is free")


def _free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(type=kind) as sock:
        try:
            sock.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
