"""Asks a TCP service so many times, one connection after the other, and prints the last line of each answer. A request
that got none in time prints an empty line.

    ask.py ADDRESS PORT TIMES SECONDS
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time


def answer(address: str, port: int, seconds: float) -> str:
    got, end = b"", time.monotonic() + seconds
    with contextlib.suppress(OSError), socket.create_connection((address, port), seconds) as talk:
        talk.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while (left := end - time.monotonic()) > 0:
            talk.settimeout(left)
            piece = talk.recv(65536)
            if not piece:
                return got.decode().strip().rpartition("\n")[2]
            got += piece
    return ""


for _ in range(int(sys.argv[3])):
    print(answer(sys.argv[1], int(sys.argv[2]), float(sys.argv[4])), flush=True)
