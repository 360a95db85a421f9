"""What a host's packet filter shows, as its own programs print it, and the one command that lets a VIP's packets in.

The samples are what nft 1.0.6, iptables 1.8.9 and ufw 0.36 print.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from dsrwizard.core.diagnosis.linux.rule_match import FirstPacket, reach
from dsrwizard.core.dialects.linux.observe import observe_script, parse
from dsrwizard.core.dialects.linux.packet_filter import LINES, parse_filters
from dsrwizard.core.model.facts import PacketFilter
from tests.unit.diagnosed import VIP, VIP6, Farm, find, firewall, only

NFT = """nft
table inet filter {
\tchain input {
\t\ttype filter hook input priority filter; policy drop;
\t\tct state established,related accept
\t\ttcp dport 22 accept
\t\tip daddr 10.0.0.10 tcp dport 80 counter packets 7 bytes 420 drop
\t\tjump later
\t}
\tchain later {
\t\tudp dport 7 reject with icmpx admin-prohibited
\t}
\tchain forward {
\t\ttype filter hook forward priority filter; policy drop;
\t\tip daddr 10.0.0.10 drop
\t}
}
table netdev early {
\tchain in {
\t\ttype filter hook ingress device "eth0" priority filter; policy accept;
\t\tip daddr 10.0.0.11 drop
\t}
}
"""
FIREWALLD = """nft
table inet firewalld {
\tchain filter_INPUT {
\t\ttype filter hook input priority filter + 10; policy accept;
\t\tct state { established, related } accept
\t\tct state invalid drop
\t\tjump filter_INPUT_ZONES
\t\treject with icmpx admin-prohibited
\t}
\tchain filter_INPUT_ZONES {
\t\tgoto filter_IN_public
\t}
}
"""
NFT_OF_IPTABLES = """nft
table ip filter {
\tchain INPUT {
\t\ttype filter hook input priority filter; policy accept;
\t\tip daddr 10.0.0.10 tcp dport 80 counter packets 0 bytes 0 drop
\t}
}
"""
LEGACY = """iptables-legacy
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
*filter
:INPUT ACCEPT [12:800]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:mine - [0:0]
:docker - [0:0]
[3:180] -A INPUT -j mine
[0:0] -A FORWARD -j docker
[0:0] -A docker -j DROP
[3:180] -A mine -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j DROP
COMMIT
"""
UFW = """iptables-legacy
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-user-input - [0:0]
[9:540] -A INPUT -j ufw-before-input
[9:540] -A ufw-before-input -j ufw-user-input
COMMIT
"""


def seen(nft: str = "", four: str = "", six: str = "") -> tuple[PacketFilter, ...] | None:
    return parse_filters({"filter": nft.splitlines(), "filter4": four.splitlines(), "filter6": six.splitlines()})


def where(found: tuple[PacketFilter, ...] | None) -> list[tuple[str, int, str]]:
    assert found is not None
    return [(one.tool, one.family, one.chain) for one in found]


def test_every_base_chain_of_the_way_in_that_drops_is_seen_and_none_of_the_way_through() -> None:
    found = seen(NFT)
    assert where(found) == [("nft", 0, "inet filter input"), ("nft", 0, "netdev early in")]
    assert found is not None
    assert found[0].rules == (
        "policy of input: drop",
        "ip daddr 10.0.0.10 tcp dport 80 counter packets 7 bytes 420 drop",
        "udp dport 7 reject with icmpx admin-prohibited",
    )


@pytest.mark.parametrize(
    ("nft", "four", "six", "expected"),
    [
        (FIREWALLD, "", "", ("firewalld", 0, "inet firewalld filter_INPUT")),
        (NFT_OF_IPTABLES, "", "", ("iptables-nft", 4, "ip filter INPUT")),
        ("", LEGACY, "", ("iptables-legacy", 4, "filter INPUT")),
        ("nft", LEGACY, "", ("iptables-legacy", 4, "filter INPUT")),
        ("", "", LEGACY.replace("iptables-legacy", "ip6tables-legacy"), ("iptables-legacy", 6, "filter INPUT")),
        ("", LEGACY.replace("iptables-legacy", "iptables"), "", ("iptables", 4, "filter INPUT")),
        ("", LEGACY.replace("iptables-legacy", "iptables-nft"), "", ("iptables-nft", 4, "filter INPUT")),
        ("", UFW, "", ("ufw", 4, "filter INPUT")),
    ],
)
def test_the_program_in_charge_is_told(nft: str, four: str, six: str, expected: tuple[str, int, str]) -> None:
    assert where(seen(nft, four, six)) == [expected]


def test_a_rule_in_a_chain_that_only_forwarding_reaches_is_no_rule_of_the_way_in() -> None:
    found = seen(four=LEGACY)
    assert found is not None
    assert found[0].rules == ("[3:180] -A mine -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j DROP",)


@pytest.mark.parametrize(
    "refused",
    ["nft\nOperation not permitted (you must be root)", "nft\nnetlink: Error: Could not open: Permission denied", ""],
)
def test_what_may_not_be_read_is_unknown_and_not_empty(refused: str) -> None:
    assert seen(refused) is None


def test_a_host_that_filters_nothing_is_not_an_unknown_one() -> None:
    assert seen("nft") == ()
    assert seen(four="iptables-nft") == ()


def test_an_answer_that_was_cut_short_says_nothing_of_what_it_does_not_show() -> None:
    assert seen("nft\n" + "table ip nat {\n" * LINES) is None


def test_the_script_asks_nft_in_any_posix_shell(tmp_path: Path) -> None:
    sample = tmp_path / "ruleset"
    sample.write_text(NFT.removeprefix("nft\n"))
    program = tmp_path / "nft"
    program.write_text(f'#!/bin/sh\n[ "$*" = "list ruleset" ] && cat {sample}\n')
    program.chmod(0o755)
    script = observe_script("n0nce", [], closely=True)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False, env=environment)
    found = parse("here", "n0nce", done.stdout).filters
    assert found is not None
    assert found[:2] == seen(NFT)
    assert "list ruleset" not in observe_script("n0nce", [])


# -- what verify makes of it


def broken(filters: tuple[PacketFilter, ...] | None, vip: str = VIP) -> Farm:
    farm = Farm(addresses=(vip,))
    firewall(farm, "web2")
    farm.server("web2").filters = filters
    return farm


@pytest.mark.parametrize(
    ("nft", "four", "command"),
    [
        (NFT, "", "nft insert rule inet filter input ip daddr 10.0.0.10 tcp dport 80 accept"),
        (NFT_OF_IPTABLES, "", "iptables-nft -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT"),
        ("nft", LEGACY, "iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT"),
        ("nft", UFW, "ufw prepend allow proto tcp to 10.0.0.10 port 80"),
        (
            FIREWALLD,
            "",
            'firewall-cmd --zone="$(firewall-cmd --get-zone-of-interface=eth0 || firewall-cmd --get-default-zone)" '
            "--add-rich-rule="
            '\'rule family="ipv4" destination address="10.0.0.10" port port="80" protocol="tcp" accept\'',
        ),
    ],
)
def test_the_fix_is_told_to_the_program_that_drops_with_its_undo(nft: str, four: str, command: str) -> None:
    check = only(broken(seen(nft, four)).verify())
    assert (check.cause, check.host) == ("firewall", "web2")
    assert check.fix.startswith(f"On web2: {command} (undo: ")


def test_the_rule_that_names_the_vip_is_the_evidence() -> None:
    assert "packets 7 bytes 420 drop" in only(broken(seen(NFT)).verify()).evidence


def test_where_two_programs_filter_the_one_that_names_the_vip_is_told() -> None:
    check = only(broken(seen(NFT.replace("10.0.0.10", "10.0.0.77"), LEGACY)).verify())
    assert check.fix.startswith("On web2: iptables-legacy -I INPUT")


def test_an_ipv6_vip_is_let_in_by_the_rules_of_ipv6() -> None:
    six = LEGACY.replace("iptables-legacy", "ip6tables-legacy").replace("10.0.0.10/32", "fd00::10/128")
    check = only(broken(seen("", LEGACY, six), VIP6).verify())
    assert check.fix.startswith("On web2: ip6tables-legacy -I INPUT -d fd00::10 -p tcp --dport 80 -j ACCEPT")
    native = only(broken(seen(NFT), VIP6).verify())
    assert "nft insert rule inet filter input ip6 daddr fd00::10 tcp dport 80 accept" in native.fix


@pytest.mark.parametrize("hidden", [False, True])
def test_silence_without_a_rule_that_is_known_is_not_called_a_firewall(hidden: bool) -> None:
    farm = broken(())
    farm.server("web2").filters_hidden = hidden
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    check = find(report, "vip.probe", "web2")
    assert (check.outcome, "tcpdump" in check.fix) == ("unknown", True)
    assert ("could not be read" in check.evidence) == hidden


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("[9:540] -A INPUT -s 192.0.2.0/24 -j DROP", "source"),
        ("[9:540] -A INPUT -m set --match-set bogons src -j DROP", "source"),
        ("[9:540] -A INPUT -s 198.51.100.0/24 -j DROP", "no"),
        ("[9:540] -A INPUT ! -s 10.0.0.0/24 -p tcp -m tcp --dport 80 -j DROP", "all"),
        ("[9:540] -A INPUT ! -s 192.0.0.0/16 -j DROP", "no"),
        ("[9:540] -A INPUT -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j DROP", "all"),
        ("[9:540] -A INPUT -d 10.0.0.11/32 -j DROP", "no"),
        ("[9:540] -A INPUT -p udp -m udp --dport 80 -j DROP", "no"),
        ("[9:540] -A INPUT -p tcp -m multiport --dports 22,443 -j DROP", "no"),
        ("[9:540] -A INPUT -p tcp -m multiport --dports 79:81 -j REJECT", "all"),
        ("[9:540] -A INPUT -i eth1 -j DROP", "no"),
        ("[9:540] -A INPUT -m conntrack --ctstate INVALID -j DROP", "no"),
        ("[9:540] -A INPUT -s 0.0.0.0/0 -j DROP", "all"),
        ("ip saddr { 0.0.0.0/8, 192.0.2.0/24 } drop", "source"),
        ("ip saddr @bogons counter drop", "source"),
        ("ip saddr != 10.0.0.0/8 tcp dport 80 drop", "all"),
        ("ip daddr 10.0.0.10 tcp dport { 80, 443 } reject", "all"),
        ("ip daddr 10.0.0.10 tcp dport 443 drop", "no"),
        ("ct state invalid drop", "no"),
        ('iifname "eth1" drop', "no"),
        ("meta l4proto udp drop", "no"),
        ("policy of INPUT: drop", "all"),
        ("something nobody knows", "all"),
    ],
)
def test_what_a_rule_can_have_to_do_with_a_clients_first_packet(rule: str, expected: str) -> None:
    asked = FirstPacket(source="192.0.2.77", vip=VIP, protocol="tcp", port=80, interface="eth0")
    assert reach(rule, asked) == expected


def test_rules_that_drop_others_are_no_fault() -> None:
    farm = Farm()
    for state in farm.world.servers.values():
        state.filters = seen(NFT, UFW)
    report = farm.verify()
    assert report.verdict == "pass"
    assert find(report, "vip.probe", "web2").outcome == "pass"
