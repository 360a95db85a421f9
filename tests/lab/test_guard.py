"""A guard on a real director: dead servers leave the table and come back; one that is cut off changes nothing."""

from __future__ import annotations

import re

import pytest

from backends.lab.guest import wizard_command
from tests.lab.guards import rounds
from tests.lab.harness import SERVERS, VIP, Lab, Process
from tests.lab.test_deploy import answers, clean, deployment, write

__all__ = ["clean"]
pytestmark = [pytest.mark.lab, pytest.mark.long]
URL = f"http://{VIP}/"
CABLE = "nsenter --target=1 --net ip link set vdirector"
"""The director's, at the switch."""


def weights(lab: Lab) -> dict[str, int]:
    """Real server → its weight in IPVS."""
    table = lab.run("director", "ipvsadm -Sn").ok().stdout
    found = re.findall(r"-r 10\.0\.0\.10(\d):80 -g -w (\d+)", table)
    return {f"web{number}": int(weight) for number, weight in found}


def until(lab: Lab, server: str, weight: int) -> None:
    """Waits until the server has this weight."""
    lab.wait("director", f"ipvsadm -Sn | grep -q -e '-r 10.0.0.10{server[-1]}:80 -g -w {weight}$'")


def guarding(lab: Lab, file: str) -> Process:
    process = lab.spawn("director", wizard_command("guard", file))
    process.expect("Guarding shop")
    return process


def test_dead_servers_leave_the_table_and_come_back_and_a_blind_guard_leaves_it_alone(clean: Lab) -> None:
    lab = clean
    file = write(lab, deployment(client=False))
    lab.dsrwizard("apply", file, "--yes").ok()
    with guarding(lab, file) as guard:
        rounds(lab)
        assert weights(lab) == dict.fromkeys(SERVERS, 1)
        assert lab.dsrwizard("guard", file, "--once").status == 3, "there is one at work"

        lab.run("web2", f"ip addr del {VIP}/32 dev lo").ok()
        until(lab, "web2", 0)
        assert set(answers(lab, URL, 12)) == {"web1", "web3"}
        status = lab.dsrwizard("status", file)
        assert "Guard: holds out web2" in status.stdout
        assert "A guard holds it out" in status.stdout
        lab.run("web3", f"iptables-legacy -A INPUT -d {VIP} -j DROP").ok()
        guard.expect("50 % of its 3 servers stay in")
        assert weights(lab) == {"web1": 1, "web2": 0, "web3": 1}
        lab.run("web3", f"iptables-legacy -D INPUT -d {VIP} -j DROP").ok()
        lab.run("web2", f"ip addr add {VIP}/32 dev lo").ok()
        until(lab, "web2", 1)
        assert set(answers(lab, URL, 12)) == set(SERVERS)

        lab.run("director", f"{CABLE} down").ok()
        guard.expect("nothing is changed: Interface eth0 has no link")
        rounds(lab)
        assert weights(lab) == dict.fromkeys(SERVERS, 1)
        lab.run("director", f"{CABLE} up").ok()
        guard.expect("All alarms are over.")
        rounds(lab)
        assert weights(lab) == dict.fromkeys(SERVERS, 1)

        lab.run("web1", f"ip addr del {VIP}/32 dev lo").ok()
        until(lab, "web1", 0)
        guard.kill()
    assert "The guard is not running" in lab.dsrwizard("status", file).stdout
    with guarding(lab, file) as guard:
        rounds(lab)
        assert weights(lab)["web1"] == 0
        lab.run("web1", f"ip addr add {VIP}/32 dev lo").ok()
        until(lab, "web1", 1)
        guard.signal(15)
        assert guard.wait().status == 0
    events = lab.dsrwizard("events", file).stdout
    assert "guard: Weight 1 → 0 for web2 in 10.0.0.10 tcp/80. No answer." in events
    assert "guard: Weight 0 → 1 for web2 in 10.0.0.10 tcp/80. It answers again" in events
    assert lab.dsrwizard("guard", file, "--once").ok().stdout == "Nothing is held out.\n"
    lab.dsrwizard("teardown", file, "--yes").ok()
