"""Packets against the real kernel: every signature of the VIP probe, the ARP audit, pings, connects, announcements."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.lab import network
from tests.lab.harness import Lab

VIP, VIP6 = network.VIP, network.VIP6
WEB1, WEB2, WEB3 = network.SERVERS
CALL = """
import json, sys
import msgspec
from backends.packets.port import Wire
from dsrwizard.core.ports import ProbeTarget
method, arguments = json.loads(sys.argv[1])
if method in ("probe", "talk"):
    arguments[1] = msgspec.convert(arguments[1], list[ProbeTarget])
answer = getattr(Wire(), method)(*arguments)
sys.stdout.write(msgspec.json.encode(answer).decode())
"""
BARE_SYN = f"""
from backends.packets import ethernet, transport
from backends.packets.addresses import pack
from backends.packets.capture import Capture
syn = transport.syn(pack("{network.DIRECTOR.address}"), pack("{VIP}"), 45678, 80, 1)
frame = ethernet.build(ethernet.mac_bytes("{WEB1.mac}"), ethernet.mac_bytes("{network.DIRECTOR.mac}"), 0x0800, syn)
with Capture("eth0", 0x0800) as capture:
    capture.send(frame)
"""
LISTENS = f"""
import sys, threading
import msgspec
from backends.packets.port import Wire
heard, first = [], threading.Event()
hearing = Wire().hear("eth0", ["{VIP}", "{VIP6}"], lambda claim: (heard.append(claim), first.set()))
print(hearing.problem or "listening", flush=True)
first.wait(20)
hearing.close()
print("heard", msgspec.json.encode(heard).decode(), flush=True)
"""
ROUND = f"""
import json, sys
from backends.packets.port import Wire
from dsrwizard.core.ports import ProbeTarget
target = ProbeTarget(rip=sys.argv[1], vip="{VIP}", port=80)
answers = [answer for _ in range(int(sys.argv[2])) for answer in Wire().probe("eth0", [target])]
sys.stdout.write(json.dumps(sorted({{answer.signature for answer in answers}})))
"""


def python(lab: Lab, script: str, *arguments: str, prefix: str = "") -> str:
    words = [*prefix.split(), sys.executable, "-c", script, *arguments]
    return lab.run("director", words).ok().stdout


def call(lab: Lab, method: str, *arguments: Any, prefix: str = "") -> Any:
    return json.loads(python(lab, CALL, json.dumps([method, arguments]), prefix=prefix))


def target(host: network.Host, port: int = 80, protocol: str = "tcp", *, six: bool = False) -> dict[str, Any]:
    rip, vip = (host.address6, VIP6) if six else (host.address, VIP)
    return {"rip": rip, "vip": vip, "port": port, "protocol": protocol}


def probe(lab: Lab, *targets: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call(lab, "probe", "eth0", targets)
    return found


def signatures(lab: Lab, *targets: dict[str, Any]) -> list[str]:
    return [found["signature"] for found in probe(lab, *targets)]


@pytest.fixture(autouse=True, scope="module")
def farm(lab: Lab) -> None:
    """The VIPs are where direct routing wants them: silent on every real server's lo, and on the director."""
    for server in network.SERVERS:
        lab.run(
            server.name,
            "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 && "
            f"ip addr add {VIP}/32 dev lo && ip addr add {VIP6}/128 dev lo nodad",
        ).ok()
    lab.run("director", f"ip addr add {VIP}/32 dev eth0 && ip addr add {VIP6}/128 dev eth0 nodad preferred_lft 0").ok()


@pytest.fixture
def leak(lab: Lab) -> Iterator[tuple[network.Host, network.Host]]:
    """Two real servers without guard."""
    for host in (WEB1, WEB3):
        lab.run(host.name, "sysctl -qw net.ipv4.conf.all.arp_ignore=0").ok()
    yield WEB1, WEB3
    for host in (WEB1, WEB3):
        lab.run(host.name, "sysctl -qw net.ipv4.conf.all.arp_ignore=1").ok()


@pytest.fixture
def without_vip(lab: Lab) -> Iterator[network.Host]:
    """A real server that has lost both VIPs."""
    lab.run(WEB2.name, f"ip addr del {VIP}/32 dev lo && ip addr del {VIP6}/128 dev lo").ok()
    yield WEB2
    lab.run(WEB2.name, f"ip addr add {VIP}/32 dev lo && ip addr add {VIP6}/128 dev lo nodad").ok()


def talked(lab: Lab) -> list[tuple[str, bool]]:
    """What each real server's application said, and whether a large packet came there."""
    targets = [{**target(host), "mac": host.mac} for host in network.SERVERS]
    return [(one["result"], one["large"]) for one in call(lab, "talk", "eth0", targets)]


def test_an_application_says_its_first_byte_and_leaves_nothing_open(lab: Lab) -> None:
    assert talked(lab) == [("answered", True)] * 3
    assert "10.0.0.2" not in lab.run(WEB1.name, f"ss -Htn state all src {VIP}").stdout


def test_an_application_that_is_stopped_only_shakes_hands(lab: Lab) -> None:
    lab.run(WEB2.name, "kill -STOP $(cat /run/lab-service.pid)").ok()
    try:
        assert [result for result, _ in talked(lab)] == ["answered", "hung", "answered"]
    finally:
        lab.run(WEB2.name, "kill -CONT $(cat /run/lab-service.pid)").ok()


def test_large_packets_that_a_filter_by_length_drops_are_seen_to_be_lost(lab: Lab) -> None:
    rule = "PREROUTING -m length --length 1301:65535 -j DROP"
    lab.run(WEB3.name, f"iptables-legacy -t raw -A {rule}").ok()
    try:
        assert talked(lab) == [("answered", True), ("answered", True), ("answered", False)]
    finally:
        lab.run(WEB3.name, f"iptables-legacy -t raw -D {rule}").ok()


def test_healthy_servers_answer_from_the_vip_with_their_own_mac(lab: Lab) -> None:
    targets = [target(host, six=six) for six in (False, True) for host in network.SERVERS]
    found = probe(lab, *targets)
    assert [answer["signature"] for answer in found] == ["syn-ack"] * 6
    assert [answer["answered_by"] for answer in found] == [host.mac for host in network.SERVERS] * 2
    assert [answer["mac"] for answer in found] == [host.mac for host in network.SERVERS] * 2
    assert [answer["source"] for answer in found] == [VIP] * 3 + [VIP6] * 3
    assert all(0 < answer["milliseconds"] < 1000 for answer in found)


def test_a_missing_vip_is_silence_and_does_not_touch_the_others(lab: Lab, without_vip: network.Host) -> None:
    assert signatures(lab, target(WEB1), target(without_vip), target(WEB3)) == ["syn-ack", "silence", "syn-ack"]
    assert signatures(lab, target(without_vip, six=True)) == ["silence"]


def test_a_missing_vip_on_a_forwarding_server_is_a_redirect_on_every_port(lab: Lab, without_vip: network.Host) -> None:
    lab.run(without_vip.name, "sysctl -qw net.ipv4.ip_forward=1").ok()
    try:
        found = probe(lab, target(without_vip), target(without_vip, 81), target(without_vip, 7, "udp"))
    finally:
        lab.run(without_vip.name, "sysctl -qw net.ipv4.ip_forward=0").ok()
    assert [answer["signature"] for answer in found] == ["redirect"] * 3
    assert {answer["answered_by"] for answer in found} == {without_vip.mac}
    assert all(f"redirect to {VIP}" in answer["detail"] for answer in found)


def test_a_vip_on_which_nobody_listens_is_a_reset(lab: Lab) -> None:
    found = probe(lab, target(WEB1, 81), target(WEB1, 81, six=True))
    assert [(answer["signature"], answer["answered_by"]) for answer in found] == [("rst", WEB1.mac)] * 2


def test_a_service_bound_to_the_rip_only_is_open_at_the_rip_and_reset_at_the_vip(lab: Lab) -> None:
    lab.stop_service(WEB3.name)
    lab.start_service(WEB3.name, WEB3.address)
    try:
        (connected,) = call(lab, "connect", [(WEB3.address, 80)])
        assert connected["result"] == "open"
        assert signatures(lab, target(WEB3)) == ["rst"]
    finally:
        lab.stop_service(WEB3.name)
        lab.start_service(WEB3.name)
    assert signatures(lab, target(WEB3)) == ["syn-ack"]


def test_udp_echo_replies_from_the_vip_and_a_closed_port_is_unreachable(lab: Lab) -> None:
    found = probe(lab, target(WEB1, 7, "udp"), target(WEB2, 9, "udp"), target(WEB1, 9, "udp", six=True))
    assert [answer["signature"] for answer in found] == ["reply", "port-unreachable", "port-unreachable"]
    assert [answer["answered_by"] for answer in found] == [WEB1.mac, WEB2.mac, WEB1.mac]
    assert found[0]["source"] == VIP


def test_an_address_nobody_has_is_no_mac(lab: Lab) -> None:
    nobody = {"rip": "10.0.0.77", "vip": VIP, "port": 80}
    assert signatures(lab, nobody, target(WEB1)) == ["no-mac", "syn-ack"]


def test_a_probe_leaves_no_half_open_connection_on_the_server(lab: Lab) -> None:
    python(lab, BARE_SYN)
    lab.wait(WEB1.name, "ss -Hnt state syn-recv | grep -q :45678")
    assert json.loads(python(lab, ROUND, WEB1.address, "50")) == ["syn-ack"]
    left = lab.run(WEB1.name, "ss -Hnt state syn-recv").ok().stdout.splitlines()
    assert [line for line in left if ":45678" not in line] == []


def test_a_director_without_the_vip_sees_the_same(lab: Lab) -> None:
    lab.run("director", f"ip addr del {VIP}/32 dev eth0").ok()
    try:
        assert signatures(lab, target(WEB1), target(WEB1, 81), target(WEB1, 7, "udp")) == ["syn-ack", "rst", "reply"]
    finally:
        lab.run("director", f"ip addr add {VIP}/32 dev eth0").ok()


def test_guarded_servers_do_not_answer_for_the_vip(lab: Lab) -> None:
    found = call(lab, "owners", "eth0", [VIP, WEB2.address, WEB2.address6], 0.5)
    assert (found[VIP]["macs"], found[VIP]["problem"]) == ([], "")
    assert found[WEB2.address]["macs"] == found[WEB2.address6]["macs"] == [WEB2.mac]


def test_every_leaking_server_is_listed(lab: Lab, leak: tuple[network.Host, network.Host]) -> None:
    found = call(lab, "owners", "eth0", [VIP], 0.5)
    assert sorted(found[VIP]["macs"]) == sorted(host.mac for host in leak)


def test_an_announcement_reaches_neighbours_and_is_heard_as_a_claim(lab: Lab) -> None:
    for address, neighbour in ((VIP, "-4"), (VIP6, "-6")):
        entry = f"ip {neighbour} neigh replace {address} lladdr {WEB1.mac} dev eth0 nud stale"
        lab.run("router", entry).ok()
        python(lab, f"from backends.packets.announce import announce; announce('eth0', '{address}', 1)")
        lab.wait("router", f"ip {neighbour} neigh show {address} | grep -q {network.DIRECTOR.mac}")
    claim = f"from backends.packets.announce import announce; announce('eth0', '{VIP}', 40)"
    with lab.spawn(WEB3.name, [sys.executable, "-c", claim]):
        found = call(lab, "owners", "eth0", [VIP], 1.0)
    assert (found[VIP]["macs"], found[VIP]["claims"]) == ([], [WEB3.mac])


def test_a_real_server_that_asks_for_its_router_in_the_name_of_the_vip_is_heard(lab: Lab) -> None:
    """The theft of field guide A2, by the kernel's own doing: a reply from the VIP needs the router's MAC."""
    lab.run(WEB2.name, "sysctl -qw net.ipv4.conf.all.arp_announce=0 net.ipv4.conf.eth0.arp_announce=0").ok()
    asks = f"ip neigh flush dev eth0; ping -c 1 -W 1 -I {VIP} {network.ROUTER.address}"
    try:
        with lab.spawn("director", [sys.executable, "-c", LISTENS]) as listening:
            listening.expect("listening")
            lab.run(WEB1.name, asks)  # guarded: asks in its own name
            lab.run(WEB2.name, asks)
            listening.expect("heard", 20)
            listening.close_input()
            heard = json.loads(listening.wait().ok().stdout.partition("\n")[2].partition(" ")[2])
    finally:
        lab.run(WEB2.name, "sysctl -qw net.ipv4.conf.all.arp_announce=2").ok()
    assert {(claim["address"], claim["mac"], claim["kind"]) for claim in heard} == {(VIP, WEB2.mac, "request")}


@pytest.fixture(scope="module")
def links(lab: Lab) -> dict[str, Any]:
    """What the instruments see on each kind of interface, in networks of their own on the director, side by side."""
    script = str(Path(__file__).with_name("links.py"))
    kinds = ("vlan", "bond", "vlan-on-bond", "bridge", "going")
    running = {kind: lab.spawn("director", ["unshare", "-n", sys.executable, script, kind]) for kind in kinds}
    return {kind: process.wait().ok().json for kind, process in running.items()}


@pytest.mark.parametrize("kind", ["vlan", "bond", "vlan-on-bond", "bridge"])
def test_every_kind_of_interface_is_a_link_of_its_own(links: dict[str, Any], kind: str) -> None:
    seen = links[kind]
    assert seen["macs"] == {"10.9.0.101": ["server"], "fd09::101": ["server"], "10.9.0.10": [], "fd09::10": []}
    assert seen["signatures"] == ["syn-ack", "rst", "reply"] * 2
    assert seen["answered by the server"]
    assert seen["sent"] == ["", ""]
    assert seen["claims"] == [["10.9.0.10", "server", "gratuitous"], ["fd09::10", "server", "advertisement"]]
    assert (seen["heard on eth0"], seen["heard untagged"]) == (0, 0)


def test_an_interface_that_goes_while_answers_are_waited_for_makes_them_unknown(links: dict[str, Any]) -> None:
    for seen in links["going"].values():
        assert seen["over"]
        assert (seen["results"], seen["signatures"]) == (40, ["unknown"])
        assert seen["problems"] == ["Cannot send packets from eth0: it is down or gone."]
        assert seen["hearing"] == seen["owners"]
        assert "eth0 is down" in seen["hearing"] or "no interface eth0" in seen["hearing"]


def test_pings_and_connects_tell_the_dead_from_the_living(lab: Lab) -> None:
    pings = call(lab, "ping", [WEB1.address, WEB1.address6, "10.0.0.77", "web1"])
    assert pings[WEB1.address]["milliseconds"] > 0
    assert pings[WEB1.address6]["milliseconds"] > 0
    assert (pings["10.0.0.77"]["milliseconds"], pings["10.0.0.77"]["problem"]) == (None, "")
    assert "not an IP address" in pings["web1"]["problem"]
    targets = [(WEB1.address, 80), (WEB1.address6, 80), (WEB1.address, 81), ("10.0.0.77", 80)]
    *living, dead = [found["result"] for found in call(lab, "connect", targets, 1.0)]
    assert living == ["open", "open", "refused"]
    assert dead in ("silent", "unreachable")  # the kernel itself gives up after three unanswered ARP requests


def test_without_privilege_nothing_is_known_and_nothing_raises(lab: Lab) -> None:
    prefix = "setpriv --bounding-set -net_raw --inh-caps -net_raw"
    (found,) = call(lab, "probe", "eth0", [target(WEB1)], prefix=prefix)
    assert found["signature"] == "unknown"
    assert "raw sockets need root or CAP_NET_RAW" in found["problem"]
    owners = call(lab, "owners", "eth0", [VIP], prefix=prefix)
    assert "raw sockets need root or CAP_NET_RAW" in owners[VIP]["problem"]


def test_an_interface_that_is_not_there_or_down_is_named(lab: Lab) -> None:
    lab.run("director", "ip link add dummy7 type dummy").ok()
    for interface, words in (("eth9", "no interface eth9"), ("dummy7", "dummy7 is down"), ("lo", "not an Ethernet")):
        (found,) = call(lab, "probe", interface, [target(WEB1)])
        assert (found["signature"], words in found["problem"]) == ("unknown", True), found
    lab.run("director", "ip link del dummy7").ok()
