"""A server keeps the VIP as long as the director sends clients there, whoever has it do so."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.changes import DestinationState, ServiceState
from tests.fakes.ipvs import Entry, Virtual
from tests.unit.test_whereabouts import MAIL, VIP, WEB, Farm, farm, host, said, titles

__all__ = ["farm"]


def somebody_sends(farm: Farm, address: str, weight: int = 5, method: str = "dr") -> None:
    """Another program on the director has a service on the VIP, with this server behind it."""
    entry = Entry(address, 25, DestinationState(weight, method))
    farm.world.ipvs.table[MAIL] = Virtual(state=ServiceState("rr"), entries=[entry])


def test_a_server_keeps_the_vip_while_others_send_to_it(farm: Farm) -> None:
    somebody_sends(farm, "10.0.0.101")
    before = farm.machine("web1").machine.files.keys()
    del farm.servers["web1"]
    plan = farm.plan()
    assert "web1" not in titles(plan)
    assert "still sends clients there: 10.0.0.10 tcp/25 to 10.0.0.101, weight 5" in said(plan, "web1")
    assert farm.apply().ok
    machine = farm.machine("web1").machine
    assert (machine.holds(VIP), machine.answers_arp(VIP), machine.files.keys()) == ("lo", False, before)
    farm.world.ipvs.table[MAIL].entries[0].state = DestinationState(0)
    assert farm.apply().ok
    assert machine.holds(VIP) is None


def test_a_teardown_waits_for_those_who_still_send(farm: Farm) -> None:
    somebody_sends(farm, "10.0.0.101")
    assert "still sends clients there" in said(farm.back(), "web1")
    assert farm.teardown().ok
    holding = [name for name in ("web1", "web2", "web3") if farm.machine(name).machine.holds(VIP)]
    assert holding == ["web1"]


def test_a_service_on_an_address_that_the_server_does_not_hold_keeps_nothing_there(farm: Farm) -> None:
    elsewhere = msgspec.structs.replace(MAIL, address="10.0.0.77")
    entry = Entry("10.0.0.101", 25, DestinationState(5))
    farm.world.ipvs.table[elsewhere] = Virtual(state=ServiceState("rr"), entries=[entry])
    assert farm.teardown().ok
    machine = farm.machine("web1").machine
    assert (machine.holds(VIP), machine.sysctls["net.ipv4.conf.all.arp_ignore"]) == (None, "0")
    assert elsewhere in farm.world.ipvs.table


@pytest.mark.parametrize(("weight", "method"), [(0, "dr"), (5, "nat")])
def test_what_needs_no_vip_holds_nothing(farm: Farm, weight: int, method: str) -> None:
    somebody_sends(farm, "10.0.0.101", weight, method)
    del farm.servers["web1"]
    assert "web1" in titles(farm.plan())


def test_who_begins_to_send_after_the_plan_is_seen_in_time(farm: Farm) -> None:
    del farm.servers["web1"]
    wanted, engine = farm.deployment(), farm.engine()
    with engine.lease(wanted.name, "apply") as lease:
        plan = engine.plan(wanted, engine.observe(wanted))
        somebody_sends(farm, "10.0.0.101")
        result = engine.apply(wanted, plan, lambda event: None, lease=lease)
    assert not result.ok
    (failure,) = [one.failure for one in result.hosts if one.host == "web1"]
    assert failure is not None
    assert "web1 keeps the VIP: the director still sends clients there" in failure.what
    assert farm.machine("web1").machine.holds(VIP)


def test_where_the_director_fails_the_server_keeps_the_vip(farm: Farm) -> None:
    del farm.servers["web1"]
    wanted, engine = farm.deployment(), farm.engine()
    with engine.lease(wanted.name, "apply") as lease:
        plan = engine.plan(wanted, engine.observe(wanted))
        farm.world.ipvs.set_weight(WEB, "10.0.0.101", 80, 7)  # changed meanwhile: the drain is refused
        assert not engine.apply(wanted, plan, lambda event: None, lease=lease).ok
    assert farm.machine("web1").machine.holds(VIP)


def test_a_balancer_that_cannot_be_asked_is_left_to_the_operator(tmp_path: Path) -> None:
    farm = Farm(tmp_path, balancer="external")
    assert farm.apply().ok
    del farm.servers["web1"]
    steps = {step.title: step.interrupts for step in host(farm.plan(), "web1").steps}
    for title in ("Undo: VIP 10.0.0.10/32 on lo", "Undo: Guard: stay silent about the VIP in ARP"):
        assert "make sure that the load balancer no longer sends to web1 (10.0.0.101)" in steps[title]
    farm.servers["web1"] = "10.0.0.101"
    assert "no longer sends to web2 (10.0.0.102)" in str([step.interrupts for step in host(farm.back(), "web2").steps])
