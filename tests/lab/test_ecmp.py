"""Three directors behind a router that speaks BGP: a real BIRD takes our file, a real guard has it announce, and the
router follows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import msgspec
import pytest

from backends.lab import network
from dsrwizard.core.dialects.bird.writer import OwnAddresses, bird_text, with_include
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.bird import BIRD_CONF, bird_file, sign_of
from dsrwizard.core.model.deployment import Bgp, Deployment, Director, RealServer, Service, Vip
from tests.lab.harness import VIP, VIP6, Lab, Process

FILE = "/root/spread.toml"
SERVERS = network.servers(3)
BGP = Bgp(neighbour=network.ROUTER.address, local_as=network.DIRECTORS_AS, neighbour_as=network.ROUTER_AS)
DEBIANS = """\
log syslog all;
protocol device {}
protocol direct { disabled; ipv4; ipv6; }
protocol kernel { ipv4 { export all; }; }
protocol kernel { ipv6 { export all; }; }
protocol static { ipv4; }
"""
SPREAD = Deployment(
    name="spread",
    director=Director(interface="eth0", guard=True, bgp=BGP),
    vips=tuple(Vip(address=vip, services=(Service(port=80, scheduler="mh"),)) for vip in (VIP, VIP6)),
    servers=tuple(RealServer(name=one.name, address=one.address, address6=one.address6) for one in SERVERS),
)
SIGN = sign_of("spread")
GUARD = """
import signal, threading
from pathlib import Path
from dsrwizard.cli.wiring import build_guard
from dsrwizard.core.guard.policy import Limits
from dsrwizard.core.intake.deployment_file import load
ended = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: ended.set())
with build_guard(load(Path(FILE)), Limits(), 0.5, lambda line: print(line, flush=True)) as guard:
    guard.run(ended, lambda: print(f"round {guard.state.rounds}", flush=True))
"""
TABLE = (
    "for vip in -t:{vip}:80 -t:[{vip6}]:80; do opt=${{vip%%:*}}; at=${{vip#*:}}; "
    "ipvsadm -A $opt $at -s mh -b mh-fallback,mh-port; done; "
    + "; ".join(
        f"ipvsadm -a -t {{vip}}:80 -r {one.address} -g -w 1; ipvsadm -a -t [{{vip6}}]:80 -r [{one.address6}] -g -w 1"
        for one in SERVERS
    )
).format(vip=VIP, vip6=VIP6)
GROUND = (
    f"ip addr add {VIP}/32 dev lo; ip addr add {VIP6}/128 dev lo; "
    "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2; modprobe ip_vs; "
    "sysctl -qw net.ipv4.vs.sloppy_tcp=1"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Real servers set up by dsrwizard; directors with their tables, VIPs and BIRD."""
    with Lab(directors=3) as running:
        servers = msgspec.structs.replace(
            SPREAD, name="servers", director=Director(interface="eth0", engine="external")
        )
        running.put("/root/servers.toml", dumps(servers))
        running.dsrwizard("apply", "/root/servers.toml", "--yes", "--wave", "off").ok()
        for host in network.directors(3):
            own = OwnAddresses(host.address, host.address6)
            running.put(FILE, dumps(SPREAD), host=host.name)
            running.put(BIRD_CONF, with_include(DEBIANS), host=host.name)
            running.put(bird_file("spread"), bird_text(SPREAD, BGP, own), host=host.name)
            running.run(host.name, f"{GROUND} && {TABLE} && mkdir -p /run/bird && bird -p && bird").ok()
        yield running


def guarded(lab: Lab, host: str) -> Process:
    return lab.spawn(host, [sys.executable, "-c", GUARD.replace("FILE", repr(FILE))])


def hops(count: int, vip: str = VIP) -> str:
    """The router has so many ways to a VIP."""
    words = f"ip {'-6 ' if ':' in vip else ''}route show {vip} proto bird"
    return f'[ "$({words} | grep -cE "via (10|fd00)")" = {count} ]'


def test_the_router_follows_what_the_guards_say(lab: Lab) -> None:
    for host in network.directors(3):
        lab.wait(host.name, "birdc show protocols dsr_spread_bgp | grep -q Established")
        assert lab.run(host.name, f"ip link show {SIGN}").status != 0, "nobody has found it fit"
    lab.run("router", hops(0)).ok()
    guards = {host.name: guarded(lab, host.name) for host in network.directors(3)}
    try:
        for vip in (VIP, VIP6):
            lab.wait("router", hops(3, vip))
            got = {lab.request(vip) for _ in range(20)}
            assert got == {one.name for one in SERVERS}, vip
        routes = "ip route show table main; ip -6 route show table main"
        for host in network.directors(3):
            assert VIP not in lab.run(host.name, routes).ok().stdout, "the kernel protocol of the operator has no VIP"
        lab.run("director", "birdc configure").ok()
        lab.run("router", hops(3)).ok()

        guards["lb3"].signal(15)
        lab.wait("router", hops(2))
        lab.wait("router", hops(2, VIP6))

        lab.run("lb2", "ipvsadm -C").ok()
        lab.wait("router", hops(1))
        lab.run("lb2", TABLE).ok()
        lab.wait("router", hops(2))

        lab.run("lb2", f"ip addr del {VIP}/32 dev lo").ok()
        lab.wait("router", hops(1))
        lab.run("lb2", f"ip addr add {VIP}/32 dev lo").ok()
        lab.wait("router", hops(2))

        guards["lb2"].kill()  # nothing can withdraw now but what its unit runs then
        lab.run("router", hops(2)).ok()
        lab.run("lb2", f"/usr/bin/env ip link del {SIGN}").ok()
        lab.wait("router", hops(1))

        # Servers that are dead are so for every director: it goes on announcing, and says who is out.
        for one in SERVERS:
            lab.stop_service(one.name)
        guards["director"].wait_for(lambda: bool(re.search("No destination answers", guards["director"].stdout)))
        lab.run("router", hops(1)).ok()
    finally:
        for one in SERVERS:
            lab.start_service(one.name)
        for guard in guards.values():
            guard.kill()
