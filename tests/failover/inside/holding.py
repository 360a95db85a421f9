"""When this host's kernel gets a VIP and loses it: netlink's news of addresses.

    holding.py VIP

Prints at the end `began` (whether it was there) and `news`, each as [when, whether it came]. rtnetlink(7):
RTM_NEWADDR 20, RTM_DELADDR 21, group RTMGRP_IPV4_IFADDR 0x10.
"""

from __future__ import annotations

import json
import os
import select
import socket
import struct
import subprocess
import sys
import time


def main() -> None:
    vip, stdin = socket.inet_aton(sys.argv[1]), sys.stdin.fileno()
    news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    news.bind((0, 0x10))
    shown = subprocess.run(["ip", "-o", "addr", "show", "to", sys.argv[1]], capture_output=True, check=True)
    heard: list[tuple[float, bool]] = []
    while True:
        ready = select.select([stdin, news], [], [])[0]
        if news in ready:
            data = news.recv(65536)
            while len(data) >= 16:
                length, kind = struct.unpack("=IH", data[:6])
                if kind in (20, 21) and vip in data[:length]:
                    heard.append((round(time.monotonic(), 3), kind == 20))
                data = data[(length + 3) & ~3 :]
        if stdin in ready and not os.read(0, 1024):
            break
    print(json.dumps({"began": bool(shown.stdout), "news": heard}), flush=True)


if __name__ == "__main__":
    main()
