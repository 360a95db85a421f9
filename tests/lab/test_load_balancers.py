"""Load balancers of the trade on the second director, whose own IPVS does what they are set to: real packets judge.

The text that is written for an ALOHA is pasted there, and the runbook is ticked by packets. A NetScaler and a
Loadbalancer.org are set up over their APIs on fakes that have IPVS follow them (`tests.fakes.box_on_ipvs`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsrwizard.core.dialects.aloha.writer import aloha_text
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.intake.importers.aloha import read_config, scheduler_of
from tests.fakes.loadbalancer_org import ORG_USER
from tests.fakes.netscaler import USER
from tests.lab.box import ADDRESS, CA_FILE, PORT, LabBox
from tests.lab.harness import VIP, Lab, Process
from tests.lab.test_deploy import write

pytestmark = [pytest.mark.lab, pytest.mark.long]

BOX = "lb2"
METHODS = {"gateway": "-g", "nat": "-m", "tunnel": "-i", "": "-m"}
"""`mode` → ipvsadm; a director without one is NAT."""
FILE = f"""\
name = "shop"
[director]
interface = "eth0"
engine = "aloha"
[[vips]]
address = "{VIP}"
[[vips.services]]
port = 80
scheduler = "wrr"
[[servers]]
name = "web1"
address = "10.0.0.101"
weight = 1
[[servers]]
name = "web2"
address = "10.0.0.102"
weight = 2
[client]
address = "10.0.0.103"
"""
"""The client host is a machine on the servers' own link: there each reply frame says whose it is."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    with Lab(directors=2) as running:
        yield running


def paste(lab: Lab, text: str) -> None:
    """What the box does with the text of its LB Layer4 tab: its kernel's IPVS is told what each line says."""
    lab.run(BOX, f"ipvsadm -C; ip addr replace {VIP}/32 dev eth0").ok()
    for one in read_config(text).directors:
        assert one.problems == []
        where = f"-{one.protocol[0]} {one.vip}:{one.port}"
        lab.run(BOX, f"ipvsadm -A {where} -s {scheduler_of(one.balance or 'leastconn')}").ok()
        for server in one.servers:
            behind = f"-r {server.address}:{server.port or one.port} {METHODS[one.mode]} -w {server.weight}"
            lab.run(BOX, f"ipvsadm -a {where} {behind}").ok()


def book(lab: Lab, file: str) -> str:
    """The runbook with what a verification of now proved, its lines joined."""
    lab.run("director", f"dsrwizard verify {file} --json >/root/report.json")
    written = lab.dsrwizard("runbook", file, "--report", "/root/report.json").ok().stdout
    return " ".join(written.split())


def test_the_text_for_an_aloha_balances_and_its_runbook_is_ticked_by_packets(pair: Lab) -> None:
    lab, file = pair, write(pair, FILE)
    text = aloha_text(loads(FILE))
    lab.dsrwizard("apply", file, "--yes").ok()
    said = book(lab, file)
    assert f"[!] {VIP} has one owner: the ALOHA" in said, said
    assert f"No load balancer answers for {VIP} on the wire." in said

    paste(lab, text)
    lab.put("/root/tab.txt", text)
    compared = lab.dsrwizard("runbook", file, "--compare", "/root/tab.txt").ok().stdout
    assert "The text of the box says what the file says." in compared
    said = book(lab, file)
    for title in (
        f"{VIP} on the ALOHA", "Prove web1 through the VIP", "Prove web2 through the VIP", "web1 gets clients",
        "web2 gets clients", f"{VIP} has one owner: the ALOHA",
    ):  # fmt: skip
        assert f"[x] {title}" in said, said


# --- driven over their APIs

THEIRS = "10.0.0.20"
"""A VIP of others on the box, on port 8080 of web3."""


def driven(lab: Lab, name: str, engine: str, vip: str, user: str, *, web1: int = 1, save: bool = True) -> str:
    """The file of a deployment of its own; web3 is others'."""
    text = f"""\
name = "{name}"
[director]
interface = "eth0"
engine = "{engine}"
[balancer]
addresses = ["{ADDRESS}"]
port = {PORT}
user = "{user}"
ca_file = "{CA_FILE}"
save = {json.dumps(save)}
[[vips]]
address = "{vip}"
[[vips.services]]
port = 80
scheduler = "rr"
[client]
address = "203.0.113.10"
"""
    for number, weight in ((1, web1), (2, 1)):
        text += f'[[servers]]\nname = "web{number}"\naddress = "10.0.0.10{number}"\nweight = {weight}\n'
    return write(lab, text, f"/root/{name}.toml")


def by_others(lab: Lab) -> None:
    """web3 serves the VIP of others, as somebody set it up by hand."""
    lab.run(
        "web3", f"ip addr replace {THEIRS}/32 dev lo; sysctl -wq net.ipv4.conf.all.arp_ignore=1"
        " net.ipv4.conf.all.arp_announce=2",
    ).ok()  # fmt: skip


def their_netscaler() -> dict[str, Any]:
    vserver = {"name": "theirs", "servicetype": "ANY", "ipv46": THEIRS, "port": 8080, "m": "MAC",
               "lbmethod": "ROUNDROBIN", "state": "ENABLED"}  # fmt: skip
    service = {"name": "three/8080", "servername": "Web Three", "servicetype": "ANY", "port": 8080,
               "ordered": "ENABLED", "usip": "YES"}  # fmt: skip
    return {
        "modes": ["MBF"], "servers": {"Web Three": {"name": "Web Three", "ipaddress": "10.0.0.103"},
                                      "Web-Two": {"name": "Web-Two", "ipaddress": "10.0.0.102"}},
        "services": {"three/8080": service}, "vservers": {"theirs": vserver},
        "bindings": [["theirs", "three/8080", 7]], "monitored": [["three/8080", "tcp"]],
    }  # fmt: skip


def answering(lab: Lab, vip: str) -> set[str]:
    """Who answers the client: more connections than there are servers."""
    return set(lab.requests(vip, 4))


def nobody_answers(lab: Lab, vip: str) -> bool:
    return set(lab.requests(vip, 1, seconds=5)) == {""}


def served(lab: Lab, vip: str) -> set[str]:
    """The same once anybody answers: a router that asked for the VIP in vain remembers that for a moment."""
    lab.wait("client", f"curl -s -m 5 -o /dev/null http://{vip}/")
    return answering(lab, vip)


def goes_on(client: Process) -> bool:
    """Whether more comes in on a connection that was open before."""
    heard = len(client.stdout)
    return client.wait_for(lambda: len(client.stdout) > heard + 100)


def failed(report: str) -> dict[str, str]:
    """Cause → what is said of it, of the failures in a report of `verify --json`."""
    checks = json.loads(report[report.index("{") :])["checks"]
    return {one["cause"]: one["message"] for one in checks if one["outcome"] == "fail"}


def test_a_netscaler_is_judged_by_the_packets_that_it_sends_on(pair: Lab, tmp_path: Path) -> None:
    lab, vip = pair, "10.0.0.21"
    by_others(lab)
    with LabBox(lab, "netscaler", tmp_path) as box:
        before, table = box.order(put=their_netscaler())["state"], box.ipvs()
        assert lab.request(THEIRS, port=8080) == "web3"
        file = driven(lab, "nitro", "netscaler", vip, USER)
        assert box.dsrwizard("apply", file, "--yes")[0] == 0
        assert served(lab, vip) == {"web1", "web2"}
        assert box.order()["changed"]
        assert box.dsrwizard("apply", file, "--yes")[0] == 0
        assert box.order()["changed"] == []

        stream = ["curl", "-sN", f"http://{vip}/stream"]  # one after the other: each of the servers has one
        with lab.spawn("client", stream) as one, lab.spawn("client", stream) as other:
            for client in (one, other):
                client.expect("web")
            driven(lab, "nitro", "netscaler", vip, USER, web1=0)
            assert box.dsrwizard("apply", file, "--yes")[0] == 0
            assert served(lab, vip) == {"web2"}
            assert goes_on(one), "a connection that was open ended"
            assert goes_on(other), "a connection that was open ended"
            assert {client.stdout.split()[-2] for client in (one, other)} == {"web1", "web2"}

        box.order(set={"forwards_as_ip": True})
        assert set(lab.requests(vip, 4, seconds=5)) == {""}
        status, told = box.dsrwizard("verify", file, "--json")
        assert status == 1
        assert [*failed(told)] == ["ipvs-differs"], failed(told)
        assert "is dead through the NetScaler, and alive on every real server" in failed(told)["ipvs-differs"]
        box.order(set={"forwards_as_ip": False})

        assert box.dsrwizard("teardown", file, "--yes")[0] == 0
        assert nobody_answers(lab, vip)
        assert lab.request(THEIRS, port=8080) == "web3"
        assert (json.dumps(box.order()["state"]), box.ipvs()) == (json.dumps(before), table)


def test_a_netscaler_that_reboots_before_it_was_saved_has_lost_the_vip(pair: Lab, tmp_path: Path) -> None:
    lab, vip = pair, "10.0.0.22"
    with LabBox(lab, "netscaler", tmp_path) as box:
        box.order(put={"modes": ["MBF"]})
        file = driven(lab, "unsaved", "netscaler", vip, USER, save=False)
        assert box.dsrwizard("apply", file, "--yes")[0] == 0
        assert served(lab, vip) == {"web1", "web2"}
        assert [*failed(box.dsrwizard("verify", file, "--json")[1])] == ["not-persistent"]
        box.order(do="reboot")
        assert nobody_answers(lab, vip)
        status, told = box.dsrwizard("verify", file, "--json")
        assert status == 1
        assert {"ipvs-missing", "director-vip"} == {*failed(told)}


def test_a_loadbalancer_org_that_says_success_and_reloads_nothing_is_found_by_packets(
    pair: Lab, tmp_path: Path
) -> None:
    lab, vip = pair, "10.0.0.23"
    by_others(lab)
    with LabBox(lab, "loadbalancer.org", tmp_path) as box:
        theirs = {"server": THEIRS, "ports": "8080", "protocol": "tcp", "forwardingmethod": "gate", "scheduler": "wrr",
                  "persistent": "off", "persist_time": "300", "granularity": "255.255.255.255"}  # fmt: skip
        behind = {"three": {"server": "10.0.0.103", "port": "", "weight": "7", "minconns": "0", "maxconns": "0"}}
        put = {"virtuals": {"theirs": theirs}, "reals": {"theirs": behind}, "floating": [THEIRS]}
        before, table = box.order(put=put, set={"deaf": True})["state"], box.ipvs()
        file = driven(lab, "lbcli", "loadbalancer.org", vip, ORG_USER)
        assert box.dsrwizard("apply", file, "--yes")[0] == 0
        assert nobody_answers(lab, vip)
        status, told = box.dsrwizard("verify", file, "--json")
        assert (status, [*failed(told)]) == (1, ["director-vip"])

        box.order(set={"deaf": False}, do="reboot")
        assert served(lab, vip) == {"web1", "web2"}
        assert box.dsrwizard("apply", file, "--yes")[0] == 0
        assert box.order()["changed"] == []
        driven(lab, "lbcli", "loadbalancer.org", vip, ORG_USER, web1=0)
        assert box.dsrwizard("apply", file, "--yes")[0] == 0
        assert served(lab, vip) == {"web2"}

        assert box.dsrwizard("teardown", file, "--yes")[0] == 0
        assert nobody_answers(lab, vip)
        assert lab.request(THEIRS, port=8080) == "web3"
        assert (json.dumps(box.order()["state"]), box.ipvs()) == (json.dumps(before), table)
