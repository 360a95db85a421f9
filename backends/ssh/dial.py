"""From a route to a logged-in connection: socket, jump hosts, proxy command, key exchange, host key, login."""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import time
from collections.abc import Callable
from threading import Event
from typing import Any

import paramiko

from backends.memory import Memory
from backends.ssh.algorithms import nothing_in_common
from backends.ssh.known import host_keys as known_keys
from backends.ssh.login import HungUp, Login
from backends.ssh.reach import ByteStream, direct, proxied
from backends.ssh.route import SshRoute, route_to_hop
from backends.ssh.transport import Transport
from backends.ssh.trust import check_key
from dsrwizard.core.model.errors import ConnectionRefused, ConnectTimeout, HostError
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.ports import Asker

_NEGOTIATION = 15.0
"""Seconds for the key exchange after the banner: slow hosts compute long."""
_LOGIN = 30.0
"""Seconds the server may take over one login attempt (PAM, LDAP)."""
_AFTER_LOGIN = 1024 * 1024
"""Bytes a server may send before it is given something to do."""
_REDIALS = 4
_SAID = 200
"""Characters of what a server or a library said, in a message."""
_HOPS = 8


def _silence() -> None:
    """paramiko logs every broken connection with a traceback; what matters reaches the operator as a HostError."""
    logger = logging.getLogger("paramiko")
    logger.propagate = False
    logger.setLevel(logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())


_silence()


class SshConnection:
    """A logged-in connection and what it stands on."""

    def __init__(self, route: SshRoute, transport: Transport, release: Callable[[], None]) -> None:
        self.route, self.transport, self._release = route, transport, release

    def close(self) -> None:
        """Ends the connection and its thread."""
        _end(self.transport)
        self._release()


def _end(transport: Transport) -> None:
    # Shutting the socket wakes paramiko's thread at once; left alone it looks up only every tenth of a second.
    with contextlib.suppress(OSError, AttributeError, EOFError):
        transport.sock.shutdown(socket.SHUT_RDWR)
    transport.close()
    if transport.is_alive():
        transport.join(2.0)


def dial(route: SshRoute, asker: Asker, memory: Memory, depth: int = 0) -> SshConnection:
    """Connects and logs in. Raises HostError and its kinds, nothing else that paramiko, sockets or files may raise."""
    login = Login(route, asker, memory)
    try:
        for _ in range(_REDIALS):
            stream = _open(route, asker, memory, depth)
            try:
                transport = _negotiate(route, stream, asker)
            except HungUp:
                stream.release()
                continue
            except BaseException:
                stream.release()
                raise
            try:
                login.go(transport)
            except HungUp:
                _end(transport)
                stream.release()
                if transport.packets.trouble:
                    raise transport.misbehaved(route.host, route.at) from None
                continue
            except BaseException:
                _end(transport)
                stream.release()
                raise
            transport.packets.allow(math.inf if depth else _AFTER_LOGIN)  # others' sessions go through a jump host
            return SshConnection(route, transport, stream.release)
        raise login.refused("The server closed the connection during login each time")
    finally:
        login.close()


def _open(route: SshRoute, asker: Asker, memory: Memory, depth: int) -> ByteStream:
    if route.jumps:
        return _through(route, asker, memory, depth)
    if route.proxy_command:
        return proxied(route.proxy_command)
    return direct(route)


def _no_circle(route: SshRoute) -> None:
    """Walks all jump hosts before any is dialled. Raises HostError."""
    hop = route
    for _ in range(_HOPS):
        if not hop.jumps:
            return
        *before, last = hop.jumps
        hop = route_to_hop(last, tuple(before))
    raise HostError(
        f"{route.host}: the jump hosts go through more than {_HOPS} others.",
        "ProxyJump in the SSH configuration probably names a host that is reached through itself.",
        "Check ProxyJump of each jump host.",
    )


def _through(route: SshRoute, asker: Asker, memory: Memory, depth: int) -> ByteStream:
    """A channel through the last jump host, whose connection all hosts behind it share: one login there, and no
    trouble with its MaxStartups."""
    if depth == 0:
        _no_circle(route)
    *before, last = route.jumps
    shared = memory.shared(("hop", route.jumps))
    came = time.monotonic()
    with shared.lock:
        if shared.link is None or not shared.link.transport.is_active():
            if shared.failure is not None and shared.failed > came:
                raise _behind(route, shared.failure)
            try:
                shared.link, shared.users = dial(route_to_hop(last, tuple(before)), asker, memory, depth + 1), 0
            except HostError as error:
                shared.failure, shared.failed = error, time.monotonic()
                raise _behind(route, error) from error
        link = shared.link
        shared.users += 1

    def release() -> None:
        with shared.lock:
            if shared.link is link:
                shared.users -= 1
                if shared.users > 0:
                    return
                shared.link = None
            elif link.transport.is_active():
                return
        link.close()

    try:
        channel = link.transport.open_channel(
            "direct-tcpip", (route.address, route.port), ("127.0.0.1", 0), timeout=route.timeout
        )
    except (paramiko.SSHException, EOFError, OSError) as error:
        release()
        raise _not_through(route, last, error) from error
    return ByteStream(channel, release)


def _behind(route: SshRoute, error: Any) -> HostError:
    kind: type[HostError] = type(error)
    return kind(f"{route.host}: {error.what}", error.why, error.next)


def _not_through(route: SshRoute, hop: str, error: Exception) -> HostError:
    what = f"{route.host}: {route.at} cannot be reached through the jump host {hop}."
    if isinstance(error, paramiko.ChannelException) and error.code == 1:
        return HostError(
            what, "The jump host forbids forwarding.", f"Set AllowTcpForwarding yes in sshd_config on {hop}."
        )
    # paramiko passes on that it failed, not whether the jump host was refused, heard nothing or knew no such name.
    return ConnectTimeout(
        what,
        "From there the connection was refused, not answered, or the name is unknown.",
        f"Try from there: ssh {hop} nc -vz {route.address} {route.port}",
    )


def _negotiate(route: SshRoute, stream: ByteStream, asker: Asker) -> Transport:
    """Banner, key exchange, host key. Raises HostError kinds, and HungUp when the answer to the host key question came
    after the server had lost patience."""
    known = known_keys((*route.user_known, *route.global_known), route.key_names)
    ours = route.algorithms
    host_keys = known.algorithms(ours.host_keys) if ours.known_first else ours.host_keys
    transport = Transport(stream.sock, ours, host_keys)
    transport.banner_timeout = route.timeout
    transport.handshake_timeout = _NEGOTIATION
    transport.auth_timeout = _LOGIN
    try:
        _handshake(route, stream, transport)
        check_key(route, known, _shown_key(transport), asker)
        if not transport.is_active():
            raise HungUp
    except BaseException:
        _end(transport)
        raise
    return transport


def _shown_key(transport: Transport) -> paramiko.PKey:
    try:
        return transport.get_remote_server_key()
    except paramiko.SSHException as error:
        raise HungUp from error


def _handshake(route: SshRoute, stream: ByteStream, transport: Transport) -> None:
    done = Event()
    begin = time.monotonic()
    transport.start_client(event=done)
    done.wait(route.timeout + _NEGOTIATION)
    if done.is_set() and transport.is_active():
        return
    error = transport.get_exception()
    if not transport.remote_version and not transport.packets.trouble:
        raise _no_banner(route, stream, time.monotonic() - begin) from error
    if transport.packets.trouble:
        raise transport.misbehaved(route.host, route.at) from error
    if isinstance(error, paramiko.SSHException) and not done.is_set():
        error = None
    if isinstance(error, paramiko.ssh_exception.IncompatiblePeer):
        offer = transport.packets.offer
        found = nothing_in_common(route.host, route.at, route.given, route.algorithms, offer) if offer else None
        raise found or HostError(
            f"{route.host}: {route.at} and this machine could not agree on how to connect by SSH.",
            one_line(f"{str(error).rstrip('.')}.", _SAID),
            "Update its SSH server.",
        ) from error
    said = one_line(str(error), _SAID) if error else ""
    why = f"The connection ended: {said}." if said else "The connection ended or nothing more came."
    raise ConnectTimeout(
        f"{route.host}: {route.at} started SSH but did not finish the key exchange.",
        why,
        "Often the path drops large packets (MTU), or the host is overloaded.",
    ) from error


def _no_banner(route: SshRoute, stream: ByteStream, waited: float) -> HostError:
    said = stream.said()
    if route.proxy_command and waited < route.timeout:
        return HostError(
            f"{route.host}: the ProxyCommand gave no connection to {route.at}.",
            f"It said: {said}" if said else "It said nothing.",
            f"Try it by hand: {route.proxy_command}",
        )
    if waited < route.timeout * 0.95:
        return ConnectionRefused(
            f"{route.host}: {route.at} accepted the connection and closed it, or is not an SSH server.",
            "Its sshd may be overloaded (MaxStartups) or ban this machine (fail2ban), or another service has the port.",
            "Check the port, and the SSH server's log on that host.",
        )
    return ConnectTimeout(
        f"{route.host}: {route.at} accepted the connection but did not speak SSH within {route.timeout:g} s.",
        "Its SSH server hangs, or the port belongs to something else.",
        "Check the port, and the load of that host.",
    )
