"""The faults the lab can make: each with its cause, the hosts it makes sense on, why it hurts, how it comes and goes.

Causes and words are those of `verify`. What the scripts do is what goes wrong in the field: nothing is simulated, the
lab's hosts are really wrong until the fault is mended. `backends.lab.inside.mending` runs the scripts.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from backends.lab import network
from dsrwizard.core.model.errors import UsageError

BASE = "base"
"""Where an action runs that belongs to no host: the guest's own namespaces, which hold the switch of the LAN."""
STRANGER = "stranger"
"""A host of the LAN that is not in the deployment. It comes with its fault and goes with it."""
STRANGER_ADDRESS = "10.0.0.66"
STRANGER_MAC = "02:00:0a:00:00:42"
FORGET = "; ".join(f"ip neigh flush to {vip}" for vip in network.SERVICES)
"""For the router, once the fault is gone: with clients at work it would learn the same again before."""

_SERVERS = tuple(host.name for host in network.SERVERS)
_ROUTER, _DIRECTOR, _CLIENT = network.ROUTER.name, network.DIRECTOR.name, network.CLIENT.name


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


@dataclass(frozen=True)
class LabFault:
    """One thing that is wrong on one of `hosts`."""

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
    learned: bool = False
    """Whether neighbours learn another MAC for a VIP from it, which they keep: mended means that they forgot it."""


@dataclass(frozen=True)
class Made:
    """A fault on a host, as `CAUSE@HOST[/VIP[/SERVICE]]` names it; without them it is on the lab's first."""

    fault: LabFault
    host: str
    vip: str = ""
    service: str = ""

    @property
    def name(self) -> str:
        return "/".join(filter(None, (f"{self.fault.cause}@{self.host}", self.vip, self.service)))

    @property
    def rich(self) -> bool:
        """Whether it is on something that only the rich deployment has."""
        return self.vip not in ("", network.VIP) or self.service not in ("", f"tcp/{network.SERVICE_PORT}")

    @property
    def reported(self) -> tuple[str, str]:
        """The cause and the host as `verify` reports them."""
        return self.fault.cause, self.fault.blamed or self.host

    @property
    def variables(self) -> dict[str, str]:
        """What the scripts see: $HOST, $RIP (of the VIP's family), $CABLE (the host's port on the switch), $DIP, $OTHER
        (another server's MAC), $PYTHON;
        $VIP with $LENGTH, $WIDE (a prefix that is too short) and $FAMILY (`-4`, `-6`); $PROTOCOL and $PORT;
        $SERVICE and $FLAG as ipvsadm writes them, $ONE where a service was named (`tcp/80`), $IPTABLES, $SYSCTL."""
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
        }

    @property
    def lacks(self) -> str:
        """What is missing where `needs` does not hold."""
        seen = self.variables
        return self.fault.lacks.format(vip=seen["VIP"], service=f"{seen['VIP']} {seen['PROTOCOL']}/{seen['PORT']}")


_HOLDS_VIP = "ip -o addr show to $VIP | grep -q ."
_NO_VIP = "{vip} is not there"
_IN_SERVICE = 'ipvsadm -Sn 2>/dev/null | grep -qF -e "-a $FLAG $SERVICE -r $REAL:"'
_NOT_IN_SERVICE = "IPVS does not send it any traffic for {service}"
_HAS_SERVICE = 'ipvsadm -Sn 2>/dev/null | grep -qF -e "-A $FLAG $SERVICE "'
_NO_SERVICE = "IPVS has no service {service}"
_KEEP_DESTINATION = 'ipvsadm -Sn | grep -F -e "-a $FLAG $SERVICE -r $REAL:"'
_MEND_DESTINATION = 'ipvsadm -d $FLAG $SERVICE -r $REAL:$PORT 2>/dev/null; echo "$KEPT" | ipvsadm -R'
# The words with which `ip addr replace` puts the VIP back as it was; IPv6 waits for nobody (nodad).
_KEEP_VIP = (
    'set -- $(ip -o addr show to $VIP); kept="$4 dev $2"; '
    'case "$*" in *inet6*deprecated*) kept="$kept nodad preferred_lft 0" ;; *inet6*) kept="$kept nodad" ;; esac; '
    "echo $kept; ip addr del $4 dev $2"
)
_RUNS = "[ -s /run/lab-service.pid ]"
_RUNS_NOT = "its service is not running"


def _sysctls(name: str, value: int) -> Action:
    keys = f"net.ipv4.conf.all.{name} net.ipv4.conf.eth0.{name}"
    return Action(
        "", f"sysctl {keys} && sysctl -qw {' '.join(f'{key}={value}' for key in keys.split())}",
        "echo \"$KEPT\" | sysctl -qp -",
    )  # fmt: skip


FAULTS: tuple[LabFault, ...] = (
    LabFault(
        "unreachable", _SERVERS, "The server's cable is pulled: it does not answer at its address.",
        (Action(BASE, "ip link set $CABLE down", "ip link set $CABLE up"),),
    ),
    LabFault(
        "not-on-link", _SERVERS, "The server is behind a router of its own: no frame for the VIP gets there.",
        (
            Action(
                BASE,
                "ip link add far type bridge mcast_snooping 0 && ip link set far up && "
                "ip link set $CABLE master far && "
                "ip link add vfar type veth peer name far0 netns router && ip link set vfar master far up && "
                "ip -n router link set far0 up && ip -n router route add $RIP/32 dev far0 && "
                "ip netns exec router sysctl -qw net.ipv4.conf.far0.proxy_arp=1",
                "ip link set $CABLE master br0; ip link del vfar 2>/dev/null; ip link del far 2>/dev/null; true",
            ),
            Action(
                _DIRECTOR, f"ip route add $RIP/32 via {network.ROUTER.address}; ip neigh flush to $RIP",
                "ip route del $RIP/32 2>/dev/null; ip neigh flush to $RIP",
            ),
            Action("", "ip neigh flush dev eth0", "ip neigh flush dev eth0"),
        ),
    ),
    LabFault(
        "service-down", _SERVERS, "The service is stopped: nothing listens on its port.",
        (Action(
            "", "lab-service stop $ONE",
            "if [ $ONE ]; then lab-service start $ONE; else lab-service stop; lab-service start; fi",
        ),),
        _RUNS, _RUNS_NOT, narrow="service",
    ),
    LabFault(
        "rip-only-listener", _SERVERS, "The service listens on the server's own address, not on the VIP.",
        (Action(
            "",
            "if [ -z $ONE ]; then lab-service stop; lab-service start $RIP; else lab-service bind $ONE "
            "$(ip -o addr show scope global | sed 's/.* inet6* //; s/[/ ].*//' | grep -vxF $VIP | paste -sd,); fi",
            "if [ $ONE ]; then lab-service start $ONE; else lab-service stop; lab-service start; fi",
        ),),
        _RUNS, _RUNS_NOT, narrow="service",
    ),
    LabFault(
        "vip-missing", _SERVERS, "The VIP is not on the server, so the server drops or returns packets for it.",
        (Action("", _KEEP_VIP, "ip addr replace $KEPT"),), _HOLDS_VIP, _NO_VIP, narrow="vip",
    ),
    LabFault(
        "vip-prefix", _SERVERS, "The VIP is on the server as /30, so it treats its neighbours' addresses as its own.",
        (Action(
            "", f"{_KEEP_VIP} && ip addr add $VIP/$WIDE dev $2",
            "set -- $KEPT; ip addr del $VIP/$WIDE dev $3 2>/dev/null; ip addr replace $KEPT",
        ),),
        _HOLDS_VIP, _NO_VIP, narrow="vip",
    ),
    LabFault(
        "arp-leak", _SERVERS, "arp_ignore is off: the server answers ARP for the VIP and takes the director's traffic.",
        (_sysctls("arp_ignore", 0),), _HOLDS_VIP, _NO_VIP, learned=True,
    ),
    LabFault(
        "arp-announce", _SERVERS, "arp_announce is off: the server uses the VIP as sender in its own ARP requests.",
        (_sysctls("arp_announce", 0),), _HOLDS_VIP, _NO_VIP, learned=True,
    ),
    LabFault(
        "arp-mismatch", _SERVERS, "The server claims in ARP that the VIP is at another server's MAC.",
        (Action(
            "",
            'setsid "$PYTHON" -m backends.lab.inside.forge $VIP $OTHER </dev/null >/run/lab-forge.log 2>&1 & '
            "until grep -qx sent /run/lab-forge.log; do "
            "kill -0 $! 2>/dev/null || { cat /run/lab-forge.log >&2; exit 1; }; sleep 0.1; done; echo $!",
            "kill $KEPT 2>/dev/null; true",
        ),),
        narrow="vip", learned=True,
    ),
    LabFault(
        "rp-filter", _SERVERS,
        "The route back to clients uses a second interface, and strict rp_filter drops what arrives on the first.",
        (
            Action(
                _ROUTER, "ip addr add 10.9.${RIP##*.}.1/24 dev eth0",
                "ip addr del 10.9.${RIP##*.}.1/24 dev eth0 2>/dev/null; true",
            ),
            Action(
                "",
                "ip link add out0 link eth0 type macvlan mode bridge && ip link set out0 up && "
                "ip addr add 10.9.${RIP##*.}.2/24 dev out0 && ip route show default && "
                "ip route replace default via 10.9.${RIP##*.}.1 dev out0 && "
                "sysctl -qw net.ipv4.conf.eth0.rp_filter=1",
                "sysctl -qw net.ipv4.conf.eth0.rp_filter=0; ip route replace $KEPT; ip link del out0 2>/dev/null; true",
            ),
        ),
    ),
    LabFault(
        "firewall", _SERVERS, "A filter on the server drops packets to the VIP; its own address stays open.",
        (Action(
            "", "$IPTABLES -I INPUT -d $VIP -p $PROTOCOL --dport $PORT -j DROP",
            "$IPTABLES -D INPUT -d $VIP -p $PROTOCOL --dport $PORT -j DROP 2>/dev/null; true",
        ),),
        narrow="service",
    ),
    LabFault(
        "gateway", _SERVERS, "The server's default gateway is the director, which drops replies from its own VIP.",
        (Action(
            "", "ip $FAMILY route show default; ip $FAMILY route replace default via $DIP dev eth0",
            "ip $FAMILY route replace $KEPT",
        ),),
        narrow="vip",
    ),
    LabFault(
        "spoof-filter", _SERVERS, "The switch drops what the server's port sends from an address that is not its own.",
        (Action(
            BASE,
            "tc qdisc add dev $CABLE clsact && tc filter add dev $CABLE ingress protocol "
            "$([ $FAMILY = -6 ] && echo ipv6 || echo ip) flower src_ip $VIP action drop",
            "tc qdisc del dev $CABLE clsact 2>/dev/null; true",
        ),),
        narrow="vip",
    ),
    LabFault(
        "duplicate-vip", (STRANGER,), "A host outside the deployment also has the VIP and answers ARP for it.",
        (
            Action(
                BASE,
                f"ip netns add stranger && ip link add vstranger type veth peer name eth0 address {STRANGER_MAC} netns "
                "stranger && ip link set vstranger master br0 up && ip -n stranger link set eth0 up && "
                f"ip -n stranger addr add {STRANGER_ADDRESS}/24 dev eth0 && "
                f"ip -n stranger route add default via {network.ROUTER.address} && "
                "{ [ $FAMILY = -4 ] || nodad=nodad; ip -n stranger addr add $VIP/$LENGTH dev eth0 $nodad; }",
                "ip netns del stranger 2>/dev/null; ip link del vstranger 2>/dev/null; true",
            ),
        ),
        blamed=_DIRECTOR, narrow="vip", learned=True,
    ),
    LabFault(
        "stale-arp", (_ROUTER,), "The router still has another MAC for the VIP, as after a failover it missed.",
        (Action(
            "",
            # As long as hardware routers keep an entry: this one would look again after half a minute.
            "sysctl -n $SYSCTL.neigh.eth0.base_reachable_time_ms && "
            "sysctl -qw $SYSCTL.neigh.eth0.base_reachable_time_ms=14400000 && "
            "ip neigh replace $VIP lladdr 02:00:5e:00:53:01 dev eth0 nud reachable",
            "sysctl -qw $SYSCTL.neigh.eth0.base_reachable_time_ms=$KEPT; ip neigh flush to $VIP",
        ),),
        blamed=_CLIENT, narrow="vip",
    ),
    LabFault(
        "not-persistent", _SERVERS, "The guard is active but not saved in a file: it is gone after the next reboot.",
        (Action(
            "", "cd /etc/sysctl.d && mv 90-dsrwizard.conf 90-dsrwizard.conf.away",
            "cd /etc/sysctl.d && if [ -e 90-dsrwizard.conf ]; then rm -f 90-dsrwizard.conf.away; "
            "else mv 90-dsrwizard.conf.away 90-dsrwizard.conf; fi",
        ),),
        "[ -e /etc/sysctl.d/90-dsrwizard.conf ]", "dsrwizard keeps no guard there",
    ),
    LabFault(
        "ipvs-missing", _SERVERS, "The server is missing from the IPVS service.",
        (Action(_DIRECTOR, f"{_KEEP_DESTINATION} && ipvsadm -d $FLAG $SERVICE -r $REAL:$PORT", _MEND_DESTINATION),),
        _IN_SERVICE, _NOT_IN_SERVICE, _DIRECTOR, "service",
    ),
    LabFault(
        "ipvs-missing", (_DIRECTOR,), "IPVS does not have the service.",
        (Action(
            "", "ipvsadm -Sn | grep -F -e \"$FLAG $SERVICE \" && ipvsadm -D $FLAG $SERVICE",
            "ipvsadm -D $FLAG $SERVICE 2>/dev/null; echo \"$KEPT\" | ipvsadm -R",
        ),),
        _HAS_SERVICE, _NO_SERVICE, narrow="service",
    ),
    LabFault(
        "ipvs-differs", _SERVERS, "IPVS forwards to the server by tunnel, and the server does not decapsulate.",
        (Action(
            _DIRECTOR, f"{_KEEP_DESTINATION} && ipvsadm -e $FLAG $SERVICE -r $REAL:$PORT -i", _MEND_DESTINATION,
        ),),
        _IN_SERVICE, _NOT_IN_SERVICE, _DIRECTOR, "service",
    ),
    LabFault(
        "ipvs-differs", (_DIRECTOR,), "IPVS has the service with another scheduler.",
        (Action(
            "",
            "had=$(ipvsadm -Sn | grep -F -e \"-A $FLAG $SERVICE \" | sed 's/.* -s //') && echo \"$had\" && "
            "case \"$had\" in wrr*) other=rr ;; *) other=wrr ;; esac && ipvsadm -E $FLAG $SERVICE -s $other",
            "ipvsadm -E $FLAG $SERVICE -s $KEPT",
        ),),
        _HAS_SERVICE, _NO_SERVICE, narrow="service",
    ),
    LabFault(
        "director-vip", (_DIRECTOR,), "The VIP is not on the director: clients soon cannot reach it.",
        (Action("", _KEEP_VIP, "ip addr replace $KEPT"),), _HOLDS_VIP, _NO_VIP, narrow="vip", learned=True,
    ),
    LabFault(
        "drained", _SERVERS, "The server's weight in IPVS is 0: it gets no new clients.",
        (Action(
            _DIRECTOR, f"{_KEEP_DESTINATION} && ipvsadm -e $FLAG $SERVICE -r $REAL:$PORT -g -w 0", _MEND_DESTINATION,
        ),),
        _IN_SERVICE, _NOT_IN_SERVICE, _DIRECTOR, "service",
    ),
    LabFault(
        "vip-as-source", (_DIRECTOR,), "The director's VIP is /24 and its first address: its own packets come from it.",
        (Action(
            "",
            "ip route show default && ip addr del $VIP/$LENGTH dev eth0 && ip addr del $DIP/24 dev eth0 && "
            "ip addr add $VIP/24 dev eth0 && ip addr add $DIP/24 dev eth0 && ip route replace $(ip route show default "
            f"| grep . || echo default via {network.ROUTER.address}) && ip neigh flush dev eth0",
            "ip addr del $VIP/24 dev eth0; ip addr replace $DIP/24 dev eth0; ip addr replace $VIP/$LENGTH dev eth0; "
            "ip route replace $KEPT; ip neigh flush dev eth0",
        ),),
        _HOLDS_VIP, _NO_VIP,
    ),
    LabFault(
        "director-setting", (_DIRECTOR,), "IPVS is set to drop every second packet to defend itself.",
        (Action(
            "", "sysctl net.ipv4.vs.am_droprate net.ipv4.vs.drop_packet && "
            "sysctl -qw net.ipv4.vs.am_droprate=2 net.ipv4.vs.drop_packet=3",
            'echo "$KEPT" | sysctl -qp -',
        ),),
    ),
    LabFault(
        "director-neighbour", _SERVERS, "The director has a permanent neighbour entry for the server with another MAC.",
        (Action(
            _DIRECTOR, "ip neigh replace $RIP lladdr 02:00:5e:00:53:02 dev eth0 nud permanent",
            "ip neigh del $RIP dev eth0 2>/dev/null; true",
        ),),
        blamed=_DIRECTOR,
    ),
    LabFault(
        "second-director", _SERVERS, "The server's own IPVS passes packets for the VIP on to another server.",
        (Action(
            "",
            "ipvsadm -A $FLAG $SERVICE -s rr && for rip in 10.0.0.101 10.0.0.102 10.0.0.103; do "
            "[ $rip = $RIP ] || ipvsadm -a $FLAG $SERVICE -r $rip:$PORT -g; done",
            "ipvsadm -D $FLAG $SERVICE 2>/dev/null; true",
        ),),
    ),
    LabFault(
        "duplicate-rip", _SERVERS, "Another machine has the server's own address, and the director learns its MAC.",
        (Action(
            BASE,
            f"ip netns add stranger && ip link add vstranger type veth peer name eth0 address {STRANGER_MAC} netns "
            "stranger && ip link set vstranger master br0 up && ip -n stranger link set eth0 up && "
            "ip -n stranger addr add $RIP/24 dev eth0 && ip netns exec stranger arping -qc 2 -U -I eth0 $RIP",
            "ip netns del stranger 2>/dev/null; ip link del vstranger 2>/dev/null; ip netns exec director ip neigh "
            "flush to $RIP; true",
        ),),
    ),
    LabFault(
        "service-hung", _SERVERS, "The service is stopped in its tracks: the kernel still accepts connections for it.",
        (Action(
            "", "kill -STOP $(cat /run/lab-service.pid)", "kill -CONT $(cat /run/lab-service.pid) 2>/dev/null; true",
        ),),
        _RUNS, _RUNS_NOT,
    ),
    LabFault(
        "path-mtu", _SERVERS, "Packets of more than 1300 bytes to the server are lost without a word.",
        (Action(
            "", "$IPTABLES -t raw -A PREROUTING -m length --length 1301:65535 -j DROP",
            "$IPTABLES -t raw -D PREROUTING -m length --length 1301:65535 -j DROP 2>/dev/null; true",
        ),),
    ),
)  # fmt: skip
CAUSES = tuple(dict.fromkeys(fault.cause for fault in FAULTS))


def parse(text: str) -> Made:
    """The fault named `CAUSE@HOST[/VIP[/SERVICE]]`; the host may be the one to be made wrong or the one `verify` will
    blame.

    Raises `UsageError` with what is meant, as far as that can be guessed, and what there is.
    """
    cause, separator, place = text.strip().partition("@")
    host, slash, narrowed = place.partition("/")
    if cause not in CAUSES:
        raise UsageError(f"The lab cannot make the fault {cause!r}.", _perhaps(cause, CAUSES), _list("Faults", CAUSES))
    fitting = [fault for fault in FAULTS if fault.cause == cause]
    hosts = tuple(host for fault in fitting for host in fault.hosts)
    offer = f"Write {_either([f'{cause}@{name}' for name in hosts])}."
    if not separator or not host:
        raise UsageError(f"The fault {cause!r} needs a host.", "", offer)
    for fault in fitting:
        if host in fault.hosts:
            return _narrowed(Made(fault, host), narrowed) if slash else Made(fault, host)
    for fault in fitting:
        if host == fault.blamed and len(fault.hosts) == 1:
            return _narrowed(Made(fault, fault.hosts[0]), narrowed) if slash else Made(fault, fault.hosts[0])
    known = (*(one.name for one in network.HOSTS), STRANGER)
    if host not in known:
        raise UsageError(f"The lab has no host {host!r}.", _perhaps(host, known), offer)
    raise UsageError(f"{cause} makes no sense on {host}.", fitting[0].why, offer)


def _narrowed(made: Made, text: str) -> Made:
    """The same on one VIP, or on one service of it: `10.0.0.11/tcp/8080`; a fault of services takes the VIP's first."""
    vip, slash, service = text.partition("/")
    if not made.fault.narrow:
        raise UsageError(f"{made.name} affects the whole host, not one VIP.", "", f"Write {made.name}.")
    offered = network.SERVICES
    if vip not in offered:
        raise UsageError(f"The lab has no VIP {vip!r}.", _perhaps(vip, tuple(offered)), f"Write {_either([*offered])}.")
    if made.fault.narrow == "vip":
        if slash:
            raise UsageError(f"{made.name} affects a whole VIP, not one service.", "", f"Write {made.name}/{vip}.")
        return replace(made, vip=vip)
    services = [f"{protocol}/{port}" for protocol, port in offered[vip]]
    if slash and service not in services:
        raise UsageError(
            f"The lab serves no {service!r} on {vip}.", _perhaps(service, services), f"Write {_either(services)}."
        )
    return replace(made, vip=vip, service=service or services[0])


def parse_all(texts: Sequence[str]) -> list[Made]:
    """All of them; raises `UsageError` for the first that is none, and for one named twice."""
    found: list[Made] = []
    for text in texts:
        made = parse(text)
        if made in found:
            raise UsageError(f"{made.name} is named twice.", "", "Name each fault once.")
        found.append(made)
    return found


def _perhaps(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"Did you mean {near[0]}?" if near else ""


def _list(what: str, words: Sequence[str]) -> str:
    return f"{what}: {', '.join(words)}."


def _either(words: Sequence[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]]))
