"""A server's own filter that drops its replies: found by its rules, and told with the command that lets them out."""

from __future__ import annotations

import msgspec
import pytest

from dsrwizard.core.diagnosis.linux.leaving import drops_replies
from dsrwizard.core.dialects.linux.packet_filter import parse_filters, parse_leaving
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.facts import PacketFilter
from tests.unit.diagnosed import VIP, Altered, Farm, only

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


def leaving(nft: str = "", four: str = "") -> tuple[PacketFilter, ...]:
    return parse_leaving({"filter": nft.splitlines(), "filter4": four.splitlines()})


def lost(filters: tuple[PacketFilter, ...]) -> Report:
    """web2 answers, as its half-open connections show, and no answer arrives."""
    farm = Farm()
    farm.server("web2").leaving = filters

    def silent(probed: Probed) -> Probed:
        if probed.rip != RIP:
            return probed
        return msgspec.structs.replace(probed, signature="silence", answered_by="", source="")

    return farm.verify(wire=Altered(farm, probe=silent))


def test_what_drops_on_the_way_out_is_kept_apart_from_what_drops_on_the_way_in() -> None:
    sections = {"filter": [], "filter4": LEGACY.splitlines()}
    assert [one.chain for one in parse_filters(sections) or ()] == ["filter INPUT"]
    (out,) = parse_leaving(sections)
    assert (out.tool, out.chain, len(out.rules)) == ("iptables-legacy", "filter OUTPUT", 2)


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
    filters: tuple[PacketFilter, ...], rule: str, command: str
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


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("-A OUTPUT -s 10.0.0.10/32 -j DROP", True),
        ("-A OUTPUT -p tcp -m tcp --sport 80 -j REJECT", True),
        ("-A POSTROUTING -o eth0 -s 10.0.0.0/24 ! -d 10.0.0.0/24 -j DROP", True),
        ("-A OUTPUT -s 10.0.0.10/32 -m conntrack --ctstate NEW -j DROP", False),
        ("-A OUTPUT -s 10.0.0.10/32 -m conntrack --ctstate NEW,ESTABLISHED -j DROP", True),
        ("-A OUTPUT -m conntrack --ctstate INVALID -j DROP", False),
        ("-A OUTPUT -p tcp -m tcp --dport 25 -j DROP", False),
        ("-A OUTPUT -m owner --uid-owner 33 -j DROP", False),
        ("-A OUTPUT -m set --match-set bad dst -j DROP", False),
        ("-A OUTPUT -d 192.0.2.0/24 -j DROP", False),
        ("-A OUTPUT -s 10.0.0.11/32 -j DROP", False),
        ("-A OUTPUT -o eth1 -j DROP", False),
        ("-A OUTPUT -p udp -m udp --sport 80 -j DROP", False),
        ("policy of OUTPUT: drop", False),
        ("ip saddr 10.0.0.10 drop", True),
        ("tcp sport { 80, 443 } drop", True),
        ('oifname "eth1" drop', False),
        ("ip daddr @bad drop", False),
        ("meta skuid 33 drop", False),
    ],
)
def test_only_a_rule_that_stops_every_reply_convicts(rule: str, expected: bool) -> None:
    assert drops_replies(rule, VIP, "tcp", 80, "eth0") is expected
