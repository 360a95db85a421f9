"""What a fault of the lab is: the scripts that make and mend it, on which hosts, and what verify is to say of it.

`backends.lab.inside.mending` runs the scripts. The faults are in `faults` (one for each cause), `variants` (other ways
to the same causes) and `healthy` (settings of other people under which nothing is wrong).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from backends.lab import network

HEALTHY = "healthy"
BASE = "base"
"""Where an action runs that belongs to no host: the guest's own namespaces, which hold the switch of the LAN."""
STRANGER = "stranger"
"""A host of the LAN that is not in the deployment. It comes with its fault and goes with it."""
STRANGER_ADDRESS = "10.0.0.66"
STRANGER_MAC = "02:00:0a:00:00:42"
FORGET = "; ".join(f"ip neigh flush to {vip}" for vip in network.SERVICES)
"""For the router, once the fault is gone: with clients at work it would learn the same again before."""

SERVERS = tuple(host.name for host in network.SERVERS)
ROUTER, DIRECTOR, CLIENT = network.ROUTER.name, network.DIRECTOR.name, network.CLIENT.name


@dataclass(frozen=True)
class Action:
    """What is done on one host, as scripts for sh.

    Both see the variables of `Made.variables`. What `make` prints is $KEPT in `mend`, which also works when somebody
    else has mended it already.
    """

    at: str
    """The host; empty: the one the fault is on."""
    make: str
    mend: str


Users = Literal["none", "some", "large", "later", "all"]
"""Who is served while a fault is there: nobody, those of the other servers, all but those with large requests or
replies, all until the next boot, all."""


@dataclass(frozen=True)
class LabFault:
    """One thing that is wrong on one of `hosts`; with the cause `HEALTHY`, one that looks odd and is not wrong."""

    cause: str
    hosts: tuple[str, ...]
    why: str
    actions: tuple[Action, ...]
    needs: str = ""
    """A test for sh, run where the first action runs: the fault makes sense only where it holds."""
    lacks: str = ""
    """What is missing where `needs` does not hold; may name {vip} and {service}."""
    blamed: str = ""
    """The host that `verify` names with the cause; empty: the one it is made on."""
    narrow: Literal["", "vip", "service"] = ""
    """What the fault can be made on alone: a VIP, or a VIP's service; empty: it is of the whole host."""
    variant: str = ""
    """Which of several ways to the same cause; empty: the plain one."""
    users: Users = "some"
    blind: bool = False
    """Whether it can be found only from a client host: without one, nothing may be said of it but that it was not
    seen."""
    learned: bool = False
    """Whether neighbours learn another MAC for a VIP from it, which they keep: mended means that they forgot it."""
    serving: int = len(SERVERS)
    """How many real servers answer one client while nothing else is made: a drained one serves nobody new."""

    @property
    def kind(self) -> str:
        """`CAUSE` or `CAUSE:VARIANT`."""
        return f"{self.cause}:{self.variant}" if self.variant else self.cause


@dataclass(frozen=True)
class Made:
    """A fault on a host, as `CAUSE[:VARIANT]@HOST[/VIP[/SERVICE]]` names it; without them it is on the lab's first."""

    fault: LabFault
    host: str
    vip: str = ""
    service: str = ""

    @property
    def name(self) -> str:
        return "/".join(filter(None, (f"{self.fault.kind}@{self.host}", self.vip, self.service)))

    @property
    def rich(self) -> bool:
        """Whether it is on something that only the rich deployment has."""
        return self.vip not in ("", network.VIP) or self.service not in ("", f"tcp/{network.SERVICE_PORT}")

    @property
    def reported(self) -> tuple[str, str]:
        """The cause and the host as `verify` reports them; both empty where nothing is wrong."""
        return ("", "") if self.fault.cause == HEALTHY else (self.fault.cause, self.fault.blamed or self.host)

    @property
    def variables(self) -> dict[str, str]:
        """What the scripts see: $HOST, $RIP (of the VIP's family), $CABLE (the host's port on the switch), $DIP, $OTHER
        (another server's MAC), $PYTHON;
        $VIP with $LENGTH, $WIDE (a prefix that is too short) and $FAMILY (`-4`, `-6`); $PROTOCOL and $PORT;
        $SERVICE and $FLAG as ipvsadm writes them, $ONE where a service was named (`tcp/80`), $IPTABLES, $SYSCTL;
        $LAN, $MASK (of persistence), $FORMER (a server that was removed from the rack and not from IPVS) $NODAD and
        $RETIRED (how a server keeps an IPv6 VIP: its own packets take another address)."""
        vip = self.vip or network.VIP
        six = ":" in vip
        protocol, port = self.service.split("/") if self.service else ("tcp", str(network.SERVICE_PORT))
        host = next((host for host in network.HOSTS if host.name == self.host), None)
        rip = (host.address6 if six else host.address) if host else ""
        return {
            "HOST": self.host,
            "OTHER": next(host.mac for host in network.SERVERS if host.name != self.host),
            "PYTHON": sys.executable,
            "RIP": rip,
            "REAL": f"[{rip}]" if six else rip,
            "CABLE": f"v{self.host}",
            "DIP": network.DIRECTOR.address6 if six else network.DIRECTOR.address,
            "VIP": vip,
            "LENGTH": "128" if six else "32",
            "WIDE": "126" if six else "30",
            "FAMILY": "-6" if six else "-4",
            "PROTOCOL": protocol,
            "PORT": port,
            "ONE": self.service,
            "SERVICE": f"[{vip}]:{port}" if six else f"{vip}:{port}",
            "FLAG": "-u" if protocol == "udp" else "-t",
            "IPTABLES": "ip6tables-legacy" if six else "iptables-legacy",
            "SYSCTL": "net.ipv6" if six else "net.ipv4",
            "LAN": "fd00:10::/64" if six else "10.0.0.0/24",
            "MASK": "64" if six else "255.255.0.0",
            "FORMER": "[fd00:10::104]" if six else "10.0.0.104",
            "NODAD": "nodad" if six else "",
            "RETIRED": "nodad preferred_lft 0" if six else "",
        }

    @property
    def lacks(self) -> str:
        """What is missing where `needs` does not hold."""
        seen = self.variables
        return self.fault.lacks.format(vip=seen["VIP"], service=f"{seen['VIP']} {seen['PROTOCOL']}/{seen['PORT']}")


HOLDS_VIP = "ip -o addr show to $VIP | grep -q ."
NO_VIP = "{vip} is not there"
IN_SERVICE = 'ipvsadm -Sn 2>/dev/null | grep -qF -e "-a $FLAG $SERVICE -r $REAL:"'
NOT_IN_SERVICE = "IPVS does not send it any traffic for {service}"
HAS_SERVICE = 'ipvsadm -Sn 2>/dev/null | grep -qF -e "-A $FLAG $SERVICE "'
NO_SERVICE = "IPVS has no service {service}"
KEEP_DESTINATION = 'ipvsadm -Sn | grep -F -e "-a $FLAG $SERVICE -r $REAL:"'
MEND_DESTINATION = 'ipvsadm -d $FLAG $SERVICE -r $REAL:$PORT 2>/dev/null; echo "$KEPT" | ipvsadm -R'
# The words with which `ip addr replace` puts the VIP back as it was; IPv6 waits for nobody (nodad).
KEEP_VIP = (
    'set -- $(ip -o addr show to $VIP); kept="$4 dev $2"; '
    'case "$*" in *inet6*deprecated*) kept="$kept nodad preferred_lft 0" ;; *inet6*) kept="$kept nodad" ;; esac; '
    "echo $kept; ip addr del $4 dev $2"
)
RUNS = "[ -s /run/lab-service.pid ]"
RUNS_NOT = "its service is not running"


def set_sysctls(name: str, value: int) -> Action:
    keys = f"net.ipv4.conf.all.{name} net.ipv4.conf.eth0.{name}"
    return Action(
        "", f"sysctl {keys} && sysctl -qw {' '.join(f'{key}={value}' for key in keys.split())}",
        "echo \"$KEPT\" | sysctl -qp -",
    )  # fmt: skip


_TO_TRUNK = (
    "ip link add link eth0 name eth0.1 type vlan id 1 && ip link set eth0.1 up && six=fd00:10::${RIP##*.} && "
    "ip addr del $RIP/24 dev eth0 && ip addr add $RIP/24 dev eth0.1 && ip -6 addr del $six/64 dev eth0 && "
    f"ip -6 addr add $six/64 dev eth0.1 nodad && ip route add default via {network.ROUTER.address} dev eth0.1 && "
    f"ip -6 route replace default via {network.ROUTER.address6} dev eth0.1"
)
_FROM_TRUNK = (
    "ip link del eth0.1 2>/dev/null; six=fd00:10::${RIP##*.}; ip addr replace $RIP/24 dev eth0; "
    f"ip -6 addr replace $six/64 dev eth0 nodad; ip route replace default via {network.ROUTER.address} dev eth0; "
    f"ip -6 route replace default via {network.ROUTER.address6} dev eth0"
)


def on_trunk(and_then: str = "true") -> tuple[Action, Action]:
    """The server's switch port becomes a trunk, and the server's addresses are on a VLAN interface, eth0.1."""
    return (
        Action(
            BASE, "ip link set br0 type bridge vlan_filtering 1 && bridge vlan add dev $CABLE vid 1",
            "bridge vlan add dev $CABLE vid 1 pvid untagged; ip link set br0 type bridge vlan_filtering 0",
        ),
        Action(
            "",
            "sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce net.ipv4.conf.eth0.arp_ignore "
            f"net.ipv4.conf.eth0.arp_announce && {_TO_TRUNK} && {and_then}",
            f'{_FROM_TRUNK}; echo "$KEPT" | sysctl -qp -',
        ),
    )  # fmt: skip
