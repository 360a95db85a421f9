"""Other ways to the causes of `faults`, as public reports tell them: `CAUSE:VARIANT@HOST`.

Each is what an administrator, a distribution or another product really leaves behind, and none of them is made with
dsrwizard's own means.
"""

from __future__ import annotations

from backends.lab import network
from backends.lab.making import (
    CLIENT,
    DIRECTOR,
    HAS_SERVICE,
    HOLDS_VIP,
    IN_SERVICE,
    KEEP_DESTINATION,
    MEND_DESTINATION,
    NO_SERVICE,
    NO_VIP,
    NOT_IN_SERVICE,
    ROUTER,
    RUNS,
    RUNS_NOT,
    SERVERS,
    Action,
    LabFault,
    on_trunk,
    set_sysctls,
)

GONE = f"{network.ROUTER.address.rpartition('.')[0]}.250"
"""An address of the LAN that nobody has."""


def _rules(*rules: str, at: str = "", table: str = "filter") -> Action:
    """Packet filter rules, each without its command: `A INPUT -j DROP`. They go as they came."""
    make = " && ".join(f"$IPTABLES -t {table} -{rule}" for rule in rules)
    undo = "; ".join(f"$IPTABLES -t {table} -D {_matching(rule)} 2>/dev/null" for rule in rules)
    return Action(at, make, f"{undo}; true")


def _matching(rule: str) -> str:
    return rule.split(maxsplit=1)[1]


def _file(path: str, text: str) -> Action:
    """A file beside those that are there; one of that name comes back."""
    return Action(
        "",
        f"mkdir -p $(dirname {path}); [ ! -e {path} ] || mv {path} {path}.away; printf '{text}' >{path}",
        f"rm -f {path}; [ ! -e {path}.away ] || mv {path}.away {path}; rmdir $(dirname {path}) 2>/dev/null; true",
    )


_OFF = r"net.ipv4.conf.all.arp_ignore = 0\nnet.ipv4.conf.all.arp_announce = 0\n"


VARIANTS: tuple[LabFault, ...] = (
    # The director, before and in IPVS.
    LabFault(
        "firewall", (DIRECTOR,), "A rule of the director drops what clients send to the VIP, before IPVS sees it.",
        (_rules("A INPUT ! -s $DIP -d $VIP -j DROP"),), variant="input", users="none", narrow="vip",
    ),
    LabFault(
        "firewall", (DIRECTOR,), "The director's INPUT chain lets only its own network in: its policy drops clients.",
        (Action(
            "",
            "$IPTABLES -A INPUT -i lo -j ACCEPT && $IPTABLES -A INPUT -s 10.0.0.0/24 ! -d $VIP -j ACCEPT && "
            "$IPTABLES -A INPUT -p icmp -j ACCEPT && "
            "$IPTABLES -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT && "
            "$IPTABLES -A INPUT -p tcp --dport 22 -j ACCEPT && $IPTABLES -P INPUT DROP",
            "$IPTABLES -P INPUT ACCEPT; $IPTABLES -D INPUT -i lo -j ACCEPT; "
            "$IPTABLES -D INPUT -s 10.0.0.0/24 ! -d $VIP -j ACCEPT; $IPTABLES -D INPUT -p icmp -j ACCEPT; "
            "$IPTABLES -D INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT; "
            "$IPTABLES -D INPUT -p tcp --dport 22 -j ACCEPT; true",
        ),),
        variant="policy", users="none",
    ),
    LabFault(
        "firewall", (DIRECTOR,), "A rule in the raw table drops clients' packets as they come in at the director.",
        (_rules("A PREROUTING -i eth0 -d $VIP -p $PROTOCOL --dport $PORT -j DROP", table="raw"),),
        variant="raw", users="none", narrow="service",
    ),
    LabFault(
        "firewall", (DIRECTOR,), "A rule of the director drops what IPVS sends on to the real servers.",
        (_rules("A OUTPUT -o eth0 -d $VIP -p $PROTOCOL --dport $PORT -j DROP"),),
        variant="output", users="none", narrow="service",
    ),
    LabFault(
        "firewall", (DIRECTOR,), "A container of the director's is published on the service's port, and takes clients.",
        (Action(
            "",
            "$IPTABLES -t nat -N DOCKER && $IPTABLES -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER && "
            "$IPTABLES -t nat -A DOCKER -p $PROTOCOL --dport $PORT -j DNAT --to-destination 172.17.0.2:80",
            "$IPTABLES -t nat -D PREROUTING -m addrtype --dst-type LOCAL -j DOCKER; $IPTABLES -t nat -F DOCKER; "
            "$IPTABLES -t nat -X DOCKER; true",
        ),),
        variant="published", users="none",
    ),
    LabFault(
        "director-setting", (DIRECTOR,), "Strict rp_filter on the director, whose route to clients is another NIC.",
        (Action(
            "",
            "ip link add dmz type dummy && ip link set dmz up && ip addr add 192.0.2.2/24 dev dmz && "
            "ip route add 203.0.113.0/24 dev dmz && ip route add 203.0.113.10/32 via 10.0.0.1 table 77 && "
            "ip rule add to 203.0.113.10 ipproto tcp dport 22 lookup 77 && "
            "sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.eth0.rp_filter && "
            "sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1",
            'echo "$KEPT" | sysctl -qp -; ip rule del lookup 77 2>/dev/null; ip route flush table 77; '
            "ip link del dmz 2>/dev/null; true",
        ),),
        variant="rp-filter", users="none", blind=True,
    ),
    LabFault(
        "ipvs-differs", (DIRECTOR,), "IPVS still sends every fourth client to a server that is gone.",
        (Action(
            "", "ipvsadm -a $FLAG $SERVICE -r $FORMER:$PORT -g -w 1",
            "ipvsadm -d $FLAG $SERVICE -r $FORMER:$PORT 2>/dev/null; true",
        ),),
        HAS_SERVICE, NO_SERVICE, variant="extra", narrow="service",
    ),
    LabFault(
        "ipvs-differs", (DIRECTOR,), "A service by firewall mark takes the VIP's packets before the deployment's does.",
        (Action(
            "",
            "$IPTABLES -t mangle -A PREROUTING -d $VIP -p tcp -m multiport --dports $PORT,443 -j MARK --set-mark 7 && "
            "ipvsadm -A -f 7 -s rr -p 300 && ipvsadm -a -f 7 -r 10.0.0.101 -g",
            "ipvsadm -D -f 7 2>/dev/null; $IPTABLES -t mangle -D PREROUTING -d $VIP -p tcp -m multiport "
            "--dports $PORT,443 -j MARK --set-mark 7 2>/dev/null; true",
        ),),
        HAS_SERVICE, NO_SERVICE, variant="fwmark", users="all",
    ),
    LabFault(
        "ipvs-differs", SERVERS, "A threshold keeps all but one connection at a time away from the server.",
        (Action(
            DIRECTOR, f"{KEEP_DESTINATION} && ipvsadm -e $FLAG $SERVICE -r $REAL:$PORT -g -w 1 -x 1 -y 0",
            MEND_DESTINATION,
        ),),
        IN_SERVICE, NOT_IN_SERVICE, DIRECTOR, "service", variant="threshold", users="all",
    ),
    LabFault(
        "ipvs-differs", (DIRECTOR,), "The service keeps clients at their server for ten minutes, a network at a time.",
        (Action(
            "",
            "ipvsadm -Sn | grep -F -e \"-A $FLAG $SERVICE \" | sed 's/.* -s //; s/ .*//' && "
            "ipvsadm -E $FLAG $SERVICE -s rr -p 600 -M $MASK",
            "ipvsadm -E $FLAG $SERVICE -s $KEPT",
        ),),
        HAS_SERVICE, NO_SERVICE, variant="persistent", users="all", narrow="service",
    ),
    LabFault(
        "not-on-link", SERVERS, "A host route left from a move: the director sends the server's packets to a router.",
        (Action(
            DIRECTOR,
            "sysctl net.ipv4.conf.all.accept_redirects net.ipv4.conf.eth0.accept_redirects && "
            "sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.eth0.accept_redirects=0 && "
            f"ip route add $RIP/32 via {network.ROUTER.address}",
            "ip route del $RIP/32 2>/dev/null; echo \"$KEPT\" | sysctl -qp -",
        ),),
        blamed=DIRECTOR, variant="route",
    ),
    LabFault(
        "ipvs-differs", SERVERS, "IPVS forwards to the server by masquerading, as to a server behind NAT.",
        (Action(
            DIRECTOR, f"{KEEP_DESTINATION} && ipvsadm -e $FLAG $SERVICE -r $REAL:$PORT -m", MEND_DESTINATION,
        ),),
        IN_SERVICE, NOT_IN_SERVICE, DIRECTOR, "service", variant="masquerade",
    ),
    LabFault(
        "ipvs-differs", SERVERS, "IPVS gives the server ten times the share that the deployment does.",
        (Action(
            DIRECTOR, f"{KEEP_DESTINATION} && ipvsadm -e $FLAG $SERVICE -r $REAL:$PORT -g -w 10", MEND_DESTINATION,
        ),),
        IN_SERVICE, NOT_IN_SERVICE, DIRECTOR, "service", variant="weight", users="all",
    ),
    LabFault(
        "director-setting", (DIRECTOR,), "Settings that apply made are back at the kernel's own values.",
        (Action(
            "",
            "sysctl net.ipv4.vs.expire_nodest_conn net.ipv4.vs.expire_quiescent_template "
            "net.ipv4.conf.all.send_redirects net.ipv4.conf.eth0.send_redirects && sysctl -qw "
            "net.ipv4.vs.expire_nodest_conn=0 net.ipv4.vs.expire_quiescent_template=0 "
            "net.ipv4.conf.all.send_redirects=1 net.ipv4.conf.eth0.send_redirects=1",
            'echo "$KEPT" | sysctl -qp -',
        ),),
        HAS_SERVICE, NO_SERVICE, variant="drift", users="all",
    ),
    LabFault(
        "director-setting", (DIRECTOR,), "arp_ignore=8: the director answers ARP for none of its addresses.",
        (
            set_sysctls("arp_ignore", 8),
            Action(ROUTER, "ip neigh flush to $VIP", "ip neigh flush to $VIP; ip neigh flush to $DIP"),
        ),
        variant="arp-ignore", users="none",
    ),
    LabFault(
        "vip-as-source", (DIRECTOR,), "The director's route to its servers names the VIP as the source to take.",
        (Action(
            "", "ip route replace $LAN dev eth0 proto kernel scope link src $VIP && ip neigh flush dev eth0",
            "ip route replace $LAN dev eth0 proto kernel scope link src $DIP; ip neigh flush dev eth0",
        ),),
        HOLDS_VIP, NO_VIP, variant="route", users="all",
    ),
    # Real servers.
    LabFault(
        "firewall", SERVERS, "A rule drops clients, because the route back to them uses another interface.",
        (
            Action(
                ROUTER, "ip addr add 10.9.${RIP##*.}.1/24 dev eth0",
                "ip addr del 10.9.${RIP##*.}.1/24 dev eth0 2>/dev/null; true",
            ),
            Action(
                "",
                "ip link add out0 link eth0 type macvlan mode bridge && ip link set out0 up && "
                "ip addr add 10.9.${RIP##*.}.2/24 dev out0 && ip route show default && "
                "ip route replace default via 10.9.${RIP##*.}.1 dev out0 && "
                "$IPTABLES -t raw -A PREROUTING -m rpfilter --invert -j DROP",
                "$IPTABLES -t raw -D PREROUTING -m rpfilter --invert -j DROP 2>/dev/null; ip route replace $KEPT; "
                "ip link del out0 2>/dev/null; true",
            ),
        ),
        variant="rpfilter", blind=True,
    ),
    LabFault(
        "unreachable", SERVERS, "ARP is off on the server's network interface, as guides have it for the loopback.",
        (
            Action("", "ip link set eth0 arp off", "ip link set eth0 arp on"),
            Action(DIRECTOR, "ip neigh flush to $RIP", "ip neigh flush to $RIP"),
        ),
        variant="noarp",
    ),
    LabFault(
        "unreachable", SERVERS, "arp_ignore=8: the server answers ARP for none of its addresses.",
        (set_sysctls("arp_ignore", 8), Action(DIRECTOR, "ip neigh flush to $RIP", "ip neigh flush to $RIP")),
        HOLDS_VIP, NO_VIP, variant="arp-ignore",
    ),
    LabFault(
        "arp-leak", SERVERS, "The server has moved to a VLAN interface, and its guard is for the old one.",
        on_trunk(
            "sysctl -qw net.ipv4.conf.all.arp_ignore=0 net.ipv4.conf.all.arp_announce=0 "
            "net.ipv4.conf.eth0.arp_ignore=1 net.ipv4.conf.eth0.arp_announce=2 net.ipv4.conf.eth0/1.arp_announce=2"
        ),
        variant="vlan", learned=True, users="all",
    ),
    LabFault(
        "gateway", SERVERS, "The server's default route is by a VLAN that its switch port does not carry.",
        (Action(
            "",
            "ip route show default && ip link add link eth0 name eth0.20 type vlan id 20 && ip link set eth0.20 up && "
            "ip addr add 10.20.0.2/24 dev eth0.20 && ip route replace default via 10.20.0.1 dev eth0.20",
            "ip link del eth0.20 2>/dev/null; ip route replace $KEPT",
        ),),
        variant="vlan",
    ),
    LabFault(
        "not-persistent", SERVERS, "/etc/network/interfaces has lost its source line: nothing reads the VIP's file.",
        (Action(
            "", "cp /etc/network/interfaces /root/interfaces.away && sed -i '/^source/d' /etc/network/interfaces",
            "[ ! -e /root/interfaces.away ] || mv /root/interfaces.away /etc/network/interfaces",
        ),),
        "grep -q ^source /etc/network/interfaces && ls /etc/network/interfaces.d/*dsrwizard*",
        "dsrwizard keeps no VIP there", variant="source", users="later",
    ),
    LabFault(
        "service-hung", SERVERS, "The application takes no connection, and as many wait for it as there is room for.",
        (Action(
            "",
            "kill -STOP $(cat /run/lab-service.pid) && \"$PYTHON\" -c 'import socket, sys\n"
            "kept = [socket.socket() for _ in range(200)]\n"
            "for one in kept:\n    one.setblocking(False); one.connect_ex((sys.argv[1], 80))\n' $RIP && "
            "until [ $(ss -Hltn 'sport = :80' | head -n 1 | awk '{print $2}') -gt 128 ]; do sleep 0.1; done",
            "kill -CONT $(cat /run/lab-service.pid) 2>/dev/null; "
            "until [ $(ss -Hltn 'sport = :80' | head -n 1 | awk '{print $2}') -eq 0 ]; do sleep 0.1; done",
        ),),
        RUNS, RUNS_NOT, variant="queue",
    ),
    LabFault(
        "gateway", SERVERS, "The network of the server's containers is the clients', so that replies go there.",
        (Action(
            "",
            "ip link add docker0 type bridge && ip link set docker0 up && ip addr add 203.0.113.1/24 dev docker0",
            "ip link del docker0 2>/dev/null; true",
        ),),
        variant="overlap", blind=True,
    ),
    LabFault(
        "path-mtu", SERVERS, "Replies of more than 1300 bytes are lost on their way to clients, by TCP alone.",
        (Action(
            "", "$IPTABLES -t raw -A OUTPUT -p tcp ! -d $LAN -m length --length 1301:65535 -j DROP",
            "$IPTABLES -t raw -D OUTPUT -p tcp ! -d $LAN -m length --length 1301:65535 -j DROP 2>/dev/null; true",
        ),),
        variant="replies", users="large", blind=True,
    ),
    LabFault(
        "firewall", SERVERS, "The server lets only its own network in: only the balancer talks to it, they thought.",
        (_rules("A INPUT -p $PROTOCOL --dport $PORT ! -s $LAN -j DROP"),), variant="lan-only",
        narrow="service", blind=True,
    ),
    LabFault(
        "firewall", SERVERS, "A rule in the mangle table of the server drops packets to the VIP.",
        (_rules("A PREROUTING -d $VIP -p $PROTOCOL --dport $PORT -j DROP", table="mangle"),),
        variant="mangle", narrow="service",
    ),
    LabFault(
        "not-persistent", SERVERS, "A later file of sysctl.d takes the guard away at the next boot.",
        (_file("/etc/sysctl.d/zzzz-hardening.conf", _OFF),), variant="later-file", users="later",
    ),
    LabFault(
        "not-persistent", SERVERS, "/etc/sysctl.conf, which is applied last, takes the guard away at the next boot.",
        (_file("/etc/sysctl.conf", _OFF),), variant="sysctl-conf", users="later",
    ),
    LabFault(
        "not-persistent", SERVERS, "tuned is told not to read sysctl.d again, and its profile takes the guard away.",
        (
            _file("/etc/tuned/active_profile", r"lab\n"),
            _file("/etc/tuned/tuned-main.conf", r"reapply_sysctl = 0\n"),
            _file(
                "/etc/tuned/lab/tuned.conf",
                r"[sysctl]\nnet.ipv4.conf.all.arp_ignore=0\nnet.ipv4.conf.all.arp_announce=0\n",
            ),
        ),
        variant="tuned", users="later",
    ),
    LabFault(
        "not-persistent", SERVERS, "The file with the VIP is gone from /etc/network/interfaces.d.",
        (Action(
            "", "mkdir -p /root/away && mv /etc/network/interfaces.d/*dsrwizard* /root/away/",
            "mv /root/away/*dsrwizard* /etc/network/interfaces.d/ 2>/dev/null; rmdir /root/away 2>/dev/null; true",
        ),),
        "ls /etc/network/interfaces.d/*dsrwizard*", "dsrwizard keeps no VIP there", variant="snippet", users="later",
    ),
    LabFault(
        "arp-announce", SERVERS, "A script announces the VIP as the server's own every two seconds.",
        (Action(
            "",
            "setsid sh -c 'while :; do arping -qc 1 -U -I eth0 -s $VIP $VIP; sleep 2; done' "
            "</dev/null >/dev/null 2>&1 & echo $!",
            "kill -- -$KEPT 2>/dev/null; kill $KEPT 2>/dev/null; true",
        ),),
        HOLDS_VIP, NO_VIP, narrow="vip", variant="arping", learned=True, users="all",
    ),
    LabFault(
        "arp-leak", SERVERS, "The VIP is on the server's network interface, where another balancer has left it.",
        (Action(
            "", "ip addr del $VIP/$LENGTH dev lo && ip addr add $VIP/$LENGTH dev eth0 $NODAD",
            "ip addr del $VIP/$LENGTH dev eth0 2>/dev/null; ip addr replace $VIP/$LENGTH dev lo $RETIRED",
        ),),
        "ip -o addr show dev lo to $VIP | grep -q .", NO_VIP, narrow="vip", variant="address", learned=True,
        users="all",
    ),
    LabFault(
        "arp-leak", SERVERS, "The VIP is on the server's loopback and, as /24, on its network interface, too.",
        (Action("", "ip addr add $VIP/24 dev eth0", "ip addr del $VIP/24 dev eth0 2>/dev/null; true"),),
        "ip -o addr show dev lo to $VIP | grep -q .", NO_VIP, variant="twice", learned=True, users="all",
    ),
    LabFault(
        "gateway", SERVERS, "A policy route sends the VIP's replies by a gateway that nobody has.",
        (Action(
            "",
            f"ip rule add from $VIP lookup 200 && ip route add default via {GONE} dev eth0 table 200",
            "ip rule del from $VIP lookup 200 2>/dev/null; ip route flush table 200 2>/dev/null; true",
        ),),
        variant="rule",
    ),
    LabFault(
        "gateway", SERVERS, "A policy route of the server throws the VIP's replies away.",
        (Action(
            "", "ip rule add from $VIP lookup 201 && ip route add blackhole default table 201",
            "ip rule del from $VIP lookup 201 2>/dev/null; ip route flush table 201 2>/dev/null; true",
        ),),
        variant="blackhole",
    ),
    LabFault(
        "rip-only-listener", SERVERS, "A container's port is published on the server's own address alone.",
        (Action(
            "",
            "lab-service stop tcp/80 && $IPTABLES -t nat -A PREROUTING -p tcp -d $RIP --dport 80 -j REDIRECT "
            "--to-ports 8080",
            "$IPTABLES -t nat -D PREROUTING -p tcp -d $RIP --dport 80 -j REDIRECT --to-ports 8080 2>/dev/null; "
            "lab-service start tcp/80",
        ),),
        RUNS, RUNS_NOT, variant="published",
    ),
    # Between farm and clients.
    LabFault(
        "spoof-filter", (ROUTER,), "The router tracks connections, sees half of each, and drops the rest as invalid.",
        (
            _rules("A PREROUTING -i eth1 -d $VIP -j CT --notrack", table="raw"),
            _rules("A FORWARD -m conntrack --ctstate INVALID -j DROP"),
        ),
        blamed=CLIENT, variant="stateful", users="none", blind=True,
    ),
    LabFault(
        "spoof-filter", (ROUTER,), "The router drops every reply that comes from the VIP: none is from the director.",
        (_rules("A FORWARD -i eth0 -o eth1 -s $VIP -j DROP"),),
        blamed=CLIENT, variant="replies", users="none", blind=True,
    ),
)  # fmt: skip
