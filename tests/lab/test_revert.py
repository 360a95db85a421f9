"""Servers that put themselves back, on a real kernel: the network is cut, sshd or dsrwizard is killed meanwhile."""

from __future__ import annotations

import pytest

from backends.lab.guest import wizard_command
from tests.lab.harness import SERVERS, Lab
from tests.lab.test_deploy import DUMP, clean, deployment, signal_sshd, write

__all__ = ["clean"]
pytestmark = [pytest.mark.lab, pytest.mark.long]

AFTER = 30
PATIENCE = 240
NET_DOWN = "iptables-legacy -I INPUT -i eth0 -j DROP && iptables-legacy -I OUTPUT -o eth0 -j DROP"
NET_UP = "iptables-legacy -F INPUT && iptables-legacy -F OUTPUT"
SSH_DOWN = "iptables-legacy -I INPUT -p tcp --dport 22 -j DROP"
SSHD_KILLED = signal_sshd("KILL")
BEGUN = "until ls /run/dsrwizard/run.*/{} >/dev/null 2>&1; do sleep 0.02; done; {}"
"""Cuts a server off as soon as a change has begun."""

CUTS = [
    {"web1": ("s1c1", NET_DOWN), "web2": ("s1c2", SSH_DOWN), "web3": ("s1c3", SSHD_KILLED)},
    {"web1": ("s2c1", SSHD_KILLED), "web2": ("s3c1", NET_DOWN), "web3": ("s2c1", SSH_DOWN)},
]
"""The steps there: guard (two settings, a file), VIP, what keeps it over a reboot."""


def servers(lab: Lab) -> dict[str, str]:
    return {host: lab.run(host, DUMP).ok().stdout for host in SERVERS}


@pytest.mark.cases
def test_cut_off_while_steps_run_every_server_puts_itself_back(clean: Lab) -> None:
    lab = clean
    file = write(lab, deployment(client=False))
    before = servers(lab)
    tried = reverted = 0
    for host in SERVERS:
        lab.stop_service(host)  # nothing is proved however late the cut comes on a busy machine
    for cuts in CUTS:
        waiting = [lab.spawn(host, BEGUN.format(mark, cut)) for host, (mark, cut) in cuts.items()]
        result = lab.dsrwizard("apply", file, "--yes", "--revert-after", str(AFTER), timeout=PATIENCE)
        assert result.status == 1, result.stdout + result.stderr
        assert "puts itself back in 30 s unless proved" in result.stdout
        for process in waiting:
            process.wait(PATIENCE).ok()
        for host in SERVERS:
            lab.wait(host, "[ -e /run/dsrwizard/reverted ]", PATIENCE)
            tried += 1
            lab.run(host, NET_UP).ok()
            assert lab.run(host, DUMP).ok().stdout == before[host], (host, cuts[host])
            reverted += 1
            if lab.run(host, "[ -s /run/sshd.pid ] && kill -0 $(cat /run/sshd.pid)").status:
                lab.run(host, "rm -f /run/sshd.pid")
                lab.start_sshd(host)
        plan = lab.dsrwizard("plan", file, "--json").ok().json
        for host in plan["hosts"]:
            said = [note for note in host["notes"] if "put itself back at" in note]
            assert len(said) == (host["host"] in SERVERS), host
    print(f"connection cuts tried / reverted (lab): {tried} / {reverted}")
    for host in SERVERS:
        lab.start_service(host)
    lab.dsrwizard("apply", file, "--yes").ok()
    assert lab.dsrwizard("plan", file, "--json").ok().json["changes"] == 0
    for host in SERVERS:
        assert not lab.exists(host, "/run/dsrwizard"), "what is proved leaves nothing to wait for"
    lab.dsrwizard("teardown", file, "--yes").ok()


def test_dsrwizard_is_killed_and_every_server_puts_itself_back(clean: Lab) -> None:
    lab = clean
    file = write(lab, deployment(client=False))
    before = servers(lab)
    for host in SERVERS:
        lab.stop_service(host)
    with lab.spawn("director", wizard_command("apply", file, "--yes", "--revert-after", str(AFTER))) as process:
        for host in SERVERS:
            lab.wait(host, "ls /run/dsrwizard/run.*/s1c1 >/dev/null 2>&1", PATIENCE)
        process.kill()
    for host in SERVERS:
        lab.wait(host, "[ -e /run/dsrwizard/reverted ]", PATIENCE)
    assert servers(lab) == before
    for host in SERVERS:
        lab.start_service(host)
    lab.dsrwizard("teardown", file, "--yes").ok()
