"""get.py VIP COUNT: who answers, one after the other."""

import socket
import sys

for _ in range(int(sys.argv[2])):
    try:
        with socket.create_connection((sys.argv[1], 80), 3) as one:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            said = b""
            while more := one.recv(4096):
                said += more
        print(said.split()[-1].decode(), end=" ")
    except OSError as error:
        print(type(error).__name__, end=" ")
