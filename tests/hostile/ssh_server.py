"""SSH servers that misbehave, on loopback: each way of it is a function that serves one connection."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_SUCCEEDED
from paramiko.server import InteractiveQuery

ESCAPES = "\x1b]0;PWNED\x07\x1b[2J\x1b[31m\x9b5m\u202e\r\nPassword of root on db-master: "
BANNER = b"SSH-2.0-OpenSSH_9.2p1\r\n"
PASSWORD = "canary-login-5c1f"
CODE = "canary-code-88d2"
FOUL = "canary-foul-77aa"
SECONDS = 60.0
"""How long a server goes on at most, whatever its client does."""

_KEY = paramiko.ECDSAKey.generate()


@dataclass
class Served:
    """One connection: its socket, and what this server has learnt of its client."""

    sock: socket.socket
    learnt: list[str] = field(default_factory=list)
    until: float = field(default_factory=lambda: time.monotonic() + SECONDS)

    def forever(self) -> Iterator[int]:
        for number in itertools.count():
            if time.monotonic() > self.until:
                return
            yield number

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def hush(self) -> None:
        """Says nothing more until the client is gone."""
        self.sock.settimeout(SECONDS)
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass


Way = Callable[[Served], None]


class Server:
    """Takes connections on a port of its own and serves each one way."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._listener = socket.create_server(("127.0.0.1", 0))
        # The kernel would take megabytes for a server that reads nothing.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        self.port: int = self._listener.getsockname()[1]
        self.served: list[Served] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                served = Served(sock)
                self.served.append(served)
                threading.Thread(target=self._serve, args=(served,), daemon=True).start()

    def _serve(self, served: Served) -> None:
        try:
            self._way(served)
        except (OSError, EOFError, paramiko.SSHException):
            pass  # the client has gone, which is what it should do
        finally:
            served.sock.close()

    def close(self) -> None:
        self._listener.close()
        for served in self.served:
            with contextlib.suppress(OSError):
                served.sock.shutdown(socket.SHUT_RDWR)


def packet(payload: bytes) -> bytes:
    """A packet as it is before there are keys (RFC 4253, 6)."""
    padding = 8 - (len(payload) + 5) % 8
    padding += 8 if padding < 4 else 0
    return (len(payload) + padding + 1).to_bytes(4, "big") + bytes([padding]) + payload + bytes(padding)


def string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def kexinit(*lists: bytes) -> bytes:
    """A KEXINIT; lists that are not given are the usual ones."""
    usual = [
        *(b"curve25519-sha256", b"ecdsa-sha2-nistp256", b"aes128-ctr", b"aes128-ctr"),
        *(b"hmac-sha2-256", b"hmac-sha2-256", b"none", b"none", b"", b""),
    ]
    names = [*lists, *usual[len(lists) :]]
    return b"\x14" + os.urandom(16) + b"".join(map(string, names)) + bytes(5)


# --- before the key exchange


def silent(served: Served) -> None:
    served.hush()


def line_without_end(served: Served) -> None:
    for _ in served.forever():
        served.send(b"SSH-2.0-" + b"x" * 65536)


def lines_without_end(served: Served) -> None:
    for _ in served.forever():
        served.send(f"Welcome {ESCAPES}\r\n".encode() * 500)


def greeting_by_drops(served: Served) -> None:
    for _ in served.forever():
        served.send(b"x")
        time.sleep(0.2)


def garbage(served: Served) -> None:
    dice = random.Random(7)
    for _ in range(200):
        served.send(dice.randbytes(4096))
    served.hush()


def garbage_after_the_greeting(served: Served) -> None:
    served.send(BANNER)
    garbage(served)


def another_protocol(served: Served) -> None:
    served.send(b"HTTP/1.1 400 Bad Request\r\nServer: \x1b[31m\r\n\r\n")


def old_protocol(served: Served) -> None:
    served.send(f"SSH-1.5{ESCAPES[:20]}-old\r\n".encode())
    served.hush()


def greeting_alone(served: Served) -> None:
    served.send(BANNER)
    served.hush()


def huge_packet(served: Served) -> None:
    served.send(BANNER + b"\x7f\xff\xff\xfc\x04")
    for _ in served.forever():
        served.send(bytes(65536))


def nothing_to_do_before_the_keys(served: Served) -> None:
    served.send(BANNER)
    for _ in served.forever():
        served.send(packet(b"\x02" + string(bytes(32000))))


def many_names(served: Served) -> None:
    served.send(BANNER + packet(kexinit(*[b"," * 20000] * 10)))
    served.hush()


def foul_names(served: Served) -> None:
    served.send(BANNER + packet(kexinit(*[(ESCAPES * 50).encode()] * 4)))
    served.hush()


def names_that_are_no_text(served: Served) -> None:
    served.send(BANNER + packet(kexinit(b"\xff\xfe" * 100)))
    served.hush()


def keys_and_then_silence(served: Served) -> None:
    served.send(BANNER + packet(kexinit()))
    served.hush()


def huge_host_key(served: Served) -> None:
    reply = b"\x1f" + string(b"\x00\x00\x00\x07ssh-rsa" + string(b"\x01\x00\x01") + string(b"\x7f" * 200_000))
    served.send(BANNER + packet(kexinit()) + packet(reply + string(bytes(32)) + string(bytes(64))))
    served.hush()


def ends_with_a_reason(served: Served) -> None:
    served.send(BANNER + packet(kexinit()) + packet(b"\x01\x00\x00\x00\x02" + string(ESCAPES.encode()) + string(b"")))


# --- from the login on, with a real key exchange

Exec = Callable[[paramiko.Channel, paramiko.Transport], None]
Reply = Callable[["Host"], int]


class Host(paramiko.ServerInterface):
    """What paramiko asks the server behind it. `at_none` and `at_questions` stand in for the usual answers."""

    transport: paramiko.Transport

    def __init__(
        self,
        served: Served,
        methods: str,
        rounds: Iterable[InteractiveQuery] = (),
        *,
        at_none: Reply | None = None,
        at_questions: Reply | None = None,
    ) -> None:
        self.served, self.methods, self.rounds = served, methods, iter(rounds)
        self.at_none, self.at_questions = at_none, at_questions
        self.executed = threading.Event()

    def get_allowed_auths(self, username: str) -> str:
        return self.methods

    def check_auth_none(self, username: str) -> int:
        if self.at_none:
            return self.at_none(self)
        return AUTH_SUCCESSFUL if self.methods == "none" else AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        self.served.learnt.append(password)
        return AUTH_SUCCESSFUL if password == PASSWORD else AUTH_FAILED

    def check_auth_interactive(self, username: str, submethods: str) -> int | InteractiveQuery:
        if self.at_questions:
            return self.at_questions(self)
        return next(self.rounds, AUTH_SUCCESSFUL)

    def check_auth_interactive_response(self, responses: list[str]) -> int | InteractiveQuery:
        self.served.learnt += responses
        return next(self.rounds, AUTH_SUCCESSFUL)

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return OPEN_SUCCEEDED

    def check_channel_direct_tcpip_request(self, chanid: int, origin: tuple[str, int], goal: tuple[str, int]) -> int:
        self.executed.set()
        return OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        # What is done with the script begins once the client has its yes.
        threading.Timer(0.05, self.executed.set).start()
        return True

    def say(self, *payloads: bytes) -> int:
        """Sends messages of the test's own making, and then nothing more."""
        for payload in payloads:
            send(self.transport, payload)
        return self.hush()

    def hush(self) -> int:
        """Says nothing more for as long as the client stays."""
        while self.transport.is_active() and time.monotonic() < self.served.until and _open(self.served.sock):
            time.sleep(0.05)
        raise EOFError


def _open(sock: socket.socket) -> bool:
    """Whether the other side is still there. What it sent stays unread."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return not poll.poll(0)


def send(transport: paramiko.Transport, payload: bytes) -> None:
    message = paramiko.Message()
    message.add_bytes(payload)
    transport._send_message(message)  # type: ignore[attr-defined]


def started(host: Host, **options: Any) -> paramiko.Transport:
    transport = host.transport = paramiko.Transport(host.served.sock, **options)
    transport.add_server_key(_KEY)
    transport.start_server(server=host)
    return transport


def logging_in(at_none: Reply, methods: str = "password,keyboard-interactive") -> Way:
    """A server that answers the first request to log in so."""

    def way(served: Served) -> None:
        started(Host(served, methods, at_none=at_none)).join(SECONDS)

    return way


def questioning(at_questions: Reply) -> Way:
    """A server that answers the wish for keyboard-interactive so."""

    def way(served: Served) -> None:
        started(Host(served, "keyboard-interactive", at_questions=at_questions)).join(SECONDS)

    return way


Round = tuple[str, str, tuple[tuple[str, bool], ...]]


def asking(*rounds: Round, without_end: bool = False) -> Way:
    """A server that asks these rounds, over and over if so, and then lets in."""

    def way(served: Served) -> None:
        again = itertools.cycle(rounds) if without_end else iter(rounds)
        queries = (InteractiveQuery(name, text, *prompts) for name, text, prompts in again)
        run(Host(served, "keyboard-interactive", queries), after(says_hello))

    return way


def failure(methods: bytes, *, partial: bool = False) -> bytes:
    return b"\x33" + string(methods) + bytes([partial])


def info_request(count: int, *prompts: bytes, name: bytes = b"", instruction: bytes = b"") -> bytes:
    head = b"\x3c" + string(name) + string(instruction) + string(b"")
    return head + count.to_bytes(4, "big") + b"".join(string(prompt) + b"\x00" for prompt in prompts)


def banners_without_end(host: Host) -> int:
    for _ in host.served.forever():
        send(host.transport, b"\x35" + string(ESCAPES.encode() * 500) + string(b""))
    return AUTH_FAILED


def after(what: Exec) -> Exec:
    """Begins when the script has said its first line, which it repeats on both outputs."""

    def begun(channel: paramiko.Channel, transport: paramiko.Transport) -> None:
        heard = b""
        while b"\n" not in heard:
            more = channel.recv(65536)
            if not more:
                return
            heard += more
        marker = heard.split(b";", 1)[0].removeprefix(b"echo ")
        channel.sendall(marker + b"\n")
        channel.sendall_stderr(marker + b"\n")
        what(channel, transport)

    return begun


def run(host: Host, what: Exec) -> None:
    """Does it on every channel the client opens."""
    transport = started(host)
    while transport.is_active() and time.monotonic() < host.served.until:
        channel = transport.accept(0.2)
        if channel is not None:
            host.executed.wait(5)
            threading.Thread(target=_guarded, args=(what, channel, transport), daemon=True).start()


def _guarded(what: Exec, channel: paramiko.Channel, transport: paramiko.Transport) -> None:
    with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
        what(channel, transport)


def executing(what: Exec) -> Way:
    """A server that lets everybody in and then does this with a script."""

    def way(served: Served) -> None:
        run(Host(served, "none"), what)

    return way


def says_hello(channel: paramiko.Channel, _: paramiko.Transport) -> None:
    channel.sendall(b"hello\n")
    channel.send_exit_status(0)
    channel.close()


def flood(data: bytes, *, errors: bool = False) -> Exec:
    """The same for ever, as fast as the client lets it come."""

    def what(channel: paramiko.Channel, _: paramiko.Transport) -> None:
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            (channel.sendall_stderr if errors else channel.sendall)(data)

    return what


def exactly(data: bytes, size: int) -> Exec:
    """So much and then the end."""

    def what(channel: paramiko.Channel, _: paramiko.Transport) -> None:
        for at in range(0, size, len(data)):
            channel.sendall(data[: size - at])
        channel.send_exit_status(0)
        channel.close()

    return what


def sending(make: Callable[[paramiko.Channel], bytes]) -> Exec:
    """One message for ever, as fast as the network takes it and whatever the client lets come."""

    def what(channel: paramiko.Channel, transport: paramiko.Transport) -> None:
        payload = make(channel)
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            send(transport, payload)

    return what


def number(value: int) -> bytes:
    return value.to_bytes(4, "big")


beyond_the_window = sending(lambda channel: b"\x5e" + number(channel.remote_chanid) + string(bytes(30000)))
errors_beyond_the_window = sending(
    lambda channel: b"\x5f" + number(channel.remote_chanid) + number(1) + string(bytes(30000))
)
to_a_channel_of_nobody = sending(lambda _: b"\x5e" + number(77) + string(bytes(30000)))
nothing_to_do = sending(lambda _: b"\x02" + string(bytes(30000)))
requests_without_end = sending(lambda _: b"\x50" + string(b"keepalive@openssh.com") + b"\x01")
wishes_without_end = sending(
    lambda channel: b"\x62" + number(channel.remote_chanid) + string(ESCAPES.encode()) + b"\x01"
)


def hush(channel: paramiko.Channel, transport: paramiko.Transport) -> None:
    """Reads everything and says nothing."""
    while transport.is_active() and channel.recv(65536):
        pass
    while transport.is_active():
        time.sleep(0.05)


def keys_anew_and_then_silence(channel: paramiko.Channel, transport: paramiko.Transport) -> None:
    """Begins another key exchange and does not go on."""
    send(transport, kexinit())
    hush(channel, transport)


def without_ears(channel: paramiko.Channel, transport: paramiko.Transport) -> None:
    """Lets everything come and takes nothing from the network."""
    transport.packetizer.read_all = lambda *_: time.sleep(SECONDS)  # type: ignore
    send(transport, b"\x5d" + number(channel.remote_chanid) + number(0x7FFFFFFF))
    hush(channel, transport)


def deaf(channel: paramiko.Channel, transport: paramiko.Transport) -> None:
    """Reads nothing: the client's window stays shut when it is used up."""
    while transport.is_active():
        time.sleep(0.05)


def dripping(channel: paramiko.Channel, _: paramiko.Transport) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        channel.sendall(b".")
        time.sleep(0.05)


def status(*numbers: int, text: bytes = b"hello\n", signal: bytes = b"") -> Exec:
    """Exit statuses, none or several, and a signal."""

    def what(channel: paramiko.Channel, transport: paramiko.Transport) -> None:
        channel.sendall(text)
        for each in numbers:
            send(transport, b"\x62" + number(channel.remote_chanid) + string(b"exit-status") + b"\x00" + number(each))
        if signal:
            about = string(signal) + b"\x00" + string(ESCAPES.encode()) + string(b"")
            send(transport, b"\x62" + number(channel.remote_chanid) + string(b"exit-signal") + b"\x00" + about)
        channel.close()

    return what
