"""A WinRM endpoint on a real socket that answers as a mode says: at the level of bytes, of HTTP, or of its messages."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.windows import wsman
from tests.windows.behaving import unescaped
from tests.windows.wsman import Fault, Request

MOST_BYTES = 300_000_000
"""A flood ends here, and so does the test's own cost."""
LONGEST = 60.0
"""Seconds that a drip or a silence lasts: more than an observation may."""
SHELL = "11111111-2222-3333-4444-555555555555"
_MARKER = re.compile(r"WriteLine\('(dsrwizard-\w+)'\)")
_NONCE = re.compile(r"\$nonce = '(\w+)'")


class Talk:
    """One connection: requests are read whole, and anything may be sent."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._rest = b""
        self._end = time.monotonic() + LONGEST

    def request(self) -> tuple[str, bytes] | None:
        """Head and body of the next request; None at the end."""
        while b"\r\n\r\n" not in self._rest:
            if not self._more():
                return None
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        length = int((re.findall(rb"(?im)^content-length: *(\d+)", head) or [b"0"])[0])
        while len(self._rest) < length:
            if not self._more():
                return None
        body, self._rest = self._rest[:length], self._rest[length:]
        return head.decode("latin-1"), body

    def _more(self) -> bool:
        with contextlib.suppress(OSError):
            data = self._sock.recv(65_536)
            self._rest += data
            return bool(data)
        return False

    def send(self, data: bytes) -> None:
        self._sock.sendall(data)

    def answer(self, body: bytes, status: str = "200 OK", *headers: str, kind: str = "application/soap+xml") -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body)

    def flood(self, piece: bytes) -> None:
        """The same again and again, until nobody takes it any more."""
        sent = 0
        while sent < MOST_BYTES and time.monotonic() < self._end:
            self.send(piece)
            sent += len(piece)

    def drip(self, data: Iterable[bytes], seconds: float = 0.1) -> None:
        """Little by little."""
        for piece in data:
            if time.monotonic() > self._end:
                return
            self.send(piece)
            time.sleep(seconds)

    def wait(self) -> None:
        """Says nothing until the other side goes."""
        while time.monotonic() < self._end and self._more():
            pass


Mode = Callable[["Hostile", Talk], None]
"""What one connection is answered with."""
Reply = Callable[["Hostile", Request], bytes]
"""What one message is answered with, in the place of the right answer."""


class Hostile:
    """Listens on 127.0.0.1 until it is closed. `tls`: from the first byte. `heard` keeps heads of requests."""

    def __init__(self, mode: Mode, tls: ssl.SSLContext | None = None) -> None:
        self._mode, self._tls = mode, tls
        self.heard: list[str] = []
        self.errors: list[str] = []
        """Of the endpoint itself: there are to be none."""
        self.script = ""
        self.marker = self.nonce = ""
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._live: set[socket.socket] = set()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                threading.Thread(target=self._connected, args=(sock,), daemon=True).start()

    def _connected(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            sock.settimeout(LONGEST)
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self._live.add(sock)
            try:
                self._mode(self, Talk(sock))
            except OSError:
                raise
            except Exception as error:  # noqa: BLE001 - the test is to see it
                self.errors.append(repr(error))
        with contextlib.suppress(OSError):
            sock.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in list(self._live):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    # -- the right answers

    def right(self, asked: Request) -> bytes:
        match asked.action:
            case "Create":
                variables = asked.body.findall("rsp:Shell/rsp:Environment/rsp:Variable", wsman.NAMESPACES)
                sent = "".join(one.text or "" for one in variables if (one.get("Name") or "").startswith("DSRWIZARD"))
                self.script = unescaped(sent)
                self.nonce = (_NONCE.findall(self.script) or [""])[0]
                return wsman.created(asked, SHELL, "Administrator")
            case "Command":
                words = [one.text or "" for one in asked.body.iter(f"{{{wsman.SHELL}}}Arguments")]
                (self.marker,) = _MARKER.findall(" ".join(words))
                return wsman.reply(
                    asked, f"<rsp:CommandResponse><rsp:CommandId>{SHELL}</rsp:CommandId></rsp:CommandResponse>"
                )
            case "Receive":
                return self.output(asked, self.marked(b""), status=0)
            case _:
                return wsman.reply(asked, "")

    def marked(self, data: bytes) -> bytes:
        """Output behind the marker, which says that the script runs."""
        return f"{self.marker}\r\n".encode() + data

    def output(self, asked: Request, out: bytes = b"", err: bytes = b"", status: int | None = None) -> bytes:
        pieces = [(name, data) for name, data in (("stdout", out), ("stderr", err)) if data]
        return wsman.received(asked, SHELL, pieces, status)


@dataclass
class Messages:
    """A mode that speaks HTTP and WinRM well, but for the messages it has replies of its own to, and those it is
    `deaf` to."""

    replies: dict[str, Reply] = field(default_factory=dict)
    status: str = "200 OK"
    deaf: str = ""

    def __call__(self, host: Hostile, talk: Talk) -> None:
        while (asked := talk.request()) is not None:
            head, body = asked
            host.heard.append(head)
            if not body:
                talk.answer(b"")
                continue
            message = wsman.request(body)
            if message.action == self.deaf:
                talk.wait()
                return
            reply = self.replies.get(message.action)
            try:
                answer = reply(host, message) if reply is not None else host.right(message)
                talk.answer(answer, self.status if reply is not None else "200 OK")
            except Fault as fault:
                talk.answer(wsman.fault(message, fault), "500 Internal Server Error")


def constant(answer: bytes) -> Reply:
    """The same bytes, whatever was asked."""
    return lambda host, asked: answer


def raising(fault: Fault) -> Reply:
    def reply(host: Hostile, asked: Request) -> bytes:
        raise fault

    return reply


def after_request(what: Callable[[Talk], Any]) -> Mode:
    """A mode that reads one request and then does something to whoever sent it."""

    def mode(host: Hostile, talk: Talk) -> None:
        while (asked := talk.request()) is not None:
            host.heard.append(asked[0])
            what(talk)

    return mode
