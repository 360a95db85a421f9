"""Sends ARP or neighbour discovery in another's name until it is killed: a forger, or a proxy that nobody wanted.

Usage: forge.py ADDRESS MAC. It says that the address is at that MAC, in frames that come from eth0's own.
"""

from __future__ import annotations

import sys
import time

from backends.packets import arp, ethernet, ndp
from backends.packets.addresses import pack
from backends.packets.capture import Capture
from backends.packets.ethernet import mac_bytes
from backends.packets.link import look_up

_PAUSE = 0.3


def main(address: str, named: str) -> None:
    vip, mac, own = pack(address), mac_bytes(named), look_up("eth0").mac
    if vip is None or mac is None:
        raise SystemExit(f"{address} or {named} is none")
    frames = arp.gratuitous(mac, vip) if len(vip) == 4 else (ndp.unsolicited(mac, vip),)
    told = False
    with Capture("eth0", ethernet.ARP if len(vip) == 4 else ethernet.IPV6, receive=False) as capture:
        while True:
            for frame in frames:
                capture.send(frame[:6] + own + frame[12:])
            if not told:
                told = True
                print("sent", flush=True)  # noqa: T201 - whoever made the fault waits for it
            time.sleep(_PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
