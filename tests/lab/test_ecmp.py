"""Three directors behind a router that speaks BGP: a real BIRD takes our file, a real guard has it announce, and the
router follows."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import msgspec
import pytest

from backends.lab import guest, network, recipe
from dsrwizard.core.dialects.bird.writer import with_include
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.bird import BIRD_CONF, BIRD_FOLDER, sign_of
from dsrwizard.core.model.deployment import Bgp, Deployment, Director, PeerDirector, RealServer, Service, Vip
from dsrwizard.core.plan.spread import as_there
from tests.lab.harness import PATIENCE, VIP, VIP6, Lab, Process, Result

pytestmark = pytest.mark.cases

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
ELSEWHERE = msgspec.structs.replace(
    SPREAD, servers=tuple(msgspec.structs.replace(one, connect="manual") for one in SPREAD.servers)
)
"""The same for directors of the lab that have no key for the real servers."""
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


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Three directors with BIRD as Debian sets it up."""
    with Lab(directors=3) as running:
        for host in network.directors(3):
            running.put(BIRD_CONF, DEBIANS, host=host.name)
            running.run(host.name, "mkdir -p /run/bird && bird").ok()
        yield running


def dsrwizard(lab: Lab, host: str, *words: str) -> Result:
    return lab.run(host, guest.wizard_command(*words), timeout=2 * PATIENCE)


def applied(lab: Lab, host: str) -> None:
    lab.put(FILE, dumps(SPREAD if host == "director" else ELSEWHERE), host=host)
    dsrwizard(lab, host, "apply", FILE, "--yes", "--wave", "off").ok()


def guarded(lab: Lab, host: str) -> Process:
    return lab.spawn(host, [sys.executable, "-c", GUARD.replace("FILE", repr(FILE))])


def hops(count: int, vip: str = VIP) -> str:
    """The router has so many ways to a VIP."""
    words = f"ip {'-6 ' if ':' in vip else ''}route show {vip} proto bird"
    return f'[ "$({words} | grep -cE "via (10|fd00)")" = {count} ]'


def test_three_directors_share_the_vips_and_each_leaves_as_its_guard_says(lab: Lab) -> None:
    for host in network.directors(3):
        applied(lab, host.name)
        assert lab.read(host.name, BIRD_CONF) == with_include(DEBIANS)
        lab.wait(host.name, "birdc show protocols dsr_spread_bgp | grep -q Established")
        assert lab.run(host.name, f"ip link show {SIGN}").status != 0, "nobody has found it fit"
        plan = dsrwizard(lab, host.name, "plan", FILE, "--json").ok().json
        assert not any(one["steps"] for one in plan["hosts"]), plan
    lab.run("router", hops(0)).ok()
    guards = {host.name: guarded(lab, host.name) for host in network.directors(3)}
    try:
        for vip in (VIP, VIP6):
            lab.wait("router", hops(3, vip))
            got = set(lab.requests(vip))
            assert got == {one.name for one in SERVERS}, vip
        routes = "ip route show table main; ip -6 route show table main"
        for host in network.directors(3):
            assert VIP not in lab.run(host.name, routes).ok().stdout, "the kernel protocol of the operator has no VIP"
        report = dsrwizard(lab, "director", "verify", FILE, "--json").ok().json
        assert report["verdict"] == "pass", report
        now = dsrwizard(lab, "director", "status", FILE, "--json").ok().json
        assert now["guard"]["announces"] is True
        assert {row["state"] for service in now["services"] for row in service["rows"]} == {"up"}, now
        lab.run("director", "birdc configure").ok()
        lab.wait("router", hops(3))

        guards["lb3"].signal(15)
        lab.wait("router", hops(2))
        lab.wait("router", hops(2, VIP6))

        lab.run("lb2", "ipvsadm -C").ok()
        lab.wait("router", hops(1))
        wrong = dsrwizard(lab, "lb2", "verify", FILE, "--json").json["checks"]
        assert any("does not announce the VIPs" in one["message"] for one in wrong if one["outcome"] == "fail"), wrong
        applied(lab, "lb2")
        lab.wait("router", hops(2))

        lab.run("lb2", f"ip addr del {VIP}/32 dev lo").ok()
        lab.wait("router", hops(1))
        lab.run("lb2", f"ip addr add {VIP}/32 dev lo").ok()
        lab.wait("router", hops(2))

        guards["lb2"].kill()  # nothing can withdraw now but what its unit runs then
        lab.wait("router", hops(2))
        lab.run("lb2", f"/usr/bin/env ip link del {SIGN}").ok()
        lab.wait("router", hops(1))

        # Servers that are dead are so for every director: it goes on announcing, and says who is out.
        for one in SERVERS:
            lab.stop_service(one.name)
        guards["director"].wait_for(lambda: bool(re.search("No destination answers", guards["director"].stdout)))
        lab.wait("router", hops(1))
    finally:
        for one in SERVERS:
            lab.start_service(one.name)
        for guard in guards.values():
            guard.signal(15)
            guard.wait()
    lab.wait("router", hops(0))
    for host in reversed(network.directors(3)):
        dsrwizard(lab, host.name, "teardown", FILE, "--yes", "--drain", "0").ok()
        assert lab.read(host.name, BIRD_CONF) == DEBIANS
        assert not lab.exists(host.name, BIRD_FOLDER)
        assert lab.run(host.name, "ipvsadm -Sn").ok().stdout == ""
        assert f" {VIP}/" not in lab.run(host.name, "ip -o addr").ok().stdout
        assert "dsr_" not in lab.run(host.name, "birdc show protocols").ok().stdout


def test_a_mistake_in_the_operators_file_puts_nothing_in_force(lab: Lab) -> None:
    """The mistake was there before: BIRD goes on with what it read when it started."""
    spoilt = DEBIANS + "protocol static { ipv4; route 192.0.2.0/24 blakhole; }\n"
    lab.put(BIRD_CONF, spoilt)
    lab.put(FILE, dumps(SPREAD))
    done = dsrwizard(lab, "director", "apply", FILE, "--yes", "--wave", "off")
    assert done.status == 1
    assert "BIRD does not take its files" in done.stdout + done.stderr
    assert "bird.conf" in done.stdout + done.stderr, "it is told where the mistake is"
    assert lab.read("director", BIRD_CONF) == spoilt
    assert not lab.exists("director", BIRD_FOLDER)
    assert "dsr_" not in lab.run("director", "birdc show protocols").ok().stdout
    dsrwizard(lab, "director", "teardown", FILE, "--yes", "--drain", "0").ok()
    lab.put(BIRD_CONF, DEBIANS)


FROM_HERE = msgspec.structs.replace(
    SPREAD,
    director=msgspec.structs.replace(
        SPREAD.director,
        peers=tuple(
            PeerDirector(name=one.name, address=one.address, user="root", identity_file=recipe.IDENTITY_FILE)
            for one in network.directors(3)[1:]
        ),
    ),
)
"""All three from the first of them."""


def table(lab: Lab, host: str) -> str:
    return lab.run(host, "ipvsadm -Sn | sort").ok().stdout


def test_one_director_sets_up_all_three_and_names_the_one_that_differs(lab: Lab) -> None:
    lab.put(FILE, dumps(FROM_HERE))
    dsrwizard(lab, "director", "apply", FILE, "--yes", "--wave", "off").ok()
    hosts = [host.name for host in network.directors(3)]
    for host in hosts:
        assert table(lab, host) == table(lab, "director") != ""
        assert lab.read(host, BIRD_CONF) == with_include(DEBIANS)
        lab.wait(host, "birdc show protocols dsr_spread_bgp | grep -q Established")
    for peer in FROM_HERE.director.peers:
        lab.put(FILE, dumps(as_there(FROM_HERE, peer)), host=peer.name)
    guards = {host: guarded(lab, host) for host in hosts}
    try:
        lab.wait("router", hops(3))
        lab.wait("router", hops(3, VIP6))
        assert set(lab.requests(VIP)) == {one.name for one in SERVERS}
    finally:  # three of them leave little of the lab's one processor to what follows
        for guard in guards.values():
            guard.signal(15)
            guard.wait()
    lab.run("lb3", f"ipvsadm -d -t {VIP}:80 -r {SERVERS[0].address}:80").ok()
    checks = dsrwizard(lab, "director", "verify", FILE, "--json").json["checks"]
    found = {one["host"]: one for one in checks if one["check"] == "director.beside"}
    assert found["lb2"]["outcome"] == "pass", found
    assert (found["lb3"]["outcome"], found["lb3"]["cause"]) == ("fail", "ipvs-missing"), found
    assert SERVERS[0].name in found["lb3"]["message"], found
    dsrwizard(lab, "director", "teardown", FILE, "--yes", "--drain", "0").ok()
    for host in hosts:
        assert table(lab, host) == ""
        assert lab.read(host, BIRD_CONF) == DEBIANS
        assert f" {VIP}/" not in lab.run(host, "ip -o addr").ok().stdout
