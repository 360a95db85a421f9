"""A VIP on the interface to the director, on several, or where no plan would put one: one fault, one cure."""

from __future__ import annotations

import shlex

import msgspec
import pytest

from dsrwizard.core.dialects.linux.advice import put_vip
from dsrwizard.core.model.changes import AddressChange
from dsrwizard.core.model.deployment import Deployment
from tests.unit.diagnosed import VIP, Farm, faults, find, only


def run(farm: Farm, fix: str) -> None:
    """Runs the commands of a fix on web2 as `ip` would: adding what is there, and removing what is not, fails."""
    where, _, line = fix.partition(": ")
    assert where == "On web2"
    machine = farm.server("web2").machine
    for command in line.split(" && "):
        match shlex.split(command):
            case ["ip", "addr", ("add" | "del") as verb, place, "dev", name, *_]:
                address, _, prefix = place.partition("/")
                there = verb == "del"
                machine.change(
                    AddressChange(interface=name, address=address, prefix=int(prefix), old=there, new=not there)
                )
            case ["ip", "link", "set", name, "up"]:
                machine.links[name].up = True
            case ["sysctl", "-w", *words]:
                assert words
                machine.sysctls |= dict(word.split("=") for word in words)
            case words:
                raise AssertionError(words)


@pytest.mark.parametrize("prefix", [32, 24])
@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_vip_on_the_interface_to_the_director_is_one_fault_and_the_fix_cures_it(prefix: int, elsewhere: bool) -> None:
    farm = Farm()
    links = farm.server("web2").machine.links
    links["eth0"].addresses[VIP] = prefix
    if not elsewhere:
        del links["lo"].addresses[VIP]
    check = only(farm.verify())
    assert (check.cause, check.host) == ("arp-leak", "web2")
    assert "guard is off" not in check.message
    assert ("ip addr add" in check.fix) is not elsewhere
    run(farm, check.fix)
    assert faults(farm.verify()) == []


def test_the_servers_own_address_stays_where_the_vip_is_the_first_of_its_network() -> None:
    farm = Farm()
    links = farm.server("web2").machine.links
    own = links["eth0"].addresses
    links["eth0"].addresses = {VIP: 24} | own
    check = only(farm.verify())
    assert check.fix.startswith("On web2: sysctl -w net.ipv4.conf.eth0.promote_secondaries=1 && ip addr del")


def test_another_vip_that_is_secondary_to_a_wrong_one_stays() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"))
    farm.server("web2").machine.links["lo"].addresses |= {VIP: 24, "10.0.0.11": 24}
    fixes = {check.vip: check.fix for check in farm.verify().failures}
    assert fixes[VIP].startswith(
        "On web2: sysctl -w net.ipv4.conf.lo.promote_secondaries=1 && ip addr del 10.0.0.10/24"
    )
    assert fixes["10.0.0.11"].startswith("On web2: ip addr del 10.0.0.11/24")


def test_every_wrong_prefix_is_taken_off_and_a_right_one_is_not_put_there_twice() -> None:
    farm = Farm()
    farm.server("web2").machine.links["lo"].addresses[VIP] = 24
    check = only(farm.verify())
    assert check.cause == "vip-prefix"
    run(farm, check.fix)
    assert faults(farm.verify()) == []


def test_a_vip_on_a_link_that_is_down_is_brought_up_and_not_added_again() -> None:
    farm = Farm()
    farm.server("web2").machine.links["lo"].up = False
    check = find(farm.verify(), "vip.probe", "web2")
    assert (check.cause, check.fix) == ("vip-missing", "On web2: ip link set lo up")


def on_the_nic(deployment: Deployment) -> Deployment:
    servers = [msgspec.structs.replace(one, vip_interface="eth0") for one in deployment.servers]
    return msgspec.structs.replace(deployment, servers=tuple(servers))


def test_no_fix_puts_a_vip_where_the_plan_refuses_to() -> None:
    farm = Farm()
    del farm.server("web2").machine.links["lo"].addresses[VIP]
    farm.deployment = on_the_nic(farm.deployment)
    check = find(farm.verify(), "vip.probe", "web2")
    assert check.fix == f"On web2: ip addr add {VIP}/32 dev lo"


def test_a_dummy_interface_that_is_not_there_is_made() -> None:
    farm = Farm()
    server = msgspec.structs.replace(farm.deployment.server("web2"), vip_interface="dummy0")
    facts = farm.observed().servers["web2"]
    assert put_vip(server, VIP, facts=facts) == (
        f"ip link add dummy0 type dummy && ip link set dummy0 up && ip addr add {VIP}/32 dev dummy0"
    )
    odd = msgspec.structs.replace(server, vip_interface="a b")
    assert put_vip(odd, VIP).endswith("dev 'a b'")
