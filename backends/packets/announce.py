"""Gratuitous ARP and unsolicited neighbour advertisements: neighbours learn at once where a VIP lives now."""

from __future__ import annotations

import time

from backends.packets import arp, ethernet, ndp
from backends.packets.addresses import no_address, pack
from backends.packets.capture import Capture
from backends.packets.link import look_up
from dsrwizard.core.model.errors import LookError

_PAUSE = 0.05
"""Seconds between repeats: a burst shares the fate of one lost frame."""


def announce(interface: str, address: str, count: int = 3) -> None:
    """Says `count` times, to everyone on the link, that the address is at this interface's MAC.

    IPv4: gratuitous ARP as request and as reply; IPv6: an unsolicited advertisement with the override flag. Raises
    LookError where the interface is missing or down, raw sockets are not allowed, or the frames cannot be sent.
    """
    packed = pack(address)
    if packed is None:
        raise LookError(no_address(address), "", "Write the VIP without a prefix, such as 10.0.0.10.")
    link = look_up(interface)
    ipv4 = len(packed) == 4
    frames = arp.gratuitous(link.mac, packed) if ipv4 else (ndp.unsolicited(link.mac, packed),)
    with Capture(interface, ethernet.ARP if ipv4 else ethernet.IPV6, receive=False) as capture:
        for number in range(count):
            if number:
                time.sleep(_PAUSE)
            for frame in frames:
                _send(capture, interface, frame)


def _send(capture: Capture, interface: str, frame: bytes) -> None:
    for _ in range(20):
        try:
            if capture.send(frame):
                return
        except OSError as error:
            raise LookError(f"The VIP could not be announced on {interface}: {error.strerror}.") from None
        time.sleep(_PAUSE)
    raise LookError(
        f"The VIP could not be announced on {interface}.", "Its send queue stayed full.", "Try again in a moment."
    )
