"""The lab's network: its hosts, their addresses, and the `ip` batches that build it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Host:
    """One machine of the lab: a set of network, mount and UTS namespaces in the guest."""

    name: str
    address: str
    address6: str
    gateway: str = "10.0.0.1"
    gateway6: str = "fd00:10::1"
    ssh: bool = False
    service: bool = False
    forwards: bool = False
    routes: bool = False
    """Whether it speaks BGP with the directors."""

    @property
    def mac(self) -> str:
        """Follows from the address, so that captures and tests can be read without a table."""
        return "02:00:" + ipaddress.IPv4Address(self.address).packed.hex(":")


CLIENT = Host("client", "203.0.113.10", "fd00:203::10", "203.0.113.1", "fd00:203::1", ssh=True)
ROUTER = Host("router", "10.0.0.1", "fd00:10::1", "", "", forwards=True)
DIRECTOR = Host("director", "10.0.0.2", "fd00:10::2")
USUAL = 3
"""Real servers of the lab, unless more are asked for."""


def servers(count: int = USUAL) -> tuple[Host, ...]:
    """So many real servers: web1, web2 and so on."""
    return tuple(
        Host(f"web{n}", f"10.0.0.{100 + n}", f"fd00:10::{100 + n}", ssh=True, service=True) for n in range(1, count + 1)
    )


PAIR = 2
"""So many directors hand the VIPs over to each other (VRRP); more are active at once (ECMP)."""
MOST_DIRECTORS = 8
"""Their addresses end before the VIPs'."""


def directors(count: int = 1) -> tuple[Host, ...]:
    """So many directors: director, lb2, lb3 and so on. Commands run on the first, which reaches the others by SSH; each
    of them reaches the real servers."""
    others = (Host(f"lb{n}", f"10.0.0.{n + 1}", f"fd00:10::{n + 1}", ssh=True) for n in range(2, count + 1))
    return (DIRECTOR, *others)


def hosts(real_servers: int = USUAL, count: int = 1) -> tuple[Host, ...]:
    """All of a lab with so many real servers and directors. With three directors and more the router speaks BGP."""
    router = replace(ROUTER, routes=count > PAIR)
    return (CLIENT, router, *directors(count), *servers(real_servers))


SERVERS = servers()
HOSTS = hosts()
ROUTER_OUTSIDE = "203.0.113.1"
ROUTER_OUTSIDE6 = "fd00:203::1"
VIP = "10.0.0.10"
VIP_TWO = "10.0.0.11"
VIP6 = "fd00:10::10"
SERVICE_PORT = 80
SECOND_PORT = 8080
ECHO_PORT = 7
SERVICES = {
    VIP: (("tcp", SERVICE_PORT), ("udp", ECHO_PORT)),
    VIP_TWO: (("tcp", SERVICE_PORT), ("tcp", SECOND_PORT)),
    VIP6: (("tcp", SERVICE_PORT),),
}
"""What the rich deployment serves: VIP → its services. The simple one serves the first of the first."""


ROUTER_AS, DIRECTORS_AS = 65000, 65010
"""Private numbers (RFC 6996)."""


def deployment(identity_file: str, count: int = 1) -> str:
    """The deployment that suits the lab with so many directors, ready to accept."""
    return _deployment("shop", identity_file, {VIP: SERVICES[VIP][:1]}, count)


def rich_deployment(identity_file: str, count: int = 1) -> str:
    """The same servers with all the lab can serve: a second VIP, an IPv6 VIP, a second TCP service, one by UDP."""
    return _deployment("rich", identity_file, SERVICES, count, six=True)


def _director(count: int, identity_file: str) -> str:
    """The tables of the director and of the one beside it. More than two are set up each from itself, by one file."""
    text = '\n[director]\ninterface = "eth0"\n'
    if count == PAIR:
        (peer,) = directors(PAIR)[1:]
        text += f"""engine = "keepalived"

[[director.peers]]
name = "{peer.name}"
address = "{peer.address}"
user = "root"
identity_file = "{identity_file}"
"""
    if count > PAIR:  # BIRD announces only while a guard says so
        text += f"""guard = true

[director.bgp]
neighbour = "{ROUTER.address}"
local_as = {DIRECTORS_AS}
neighbour_as = {ROUTER_AS}
"""
    return text


def _deployment(
    name: str, identity_file: str, vips: Mapping[str, Sequence[tuple[str, int]]], count: int, *, six: bool = False
) -> str:
    text = f'name = "{name}"\n{_director(count, identity_file)}'
    scheduler = "rr" if count == 1 else "mh"  # one table after the other knows each other's connections only by a hash
    for vip, services in vips.items():
        text += f"""
[[vips]]
address = "{vip}"
"""
        for protocol, port in services:
            text += f"""[[vips.services]]
protocol = "{protocol}"
port = {port}
scheduler = "{scheduler}"
"""
            if protocol == "tcp":
                text += 'page = "/large"\n'
            if protocol == "udp":
                text += 'payload = "hello"  # any answer counts: the lab\'s echo names its host first\n'
    for server in SERVERS:
        text += f"""
[[servers]]
name = "{server.name}"
address = "{server.address}"
"""
        if six:
            text += f'address6 = "{server.address6}"\n'
        text += f"""connect = "ssh"
user = "root"
identity_file = "{identity_file}"
"""
    return (
        text
        + f"""
[client]
address = "{CLIENT.address}"
user = "root"
identity_file = "{identity_file}"
"""
    )


def cables(hosts: Sequence[Host] = HOSTS) -> str:
    """The batch for the guest's first network namespace: a bridge, and a cable to every host."""
    lines = ["link add br0 type bridge mcast_snooping 0", "link set br0 up"]
    for host in hosts:
        if host is not CLIENT:
            lines += [
                f"link add v{host.name} type veth peer name eth0 address {host.mac} netns {host.name}",
                f"link set v{host.name} master br0 up",
            ]
    lines.append(
        f"link add eth1 address 02:00:{ipaddress.IPv4Address(ROUTER_OUTSIDE).packed.hex(':')} netns router"
        f" type veth peer name eth0 address {CLIENT.mac} netns client"
    )
    return "\n".join(lines) + "\n"


def addresses(host: Host) -> str:
    """The batch for the host's own namespace. `nodad`: nobody waits for an address that is known to be free."""
    lines = ["link set lo up", "link set eth0 up"]
    lines += [f"addr add {host.address}/24 dev eth0", f"addr add {host.address6}/64 dev eth0 nodad"]
    if host.forwards:
        lines += ["link set eth1 up"]
        lines += [f"addr add {ROUTER_OUTSIDE}/24 dev eth1", f"addr add {ROUTER_OUTSIDE6}/64 dev eth1 nodad"]
    else:
        lines += [f"route add default via {host.gateway}", f"route add default via {host.gateway6}"]
    return "\n".join(lines) + "\n"


def interfaces(host: Host) -> str:
    """The host's /etc/network/interfaces, as Debian's ifupdown writes it."""
    gateways = ("", "") if host.forwards else (f"    gateway {host.gateway}\n", f"    gateway {host.gateway6}\n")
    return (
        "source /etc/network/interfaces.d/*\n\n"
        "auto lo\niface lo inet loopback\n\n"
        f"auto eth0\niface eth0 inet static\n    address {host.address}/24\n{gateways[0]}"
        f"iface eth0 inet6 static\n    address {host.address6}/64\n{gateways[1]}"
    )
