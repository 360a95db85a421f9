"""What is sent to IPVS: pyroute2's message with the attributes it lacks, and a socket that carries it.

pyroute2 0.9.7 types the netmask as an IPv4 address, although IPv6 services carry a prefix length there, and stores the
tunnel's port in the machine's byte order while the kernel reads it in network order (ip_vs_ctl.c). Its helper
objects (IPVSService, IPVSDest) are not used: their "update" deletes.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP
from struct import pack
from typing import Any

from backends.netlink.decode import FULL_IPV4_MASK, FULL_IPV6_PREFIX, KernelError
from backends.netlink.numbers import FAMILY, FLAG_PERSISTENT, NLM_F_ACK, NLM_F_REQUEST, VERSION, Command, method_number
from backends.netlink.pyroute import AsyncGenericNetlinkSocket, GenericNetlinkSocket, NetlinkError, ipvs
from dsrwizard.core.model.changes import DestinationState, ServiceKey, ServiceState

Attributes = list[tuple[str, Any]]
MessagePart = tuple[str, dict[str, Attributes]]

_ALL_FLAGS = 0xFFFFFFFF


def _retyped(pairs: Iterable[tuple[str, str]], **types: str) -> tuple[tuple[str, str], ...]:
    """pyroute2's table of attributes with other types for some, named without their prefix."""
    return tuple((name, types.get(name.split("_ATTR_")[1], kind)) for name, kind in pairs)


class IpvsMessage(ipvs.ipvsmsg):
    """pyroute2's IPVS message, complete."""

    class service(ipvs.ipvsmsg.service):  # noqa: N801  # the name nla_map looks up
        nla_map = _retyped(ipvs.ipvsmsg.service.nla_map, NETMASK="cdata")

    class dest(ipvs.ipvsmsg.dest):  # noqa: N801
        nla_map = _retyped(ipvs.ipvsmsg.dest.nla_map, TUN_PORT="be16")


class _AsyncIpvsSocket(AsyncGenericNetlinkSocket):
    module_err_level = "debug"  # a missing family is told by our own error, not by a log line in the terminal

    async def setup_endpoint(self) -> None:
        if getattr(self.local, "transport", None) is not None:
            return
        await super().setup_endpoint()
        await self.bind(FAMILY, IpvsMessage)


class IpvsSocket(GenericNetlinkSocket):
    """pyroute2's socket for `IpvsMessage`. It belongs to the thread that made it: open, send, close."""

    async_class = _AsyncIpvsSocket

    def request(self, command: Command, parts: Attributes | list[MessagePart]) -> None:
        """Sends one change and waits for the kernel's word. Raises KernelError."""
        try:
            self._run_with_cleanup(self.asyncore._do_request, message(command, parts), NLM_F_REQUEST | NLM_F_ACK)
        except NetlinkError as error:
            raise KernelError(error.code) from None


def message(command: Command, parts: Attributes | list[MessagePart]) -> IpvsMessage:
    """One request, not yet encoded."""
    built = IpvsMessage()
    built["cmd"] = int(command)
    built["version"] = VERSION
    built["attrs"] = list(parts)
    return built


def family_of(address: str) -> int:
    return AF_INET if ip_address(address).version == 4 else AF_INET6


def service_key(key: ServiceKey) -> Attributes:
    """The attributes that name a service."""
    return [
        ("IPVS_SVC_ATTR_AF", family_of(key.address)),
        ("IPVS_SVC_ATTR_PROTOCOL", IPPROTO_TCP if key.protocol == "tcp" else IPPROTO_UDP),
        ("IPVS_SVC_ATTR_ADDR", key.address),
        ("IPVS_SVC_ATTR_PORT", key.port),
    ]


def service_part(key: ServiceKey, state: ServiceState | None = None) -> MessagePart:
    """A service: its name alone, or all that it is set to."""
    attributes = service_key(key)
    if state is not None:
        flags = state.flags | (FLAG_PERSISTENT if state.persistence else 0)
        attributes += [
            ("IPVS_SVC_ATTR_SCHED_NAME", state.scheduler),
            ("IPVS_SVC_ATTR_FLAGS", {"flags": flags, "mask": _ALL_FLAGS}),
            ("IPVS_SVC_ATTR_TIMEOUT", state.persistence),
            ("IPVS_SVC_ATTR_NETMASK", netmask(key, state)),
        ]
        if state.persistence_engine:
            attributes.append(("IPVS_SVC_ATTR_PE_NAME", state.persistence_engine))
    return "IPVS_CMD_ATTR_SERVICE", {"attrs": attributes}


def netmask(key: ServiceKey, state: ServiceState) -> bytes:
    """The persistence granularity as the kernel stores it: an IPv4 mask in network order, an IPv6 prefix length in
    the machine's own (ip_vs_ctl.c, ip_vs_genl_parse_service and ip_vs_add_service)."""
    if family_of(key.address) == AF_INET:
        return pack(">I", FULL_IPV4_MASK if state.netmask is None else state.netmask)
    return pack("=I", FULL_IPV6_PREFIX if state.netmask is None else state.netmask)


def destination_part(address: str, port: int, state: DestinationState | None = None) -> MessagePart:
    """A destination: its name alone, or all that it is set to."""
    attributes: Attributes = [
        ("IPVS_DEST_ATTR_ADDR_FAMILY", family_of(address)),
        ("IPVS_DEST_ATTR_ADDR", address),
        ("IPVS_DEST_ATTR_PORT", port),
    ]
    if state is not None:
        attributes += [
            ("IPVS_DEST_ATTR_FWD_METHOD", method_number(state.method)),
            ("IPVS_DEST_ATTR_WEIGHT", state.weight),
            ("IPVS_DEST_ATTR_U_THRESH", state.upper),
            ("IPVS_DEST_ATTR_L_THRESH", state.lower),
        ]
        if state.method == "tun":  # kernels before 5.3 know no such attributes, and plain routing needs none
            attributes += [
                ("IPVS_DEST_ATTR_TUN_TYPE", state.tun_type),
                ("IPVS_DEST_ATTR_TUN_PORT", state.tun_port),
                ("IPVS_DEST_ATTR_TUN_FLAGS", state.tun_flags),
            ]
    return "IPVS_CMD_ATTR_DEST", {"attrs": attributes}
