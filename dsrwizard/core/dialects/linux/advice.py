"""The commands an operator types on a Linux real server: iproute2, ss, sysctl and tcpdump."""

from __future__ import annotations

import shlex

from dsrwizard.core.dialects.linux.plan import ingress
from dsrwizard.core.model.deployment import RealServer, Service, Vip
from dsrwizard.core.model.facts import Route, ServerFacts

SILENCE = "sysctl -w net.ipv4.conf.all.arp_ignore=1"
"""Ends most answers to ARP for a VIP."""


def put_vip(server: RealServer, vip: str, interface: str = "") -> str:
    """The command that puts a VIP on a Linux real server."""
    six = ":" in vip
    device = shlex.quote(interface or server.vip_interface)
    return f"ip addr add {vip}/{128 if six else 32} dev {device}{' nodad' if six else ''}"


class LinuxAdvice:
    """The advice for one Linux real server."""

    def __init__(self, server: RealServer, facts: ServerFacts | None) -> None:
        self._server = server
        self._nic = ingress(server, facts) if facts is not None else None

    def in_turn(self, *commands: str) -> str:
        """Each runs only when the one before it worked."""
        return " && ".join(commands)

    def put_vip(self, vip: Vip, interface: str = "") -> str:
        return put_vip(self._server, vip.address, interface)

    def take_vip(self, vip: Vip, interface: str, prefix: int) -> str:
        return f"ip addr del {vip.address}/{prefix} dev {shlex.quote(interface)}"

    def show_address(self, vip: Vip) -> str:
        return f"ip addr show to {vip.address}"

    def show_addresses(self) -> str:
        return "ip addr"

    def silence(self, vip: Vip) -> str:
        return SILENCE

    def show_frames(self, family: int, mac: str) -> str:
        nic = self._nic.name if self._nic else "any"
        return f"tcpdump -eni {nic} '{'icmp6' if family == 6 else 'arp'} and ether src {mac}'"

    def show_listeners(self, service: Service) -> str:
        return f"ss {'-ltn' if service.protocol == 'tcp' else '-lun'} 'sport = :{service.port}'"

    def see_handshakes(self, vip: Vip, service: Service) -> str:
        return f"On {self._server.name}, as root: tcpdump -ni any host {vip.address} and port {service.port}"

    def show_gateway(self, family: int) -> str:
        return "ip route show default" if family == 4 else "ip -6 route show default"

    def set_gateway(self, family: int, router: str, instead: Route | None) -> str:
        change = "ip route replace default" if family == 4 else "ip -6 route replace default"
        return f"{change} {self._via(router)}"

    def leave_policy_route(self, family: int, vip: str, router: str) -> str:
        return (
            f"ip {'-6 ' if family == 6 else ''}rule shows the rule for {vip}; take it off, or let its "
            f"table say default {self._via(router)}"
        )

    def _via(self, router: str) -> str:
        return f"via {router} dev {shlex.quote(self._nic.name) if self._nic else '<interface>'}"
