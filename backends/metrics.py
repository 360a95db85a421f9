"""The HTTP server that Prometheus scrapes: the text of the watch, and what this process itself uses.

A page in the operator's browser must not read it by a name of its own that it lets point here (DNS rebinding): the
`Host` asked for has to be what this server is bound to, or a name that was allowed. Whoever keeps connections open or
says little at a time takes no place from others.
"""

from __future__ import annotations

import contextlib
import gzip
import hmac
import http.client
import ipaddress
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import ThreadingWSGIServer

from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.secret import Secret

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MOST = 32
"""Connections at a time. A new one takes the place of the oldest that has not said yet what it wants."""
REQUEST_SECONDS = 5.0
ANSWER_SECONDS = 30.0
"""How long a client may take to ask, and to take its answer after that."""
REQUEST_BYTES = 16_384
_LOOPBACK = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:\[\]/@]+))(?::[0-9]{1,5})?", re.ASCII)
_LOCAL = "dsrwizard.local"
"""In the request's environment: the address of this machine that the client connected to."""


@dataclass(frozen=True)
class Access:
    """Who is answered: `names` are hosts that may be asked for besides what the server is bound to; `token`: the bearer
    token that every request has to carry."""

    names: frozenset[str] = frozenset()
    token: Secret | None = None


class _TooMuch(http.client.HTTPException):
    """A request is longer than any of Prometheus'."""


class _Asked:
    """What a client sends, up to a bound."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._left = REQUEST_BYTES

    def readline(self, size: int = -1) -> bytes:
        line = self._file.readline(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise _TooMuch
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.rfile: Any = _Asked(self.rfile)

    def handle(self) -> None:
        try:
            super().handle()
        except _TooMuch:
            self.requestline = self.request_version = self.command = ""
            self.send_error(431)

    def parse_request(self) -> bool:
        asked = super().parse_request()
        self.server.asked(self.connection)
        return asked

    def get_environ(self) -> WSGIEnvironment:
        return super().get_environ() | {_LOCAL: str(self.connection.getsockname()[0])}

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Nothing: scrapes are no news."""


class _Server(ThreadingWSGIServer):
    """Bounded in connections, and in how long each may take."""

    request_queue_size = MOST

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._lock = threading.Lock()
        self._asking: dict[socket.socket, float] = {}
        self._answered: dict[socket.socket, float] = {}
        self._working = 0
        super().__init__(*arguments, **options)

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that went away is no fault of ours."""

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handles it in a thread of its own, where there is room or can be made."""
        with self._lock:
            if len(self._asking) + len(self._answered) >= MOST and self._asking:
                _end(next(iter(self._asking)))
                self._asking.pop(next(iter(self._asking)))
            room = len(self._asking) + len(self._answered) < MOST and self._working < 2 * MOST
            if room:
                self._asking[request] = time.monotonic()
                self._working += 1
        if room:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._asking.pop(request, None)
                self._answered.pop(request, None)
                self._working -= 1

    def asked(self, request: socket.socket) -> None:
        """Its request is there: from now on it is answered."""
        request.settimeout(ANSWER_SECONDS)
        with self._lock:
            if self._asking.pop(request, None) is not None:
                self._answered[request] = time.monotonic()

    def service_actions(self) -> None:
        """Twice a second: ends what takes too long."""
        now = time.monotonic()
        with self._lock:
            for waiting, seconds in ((self._asking, REQUEST_SECONDS), (self._answered, ANSWER_SECONDS)):
                for request, since in waiting.items():
                    if now - since > seconds:
                        _end(request)


def _end(request: socket.socket) -> None:
    """Its own thread notices and closes it."""
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class MetricsServer:
    """Serves `text()` at `/metrics` of one address until closed. Raises DsrError when it cannot listen there."""

    def __init__(self, address: str, port: int, text: Callable[[], str], access: Access | None = None) -> None:
        self._text = text
        self._access = access or Access()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        try:
            family, where = _resolved(address, port)
            server = type("Server", (_Server,), {"address_family": family})
            self._server: WSGIServer = make_server(where, port, self._answer, server, _Handler)
        except OSError as problem:
            raise DsrError(
                f"Metrics cannot be served at {shown_address(address, port)}: {problem.strerror or problem}.",
                "",
                "Name another address and port: --listen ADDRESS:PORT.",
            ) from problem
        self.port: int = self._server.server_address[1]
        self.loopback = ipaddress.ip_address(where.partition("%")[0]).is_loopback
        self._names = {name.lower().rstrip(".") for name in self._access.names}
        if not self.loopback:
            self._names |= {socket.gethostname().lower(), address.lower()}
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def _answer(self, request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        refusal = self._refusal(request)
        if refusal is not None:
            status, why, headers = refusal
            start(status, [*headers, ("Content-Type", "text/plain; charset=utf-8")])
            return [f"{why}\n".encode()]
        body = self._text().encode() + generate_latest(self._registry)
        headers = [("Content-Type", CONTENT_TYPE), ("Vary", "Accept-Encoding")]
        if "gzip" in request.get("HTTP_ACCEPT_ENCODING", ""):
            body = gzip.compress(body, compresslevel=1)
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(body))))
        start("200 OK", headers)
        return [] if request["REQUEST_METHOD"] == "HEAD" else [body]

    def _refusal(self, request: WSGIEnvironment) -> tuple[str, str, list[tuple[str, str]]] | None:
        """Why a request is not answered: status, reason and headers."""
        host = request.get("HTTP_HOST")
        if host is None and request["SERVER_PROTOCOL"] != "HTTP/1.0":
            return "400 Bad Request", "The request has no Host header.", []
        if host is not None and not self._is_us(host, request[_LOCAL]):
            return "403 Forbidden", "This host name is not allowed; allow it with --allow-host NAME.", []
        if not self._may(request.get("HTTP_AUTHORIZATION", "")):
            return "401 Unauthorized", "A bearer token is needed.", [("WWW-Authenticate", 'Bearer realm="dsrwizard"')]
        if request["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return "405 Method Not Allowed", "Only GET.", [("Allow", "GET, HEAD")]
        if request["PATH_INFO"] != "/metrics":
            return "404 Not Found", "The metrics are at /metrics.", []
        return None

    def _is_us(self, host: str, local: str) -> bool:
        """Whether a `Host` is what the client is connected to, or a name that was allowed."""
        found = _HOST.fullmatch(host.strip().lower())
        if found is None:
            return False
        name = (found[1] or found[2]).rstrip(".")
        here = _address(local)
        asked = _address(name)
        if asked is not None and here is not None and (asked == here or (asked.is_loopback and here.is_loopback)):
            return True
        return name in self._names or (name in _LOOPBACK and here is not None and here.is_loopback)

    def _may(self, authorization: str) -> bool:
        if self._access.token is None:
            return True
        kind, _, given = authorization.partition(" ")
        right = hmac.compare_digest(given.strip().encode("latin-1", "replace"), self._access.token.reveal().encode())
        return right and kind.lower() == "bearer"

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IPv4 address that is written as an IPv6 one is the IPv4 address."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _resolved(address: str, port: int) -> tuple[socket.AddressFamily, str]:
    """The first address behind a name. Raises OSError."""
    family, _, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return family, str(where[0])


def shown_address(address: str, port: int) -> str:
    """An address with its port, as it stands in a URL."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
