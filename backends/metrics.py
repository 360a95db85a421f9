"""The HTTP server that Prometheus scrapes: the text of the watch, and what this process itself uses."""

from __future__ import annotations

import gzip
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.exposition import ThreadingWSGIServer

from dsrwizard.core.errors import DsrError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class _Handler(WSGIRequestHandler):
    timeout = 30  # a client that says nothing does not keep its thread

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
        """Nothing: scrapes are no news."""


class _Server(ThreadingWSGIServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing: a client that went away is no fault of ours."""


class MetricsServer:
    """Serves `text()` at `/metrics` of one address until closed. Raises DsrError when it cannot listen there."""

    def __init__(self, address: str, port: int, text: Callable[[], str]) -> None:
        self._text = text
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        try:
            family, where = _resolved(address, port)
            server = type("Server", (_Server,), {"address_family": family})
            self._server: WSGIServer = make_server(where, port, self._answer, server, _Handler)
        except OSError as problem:
            raise DsrError(
                f"Metrics cannot be served at {shown(address, port)}: {problem.strerror or problem}.",
                "",
                "Name another address and port: --listen ADDRESS:PORT.",
            ) from problem
        self.port: int = self._server.server_address[1]
        self.loopback = ipaddress.ip_address(where.partition("%")[0]).is_loopback
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def _answer(self, request: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if request["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Type", "text/plain")])
            return [b"Only GET.\n"]
        if request["PATH_INFO"] != "/metrics":
            start("404 Not Found", [("Content-Type", "text/plain")])
            return [b"The metrics are at /metrics.\n"]
        body = self._text().encode() + generate_latest(self._registry)
        headers = [("Content-Type", CONTENT_TYPE), ("Vary", "Accept-Encoding")]
        if "gzip" in request.get("HTTP_ACCEPT_ENCODING", ""):
            body = gzip.compress(body, compresslevel=1)
            headers.append(("Content-Encoding", "gzip"))
        headers.append(("Content-Length", str(len(body))))
        start("200 OK", headers)
        return [] if request["REQUEST_METHOD"] == "HEAD" else [body]

    def close(self) -> None:
        """Stops listening."""
        self._server.shutdown()
        self._server.server_close()


def _resolved(address: str, port: int) -> tuple[socket.AddressFamily, str]:
    """The first address behind a name. Raises OSError."""
    family, _, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    return family, str(where[0])


def shown(address: str, port: int) -> str:
    """An address with its port, as it stands in a URL."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
