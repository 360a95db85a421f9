"""A farm that others set up, on a real kernel: adopt changes nothing, and verify proves what it wrote."""

from __future__ import annotations

import pytest

from tests.lab.harness import DEPLOYMENT_FILE, SERVERS, VIP, Lab
from tests.lab.test_deploy import answers, state

pytestmark = pytest.mark.long

KEEPALIVED = f"""\
! the farm as keepalived would make it
vrrp_instance VI_1 {{
    state MASTER
    interface eth0
    virtual_ipaddress {{
        {VIP}/32
    }}
}}
include conf.d/*.conf
"""
SERVICE = f"""\
virtual_server {VIP} 80
{{
    lb_algo wrr
    lb_kind DR
    persistence_timeout 60
    protocol TCP
    sorry_server 10.0.0.9 80
    real_server 10.0.0.101 80 {{ weight 3 }}
    real_server 10.0.0.102 80 {{ weight 2 }}
    real_server 10.0.0.103 80 {{ weight 1 }}
}}
"""


def by_hand(lab: Lab) -> None:
    """What a stranger typed: guards on all, VIPs on lo and a dummy, a service with weights, and one by masquerading."""
    lab.run("director", "modprobe ip_vs; modprobe ip_vs_wrr").ok()
    lab.run("director", f"ip addr add {VIP}/32 dev eth0").ok()
    lab.run("director", f"ipvsadm -A -t {VIP}:80 -s wrr -p 60").ok()
    for number, server in enumerate(SERVERS, 1):
        lab.run("director", f"ipvsadm -a -t {VIP}:80 -r 10.0.0.10{number} -g -w {4 - number}").ok()
        lab.run(server, "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2").ok()
        on = "dummy0" if server == "web2" else "lo"
        if on == "dummy0":
            lab.run(server, "ip link add dummy0 type dummy; ip link set dummy0 up").ok()
        lab.run(server, f"ip addr add {VIP}/32 dev {on}").ok()
    lab.run("director", f"ipvsadm -A -t {VIP}:25 -s rr; ipvsadm -a -t {VIP}:25 -r 10.0.0.101 -m").ok()
    lab.run("director", "ipvsadm -A -f 7 -s rr; ipvsadm -a -f 7 -r 10.0.0.101 -g").ok()


def test_a_farm_of_our_own_is_adopted_and_verify_passes(lab: Lab) -> None:
    lab.dsrwizard("apply", DEPLOYMENT_FILE, "--yes").ok()
    before = state(lab)
    result = lab.dsrwizard("adopt", "-o", "/root/ours.toml").ok()
    assert state(lab) == before
    assert "dsrwizard set this farm up itself" in result.stdout
    report = lab.dsrwizard("verify", "/root/ours.toml", "--json").json
    assert [check for check in report["checks"] if check["outcome"] == "fail"] == []
    probes = [check["outcome"] for check in report["checks"] if check["check"] == "vip.probe"]
    assert probes
    assert set(probes) == {"pass"}
    lab.dsrwizard("teardown", DEPLOYMENT_FILE, "--yes").ok()


def test_a_strangers_farm_is_adopted_and_nothing_is_changed(lab: Lab) -> None:
    by_hand(lab)
    assert set(answers(lab, f"http://{VIP}/", 1)) <= set(SERVERS)
    before = state(lab)
    result = lab.dsrwizard("adopt", "-o", "/root/found.toml").ok()
    assert state(lab) == before
    assert "found: 1 VIP, 1 service, 3 real servers from this director's IPVS." in result.stdout
    assert f"Not imported: tcp/25 at {VIP}, because it forwards by NAT" in result.stdout
    assert "Not imported: the IPVS service" in result.stdout, "the firewall mark"
    document = lab.dsrwizard("adopt", "--json").ok().json
    assert document["adopted"]["director"] == {"interface": "eth0"}
    assert document["adopted"]["vips"] == [
        {"address": VIP, "services": [{"port": 80, "scheduler": "wrr", "persistence": 60}]}
    ]
    servers = [
        (one["address"], one.get("weight", 1), one.get("vip_interface", "lo")) for one in document["adopted"]["servers"]
    ]
    assert servers == [("10.0.0.101", 3, "lo"), ("10.0.0.102", 2, "dummy0"), ("10.0.0.103", 1, "lo")]
    assert {one.get("connect", "ssh") for one in document["adopted"]["servers"]} == {"ssh"}


def test_verify_and_status_prove_what_was_adopted(lab: Lab) -> None:
    lab.run("director", "ipvsadm -D -f 7; ipvsadm -D -t 10.0.0.10:25").ok()
    lab.dsrwizard("adopt", "-o", "/root/proved.toml").ok()
    report = lab.dsrwizard("verify", "/root/proved.toml", "--json").json
    wrong = {(check["cause"], check["check"]) for check in report["checks"] if check["outcome"] == "fail"}
    assert wrong <= {("not-persistent", "server.persistent")}, "nothing of it is brought back at boot, and that is true"
    probes = [check for check in report["checks"] if check["check"] == "vip.probe"]
    assert [check["outcome"] for check in probes] == ["pass"] * 3
    rows = lab.dsrwizard("status", "/root/proved.toml", "--json").json["services"][0]["rows"]
    assert {row["state"] for row in rows} <= {"up", "drifted"}


def test_a_fault_of_a_strangers_farm_is_named(lab: Lab) -> None:
    lab.run("web2", f"ip addr del {VIP}/32 dev dummy0").ok()
    lab.dsrwizard("adopt", "-o", "/root/broken.toml").ok()
    report = lab.dsrwizard("verify", "/root/broken.toml", "--json").json
    assert ("vip-missing", "web2") in {(check["cause"], check["host"]) for check in report["checks"]}
    lab.run("web2", f"ip addr add {VIP}/32 dev dummy0").ok()


def test_the_same_farm_from_its_keepalived_conf(lab: Lab) -> None:
    lab.run("director", "mkdir -p /root/keepalived/conf.d").ok()
    lab.put("/root/keepalived/keepalived.conf", KEEPALIVED)
    lab.put("/root/keepalived/conf.d/shop.conf", SERVICE)
    live = lab.dsrwizard("adopt", "--no-login", "--json").ok().json["adopted"]
    told = lab.dsrwizard("adopt", "--no-login", "--json", "--from", "/root/keepalived/keepalived.conf").ok().json
    assert told["adopted"] == live
    assert any("sorry_server" in note for note in told["notes"])


def test_the_output_of_ipvsadm_gives_the_same(lab: Lab) -> None:
    live = lab.dsrwizard("adopt", "--no-login", "--json").ok().json["adopted"]
    for option in ("-Sn", "-Ln"):
        lab.run("director", f"ipvsadm {option} > /root/ipvs").ok()
        told = lab.dsrwizard("adopt", "--no-login", "--json", "--from", "/root/ipvs").ok().json["adopted"]
        by_address = {one["address"]: one.get("weight", 1) for one in told["servers"]}
        assert by_address == {one["address"]: one.get("weight", 1) for one in live["servers"]}
        assert told["vips"] == live["vips"]
