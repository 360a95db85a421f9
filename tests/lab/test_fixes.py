"""Every fix that is a command is run on the fault it is given for: it cures that and nothing else.

The command is taken out of what verify says, and run as root on the host it names. Faults are made together where none
hides another. What is no command is one of `ACTS`, with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from backends.lab.making import HEALTHY, Made
from backends.lab.naming import ALL
from tests.lab.cases import CaseLab, difference, expected, grouped
from tests.lab.harness import DEPLOYMENT_FILE, HOSTS

pytestmark = pytest.mark.long

GROUPS = (
    # The first group is the small one.
    ("vip-missing@web1", "arp-leak@web2", "firewall@web3", "ipvs-differs:extra@director"),
    ("vip-prefix@web1", "arp-announce@web2", "rp-filter@web3", "drained@web2", "director-vip@director"),
    ("not-persistent@web3", "gateway@web2", "ipvs-differs@web1", "director-setting@director"),
    ("firewall:input@director", "not-persistent:later-file@web2"),
    ("firewall:policy@director",),
    ("firewall:output@director", "not-persistent:sysctl-conf@web3"),
    ("firewall:raw@director", "not-persistent:snippet@web3"),
    ("ipvs-differs:fwmark@director", "not-persistent:tuned@web1"),
    ("ipvs-differs:threshold@web2", "arp-leak:twice@web1"),
    ("firewall:lan-only@web3",),
    ("vip-as-source@director",),
    ("director-neighbour@web3", "firewall:mangle@web2", "second-director@web1"),
    ("not-on-link:route@web3", "arp-leak:address@web2", "gateway:blackhole@web1"),
    ("ipvs-missing@web3", "gateway:rule@web1"),
    ("ipvs-missing@director",),
    ("ipvs-differs@director",),
    ("ipvs-differs:persistent@director",),
    ("stale-arp@router",),
    ("director-setting:rp-filter@director",),
    ("service-down@web1", "rip-only-listener@web2", "guard-off@director"),
    ("service-hung@web1", "rip-only-listener:published@web2", "arp-mismatch@web3"),
    ("unreachable@web1", "arp-announce:arping@web2"),
    ("duplicate-rip@web2", "spoof-filter@web3"),
    ("not-on-link@web1", "path-mtu@web3"),
    ("duplicate-vip@stranger",),
    ("spoof-filter:stateful@router",),
    ("spoof-filter:replies@router",),
    ("ipvs-differs:masquerade@web2", "not-persistent:source@web3"),
    ("ipvs-differs:weight@web1", "gateway:vlan@web2", "path-mtu:replies@web3"),
    ("director-setting:drift@director", "arp-leak:vlan@web3"),
    ("director-setting:arp-ignore@director",),
    ("vip-as-source:route@director",),
    ("service-hung:queue@web2", "gateway:overlap@web3"),
    ("firewall:published@director",),
    ("firewall:rpfilter@web3", "unreachable:noarp@web1"),
    ("unreachable:arp-ignore@web2",),
)
ACTS = {
    "unreachable": "somebody has to plug the cable in",
    "unreachable:noarp": "nobody can log in there: it needs the console",
    "unreachable:arp-ignore": "nobody can log in there: it needs the console",
    "not-on-link": "the network's administrator moves the server",
    "service-down": "how a service is started is the application's own matter",
    "service-hung": "the application is restarted, which cuts its connections",
    "service-hung:queue": "the application is restarted, which cuts its connections",
    "gateway:overlap": "the containers get another network, which their own program knows",
    "guard-off": "it is a service that stays, and this machine has no service manager",
    "rip-only-listener": "the application's own configuration says where it listens",
    "rip-only-listener:published": "the container is published anew",
    "duplicate-vip": "the other machine has to be found first",
    "duplicate-rip": "the other machine has to be found first",
    "arp-mismatch": "the program that says so has to be found first",
    "arp-announce:arping": "the program that announces it has to be found first",
    "spoof-filter": "the filter is in a switch",
    "spoof-filter:stateful": "the filter is in a router or firewall of somebody else",
    "spoof-filter:replies": "the filter is in a router or firewall of somebody else",
    "path-mtu": "what drops large packets may be any device on the way",
    "path-mtu:replies": "what drops large packets may be any device on the way",
}
"""Kinds of faults whose fix is an act, each with the reason."""
EITHER = frozenset({"unreachable:arp-ignore"})
"""Of these, what a command cures as long as a neighbour entry from before lets the director in."""
PROGRAMS = frozenset(
    {"arping", "conntrack", "ip", "ip6tables", "ip6tables-legacy", "iptables", "iptables-legacy", "ipvsadm", "nft",
     "mv", "printf", "rm", "sed", "sysctl", "systemctl", "tc"}
)  # fmt: skip
MEANT: dict[str, str] = {
    "firewall": r"iptables|-A |-P ",
    "firewall:input": r"-A |-P ",
    "firewall:policy": r"-A |-P ",
    "firewall:output": r"-A |-P ",
    "firewall:raw": r"-A |-P ",
    "firewall:lan-only": r"-A |-P ",
    "firewall:mangle": r"-A |-P ",
    "not-persistent:later-file": r"\.conf|net\.ipv4",
    "not-persistent:sysctl-conf": r"\.conf|net\.ipv4",
    "not-persistent:tuned": r"tuned|profile|active|lab|\.conf|net\.ipv4",
    "gateway:rule": r"lookup 200",  # the rule is the operator's own: only where its table leads was wrong
    "gateway:blackhole": r"lookup 201",
    "rp-filter": r"rp_filter|90-|\.conf",
    "director-setting:rp-filter": r"rp_filter",
}
"""What a fix may leave other than it was before the fault, as a pattern of lines."""


@dataclass(frozen=True)
class Command:
    """What an operator types, and on which host."""

    host: str
    text: str


def command_of(fix: str) -> Command | None:
    """The command of a fix; None: it is an act, in words."""
    if re.search(r"\b[Rr]e-?apply\b|\bdsrwizard apply\b|^Apply\b", fix):
        return Command("director", "apply")
    found = re.match(rf"(?:On (?:the )?({'|'.join(HOSTS)}): )?(.*)$", fix, re.DOTALL)
    assert found
    host, text = found[1] or "director", re.sub(r"\s*\(undo: .*?\)(?=$|[.\s])", "", found[2])
    program = text.split(maxsplit=1)[0] if text.split() else ""
    if program.rpartition("/")[2] not in PROGRAMS:
        return None
    return Command(host, re.split(r"\. (?=[A-Z])", text)[0].rstrip(". "))


LEARNED = ("stale-arp", "client")
"""What neighbours have learned from a fault stays with them when it is gone, until it is announced anew."""


def undo_of(fix: str) -> str:
    """The command that takes a fix back, as the fix says it; empty where it says none."""
    told = re.search(r"\(undo: (.*?)\)(?=$|[.\s])", fix)
    command = command_of(fix)
    if told is None or command is None:
        return ""
    if told[1] == "the same with -D":
        return re.sub(r" -[IA] (\S+)", r" -D \1", command.text)
    return told[1] if told[1].split()[0] in PROGRAMS else ""


@pytest.mark.parametrize("names", grouped(GROUPS))
def test_a_fix_that_is_a_command_cures_its_fault_and_nothing_else(cases: CaseLab, names: tuple[str, ...]) -> None:
    before = cases.settings()
    done, undos = [], []
    with cases.made(names) as made:
        said = cases.verify()
        assert said.named == expected(made), said.failed
        acts = []
        for check in said.failed:
            one = _of(made, check)
            command = command_of(check["fix"])
            if command is None:
                assert one.fault.kind in ACTS, f"{one.name}: no command, and no reason why: {check['fix']}"
                acts.append(one)
                continue
            assert one.fault.kind not in ACTS or one.fault.kind in EITHER, (
                f"{one.name} is cured by a command now: {check['fix']}"
            )
            done.append(one)
            _run(cases, command)
            if undo := undo_of(check["fix"]):
                undos.append(Command(command.host, undo))
        for one in acts:
            cases.lab.dsrwizard("lab", "mend", one.name).ok()
        if done:
            after = cases.verify()
            if after.named == {LEARNED} and expected(made) != {LEARNED}:
                for check in after.failed:
                    command = command_of(check["fix"])
                    assert command is not None
                    _run(cases, command)
                after = cases.verify()
            assert after.failed == (), [(check["cause"], check["host"], check["message"]) for check in after.failed]
    for command in undos:
        cases.lab.run(command.host, command.text).ok()
    meant = [MEANT[one.fault.kind] for one in done if one.fault.kind in MEANT]
    changed = difference(before, cases.settings())
    assert [line for line in changed if not any(re.search(pattern, line) for pattern in meant)] == []


def _run(cases: CaseLab, command: Command) -> None:
    if command.text == "apply":
        cases.lab.dsrwizard("apply", DEPLOYMENT_FILE, "--yes").ok()
    else:
        cases.lab.run(command.host, command.text).ok()


def _of(made: Sequence[Made], check: dict[str, str]) -> Made:
    """The fault a check is about."""
    fitting = [one for one in made if one.reported == (check["cause"], check["host"])]
    assert fitting, check
    about = [one for one in fitting if one.host in (check["server"], check["host"])]
    return (about or fitting)[0]


OF_TWO_DIRECTORS = {"split-brain", "orphan-vip", "no-standby"}
"""They need a lab with two directors: `test_pair_fixes` runs their fixes there."""


def test_every_fault_s_fix_is_tried() -> None:
    tried = {name.partition("@")[0] for group in GROUPS for name in group}
    assert {one.kind for one in ALL if one.cause != HEALTHY} <= tried | OF_TWO_DIRECTORS
    assert set(ACTS) <= tried


@pytest.mark.parametrize(
    ("fix", "host", "text"),
    [
        ("On web2: ip addr add 10.0.0.10/32 dev lo", "web2", "ip addr add 10.0.0.10/32 dev lo"),
        ("On web2: iptables-legacy -I INPUT -j ACCEPT (undo: iptables-legacy -D INPUT -j ACCEPT)", "web2",
         "iptables-legacy -I INPUT -j ACCEPT"),
        ("Re-apply the deployment.", "director", "apply"),
        ("On the director: sysctl -w net.ipv4.vs.drop_packet=0", "director", "sysctl -w net.ipv4.vs.drop_packet=0"),
    ],
)  # fmt: skip
def test_a_command_is_told_from_words(fix: str, host: str, text: str) -> None:
    assert command_of(fix) == Command(host, text)


def test_a_fix_is_taken_back_as_it_says() -> None:
    assert undo_of("On web2: iptables -I INPUT -d 10.0.0.10 -j ACCEPT (undo: the same with -D)") == (
        "iptables -D INPUT -d 10.0.0.10 -j ACCEPT"
    )
    assert undo_of("On web2: ip route del 10.9.0.0/24 (undo: ip route add 10.9.0.0/24 dev eth0)") == (
        "ip route add 10.9.0.0/24 dev eth0"
    )
    assert undo_of("On web2: ip addr add 10.0.0.10/32 dev lo") == ""


def test_words_are_no_command() -> None:
    assert command_of("On web2: start the service.") is None
    assert command_of("Restart the application on web2.") is None
