"""Settings of other people under which every client is served: `healthy:VARIANT@HOST`. Nothing may fail for them.

They are what published guides, distributions, containers and careful administrators leave on machines.
"""

from __future__ import annotations

from backends.lab import network, recipe
from backends.lab.making import (
    BASE,
    DIRECTOR,
    HEALTHY,
    HOLDS_VIP,
    NO_VIP,
    ROUTER,
    RUNS,
    RUNS_NOT,
    SERVERS,
    Action,
    LabFault,
    on_trunk,
)

SECOND_ROUTER = f"{network.ROUTER.address.rpartition('.')[0]}.254"
BOGONS = "0.0.0.0/8 192.0.2.0/24 198.51.100.0/24 240.0.0.0/4"
"""Of published lists; 203.0.113.0/24, where the lab's clients are, cannot be among them here."""


def _odd(
    variant: str,
    why: str,
    *actions: Action,
    hosts: tuple[str, ...] = SERVERS,
    needs: str = "",
    lacks: str = "",
    serving: int = len(SERVERS),
) -> LabFault:
    return LabFault(HEALTHY, hosts, why, actions, needs, lacks, variant=variant, users="all", serving=serving)


def _on(make: str, mend: str, at: str = "") -> Action:
    return Action(at, make, f"{mend}; true")


def _set(keys: dict[str, int]) -> Action:
    """Kernel settings, as they were afterwards."""
    values = " ".join(f"{key}={value}" for key, value in keys.items())
    return Action("", f"sysctl {' '.join(keys)} && sysctl -qw {values}", 'echo "$KEPT" | sysctl -qp -')


def _rules(*rules: str, table: str = "filter") -> Action:
    make = " && ".join(f"iptables-legacy -t {table} -A {rule}" for rule in rules)
    return _on(make, "; ".join(f"iptables-legacy -t {table} -D {rule} 2>/dev/null" for rule in rules))


def _written(edit: str) -> Action:
    """Another deployment, applied: the lab's file with what sed makes of it."""
    file, apply = recipe.DEPLOYMENT_FILE, '"$PYTHON" -m dsrwizard apply'
    kept = "/lab/kept.toml"
    return Action(
        DIRECTOR, f"cp -p {file} {kept} && sed -i -E {edit} {file} && {apply} {file} --yes",
        f"[ ! -e {kept} ] || {{ mv {kept} {file} && {apply} {file} --yes; }}",
    )  # fmt: skip


_ALL, _ETH = "net.ipv4.conf.all.", "net.ipv4.conf.eth0."
_WELCOME = (
    "INPUT -i lo -j ACCEPT",
    "INPUT -p icmp -j ACCEPT",
    "INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
    "INPUT -p tcp --dport 22 -j ACCEPT",
)
_NO_VIP_HERE = "ip addr del $VIP/32 dev lo"
_VIP_HERE = "ip addr replace $VIP/32 dev lo"
_OURS = "mkdir -p /root/ours && mv /etc/sysctl.d/*dsrwizard* /root/ours/"
_OURS_AGAIN = "mv /root/ours/* /etc/sysctl.d/ 2>/dev/null; rmdir /root/ours 2>/dev/null"


def _policy_drop(*accepts: str) -> Action:
    rules = (*_WELCOME, *accepts)
    make = " && ".join(f"iptables-legacy -A {rule}" for rule in rules)
    undo = "; ".join(f"iptables-legacy -D {rule} 2>/dev/null" for rule in rules)
    return _on(f"{make} && iptables-legacy -P INPUT DROP", f"iptables-legacy -P INPUT ACCEPT; {undo}")


HEALTHY_SETTINGS: tuple[LabFault, ...] = (
    # What production drops on purpose.
    _odd("bogon-input", "Rules drop the published bogon ranges, documentation networks among them.", _on(
        f"for n in {BOGONS}; do iptables-legacy -A INPUT -s $n -j DROP; done",
        f"for n in {BOGONS}; do iptables-legacy -D INPUT -s $n -j DROP 2>/dev/null; done",
    )),
    _odd("bogon-raw", "The raw table drops the published bogon ranges.", _on(
        f"for n in {BOGONS}; do iptables-legacy -t raw -A PREROUTING -s $n -j DROP; done",
        f"for n in {BOGONS}; do iptables-legacy -t raw -D PREROUTING -s $n -j DROP 2>/dev/null; done",
    )),
    _odd("bogon-blackhole", "Blackhole routes take the published bogon ranges.", _on(
        f"for n in {BOGONS}; do ip route add blackhole $n; done",
        f"for n in {BOGONS}; do ip route del blackhole $n 2>/dev/null; done",
    )),
    _odd("bogon-port", "The switch drops documentation networks as sources at the director's port.", _on(
        "tc qdisc add dev $CABLE clsact && for n in 192.0.2.0/24 198.51.100.0/24; do tc filter add dev $CABLE ingress "
        "protocol ip flower src_ip $n action drop; done",
        "tc qdisc del dev $CABLE clsact 2>/dev/null", BASE,
    ), hosts=(DIRECTOR,)),
    # Guards of other styles.
    _odd("arp-ignore-2", "The guard is arp_ignore=2.", _set({_ALL + "arp_ignore": 2, _ETH + "arp_ignore": 2})),
    _odd("arp-ignore-3", "The guard is arp_ignore=3, and the VIP has scope host.",
         _on(f"{_NO_VIP_HERE} && ip addr add $VIP/32 dev lo scope host", f"{_NO_VIP_HERE}; {_VIP_HERE}"),
         _set({_ALL + "arp_ignore": 3, _ETH + "arp_ignore": 3}), needs=HOLDS_VIP, lacks=NO_VIP),
    _odd("guard-on-eth0", "The guard is set on the interface alone.", _set({
        _ALL + "arp_ignore": 0, _ALL + "arp_announce": 0, _ETH + "arp_ignore": 1, _ETH + "arp_announce": 2,
    })),
    _odd("guard-on-all", "The guard is set for all interfaces alone.", _set({
        _ETH + "arp_ignore": 0, _ETH + "arp_announce": 0, _ALL + "arp_ignore": 1, _ALL + "arp_announce": 2,
    })),
    _odd("arp-filter", "A filter of the interface drops questions for the VIP, and arp_ignore is 0.", _on(
        "tc qdisc add dev eth0 clsact && tc filter add dev eth0 ingress protocol arp flower arp_tip $VIP action drop",
        "tc qdisc del dev eth0 clsact",
    ), _set({_ALL + "arp_ignore": 0, _ETH + "arp_ignore": 0})),
    _odd("dummy", "The VIP is on a dummy interface.", _on(
        f"ip link add dummy0 type dummy && ip link set dummy0 up && {_NO_VIP_HERE} && ip addr add $VIP/32 dev dummy0",
        f"ip link del dummy0 2>/dev/null; {_VIP_HERE}",
    ), needs=HOLDS_VIP, lacks=NO_VIP),
    _odd("label", "The VIP is on lo with the label lo:0.", _on(
        f"{_NO_VIP_HERE} && ip addr add $VIP/32 dev lo label lo:0", f"{_NO_VIP_HERE}; {_VIP_HERE}",
    ), needs=HOLDS_VIP, lacks=NO_VIP),
    _odd("scope-host", "The VIP has scope host.", _on(
        f"{_NO_VIP_HERE} && ip addr add $VIP/32 dev lo scope host", f"{_NO_VIP_HERE}; {_VIP_HERE}",
    ), needs=HOLDS_VIP, lacks=NO_VIP),
    _odd("any-ip", "A local route takes the VIP, no address does.", _on(
        f"{_NO_VIP_HERE} && ip route add local $VIP/32 dev lo", f"ip route del local $VIP/32 dev lo; {_VIP_HERE}",
    ), needs=HOLDS_VIP, lacks=NO_VIP),
    _odd("redirect", "REDIRECT takes the VIP's packets, no address does.", _on(
        f"{_NO_VIP_HERE} && iptables-legacy -t nat -A PREROUTING -p tcp -d $VIP --dport 80 -j REDIRECT",
        f"iptables-legacy -t nat -D PREROUTING -p tcp -d $VIP --dport 80 -j REDIRECT; {_VIP_HERE}",
    ), needs=HOLDS_VIP, lacks=NO_VIP),
    _odd("redirect-port", "REDIRECT sends port 80 to 8080, where the application listens.", _on(
        "iptables-legacy -t nat -A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080",
        "iptables-legacy -t nat -D PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080 2>/dev/null",
    ), needs=RUNS, lacks=RUNS_NOT),
    # Who persists it.
    _odd("rc-local", "rc.local keeps guard and VIP over a reboot.", _on(
        f"{_OURS}; mkdir -p /root/ifs && mv /etc/network/interfaces.d/*dsrwizard* /root/ifs/; "
        "printf '#!/bin/sh\\nip addr add %s/32 dev lo label lo:0\\n"
        "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore\\necho 2 >/proc/sys/net/ipv4/conf/all/arp_announce\\n"
        "echo 1 >/proc/sys/net/ipv4/conf/lo/arp_ignore\\necho 2 >/proc/sys/net/ipv4/conf/lo/arp_announce\\n"
        "exit 0\\n' $VIP >/etc/rc.local && chmod 755 /etc/rc.local",
        f"rm -f /etc/rc.local; mv /root/ifs/* /etc/network/interfaces.d/; rmdir /root/ifs; {_OURS_AGAIN}",
    )),
    _odd("sysctl-conf", "/etc/sysctl.conf keeps the guard over a reboot.", _on(
        f"{_OURS}; [ ! -e /etc/sysctl.conf ] || mv /etc/sysctl.conf /etc/sysctl.conf.away; "
        "printf 'net.ipv4.conf.all.arp_ignore = 1\\nnet.ipv4.conf.all.arp_announce = 2\\n' >/etc/sysctl.conf",
        f"rm -f /etc/sysctl.conf; [ ! -e /etc/sysctl.conf.away ] || mv /etc/sysctl.conf.away /etc/sysctl.conf; "
        f"{_OURS_AGAIN}",
    )),
    _odd("other-sysctls", "A later file of sysctl.d sets other things, and the guard as it is.", _on(
        "printf 'net.core.somaxconn = 1024\\nvm.swappiness = 10\\nnet.ipv4.conf.all.arp_ignore = 1\\n' "
        ">/etc/sysctl.d/zzzz-site.conf", "rm -f /etc/sysctl.d/zzzz-site.conf",
    )),
    _odd("tuned", "A profile of tuned sets the guard to nothing, and tuned reads sysctl.d again after it.", _on(
        "mkdir -p /etc/tuned/lab && echo lab >/etc/tuned/active_profile && "
        "printf '[sysctl]\\nnet.ipv4.conf.all.arp_ignore=0\\n' >/etc/tuned/lab/tuned.conf",
        "rm -rf /etc/tuned",
    )),
    # Packet filters that let clients in.
    _odd("default-drop", "The policy drops, and a rule lets everybody in on port 80.",
         _policy_drop("INPUT -p tcp --dport 80 -j ACCEPT")),
    _odd("default-drop-multiport", "The policy drops, and a chain of its own lets the VIP's ports in.", _on(
        "iptables-legacy -N services && iptables-legacy -A services -p tcp -m multiport --dports 80,443 -j ACCEPT",
        "iptables-legacy -F services 2>/dev/null; iptables-legacy -X services 2>/dev/null",
    ), _policy_drop("INPUT -j services")),
    _odd("director-default-drop", "The director's policy drops, and rules let clients in.",
         _policy_drop("INPUT -s 10.0.0.0/24 -j ACCEPT", "INPUT -d $VIP -p tcp --dport 80 -j ACCEPT"),
         hosts=(DIRECTOR,)),
    _odd("rate-limit", "More than a thousand new connections a second are dropped.", _rules(
        "INPUT -p tcp --dport 80 --syn -m limit --limit 1000/second --limit-burst 1000 -j ACCEPT",
        "INPUT -p tcp --dport 80 --syn -j DROP",
    )),
    _odd("connlimit", "A client gets two hundred connections at a time.", _rules(
        "INPUT -p tcp --dport 80 --syn -m connlimit --connlimit-above 200 -j REJECT",
    )),
    _odd("invalid", "The server drops what its connection tracking calls invalid.", _rules(
        "INPUT -m conntrack --ctstate INVALID -j DROP",
    )),
    _odd("director-invalid", "The director drops what its connection tracking calls invalid.", _rules(
        "INPUT -m conntrack --ctstate INVALID -j DROP",
    ), hosts=(DIRECTOR,)),
    _odd("director-forward-drop", "The director forwards nothing but what IPVS does.", _on(
        "iptables-legacy -P FORWARD DROP", "iptables-legacy -P FORWARD ACCEPT",
    ), hosts=(DIRECTOR,)),
    _odd("docker", "The chains, the bridge and the masquerading of Docker.", _on(
        "ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up && "
        "iptables-legacy -t nat -N DOCKER && iptables-legacy -t nat -A PREROUTING -m addrtype --dst-type LOCAL "
        "-j DOCKER && iptables-legacy -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE && "
        "iptables-legacy -t nat -A DOCKER -i docker0 -j RETURN && iptables-legacy -N DOCKER-USER && "
        "iptables-legacy -A DOCKER-USER -j RETURN && iptables-legacy -A FORWARD -j DOCKER-USER && "
        "iptables-legacy -P FORWARD DROP",
        "iptables-legacy -P FORWARD ACCEPT; iptables-legacy -D FORWARD -j DOCKER-USER; iptables-legacy -F DOCKER-USER; "
        "iptables-legacy -X DOCKER-USER; iptables-legacy -t nat -F; iptables-legacy -t nat -X DOCKER; "
        "ip link del docker0",
    )),
    _odd("director-docker", "The director has a container published on another port.", _on(
        "iptables-legacy -t nat -N DOCKER && iptables-legacy -t nat -A PREROUTING -m addrtype --dst-type LOCAL "
        "-j DOCKER && iptables-legacy -t nat -A DOCKER -p tcp --dport 9000 -j DNAT --to-destination 172.17.0.2:9000",
        "iptables-legacy -t nat -F; iptables-legacy -t nat -X DOCKER",
    ), hosts=(DIRECTOR,)),
    _odd("container", "The application runs in a container that is published everywhere.", _on(
        "lab-service stop tcp/80 && iptables-legacy -t nat -A PREROUTING -p tcp --dport 80 -m addrtype "
        "--dst-type LOCAL -j REDIRECT --to-ports 8080",
        "iptables-legacy -t nat -D PREROUTING -p tcp --dport 80 -m addrtype --dst-type LOCAL -j REDIRECT --to-ports "
        "8080 2>/dev/null; lab-service start tcp/80",
    ), needs=RUNS, lacks=RUNS_NOT),
    # Several NICs, routing tables and routers.
    _odd("second-nic", "A storage network with a routing table and a rule of its own.", _on(
        "ip link add san0 type dummy && ip link set san0 up && ip addr add 192.168.77.5/24 dev san0 && "
        "ip rule add from 192.168.77.5 lookup 77 && ip route add default via 192.168.77.1 dev san0 table 77",
        "ip rule del from 192.168.77.5 lookup 77; ip route flush table 77; ip link del san0",
    )),
    _odd("second-router", "A policy route sends the VIP's replies by another router of the network.", _on(
        f"ip addr add {SECOND_ROUTER}/24 dev eth0", f"ip addr del {SECOND_ROUTER}/24 dev eth0 2>/dev/null", ROUTER,
    ), _on(
        f"ip rule add from $VIP lookup 78 && ip route add default via {SECOND_ROUTER} dev eth0 table 78",
        "ip rule del from $VIP lookup 78; ip route flush table 78",
    )),
    _odd("own-table", "A rule sends the VIP's replies by a table with the same router.", _on(
        f"ip rule add from $VIP lookup 79 && ip route add default via {network.ROUTER.address} dev eth0 table 79",
        "ip rule del from $VIP lookup 79; ip route flush table 79",
    )),
    _odd("strict-rp-filter", "Strict rp_filter, and one way in and out.", _set({_ALL + "rp_filter": 1,
                                                                                 _ETH + "rp_filter": 1})),
    _odd("loose-rp-filter", "Loose rp_filter, as distributions set it.", _set({_ALL + "rp_filter": 2,
                                                                               _ETH + "rp_filter": 2})),
    _odd("director-strict-rp-filter", "Strict rp_filter on the director, and one way in and out.",
         _set({_ALL + "rp_filter": 1, _ETH + "rp_filter": 1}), hosts=(DIRECTOR,)),
    _odd("forwarding", "The server forwards packets for others and filters ARP by route.",
         _set({"net.ipv4.ip_forward": 1, _ALL + "arp_filter": 1})),
    _odd("no-redirects", "A hardened server: no redirects, no source routes, no timestamps.", _set({
        _ALL + "accept_redirects": 0, _ALL + "send_redirects": 0, _ALL + "accept_source_route": 0,
        "net.ipv4.tcp_timestamps": 0, "net.ipv4.tcp_syncookies": 1, "net.ipv4.icmp_echo_ignore_broadcasts": 1,
    })),
    _odd("mute-ping", "The server does not answer ping.", _set({"net.ipv4.icmp_echo_ignore_all": 1})),
    _odd("ttl", "Another TTL than the others', as on another system.", _set({"net.ipv4.ip_default_ttl": 128})),
    _odd("other-vip", "The server serves a VIP of another balancer, too.", _on(
        "ip addr add 10.0.0.77/32 dev lo", "ip addr del 10.0.0.77/32 dev lo",
    )),
    _odd("static-gateway", "The router's MAC is a static entry, the right one.", _on(
        f"ip neigh replace {network.ROUTER.address} lladdr {network.ROUTER.mac} dev eth0 nud permanent",
        f"ip neigh del {network.ROUTER.address} dev eth0",
    )),
    _odd("slow", "The server is far: every packet of its takes twenty milliseconds.", _on(
        "tc qdisc add dev eth0 root netem delay 20ms", "tc qdisc del dev eth0 root",
    )),
    _odd("mtu", "All machines of the network have an MTU of 1400.", *(
        _on("ip link set eth0 mtu 1400", "ip link set eth0 mtu 1500", at)
        for at in (ROUTER, DIRECTOR, *SERVERS)
    ), hosts=(ROUTER,)),
    # The director beside its own service.
    _odd("static-rip", "The server's MAC is a static entry of the director, the right one.", _on(
        "mac=02:00:0a:00:00:$(printf %02x ${RIP##*.}); ip neigh replace $RIP lladdr $mac dev eth0 nud permanent",
        "ip neigh del $RIP dev eth0", DIRECTOR,
    )),
    _odd("other-services", "IPVS has other services: another port of the VIP, and another VIP by masquerading.", _on(
        "ipvsadm -A -t $VIP:8443 -s wlc && ipvsadm -a -t $VIP:8443 -r 10.0.0.101:8443 -g && "
        "ipvsadm -A -t 10.0.0.77:80 -s wrr -p 60 && ipvsadm -a -t 10.0.0.77:80 -r 10.0.0.9:80 -m",
        "ipvsadm -D -t $VIP:8443; ipvsadm -D -t 10.0.0.77:80",
    ), hosts=(DIRECTOR,)),
    _odd("other-marks", "A firewall mark of another VIP, with a service.", _on(
        "iptables-legacy -t mangle -A PREROUTING -d 10.0.0.77 -p tcp --dport 80 -j MARK --set-mark 5 && "
        "ipvsadm -A -f 5 -s rr && ipvsadm -a -f 5 -r 10.0.0.9 -g",
        "ipvsadm -D -f 5; iptables-legacy -t mangle -D PREROUTING -d 10.0.0.77 -p tcp --dport 80 -j MARK --set-mark 5 "
        "2>/dev/null",
    ), hosts=(DIRECTOR,)),
    _odd("port-zero", "A service for all other ports of the VIP: IPVS asks it last.", _on(
        "ipvsadm -A -t $VIP:0 -s rr -p 300 && ipvsadm -a -t $VIP:0 -r 10.0.0.101 -g", "ipvsadm -D -t $VIP:0",
    ), hosts=(DIRECTOR,)),
    _odd("second-nic", "The director has a second NIC with a network of its own.", _on(
        "ip link add mgmt0 type dummy && ip link set mgmt0 up && ip addr add 192.168.78.2/24 dev mgmt0",
        "ip link del mgmt0",
    ), hosts=(DIRECTOR,)),
    # Other deployments than the lab's own.
    _odd("drained", "The deployment drains the server: its weight is 0 in the file and in IPVS.",
         _written("""'/^name = "'$HOST'"/a weight = 0'"""), serving=len(SERVERS) - 1),
    _odd("unequal-weights", "The servers have the weights 1, 2 and 3.", _written(
        """-e '/^name = "web2"/a weight = 2' -e '/^name = "web3"/a weight = 3' -e 's/"rr"/"wrr"/'"""
    ), hosts=(DIRECTOR,)),
    _odd("persistence", "Clients stay at their server for five minutes, as the deployment says.", _written(
        """'s/^scheduler = "rr"/&\\npersistence = 300/'"""
    ), hosts=(DIRECTOR,), serving=1),
    _odd("ipv6", "The VIP has an IPv6 one beside it.", _written(
        """-e 's/^address = "10\\.0\\.0\\.(10[0-9])"/&\\naddress6 = "fd00:10::\\1"/' """
        """-e '0,/^\\[\\[servers/s//[[vips]]\\naddress = "fd00:10::10"\\n[[vips.services]]\\nport = 80\\n"""
        """scheduler = "rr"\\n\\n&/'"""
    ), hosts=(DIRECTOR,)),
    _odd("vlan", "The server's switch port is a trunk, and its addresses are on a VLAN interface.", *on_trunk()),
    _odd("vip-on-vlan", "The VIP is on a VLAN interface that nothing else uses.", _on(
        f"ip link add link eth0 name eth0.77 type vlan id 77 && ip link set eth0.77 up && {_NO_VIP_HERE} && "
        "ip addr add $VIP/32 dev eth0.77", f"ip link del eth0.77 2>/dev/null; {_VIP_HERE}",
    ), needs=HOLDS_VIP, lacks=NO_VIP),
)  # fmt: skip
