"""get.py VIP COUNT: who answers, one after the other.

Each connection comes from a port that the kernel gives to nobody else. A port that was used within two minutes may
still be in the director's table, because it never sees the server's FIN; its connection then goes to the server of
that entry, out of turn (kernel ipvs-sysctl, conn_reuse_mode).
"""

import socket
import sys
import time

FIRST, PORTS = 10000, 20000  # below ip_local_port_range
begin = int(time.time()) * 37 % PORTS
for number in range(int(sys.argv[2])):
    try:
        source = ("", FIRST + (begin + number) % PORTS)
        with socket.create_connection((sys.argv[1], 80), 3, source) as one:
            one.sendall(b"GET / HTTP/1.0\r\n\r\n")
            said = b""
            while more := one.recv(4096):
                said += more
        print(said.split()[-1].decode(), end=" ")
    except OSError as error:
        print(type(error).__name__, end=" ")
