"""A client that asks the VIP all the time: ask.py VIP STOP. Prints every change of what it gets, then the sums. It ends
when there is a file STOP."""

import socket
import sys
import time
from pathlib import Path

vip, stop = sys.argv[1], Path(sys.argv[2])
began, last = time.time(), ""
sums: dict[str, int] = {}
while not stop.exists():
    try:
        with socket.create_connection((vip, 80), 0.5) as one:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            got = "ok" if one.recv(4096) else "empty"
    except OSError as error:
        got = type(error).__name__
    sums[got] = sums.get(got, 0) + 1
    if got != last:
        print(f"{time.time() - began:.2f} {got}", flush=True)
        last = got
    time.sleep(0.02)
print(f"{time.time() - began:.2f} end", sums, flush=True)
