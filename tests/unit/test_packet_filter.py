"""What a host's packet filter shows, as its own programs print it, and the one command that lets a VIP's packets in.

The samples are what nft 1.0.6, iptables 1.8.9 and ufw 0.36 print.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from dsrwizard.core.dialects.linux.observe import observe_script, parse
from dsrwizard.core.dialects.linux.packet_filter import LINES, parse_chains, whole_script
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.facts import ServerFacts
from dsrwizard.core.model.packet_filter import CUT, FilterChain
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
\tchain filter_IN_public {
\t\ttcp dport 22 ct state { new, untracked } accept
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


def seen(nft: str = "", four: str = "", six: str = "", **more: str) -> dict[str, list[str]]:
    """The sections that the script prints."""
    texts = {"nft": nft, "legacy4": four, "legacy6": six, **more}
    return {name: text.splitlines() for name, text in texts.items()}


def found(nft: str = "", four: str = "", six: str = "", **more: str) -> tuple[FilterChain, ...]:
    chains, problem = parse_chains(seen(nft, four, six, **more))
    assert chains is not None, problem
    return chains


def test_every_chain_is_read_with_its_hook_its_order_and_its_rules() -> None:
    told = [(one.tool, one.family, one.table, one.name, one.hook, one.priority, one.drops) for one in found(NFT)]
    assert told == [
        ("nft", 0, "inet filter", "input", "input", 0, True),
        ("nft", 0, "inet filter", "later", "", 0, False),
        ("nft", 0, "inet filter", "forward", "forward", 0, True),
        ("nft", 0, "netdev early", "in", "ingress", 0, False),
    ]
    assert found(NFT)[0].rules[2:] == (
        "ip daddr 10.0.0.10 tcp dport 80 counter packets 7 bytes 420 drop", "jump later",
    )  # fmt: skip
    assert found(NFT)[3].devices == ("eth0",)


@pytest.mark.parametrize(
    ("written", "priority", "nat"),
    [
        ("filter hook input priority filter + 10", 10, False),
        ("filter hook prerouting priority raw", -300, False),
        ("filter hook prerouting priority mangle - 5", -155, False),
        ("nat hook prerouting priority dstnat", -100, True),
        ("filter hook input priority -150", -150, False),
        ("filter hook input priority 0", 0, False),
    ],
)
def test_the_order_of_a_chain_of_nft(written: str, priority: int, nat: bool) -> None:
    (chain,) = found(f"nft\ntable inet x {{\n\tchain c {{\n\t\ttype {written}; policy accept;\n\t}}\n}}")
    assert (chain.priority, chain.nat) == (priority, nat)


def test_tables_of_iptables_have_the_order_of_the_kernel() -> None:
    tables = "\n".join(f"*{name}\n:PREROUTING ACCEPT [0:0]\nCOMMIT" for name in ("nat", "mangle", "raw"))
    order = sorted(found(four=f"iptables-legacy\n{tables}"), key=lambda one: one.priority)
    assert [(one.table, one.nat) for one in order] == [("raw", False), ("mangle", False), ("nat", True)]


def test_a_table_of_nft_that_iptables_wrote_is_read_in_the_words_of_iptables() -> None:
    both = found(NFT_OF_IPTABLES, nft4=LEGACY.replace("iptables-legacy", "iptables-nft"))
    assert {(one.tool, one.table) for one in both} == {("iptables-nft", "raw"), ("iptables-nft", "filter")}
    (alone,) = found(NFT_OF_IPTABLES)
    assert (alone.tool, alone.table) == ("nft", "ip filter")


@pytest.mark.parametrize(
    "refused",
    ["nft\nOperation not permitted (you must be root)", "nft\nnetlink: Error: Could not open: Permission denied"],
)
def test_what_may_not_be_read_is_unknown_and_not_empty(refused: str) -> None:
    chains, problem = parse_chains(seen(refused))
    assert (chains, "root" in problem) == (None, True)


def test_a_host_without_a_program_that_lists_rules_is_unknown_and_not_open() -> None:
    chains, problem = parse_chains(seen(programs=""))
    assert (chains, "No program" in problem) == (None, True)
    assert parse_chains(seen(programs="nft")) == ((), "")


def test_a_host_that_filters_nothing_is_not_an_unknown_one() -> None:
    assert found("nft") == ()
    assert found(nft4="iptables-nft") == ()


def test_an_answer_that_was_cut_short_says_nothing_of_what_it_does_not_show() -> None:
    assert parse_chains(seen("nft\n" + "table ip nat {\n" * LINES))[0] is None


def test_a_rule_whose_end_was_not_read_decides_nothing() -> None:
    long = " ".join(f"10.9.{one // 250}.{one % 250}," for one in range(900))
    farm = broken(found(NFT.replace("tcp dport 22 accept", f"ip saddr {{ {long} }} accept")))
    farm.server("web2").filters = found(
        NFT.replace("\t\tct state", f"\t\tip saddr {{ {long} }} drop\n\t\tct state").replace("10.0.0.10", "10.9.9.9")
        .replace("policy drop", "policy accept")
    )  # fmt: skip
    report = farm.verify()
    assert report.failures == ()
    assert "could not be decided" in find(report, "vip.probe", "web2").evidence


def run(tmp_path: Path, **programs: str) -> ServerFacts:
    """What the observing script sees where these programs, and no others of their kind, print this."""
    for name in (
        "nft",
        "ipset",
        *(f"{ip}tables{kind}-save" for ip in ("ip", "ip6") for kind in ("", "-legacy", "-nft")),
    ):
        program = tmp_path / name
        sample = tmp_path / f"{name}.said"
        sample.write_text(programs.get(name.replace("-", "_"), ""))
        program.write_text(f"#!/bin/sh\ncat {sample}\n")
        program.chmod(0o755)
    script = observe_script("n0nce", [], closely=True, vips=[Vip(address=VIP, services=())], rips=["10.0.0.102"])
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = subprocess.run(["sh"], input=script, capture_output=True, text=True, check=False, env=environment)
    return parse("here", "n0nce", done.stdout)


def chains_of(facts: ServerFacts) -> tuple[FilterChain, ...]:
    assert facts.linux is not None
    assert facts.linux.chains is not None, facts.linux.chains_problem
    return facts.linux.chains


def test_the_script_asks_nft_in_any_posix_shell(tmp_path: Path) -> None:
    assert chains_of(run(tmp_path, nft=NFT.removeprefix("nft\n"))) == found(NFT)
    assert "list ruleset" not in observe_script("n0nce", [])


@pytest.mark.parametrize("shown_by", ["proc/modules", "lib/modules/6.1/modules.builtin", None])
@pytest.mark.parametrize("legacy", ["filter\n", "", None])
def test_what_the_kernel_has_is_asked_for_and_nothing_else(
    tmp_path: Path, shown_by: str | None, legacy: str | None
) -> None:
    """A host without nft: its nf_tables are listed for both families where its kernel has them, as a module or built
    in, and the tables of iptables-legacy where it has some. Whether it has nf_tables is looked at once."""
    programs = {
        "proc/sys/kernel/osrelease": "6.1\n",
        "proc/modules": "xt_nf_tables 1 0 - Live 0x0\n",
        "lib/modules/6.1/modules.builtin": "kernel/net/netfilter/nf_conntrack.ko\n",
        "bin/grep": f'#!/bin/sh\necho . >>{tmp_path}/greps\nexec {shutil.which("grep")} "$@"\n',
    }
    for six in ("", "6"):
        for kind in ("legacy", "nft"):
            programs[f"bin/ip{six}tables-{kind}-save"] = f"#!/bin/sh\necho '*filter by {kind}'\n"
        if legacy is not None:
            programs[f"proc/net/ip{six}_tables_names"] = legacy
    if shown_by == "proc/modules":
        programs[shown_by] += "nf_tables 1 0 - Live 0x0\n"
    elif shown_by:
        programs[shown_by] += "kernel/net/netfilter/nf_tables.ko\n"
    for name, text in programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    for name in ("awk", "cat", "head"):
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or "")
    script = (
        whole_script("n0nce").replace("/proc/", f"{tmp_path}/proc/").replace("/lib/modules", f"{tmp_path}/lib/modules")
    )
    script = script.replace(":/usr/sbin:/sbin", "")
    done = subprocess.run(
        [shutil.which("sh") or "sh"], input=script, capture_output=True, text=True, check=True,
        env={"PATH": str(tmp_path / "bin")},
    )  # fmt: skip
    said = {name: re.findall("by [a-z]+", text) for name, text in re.findall(r"n0nce:(\w+)==\n([^=]*)", done.stdout)}
    assert done.stderr == ""
    for six in "46":
        assert said[f"legacy{six}"] == (["by legacy"] if legacy else [])
        assert said[f"nft{six}"] == (["by nft"] if shown_by else [])
    assert (tmp_path / "greps").read_text().count(".") <= 2


SERVICES = """*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SVC-MINE - [0:0]
:KUBE-SVC-OTHER - [0:0]
:KUBE-SEP-MINE - [0:0]
[9:540] -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
[0:0] -A OUTPUT -j KUBE-SERVICES
[0:0] -A KUBE-SERVICES -d 10.96.0.99/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-OTHER
[0:0] -A KUBE-SERVICES -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-MINE
[0:0] -A KUBE-SERVICES ! -d 10.96.0.1/32 -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
[0:0] -A KUBE-SVC-OTHER -j DNAT --to-destination 10.244.0.9:80
[0:0] -A KUBE-SVC-MINE -j KUBE-SEP-MINE
[0:0] -A KUBE-SEP-MINE -p tcp -m tcp -j DNAT --to-destination 10.244.1.5:8080
COMMIT
*filter
:INPUT ACCEPT [12:800]
[3:180] -A INPUT -d 10.96.0.99/32 -j DROP
COMMIT
"""


@pytest.mark.parametrize("awk", ["mawk", "gawk", "busybox awk", "original-awk"])
def test_of_the_table_nat_only_what_the_vip_may_meet_is_sent(tmp_path: Path, awk: str) -> None:
    if shutil.which(awk.split(maxsplit=1)[0]) is None:
        awk = "awk"
    folder = tmp_path / "awk of it"
    folder.mkdir()
    (folder / "awk").write_text(f'#!/bin/sh\nexec {shutil.which(awk.split()[0])} {" ".join(awk.split()[1:])} "$@"\n')
    (folder / "awk").chmod(0o755)
    script = re.search(r"near='\n.*?\n}'", observe_script("n", [], closely=True, vips=[
        Vip(address=VIP, services=())]), re.DOTALL)  # fmt: skip
    assert script is not None
    done = subprocess.run(
        ["sh", "-c", f'{script[0]}\nawk "$near"'], input=SERVICES, capture_output=True, text=True, check=True,
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
    )  # fmt: skip
    kept = found(four=f"iptables-legacy\n{done.stdout}")
    assert [one.name for one in kept if one.table == "nat"] == [
        "PREROUTING", "INPUT", "KUBE-SERVICES", "KUBE-NODEPORTS", "KUBE-SVC-MINE", "KUBE-SEP-MINE",
    ]  # fmt: skip
    assert "10.96.0.99" not in done.stdout.partition("*filter")[0]
    assert [one.rules for one in kept if one.table == "filter"] == [("[3:180] -A INPUT -d 10.96.0.99/32 -j DROP",)]


def test_of_a_very_large_set_the_first_elements_are_sent_and_the_rest_is_said_to_be_missing(tmp_path: Path) -> None:
    lines = ",\n\t\t\t     ".join(f"10.{one // 250}.{one % 250}.1" for one in range(3000))
    table = f"table ip x {{\n\tset bad {{\n\t\ttype ipv4_addr\n\t\telements = {{ {lines} }}\n\t}}\n\n"
    table += "\tchain c {\n\t\ttype filter hook input priority filter; policy accept;\n\t\tip saddr @bad drop\n\t}\n}\n"
    (chain,) = chains_of(run(tmp_path, nft=table))
    ((name, elements),) = chain.sets
    assert (name, "10.0.0.1" in elements, CUT in elements, len(elements) < 600) == ("bad", True, True, True)


# -- what verify makes of it


def broken(filters: tuple[FilterChain, ...] | None, vip: str = VIP) -> Farm:
    farm = Farm(addresses=(vip,))
    firewall(farm, "web2")
    farm.server("web2").filters = filters
    return farm


@pytest.mark.parametrize(
    ("sections", "command"),
    [
        (seen(NFT), "nft insert rule inet filter input ip daddr 10.0.0.10 tcp dport 80 accept"),
        (
            seen(NFT_OF_IPTABLES, nft4=LEGACY.replace("iptables-legacy", "iptables-nft")),
            "iptables-nft -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT",
        ),
        (seen("nft", LEGACY), "iptables-legacy -I INPUT -d 10.0.0.10 -p tcp --dport 80 -j ACCEPT"),
        (seen("nft", UFW), "ufw prepend allow proto tcp to 10.0.0.10 port 80"),
        (
            seen(FIREWALLD),
            'firewall-cmd --zone="$(firewall-cmd --get-zone-of-interface=eth0 || firewall-cmd --get-default-zone)" '
            "--add-rich-rule="
            '\'rule family="ipv4" destination address="10.0.0.10" port port="80" protocol="tcp" accept\'',
        ),
    ],
)
def test_the_fix_is_told_to_the_program_that_drops_with_its_undo(sections: dict[str, list[str]], command: str) -> None:
    check = only(broken(parse_chains(sections)[0]).verify())
    assert (check.cause, check.host) == ("firewall", "web2")
    assert check.fix.startswith(f"On web2: {command} (undo: ")


def test_the_rule_that_drops_is_the_evidence() -> None:
    assert "packets 7 bytes 420 drop" in only(broken(found(NFT)).verify()).evidence


def test_where_two_programs_filter_the_one_that_drops_is_told() -> None:
    other = NFT.replace("10.0.0.10", "10.0.0.77").replace("policy drop", "policy accept")
    check = only(broken(found(other, LEGACY)).verify())
    assert check.fix.startswith("On web2: iptables-legacy -I INPUT")


def test_where_two_programs_drop_both_are_told() -> None:
    check = only(broken(found(NFT, LEGACY)).verify())
    assert "nft insert rule inet filter input" in check.fix
    assert "&& nft insert" in check.fix or "&& iptables-legacy -I INPUT" in check.fix


def test_an_ipv6_vip_is_let_in_by_the_rules_of_ipv6() -> None:
    six = LEGACY.replace("iptables-legacy", "ip6tables-legacy").replace("10.0.0.10/32", "fd00::10/128")
    check = only(broken(found("", LEGACY, six), VIP6).verify())
    assert check.fix.startswith("On web2: ip6tables-legacy -I INPUT -d fd00::10 -p tcp --dport 80 -j ACCEPT")
    native = only(broken(found(NFT), VIP6).verify())
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
    said = [one for one in report.not_seen if "packet filter of web2" in one]
    assert bool(said) == hidden
    assert all("Only root may read" in one for one in said)


def test_rules_that_drop_others_are_no_fault() -> None:
    farm = Farm()
    for state in farm.world.servers.values():
        state.filters = found(NFT, UFW)
    report = farm.verify()
    assert report.verdict == "pass"
    assert find(report, "vip.probe", "web2").outcome == "pass"
