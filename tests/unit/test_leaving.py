"""A server's own filter that drops its replies: found by its rules, and told with the command that lets them out."""

from __future__ import annotations

import msgspec
import pytest

from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.packet_filter import FilterChain
from tests.fakes.filters import chains, legacy
from tests.unit.diagnosed import Altered, Farm, find, only

RIP = "10.0.0.102"
LEGACY = """iptables-legacy
*filter
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [9:540]
:egress - [0:0]
[0:0] -A INPUT -s 192.0.2.0/24 -j DROP
[9:540] -A OUTPUT -o eth0 -j egress
[0:0] -A egress -p tcp -m tcp --dport 25 -j REJECT --reject-with icmp-port-unreachable
[9:540] -A egress -s 10.0.0.10/32 -p tcp -m tcp --sport 80 -j DROP
COMMIT
"""
NFT = """nft
table inet guard {
\tchain out {
\t\ttype filter hook output priority filter; policy accept;
\t\tip saddr 10.0.0.10 tcp sport 80 counter packets 9 bytes 540 drop
\t}
}
"""


def leaving(nft: str = "", four: str = "") -> tuple[FilterChain, ...]:
    return chains(*([four.splitlines()] if four else []), nft=nft)


def lost(filters: tuple[FilterChain, ...]) -> Report:
    """web2 answers, as its half-open connections show, and no answer arrives."""
    farm = Farm()
    farm.server("web2").filters = filters

    def silent(probed: Probed) -> Probed:
        if probed.rip != RIP:
            return probed
        return msgspec.structs.replace(probed, signature="silence", answered_by="", source="")

    return farm.verify(wire=Altered(farm, probe=silent))


@pytest.mark.parametrize(
    ("filters", "rule", "command"),
    [
        (
            leaving(four=LEGACY), "--sport 80 -j DROP",
            "iptables-legacy -I OUTPUT -s 10.0.0.10 -p tcp --sport 80 -j ACCEPT (undo: the same with -D)",
        ),
        (
            leaving(NFT), "tcp sport 80 counter packets 9 bytes 540 drop",
            "nft insert rule inet guard out ip saddr 10.0.0.10 tcp sport 80 accept",
        ),
    ],
)  # fmt: skip
def test_a_rule_of_the_server_is_named_and_not_the_network(
    filters: tuple[FilterChain, ...], rule: str, command: str
) -> None:
    check = only(lost(filters))
    assert (check.check, check.cause, check.host) == ("vip.probe", "firewall", "web2")
    assert "drops its own replies" in check.message
    assert rule in check.evidence
    assert check.fix.startswith(f"On web2: {command}")


def test_rules_that_let_replies_out_leave_it_at_the_network() -> None:
    mail = LEGACY.replace("-s 10.0.0.10/32 -p tcp -m tcp --sport 80", "-s 10.0.0.11/32 -p tcp -m tcp --sport 80")
    check = only(lost(leaving(four=mail)))
    assert (check.cause, check.host) == ("spoof-filter", "web2")


REPLIES = [
    ("OUTPUT -s 10.0.0.10/32 -j DROP", "firewall"),
    ("OUTPUT -p tcp -m tcp --sport 80 -j REJECT", "firewall"),
    ("POSTROUTING -o eth0 -s 10.0.0.0/24 ! -d 10.0.0.0/24 -j DROP", "spoof-filter"),  # the probe is of that network
    ("OUTPUT -s 10.0.0.10/32 -m conntrack --ctstate NEW -j DROP", "spoof-filter"),
    ("OUTPUT -s 10.0.0.10/32 -m conntrack --ctstate NEW,ESTABLISHED -j DROP", "firewall"),
    ("OUTPUT -m conntrack ! --ctstate NEW,RELATED -j DROP", "firewall"),
    ("OUTPUT -m conntrack --ctstate INVALID -j DROP", "spoof-filter"),
    ("OUTPUT -p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK -j DROP", "firewall"),
    ("OUTPUT -p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP", "spoof-filter"),
    ("OUTPUT -p tcp -m tcp --dport 25 -j DROP", "spoof-filter"),
    ("OUTPUT -p tcp -m tcp --dport 1024:65535 -j DROP", "firewall"),
    ("OUTPUT -d 192.0.2.0/24 -j DROP", "spoof-filter"),
    ("OUTPUT -s 10.0.0.11/32 -j DROP", "spoof-filter"),
    ("OUTPUT -o eth1 -j DROP", "spoof-filter"),
    ("OUTPUT ! -o lo -j DROP", "firewall"),
    ("OUTPUT -p udp -m udp --sport 80 -j DROP", "spoof-filter"),
    ("OUTPUT -m owner --uid-owner 33 -j DROP", "unknown"),
    ("OUTPUT -m set --match-set bad dst -j DROP", "unknown"),
    ("OUTPUT -m limit --limit 5/sec -j DROP", "unknown"),
    ("ip saddr 10.0.0.10 drop", "firewall"),
    ("tcp sport { 80, 443 } drop", "firewall"),
    ("ct state established drop", "firewall"),
    ('oifname "eth1" drop', "spoof-filter"),
    ("ip daddr @bad drop", "unknown"),
    ("meta skuid 33 drop", "unknown"),
]


def said(report: Report) -> str:
    """The cause that the probe of web2 is given, or its outcome where there is none."""
    check = find(report, "vip.probe", "web2")
    return check.cause or check.outcome


@pytest.mark.parametrize(("rule", "expected"), REPLIES, ids=[rule for rule, _ in REPLIES])
def test_a_rule_that_stops_the_reply_convicts_and_one_that_is_not_decided_convicts_nobody(
    rule: str, expected: str
) -> None:
    if rule.startswith(("OUTPUT", "POSTROUTING")):
        table = "mangle" if rule.startswith("POSTROUTING") else "filter"
        report = lost(chains(legacy(rule, table=table)))
    else:
        hooked = "type filter hook output priority filter; policy accept;"
        report = lost(chains(nft=f"nft\ntable inet x {{\nchain out {{\n{hooked}\n{rule}\n}}\n}}"))
    assert said(report) == expected
    assert (report.verdict == "unknown") == (expected == "unknown")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((), "firewall"),
        (("OUTPUT -o lo -j ACCEPT", "OUTPUT -p tcp -m tcp --dport 443 -j ACCEPT"), "firewall"),
        (("OUTPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",), "spoof-filter"),
        (("OUTPUT ! -o lo -p tcp -m conntrack --ctstate ESTABLISHED -m tcp --sport 80 -j ACCEPT",), "spoof-filter"),
        (("OUTPUT -m owner --uid-owner 0 -j ACCEPT",), "unknown"),
    ],
)
def test_a_policy_that_drops_is_judged_by_what_the_rules_before_it_let_out(
    rules: tuple[str, ...], expected: str
) -> None:
    assert said(lost(chains(legacy(*rules, policies={"OUTPUT": "DROP"})))) == expected


def test_a_reply_to_a_packet_that_is_not_tracked_is_invalid_to_the_rules_of_the_way_out() -> None:
    """xt_conntrack: a SYN-ACK that no SYN went before."""
    raw = legacy("PREROUTING -d 10.0.0.10/32 -p tcp -j CT --notrack", table="raw")
    rule = legacy("OUTPUT -m conntrack --ctstate INVALID -j DROP")
    assert said(lost(chains(raw, rule))) == "firewall"
    both = legacy(
        "PREROUTING -d 10.0.0.10/32 -p tcp -j CT --notrack", "OUTPUT -s 10.0.0.10/32 -p tcp -j CT --notrack",
        table="raw",
    )  # fmt: skip
    assert said(lost(chains(both, rule))) == "spoof-filter"
