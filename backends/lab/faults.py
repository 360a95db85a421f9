"""The faults the lab can make: each with its cause, the hosts it makes sense on, why it hurts, how it comes and goes.

Causes and words are those of `verify`. What the scripts do is what goes wrong in the field: nothing is simulated, the
lab's hosts are really wrong until the fault is mended. `backends.lab.inside.mending` runs the scripts.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from backends.lab import network
from dsrwizard.core.errors import UsageError

BASE = "base"
"""Where an action runs that belongs to no host: the guest's own namespaces, which hold the switch of the LAN."""
STRANGER = "stranger"
"""A host of the LAN that is not in the deployment. It comes with its fault and goes with it."""
STRANGER_ADDRESS = "10.0.0.66"
STRANGER_MAC = "02:00:0a:00:00:42"

_SERVERS = tuple(host.name for host in network.SERVERS)
_ROUTER, _DIRECTOR, _CLIENT = network.ROUTER.name, network.DIRECTOR.name, network.CLIENT.name


@dataclass(frozen=True)
class Action:
    """What is done on one host, as scripts for sh.

    Both see $HOST, $RIP, $CABLE (the host's port on the switch), $VIP, $PORT and $SERVICE ($VIP:$PORT). What `make`
    prints is $KEPT in `mend`, which also works when somebody else has mended it already.
    """

    at: str
    """The host; empty: the one the fault is on."""
    make: str
    mend: str


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong on one of `hosts`."""

    cause: str
    hosts: tuple[str, ...]
    why: str
    actions: tuple[Action, ...]
    needs: str = ""
    """A test for sh, run where the first action runs: the fault makes sense only where it holds."""
    lacks: str = ""
    """What is missing where `needs` does not hold."""
    blamed: str = ""
    """The host that `verify` names with the cause; empty: the one it is made on."""


@dataclass(frozen=True)
class Made:
    """A fault on a host, as `CAUSE@HOST` names it."""

    fault: Fault
    host: str

    @property
    def name(self) -> str:
        return f"{self.fault.cause}@{self.host}"

    @property
    def reported(self) -> tuple[str, str]:
        """The cause and the host as `verify` reports them."""
        return self.fault.cause, self.fault.blamed or self.host


_HOLDS_VIP = "ip -o addr show to $VIP | grep -q ."
_NO_VIP = f"{network.VIP} is not there"
_IN_SERVICE = 'ipvsadm -Sn 2>/dev/null | grep -q -e "-t $SERVICE .*-r $RIP:"'
_NOT_IN_SERVICE = "IPVS does not send it anything"
_HAS_SERVICE = 'ipvsadm -Sn 2>/dev/null | grep -q -e "-A -t $SERVICE "'
_NO_SERVICE = f"IPVS has no service {network.VIP}:{network.SERVICE_PORT}"
_KEEP_DESTINATION = 'ipvsadm -Sn | grep -e "-t $SERVICE .*-r $RIP:"'
_MEND_DESTINATION = 'ipvsadm -d -t $SERVICE -r $RIP 2>/dev/null; echo "$KEPT" | ipvsadm -R'
# Where neighbours learned another MAC for the VIP, they keep it for a while: mended means that they have forgotten it.
_FORGET = Action(_ROUTER, ":", "ip neigh flush to $VIP")


def _sysctls(name: str, value: int) -> Action:
    keys = f"net.ipv4.conf.all.{name} net.ipv4.conf.eth0.{name}"
    return Action(
        "", f"sysctl {keys} && sysctl -qw {' '.join(f'{key}={value}' for key in keys.split())}",
        "echo \"$KEPT\" | sysctl -qp -",
    )  # fmt: skip


FAULTS: tuple[Fault, ...] = (
    Fault(
        "unreachable", _SERVERS, "The server's cable is pulled: it does not answer at its address.",
        (Action(BASE, "ip link set $CABLE down", "ip link set $CABLE up"),),
    ),
    Fault(
        "service-down", _SERVERS, "The service is stopped: nothing listens on its port.",
        (Action("", "lab-service stop", "lab-service stop; lab-service start"),),
        "[ -s /run/lab-service.pid ]", "its service does not run",
    ),
    Fault(
        "rip-only-listener", _SERVERS, "The service listens on the server's own address, not on the VIP.",
        (Action("", "lab-service stop; lab-service start $RIP", "lab-service stop; lab-service start"),),
        "[ -s /run/lab-service.pid ]", "its service does not run",
    ),
    Fault(
        "vip-missing", _SERVERS, "The VIP is not on the server, which then drops or returns what it is sent.",
        (Action(
            "", "set -- $(ip -o addr show to $VIP); echo $2 $4; ip addr del $4 dev $2",
            "set -- $KEPT; ip addr replace $2 dev $1",
        ),),
        _HOLDS_VIP, _NO_VIP,
    ),
    Fault(
        "vip-prefix", _SERVERS, "The VIP is on the server as /30: it takes its neighbours' addresses for its own.",
        (Action(
            "", "set -- $(ip -o addr show to $VIP); echo $2 $4; ip addr del $4 dev $2 && ip addr add $VIP/30 dev $2",
            "set -- $KEPT; ip addr del $VIP/30 dev $1 2>/dev/null; ip addr replace $2 dev $1",
        ),),
        _HOLDS_VIP, _NO_VIP,
    ),
    Fault(
        "arp-leak", _SERVERS, "arp_ignore is off: the server answers ARP for the VIP and takes the director's traffic.",
        (_sysctls("arp_ignore", 0), _FORGET), _HOLDS_VIP, _NO_VIP,
    ),
    Fault(
        "arp-announce", _SERVERS, "arp_announce is off: the server names the VIP as sender when it asks for others.",
        (_sysctls("arp_announce", 0), _FORGET), _HOLDS_VIP, _NO_VIP,
    ),
    Fault(
        "rp-filter", _SERVERS,
        "The way back to clients leaves by a second interface, and strict rp_filter drops what comes in by the first.",
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
    Fault(
        "firewall", _SERVERS, "A filter on the server drops packets to the VIP; its own address stays open.",
        (Action(
            "", "iptables-legacy -I INPUT -d $VIP -p tcp --dport $PORT -j DROP",
            "iptables-legacy -D INPUT -d $VIP -p tcp --dport $PORT -j DROP 2>/dev/null; true",
        ),),
    ),
    Fault(
        "gateway", _SERVERS, "The server's default gateway is the director, which drops replies from its own VIP.",
        (Action(
            "", f"ip route show default; ip route replace default via {network.DIRECTOR.address} dev eth0",
            "ip route replace $KEPT",
        ),),
    ),
    Fault(
        "duplicate-vip", (STRANGER,), "A host outside the deployment has the VIP, too, and answers ARP for it.",
        (
            Action(
                BASE,
                f"ip netns add stranger && ip link add vstranger type veth peer name eth0 address {STRANGER_MAC} netns "
                "stranger && ip link set vstranger master br0 up && ip -n stranger link set eth0 up && "
                f"ip -n stranger addr add {STRANGER_ADDRESS}/24 dev eth0 && "
                f"ip -n stranger route add default via {network.ROUTER.address} && "
                "ip -n stranger addr add $VIP/32 dev eth0",
                "ip netns del stranger 2>/dev/null; ip link del vstranger 2>/dev/null; true",
            ),
            _FORGET,
        ),
        blamed=_DIRECTOR,
    ),
    Fault(
        "stale-arp", (_ROUTER,), "The router still has another MAC for the VIP, as after a failover it missed.",
        (Action(
            "",
            # As long as hardware routers keep an entry: this one would look again after half a minute.
            "sysctl -n net.ipv4.neigh.eth0.base_reachable_time_ms && "
            "sysctl -qw net.ipv4.neigh.eth0.base_reachable_time_ms=14400000 && "
            "ip neigh replace $VIP lladdr 02:00:5e:00:53:01 dev eth0 nud reachable",
            "sysctl -qw net.ipv4.neigh.eth0.base_reachable_time_ms=$KEPT; ip neigh flush to $VIP",
        ),),
        blamed=_CLIENT,
    ),
    Fault(
        "not-persistent", _SERVERS, "The guard is in force but in no file: it is gone after the next reboot.",
        (Action(
            "", "cd /etc/sysctl.d && mv 90-dsrwizard.conf 90-dsrwizard.conf.away",
            "cd /etc/sysctl.d && if [ -e 90-dsrwizard.conf ]; then rm -f 90-dsrwizard.conf.away; "
            "else mv 90-dsrwizard.conf.away 90-dsrwizard.conf; fi",
        ),),
        "[ -e /etc/sysctl.d/90-dsrwizard.conf ]", "dsrwizard keeps no guard there",
    ),
    Fault(
        "ipvs-missing", _SERVERS, "IPVS does not have the server behind the service.",
        (Action(_DIRECTOR, f"{_KEEP_DESTINATION} && ipvsadm -d -t $SERVICE -r $RIP", _MEND_DESTINATION),),
        _IN_SERVICE, _NOT_IN_SERVICE, _DIRECTOR,
    ),
    Fault(
        "ipvs-missing", (_DIRECTOR,), "IPVS does not have the service at all.",
        (Action(
            "", "ipvsadm -Sn | grep -e \"-t $SERVICE \" && ipvsadm -D -t $SERVICE",
            "ipvsadm -D -t $SERVICE 2>/dev/null; echo \"$KEPT\" | ipvsadm -R",
        ),),
        _HAS_SERVICE, _NO_SERVICE,
    ),
    Fault(
        "ipvs-differs", _SERVERS, "IPVS forwards to the server by tunnel, which it does not unpack.",
        (Action(
            _DIRECTOR, f"{_KEEP_DESTINATION} && ipvsadm -e -t $SERVICE -r $RIP -i", _MEND_DESTINATION,
        ),),
        _IN_SERVICE, _NOT_IN_SERVICE, _DIRECTOR,
    ),
    Fault(
        "ipvs-differs", (_DIRECTOR,), "IPVS has the service with another scheduler.",
        (Action(
            "",
            "had=$(ipvsadm -Sn | sed -n \"s/^-A -t $SERVICE -s //p\") && echo \"$had\" && "
            "case \"$had\" in wrr*) other=rr ;; *) other=wrr ;; esac && ipvsadm -E -t $SERVICE -s $other",
            "ipvsadm -E -t $SERVICE -s $KEPT",
        ),),
        _HAS_SERVICE, _NO_SERVICE,
    ),
    Fault(
        "director-vip", (_DIRECTOR,), "The director does not hold the VIP: soon no client finds it.",
        (
            Action(
                "", "set -- $(ip -o addr show to $VIP); echo $2 $4; ip addr del $4 dev $2",
                "set -- $KEPT; ip addr replace $2 dev $1",
            ),
            _FORGET,
        ),
        _HOLDS_VIP, _NO_VIP,
    ),
    Fault(
        "drained", _SERVERS, "The server's weight in IPVS is 0: it gets no new clients.",
        (Action(_DIRECTOR, f"{_KEEP_DESTINATION} && ipvsadm -e -t $SERVICE -r $RIP -g -w 0", _MEND_DESTINATION),),
        _IN_SERVICE, _NOT_IN_SERVICE, _DIRECTOR,
    ),
)  # fmt: skip
CAUSES = tuple(dict.fromkeys(fault.cause for fault in FAULTS))


def parse(text: str) -> Made:
    """The fault named `CAUSE@HOST`; the host may be the one to be made wrong or the one `verify` will blame.

    Raises `UsageError` with what is meant, as far as that can be guessed, and what there is.
    """
    cause, separator, host = text.strip().partition("@")
    if cause not in CAUSES:
        raise UsageError(f"The lab cannot make the fault {cause!r}.", _perhaps(cause, CAUSES), _list("Faults", CAUSES))
    fitting = [fault for fault in FAULTS if fault.cause == cause]
    hosts = tuple(host for fault in fitting for host in fault.hosts)
    offer = f"Write {_either([f'{cause}@{name}' for name in hosts])}."
    if not separator or not host:
        raise UsageError(f"The fault {cause!r} needs a host.", "", offer)
    for fault in fitting:
        if host in fault.hosts:
            return Made(fault, host)
    for fault in fitting:
        if host == fault.blamed and len(fault.hosts) == 1:
            return Made(fault, fault.hosts[0])
    known = (*(one.name for one in network.HOSTS), STRANGER)
    if host not in known:
        raise UsageError(f"The lab has no host {host!r}.", _perhaps(host, known), offer)
    raise UsageError(f"{cause} makes no sense on {host}.", fitting[0].why, offer)


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
