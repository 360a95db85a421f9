"""Faults of the lab: each one made is named, where it was made, and nothing else; what a step can cure is cured.

Faults on different servers are made together where neither hides the other, which also shows that they are told apart.
Left to `tests/bench/fault_matrix.py`: each alone, the missing service (it hides every destination), seeded pairs.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from backends.lab import naming
from dsrwizard.core.model.causes import CURABLE
from tests.lab.harness import DEPLOYMENT_FILE, SERVERS, VIP, Lab
from tests.lab.test_cases import FAULTY
from tests.lab.test_pair_faults import PAIR

pytestmark = [pytest.mark.lab, pytest.mark.long]

TOGETHER = (
    ("rip-only-listener@web1", "vip-missing@web2", "arp-announce@web3", "director-vip@director"),
    ("vip-prefix@web3", "arp-leak@web1", "ipvs-missing@web2", "rp-filter@web2"),
    ("gateway@web1", "firewall@web3", "duplicate-vip@stranger", "ipvs-differs@director", "drained@web2"),
    # The director's table proves a stale entry beside another fault that clients feel.
    ("stale-arp@router", "rip-only-listener@web2", "not-persistent@web3", "ipvs-differs@web1"),
)
APART = (
    ("unreachable@web1", "service-down@web2", "guard-off@director"),
    ("not-on-link@web1", "arp-mismatch@web2", "spoof-filter@web3"),
)
"""Only looked at: no step cures them, and a look waits for the login to a host that does not answer."""
SETTINGS = (
    "ip -o addr | sed 's/valid_lft.*//; s/ tentative//'; ip route; ip -o link | sed 's/ .*//'; "
    "iptables-legacy -S 2>/dev/null; "
    "sysctl -a 2>/dev/null | grep -E 'arp_ignore|arp_announce|rp_filter|base_reachable_time_ms'; "
    "ls -A /etc/sysctl.d /etc/network/interfaces.d; ss -Hltn 'sport = :80'; ipvsadm -Sn 2>/dev/null; ls /run/netns"
)
"""What a mended fault leaves as it was, as one text."""


@dataclass(frozen=True)
class Deployed:
    """A lab with its deployment in force, and what its hosts were like before the first fault."""

    lab: Lab
    before: dict[str, str]
    bare: dict[str, str]
    """The same before the deployment was applied."""

    def fault(self, *names: str) -> None:
        self.lab.dsrwizard("lab", "fault", *names).ok()

    def mend(self, *names: str) -> None:
        self.lab.dsrwizard("lab", "mend", *names).ok()

    def failures(self) -> list[tuple[str, str, str]]:
        """Cause, host and message of every failing check."""
        report = self.lab.dsrwizard("verify", DEPLOYMENT_FILE, "--json").json
        failed = [check for check in report["checks"] if check["outcome"] == "fail"]
        assert report["verdict"] == ("fail" if failed else "pass"), report
        return [(check["cause"], check["host"], check["message"]) for check in failed]


def settings(lab: Lab) -> dict[str, str]:
    return {host: lab.run(host, SETTINGS).stdout for host in ("director", "router", *SERVERS)}


@pytest.fixture(scope="module")
def deployed(lab: Lab) -> Iterator[Deployed]:
    """Mended and passing at the end, with nothing of any fault left on any host."""
    for host in SERVERS:
        lab.run(host, "iptables-legacy -S").ok()  # loads the table, which then stays
    lab.run("director", "ipvsadm -Sn").ok()
    bare = settings(lab)
    lab.dsrwizard("apply", DEPLOYMENT_FILE, "--yes").ok()
    before = settings(lab)
    yield Deployed(lab, before, bare)
    assert settings(lab) == before


def reported(names: tuple[str, ...]) -> set[tuple[str, str]]:
    return {naming.parse(name).reported for name in names}


@pytest.mark.parametrize("names", TOGETHER, ids=" ".join)
def test_what_was_made_is_named_and_nothing_else_and_what_a_step_can_cure_is_cured(
    deployed: Deployed, names: tuple[str, ...]
) -> None:
    try:
        deployed.fault(*names)
        done = deployed.lab.dsrwizard("mend", DEPLOYMENT_FILE, "--yes", "--json").json
    finally:
        deployed.mend()
    found = [fault["before"] for fault in done["faults"]]
    assert {(check["cause"], check["host"]) for check in found} == reported(names), found
    for name in names:
        made = naming.parse(name)
        if made.host in SERVERS:
            assert any(c["cause"] == made.fault.cause and made.host in c["message"] for c in found), found
    for fault in done["faults"]:
        curable = fault["before"]["cause"] in CURABLE
        assert (fault["cured"], fault["by_hand"] == "", bool(fault["steps"])) == (curable,) * 3, fault
    left = {(check["cause"], check["host"]) for check in done["left"]}
    assert left == {(cause, host) for cause, host in reported(names) if cause not in CURABLE}
    assert done["verdict"] == ("fail" if left else "pass"), done


@pytest.mark.parametrize("names", APART, ids=" ".join)
def test_a_server_out_of_reach_hides_no_fault_of_another(deployed: Deployed, names: tuple[str, ...]) -> None:
    try:
        deployed.fault(*names)
        found = deployed.failures()
    finally:
        deployed.mend()
    assert {(cause, host) for cause, host, _ in found} == reported(names), found


def test_everything_mended_passes(deployed: Deployed) -> None:
    assert deployed.failures() == []


def test_a_teardown_after_all_that_mending_is_exact(deployed: Deployed) -> None:
    lab = deployed.lab
    lab.dsrwizard("teardown", DEPLOYMENT_FILE, "--yes").ok()
    after = settings(lab)
    lab.dsrwizard("apply", DEPLOYMENT_FILE, "--yes").ok()
    for host, text in deployed.bare.items():
        assert sorted(after[host].splitlines()) == sorted(text.splitlines()), host


def test_every_cause_of_the_lab_is_made_here_or_among_the_cases() -> None:
    made = {naming.parse(name).fault.cause for names in (*TOGETHER, *APART, *FAULTY, PAIR) for name in names}
    assert made == set(naming.CAUSES)


def test_a_fault_is_made_and_mended_by_name_once_and_only_where_it_makes_sense(deployed: Deployed) -> None:
    lab = deployed.lab
    deployed.fault("vip-missing@web2", "drained@web1")
    again = lab.dsrwizard("lab", "fault", "vip-missing@web2")
    assert (again.status, again.stderr.splitlines()[0]) == (2, "vip-missing@web2 is already active.")
    wide = lab.dsrwizard("lab", "fault", "vip-prefix@web2")
    assert wide.status == 1
    assert f"on web2, {VIP} is not there" in wide.stderr
    assert "Active now: vip-missing@web2, drained@web1" in lab.dsrwizard("lab", "fault").ok().stdout

    deployed.mend("vip-missing@web2")
    assert f"{VIP}/32" in lab.run("web2", "ip -o addr show dev lo").stdout
    other = lab.dsrwizard("lab", "mend", "vip-missing@web2")
    assert (other.status, "Active faults: drained@web1." in other.stderr) == (2, True)
    # Somebody may have put it right in the meantime: mending it then changes nothing and says so all the same.
    lab.run("director", f"ipvsadm -e -t {VIP}:80 -r 10.0.0.101 -g -w 1").ok()
    assert lab.dsrwizard("lab", "mend").ok().stdout == "Mended: drained@web1.\n"
    assert lab.dsrwizard("lab", "mend").ok().stdout == "No fault is active.\n"


def outside(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dsrwizard", "lab", *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "what", "help_"),
    [
        (["--fault", "vip-mising@web1"], "The lab cannot make the fault 'vip-mising'.", "Did you mean vip-missing?"),
        (["--fault", "drained@wbe2"], "The lab has no host 'wbe2'.", "Did you mean web2?"),
        (["--fault", "drained"], "The fault 'drained' needs a host.", "drained@web1, drained@web2 or drained@web3"),
        (["--fault", "firewall@client"], "firewall makes no sense on client.", "firewall@web1, firewall@web2 or"),
        (["--fault", "weak-host@web1"], "The lab cannot make the fault 'weak-host'.", "Faults: unreachable, "),
        (["fault", "drained@web1"], "dsrwizard lab fault works only inside the lab.", "lab --fault drained@web1"),
        (["mend"], "dsrwizard lab mend works only inside the lab.", "dsrwizard lab -- bash"),
    ],
)
def test_what_cannot_be_made_is_said_before_anything_boots(arguments: list[str], what: str, help_: str) -> None:
    refused = outside(*arguments)
    assert refused.returncode == 2
    assert refused.stdout == ""
    assert refused.stderr.splitlines()[0] == what
    assert help_ in refused.stderr


def test_the_lab_boots_with_a_fault() -> None:
    booted = outside("--fault", "drained@web2", "--fault", "stale-arp@client", "--", "sh", "-c", "ipvsadm -Sn; exit 4")
    assert booted.returncode == 4, booted.stderr
    weights = {line.split()[4]: line.split()[-1] for line in booted.stdout.splitlines() if line.startswith("-a")}
    assert weights == {"10.0.0.101:80": "1", "10.0.0.102:80": "0", "10.0.0.103:80": "1"}
