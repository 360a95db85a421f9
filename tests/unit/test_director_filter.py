"""What becomes of a client's packet in the director's packet filters, whose rules are read as the tools print them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard.core.diagnosis.filter_fix import undo as _undo
from dsrwizard.core.diagnosis.filter_iptables import iptables
from dsrwizard.core.diagnosis.filter_match import ClientPacket
from dsrwizard.core.diagnosis.filter_nft import nft
from dsrwizard.core.diagnosis.filter_walk import Followed, fate
from dsrwizard.core.dialects.linux.observe import sections
from dsrwizard.core.dialects.linux.packet_filter import LINES
from dsrwizard.core.dialects.linux.packet_filter import parse_chains as parse_sections
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.client_view import ClientView, ClientVip, Tried
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.packet_filter import FilterChain
from tests.unit.diagnosed import VIP, Farm, find

PACKET = ClientPacket(
    family=4, vip=VIP, protocol="tcp", port=80, own=frozenset({"10.0.0.2", "10.0.0.101", VIP}), incoming="eth0"
)


def _command(fix: str) -> str:
    """A fix without how it is taken back."""
    return fix.partition(" (undo: ")[0]


def said(**sections: str) -> str:
    """What the script prints."""
    names = ("nft", "legacy4", "nft4", "legacy6", "nft6", "ipset")
    return "".join(f"\n==dsr:n0:{name}==\n{sections.get(name, '')}\n" for name in (*names, "end"))


def legacy(*rules: str, policy: str = "ACCEPT", table: str = "filter", more: tuple[str, ...] = ()) -> str:
    lines = ["iptables-legacy", f"*{table}"]
    lines += [
        f":{name} {policy if name == 'INPUT' else 'ACCEPT'} [7:420]" for name in ("PREROUTING", "INPUT", "OUTPUT")
    ]
    lines += [f":{name} - [0:0]" for name in more]
    return "\n".join([*lines, *(f"[3:180] -A {rule}" for rule in rules), "COMMIT"])


def parse_chains(nonce: str, text: str) -> tuple[tuple[FilterChain, ...] | None, str]:
    return parse_sections(sections(nonce, text))


def chains(text: str) -> tuple[FilterChain, ...]:
    found, problem = parse_chains("n0", text)
    assert found is not None, problem
    return found


def followed(text: str, packet: ClientPacket = PACKET) -> Followed:
    return fate(chains(text), packet, "eth0")


def judged(text: str, farm: Farm | None = None, client: str = "") -> list[Check]:
    """What a verification of a farm behind this filter fails on."""
    farm = farm or Farm()
    found = chains(text)
    farm.world.looked = lambda seen, lost: msgspec.structs.replace(seen, chains=found)
    view = None
    if client:
        tries = (Tried(port=80, result="unknown", client=client, client_port=5001),)
        view = ClientView(vips=(ClientVip(vip=VIP, tries=tries),))
    return list(farm.verify(client=view).checks)


INPUT_DROPS = [
    ("! -s 10.0.0.2/32 -d 10.0.0.10/32 -j DROP", "iptables-legacy -D INPUT ! -s 10.0.0.2/32 -d 10.0.0.10/32 -j DROP"),
    ("-p tcp -m tcp --dport 80 -j DROP", "iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT"),
    ("-p tcp -m multiport --dports 22,80,443 -j REJECT --reject-with icmp-port-unreachable",
     "iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT"),
    ("-i eth0 -p tcp -m conntrack --ctstate NEW -j DROP",
     "iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT"),
    ("-d 10.0.0.0/24 -m statistic --mode random --probability 0.5 -j DROP",
     "iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "fix"), INPUT_DROPS)
def test_a_rule_that_drops_ordinary_clients_is_named_with_its_counter_and_what_undoes_it(rule: str, fix: str) -> None:
    checks = judged(said(legacy4=legacy(f"INPUT {rule}")))
    (check,) = [one for one in checks if one.outcome == "fail"]
    assert (check.check, check.cause, check.host, check.vip) == ("director.filter", "firewall", "director", VIP)
    assert _command(check.fix) == f"On the director: {fix}"
    assert rule in check.evidence
    assert "3 packets so far" in check.evidence


def test_a_policy_that_drops_with_no_rule_for_the_service_is_named() -> None:
    rules = ("INPUT -i lo -j ACCEPT", "INPUT -p tcp -m tcp --dport 22 -j ACCEPT", "INPUT -p icmp -j ACCEPT",
             "INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")  # fmt: skip
    (check,) = [one for one in judged(said(legacy4=legacy(*rules, policy="DROP"))) if one.outcome == "fail"]
    assert "policy of INPUT: drop (7 packets so far)" in check.evidence
    assert _command(check.fix).endswith("iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT")


HEALTHY = [
    legacy("INPUT -p tcp -m multiport --dports 80,443 -j ACCEPT", policy="DROP"),
    legacy("INPUT -m conntrack --ctstate INVALID -j DROP", "INPUT -p tcp -m tcp --dport 79:81 -j ACCEPT",
           policy="DROP"),
    legacy("INPUT -s 192.0.2.0/24 -j DROP", "INPUT -s 240.0.0.0/4 -j DROP", "INPUT -s 10.66.0.0/16 -j DROP"),
    legacy("INPUT -p tcp -m tcp --dport 80 -m limit --limit 500/sec -j ACCEPT", "INPUT -p tcp --dport 80 -j DROP"),
    legacy("INPUT -p tcp -m hashlimit --hashlimit-above 50/sec --hashlimit-name x -j DROP"),
    legacy("INPUT -m set --match-set banned src -j DROP"),
    legacy("INPUT -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP"),
    legacy("INPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,PSH,ACK,URG NONE -j DROP"),
    legacy("INPUT -j WEB", "WEB -p tcp -m tcp --dport 80 -j ACCEPT", "WEB -j DROP", policy="DROP", more=("WEB",)),
    legacy("INPUT -j WEB", "WEB -p tcp -m tcp --dport 80 -j RETURN", "WEB -j DROP", more=("WEB",)),
    legacy("INPUT -i docker0 -j DROP", "INPUT -i eth9 -p tcp -j DROP", "INPUT -p udp -j DROP", "INPUT -p 112 -j DROP"),
    legacy("INPUT -d 10.0.0.11/32 -j DROP", "INPUT -m mark --mark 0x8000/0x8000 -j DROP"),
    legacy("INPUT -m pkttype --pkt-type broadcast -j DROP", "INPUT -m addrtype ! --dst-type LOCAL -j DROP"),
    legacy("PREROUTING -m addrtype --dst-type LOCAL -j DOCKER", "DOCKER -i docker0 -j RETURN",
           "DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80", table="nat",
           more=("DOCKER",)),
    legacy("PREROUTING -d 10.0.0.10/32 -p tcp -j CT --notrack", table="raw"),
    legacy("INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j ACCEPT", policy="DROP"),
]  # fmt: skip


@pytest.mark.parametrize("text", HEALTHY, ids=range(len(HEALTHY)))
def test_a_filter_that_lets_the_service_in_is_no_fault(text: str) -> None:
    checks = judged(said(legacy4=text))
    assert [one.message for one in checks if one.outcome == "fail"] == []


def test_a_filter_that_lets_some_clients_in_is_unknown_until_a_client_host_decides() -> None:
    text = said(legacy4=legacy("INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 80 -j ACCEPT", policy="DROP"))
    (check,) = [one for one in judged(text) if one.check == "director.filter"]
    assert check.outcome == "unknown"
    assert "-s 10.0.0.0/8" in check.evidence
    assert [one.cause for one in judged(text, client="203.0.113.10") if one.outcome == "fail"][:1] == ["firewall"]
    inside = judged(text, client="10.7.7.7")
    assert [one.outcome for one in inside if one.check == "director.filter"] == ["pass"]


def test_one_rule_for_several_services_is_one_fault_that_opens_all_of_them() -> None:
    farm = Farm(services=(Service(port=80), Service(port=443)))
    checks = judged(said(legacy4=legacy(policy="DROP")), farm)
    (check,) = [one for one in checks if one.outcome == "fail" and one.check == "director.filter"]
    assert "--dport 80 -j ACCEPT && " in check.fix
    assert "--dport 443 -j ACCEPT" in check.fix


def test_what_stops_packets_after_ipvs_is_found_too() -> None:
    (check,) = [
        one for one in judged(said(legacy4=legacy("OUTPUT -d 10.0.0.10/32 -p tcp -j DROP"))) if one.outcome == "fail"
    ]
    assert _command(check.fix).endswith("iptables-legacy -D OUTPUT -d 10.0.0.10/32 -p tcp -j DROP")


def test_a_rule_that_translates_the_vip_takes_its_packets_from_ipvs() -> None:
    text = legacy("PREROUTING -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080", table="nat")
    (check,) = [one for one in judged(said(legacy4=text)) if one.outcome == "fail"]
    assert "sends clients' packets to 10.0.0.10 tcp/80 elsewhere" in check.message
    assert "iptables-legacy -t nat -I PREROUTING" in check.fix


NFT = """nft
table inet filter {
\tset office {
\t\ttype ipv4_addr
\t\telements = { 198.51.100.7,
\t\t\t     198.51.100.8 }
\t}

\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tct state established,related accept
\t\tct state invalid drop
\t\tiifname "lo" accept
\t\tmeta l4proto { icmp, ipv6-icmp } accept
\t\tRULE
\t\tcounter packets 12 bytes 720 comment "the rest"
\t}
}"""
OPENINGS = [
    "tcp dport 80 accept", "tcp dport { 22, 80, 443 } ct state new accept",
    "tcp dport 1-1024 counter packets 1 bytes 60 accept",
    'iifname "eth0" ip daddr 10.0.0.10 accept', "ip daddr { 10.0.0.0/24 } meta l4proto tcp accept",
    "tcp dport vmap { 22 : drop, 80 : accept }", "fib daddr type local tcp flags syn / fin,syn,rst,ack accept",
    "ip saddr != 10.0.0.2 tcp dport 80 accept", "th dport 80 limit rate 100/second accept", "ip saddr @office accept",
]  # fmt: skip


@pytest.mark.parametrize("rule", OPENINGS)
def test_nft_a_dropping_policy_behind_a_rule_that_lets_in_is_no_fault(rule: str) -> None:
    checks = judged(said(nft=NFT.replace("RULE", rule)))
    assert [one.message for one in checks if one.outcome == "fail"] == []
    sure = not any(word in rule for word in ("limit", "@office"))  # of those nobody knows whom they let in
    assert [one.outcome for one in checks if one.check == "director.filter"] == ["pass" if sure else "unknown"]


@pytest.mark.parametrize(
    "rule", ["tcp dport 22 accept", "tcp dport vmap { 22 : accept, 80 : drop }", "udp dport 80 accept",
             "ip6 daddr fd00::10 accept", 'iifname "lo" tcp dport 80 accept', "ct state established accept"],
)  # fmt: skip
def test_nft_a_dropping_policy_without_such_a_rule_is_named(rule: str) -> None:
    (check,) = [one for one in judged(said(nft=NFT.replace("RULE", rule))) if one.outcome == "fail"]
    assert (check.cause, check.host) == ("firewall", "director")
    assert (
        _command(check.fix)
        == "On the director: nft insert rule inet filter input ip daddr 10.0.0.10 tcp dport 80 accept"
    )


def test_nft_rules_that_iptables_wrote_are_told_to_iptables() -> None:
    table = "nft\ntable ip filter {\n\tchain INPUT {\n\t\ttype filter hook input priority filter; policy accept;\n"
    table += "\t\ttcp dport 80 counter packets 3 bytes 180 drop\n\t}\n}"
    written = legacy("INPUT -p tcp -m tcp --dport 80 -j DROP").replace("iptables-legacy", "iptables-nft")
    (check,) = [one for one in judged(said(nft=table, nft4=written)) if one.outcome == "fail"]
    assert check.fix.startswith("On the director: iptables-nft -I INPUT")


def test_a_mark_is_followed_to_where_ipvs_looks_at_it() -> None:
    text = legacy("PREROUTING -d 10.0.0.10/32 -p tcp -m multiport --dports 80,443 -j MARK --set-xmark 0x1/0xffffffff",
                  table="mangle")  # fmt: skip
    assert [(mark, sure) for mark, _, sure in followed(said(legacy4=text)).marks] == [(1, True)]
    other = text.replace("80,443", "443")
    assert followed(said(legacy4=other)).marks == ()


def test_a_list_that_is_cut_or_denied_convicts_and_acquits_nobody() -> None:
    denied = said(legacy4="iptables-legacy\niptables-save v1.8.9 (legacy): Cannot initialize: Permission denied")
    assert parse_chains("n0", denied)[0] is None
    long = said(legacy4="\n".join(["iptables-legacy", "*filter", *["[0:0] -A INPUT -j DROP"] * LINES]))
    assert parse_chains("n0", long)[0] is None
    hidden = parse_chains("n0", said(legacy4="hidden"))
    farm = Farm()
    farm.world.looked = lambda seen, lost: msgspec.structs.replace(seen, chains=hidden[0], chains_problem=hidden[1])
    assert (farm.verify().verdict, find(farm.verify(), "director.filter", "director").outcome) == ("pass", "skipped")
    farm = Farm()
    farm.world.privileged = False
    check = find(farm.verify(), "director.filter", "director")
    assert (check.outcome, "root" in check.evidence) == ("unknown", True)


def test_rules_that_could_not_be_read_leave_a_doubt_unless_a_client_host_was_let_in() -> None:
    farm = Farm()
    farm.world.looked = lambda seen, lost: msgspec.structs.replace(
        seen, chains=None, chains_problem="It took too long."
    )
    report = farm.verify()
    assert (report.verdict, find(report, "director.filter", "director").outcome) == ("unknown", "unknown")
    tried = Tried(port=80, result="open", client="203.0.113.10", client_port=5001, milliseconds=1.0)
    view = ClientView(vips=(ClientVip(vip=VIP, tries=(tried,)),))
    assert "The packet filter" in find(farm.verify(client=view), "director.filter", "director").message


def test_what_a_host_says_of_itself_breaks_no_parser() -> None:
    for rule in (
        "INPUT",
        "INPUT -j",
        "INPUT -s",
        "INPUT ! -d nonsense -j DROP",
        'INPUT -m comment --comment "a',
        "INPUT --dport x:y -j DROP",
    ):
        followed(said(legacy4=legacy(rule)))
        iptables(PACKET, f"-A {rule}")
    for rule in ("", "ip saddr", "tcp dport {", "counter packets", "vmap { }", "jump", "ip saddr @", "meta mark set"):
        nft(PACKET, rule)


def test_jumps_in_a_circle_come_to_an_end() -> None:
    text = legacy("INPUT -j A", "A -j B", "B -j A", more=("A", "B"))
    assert followed(said(legacy4=text)).hits == ()


STRICT_NFT = """nft
table ip keepalived {
\tset vips {
\t\ttype ipv4_addr
\t\telements = { 10.0.0.9,
\t\t\t     10.0.0.10-10.0.0.12 }
\t}
\tchain in {
\t\ttype filter hook input priority filter; policy accept;
\t\tip daddr @vips counter packets 4 bytes 240 drop
\t}
}"""
STRICT_IPSET = "create keepalived hash:ip family inet hashsize 1024 maxelem 65536\nadd keepalived 10.0.0.10"


def test_a_set_that_has_the_vip_is_looked_into_as_vrrp_strict_makes_one() -> None:
    (check,) = [one for one in judged(said(nft=STRICT_NFT)) if one.outcome == "fail"]
    assert check.cause == "firewall"
    assert "(4 packets so far)" in check.evidence
    assert _command(check.fix).endswith("nft insert rule ip keepalived in ip daddr 10.0.0.10 tcp dport 80 accept")
    rule = legacy("INPUT -m set --match-set keepalived dst -j DROP")
    (check,) = [one for one in judged(said(legacy4=rule, ipset=STRICT_IPSET)) if one.outcome == "fail"]
    assert _command(check.fix).endswith("iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT")


def test_a_set_without_the_vip_or_of_other_senders_is_no_fault() -> None:
    other = STRICT_NFT.replace("10.0.0.10-10.0.0.12", "10.0.0.11")
    assert [one for one in judged(said(nft=other)) if one.outcome == "fail"] == []
    for rule in ("INPUT -m set --match-set keepalived dst -j DROP", "INPUT -m set --match-set banned src -j DROP"):
        sets = "create keepalived hash:ip\nadd keepalived 10.0.0.66\ncreate banned hash:net"
        text = said(legacy4=legacy(rule), ipset=sets)
        assert [one for one in judged(text) if one.outcome == "fail"] == []
    banned = said(
        legacy4=legacy("INPUT -m set --match-set b src -j DROP"), ipset="create b hash:net\nadd b 203.0.113.0/24"
    )
    assert [one for one in judged(banned) if one.outcome == "fail"] == []
    assert [one.cause for one in judged(banned, client="203.0.113.10") if one.outcome == "fail"][:1] == ["firewall"]


INGRESS = """nft
table netdev edge {
\tchain in {
\t\ttype filter hook ingress device "eth0" priority filter; policy accept;
\t\tip daddr 10.0.0.10 tcp dport 80 drop
\t}
}"""


def test_a_chain_of_one_interface_or_of_a_table_that_sleeps_does_nothing_elsewhere() -> None:
    (check,) = [one for one in judged(said(nft=INGRESS)) if one.outcome == "fail"]
    assert _command(check.fix).endswith("nft insert rule netdev edge in ip daddr 10.0.0.10 tcp dport 80 accept")
    assert [one for one in judged(said(nft=INGRESS.replace("eth0", "eth7"))) if one.outcome == "fail"] == []
    asleep = INGRESS.replace("edge {\n", "edge {\n\tflags dormant\n\n")
    assert [one for one in judged(said(nft=asleep)) if one.outcome == "fail"] == []


def test_what_a_comment_says_never_gets_into_a_command() -> None:
    rule = 'INPUT -d 10.0.0.10/32 -p tcp -m comment --comment "$(reboot) `id`" -j DROP'
    (check,) = [one for one in judged(said(legacy4=legacy(rule))) if one.outcome == "fail"]
    assert _command(check.fix) == "On the director: iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT"


SAID = """table ip inet chain { } type filter hook input policy drop ; set elements = vmap saddr daddr tcp dport 80 @x
!= counter packets jump goto meta mark ct state fib limit & - : --dport --length --mark --match-set -A INPUT -j DROP -s
-d 10.0.0.0/8 ! -m *filter :INPUT ACCEPT [0:0] \" """
WORDS = st.sampled_from(("\n", "\n\t", *dict.fromkeys(SAID.split())))


@given(words=st.lists(WORDS, max_size=60), junk=st.text(max_size=40))
def test_no_answer_of_a_program_breaks_the_look_at_it(words: list[str], junk: str) -> None:
    text = f"{' '.join(words)}\n{junk}"
    found, _ = parse_chains("n0", said(nft=f"nft\n{text}", legacy4=f"iptables-legacy\n{text}", ipset=text))
    if found is not None:
        fate(found, PACKET, "eth0")
    for rule in text.splitlines():
        iptables(PACKET, rule)
        nft(PACKET, rule)


def test_a_filter_that_lets_in_its_own_network_alone_leaves_a_doubt_where_no_client_host_decides() -> None:
    rules = ("INPUT -i lo -j ACCEPT", "INPUT -s 10.0.0.0/24 -j ACCEPT", "INPUT -p tcp -m tcp --dport 22 -j ACCEPT")
    farm = Farm()
    found = chains(said(legacy4=legacy(*rules, policy="DROP")))
    farm.world.looked = lambda seen, lost: msgspec.structs.replace(seen, chains=found)
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    check = find(report, "director.filter", "director")
    assert "but machines of its own networks" in check.message
    assert _command(check.fix).endswith("iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT")
    checks = judged(said(legacy4=legacy(*rules, policy="DROP")), client="203.0.113.10")
    assert [one.cause for one in checks if one.outcome == "fail"][:1] == ["firewall"]
    wider = (*rules, "INPUT -s 172.16.0.0/12 -p tcp -m tcp --dport 80 -j ACCEPT")
    farm.world.looked = lambda seen, lost: msgspec.structs.replace(
        seen, chains=chains(said(legacy4=legacy(*wider, policy="DROP")))
    )
    assert farm.verify().verdict == "pass"


@pytest.mark.parametrize(
    ("fixes", "undo"),
    [
        (["iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT"] * 2, "the same with -D"),
        (["ufw prepend allow proto tcp to 10.0.0.10 port 80"], "ufw delete allow proto tcp to 10.0.0.10 port 80"),
        (["firewall-cmd --add-rich-rule='rule'"], "--remove-rich-rule"),
        (["nft insert rule inet filter input ip daddr 10.0.0.10 accept"], "nft -a list chain inet filter input"),
        (["iptables-legacy -D INPUT -d 10.0.0.10/32 -j DROP"], ""),
    ],
)
def test_what_lets_a_service_in_says_how_it_is_taken_back(fixes: list[str], undo: str) -> None:
    assert undo in _undo(fixes)
    assert bool(_undo(fixes)) == bool(undo)


@pytest.mark.parametrize(("home", "rule", "applies"), [
    ("eth1", "-m rpfilter --invert", "yes"), ("eth0", "-m rpfilter --invert", "no"),
    ("", "-m rpfilter --invert", "some"),
    ("eth1", "-m rpfilter --loose --invert", "no"), ("eth1", "-m rpfilter --loose", "yes"),
    ("eth0", "-m rpfilter --validmark --accept-local", "yes"),
])  # fmt: skip
def test_a_rule_that_filters_by_the_reverse_path_is_decided_by_the_way_back(home: str, rule: str, applies: str) -> None:
    packet = msgspec.structs.replace(PACKET, home=home)
    assert iptables(packet, f"[0:0] -A PREROUTING {rule} -j DROP").applies == applies


@pytest.mark.parametrize(("home", "rule", "applies"), [
    ("eth1", "fib saddr . iif oif missing drop", "yes"), ("eth0", "fib saddr . mark . iif oif missing drop", "no"),
    ("eth1", "fib saddr . mark oif missing drop", "no"), ("", "fib saddr . iif oif missing drop", "some"),
    ("eth0", "fib saddr . iif oif exists accept", "yes"), ("eth1", "fib saddr . iif oif 0 drop", "yes"),
    ("eth1", "meta nfproto ipv4 fib saddr . mark . iif oif missing counter packets 0 bytes 0 drop", "yes"),
])  # fmt: skip
def test_the_same_as_nft_and_firewalld_write_it(home: str, rule: str, applies: str) -> None:
    assert nft(msgspec.structs.replace(PACKET, home=home), rule).applies == applies
