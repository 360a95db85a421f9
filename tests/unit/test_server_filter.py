"""Rule sets that hosts have, and what a real server's make of a client's packet and of the reply.

The samples are shortened from what the programs themselves write: ufw 0.36, firewalld 1.3, Docker 24 and 28, kube-proxy
1.29 (iptables and nftables), csf 14, fail2ban 1.0, crowdsec, and what people write by hand.
"""

from __future__ import annotations

import pytest

from dsrwizard.core.diagnosis.linux.filters import first_packet, into
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.packet_filter import FilterChain
from tests.fakes.filters import chains, input_drops, legacy
from tests.unit.diagnosed import VIP, VIP6
from tests.unit.filtered import Walked, behind, walked

CLIENT, DIRECTOR, NEIGHBOUR = "203.0.113.10", "10.0.0.2", "10.0.0.77"


def table(rules: str, hook: str = "input", policy: str = "accept", family: str = "inet", more: str = "") -> str:
    """A table of nft with one chain at a hook, and whatever else is in it."""
    head = f"type filter hook {hook} priority filter; policy {policy};"
    lines = "\n".join(f"\t\t{rule}" for rule in (head, *filter(None, map(str.strip, rules.splitlines()))))
    return f"nft\ntable {family} mine {{\n{more}\n\tchain base {{\n{lines}\n\t}}\n}}\n"


# -- ufw

UFW = legacy(
    "INPUT -j ufw-before-input", "INPUT -j ufw-after-input", "INPUT -j ufw-reject-input",
    "ufw-before-input -i lo -j ACCEPT", "ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "ufw-before-input -m conntrack --ctstate INVALID -j ufw-logging-deny",
    "ufw-before-input -m conntrack --ctstate INVALID -j DROP",
    "ufw-before-input -p icmp -m icmp --icmp-type 8 -j ACCEPT",
    "ufw-before-input -p udp -m udp --sport 67 --dport 68 -j ACCEPT", "ufw-before-input -j ufw-not-local",
    "ufw-before-input -d 224.0.0.251/32 -p udp -m udp --dport 5353 -j ACCEPT", "ufw-before-input -j ufw-user-input",
    "ufw-not-local -m addrtype --dst-type LOCAL -j RETURN", "ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN",
    "ufw-not-local -m limit --limit 3/min --limit-burst 10 -j ufw-logging-deny", "ufw-not-local -j DROP",
    "ufw-after-input -p udp -m udp --dport 137 -j ufw-skip-to-policy-input",
    "ufw-skip-to-policy-input -j DROP", 'ufw-logging-deny -m limit --limit 3/min -j LOG --log-prefix "[UFW BLOCK] "',
    "ufw-user-input -p tcp -m tcp --dport 22 -j ufw-user-limit-accept",
    "ufw-user-limit-accept -j ACCEPT", "{RULE}",
    policies={"INPUT": "DROP", "FORWARD": "DROP"},
    more=("ufw-before-input", "ufw-after-input", "ufw-reject-input", "ufw-not-local", "ufw-user-input",
          "ufw-skip-to-policy-input", "ufw-logging-deny", "ufw-user-limit-accept"),
)  # fmt: skip
UFW_USER: list[tuple[str, Walked]] = [
    ("ufw-user-input -p tcp -m tcp --dport 80 -j ACCEPT", "open"),
    (
        "ufw-user-input -p tcp -m multiport --dports 80,443 -m comment --comment \"'dapp_Nginx%20Full'\" -j ACCEPT",
        "open",
    ),
    ("ufw-user-input -d 10.0.0.101/32 -p tcp -m tcp --dport 80 -j ACCEPT", "drops"),
    ("ufw-user-input -s 10.0.0.0/24 -p tcp -m tcp --dport 80 -j ACCEPT", "drops"),
    ("ufw-user-input -i eth0 -p tcp -m tcp --dport 80 -j ACCEPT", "open"),
    ("ufw-user-input -i eth1 -p tcp -m tcp --dport 80 -j ACCEPT", "drops"),
    ("ufw-user-input -p tcp -m tcp --dport 443 -j ACCEPT", "drops"),
]


@pytest.mark.parametrize(("rule", "expected"), UFW_USER, ids=[rule for rule, _ in UFW_USER])
def test_ufw(rule: str, expected: Walked) -> None:
    lines = [line.replace("[9:540] -A {RULE}", f"[9:540] -A {rule}") for line in UFW]
    assert walked(behind(chains(lines))) == expected


# -- firewalld

FIREWALLD = """nft
table inet firewalld {
\tchain mangle_PREROUTING {
\t\ttype filter hook prerouting priority mangle + 10; policy accept;
\t\tjump mangle_PREROUTING_ZONES
\t}
\tchain mangle_PREROUTING_ZONES {
\t\tiifname "eth0" goto mangle_PRE_public
\t\tgoto mangle_PRE_public
\t}
\tchain mangle_PRE_public {
\t}
\tchain filter_INPUT {
\t\ttype filter hook input priority filter + 10; policy accept;
\t\tct state { established, related } accept
\t\tct status dnat accept
\t\tiifname "lo" accept
\t\tct state invalid drop
\t\tjump filter_INPUT_ZONES
\t\treject with icmpx admin-prohibited
\t}
\tchain filter_INPUT_ZONES {
\t\tip saddr 10.0.0.0/24 goto filter_IN_internal
\t\tiifname "eth0" goto filter_IN_public
\t\tgoto filter_IN_public
\t}
\tchain filter_IN_internal {
\t\tjump filter_IN_internal_allow
\t\tmeta l4proto { icmp, ipv6-icmp } accept
\t\treject with icmpx admin-prohibited
\t}
\tchain filter_IN_internal_allow {
\t\ttcp dport 80 ct state { new, untracked } accept
\t}
\tchain filter_IN_public {
\t\tjump filter_IN_public_deny
\t\tjump filter_IN_public_allow
\t\tmeta l4proto { icmp, ipv6-icmp } accept
\t\treject with icmpx admin-prohibited
\t}
\tchain filter_IN_public_deny {
\t}
\tchain filter_IN_public_allow {
\t\ttcp dport 22 ct state { new, untracked } accept
\t\tRULE
\t}
\tchain filter_OUTPUT {
\t\ttype filter hook output priority filter + 10; policy accept;
\t\tct state { established, related } accept
\t\toifname "lo" accept
\t\tip6 daddr { ::/96, ::ffff:0.0.0.0/96, 2002:a00::/24 } reject with icmpv6 addr-unreachable
\t}
}
"""


@pytest.mark.parametrize(
    ("rule", "client", "neighbour"),
    [
        ("tcp dport 80 ct state { new, untracked } accept", "open", "open"),
        ("ip daddr 10.0.0.10 tcp dport 80 accept", "open", "open"),
        ("ip daddr 10.0.0.101 tcp dport 80 accept", "drops", "open"),
        ("tcp dport 443 ct state { new, untracked } accept", "drops", "open"),
        ("ip saddr 203.0.113.0/24 tcp dport 80 accept", "open", "open"),
        ("tcp dport 80 limit rate 25/second accept", "undecided", "open"),
    ],
)
def test_firewalld_by_zones_of_sources_and_interfaces(rule: str, client: Walked, neighbour: Walked) -> None:
    view = behind(chains(nft=FIREWALLD.replace("RULE", rule)))
    assert (walked(view), walked(view, source=NEIGHBOUR)) == (client, neighbour)


# -- containers

DOCKER_NAT = legacy(
    "PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    "OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER",
    "POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", "DOCKER -i docker0 -j RETURN",
    "DOCKER ! -i docker0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.17.0.2:8080",
    table="nat", more=("DOCKER",),
)  # fmt: skip
DOCKER_RAW = legacy(
    "PREROUTING -d 172.17.0.2/32 ! -i docker0 -j DROP", "PREROUTING -d 127.0.0.1/32 ! -i lo -j DROP", table="raw"
)
DOCKER = (
    "FORWARD -j DOCKER-USER", "FORWARD -j DOCKER-FORWARD", "DOCKER-FORWARD -j DOCKER-CT",
    "DOCKER-FORWARD -j DOCKER-BRIDGE", "DOCKER-CT -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "DOCKER-BRIDGE -o docker0 -j DOCKER",
)  # fmt: skip
DOCKER_CHAINS = ("DOCKER", "DOCKER-USER", "DOCKER-FORWARD", "DOCKER-CT", "DOCKER-BRIDGE")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (("DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 8080 -j ACCEPT",), "undecided"),
        ((), "drops"),
        (("DOCKER-USER -s 203.0.113.0/24 -j DROP",), "drops"),
        (("FORWARD -j ACCEPT",), "open"),
    ],
)
def test_a_port_of_a_container_is_followed_through_forwarding(rules: tuple[str, ...], expected: Walked) -> None:
    """Without an interface docker0 among its facts, it is not known where the container is."""
    filtering = legacy(*DOCKER, *rules, policies={"INPUT": "DROP", "FORWARD": "DROP"}, more=DOCKER_CHAINS)
    assert walked(behind(chains(DOCKER_NAT, DOCKER_RAW, filtering))) == expected


KUBE = legacy(
    "PREROUTING -j KUBE-SERVICES",
    "KUBE-SERVICES -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-EXT-X",
    "KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
    "KUBE-EXT-X -j KUBE-MARK-MASQ", "KUBE-EXT-X -j KUBE-SVC-X", "KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    "KUBE-SVC-X -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A", "KUBE-SVC-X -j KUBE-SEP-B",
    "KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.1.5:8080",
    "KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.244.2.5:8080",
    table="nat",
    more=("KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-EXT-X", "KUBE-MARK-MASQ", "KUBE-SVC-X", "KUBE-SEP-A", "KUBE-SEP-B"),
)  # fmt: skip
KUBE_FILTER = (
    "INPUT -m conntrack --ctstate NEW -j KUBE-PROXY-FIREWALL", "INPUT -j KUBE-FIREWALL",
    "FORWARD -j KUBE-FORWARD",
    "KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
    "KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP", "KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
    "KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT",
)  # fmt: skip
KUBE_CHAINS = ("KUBE-PROXY-FIREWALL", "KUBE-FIREWALL", "KUBE-FORWARD")


@pytest.mark.parametrize(
    ("more", "policy", "expected"),
    [((), "DROP", "open"), ((), "ACCEPT", "open"), (("KUBE-PROXY-FIREWALL -j DROP",), "DROP", "open")],
)
def test_a_service_of_kubernetes_goes_by_its_mark(more: tuple[str, ...], policy: str, expected: Walked) -> None:
    filtering = legacy(*KUBE_FILTER, *more, policies={"FORWARD": policy}, more=KUBE_CHAINS)
    assert walked(behind(chains(KUBE, filtering))) == expected
    # Port 443 is of no service: it goes in, by INPUT.
    assert walked(behind(chains(KUBE, filtering)), port=443) == ("drops" if more else "open")


def test_the_map_of_kube_proxy_in_nft() -> None:
    more = """\tmap service-ips {
\t\ttype ipv4_addr . inet_proto . inet_service : verdict
\t\telements = { 10.96.0.1 . tcp . 443 comment "default/kubernetes: https" : goto other,
\t\t\t     10.0.0.10 . tcp . 80 : goto refused }
\t}
\tchain other {
\t}
\tchain refused {
\t\treject
\t}"""
    view = behind(chains(nft=table("ip daddr . meta l4proto . th dport vmap @service-ips", more=more)))
    assert (walked(view), walked(view, 443), walked(view, address="10.96.0.1", port=443)) == ("drops", "open", "open")


# -- what bans, and what lists

BANS: list[tuple[str, str]] = [
    ("ip saddr @addr-set-web drop", "198.51.100.7, 203.0.113.10"),
    ("tcp dport { 80, 443 } ip saddr @addr-set-web reject", "203.0.113.0/28"),
    ("ip saddr @addr-set-web counter packets 0 bytes 0 drop", "203.0.113.10 timeout 4h expires 3h59m, 192.0.2.1"),
    ("ip saddr @addr-set-web drop", "203.0.113.1-203.0.113.20"),
    ("ip saddr . tcp dport @addr-set-web drop", "203.0.113.10 . 80, 203.0.113.11 . 443"),
]


@pytest.mark.parametrize(("rule", "elements"), BANS)
def test_a_set_of_nft_bans_whom_it_names(rule: str, elements: str) -> None:
    kind = (
        f"\tset addr-set-web {{\n\t\ttype ipv4_addr\n\t\tflags interval,timeout\n\t\telements = {{ {elements} }}\n\t}}"
    )
    view = behind(chains(nft=table(rule, more=kind)))
    assert (walked(view), walked(view, source="203.0.113.99"), walked(view, source="")) == ("drops", "open", "open")
    empty = kind.replace(f"\t\telements = {{ {elements} }}\n", "")
    assert walked(behind(chains(nft=table(rule, more=empty)))) == "open"
    unknown = behind(chains(nft=table(rule)))
    assert walked(unknown) == "undecided"


@pytest.mark.parametrize(
    ("members", "client", "other"),
    [
        (["203.0.113.10"], "drops", "open"),
        (["203.0.113.0/24"], "drops", "drops"),
        (["203.0.113.0/24", "203.0.113.10 nomatch"], "drops", "drops"),
        (["198.51.100.0/24", "203.0.113.99 nomatch"], "undecided", "undecided"),
        (["198.51.100.7", "…"], "undecided", "undecided"),
        ([], "open", "open"),
    ],
)
def test_a_set_of_ipset_bans_whom_it_names(members: list[str], client: Walked, other: Walked) -> None:
    ipset = ["create f2b hash:net family inet hashsize 1024 maxelem 65536", *(f"add f2b {one}" for one in members)]
    rule = "INPUT -p tcp -m multiport --dports 80,443 -m set --match-set f2b src -j REJECT"
    view = behind(chains(legacy(rule), ipset=ipset))
    assert (walked(view), walked(view, source="203.0.113.99")) == (client, other)
    assert walked(view, 22) == "open"


CSF = legacy(
    "INPUT -s 9.9.9.9/32 ! -i lo -p udp -m udp --sport 53 -j ACCEPT", "INPUT ! -i lo -j LOCALINPUT",
    "INPUT -i lo -j ACCEPT",
    "INPUT ! -i lo -p tcp -j INVALID", "INPUT ! -i lo -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "INPUT ! -i lo -p tcp -m conntrack --ctstate NEW -m tcp --dport 80 -j ACCEPT", "INPUT ! -i lo -j LOGDROPIN",
    "LOCALINPUT ! -i lo -j ALLOWIN", "LOCALINPUT ! -i lo -j DENYIN", "DENYIN -s 203.0.113.66/32 ! -i lo -j DROP",
    "INVALID -m conntrack --ctstate INVALID -j INVDROP",
    "INVALID -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j INVDROP",
    "INVALID -p tcp -m tcp --tcp-flags FIN,SYN FIN,SYN -j INVDROP",
    "INVALID -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j INVDROP", "INVDROP -j DROP",
    "LOGDROPIN -p tcp -m limit --limit 30/min -j LOG", "LOGDROPIN -j DROP",
    "OUTPUT ! -o lo -p tcp -j INVALID", "OUTPUT ! -o lo -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "OUTPUT ! -o lo -j LOGDROPOUT", "LOGDROPOUT -j REJECT --reject-with icmp-port-unreachable",
    policies={"INPUT": "DROP", "FORWARD": "DROP", "OUTPUT": "DROP"},
    more=("LOCALINPUT", "ALLOWIN", "DENYIN", "INVALID", "INVDROP", "LOGDROPIN", "LOGDROPOUT"),
)  # fmt: skip


def test_csf() -> None:
    view = behind(chains(CSF))
    assert (walked(view), walked(view, 443), walked(view, source="203.0.113.66")) == ("open", "drops", "drops")
    forgets = [line for line in CSF if "OUTPUT ! -o lo -m conntrack" not in line]
    assert walked(behind(chains(forgets))) == "drops", "the reply does not get out"


# -- by hand

BY_HAND: list[tuple[str, Walked, Walked]] = [
    # rule of INPUT, a client elsewhere, a neighbour
    ("-p tcp -m tcp --dport 80 -m conntrack --ctstate NEW -j ACCEPT", "open", "open"),
    ("-p tcp -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "drops", "drops"),
    ("-d 10.0.0.101/32 -j ACCEPT", "drops", "drops"),
    ("-d 10.0.0.0/28 -p tcp -m multiport --dports 80,443 -j ACCEPT", "open", "open"),
    ("-s 10.0.0.2/32 -j ACCEPT", "drops", "drops"),
    ("! -s 10.0.0.0/24 -p tcp -m tcp --dport 80 -j ACCEPT", "open", "drops"),
    ("-m iprange --src-range 203.0.113.1-203.0.113.20 -j ACCEPT", "open", "drops"),
    ("-m iprange ! --dst-range 10.0.0.5-10.0.0.20 -j ACCEPT", "drops", "drops"),
    ("-i eth+ -p tcp -m tcp --syn -j ACCEPT", "open", "open"),
    ("-i eth1 -j ACCEPT", "drops", "drops"),
    ("! -i eth1 -j ACCEPT", "open", "open"),
    ("-p tcp -m tcp --dport 80 -m mac --mac-source 02:00:0a:00:00:02 -j ACCEPT", "undecided", "undecided"),
    ("-p tcp -m tcp --dport 80 -m recent --update --seconds 60 --hitcount 20 --name web --rsource -j ACCEPT",
     "undecided", "undecided"),
    ("-p tcp -m conntrack --ctorigdst 10.0.0.10 -j ACCEPT", "undecided", "undecided"),
    ("-m policy --dir in --pol ipsec -j ACCEPT", "undecided", "undecided"),
    ("-p tcp -m tcp --dport 80 -j NFQUEUE --queue-num 0", "undecided", "undecided"),
    ("-p tcp -m tcp --dport 80 -j CHAIN-OF-AN-EXTENSION", "undecided", "undecided"),
    ("-f -j ACCEPT", "drops", "drops"),
    ("-p udp -m udp --dport 80 -j ACCEPT", "drops", "drops"),
    ("-m length --length 0:100 -j ACCEPT", "open", "open"),
    ("-m length ! --length 0:1300 -j ACCEPT", "drops", "drops"),
    ("-p tcp -m statistic --mode random --probability 0.5 -j ACCEPT", "undecided", "undecided"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "client", "neighbour"), BY_HAND, ids=[rule for rule, *_ in BY_HAND])
def test_a_policy_that_drops_behind_one_rule(rule: str, client: Walked, neighbour: Walked) -> None:
    view = behind(chains(legacy(f"INPUT {rule}", policies={"INPUT": "DROP"})))
    assert (walked(view), walked(view, source=NEIGHBOUR)) == (client, neighbour)


NFT_RULES: list[tuple[str, Walked]] = [
    ("tcp dport 80 accept", "open"),
    ("tcp dport { http, https } accept", "open"),
    ("tcp dport >= 1024 accept", "drops"),
    ("tcp dport < 1024 accept", "open"),
    ("tcp dport != { 22, 80 } accept", "drops"),
    ("ip daddr 10.0.0.10 tcp dport 80 accept", "open"),
    ("ip daddr { 10.0.0.101, 10.0.0.11-10.0.0.20 } accept", "drops"),
    ("ip daddr . tcp dport { 10.0.0.10 . 80, 10.0.0.10 . 443 } accept", "open"),
    ("ip saddr . tcp dport { 10.0.0.2 . 80 } accept", "drops"),
    ("ip saddr vmap { 10.0.0.0/24 : accept, 203.0.113.0/24 : jump inner }", "open"),
    ("ct state vmap { established : accept, related : accept, invalid : drop }", "drops"),
    ("ct state vmap { established : accept, new : goto inner }", "open"),
    ("meta l4proto vmap { udp : accept, tcp : jump inner }", "open"),
    ("tcp flags syn / fin,syn,rst,ack accept", "open"),
    ("tcp flags & (fin | syn | rst | ack) == syn accept", "open"),
    ("tcp flags & (fin | syn | rst | ack) != syn accept", "drops"),
    ("tcp flags != syn / fin,syn,rst,ack accept", "drops"),
    ("tcp flags == syn accept", "open"),
    ("tcp flags ack accept", "drops"),
    ("tcp flags { syn, syn | ack } accept", "open"),
    ("meta mark & 0x00008000 == 0x00008000 accept", "drops"),
    ("meta mark 0x00000000 accept", "open"),
    ('meta iifname "eth0" accept', "open"),
    ('iif { "lo", "eth1" } accept', "drops"),
    ('iifname != "lo" accept', "open"),
    ("fib daddr type local accept", "open"),
    ("fib saddr . iif oif missing accept", "drops"),
    ("fib saddr . iif oif exists accept", "open"),
    ("meta nfproto ipv4 tcp dport 80 counter packets 3 bytes 180 accept comment \"web, for all\"", "open"),
    ("meta nfproto ipv6 accept", "drops"),
    ("ip6 daddr fd00::10 accept", "drops"),
    ("ip protocol tcp ct state new log prefix \"in: \" flags all counter packets 0 bytes 0 accept", "open"),
    ("tcp dport 80 meta mark set 0x00000007 accept", "open"),
    ("tcp dport 80 ct mark set meta mark accept", "open"),
    ("update @seen { ip saddr timeout 1m } accept", "open"),
    ("update @seen { ip saddr limit rate over 10/second } accept", "undecided"),
    ("tcp dport 80 ct count over 20 accept", "undecided"),
    ("queue flags bypass to 0", "undecided"),
    ("meta skuid 0 accept", "undecided"),
    ("ip dscp cs1 accept", "undecided"),
    ("udp dport 80 accept", "drops"),
    ("th dport 80 accept", "open"),
    ("icmp type echo-request accept", "drops"),
    ("jump inner", "open"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "expected"), NFT_RULES, ids=[rule for rule, _ in NFT_RULES])
def test_nft_a_policy_that_drops_behind_one_rule(rule: str, expected: Walked) -> None:
    inner = "\tchain inner {\n\t\ttcp dport 80 accept\n\t}"
    assert walked(behind(chains(nft=table(rule, policy="drop", more=inner)))) == expected


@pytest.mark.parametrize(
    ("sets", "test", "expected"),
    [
        ("--set-xmark 0x8000/0x8000", "--mark 0x8000/0x8000", "drops"),
        ("--set-xmark 0x1/0xffffffff", "--mark 0x8000/0x8000", "open"),
        ("--set-xmark 0x3/0x1", "--mark 0x2/0x2", "drops"),
        ("--set-xmark 0x0/0xffffffff", "--mark 0x0", "drops"),
    ],
)
def test_a_mark_of_an_earlier_table_is_known_in_a_later_one(sets: str, test: str, expected: Walked) -> None:
    marking = legacy(f"PREROUTING -p tcp -j MARK {sets}", table="mangle")
    assert walked(behind(chains(marking, legacy(f"INPUT -m mark {test} -j DROP")))) == expected


def test_a_mark_that_only_some_have_decides_nothing() -> None:
    marking = legacy("PREROUTING -m recent --rcheck --name x -j MARK --set-xmark 0x1/0x1", table="mangle")
    assert walked(behind(chains(marking, legacy("INPUT -m mark --mark 0x1/0x1 -j DROP")))) == "undecided"


def test_what_is_not_tracked_has_another_state() -> None:
    raw = legacy("PREROUTING -p tcp -m tcp --dport 80 -j CT --notrack", table="raw")
    strict = legacy("INPUT -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT", policies={"INPUT": "DROP"})
    assert (walked(behind(chains(strict))), walked(behind(chains(raw, strict)))) == ("open", "drops")
    # Before connection tracking every packet is of none, and a chain of nat sees none that is not tracked.
    early = legacy("PREROUTING -m conntrack --ctstate INVALID -j DROP", table="raw")
    assert walked(behind(chains(early))) == "drops"
    late = legacy("PREROUTING -m conntrack --ctstate INVALID -j DROP", table="mangle")
    assert walked(behind(chains(late))) == "open"
    nat = legacy("PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 81", table="nat")
    closed = legacy("INPUT -p tcp -m tcp --dport 81 -j DROP")
    assert (walked(behind(chains(nat, closed))), walked(behind(chains(raw, nat, closed)))) == ("drops", "open")


def test_a_chain_comes_in_the_order_of_its_priority() -> None:
    marks = "\tchain early {\n\t\ttype filter hook input priority -10; policy accept;\n\t\tmeta mark set 0x1\n\t}"
    view = behind(chains(nft=table("meta mark 0x1 drop", more=marks)))
    assert walked(view) == "drops"
    later = marks.replace("priority -10", "priority 10")
    assert walked(behind(chains(nft=table("meta mark 0x1 drop", more=later)))) == "open"


def test_an_accept_ends_its_own_chain_alone() -> None:
    drop = "\tchain strict {\n\t\ttype filter hook input priority 20; policy drop;\n\t\ttcp dport 22 accept\n\t}"
    assert walked(behind(chains(nft=table("tcp dport 80 accept", more=drop)))) == "drops"


def test_goto_does_not_come_back_and_jump_does() -> None:
    rules = ("INPUT -p tcp -{way} WEB", "INPUT -j DROP", "WEB -p tcp -m tcp --dport 443 -j ACCEPT")
    said = {way: legacy(*(one.format(way=way) for one in rules), more=("WEB",)) for way in ("j", "g")}
    assert {way: walked(behind(chains(text))) for way, text in said.items()} == {"j": "drops", "g": "open"}


def test_ipv6_is_judged_by_the_rules_of_ipv6() -> None:
    view = behind((*input_drops("-p tcp -j DROP"), *chains(legacy("INPUT -m rt --rt-type 0 -j DROP", family=6))),
                  addresses=(VIP, VIP6))  # fmt: skip
    assert walked(view) == "drops"
    assert walked(view, address=VIP6, source="2001:db8:7::1") == "open"
    ours = legacy("INPUT -s fd00::/64 -j ACCEPT", family=6, policies={"INPUT": "DROP"})
    strict = behind(chains(ours), addresses=(VIP6,))
    found = [walked(strict, address=VIP6, source=source) for source in ("2001:db8:7::1", "fd00::77", "")]
    assert found == ["drops", "open", "drops"]


def packet(view: ServerView, source: str = CLIENT) -> tuple[str, int]:
    """Where a packet ends up."""
    found = into(view, first_packet(view, Vip(address=VIP, services=()), Service(port=80), source))
    return found.packet.vip, found.packet.port


@pytest.mark.parametrize(
    ("rule", "to"),
    [
        ("PREROUTING -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080", ("10.0.0.101", 8080)),
        ("PREROUTING -p tcp -j REDIRECT", ("10.0.0.101", 80)),
        ("PREROUTING -p tcp -j DNAT --to-destination 10.0.0.101:81", ("10.0.0.101", 81)),
        ("PREROUTING -p tcp -j DNAT --to-destination 172.17.0.2", ("172.17.0.2", 80)),
        ("PREROUTING -s 192.0.2.0/24 -p tcp -j REDIRECT --to-ports 8080", (VIP, 80)),
    ],
)
def test_a_translated_packet_has_its_new_destination(rule: str, to: tuple[str, int]) -> None:
    assert packet(behind(chains(legacy(rule, table="nat")))) == to


def test_a_packet_that_may_have_been_translated_before_is_not_surely_dropped() -> None:
    nat = legacy("PREROUTING -p tcp -m recent --rcheck --name x -j REDIRECT --to-ports 8080", table="nat")
    closed = legacy("INPUT -p tcp -m tcp --dport 80 -j DROP")
    assert (walked(behind(chains(closed))), walked(behind(chains(nat, closed)))) == ("drops", "undecided")


def chain_of_many(jumps: int) -> tuple[FilterChain, ...]:
    """Chains that jump twice to the next: more rules to ask than anybody has time for."""
    rules = [f"C{at} -j C{at + 1}" for at in range(jumps) for _ in (1, 2)]
    return chains(legacy("INPUT -j C0", *rules, more=[f"C{at}" for at in range(jumps + 1)]))


def test_rules_that_nobody_has_time_to_follow_decide_nothing() -> None:
    assert walked(behind(chain_of_many(6))) == "open"
    assert walked(behind(chain_of_many(30))) == "undecided"
