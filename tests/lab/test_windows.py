"""Two Linux servers and a Windows server behind one VIP, the whole way, with real packets.

The Windows server is a model behind a real WinRM endpoint that stands in the place of web3; its state is enforced on
that host's network (see `tests.windows.lab_host`). Nothing of this has run on Windows. The tests go on from each other.
"""

from __future__ import annotations

import base64
import json
import secrets
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.harness import SERVERS, VIP, Lab, Process, Result
from tests.lab.terminal import ENTER, NEXT, QUIT, RIGHT, SECONDS, Terminal
from tests.windows.faults import FAULTS
from tests.windows.pwsh.found import needed

pytestmark = [pytest.mark.lab, pytest.mark.long]

PASSWORD = f"canary-{secrets.token_hex(8)}"
"""Looked for afterwards wherever it must not be."""
REPOSITORY = str(Path(__file__).resolve().parents[2])
FARM, LINUX = "/lab/mixed.toml", "/lab/linux.toml"
ASKS = "(?i)password (for|of) Administrator"
SPACE, DOWN, TEST = " ", "\x1b[B", "\x14"
ALL = {"web1", "web2", "win1"}

HEAD = """name = "mixed"

[director]
interface = "eth0"

[[vips]]
address = "10.0.0.10"
[[vips.services]]
protocol = "tcp"
port = 80
scheduler = "rr"

[client]
address = "203.0.113.10"
user = "root"
identity_file = "~/.ssh/id_ed25519"

[[servers]]
name = "web1"
address = "10.0.0.101"
user = "root"
identity_file = "~/.ssh/id_ed25519"

[[servers]]
name = "web2"
address = "10.0.0.102"
user = "root"
identity_file = "~/.ssh/id_ed25519"
"""
WINDOWS = """
[[servers]]
name = "win1"
address = "10.0.0.103"
connect = "winrm"
"""

# Runs on the director: one engine that verifies at each line, as the wizard's Verify does at each key.
VERIFIES = """
import json, sys
from pathlib import Path
from dsrwizard.core.intake.deployment_file import load
from dsrwizard.core.model.secret import Secret
from dsrwizard.cli.wiring import build_engine

class Operator:
    def __init__(self): self.password, self.asked = Secret(sys.stdin.readline().strip()), []
    def secret(self, question):
        self.asked.append(question.kind)
        return self.password
    def accept_key(self, question):
        self.asked.append("key")
        return False
operator, deployment = Operator(), load(Path(sys.argv[1]))
engine = build_engine(operator)
for line in sys.stdin:
    report = engine.verify(deployment)
    failed = [[check.cause, check.host, f"{check.message} {check.evidence}"] for check in report.failures]
    probes = [check.outcome for check in report.checks if (check.check, check.host) == ("vip.probe", "win1")]
    told = {"verdict": report.verdict, "failed": failed, "probes": probes, "asked": operator.asked}
    print(json.dumps(told), flush=True)
"""
TOGETHER = (
    ("weak-host, receive on the NIC", "firewall, rule removed"),
    ("arp-leak, VIP on the NIC", "site-binding, listen list"),
    ("vip-missing", "site-binding, explicit address"),
    ("weak-host, send on the loopback", "windows-adapter, DHCP", "rip-only-listener"),
    (
        "windows-adapter, DNS registration", "windows-adapter, NetBIOS", "vip-prefix", "not-persistent",
        "gateway, none", "address-conflict",
    ),
)  # fmt: skip
"""Each fault alone, and all pairs, are tried on the model without a network. Here they meet what the wire shows."""


class Answering:
    """A process that answers each line with one line of JSON."""

    def __init__(self, process: Process) -> None:
        self.process = process

    def __call__(self, line: str, seconds: float = SECONDS) -> Any:
        before = self.process.stdout.count("\n")
        self.process.send(f"{line}\n")
        arrived = self.process.wait_for(lambda: self.process.stdout.count("\n") > before, seconds)
        assert arrived, f"{line}: no answer\n{self.process.stderr}"
        return json.loads(self.process.stdout.splitlines()[before])


class Farm:
    """The lab with its Windows host."""

    def __init__(self, lab: Lab, process: Process) -> None:
        self.lab = lab
        self.tell = Answering(process)
        self.fingerprint: str = self.tell(PASSWORD)["ready"]
        self.before = self.state()
        self.screens: list[str] = []

    def state(self) -> Any:
        return self.tell("state")["state"]

    def dsrwizard(self, *arguments: str) -> Result:
        """A command on a terminal, on which the password is typed."""
        with Terminal(self.lab, ["dsrwizard", *arguments]) as terminal:
            terminal.expect(ASKS)
            terminal.press(PASSWORD, ENTER)
            result = terminal.process.wait(SECONDS)
            self.screens.append(result.stdout)
            return result

    def answering(self) -> set[str]:
        return set(self.lab.requests(VIP, 6))


@pytest.fixture(scope="module")
def farm(lab: Lab) -> Iterator[Farm]:
    """web3 is win1 from now on: no SSH, WinRM on port 5986."""
    lab.put(LINUX, HEAD)
    lab.put(FARM, HEAD + WINDOWS)
    lab.stop_sshd("web3")
    lab.run("web3", "hostname win1; lab-service stop; lab-service start").ok()
    program = [
        "env",
        f"DSRWIZARD_PWSH={needed()}",
        sys.executable,
        "-m",
        "tests.windows.lab_host",
        "--address",
        "10.0.0.103",
        "--address6",
        "fd00:10::103",
    ]
    with lab.spawn("web3", program, cwd=REPOSITORY) as process:
        yield Farm(lab, process)


def enter_windows(wizard: Terminal) -> None:
    """The form of a new real server, filled in by keyboard."""
    wizard.press("a")
    wizard.expect("Its name in the")
    wizard.press("win1", ENTER)
    wizard.expect("Its own address")
    wizard.press("10.0.0.103", ENTER)
    wizard.expect("Only for IPv6 VIPs")
    wizard.press(ENTER)
    wizard.expect("Twice the weight")
    wizard.press(ENTER)
    wizard.expect("ssh, winrm: dsrwizard sets it up")
    wizard.press(SPACE)
    wizard.expect("winrm +Windows, set up by dsrwizard")
    wizard.press(DOWN, ENTER)
    wizard.expect("WinRM port")


def test_it_is_deployed_by_keyboard(farm: Farm) -> None:
    lab = farm.lab
    with Terminal(lab, ["env", f"DSRWIZARD_LAB={LINUX}", "dsrwizard"]) as wizard:
        wizard.expect("VIP and services")
        wizard.press(NEXT)
        wizard.expect("Load balancer")
        wizard.press(NEXT)
        wizard.expect("Client host")
        enter_windows(wizard)
        wizard.press(TEST)
        wizard.expect("Untrusted certificate: win1")
        assert farm.fingerprint in wizard.text
        wizard.press(RIGHT, ENTER)
        wizard.expect(ASKS)
        wizard.press(PASSWORD, ENTER)
        wizard.expect("Windows Server 2022")
        wizard.expect("administrator")
        assert farm.state() == farm.before, "a test changes nothing"
        wizard.press(NEXT)
        wizard.expect("steps on 4 hosts")
        wizard.press(NEXT)
        wizard.expect("Apply this plan")
        wizard.press(RIGHT, ENTER)
        wizard.expect("Done: all 4 hosts")
        wizard.press(NEXT)
        wizard.expect("Everything works")
        wizard.press(NEXT)
        wizard.expect("3/3 up")
        assert farm.answering() == ALL
        farm.tell("fault weak-host, receive on the NIC")
        wizard.expect("2/3 up")
        farm.tell("cure")
        wizard.expect("3/3 up")
        seen = lab.run("director", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'").stdout
        assert "DSRWIZARD_LAB" in seen
        assert PASSWORD not in seen
        wizard.press(QUIT)
        farm.screens.append(wizard.process.wait(SECONDS).stdout)


def test_a_second_apply_changes_nothing(farm: Farm) -> None:
    before = farm.state()
    said = farm.dsrwizard("apply", FARM, "--yes").ok().stdout
    assert "No change." in said
    assert farm.state() == before


@pytest.mark.cases
def test_every_fault_is_named(farm: Farm) -> None:
    with farm.lab.spawn("director", [sys.executable, "-c", VERIFIES, FARM]) as process:
        process.send(f"{PASSWORD}\n")
        verify = Answering(process)
        for names in TOGETHER:
            for name in names:
                assert farm.tell(f"fault {name}") == {"fault": None}
            report = verify("")
            farm.tell("cure")
            named = {(cause, host) for cause, host, _ in report["failed"]}
            told = " ".join(text for _, _, text in report["failed"])
            assert named == {(FAULTS[name].cause, "win1") for name in names}, (names, report["failed"])
            answers = not any(FAULTS[name].stops for name in names)
            assert [outcome == "pass" for outcome in report["probes"]] == [answers], names
            assert all(word in told for word in ("DNS", "NetBIOS", "DHCP") if any(word in name for name in names)), told
        assert len(report["asked"]) == 1, "one login for all of them"
        farm.screens.append(process.stdout + process.stderr)


def test_teardown_leaves_everything_as_it_was(farm: Farm) -> None:
    farm.dsrwizard("teardown", FARM, "--yes").ok()
    assert farm.state() == farm.before
    assert farm.tell("not-modelled") == {"not-modelled": []}
    assert farm.tell("shells") == {"shells": 0}
    assert farm.lab.run("director", "ipvsadm -Sn").ok().stdout == ""
    for host in ("director", *SERVERS):
        assert f" {VIP}/" not in farm.lab.run(host, "ip -4 -o addr").ok().stdout


def test_the_password_stays_nowhere(farm: Farm) -> None:
    basic = base64.b64encode(f"Administrator:{PASSWORD}".encode()).decode()
    state = "~/.local/state/dsrwizard/known_certificates"
    look = f"find /tmp /var/tmp /var/log /run /lab /dev/shm -type f -newer {LINUX}"
    looked = farm.lab.run("director", f"ls {state}; {look} 2>/dev/null").stdout
    first, *others = looked.splitlines()
    assert first.endswith("/known_certificates")
    assert first in others, "the state is looked through"
    kept = farm.lab.run("director", f"{look} -exec grep -lF -e {PASSWORD} -e {basic} {{}} + 2>/dev/null").stdout
    assert kept == ""
    assert not any(PASSWORD in screen for screen in farm.screens)
    assert PASSWORD not in farm.lab.log()
