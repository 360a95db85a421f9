"""The faults the lab can make, at least one for each cause: on which hosts, why it hurts, how it comes and goes.

Causes and words are those of `verify`. What the scripts do is what goes wrong in the field: nothing is simulated, the
lab's hosts are really wrong until the fault is mended. Other ways to the same causes are in `variants`.
"""

from __future__ import annotations

from backends.lab import network
from backends.lab.making import (
    BASE,
    CLIENT,
    DIRECTOR,
    HAS_SERVICE,
    HOLDS_VIP,
    IN_SERVICE,
    KEEP_DESTINATION,
    KEEP_VIP,
    MEND_DESTINATION,
    NO_SERVICE,
    NO_VIP,
    NOT_IN_SERVICE,
    ROUTER,
    RUNS,
    RUNS_NOT,
    SERVERS,
    STRANGER,
    STRANGER_ADDRESS,
    STRANGER_MAC,
    Action,
    LabFault,
    set_sysctls,
)

PEER = network.directors(network.PAIR)[1].name
"""The other director, where there are two."""

_RUNS_KEEPALIVED = "kill -0 $(cat /run/keepalived.pid 2>/dev/null) 2>/dev/null"

FAULTS: tuple[LabFault, ...] = (
    LabFault(
        "unreachable", SERVERS, "The server's cable is pulled: it does not answer at its address.",
        (Action(BASE, "ip link set $CABLE down", "ip link set $CABLE up"),),
    ),
    LabFault(
        "not-on-link", SERVERS, "The server is behind a router of its own: no frame for the VIP gets there.",
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
                DIRECTOR, f"ip route add $RIP/32 via {network.ROUTER.address}; ip neigh flush to $RIP",
                "ip route del $RIP/32 2>/dev/null; ip neigh flush to $RIP",
            ),
            Action("", "ip neigh flush dev eth0", "ip neigh flush dev eth0"),
        ),
    ),
    LabFault(
        "service-down", SERVERS, "The service is stopped: nothing listens on its port.",
        (Action(
            "", "lab-service stop $ONE",
            "if [ $ONE ]; then lab-service start $ONE; else lab-service stop; lab-service start; fi",
        ),),
        RUNS, RUNS_NOT, narrow="service",
    ),
    LabFault(
        "rip-only-listener", SERVERS, "The service listens on the server's own address, not on the VIP.",
        (Action(
            "",
            "if [ -z $ONE ]; then lab-service stop; lab-service start $RIP; else lab-service bind $ONE "
            "$(ip -o addr show scope global | sed 's/.* inet6* //; s/[/ ].*//' | grep -vxF $VIP | paste -sd,); fi",
            "if [ $ONE ]; then lab-service start $ONE; else lab-service stop; lab-service start; fi",
        ),),
        RUNS, RUNS_NOT, narrow="service",
    ),
    LabFault(
        "vip-missing", SERVERS, "The VIP is not on the server, so the server drops or returns packets for it.",
        (Action("", KEEP_VIP, "ip addr replace $KEPT"),), HOLDS_VIP, NO_VIP, narrow="vip",
    ),
    LabFault(
        "vip-prefix", SERVERS, "The VIP is on the server as /30, so it treats its neighbours' addresses as its own.",
        (Action(
            "", f"{KEEP_VIP} && ip addr add $VIP/$WIDE dev $2",
            "set -- $KEPT; ip addr del $VIP/$WIDE dev $3 2>/dev/null; ip addr replace $KEPT",
        ),),
        HOLDS_VIP, NO_VIP, narrow="vip",
    ),
    LabFault(
        "arp-leak", SERVERS, "arp_ignore is off: the server answers ARP for the VIP and takes the director's traffic.",
        (set_sysctls("arp_ignore", 0),), HOLDS_VIP, NO_VIP, learned=True,
    ),
    LabFault(
        "arp-announce", SERVERS, "arp_announce is off: the server uses the VIP as sender in its own ARP requests.",
        (set_sysctls("arp_announce", 0),), HOLDS_VIP, NO_VIP, learned=True,
    ),
    LabFault(
        "arp-mismatch", SERVERS, "The server claims in ARP that the VIP is at another server's MAC.",
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
        "rp-filter", SERVERS,
        "The route back to clients uses a second interface, and strict rp_filter drops what arrives on the first.",
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
                "sysctl -qw net.ipv4.conf.eth0.rp_filter=1",
                "sysctl -qw net.ipv4.conf.eth0.rp_filter=0; ip route replace $KEPT; ip link del out0 2>/dev/null; true",
            ),
        ),
    ),
    LabFault(
        "firewall", SERVERS, "A filter on the server drops packets to the VIP; its own address stays open.",
        (Action(
            "", "$IPTABLES -I INPUT -d $VIP -p $PROTOCOL --dport $PORT -j DROP",
            "$IPTABLES -D INPUT -d $VIP -p $PROTOCOL --dport $PORT -j DROP 2>/dev/null; true",
        ),),
        narrow="service",
    ),
    LabFault(
        "gateway", SERVERS, "The server's default gateway is the director, which drops replies from its own VIP.",
        (Action(
            "", "ip $FAMILY route show default; ip $FAMILY route replace default via $DIP dev eth0",
            "ip $FAMILY route replace $KEPT",
        ),),
        narrow="vip",
    ),
    LabFault(
        "spoof-filter", SERVERS, "The switch drops what the server's port sends from an address that is not its own.",
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
        blamed=DIRECTOR, narrow="vip", learned=True,
    ),
    LabFault(
        "stale-arp", (ROUTER,), "The router still has another MAC for the VIP, as after a failover it missed.",
        (Action(
            "",
            # As long as hardware routers keep an entry: this one would look again after half a minute.
            "sysctl -n $SYSCTL.neigh.eth0.base_reachable_time_ms && "
            "sysctl -qw $SYSCTL.neigh.eth0.base_reachable_time_ms=14400000 && "
            "ip neigh replace $VIP lladdr 02:00:5e:00:53:01 dev eth0 nud reachable",
            "sysctl -qw $SYSCTL.neigh.eth0.base_reachable_time_ms=$KEPT; ip neigh flush to $VIP",
        ),),
        blamed=CLIENT, narrow="vip",
    ),
    LabFault(
        "not-persistent", SERVERS, "The guard is active but not saved in a file: it is gone after the next reboot.",
        (Action(
            "", "cd /etc/sysctl.d && mv zzz-dsrwizard.conf zzz-dsrwizard.conf.away",
            "cd /etc/sysctl.d && if [ -e zzz-dsrwizard.conf ]; then rm -f zzz-dsrwizard.conf.away; "
            "else mv zzz-dsrwizard.conf.away zzz-dsrwizard.conf; fi",
        ),),
        "[ -e /etc/sysctl.d/zzz-dsrwizard.conf ]", "dsrwizard keeps no guard there",
    ),
    LabFault(
        "split-brain", (DIRECTOR,), "The directors do not hear each other: both take the VIPs.",
        (
            Action(
                "", "iptables-legacy -I INPUT -p 112 -j DROP",
                "iptables-legacy -D INPUT -p 112 -j DROP 2>/dev/null; true",
            ),
            Action(
                PEER,
                "iptables-legacy -I INPUT -p 112 -j DROP && for n in $(seq 100); do "
                "ip -o addr show to $VIP | grep -q . && exit 0; sleep 0.1; done; exit 1",
                "iptables-legacy -D INPUT -p 112 -j DROP 2>/dev/null; true",
            ),
        ),
        _RUNS_KEEPALIVED, "keepalived does not run, as it does in a lab with two directors", learned=True,
    ),
    LabFault(
        "orphan-vip", (DIRECTOR,), "keepalived was killed with all its processes: nobody takes the VIPs off.",
        (Action(
            "",
            "p=$(cat /run/keepalived.pid) && kill -9 $p $(pgrep -P $p)",
            f"{_RUNS_KEEPALIVED} || {{ ip addr del $VIP/$LENGTH dev eth0 2>/dev/null; rm -f /run/keepalived*.pid; "
            "keepalived; }",
        ),),
        f"{_RUNS_KEEPALIVED} && ip -o addr show to $VIP | grep -q .",
        "keepalived does not run and hold the VIP, as in a lab with two directors", learned=True,
    ),
    LabFault(
        "no-standby", (PEER,), "keepalived was stopped on the other director.",
        (Action("", "kill $(cat /run/keepalived.pid)", f"{_RUNS_KEEPALIVED} || keepalived"),),
        _RUNS_KEEPALIVED, "keepalived does not run, as it does in a lab with two directors", users="all",
    ),
    LabFault(
        "guard-off", (DIRECTOR,), "The deployment file asks for a guard, and nobody runs one.",
        (Action(
            "", r"sed -i 's/^\[director\]$/&\nguard = true/' /lab/shop.toml /lab/rich.toml",
            "sed -i '/^guard = true$/d' /lab/shop.toml /lab/rich.toml",
        ),),
        "[ -z \"$(ls /run/dsrwizard/guard-*.json 2>/dev/null)\" ]", "a guard is or was at work there", users="all",
    ),
    LabFault(
        "ipvs-missing", SERVERS, "The server is missing from the IPVS service.",
        (Action(DIRECTOR, f"{KEEP_DESTINATION} && ipvsadm -d $FLAG $SERVICE -r $REAL:$PORT", MEND_DESTINATION),),
        IN_SERVICE, NOT_IN_SERVICE, DIRECTOR, "service",
    ),
    LabFault(
        "ipvs-missing", (DIRECTOR,), "IPVS does not have the service.",
        (Action(
            "", "ipvsadm -Sn | grep -F -e \"$FLAG $SERVICE \" && ipvsadm -D $FLAG $SERVICE",
            "ipvsadm -D $FLAG $SERVICE 2>/dev/null; echo \"$KEPT\" | ipvsadm -R",
        ),),
        HAS_SERVICE, NO_SERVICE, narrow="service",
    ),
    LabFault(
        "ipvs-differs", SERVERS, "IPVS forwards to the server by tunnel, and the server does not decapsulate.",
        (Action(
            DIRECTOR, f"{KEEP_DESTINATION} && ipvsadm -e $FLAG $SERVICE -r $REAL:$PORT -i", MEND_DESTINATION,
        ),),
        IN_SERVICE, NOT_IN_SERVICE, DIRECTOR, "service",
    ),
    LabFault(
        "ipvs-differs", (DIRECTOR,), "IPVS has the service with another scheduler.",
        (Action(
            "",
            "had=$(ipvsadm -Sn | grep -F -e \"-A $FLAG $SERVICE \" | sed 's/.* -s //') && echo \"$had\" && "
            "case \"$had\" in wrr*) other=rr ;; *) other=wrr ;; esac && ipvsadm -E $FLAG $SERVICE -s $other",
            "ipvsadm -E $FLAG $SERVICE -s $KEPT",
        ),),
        HAS_SERVICE, NO_SERVICE, narrow="service",
    ),
    LabFault(
        "director-vip", (DIRECTOR,), "The VIP is not on the director: clients soon cannot reach it.",
        (Action("", KEEP_VIP, "ip addr replace $KEPT"),), HOLDS_VIP, NO_VIP, narrow="vip", learned=True,
    ),
    LabFault(
        "drained", SERVERS, "The server's weight in IPVS is 0: it gets no new clients.",
        (Action(
            DIRECTOR, f"{KEEP_DESTINATION} && ipvsadm -e $FLAG $SERVICE -r $REAL:$PORT -g -w 0", MEND_DESTINATION,
        ),),
        IN_SERVICE, NOT_IN_SERVICE, DIRECTOR, "service",
    ),
    LabFault(
        "vip-as-source", (DIRECTOR,), "The director's VIP is /24 and its first address: its own packets come from it.",
        (Action(
            "",
            "ip route show default && ip addr del $VIP/$LENGTH dev eth0 && ip addr del $DIP/24 dev eth0 && "
            "ip addr add $VIP/24 dev eth0 && ip addr add $DIP/24 dev eth0 && ip route replace $(ip route show default "
            f"| grep . || echo default via {network.ROUTER.address}) && ip neigh flush dev eth0",
            "ip addr del $VIP/24 dev eth0; ip addr replace $DIP/24 dev eth0; ip addr replace $VIP/$LENGTH dev eth0; "
            "ip route replace $KEPT; ip neigh flush dev eth0",
        ),),
        HOLDS_VIP, NO_VIP,
    ),
    LabFault(
        "director-setting", (DIRECTOR,), "IPVS is set to drop every second packet to defend itself.",
        (Action(
            "", "sysctl net.ipv4.vs.am_droprate net.ipv4.vs.drop_packet && "
            "sysctl -qw net.ipv4.vs.am_droprate=2 net.ipv4.vs.drop_packet=3",
            'echo "$KEPT" | sysctl -qp -',
        ),),
    ),
    LabFault(
        "director-neighbour", SERVERS, "The director has a permanent neighbour entry for the server with another MAC.",
        (Action(
            DIRECTOR, "ip neigh replace $RIP lladdr 02:00:5e:00:53:02 dev eth0 nud permanent",
            "ip neigh del $RIP dev eth0 2>/dev/null; true",
        ),),
        blamed=DIRECTOR,
    ),
    LabFault(
        "second-director", SERVERS, "The server's own IPVS passes packets for the VIP on to another server.",
        (Action(
            "",
            "ipvsadm -A $FLAG $SERVICE -s rr && for rip in 10.0.0.101 10.0.0.102 10.0.0.103; do "
            "[ $rip = $RIP ] || ipvsadm -a $FLAG $SERVICE -r $rip:$PORT -g; done",
            "ipvsadm -D $FLAG $SERVICE 2>/dev/null; true",
        ),),
    ),
    LabFault(
        "duplicate-rip", SERVERS, "Another machine has the server's own address, and the director learns its MAC.",
        (Action(
            BASE,
            f"ip netns add stranger && ip link add vstranger type veth peer name eth0 address {STRANGER_MAC} netns "
            "stranger && ip link set vstranger master br0 up && ip -n stranger link set eth0 up && "
            "ip -n stranger addr add $RIP/24 dev eth0 && { ip netns exec stranger ping -qnc 1 -W 1 $DIP; true; }",
            "ip netns del stranger 2>/dev/null; ip link del vstranger 2>/dev/null; ip netns exec director ip neigh "
            "flush to $RIP; true",
        ),),
    ),
    LabFault(
        "service-hung", SERVERS, "The service is stopped in its tracks: the kernel still accepts connections for it.",
        (Action(
            "", "kill -STOP $(cat /run/lab-service.pid)", "kill -CONT $(cat /run/lab-service.pid) 2>/dev/null; true",
        ),),
        RUNS, RUNS_NOT,
    ),
    LabFault(
        "path-mtu", SERVERS, "Packets of more than 1300 bytes to the server are lost without a word.",
        (Action(
            "", "$IPTABLES -t raw -A PREROUTING -m length --length 1301:65535 -j DROP",
            "$IPTABLES -t raw -D PREROUTING -m length --length 1301:65535 -j DROP 2>/dev/null; true",
        ),),
        users="large",
    ),
)  # fmt: skip
