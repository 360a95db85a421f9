"""TCP connects to many addresses and ports at once, as `telnet` would, told apart by what came back."""

from __future__ import annotations

import errno
import heapq
import os
import resource
import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from backends.packets.addresses import no_address, pack
from dsrwizard.core.model.answers import Connected

_UNREACHABLE = frozenset({
    errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EACCES,
    errno.ENOPROTOOPT,
})  # fmt: skip
_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_MOST_AT_ONCE = 1000
_Result = Literal["open", "refused", "silent", "unreachable", "unknown"]


def connect(targets: Sequence[tuple[str, int]], deadline: float = 2.0) -> list[Connected]:
    """One result per target, in their order; each has `deadline` seconds from when its own connect began.

    As many run side by side as file descriptors allow. An open connection is closed with FIN. Nothing raises.
    """
    return _Run(targets, deadline).run()


class _Run:
    def __init__(self, targets: Sequence[tuple[str, int]], deadline: float) -> None:
        self._targets = targets
        self._deadline = deadline
        self._results: list[Connected | None] = [None] * len(targets)
        self._open: dict[int, tuple[socket.socket, int, float]] = {}
        self._timers: list[tuple[float, int, int]] = []
        self._poll = select.poll()

    def run(self) -> list[Connected]:
        waiting = deque(range(len(self._targets)))
        most = _room()
        try:
            while waiting or self._open:
                while waiting and len(self._open) < most:
                    if not self._start(waiting[0]):
                        most = max(1, len(self._open))
                        break
                    waiting.popleft()
                self._wait()
        finally:
            for connecting, _index, _began in self._open.values():
                connecting.close()
        return [result for result in self._results if result is not None]

    def _start(self, index: int) -> bool:
        """Begins one connect; false where there is no descriptor left for it but there will be."""
        address, port = self._targets[index]
        packed = pack(address)
        if packed is None or not 0 < port < 65536:
            self._settle(index, "unknown", no_address(address) if packed is None else f"{port} is not a valid port.")
            return True
        began = time.monotonic()
        try:
            family, _, _, _, where = socket.getaddrinfo(
                address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
            connecting = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        except OSError as error:
            if error.errno in _NO_ROOM and self._open:
                return False
            self._settle(index, "unknown", f"{error.strerror}.")
            return True
        code = connecting.connect_ex(where)
        if code in (0, errno.EINPROGRESS):
            self._open[connecting.fileno()] = (connecting, index, began)
            self._poll.register(connecting.fileno(), select.POLLOUT)
            heapq.heappush(self._timers, (began + self._deadline, connecting.fileno(), index))
        else:
            connecting.close()
            self._judge(index, code, began)
        return True

    def _wait(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, descriptor, index = heapq.heappop(self._timers)
            if self._results[index] is None:
                self._finish(descriptor)
                self._settle(index, "silent")
        if not self._open:
            return
        for descriptor, _events in self._poll.poll(max(0.0, self._timers[0][0] - now) * 1000 + 1):
            connecting, index, began = self._open[descriptor]
            code = connecting.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self._judge(index, code, began)
            self._finish(descriptor)

    def _finish(self, descriptor: int) -> None:
        connecting = self._open.pop(descriptor)[0]
        self._poll.unregister(descriptor)
        try:
            # With unread bytes (a greeting) close() would send RST, which some servers log as an error.
            connecting.shutdown(socket.SHUT_WR)
            connecting.recv(4096)
        except OSError:
            pass
        connecting.close()

    def _judge(self, index: int, code: int, began: float) -> None:
        elapsed = (time.monotonic() - began) * 1000
        if code == 0:
            self._settle(index, "open", milliseconds=elapsed)
        elif code in (errno.ECONNREFUSED, errno.ECONNRESET):
            self._settle(index, "refused", milliseconds=elapsed)
        elif code == errno.ETIMEDOUT:
            self._settle(index, "silent")
        else:
            self._settle(index, "unreachable" if code in _UNREACHABLE else "unknown", f"{os.strerror(code)}.")

    def _settle(self, index: int, result: _Result, problem: str = "", milliseconds: float | None = None) -> None:
        address, port = self._targets[index]
        self._results[index] = Connected(
            address=address, port=port, result=result, milliseconds=milliseconds, problem=problem
        )


def _room() -> int:
    """How many sockets may be open at once: the process' limit, less what it has open already."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return _MOST_AT_ONCE
    return max(1, min(_MOST_AT_ONCE, soft - 64 - len(list(Path("/proc/self/fd").iterdir()))))
