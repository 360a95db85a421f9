"""The stream below SSH: a TCP connection or a ProxyCommand."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Any

from backends.ssh.route import SshRoute
from dsrwizard.core.model.errors import ConnectionRefused, ConnectTimeout, HostError, NameUnknown
from dsrwizard.core.model.foreign import one_line

_UNREACHABLE = {
    errno.EHOSTUNREACH: "Nobody answers at this address: no ARP reply, or a router says it is unreachable.",
    errno.ENETUNREACH: "This machine has no route to that network.",
    errno.EACCES: "A local firewall rule blocks the connection.",
    errno.EPERM: "A local firewall rule blocks the connection.",
}


_TAIL = 400
"""Bytes that are kept of what a ProxyCommand complains of."""
_LAST_WORDS = 0.5
"""Seconds in which a command that has ended has said its last."""


def _nothing() -> None:
    pass


def _silent() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class ByteStream:
    """A socket or something like it; `release` when it is no longer needed; `said` is what its maker complained of."""

    sock: Any
    release: Callable[[], None] = _nothing
    said: Callable[[], str] = _silent


def direct(route: SshRoute) -> ByteStream:
    """A TCP connection. Raises NameUnknown, ConnectionRefused, ConnectTimeout."""
    begin = time.monotonic()
    try:
        found = socket.getaddrinfo(route.address, route.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise NameUnknown(
            f"{route.host}: the name “{route.address}” has no address.",
            f"The resolver says: {getattr(error, 'strerror', None) or error}.",
            "Check the name, or write the IP address.",
        ) from error
    failure: OSError = OSError()
    for family, kind, protocol, _, place in found:
        left = route.timeout - (time.monotonic() - begin)
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(left, 0.1))
            sock.connect(place)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failure = error
        else:
            return ByteStream(sock, sock.close)
    raise _unreachable(route, failure) from failure


def _unreachable(route: SshRoute, error: OSError) -> HostError:
    if isinstance(error, ConnectionRefusedError):
        return ConnectionRefused(
            f"{route.host}: {route.at} refused the connection.",
            "The host is there, but no SSH server listens on that port.",
            "Start sshd there, or correct the port of this host.",
        )
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return ConnectTimeout(
            f"{route.host}: {route.at} did not answer within {route.timeout:g} s.",
            "The host is down, or a firewall drops the packets.",
            "Check the address, and that SSH is let through.",
        )
    return ConnectTimeout(
        f"{route.host}: {route.at} cannot be reached.",
        _UNREACHABLE.get(error.errno or 0, f"The system says: {error.strerror or error}."),
        "Check the address and this machine's routes.",
    )


def proxied(command: str) -> ByteStream:
    """The standard input and output of a command. The shell that runs it is `sh`."""
    ours, theirs = socket.socketpair()
    complaints, says = os.pipe()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=says,
            start_new_session=True,
        )
    finally:
        theirs.close()
        os.close(says)
    tail = _Tail(complaints)

    def release() -> None:
        if process.returncode is not None:
            return  # released before: its number may be another's by now
        ours.close()
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        if process.returncode is None:
            _signal(process, signal.SIGKILL)
            process.wait()
        tail.close()

    return ByteStream(ours, release, tail.text)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the command and all that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class _Tail:
    """Reads what a command complains of, so that it never waits for a reader, and keeps the end of it."""

    def __init__(self, pipe: int) -> None:
        self._pipe, self._kept = pipe, b""
        self._stop, self._stopped = os.pipe()
        self._thread = Thread(target=self._read, name="ProxyCommand", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        poll.register(self._stop, select.POLLIN)
        while self._stop not in dict(poll.poll()):
            data = os.read(self._pipe, 4096)
            if not data:
                return
            self._kept = (self._kept + data)[-_TAIL:]

    def text(self) -> str:
        """What it said last."""
        self._thread.join(_LAST_WORDS)
        return one_line(self._kept.decode("utf-8", "replace").strip(), _TAIL * 2)

    def close(self) -> None:
        os.close(self._stopped)
        self._thread.join()
        os.close(self._pipe)
        os.close(self._stop)
