"""Who has a VIP, for whoever asks on the LAN: asks by ARP every tenth of a second at the switch and hears all answers.

    owners.py VIP

Prints at the end `heard`, each as [when, MAC, whether it was an announcement].
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import sys
import time

SWITCH = "br0"
_ARP, _BROADCAST = 0x0806, b"\xff" * 6


def main() -> None:
    vip, stdin = socket.inet_aton(sys.argv[1]), sys.stdin.fileno()
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ARP))
    port.bind((SWITCH, 0))
    own = port.getsockname()[4]
    # From nobody's address, as a host asks that does not have one yet (RFC 5227 2.1.1): no neighbour learns from it.
    question = _BROADCAST + own + struct.pack("!HHHBBH", _ARP, 1, 0x800, 6, 4, 1) + own + bytes(10) + vip
    heard: list[tuple[float, str, bool]] = []
    following = time.monotonic()
    while True:
        left = following - time.monotonic()
        if left <= 0:
            following += 0.1
            port.send(question)
            continue
        ready = select.select([stdin, port], [], [], left)[0]
        if stdin in ready and not os.read(0, 1024):
            break
        if port in ready:
            frame = port.recv(200)
            if frame[28:32] == vip and frame[6:12] != own:
                heard.append((round(time.monotonic(), 3), frame[22:28].hex(":"), frame[:6] == _BROADCAST))
    print(json.dumps({"heard": heard}), flush=True)


if __name__ == "__main__":
    main()
