"""What is sent to IPVS, byte for byte: each attribute as the kernel's ip_vs_ctl.c reads it."""

from __future__ import annotations

import errno
from socket import AF_INET, AF_INET6, inet_pton
from struct import pack

import pytest

from backends.netlink.attributes import GENL_HEADER, Span, table
from backends.netlink.messages import IpvsMessage, MessagePart, destination_part, message, service_part
from backends.netlink.numbers import Command
from backends.netlink.problems import refused, unreadable
from dsrwizard.core.model.changes import DestinationState, ServiceKey, ServiceState
from dsrwizard.core.model.errors import CommandFailed, LookError, NoPrivilege

WEB = ServiceKey("10.0.0.10", "tcp", 80)
DNS6 = ServiceKey("fd00::10", "udp", 53)


def sent(command: Command, *parts: MessagePart) -> bytes:
    built: IpvsMessage = message(command, list(parts))
    built.encode()
    return bytes(built.data)


def values(data: bytes, part: int) -> dict[int, bytes]:
    """The attributes of one part of a message, by the kernel's numbers."""
    whole: Span = (GENL_HEADER, len(data))
    return {kind: data[start:end] for kind, (start, end) in table(data, table(data, whole)[part]).items()}


def test_a_whole_message_byte_for_byte() -> None:
    header = "5c00000000000000000000000000000001010000"  # netlink's is filled in when it is sent
    service = (
        "48000100" "0600010002000000" "0600020006000000" "080003000a00000a" "0600040000500000" "08000600776c6300"
        "0c00070001000000ffffffff" "080008002c010000" "08000900ffffff00"
    )  # fmt: skip
    data = sent(Command.NEW_SERVICE, service_part(WEB, ServiceState("wlc", 300, netmask=0xFFFFFF00)))
    assert data.hex() == header + service


@pytest.mark.parametrize(
    ("key", "state", "attribute", "value"),
    [
        (WEB, ServiceState("wlc"), 1, pack("=H", AF_INET)),
        (DNS6, ServiceState("wlc"), 1, pack("=H", AF_INET6)),
        (WEB, ServiceState("wlc"), 2, pack("=H", 6)),
        (DNS6, ServiceState("wlc"), 2, pack("=H", 17)),
        (WEB, ServiceState("wlc"), 3, bytes([10, 0, 0, 10])),
        (DNS6, ServiceState("wlc"), 3, inet_pton(AF_INET6, "fd00::10")),
        (WEB, ServiceState("wlc"), 4, pack(">H", 80)),
        (WEB, ServiceState("lblcr"), 6, b"lblcr\0"),
        (WEB, ServiceState("wlc"), 7, pack("=II", 0, 0xFFFFFFFF)),
        (WEB, ServiceState("wlc", persistence=60, flags=0x4), 7, pack("=II", 0x5, 0xFFFFFFFF)),
        (WEB, ServiceState("wlc", persistence=60), 8, pack("=I", 60)),
        (WEB, ServiceState("wlc"), 8, pack("=I", 0)),
        (WEB, ServiceState("wlc"), 9, bytes([255, 255, 255, 255])),
        (WEB, ServiceState("wlc", 60, netmask=0xFFFF0000), 9, bytes([255, 255, 0, 0])),
        (DNS6, ServiceState("wlc"), 9, pack("=I", 128)),
        (DNS6, ServiceState("wlc", 60, netmask=64), 9, pack("=I", 64)),
        (WEB, ServiceState("wlc", 60, persistence_engine="sip"), 11, b"sip\0"),
    ],
)
def test_each_attribute_of_a_service(key: ServiceKey, state: ServiceState, attribute: int, value: bytes) -> None:
    assert values(sent(Command.NEW_SERVICE, service_part(key, state)), 1)[attribute] == value


@pytest.mark.parametrize(
    ("address", "state", "attribute", "value"),
    [
        ("10.0.0.101", DestinationState(1), 1, bytes([10, 0, 0, 101])),
        ("fd00::101", DestinationState(1), 1, inet_pton(AF_INET6, "fd00::101")),
        ("10.0.0.101", DestinationState(1), 2, pack(">H", 8080)),
        ("10.0.0.101", DestinationState(1, "nat"), 3, pack("=I", 0)),
        ("10.0.0.101", DestinationState(1, "local"), 3, pack("=I", 1)),
        ("10.0.0.101", DestinationState(1, "tun"), 3, pack("=I", 2)),
        ("10.0.0.101", DestinationState(1, "dr"), 3, pack("=I", 3)),
        ("10.0.0.101", DestinationState(0), 4, pack("=I", 0)),
        ("10.0.0.101", DestinationState(65535), 4, pack("=I", 65535)),
        ("10.0.0.101", DestinationState(1, upper=200), 5, pack("=I", 200)),
        ("10.0.0.101", DestinationState(1, lower=100), 6, pack("=I", 100)),
        ("10.0.0.101", DestinationState(1), 11, pack("=H", AF_INET)),
        ("fd00::101", DestinationState(1), 11, pack("=H", AF_INET6)),
        ("10.0.0.101", DestinationState(1, "tun", tun_type=2), 13, b"\2"),
        ("10.0.0.101", DestinationState(1, "tun", tun_type=1, tun_port=6080), 14, pack(">H", 6080)),
        ("10.0.0.101", DestinationState(1, "tun", tun_flags=1), 15, pack("=H", 1)),
    ],
)
def test_each_attribute_of_a_destination(address: str, state: DestinationState, attribute: int, value: bytes) -> None:
    data = sent(Command.NEW_DEST, service_part(WEB), destination_part(address, 8080, state))
    assert values(data, 2)[attribute] == value
    assert set(values(data, 1)) == {1, 2, 3, 4}, "a service is named by its key alone"


def test_changing_is_not_deleting() -> None:
    """pyroute2's own "update" sends the command that deletes."""
    for command, number in ((Command.SET_SERVICE, 2), (Command.SET_DEST, 6)):
        assert sent(command)[16] == number


def test_plain_routing_sends_nothing_an_old_kernel_would_not_know() -> None:
    data = sent(Command.NEW_DEST, service_part(WEB), destination_part("10.0.0.101", 80, DestinationState(1)))
    assert not {13, 14, 15} & set(values(data, 2))


def test_every_refusal_says_what_to_do() -> None:
    what = "The IPVS service tcp 10.0.0.10:80 could not be added."
    numbers = [errno.EPERM, errno.EEXIST, errno.ESRCH, errno.ENOENT, errno.ENOMEM, errno.EINVAL, errno.ERANGE,
               errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT, errno.EIO]  # fmt: skip
    for number in numbers:
        error = refused(number, what)
        assert error.what == what
        assert error.why
        assert error.next
    assert isinstance(refused(errno.EPERM, what), NoPrivilege)
    assert isinstance(refused(errno.EEXIST, what), CommandFailed)
    assert "modprobe ip_vs_mh" in refused(errno.ENOENT, what, scheduler="mh").next
    assert "destination" in refused(errno.ENOENT, what, destination=True).why
    assert "modprobe ip_vs" in unreadable(errno.ENOENT).next
    assert "sudo" in unreadable(errno.EPERM).next
    assert isinstance(unreadable(errno.EIO), LookError)
