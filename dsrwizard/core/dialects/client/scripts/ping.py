"""Pings one address by a raw socket, where the client host has no ping(8): milliseconds and TTL, or exit status 1, or 2
where raw sockets are refused. Any Python 3 runs it.
"""

import os
import socket
import struct
import sys
import time

six = ":" in sys.argv[1]
try:
    s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, 58 if six else 1)
except OSError:
    sys.exit(2)
me, text = os.getpid() & 0xFFFF, b"dsrwizard."


def packet(check, number):
    return struct.pack("!BBHHH", 128 if six else 8, 0, check, me, number) + text


try:
    s.connect((sys.argv[1], 0))
    for number in 1, 2:
        total = sum(struct.unpack("!9H", packet(0, number)))
        total = (total & 0xFFFF) + (total >> 16)
        s.send(packet(0xFFFF - total, number))  # the kernel does it for IPv6
        began = time.monotonic()
        left = 1.0
        while left > 0:
            s.settimeout(left)
            try:
                got = s.recv(2048)
            except socket.timeout:
                break
            took = time.monotonic() - began
            left = 1.0 - took
            head = 0 if six else (got[0] & 15) * 4
            kind, _, _, whose = struct.unpack("!BBHH", got[head : head + 6].ljust(6))
            if kind == (129 if six else 0) and whose == me:
                print("%.1f %s" % (took * 1000, "-" if six else got[8]))
                sys.exit(0)
except OSError:
    pass  # no way there, or the kernel said so meanwhile: no answer
sys.exit(1)
