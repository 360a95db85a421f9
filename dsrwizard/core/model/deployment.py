"""The deployment that the operator wants, read from its file (docs/deployment-file.md) or entered in the wizard.

The structures are frozen and know nothing of files, hosts or screens. Types are checked by msgspec while decoding;
what the types cannot say is checked in `validate`.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Literal

import msgspec

Protocol = Literal["tcp", "udp"]
Connect = Literal["ssh", "winrm", "manual"]
EngineName = Literal["netlink", "keepalived", "external", "netscaler", "loadbalancer.org", "aloha", "barracuda"]
Winrm = Literal["https", "http"]
Auth = Literal["ntlm", "kerberos", "basic"]
KerberosService = Literal["WSMAN", "HTTP"]
System = Literal["linux", "windows-2003", "windows-2008", "windows-2012"]
"""What a server set up by hand runs: its runbook is written for it. `windows-2008` is 2008 and 2008 R2, `windows-2012`
everything from 2012 to 2025."""
Probe = Literal["dns", "echo"]
Address = IPv4Address | IPv6Address
_parsed = lru_cache(maxsize=65536)(ip_address)  # every check of every server compares the VIPs

SCHEDULERS: dict[str, str] = {
    "rr": "round robin: the next server in turn",
    "wrr": "weighted round robin: in turn, heavier servers more often",
    "lc": "least connections: the server with the fewest open connections",
    "wlc": "weighted least connections: the fewest open connections for its weight",
    "lblc": "locality-based least connections, for caches",
    "lblcr": "like lblc, with a set of servers per destination",
    "dh": "destination hash: one destination address always to one server",
    "sh": "source hash: one client address always to one server",
    "sed": "shortest expected delay: like wlc, counting the new connection too",
    "nq": "never queue: an idle server first, otherwise shortest expected delay",
    "fo": "weighted failover: the heaviest server takes everything",
    "ovf": "weighted overflow: fill the heaviest server, then the next",
    "mh": "Maglev hash: one client address to one server; few clients move when a server leaves",
    "twos": "power of twos: the less loaded of two random servers",
}
"""IPVS schedulers (ipvsadm(8), kernel net/netfilter/ipvs) and what each means for the operator."""

SHARED_SCHEDULER = "mh"
"""The usual one where there are several directors: it chooses by the client's address and port alone, so that a
connection stays with its server when it comes to another director."""


def payload_bytes(text: str) -> bytes:
    """The bytes of a `payload`: UTF-8, or what follows `hex:`. Raises ValueError."""
    head, mark, digits = text.partition(":")
    return bytes.fromhex(digits) if mark and head.strip().lower() == "hex" else text.encode()


class _Struct(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    pass


class Service(_Struct, frozen=True, kw_only=True):
    """One protocol and port on a VIP. `persistence` in seconds, 0 = off.

    `probe` and `payload` are for UDP: what is sent to see whether the service answers. `probe = "dns"`: a query for the
    name servers of the root, and only a DNS answer to it counts; `"echo"`: the same bytes must come back. `payload`:
    what is sent, as text or as `hex:` and digits, 1400 bytes at most; any answer counts, unless it is to be an echo.
    With neither, port 53 is DNS, port 7 is echo, and others get the word dsrwizard.

    `page` is for HTTP: the path that the client host asks for to see whether replies of full size arrive; None: "/".
    """

    protocol: Protocol = "tcp"
    port: int
    scheduler: str = "wlc"
    persistence: int = 0
    probe: Probe | None = None
    payload: str | None = None
    page: str | None = None

    @property
    def expects(self) -> Literal["any", "dns", "echo"]:
        """What counts as an answer to the probe's datagram."""
        if self.probe is not None:
            return self.probe
        if self.protocol == "tcp" or self.payload is not None:
            return "any"
        return "dns" if self.port == 53 else "echo" if self.port == 7 else "any"

    @property
    def datagram(self) -> bytes:
        """What the probe sends, unless it is a DNS query."""
        return b"dsrwizard" if self.payload is None else payload_bytes(self.payload)

    @property
    def label(self) -> str:
        """`tcp/80`, as in messages and in JSON (docs/commands.md)."""
        return f"{self.protocol}/{self.port}"


class Vip(_Struct, frozen=True, kw_only=True):
    """A service address, held as /32 (IPv6: /128) by the director and, silently, by every real server."""

    address: str
    services: tuple[Service, ...]

    @property
    def ip(self) -> Address:
        return _parsed(self.address)

    @property
    def prefix(self) -> int:
        """32, or 128 for IPv6: the only prefix a VIP may have."""
        return self.ip.max_prefixlen


class PeerDirector(_Struct, frozen=True, kw_only=True):
    """Another director for the same VIPs. `address`: its own in the real servers' network, where it is reached by SSH
    and where its VRRP packets come from; `interface`: there, None for the same as this machine's."""

    name: str
    address: str
    interface: str | None = None
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None

    @property
    def ip(self) -> Address:
        return _parsed(self.address)


IN_KERNEL: frozenset[str] = frozenset({"netlink", "keepalived"})
"""Engines by which the IPVS of this machine balances."""
DRIVEN: frozenset[str] = IN_KERNEL | {"netscaler", "loadbalancer.org"}
"""Engines whose load balancer is read and written from here. The others are set up by their operator, and proved."""
WEIGHTED_METHODS = ("ROUNDROBIN", "LEASTCONNECTION")
METHODS = (*WEIGHTED_METHODS, "SOURCEIPHASH", "SRCIPSRCPORTHASH", "SRCIPDESTIPHASH", "DESTINATIONIPHASH")
"""What a NetScaler may be told to balance by (`lbmethod` of an lbvserver) in place of what the scheduler means.
The first two heed weights."""

PEER_BELOW = 50
"""How much less VRRP priority the other director has: the preferred one wins by more than any script takes away."""


STARTUP_SECONDS = 5
"""How long a director's keepalived listens before it may take the VIPs."""


class Vrrp(_Struct, frozen=True, kw_only=True):
    """How two directors agree on who holds the VIPs (RFC 5798). `advert_seconds`: the holder says so that often, and is
    taken for dead after three of them and a bit; `preempt_delay`: seconds for which the preferred director waits before
    it takes the VIPs back; `priority` of this machine, the other has `PEER_BELOW` less."""

    router_id: int = 51
    advert_seconds: float = 0.1
    preempt_delay: int = 60
    priority: int = 150

    @property
    def waits(self) -> int:
        """Seconds that the preferred director waits in fact: not less than it listens. An advert that it ignores while
        it listens makes keepalived 2.2.7 wait longer still: 20 s more with 3 s, two minutes more with 0."""
        return max(self.preempt_delay, STARTUP_SECONDS)


class Bgp(_Struct, frozen=True, kw_only=True):
    """How any number of directors announce the VIPs to one router, which spreads clients over them (RFC 4271, RFC 7938
    5.1). `neighbour` is that router; `bfd`: its death, and ours, is noticed within a second (RFC 5880)."""

    neighbour: str
    local_as: int
    neighbour_as: int
    bfd: bool = True


class Director(_Struct, frozen=True, kw_only=True):
    """This machine: the interface in the real servers' network, and which engine balances.

    `guard`: a service here takes dead real servers out and lets them in again; `guard_floor` per cent of each service's
    real servers stay in whatever its probes say.

    `address` is this machine's own on that interface, towards `peers`; None: the first one there of their family.
    """

    interface: str
    engine: EngineName = "netlink"
    guard: bool = False
    guard_floor: int = 50
    address: str | None = None
    peers: tuple[PeerDirector, ...] = ()
    vrrp: Vrrp | None = None
    bgp: Bgp | None = None

    @property
    def in_kernel(self) -> bool:
        """Whether the IPVS of this machine balances, whoever writes its table."""
        return self.engine in IN_KERNEL

    @property
    def driven(self) -> bool:
        """Whether the load balancer can be read and written from here, be it this machine's IPVS or an appliance."""
        return self.engine in DRIVEN

    @property
    def by_turns(self) -> bool:
        """Whether several directors hold the VIPs, one at a time."""
        return bool(self.peers) and self.bgp is None and self.in_kernel

    @property
    def spread(self) -> bool:
        """Whether several directors hold the VIPs at once and are set up from here."""
        return bool(self.peers) and self.bgp is not None and self.engine == "netlink"

    @property
    def vip_interface(self) -> str:
        """Where this machine has the VIPs: on the servers' network, which asks for them by ARP, or, where a router is
        told of them, where nobody can ask: several directors have them at once."""
        return self.interface if self.bgp is None else "lo"

    def interface_of(self, peer: PeerDirector) -> str:
        """The peer's interface in the real servers' network."""
        return peer.interface or self.interface


class Balancer(_Struct, frozen=True, kw_only=True):
    """The load balancer, where it is an appliance. `addresses`: of its management, both of a pair; `port` of its API,
    None for the product's own; `ca_file` signed its certificate, None: shown once and then pinned; `save`: what an
    apply changed is kept over a reboot of it; `method`: one of `METHODS`, for every service, None: by its scheduler."""

    addresses: tuple[str, ...] = ()
    user: str | None = None
    port: int | None = None
    ca_file: str | None = None
    save: bool = True
    method: str | None = None


class RealServer(_Struct, frozen=True, kw_only=True):
    """A real server.

    `address` is the RIP and where it is reached; `address6` is its IPv6 RIP where `address` is IPv4, needed for IPv6
    VIPs because direct routing stays within one address family. `port` is the port of the connection (SSH 22),
    never that of a service. `service_port` exists to be refused: direct routing cannot change ports.

    `look_seconds`: how long a look at a Windows server may take, its firewall's rules a third of that.

    `winrm` (https 5986, http 5985), `auth`, `ca_file` (the CA that signed the server's certificate), `dns_name` (what
    its certificate and Kerberos call it; IPVS and the connection go by `address`) and `kerberos_service` (None: WSMAN,
    then HTTP) are for `connect = "winrm"`; `vip_interface` is then "lo" for a Microsoft loopback adapter of our own, or
    "pseudo" for the built-in Loopback Pseudo-Interface 1. `system` is for `connect = "manual"`.
    """

    name: str
    address: str
    address6: str | None = None
    weight: int = 1
    connect: Connect = "ssh"
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    winrm: Winrm = "https"
    auth: Auth = "ntlm"
    ca_file: str | None = None
    dns_name: str | None = None
    kerberos_service: KerberosService | None = None
    look_seconds: int = 60
    system: System | None = None
    vip_interface: str = "lo"
    vips: tuple[str, ...] | None = None
    service_port: int | None = None

    @property
    def ip(self) -> Address:
        return ip_address(self.address)

    def rip_for(self, vip: Vip) -> str | None:
        """The server's address of the VIP's family, or None: IPVS forwards IPv6 in IPv4 only by tunnel (ipvsadm(8))."""
        for rip in (self.address, self.address6):
            if rip is not None and _parsed(rip).version == vip.ip.version:
                return rip
        return None


class Client(_Struct, frozen=True, kw_only=True):
    """A host that stands where clients stand, for end-to-end checks."""

    address: str
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None


class Deployment(_Struct, frozen=True, kw_only=True):
    """One intent for both sides: VIPs with their services, the director, the real servers."""

    name: str
    director: Director
    vips: tuple[Vip, ...]
    servers: tuple[RealServer, ...]
    client: Client | None = None
    balancer: Balancer | None = None

    def server(self, name: str) -> RealServer:
        """The real server of that name. Raises KeyError."""
        for server in self.servers:
            if server.name == name:
                return server
        raise KeyError(name)

    def server_at(self, rip: str) -> RealServer | None:
        """The real server with this address, however it is written."""
        return next(
            (one for one in self.servers if same_in(rip, tuple(text for text in (one.address, one.address6) if text))),
            None,
        )

    def peer(self, name: str) -> PeerDirector:
        """The other director of that name. Raises KeyError."""
        for peer in self.director.peers:
            if peer.name == name:
                return peer
        raise KeyError(name)

    def service(self, vip: str, protocol: Protocol, port: int) -> Service:
        """The service of a VIP, however its address is written. Raises KeyError."""
        for one in self.vips:
            for service in one.services:
                if (service.protocol, service.port) == (protocol, port) and same_in(vip, (one.address,)):
                    return service
        raise KeyError(f"{vip} {protocol}/{port}")

    def vips_of(self, server: RealServer) -> tuple[Vip, ...]:
        """The VIPs this server serves: all, unless it names some."""
        return tuple(vip for vip in self.vips if server.vips is None or same_in(vip.address, server.vips))

    def servers_of(self, vip: Vip) -> tuple[RealServer, ...]:
        """The real servers behind one VIP."""
        return tuple(server for server in self.servers if server.vips is None or same_in(vip.address, server.vips))


def same_in(address: str, addresses: tuple[str, ...]) -> bool:
    """Whether an address is among others, however each is written (`fd00::1` = `fd00:0::1`)."""
    return _parsed(address) in {_parsed(other) for other in addresses}
