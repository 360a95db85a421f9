"""The way back to clients of a Linux server, as its kernel would go: dead gateways, wrong MACs, ways that refuse."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.dialects.linux import close
from dsrwizard.core.dialects.linux.observe import observe_script, parse, sections
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Client, Service, Vip
from dsrwizard.core.model.doc_addresses import SOMEWHERE
from dsrwizard.core.model.facts import Connection, Observed, Route
from dsrwizard.engine.handshakes import recent_clients
from dsrwizard.engine.verify import verify
from tests.fakes.host import Link
from tests.unit.diagnosed import VIP, Altered, Farm, Nobody, faults, find, only

CLIENT = "203.0.113.10"
DEAD = "10.0.0.250"


def policy(farm: Farm, gateway: str = DEAD) -> None:
    """`from VIP lookup 200`, where the default goes by another gateway."""
    farm.server("web2").machine.policy[VIP] = Route(gateway=gateway, interface="eth0")


def seen(farm: Farm, *clients: str) -> Observed:
    servers = {
        server.name: farm.world.open_server(server, Nobody()).observe(farm.deployment, closely=True, clients=clients)
        for server in farm.deployment.servers
    }
    return Observed(director=farm.world.director().observe(farm.deployment), servers=servers)


def verified(farm: Farm, *clients: str) -> Report:
    return verify(farm.deployment, seen(farm, *clients), farm.world.wire(), inside=farm.inside())


def test_a_policy_route_by_a_gateway_that_nobody_has() -> None:
    farm = Farm()
    policy(farm)
    farm.server("web2").machine.neighbours.append(f"{DEAD} dev eth0 FAILED")
    check = only(verified(farm, CLIENT))
    assert (check.cause, check.host) == ("gateway", "web2")
    assert f"go by {DEAD} (table 200), which nobody has" in check.message
    assert "FAILED" in check.evidence
    assert check.fix == "On web2: ip route replace default via 10.0.0.1 dev eth0 table 200"


@pytest.mark.parametrize("line", ["", f"{DEAD} dev eth0 INCOMPLETE", f"{DEAD} dev eth1 lladdr 02:00:00:00:00:01 STALE"])
def test_nobody_answers_for_the_gateway_on_the_directors_link(line: str) -> None:
    farm = Farm()
    policy(farm)
    farm.server("web2").machine.neighbours += [line] if line else []
    assert faults(verified(farm, CLIENT)) == [("gateway", "web2")]


@pytest.mark.parametrize("state", ["REACHABLE", "STALE", "DELAY", "PERMANENT"])
def test_a_gateway_that_the_server_knows_is_there_though_the_director_does_not_hear_it(state: str) -> None:
    farm = Farm()
    policy(farm)
    farm.server("web2").machine.neighbours.append(f"{DEAD} dev eth0 lladdr 02:00:0a:00:00:fa {state}")
    assert verified(farm, CLIENT).verdict == "pass"


def test_what_answers_the_probe_by_the_router_that_a_rule_names_is_the_server() -> None:
    """The rule's table has a default by the very router, and no route to the link: all from the VIP goes by it."""
    farm = Farm()
    policy(farm, "10.0.0.1")

    def by_router(probed: Probed) -> Probed:
        if probed.rip != "10.0.0.102":
            return probed
        return msgspec.structs.replace(probed, answered_by="02:00:0a:00:00:01")

    wire = Altered(farm, probe=by_router)
    report = verify(farm.deployment, seen(farm, CLIENT), wire, inside=farm.inside())
    assert find(report, "vip.probe", "web2").outcome == "pass"


def test_the_plain_default_gateway_is_gone_for_one_server() -> None:
    farm = Farm()
    farm.server("web2").machine.routes[0] = Route(gateway=DEAD, interface="eth0")
    check = only(verified(farm))
    assert (check.cause, check.host) == ("gateway", "web2")
    assert check.fix == "On web2: ip route replace default via 10.0.0.1 dev eth0"


def test_a_default_route_by_another_interface_whose_gateway_is_gone_is_led_back_to_the_farms_router() -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    machine.links["eth0.20"] = Link(mac="02:00:0a:00:00:66", kind="vlan", addresses={"10.20.0.2": 24})
    machine.told[f"way:{VIP}>{CLIENT}"] = [f'[{{"dst":"{CLIENT}","gateway":"10.20.0.1","dev":"eth0.20"}}]']
    machine.neighbours.append("10.20.0.1 dev eth0.20 FAILED")
    check = only(verified(farm, CLIENT))
    assert (check.cause, check.host) == ("gateway", "web2")
    assert check.fix == "On web2: ip route replace default via 10.0.0.1 dev eth0"


def test_silence_behind_a_dead_gateway_is_no_spoof_filter() -> None:
    """What a rule sends to a gateway that is gone reaches the director's probe as little as a client."""
    farm = Farm()
    policy(farm)
    farm.server("web2").dropped.add(("tcp", 80))
    report = verified(farm, CLIENT)
    assert faults(report) == [("gateway", "web2")]
    assert find(report, "server.gateway", "web2").consequence_of == "gateway"


@pytest.mark.parametrize("state", ["PERMANENT", "NOARP"])
def test_a_fixed_entry_with_another_mac_than_the_gateways(state: str) -> None:
    farm = Farm()
    farm.server("web2").machine.neighbours.append(f"10.0.0.1 dev eth0 lladdr 02:00:0a:00:00:99 {state}")
    check = only(verified(farm, CLIENT))
    assert (check.cause, check.host) == ("gateway", "web2")
    assert check.fix == "On web2: ip neigh del 10.0.0.1 dev eth0"
    assert "02:00:0a:00:00:01" in check.evidence


def test_an_entry_that_names_another_server_is_wrong_however_it_was_learned() -> None:
    farm = Farm()
    mac = farm.server("web3").machine.mac
    farm.server("web2").machine.neighbours.append(f"10.0.0.1 dev eth0 lladdr {mac} REACHABLE")
    check = only(verified(farm, CLIENT))
    assert "to web3 instead of its gateway 10.0.0.1" in check.message


def test_another_server_that_has_the_gateways_address_too_is_named_with_what_takes_it_off() -> None:
    farm = Farm()
    other = farm.server("web3").machine
    other.links["eth0"].addresses["10.0.0.1"] = 24
    farm.world.strangers["10.0.0.1"] = ["02:00:0a:00:00:01"]
    farm.server("web2").machine.neighbours.append(f"10.0.0.1 dev eth0 lladdr {other.mac} REACHABLE")
    checks = [check for check in verified(farm, CLIENT).failures if check.host == "web2"]
    assert [check.cause for check in checks] == ["gateway"]
    assert checks[0].fix == "On web3: ip addr del 10.0.0.1/24 dev eth0"


@pytest.mark.parametrize(
    "line",
    [
        "10.0.0.1 dev eth0 lladdr 02:00:0a:00:00:01 PERMANENT",
        "10.0.0.1 dev eth0 lladdr 02:00:0a:00:00:01 router REACHABLE",
        "10.0.0.1 dev eth0 lladdr 00:07:b4:00:00:02 STALE",  # one of several MACs of a router
        "10.0.0.1 dev eth1 lladdr 02:00:0a:00:00:99 PERMANENT",
        "10.0.0.77 dev eth0 FAILED",
        "nonsense",
    ],
)
def test_entries_that_are_no_fault(line: str) -> None:
    farm = Farm()
    farm.server("web2").machine.neighbours.append(line)
    assert verified(farm, CLIENT).verdict == "pass"


@pytest.mark.parametrize(
    ("said", "behind", "fix"),
    [
        ("No route to host", "unreachable 203.0.113.0/24 dev lo metric 5 ",
         "ip route del unreachable 203.0.113.0/24 metric 5"),
        ("Permission denied", "prohibit default table 7", "ip route del prohibit default table 7"),
        ("Invalid argument", "100:	from 10.0.0.10 to 203.0.113.0/24 blackhole", "ip rule del pref 100"),
    ],
)  # fmt: skip
def test_a_way_that_refuses_a_client_is_named_and_the_same_for_a_documentation_address_is_not(
    said: str, behind: str, fix: str
) -> None:
    farm = Farm()
    farm.server("web2").machine.ways_off[CLIENT] = (f"RTNETLINK answers: {said}", behind)
    check = only(verified(farm, CLIENT))
    assert (check.cause, check.host, check.fix) == ("gateway", "web2", f"On web2: {fix}")
    assert CLIENT in check.message
    bogons = Farm()
    bogons.server("web2").machine.ways_off[SOMEWHERE[4]] = (f"RTNETLINK answers: {said}", behind)
    assert bogons.verify().verdict == "pass"


def test_one_client_who_is_shut_out_is_no_fault_unless_it_is_the_client_host() -> None:
    farm = Farm()
    refused = ("RTNETLINK answers: Invalid argument", f"blackhole {CLIENT}")
    farm.server("web2").machine.ways_off[CLIENT] = refused
    assert verified(farm, CLIENT).verdict == "pass"
    farm.deployment = msgspec.structs.replace(farm.deployment, client=Client(address=CLIENT))
    assert only(verified(farm, CLIENT)).fix == f"On web2: ip route del blackhole {CLIENT}"


def test_a_gateway_of_another_network_on_the_same_link_is_not_asked_for_by_the_director() -> None:
    farm = Farm()
    policy(farm, "172.31.0.1")
    assert verified(farm, CLIENT).verdict == "pass"


def test_a_link_local_router_is_gone_only_where_the_server_says_so() -> None:
    farm = Farm(addresses=("fd00::10",))
    machine = farm.server("web2").machine
    machine.policy["fd00::10"] = Route(gateway="fe80::99", interface="eth0", family=6)
    assert verified(farm, "2001:470::7").verdict == "pass"
    machine.neighbours.append("fe80::99 dev eth0 router FAILED")
    assert faults(verified(farm, "2001:470::7")) == [("gateway", "web2")]


def test_a_hung_handshake_or_a_documentation_address_is_no_client_that_was_seen() -> None:
    class Director:
        def connections(self) -> list[Connection]:
            told = [
                ("203.0.113.9", "ESTABLISHED", 9), ("203.0.113.10", "FIN_WAIT", 90), ("198.51.100.2", "UDP", 5),
                ("100.64.0.1", "SYN_RECV", 60), ("2001:db8::1", "ESTABLISHED", 4), ("8.8.8.8", "UDP", 3),
            ]  # fmt: skip
            return [
                Connection(
                    protocol="tcp", client=who, client_port=1, vip=VIP, port=80, address="10.0.0.101", dest_port=80,
                    state=state, expires=left,
                )
                for who, state, left in told
            ]  # fmt: skip

    assert recent_clients(Director()) == ["203.0.113.10", "8.8.8.8"]  # type: ignore[arg-type]


@pytest.mark.parametrize(("client", "state", "named"), [
    (CLIENT, "FAILED", True), (CLIENT, "REACHABLE", False), ("10.0.0.77", "FAILED", False),
])  # fmt: skip
def test_a_way_without_a_gateway_to_a_client_of_another_network(client: str, state: str, named: bool) -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    machine.policy[VIP] = Route(gateway="", interface="eth0")
    mac = "" if state == "FAILED" else "lladdr 02:00:00:00:00:77 "
    machine.neighbours.append(f"{client} dev eth0 {mac}{state}")
    report = verified(farm, client)
    assert faults(report) == ([("gateway", "web2")] if named else [])
    if named:
        assert only(report).fix == "On web2: ip route replace default via 10.0.0.1 dev eth0 table 200"


@pytest.mark.parametrize(("named", "state", "wrong"), [
    (CLIENT, "FAILED", True), (CLIENT, "REACHABLE", False), ("203.0.113.11", "FAILED", False),
])  # fmt: skip
def test_a_network_of_containers_that_is_the_clients_own(named: str, state: str, wrong: bool) -> None:
    """A neighbour that does not answer may have gone; the client host is there and asks."""
    farm = Farm()
    farm.deployment = msgspec.structs.replace(farm.deployment, client=Client(address=named))
    machine = farm.server("web2").machine
    machine.links["docker0"] = Link(mac="02:42:00:00:00:01", addresses={"203.0.113.1": 24})
    machine.policy[VIP] = Route(gateway="", interface="docker0")
    mac = "" if state == "FAILED" else "lladdr 02:00:00:00:00:77 "
    machine.neighbours.append(f"{CLIENT} dev docker0 {mac}{state}")
    report = verified(farm, CLIENT)
    assert faults(report) == ([("gateway", "web2")] if wrong else [])
    if wrong:
        assert "for a neighbour on docker0, whose network is 203.0.113.0/24" in only(report).message
        assert only(report).fix.startswith("Give the network of docker0 on web2 another range")


def test_no_way_to_a_client_who_is_there() -> None:
    farm = Farm()
    farm.server("web2").machine.ways_off[CLIENT] = ("RTNETLINK answers: Network is unreachable", "")
    check = only(verified(farm, CLIENT))
    assert (check.cause, check.host) == ("gateway", "web2")
    assert f"no way to the client {CLIENT}" in check.message


def test_a_server_without_a_default_route_serves_the_clients_it_has_a_route_to() -> None:
    farm = Farm()
    farm.server("web2").machine.ways_off[SOMEWHERE[4]] = ("RTNETLINK answers: Network is unreachable", "")
    assert find(farm.verify(), "server.gateway", "web2").outcome == "fail"
    assert verified(farm, CLIENT).verdict == "pass"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("fe80::1 dev eth0 lladdr 02:00:0a:00:00:01 router STALE", ("fe80::1", "eth0", "02:00:0a:00:00:01", "STALE")),
        (
            "10.0.0.9 dev eth0 lladdr 02:00:0a:00:00:09 proxy NOARP",
            ("10.0.0.9", "eth0", "02:00:0a:00:00:09", "NOARP"),
        ),
        ("10.0.0.9 dev eth0  INCOMPLETE", ("10.0.0.9", "eth0", "", "INCOMPLETE")),
        ("10.0.0.9 dev gre1 lladdr 192.0.2.1 PERMANENT", None),
        ("x" * 10_000, None),
    ],
)
def test_lines_of_ip_neigh(line: str, found: tuple[str, str, str, str] | None) -> None:
    looked = close.parse({"boot": [], "neighbours": [line]}, systemd=True)
    assert looked is not None
    told = [(one.address, one.interface, one.mac, one.state) for one in looked.neighbours]
    assert told == ([found] if found else [])


def test_a_rule_for_the_services_port_is_asked_for_by_that_port() -> None:
    script = observe_script(
        "n", [], closely=True, vips=[Vip(address=VIP, services=(Service(port=8080),))], clients=[CLIENT]
    )
    assert f"way -4 {VIP} {CLIENT} tcp 8080" in script


def test_a_client_whose_way_back_is_another_interface_is_dropped_by_a_strict_filter() -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    machine.sysctls["net.ipv4.conf.all.rp_filter"] = "1"
    machine.told[f"way:{VIP}>{CLIENT}"] = [f'[{{"dst":"{CLIENT}","gateway":"192.0.2.129","dev":"eth1"}}]']
    check = only(verified(farm, CLIENT))
    assert (check.cause, check.host, CLIENT in check.evidence) == ("rp-filter", "web2", True)


SHELLS = [one for one in (["sh"], ["bash", "--posix"], ["busybox", "sh"]) if shutil.which(one[0])]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_close_look_on_this_machine(shell: list[str]) -> None:
    vips = [Vip(address="127.0.0.1", services=(Service(port=80),)), Vip(address="::1", services=())]
    script = observe_script("n0", [], closely=True, vips=vips, clients=["198.51.100.7"])
    done = subprocess.run([*shell, "-s"], input=script, capture_output=True, text=True, timeout=60, check=True)
    looked = parse("here", "n0", done.stdout).linux
    assert looked is not None
    assert "127.0.0.0/8" in looked.local_networks
    assert {way.client for way in looked.ways} == {"198.51.100.7", *SOMEWHERE.values()}
    assert looked.boot is not None


IP = """#!/bin/sh
case "$*" in
  *"route get"*) echo '[{"dst":"198.51.100.7","gateway":"10.0.0.1","dev":"eth0","prefsrc":"10.0.0.10"}]';;
  "neigh show"*) state=$(cat "$TABLE")
    case "$* $state" in *"nud failed FAILED" | *"nud incomplete INCOMPLETE" | "neigh show "[!n]*)
      echo "10.0.0.1 dev eth0 $state ";; esac;;
  *) exit 1;;
esac
"""
"""Its one neighbour entry is what the table says."""
PING = """#!/bin/sh
sleep 3; echo @INCOMPLETE >"$TABLE"; sleep 0.3; echo @STATE >"$TABLE"
"""


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
@pytest.mark.parametrize("state", ["lladdr 02:00:0a:00:00:01 REACHABLE", "FAILED"])
def test_a_neighbour_entry_that_failed_before_is_asked_for_again_first(
    shell: list[str], state: str, tmp_path: Path
) -> None:
    """The cable is plugged in again, and nobody has sent anything since."""
    (table := tmp_path / "table").write_text("FAILED\n")
    ping = PING.replace("@INCOMPLETE", "INCOMPLETE").replace("@STATE", f"'{state}'")
    for name, text in (("ip", IP), ("ping", ping)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    vips = [Vip(address="10.0.0.10", services=(Service(port=80),))]
    script = observe_script("n0", [], closely=True, vips=vips, clients=["198.51.100.7"])
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "TABLE": str(table)}
    done = subprocess.run([*shell, "-s"], input=script, capture_output=True, text=True, timeout=60, check=True, env=env)
    told = sections("n0", done.stdout)["neighbours"]
    assert [line.strip() for line in told if line] == [f"10.0.0.1 dev eth0 {state}"]
