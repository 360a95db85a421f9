"""The stream below SSH: a TCP connection or a ProxyCommand."""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

from backends.ssh.route import Route
from dsrwizard.core.errors import ConnectionRefused, ConnectTimeout, HostError, NameUnknown

_UNREACHABLE = {
    errno.EHOSTUNREACH: "Nobody answers at this address: no ARP reply, or a router says it is unreachable.",
    errno.ENETUNREACH: "This machine has no route to that network.",
    errno.EACCES: "A local firewall rule forbids the connection.",
    errno.EPERM: "A local firewall rule forbids the connection.",
}


def _nothing() -> None:
    pass


def _silent() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class Stream:
    """A socket or something like it; `release` when it is no longer needed; `said` is what its maker complained of."""

    sock: Any
    release: Callable[[], None] = _nothing
    said: Callable[[], str] = _silent


def direct(route: Route) -> Stream:
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
            return Stream(sock, sock.close)
    raise _unreachable(route, failure) from failure


def _unreachable(route: Route, error: OSError) -> HostError:
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


def proxied(command: str) -> Stream:
    """The standard input and output of a command. The shell that runs it is `sh`."""
    ours, theirs = socket.socketpair()
    said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed by `release`)
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command}"],
            stdin=theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=said,
            start_new_session=True,
        )
    finally:
        theirs.close()

    def release() -> None:
        ours.close()
        with contextlib.suppress(ProcessLookupError, PermissionError):
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)
        if process.returncode is None:
            process.kill()
            process.wait()
        said.close()

    return Stream(ours, release, lambda: "" if said.closed else _tail(said))


def _tail(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read()[-400:].decode("utf-8", "replace").strip()
