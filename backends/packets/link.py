"""The interface packets leave by: its MAC, its addresses, and the source address to speak from.

Read with ioctl (netdevice(7)) and one rtnetlink dump (rtnetlink(7)); no privilege is needed.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterator

import msgspec

from backends.packets.ethernet import is_unicast
from dsrwizard.core.model.errors import LookError

_SIOCGIFFLAGS = 0x8913
_SIOCGIFHWADDR = 0x8927
_IFF_UP = 0x1
_IFF_RUNNING = 0x40
_ARPHRD_ETHER = 1

_RTM_GETADDR = 22
_RTM_NEWADDR = 20
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_DUMP_REQUEST = 0x301
_IFA_ADDRESS = 1
_IFA_LOCAL = 2
_IFA_FLAGS = 8
_UNUSABLE = 0x40 | 0x08
"""IFA_F_TENTATIVE and IFA_F_DADFAILED: the kernel does not answer for such an address (if_addr.h)."""


class LinkAddress(msgspec.Struct, frozen=True):
    """An address of the interface, packed, with its prefix length."""

    packed: bytes
    prefix: int

    @property
    def whole(self) -> bool:
        """A /32 or /128: a VIP more often than not, and no subnet to speak in."""
        return self.prefix == len(self.packed) * 8

    @property
    def link_local(self) -> bool:
        """fe80::/10 (RFC 4291); IPv4's 169.254/16 is an address like any other here."""
        return len(self.packed) == 16 and self.packed[0] == 0xFE and self.packed[1] & 0xC0 == 0x80

    def near(self, other: bytes) -> bool:
        """Whether another address is in the same subnet."""
        if len(other) != len(self.packed):
            return False
        shift = len(other) * 8 - self.prefix
        return int.from_bytes(self.packed, "big") >> shift == int.from_bytes(other, "big") >> shift


class EthernetLink(msgspec.Struct, frozen=True):
    """An Ethernet interface that is up and has a peer."""

    name: str
    mac: bytes
    addresses: tuple[LinkAddress, ...] = ()

    def holds(self, address: bytes) -> bool:
        return any(own.packed == address for own in self.addresses)

    def near(self, target: bytes) -> bytes | None:
        """The interface's own address in the target's subnet (the longest prefix wins), never a /32 or /128."""
        candidates = [own for own in self._usable(target) if own.near(target) and not own.whole]
        return max(candidates, key=lambda own: own.prefix).packed if candidates else None

    def source(self, *targets: bytes) -> bytes | None:
        """The address to speak to the targets from: in the subnet of the first target that has one here, otherwise
        any of that family that is no target, a real subnet before a /32 and global before link-local."""
        for target in targets:
            found = self.near(target)
            if found is not None and found not in targets:
                return found
        rest = [own for own in self._usable(targets[0]) if own.packed not in targets]
        rest.sort(key=lambda own: (own.link_local, own.whole))
        return rest[0].packed if rest else None

    def link_local(self) -> bytes | None:
        """The IPv6 link-local address."""
        return next((own.packed for own in self.addresses if own.link_local), None)

    def _usable(self, target: bytes) -> list[LinkAddress]:
        return [own for own in self.addresses if len(own.packed) == len(target) and own.packed != target]


def look_up(name: str) -> EthernetLink:
    """The interface of that name. Raises LookError where there is none, it is down, or it is no Ethernet."""
    try:
        index = socket.if_nametoindex(name)
    except (OSError, ValueError):
        raise LookError(
            f"This machine has no interface {name or '(no name given)'}.",
            "",
            "See 'ip -br link' for those there are.",
        ) from None
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
            flags, kind, mac = _device(asking, name)
        _refuse(name, flags, kind, mac)
        return EthernetLink(name, mac, tuple(_addresses(index)))
    except OSError as error:
        raise LookError(f"Interface {name} cannot be read: {error.strerror or error}.") from None


def check_link(name: str) -> None:
    """Raises LookError as `look_up` does: whether the interface is there, up and linked."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
            _refuse(name, *_device(asking, name))
    except OSError:
        look_up(name)


def own_macs() -> frozenset[bytes]:
    """The MACs of all interfaces of this machine; of one that goes away meanwhile there is none."""
    found = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        for _, name in socket.if_nameindex():
            try:
                found.add(_device(asking, name)[2])
            except OSError:
                continue
    return frozenset(found)


def _device(asking: socket.socket, name: str) -> tuple[int, int, bytes]:
    request = struct.pack("16s24x", name.encode()[:15])
    (flags,) = struct.unpack_from("H", fcntl.ioctl(asking, _SIOCGIFFLAGS, request), 16)
    kind, mac = struct.unpack_from("H6s", fcntl.ioctl(asking, _SIOCGIFHWADDR, request), 16)
    return flags, kind, mac


def _refuse(name: str, flags: int, kind: int, mac: bytes) -> None:
    if kind != _ARPHRD_ETHER or not is_unicast(mac):
        raise LookError(
            f"{name} is not an Ethernet interface.",
            "Direct routing and ARP need one layer-2 network with the real servers.",
            "Choose the interface in the real servers' network.",
        )
    if not flags & _IFF_UP:
        raise LookError(f"Interface {name} is down.", "", f"Bring it up: ip link set {name} up")
    if not flags & _IFF_RUNNING:
        raise LookError(f"Interface {name} has no link.", "", "Plug the cable in, or bring its peer up.")


def _addresses(index: int) -> Iterator[LinkAddress]:
    """Every usable address of one interface, from an RTM_GETADDR dump. Raises OSError."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(2.0)
        netlink.send(struct.pack("=IHHIIB7x", 24, _RTM_GETADDR, _DUMP_REQUEST, 1, 0, socket.AF_UNSPEC))
        while True:
            data = netlink.recv(1 << 17)
            for kind, body in _messages(data):
                if kind == _NLMSG_DONE:
                    return
                if kind == _NLMSG_ERROR:
                    raise OSError(-struct.unpack_from("=i", body)[0], "the kernel would not list addresses")
                found = address_message(body, index) if kind == _RTM_NEWADDR else None
                if found is not None:
                    yield found


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 16:
        length, kind = struct.unpack_from("=IH", data)
        if not 16 <= length <= len(data):
            return
        yield kind, data[16:length]
        data = data[length + 3 & ~3 :]


def address_message(body: bytes, index: int) -> LinkAddress | None:
    """The address in an RTM_NEWADDR message of that interface; None for another's, or one that is not usable yet."""
    if len(body) < 8:
        return None
    family, prefix, flags, _scope, owner = struct.unpack_from("=BBBBI", body)
    attributes: dict[int, bytes] = {}
    rest = body[8:]
    while len(rest) >= 4:
        length, kind = struct.unpack_from("=HH", rest)
        if not 4 <= length <= len(rest):
            break
        attributes[kind] = rest[4:length]
        rest = rest[length + 3 & ~3 :]
    if len(attributes.get(_IFA_FLAGS, b"")) == 4:
        flags = int.from_bytes(attributes[_IFA_FLAGS], "little" if struct.pack("=H", 1)[0] else "big")
    packed = attributes.get(_IFA_LOCAL) or attributes.get(_IFA_ADDRESS, b"")
    wanted = {socket.AF_INET: 4, socket.AF_INET6: 16}.get(socket.AddressFamily(family)) if family in (2, 10) else None
    if owner != index or len(packed) != wanted or prefix > len(packed) * 8 or flags & _UNUSABLE:
        return None
    return LinkAddress(packed, prefix)
