"""keepalived on one real director: an operator's keepalived is kept, and a table of netlink becomes keepalived's."""

from __future__ import annotations

import pytest

from tests.lab.harness import SERVERS, VIP, Lab
from tests.lab.keepalived import HOLDS, alone, apply, gone, nothing_to_do, served, table

pytestmark = [pytest.mark.lab, pytest.mark.cases]
FOREIGN = "10.0.0.77"
OPERATORS = f"""\
! ours since 2019
global_defs {{
    router_id lb1
    vrrp_startup_delay 1
    reload_check_config /var/log/keepalived-config-check.log
}}
virtual_server {FOREIGN} 25 {{
    lvs_sched rr
    lvs_method NAT
    protocol TCP
    real_server 10.0.0.101 25 {{
        weight 7
    }}
}}
"""
CONF = "/etc/keepalived/keepalived.conf"
FILES = "find /etc/keepalived /etc/systemd/system/keepalived.service.d -mindepth 1 2>/dev/null | sort"
ARP = "ip neigh flush all"


def test_one_director_with_an_operators_keepalived(lab: Lab) -> None:
    lab.put(CONF, OPERATORS)
    settings = "sysctl net.ipv4.vs net.ipv4.conf.all.send_redirects net.ipv4.conf.eth0.send_redirects"
    lab.run("director", "modprobe ip_vs; keepalived").ok()
    lab.wait("director", f"ipvsadm -Sn | grep -q {FOREIGN}")
    foreign, before = table(lab), lab.run("director", settings).ok().stdout
    pid = lab.read("director", "/run/keepalived.pid")

    apply(lab, alone())
    assert lab.read("director", CONF) == f"{OPERATORS}includea /etc/keepalived/dsrwizard.d/*.conf\n"
    assert foreign.strip() in table(lab), "what is not ours is kept"
    assert lab.read("director", "/run/keepalived.pid") == pid, "reloaded, not started anew"
    assert served(lab) == set(SERVERS)
    nothing_to_do(lab)

    # A file that keepalived refuses: nothing of the next apply is put in force.
    lab.put("/etc/keepalived/bad.conf", f"virtual_server {FOREIGN} 26 {{\n lvs_methd DR\n}}\n")
    lab.run("director", f"sed -i '1i include bad.conf' {CONF}").ok()
    in_force = table(lab)
    lab.put("/tmp/shop.toml", alone().replace('name = "web2"', 'name = "web2"\nweight = 3'))
    refused = lab.dsrwizard("apply", "/tmp/shop.toml", "--yes")
    assert refused.status == 1
    assert "lvs_methd" in refused.stdout + refused.stderr
    assert "weight 3" not in lab.read("director", "/etc/keepalived/dsrwizard.d/20-shop-services.conf")
    assert table(lab) == in_force
    # What keepalived -t lets pass, and we do not: the service twice.
    lab.put("/etc/keepalived/bad.conf", OPERATORS[OPERATORS.index("virtual") :].replace(f"{FOREIGN} 25", f"{VIP} 80"))
    refused = lab.dsrwizard("plan", "/tmp/shop.toml")
    assert refused.status != 0
    assert "is there twice" in refused.stdout + refused.stderr
    lab.run("director", f"sed -i 1d {CONF}; rm /etc/keepalived/bad.conf").ok()

    apply(lab, alone().replace('name = "web2"', 'name = "web2"\nweight = 3'))
    assert f"-t {VIP}:80 -r 10.0.0.102:80 -g -w 3" in table(lab)

    lab.dsrwizard("teardown", "/tmp/shop.toml", "--yes").ok()
    assert lab.read("director", CONF) == OPERATORS
    assert lab.run("director", FILES).stdout == f"{CONF}\n"
    assert table(lab) == foreign
    assert lab.run("director", settings).ok().stdout == before
    for server in SERVERS:
        assert lab.run(server, HOLDS).status != 0
    lab.run("director", f"kill $(cat /run/keepalived.pid); rm {CONF}").ok()
    lab.wait("director", "! ipvsadm -Sn | grep -q .")


def test_from_netlink_to_keepalived_established_connections_go_on(lab: Lab) -> None:
    apply(lab, alone("netlink"))
    lab.run("client", ARP)
    stream = f"exec 3<>/dev/tcp/{VIP}/80; printf 'GET /stream HTTP/1.0\\r\\n\\r\\n' >&3; cat <&3"
    with lab.spawn("client", stream) as client:
        client.expect("web")
        lab.put("/tmp/shop.toml", alone())
        assert "new connections wait for about" in lab.dsrwizard("plan", "/tmp/shop.toml").ok().stdout
        lab.dsrwizard("apply", "/tmp/shop.toml", "--yes").ok()
        heard = len(client.stdout)
        assert client.wait_for(lambda: len(client.stdout) > heard + 100), "established before, served after"
    assert "-s mh" in table(lab)
    assert served(lab) == set(SERVERS)
    nothing_to_do(lab)
    lab.put("/tmp/shop.toml", alone("netlink"))
    assert "Run the teardown of shop first" in lab.dsrwizard("apply", "/tmp/shop.toml", "--yes").stderr
    lab.put("/tmp/shop.toml", alone())
    lab.dsrwizard("teardown", "/tmp/shop.toml", "--yes").ok()
    gone(lab, "director")
    assert lab.run("director", FILES).stdout == ""
