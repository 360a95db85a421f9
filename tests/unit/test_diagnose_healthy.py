"""A healthy farm gives no fault and nothing unseen, whatever else is on its hosts and whatever clients do meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from dsrwizard.core.model.changes import DestinationState, ServiceKey, ServiceState
from dsrwizard.core.model.facts import Listener, Route
from dsrwizard.engine.verify import verify
from tests.fakes.host import Link
from tests.fakes.ipvs import Entry, Virtual
from tests.unit.diagnosed import VIP, VIP6, Farm, find, only
from tests.unit.several import VIP2, rich


def other_services(farm: Farm) -> None:
    foreign = Virtual(state=ServiceState("sh", persistence=300))
    foreign.entries.append(Entry("10.0.0.101", 443, DestinationState(0, "nat")))
    farm.world.ipvs.table[ServiceKey("10.0.0.99", "tcp", 443)] = foreign
    farm.world.ipvs.table[ServiceKey(VIP, "tcp", 8443)] = Virtual(state=ServiceState("rr"))
    farm.world.ipvs.table[ServiceKey(VIP, "udp", 80)] = Virtual(state=ServiceState("rr"))


def other_destinations(farm: Farm) -> None:
    for virtual in farm.world.ipvs.table.values():
        if virtual.entries and ":" not in virtual.entries[0].address:
            virtual.entries.append(Entry("10.0.0.200", virtual.entries[0].port, DestinationState(0, "tun")))


def other_addresses(farm: Farm) -> None:
    machine = farm.server("web2").machine
    machine.links["lo"].addresses["192.0.2.77"] = 32
    machine.links["eth0"].addresses["10.0.0.88"] = 24
    machine.links["other0"] = Link("02:00:00:00:d0:09", kind="dummy", addresses={"10.0.0.99": 32})
    farm.world.machine.links["eth0"].addresses["10.0.0.77"] = 24


def containers(farm: Farm) -> None:
    machine = farm.server("web1").machine
    machine.links["docker0"] = Link("02:42:00:00:00:01", kind="bridge", addresses={"172.17.0.1": 16})
    machine.links["veth12"] = Link("02:42:00:00:00:02", kind="veth")
    machine.sysctls["net.ipv4.ip_forward"] = "1"
    for name in ("docker0", "veth12"):
        machine.sysctls |= {f"net.ipv4.conf.{name}.{key}": "0" for key in ("arp_ignore", "arp_announce", "rp_filter")}
    machine.listeners.append(Listener(protocol="tcp", address="127.0.0.1", port=8080, process="app"))


def other_routes(farm: Farm) -> None:
    machine = farm.server("web3").machine
    machine.routes.append(Route(gateway="10.0.0.253", interface="eth0"))  # a second default, less preferred
    machine.sysctls["net.ipv4.conf.eth0.rp_filter"] = "1"


def more_guard(farm: Farm) -> None:
    """Stricter than asked for."""
    farm.server("web1").machine.sysctls["net.ipv4.conf.eth0.arp_ignore"] = "2"
    farm.server("web2").machine.sysctls["net.ipv4.conf.all.rp_filter"] = "2"


def clients(farm: Farm) -> None:
    farm.world.requests(60)
    farm.world.requests(30, vip=VIP2, port=8080)
    farm.world.requests(30, vip=VIP, port=7, protocol="udp")


@pytest.mark.parametrize(
    "make",
    [other_services, other_destinations, other_addresses, containers, other_routes, more_guard, clients],
    ids=lambda make: make.__name__,
)
def test_what_is_not_ours_and_what_clients_do_is_no_fault(make: Callable[[Farm], None]) -> None:
    farm = rich()
    make(farm)
    report = farm.verify()
    assert (report.verdict, report.failures) == ("pass", ())
    assert not [check.message for check in report.checks if check.outcome == "unknown"]


def test_all_of_it_at_once_is_no_fault_either() -> None:
    farm = rich()
    for make in (other_services, other_destinations, other_addresses, containers, other_routes, more_guard, clients):
        make(farm)
    assert {check.outcome for check in farm.verify().checks} <= {"pass", "skipped"}


def test_firewall_marks_and_other_protocols_in_ipvs_are_no_fault() -> None:
    farm = Farm()
    seen = farm.observed()
    assert seen.director is not None
    marked = msgspec.structs.replace(seen.director, foreign_services=("fwmark 7", "sctp 10.0.0.10:80"))
    report = verify(farm.deployment, msgspec.structs.replace(seen, director=marked), farm.world.wire())
    assert report.failures == ()
    assert find(report, "director.ipvs", "director").outcome == "pass"


@pytest.mark.parametrize(("vip", "port"), [(VIP, 80), (VIP2, 8080), (VIP6, 80)])
def test_a_server_drained_by_hand_is_named_with_its_service_and_nothing_else(vip: str, port: int) -> None:
    farm = rich()
    clients(farm)
    farm.world.ipvs.table[ServiceKey(vip, "tcp", port)].entries[1].state = DestinationState(0)
    check = only(farm.verify())
    assert (check.cause, check.vip, check.service, check.server) == ("drained", vip, f"tcp/{port}", "web2")
