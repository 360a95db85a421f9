"""Servers renamed in the file, their names swapped, their addresses changed: a client that asks all the time loses no
request, a second plan is empty, and the teardown takes all of it back."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab.harness import SERVERS, VIP, Lab, Process

pytestmark = [pytest.mark.lab, pytest.mark.long]

FILE = "/root/shop.toml"
ASKING = f"while :; do curl -s -m 5 http://{VIP}/ || echo LOST; done"
THREE = {"web1": "10.0.0.101", "web2": "10.0.0.102", "web3": "10.0.0.103"}


def write(lab: Lab, servers: dict[str, str]) -> None:
    listed = "".join(f'[[servers]]\nname = "{name}"\naddress = "{rip}"\n' for name, rip in servers.items())
    vip = f'[[vips]]\naddress = "{VIP}"\n[[vips.services]]\nport = 80\nscheduler = "rr"\n'
    lab.put(FILE, f'name = "shop"\n[director]\ninterface = "eth0"\n{vip}{listed}')


def heard(asking: Process) -> int:
    return len(asking.stdout.split())


def heard_more(asking: Process) -> None:
    """Waits until every server has had its turn again, twice."""
    before = heard(asking)
    assert asking.wait_for(lambda: heard(asking) >= before + 6), asking.stdout


def state(lab: Lab) -> list[str]:
    looks = "ip -o -4 addr show | sed 's/valid_lft.*//'; sysctl -n net.ipv4.conf.all.arp_ignore; ls /etc/sysctl.d"
    return [lab.run(host, looks).ok().stdout for host in ("director", *SERVERS)]


@pytest.fixture
def asked(lab: Lab) -> Iterator[tuple[Lab, Process]]:
    """The deployment in force, and a client that asks without a pause."""
    lab.know_hosts()
    lab.run("director", "sed -n 's/^10.0.0.101,/10.0.0.111,/p' ~/.ssh/known_hosts >>~/.ssh/known_hosts").ok()
    before = state(lab)
    write(lab, THREE)
    lab.dsrwizard("apply", FILE, "--yes").ok()
    with lab.spawn("client", ASKING) as asking:
        heard_more(asking)
        yield lab, asking
    lab.dsrwizard("teardown", FILE, "--yes").ok()
    lab.run("web1", "ip addr del 10.0.0.111/24 dev eth0")
    assert state(lab) == before
    assert lab.run("director", "ipvsadm -Sn").ok().stdout == ""


@pytest.mark.parametrize(
    ("servers", "first"),
    [
        pytest.param(
            {"www1": "10.0.0.101", "web2": "10.0.0.102", "web3": "10.0.0.103"},
            "",
            id="renamed",
            marks=pytest.mark.cases,
        ),
        pytest.param({"web1": "10.0.0.103", "web2": "10.0.0.102", "web3": "10.0.0.101"}, "", id="names swapped"),
        pytest.param(
            {"web1": "10.0.0.102", "web2": "10.0.0.103", "web3": "10.0.0.101"},
            "",
            id="names in a ring",
            marks=pytest.mark.cases,
        ),
        pytest.param(
            {"web1": "10.0.0.111", "web2": "10.0.0.102", "web3": "10.0.0.103"},
            "ip addr add 10.0.0.111/24 dev eth0",
            id="another address",
            marks=pytest.mark.cases,
        ),
        pytest.param(
            {"www1": "10.0.0.111", "web3": "10.0.0.103", "web2": "10.0.0.102"},
            "ip addr add 10.0.0.111/24 dev eth0",
            id="another name and address",
        ),
    ],
)
def test_no_request_is_lost_while_the_file_catches_up(
    asked: tuple[Lab, Process], servers: dict[str, str], first: str
) -> None:
    lab, asking = asked
    if first:
        lab.run("web1", first).ok()
    write(lab, servers)
    lab.dsrwizard("apply", FILE, "--yes").ok()
    heard_more(asking)
    assert lab.dsrwizard("plan", FILE, "--json").ok().json["changes"] == 0
    said = Counter(asking.stdout.split())
    assert set(said) == set(SERVERS), said
    behind = set(re.findall(r"-r (10\.0\.0\.\d+):80 -g -w 1", lab.run("director", "ipvsadm -Sn").ok().stdout))
    assert behind == set(servers.values())
    for host in SERVERS:
        assert f" {VIP}/32 " in lab.run(host, "ip -o -4 addr show lo").ok().stdout, host
