"""A real server's services: TCP ports 80 and 8080 answer with the host's name, UDP port 7 echoes behind it.
`/large` is a page of many packets, whose last line is the name; `/stream` says the name ten times a second for as long
as somebody listens.

Usage: serve.py [ADDRESS] [SERVICE=ADDRESS,… …]. Without an address it listens on the IPv4 and the IPv6 wildcard;
`tcp/80=10.0.0.101` says otherwise for one service, `tcp/80=` leaves it out. UDP answers leave from the address the
datagram was sent to, as with DSR they must: a wildcard socket would answer from the interface's own.
"""

# pathlib is slow to import in the guest.
# ruff: noqa: PTH104, PTH123

from __future__ import annotations

import _thread
import os
import socket
import struct
import sys
import time

PID_FILE = "/run/lab-service.pid"
TCP_PORTS = (80, 8080)
UDP_PORT = 7
_IP_PKTINFO = 8
_IPV6_RECVPKTINFO = 49
_IPV6_PKTINFO = 50
_REQUEST_SECONDS = 10
_LARGE = b"This line is one of many, so that the reply takes several packets.\n" * 300


def _tcp_socket(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    listener.bind((address, port))
    listener.listen(128)
    return listener


def _udp_socket(family: socket.AddressFamily, address: str) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    sock.bind((address, UDP_PORT))
    return sock


def _accept(listener: socket.socket, body: bytes) -> None:
    while True:
        connection, _peer = listener.accept()
        _thread.start_new_thread(_answer, (connection, body))


def _answer(connection: socket.socket, body: bytes) -> None:
    try:
        connection.settimeout(_REQUEST_SECONDS)
        request = b""
        while b"\r\n\r\n" not in request:
            data = connection.recv(4096)
            if not data:
                return
            request += data
        if request.startswith(b"GET /large"):
            body = _LARGE + body
        if request.startswith(b"GET /stream"):
            _stream(connection, body)
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        connection.sendall(head % len(body) + body)
    except OSError:
        pass  # the client went away
    finally:
        connection.close()


def _stream(connection: socket.socket, body: bytes) -> None:
    """The body ten times a second, so that whoever reads sees a gap; until the other side is gone, which is an
    `OSError`."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n")
    while True:
        connection.sendall(body)
        time.sleep(0.1)


def _answer_source(level: int, kind: int, data: bytes) -> bytes | None:
    """The control message that makes the answer leave from the address the datagram came to."""
    if (level, kind) == (socket.IPPROTO_IP, _IP_PKTINFO):
        return struct.pack("=I4s4s", 0, data[8:12], bytes(4))
    if (level, kind) == (socket.IPPROTO_IPV6, _IPV6_PKTINFO):
        return struct.pack("=16sI", data[:16], 0)
    return None


def _echo(sock: socket.socket, name: bytes) -> None:
    while True:
        try:
            payload, control, _flags, peer = sock.recvmsg(65535, 256)
            sources = [(level, kind, _answer_source(level, kind, data)) for level, kind, data in control]
            answers = [(level, kind, source) for level, kind, source in sources if source is not None]
            sock.sendmsg([name + b" " + payload], answers, 0, peer)
        except OSError as error:
            # An ICMP error of an earlier answer, or no way back to the client: the next datagram may fare better.
            print(f"echo: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the service's own log
            time.sleep(0.01)


def start(*words: str) -> None:
    """Listens and leaves the answering to threads; the pid file says that the services listen."""
    everywhere = [word for word in words if "=" not in word] or ["0.0.0.0", "::"]
    own = dict(word.split("=", 1) for word in words if "=" in word)
    name = os.uname().nodename.encode()
    for port in TCP_PORTS:
        for family, host in _places(own.get(f"tcp/{port}"), everywhere):
            _thread.start_new_thread(_accept, (_tcp_socket(family, host, port), name + b"\n"))
    for family, host in _places(own.get(f"udp/{UDP_PORT}"), everywhere):
        _thread.start_new_thread(_echo, (_udp_socket(family, host), name))
    with open(PID_FILE + ".new", "w") as file:
        file.write(f"{os.getpid()}\n")
    os.rename(PID_FILE + ".new", PID_FILE)


def _places(own: str | None, everywhere: list[str]) -> list[tuple[socket.AddressFamily, str]]:
    hosts = everywhere if own is None else [host for host in own.split(",") if host]
    return [(socket.AF_INET6 if ":" in host else socket.AF_INET, host) for host in hosts]


def stay() -> None:
    """Waits for ever, which keeps the threads answering."""
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    start(*sys.argv[1:])
    stay()
