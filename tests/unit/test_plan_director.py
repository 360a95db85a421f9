"""The plan of the director as tables: facts and a deployment in, exact commands out."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrwizard.core.model.changes import DestinationChange, DestinationState, ServiceChange, ServiceKey, ServiceState
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.steps import DIRECTOR, HostPlan
from tests.unit.planned import (
    HELD,
    LO,
    READY,
    V4,
    V6,
    VIPS,
    WEB,
    balance,
    behind,
    directed,
    director,
    lines,
    link,
    shop,
    virtual,
)


def test_a_fresh_director_from_the_module_to_the_weight() -> None:
    facts = director(module_loaded=False, services=None, sysctls={
        "net.ipv4.conf.all.send_redirects": "1", "net.ipv4.conf.eth0.send_redirects": "0",
    })  # fmt: skip
    made = balance(shop(), facts)
    assert lines(*made.steps) == [
        "modprobe ip_vs",
        "sysctl -qw net.ipv4.vs.expire_nodest_conn=1",
        "sysctl -qw net.ipv4.vs.expire_quiescent_template=1",
        "sysctl -qw net.ipv4.conf.all.send_redirects=0",
        "ipvsadm -A -t 10.0.0.10:80 -s wlc",
        "ipvsadm -a -t 10.0.0.10:80 -r 10.0.0.101:80 -g -w 0",
        "ipvsadm -e -t 10.0.0.10:80 -r 10.0.0.101:80 -g -w 1",
        "ip addr add 10.0.0.10/32 dev eth0",
        "arping -U -c 3 -I eth0 10.0.0.10",
    ]
    assert [step.phase for step in made.steps][-4:] == ["service", "destination", "weight", "vip"]
    assert made.steps[-2].proof is not None


def test_a_director_that_is_ready_needs_nothing() -> None:
    assert balance(shop(), director(virtual(behind()), held=HELD)) == HostPlan(host=DIRECTOR)


def test_settings_this_kernel_does_not_have_are_passed_over() -> None:
    assert balance(shop(), director(virtual(behind()), held=HELD, sysctls={})).steps == ()


def test_the_interface_with_a_dot() -> None:
    facts = director(
        interfaces=(LO, link("eth0.5", "10.0.0.2/24")), sysctls={"net.ipv4.conf.eth0/5.send_redirects": "1"}
    )
    assert lines(*balance(shop(interface="eth0.5"), facts).steps)[0] == (
        "sysctl -qw net.ipv4.conf.eth0/5.send_redirects=0"
    )


@pytest.mark.parametrize(
    ("wanted", "state", "line"),
    [
        (Service(port=80, scheduler="rr"), ServiceState("wlc"), "ipvsadm -E -t 10.0.0.10:80 -s rr"),
        (Service(port=80, persistence=300), ServiceState("wlc"), "ipvsadm -E -t 10.0.0.10:80 -s wlc -p 300"),
        (Service(port=80), ServiceState("wlc", persistence=300), "ipvsadm -E -t 10.0.0.10:80 -s wlc"),
    ],
)
def test_a_service_that_differs_is_changed(wanted: Service, state: ServiceState, line: str) -> None:
    deployment = shop(Vip(address="10.0.0.10", services=(wanted,)))
    (step,) = balance(deployment, director(virtual(behind(), state=state), held=HELD)).steps
    assert lines(step) == [line]
    assert step.interrupts


def test_what_the_deployment_does_not_speak_of_stays_as_it_is() -> None:
    state = ServiceState("rr", persistence=60, flags=4, netmask=0xFFFFFF00, persistence_engine="sip")
    made = balance(shop(), director(virtual(behind(weight=3, upper=9, lower=2), state=state), held=HELD))
    service, weight = (step.changes[0] for step in made.steps)
    assert isinstance(service, ServiceChange)
    assert service.new == ServiceState("wlc", 0, 4, 0xFFFFFF00, "sip")
    assert isinstance(weight, DestinationChange)
    assert weight.new == DestinationState(weight=1, upper=9, lower=2)


def test_another_forwarding_method_becomes_direct_at_weight_zero_until_it_is_proved() -> None:
    nat = DestinationState(weight=5, method="nat", upper=9)
    made = balance(shop(weight=2), director(virtual(behind(weight=5, method="nat", upper=9)), held=HELD))
    change, weight = (step.changes[0] for step in made.steps)
    assert change == DestinationChange(
        service=WEB, address="10.0.0.101", port=80, old=nat, new=DestinationState(weight=0, upper=9)
    )
    assert isinstance(weight, DestinationChange)
    assert (weight.old, weight.new) == (DestinationState(0, upper=9), DestinationState(2, upper=9))
    assert "no new clients until it is proved" in made.steps[0].interrupts
    assert made.steps[1].proof is not None


def test_weight_zero_in_the_deployment_needs_no_proof() -> None:
    made = balance(shop(weight=0), director(virtual(), held=HELD))
    assert [step.phase for step in made.steps] == ["destination"]
    (drain,) = balance(shop(weight=0), director(virtual(behind()), held=HELD)).steps
    assert lines(drain) == ["ipvsadm -e -t 10.0.0.10:80 -r 10.0.0.101:80 -g -w 0"]
    assert drain.proof is None


def test_no_destination_is_made_for_a_server_that_cannot_be_configured() -> None:
    made = balance(shop(), director(virtual(), held=HELD), "another")
    assert made.steps == ()


def test_ipv6_goes_to_the_ipv6_address_and_nowhere_without_one() -> None:
    made = balance(shop(V6), director())
    assert "ipvsadm -a -t [fd00::10]:80 -r [fd00::101]:80 -g -w 0" in lines(*made.steps)
    assert "ip addr add fd00::10/128 dev eth0 nodad preferred_lft 0" in lines(*made.steps)
    without = shop(V6, address6=None)
    assert balance(without, director()).steps == (), "a VIP without a real server refuses its clients"


def test_things_of_others_are_told_and_left() -> None:
    mail = ServiceKey("10.0.0.77", "tcp", 25)
    facts = director(
        virtual(behind(), behind("10.0.0.99"), behind(port=8080)), virtual(behind("10.0.0.50", 25), key=mail),
        held=HELD, foreign_services=("fwmark 7",),
    )  # fmt: skip
    made = balance(shop(), facts)
    assert made.steps == ()
    text = "\n".join(made.notes)
    assert all(word in text for word in ("fwmark 7", "10.0.0.77 tcp/25", "10.0.0.99 is behind", "10.0.0.101 is behind"))


def test_a_server_behind_a_vip_that_it_does_not_serve_is_told() -> None:
    both = (V4, Vip(address="10.0.0.11", services=(Service(port=80),)))
    deployment = shop(*both, vips=("10.0.0.11",))
    other = virtual(behind(), key=ServiceKey("10.0.0.11", "tcp", 80))
    made = balance(deployment, director(virtual(behind()), other, held=(*HELD, "10.0.0.11/32")))
    assert made.notes == ("10.0.0.101 is behind 10.0.0.10 tcp/80 but not in this deployment. It is left unchanged.",)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (director(privileged=False), ["root, or CAP_NET_ADMIN and CAP_NET_RAW", "sudo"]),
        (director(interfaces=(LO, link("ens3"))), ["'eth0'", "ens3"]),
        (director(held=("10.0.0.101/24",)), ["web1 (10.0.0.101) is this machine"]),
        (director(held=("10.0.0.2/24", "fd00::101/64")), ["web1 (fd00::101) is this machine"]),
        (director(services=None, ipvs_problem="It broke.", ipvs_next="Mend it."), ["It broke. Mend it."]),
        (director(services=None, module_loaded=None, ipvs_problem="No look."), ["No look."]),
        (director(services=None, module_loaded=False, module_available=False, ipvs_problem="No module."),
         ["No module."]),
    ],
)  # fmt: skip
def test_what_stands_in_the_directors_way(facts: DirectorFacts, words: list[str]) -> None:
    made = balance(shop(), facts)
    assert made.steps == ()
    assert [word for word in words if word not in made.problem] == []


@settings(max_examples=120, deadline=None)
@given(
    vips=VIPS,
    weight=st.integers(0, 3),
    loaded=st.booleans(),
    held=st.sets(st.sampled_from(["10.0.0.10/32", "10.0.0.11/24"])),
    sysctl=st.dictionaries(st.sampled_from(sorted(READY)), st.sampled_from(["0", "1"])),
    method=st.sampled_from(["dr", "nat", "tun"]),
    present=st.integers(0, 3),
    state=st.builds(
        ServiceState, scheduler=st.sampled_from(["rr", "wlc"]), persistence=st.sampled_from([0, 60]), flags=st.just(4)
    ),
)
def test_planning_the_director_again_is_empty(
    vips: list[Vip], weight: int, loaded: bool, held: set[str], sysctl: dict[str, str], method: str, present: int,
    state: ServiceState,
) -> None:  # fmt: skip
    deployment = shop(*vips, weight=weight)
    there = virtual(behind(weight=present, method=method, tun_port=9), behind("10.0.0.99"), state=state)
    facts = director(there, held=("10.0.0.2/24", *sorted(held)), sysctls=sysctl)
    if not loaded:
        facts = msgspec.structs.replace(facts, module_loaded=False, services=None)
    made = balance(deployment, facts)
    assert made.problem == ""
    again = balance(deployment, directed(facts, made))
    assert (again.problem, again.steps) == ("", ())
