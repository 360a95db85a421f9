"""An appliance's API over TLS on loopback: what the fakes of all makes have in common."""

from __future__ import annotations

import contextlib
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple


class Reply(NamedTuple):
    """What goes back. `fault`: `drop` (after it took effect) and `refuse` (before) end the connection, `cut` gives half
    of it, `page` a page of HTML."""

    status: int
    data: bytes
    fault: str = ""
    headers: Mapping[str, str] = {}


ANY_PORT = 0
"""A line for every port of a VIP."""
Answering = Callable[[int, str, str, Mapping[str, str], bytes], Reply]
"""Node, method, path, headers, body."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are no news."""


class Line(NamedTuple):
    """One service of a box as its packets go: IPVS in other words. `how`: `gate` keeps the VIP in the packets, `masq`
    writes the RIP over it. `persistence` in seconds; `behind`: RIP, port, weight, of which 0 gets no new clients."""

    protocol: str
    vip: str
    port: int
    scheduler: str
    persistence: int
    how: str
    behind: tuple[tuple[str, int, int], ...]


class Place(NamedTuple):
    """Where a box listens: the first is its first node's."""

    addresses: tuple[str, ...]
    port: int = 0


class HttpsNodes:
    """One server for each node, at 127.0.0.1, 127.0.0.2 and so on unless told, all on one port."""

    def __init__(
        self, certificate: Path, key: Path, nodes: int, answer: Answering, page: bytes, place: Place | None = None
    ) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._servers: list[ThreadingHTTPServer] = []
        self.addresses, self.port = place or Place(tuple(f"127.0.0.{number + 1}" for number in range(nodes)))
        for number in range(nodes):
            server = _Server((self.addresses[number], self.port), _handler(answer, number, page))
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
            self.port = server.server_address[1]
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()


def _handler(answer: Answering, node: int, page: bytes) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = 1 << 16

        def _serve(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            reply = answer(node, self.command, self.path, dict(self.headers.items()), raw)
            data = reply.data
            if reply.fault in ("drop", "refuse"):
                self.close_connection = True
                with contextlib.suppress(OSError):
                    self.connection.shutdown(2)
                return
            if reply.fault == "cut":
                data = data[: len(data) // 2]
            if reply.fault == "page":
                data = page
            self.send_response(reply.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
            self.wfile.flush()

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - as http.server wants them

        def log_message(self, *args: Any) -> None:
            """The test reads the fake's log."""

    return Handler


class FakeBox(ABC):
    """What every fake appliance has. `on_change` is called before a request that changes something, and again (with the
    method in lower case) once it took effect: method, path, body."""

    port: int
    addresses: tuple[str, ...]
    on_change: Callable[[str, str, Any], None]

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def snapshot(self) -> Any: ...

    @abstractmethod
    def restore(self, taken: Any) -> None: ...

    @abstractmethod
    def reboot(self) -> None: ...

    @abstractmethod
    def lines(self) -> list[Line]:
        """What is in force now."""

    @abstractmethod
    def holds(self) -> set[str]:
        """The VIPs it answers ARP for."""

    def sends_to(self, vip: str, port: int) -> list[str]:
        """The RIPs that a client's packets by TCP to the VIP reach, with the VIP as their address."""
        if vip not in self.holds():
            return []
        return [
            rip for line in self.lines() for rip, _, weight in line.behind
            if (line.protocol, line.vip, line.how) == ("tcp", vip, "gate") and line.port in (port, ANY_PORT) and weight
        ]  # fmt: skip
