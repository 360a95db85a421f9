"""A lab with several directors: each is a host of its own, and daemons of one are not in the way of another's."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backends.lab import network
from tests.lab.harness import VIP, Lab

pytestmark = pytest.mark.long

PEER = """\
global_defs {{
    router_id {name}
    vrrp_version 3
}}
vrrp_instance VI_1 {{
    state BACKUP
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int 0.1
    unicast_src_ip {own}
    unicast_peer {{
        {other}
    }}
    virtual_ipaddress {{
        {vip}/32 dev eth0
    }}
}}
"""
SPEAKER = """\
router id {own};
protocol device {{}}
protocol bfd {{ interface "eth0" {{ min rx interval 100 ms; min tx interval 100 ms; multiplier 3; }}; }}
protocol static vips {{ ipv4; route {vip}/32 blackhole; }}
protocol bgp up {{
    local {own} as {own_as};
    neighbor {router} as {router_as};
    direct;
    bfd on;
    connect delay time 1;
    ipv4 {{ import none; export where source = RTS_STATIC; next hop self; }};
}}
"""
NEXT_HOPS = f"ip route show {VIP} | grep -c nexthop"


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    with Lab(directors=2) as running:
        yield running


@pytest.fixture(scope="module")
def three() -> Iterator[Lab]:
    with Lab(directors=3) as running:
        yield running


def test_the_other_director_is_reached_with_the_lab_s_key(pair: Lab) -> None:
    login = "ssh -i /lab/root/.ssh/id_ed25519 -o BatchMode=yes root@{} hostname"
    for place in ("lb2", "10.0.0.3", "fd00:10::3"):
        assert pair.run("director", login.format(place)).ok().stdout == "lb2\n"
    assert pair.run("lb2", login.format("web1")).ok().stdout == "web1\n", "it sets up real servers, too"
    assert 'name = "lb2"' in pair.run("director", "cat $DSRWIZARD_LAB").ok().stdout


def test_two_keepaliveds_run_side_by_side_and_hand_the_vip_over(pair: Lab) -> None:
    one, other = network.directors(2)
    for host, peer, priority in ((one, other, 150), (other, one, 100)):
        assert pair.run(host.name, "ls /etc/keepalived").ok().stdout == "", "this machine's own does not show through"
        text = PEER.format(name=host.name, priority=priority, own=host.address, other=peer.address, vip=VIP)
        pair.put("/etc/keepalived/keepalived.conf", text, host=host.name)
        pair.run(host.name, "keepalived -t && keepalived").ok()
    holds = f"ip -o addr show to {VIP} | grep -q ."
    pair.wait(one.name, holds)
    pair.wait(other.name, f"! {holds}")
    pair.run(one.name, "kill $(cat /run/keepalived.pid)").ok()
    pair.wait(other.name, holds)
    pair.wait(one.name, f"! {holds}")


def test_the_router_spreads_over_all_who_announce_the_vip(three: Lab) -> None:
    for host in network.directors(3):
        assert three.run(host.name, "ls /etc/bird").ok().stdout == "", "this machine's own does not show through"
        text = SPEAKER.format(
            own=host.address, vip=VIP, router=network.ROUTER.address, own_as=network.DIRECTORS_AS,
            router_as=network.ROUTER_AS,
        )  # fmt: skip
        three.put("/etc/bird/bird.conf", text, host=host.name)
        three.run(host.name, "mkdir -p /run/bird && bird").ok()
    three.wait("router", f'[ "$({NEXT_HOPS})" = 3 ]')
    assert three.read("router", "/proc/sys/net/ipv4/fib_multipath_hash_policy") == "1\n"
    three.run("lb3", "birdc down").ok()
    three.wait("router", f'[ "$({NEXT_HOPS})" = 2 ]')
