"""Faults on one VIP, one service, one family alone, several on one server: each is named where it is, and nothing else.

The lab's rich deployment, with clients at work and with what others have on the same hosts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backends.lab import naming, network
from tests.lab.harness import RICH_FILE, SERVERS, Lab

pytestmark = [pytest.mark.lab, pytest.mark.cases]

FOREIGN = {
    "director": "ipvsadm -A -f 7 -s rr && ipvsadm -a -f 7 -r 10.0.0.200 -g && ipvsadm -A -t 10.0.0.99:443 -s rr && "
    f"ipvsadm -a -t {network.VIP}:80 -r 10.0.0.200:80 -g -w 0 && ip addr add 10.0.0.77/24 dev eth0",
    "web1": "ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up && "
    "iptables-legacy -P FORWARD DROP && iptables-legacy -N DOCKER && iptables-legacy -A FORWARD -j DOCKER && "
    "iptables-legacy -A DOCKER -j DROP && ip route add 10.250.0.0/16 via 10.0.0.1",
    "web2": "ip link add other0 type dummy && ip link set other0 up && ip addr add 10.0.0.99/32 dev other0 && "
    "ip addr add 192.0.2.77/32 dev lo && ip addr add 10.0.0.88/24 dev eth0",
}
"""What other people and products have on these hosts, which is no fault."""
TRAFFIC = """while :; do
  for vip in {vips}; do exec 3<>/dev/tcp/$vip/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3; exec 3>&-; done
  exec 3<>/dev/udp/{vip}/7 && printf hello >&3; exec 3>&-
  sleep 0.05
done >/dev/null 2>&1"""
TOGETHER = (
    (
        "vip-missing@web2/fd00:10::10", "firewall@web3/fd00:10::10", "firewall@web1/10.0.0.10/udp/7",
        "gateway@web1/fd00:10::10", "duplicate-vip@stranger/10.0.0.11", "ipvs-missing@web3/10.0.0.11/tcp/8080",
        "rip-only-listener@web2/10.0.0.10/udp/7",
    ),
    (
        "arp-announce@web2", "vip-missing@web2/10.0.0.11", "firewall@web2/fd00:10::10", "gateway@web2",
        "not-persistent@web2", "service-down@web2/10.0.0.10/udp/7", "director-vip@director/fd00:10::10",
    ),
)  # fmt: skip
"""The last: six on one server."""
SETTINGS = (
    # Link-local addresses and the carrier of a bridge without ports come and go by themselves.
    "{ ip -o addr; ip route; ip -6 route; } | sed 's/valid_lft.*//; s/ linkdown//' | grep -v fe80; "
    "iptables-legacy -S; ip6tables-legacy -S; "
    "ls -A /run/netns /etc/sysctl.d; ss -Hltun 'sport = :80 or sport = :8080 or sport = :7' | sort; "
    "ipvsadm -Sn 2>/dev/null"
)


def settings(lab: Lab) -> dict[str, list[str]]:
    """What a mended fault leaves as it was; an address that was away comes back as the last of its interface."""
    return {host: sorted(lab.run(host, SETTINGS).stdout.splitlines()) for host in ("director", *SERVERS)}


def checks(lab: Lab) -> list[dict[str, Any]]:
    """All checks of one verification that neither passed nor do not apply."""
    report = lab.dsrwizard("verify", RICH_FILE, "--json").json
    return [check for check in report["checks"] if check["outcome"] not in ("pass", "skipped")]


@pytest.fixture(scope="module")
def busy(lab: Lab) -> Iterator[Lab]:
    """The rich deployment in force, what is foreign beside it, and clients at work all the time."""
    lab.dsrwizard("apply", RICH_FILE, "--yes").ok()
    for host, script in FOREIGN.items():
        lab.run(host, script).ok()
    before = settings(lab)
    vips = " ".join(vip for vip in network.SERVICES if ":" not in vip)
    with lab.spawn("client", TRAFFIC.format(vips=vips, vip=network.VIP)):
        yield lab
    assert settings(lab) == before


def test_clients_at_work_and_what_others_have_there_are_no_fault(busy: Lab) -> None:
    assert checks(busy) == []
    served = busy.run("director", f"ipvsadm -Ln --stats -t {network.VIP_TWO}:80").stdout.splitlines()[-3:]
    assert all(int(line.split()[2]) > 0 for line in served), served  # there were clients, on every server


@pytest.mark.parametrize("names", TOGETHER, ids=lambda names: names[0])
def test_each_is_named_at_its_vip_and_service_and_nothing_else(busy: Lab, names: tuple[str, ...]) -> None:
    busy.dsrwizard("lab", "fault", *names).ok()
    try:
        found = checks(busy)
        opened = [busy.run(check["host"], told(check)) for check in found if check["cause"] == "firewall"]
        rules = busy.run("web3", "ip6tables-legacy -S INPUT").stdout.splitlines()[1:]
    finally:
        for check in found:
            if check["cause"] == "firewall":
                busy.run(check["host"], told(check).replace(" -I ", " -D "))
        busy.dsrwizard("lab", "mend").ok()
    made = [naming.parse(name) for name in names]
    assert len(found) == len(made), found
    for one in made:
        cause, host = one.reported
        assert any(
            (check["cause"], check["host"]) == (cause, host)
            and one.vip in ("", check["vip"] or one.vip)
            and one.service in ("", check["service"] or one.service)
            and (not one.service or one.host not in SERVERS or one.host in (check["host"], check["server"]))
            for check in found
        ), (one.name, found)
    assert [done.status for done in opened] == [0] * len(opened)
    if "firewall@web3/fd00:10::10" in names:
        assert rules[0].endswith("-j ACCEPT")
        assert rules[1].endswith("-j DROP")


def told(check: dict[str, Any]) -> str:
    """The command of a fix."""
    return str(check["fix"]).partition(": ")[2].partition(" (undo")[0]
