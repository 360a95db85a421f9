"""Guards beside real keepaliveds: what they write is what the tables of both directors say."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from backends.lab import network
from backends.lab.guest import wizard_command
from dsrwizard.core.dialects.keepalived.writer import Side, main_text, services_text, vrrp_text
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.model.guarding import DestinationPlace, health_path
from dsrwizard.core.model.keepalived import KEEPALIVED_CONF, health_folder, services_file, vrrp_file
from dsrwizard.core.plan.keepalived import keepalived_settings
from tests.lab.guards import STATE, rounds
from tests.lab.harness import SERVERS, VIP, Lab, Process

pytestmark = pytest.mark.long

ONE, OTHER = network.directors(2)
FILE = "/lab/shop.toml"


def weights(lab: Lab, host: str) -> dict[str, int]:
    """Real server → its weight in IPVS."""
    table = lab.run(host, "ipvsadm -Sn").ok().stdout
    return {f"web{n}": int(weight) for n, weight in re.findall(r"-r 10\.0\.0\.10(\d):80 -g -w (\d+)", table)}


def until(lab: Lab, server: str, weight: int, *hosts: str) -> None:
    for host in hosts or (ONE.name, OTHER.name):
        lab.wait(host, f"ipvsadm -Sn | grep -q -e '-r 10.0.0.10{server[-1]}:80 -g -w {weight}$'")


def health(server: str) -> str:
    return str(health_path("shop", DestinationPlace(VIP, "tcp/80", server)))


def guarding(lab: Lab, host: str) -> Process:
    process = lab.spawn(host, wizard_command("guard", FILE))
    process.expect("Guarding shop")
    return process


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    """Two directors with keepalived at work, and real servers that serve; no guard yet."""
    with Lab(directors=2) as lab:
        lab.know_hosts()
        text = lab.read(ONE.name, FILE).replace("[director]\n", "[director]\nguard = true\n", 1)
        text += "\n[director.vrrp]\npreempt_delay = 1\n"
        for server in SERVERS:
            quiet = "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"
            lab.run(server, f"{quiet} && ip addr add {VIP}/32 dev lo").ok()
        for host, peer in ((ONE, OTHER), (OTHER, ONE)):
            mine = text if host == ONE else text.replace(OTHER.address, ONE.address).replace('"lb2"', '"lb1"')
            lab.put(FILE, mine, host=host.name)
            deployment = loads(mine)
            side = Side(host.address, "eth0", peer.address, host == ONE)
            lab.run(host.name, f"mkdir -p /etc/keepalived/dsrwizard.d {health_folder('shop')}").ok()
            lab.put(KEEPALIVED_CONF, main_text(deployment, side), host=host.name)
            lab.put(vrrp_file("shop"), vrrp_text(deployment, side), host=host.name)
            lab.put(services_file("shop"), services_text(deployment, guarded=True), host=host.name)
            settings = keepalived_settings(deployment, "eth0")
            wanted = " ".join(f"{key}={value}" for key, (value, *_) in settings.items())
            lab.run(host.name, f"modprobe -q ip_vs; sysctl -qw {wanted}; keepalived -t && keepalived").ok()
        yield lab


def test_nobody_gets_clients_until_a_guard_has_proved_him(pair: Lab) -> None:
    for host in (ONE.name, OTHER.name):
        pair.wait(host, "[ $(ipvsadm -Sn | grep -c -e '-w 0$') = 3 ]")
    with guarding(pair, ONE.name):
        for server in SERVERS:
            until(pair, server, 1, ONE.name)
        assert set(weights(pair, OTHER.name).values()) == {0}, "each director has a guard of its own"


def test_dead_ones_leave_both_tables_and_come_back_and_the_file_is_never_missing(pair: Lab) -> None:
    with guarding(pair, ONE.name) as one, guarding(pair, OTHER.name):
        for server in SERVERS:
            until(pair, server, 1)
        pair.run("web2", f"ip addr del {VIP}/32 dev lo").ok()
        until(pair, "web2", 0)
        assert weights(pair, ONE.name) == weights(pair, OTHER.name) == {"web1": 1, "web2": 0, "web3": 1}
        told = pair.run(ONE.name, wizard_command("events", FILE)).stdout
        assert f"guard: web2 in {VIP} tcp/80 is dead for keepalived. No answer." in told

        pair.run(ONE.name, f"rm {health('web2')}").ok()
        one.expect("which keepalived takes for well: restored")
        rounds(pair, ONE.name)
        until(pair, "web2", 0)

        pair.run("web2", f"ip addr add {VIP}/32 dev lo").ok()
        until(pair, "web2", 1)
        rounds(pair, ONE.name)  # keepalived is quicker than the round that says so ends
        state = json.loads(pair.read(ONE.name, STATE))
        assert (state["held"], state["alarms"]) == ([], []), "the other director answers for the VIP by right"


def test_a_guard_that_is_killed_leaves_its_word_and_the_next_one_goes_on_with_it(pair: Lab) -> None:
    with guarding(pair, ONE.name) as guard, guarding(pair, OTHER.name):
        for server in SERVERS:
            until(pair, server, 1)
        pair.run("web3", f"ip addr del {VIP}/32 dev lo").ok()
        until(pair, "web3", 0)
        guard.kill()
    assert weights(pair, ONE.name)["web3"] == 0
    with guarding(pair, ONE.name), guarding(pair, OTHER.name):
        rounds(pair, ONE.name)
        assert weights(pair, ONE.name) == {"web1": 1, "web2": 1, "web3": 0}
        pair.run("web3", f"ip addr add {VIP}/32 dev lo").ok()
        until(pair, "web3", 1)


def test_a_director_that_is_cut_off_changes_no_file(pair: Lab) -> None:
    cable = f"nsenter --target=1 --net ip link set v{ONE.name}"
    inodes = f"ls -i {health_folder('shop')}"
    with guarding(pair, ONE.name) as guard:
        for server in SERVERS:
            until(pair, server, 1, ONE.name)
        before = pair.run(ONE.name, inodes).ok().stdout
        pair.run(ONE.name, f"{cable} down").ok()
        guard.expect("nothing is changed: Interface eth0 has no link")
        rounds(pair, ONE.name)
        assert pair.run(ONE.name, inodes).ok().stdout == before
        pair.run(ONE.name, f"{cable} up").ok()
        guard.expect("All alarms are over.")
