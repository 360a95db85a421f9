"""The commands an operator types on a Linux real server: iproute2, ss, sysctl and tcpdump."""

from __future__ import annotations

import re
import shlex
from ipaddress import ip_interface

from dsrwizard.core.dialects.commands import IPV6_MANNER
from dsrwizard.core.dialects.linux.plan import ingress, key
from dsrwizard.core.model.deployment import RealServer, Service, Vip
from dsrwizard.core.model.facts import Route, ServerFacts
from dsrwizard.core.model.values import parsed

SILENCE = "sysctl -w net.ipv4.conf.all.arp_ignore=1"
"""Ends most answers to ARP for a VIP."""


def put_vip(server: RealServer, vip: str, interface: str = "", facts: ServerFacts | None = None) -> str:
    """The command that puts a VIP on a Linux real server: where the deployment wants it, unless that is an interface
    that answers for it, on which no plan puts one. A dummy interface that is not there is made."""
    six = ":" in vip
    name = interface or server.vip_interface
    link = facts.interface(name) if facts is not None else None
    real = link is not None and link.name != "lo" and link.kind != "dummy"
    if real or (facts is None and re.match(r"(eth|en[ops]|bond|br|team|wl)", name)):
        name, link = "lo", None
    device = shlex.quote(name)
    first = ""
    if facts is not None and name != "lo" and link is None:
        first = f"ip link add {device} type dummy && ip link set {device} up && "
    elif link is not None and not link.up:
        first = f"ip link set {device} up && "
    return f"{first}ip addr add {vip}/{128 if six else 32} dev {device}{IPV6_MANNER if six else ''}"


class LinuxAdvice:
    """The advice for one Linux real server."""

    def __init__(self, server: RealServer, facts: ServerFacts | None) -> None:
        self._server, self._facts = server, facts
        self._nic = ingress(server, facts) if facts is not None else None

    def in_turn(self, *commands: str) -> str:
        """Each runs only when the one before it worked."""
        return " && ".join(commands)

    def put_vip(self, vip: Vip, interface: str = "") -> str:
        return put_vip(self._server, vip.address, interface, self._facts)

    def bring_vip(self, vip: Vip) -> str:
        for link in self._facts.interfaces if self._facts is not None else ():
            entry = link.has(vip.address)
            if entry is None or (link.name != "lo" and link.kind != "dummy"):
                continue
            if not link.up:
                return f"ip link set {shlex.quote(link.name)} up"
            if entry.tentative:
                return self.in_turn(self.take_vip(vip, link.name, entry.prefix), self.put_vip(vip, link.name))
        return self.put_vip(vip)

    def take_vip(self, vip: Vip, interface: str, prefix: int) -> str:
        command = f"ip addr del {vip.address}/{prefix} dev {shlex.quote(interface)}"
        if not self._takes_others(vip, interface, prefix):
            return command
        return self.in_turn(f"sysctl -w {shlex.quote(key(interface, 'promote_secondaries'))}=1", command)

    def _takes_others(self, vip: Vip, interface: str, prefix: int) -> bool:
        """Whether the kernel takes other addresses off with this one: it is the first of its network on the interface,
        and they are secondary to it (ip-address(8)). The server's own may be among them."""
        link = self._facts.interface(interface) if self._facts is not None else None
        if link is None or vip.ip.version == 6 or prefix == vip.prefix:
            return False
        network = ip_interface(f"{vip.address}/{prefix}").network
        same = [one for one in link.addresses if ip_interface(f"{one.address}/{one.prefix}").network == network]
        return len(same) > 1 and parsed(same[0].address) == vip.ip

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
        six = "-6 " if family == 6 else ""
        looked = self._facts.linux if self._facts is not None else None
        ways = looked.ways if looked is not None else ()
        way = next((one for one in ways if one.vip == vip and one.table not in ("", "main")), None)
        if way is not None and self._nic is not None and way.interface == self._nic.name:
            return f"ip {six}route replace default {self._via(router)} table {shlex.quote(way.table)}"
        return (
            f"ip {'-6 ' if family == 6 else ''}rule shows the rule for {vip}; take it off, or let its "
            f"table say default {self._via(router)}"
        )

    def _via(self, router: str) -> str:
        return f"via {router} dev {shlex.quote(self._nic.name) if self._nic else '<interface>'}"
