"""One Ethernet segment for User-Mode Linux guests, without root: a learning switch on a Unix socket.

Every guest joins with `vec0:transport=bess,dst=SOCKET`: its kernel connects an AF_UNIX SOCK_SEQPACKET socket, and one
message is one frame. The switch sees every frame, also those of a guest that is only booting.

    segment.py SOCKET ARP-LOG
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import sys
import time
from pathlib import Path
from typing import TextIO

ASKER = bytes.fromhex("02000a0000fe")
"""The MAC of who asks all the time; what it says is no news."""


def told(frame: bytes) -> str:
    """A line for what an ARP packet or a neighbour advertisement says, empty for all else."""
    source = frame[6:12].hex(":")
    if frame[12:14] == b"\x08\x06" and len(frame) >= 42:
        (operation,) = struct.unpack("!H", frame[20:22])
        sender, target = (".".join(map(str, frame[at : at + 4])) for at in (28, 38))
        kind = "probe" if operation == 1 and sender == "0.0.0.0" else {1: "request", 2: "reply"}.get(operation, "other")
        return f"{source} {kind} {sender} {target}"
    if frame[12:14] == b"\x86\xdd" and frame[20:21] == b":" and len(frame) >= 78 and frame[54] == 136:
        return f"{source} advertisement {socket.inet_ntop(socket.AF_INET6, frame[62:78])} -"
    return ""


class Switch:
    """Ports, the table of who is where, and the log."""

    def __init__(self, path: str, log: TextIO) -> None:
        self._door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._door.bind(path)
        self._door.listen(16)
        self._door.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._door, selectors.EVENT_READ)
        self._ports: set[socket.socket] = set()
        self._table: dict[bytes, socket.socket] = {}
        self._log = log

    def turn(self) -> None:
        for key, _ in self._selector.select():
            if key.fileobj is self._door:
                port, _ = self._door.accept()
                port.setblocking(False)
                self._ports.add(port)
                self._selector.register(port, selectors.EVENT_READ)
            elif isinstance(key.fileobj, socket.socket):
                self._read(key.fileobj)

    def _read(self, port: socket.socket) -> None:
        for _ in range(64):
            try:
                frame = port.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                frame = b""
            if not frame:
                self._selector.unregister(port)
                self._ports.discard(port)
                port.close()
                self._table = {mac: other for mac, other in self._table.items() if other is not port}
                return
            self._pass(frame, port)

    def _pass(self, frame: bytes, port: socket.socket) -> None:
        line = told(frame)
        if line and frame[6:12] != ASKER:
            self._log.write(f"{time.time():.3f} {line}\n")
        self._table[frame[6:12]] = port
        known = None if frame[0] & 1 else self._table.get(frame[:6])
        for other in [known] if known else self._ports:
            if other is not port:
                with contextlib.suppress(OSError):  # it is gone, or its queue is full: an Ethernet loses frames too
                    other.send(frame)


def main() -> None:
    with Path(sys.argv[2]).open("a", buffering=1, encoding="ascii") as log:
        switch = Switch(sys.argv[1], log)
        while True:
            switch.turn()


if __name__ == "__main__":
    main()
