"""The plan as tables: facts and a deployment in, exact commands out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrwizard.core.changes import (
    AddressChange,
    Change,
    DestinationChange,
    DestinationState,
    FileChange,
    FileState,
    LinkChange,
    ModuleChange,
    ServiceChange,
    ServiceKey,
    ServiceState,
    SysctlChange,
)
from dsrwizard.core.commands import commands
from dsrwizard.core.director import plan_director, sysctls
from dsrwizard.core.facts import (
    Destination,
    DirectorFacts,
    Failure,
    Interface,
    InterfaceAddress,
    Observed,
    ServerFacts,
    VirtualService,
)
from dsrwizard.core.linux.steps import (
    GUARD_FILE,
    effective,
    ifupdown_file,
    ifupdown_text,
    plan_server,
    unit_file,
    unit_link,
    unit_text,
)
from dsrwizard.core.model import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.plan import plan
from dsrwizard.core.steps import DIRECTOR, HostPlan, Step

IGNORE, ANNOUNCE = "net.ipv4.conf.all.arp_ignore", "net.ipv4.conf.all.arp_announce"
V4, V6 = Vip(address="10.0.0.10", services=(Service(port=80),)), Vip(address="fd00::10", services=(Service(port=80),))


def shop(*vips: Vip, interface: str = "eth0", **server: Any) -> Deployment:
    """One real server behind the VIPs (one IPv4 VIP if none is given)."""
    return Deployment(
        name="shop",
        director=Director(interface=interface),
        vips=vips or (V4,),
        servers=(RealServer(**({"name": "web1", "address": "10.0.0.101", "address6": "fd00::101"} | server)),),
    )


def link(name: str, *addresses: str, kind: str = "", up: bool = True) -> Interface:
    pairs = [address.split("/") for address in addresses]
    return Interface(
        name=name,
        up=up,
        kind=kind,
        addresses=tuple(InterfaceAddress(address=address, prefix=int(prefix)) for address, prefix in pairs),
    )


LO, ETH0 = link("lo", "127.0.0.1/8"), link("eth0", "10.0.0.101/24", "fd00::101/64")


def server(*interfaces: Interface, sysctl: dict[str, str] | None = None, **others: Any) -> ServerFacts:
    values: dict[str, Any] = {
        "host": "web1",
        "privileged": True,
        "persistence": "systemd",
        "interfaces": interfaces or (LO, ETH0),
        "sysctls": {IGNORE: "0", ANNOUNCE: "0", "net.ipv4.conf.eth0.arp_ignore": "0"} | (sysctl or {}),
    }
    return ServerFacts(**(values | others))


def of(deployment: Deployment, facts: ServerFacts) -> HostPlan:
    return plan_server(deployment, deployment.servers[0], facts)


def lines(*steps: Step) -> list[str]:
    """The commands without the files' text."""
    return [line.splitlines()[0] for step in steps for change in step.changes for line in commands(change)]


GUARD_LINES = [
    "sysctl -qw net.ipv4.conf.all.arp_ignore=1",
    "sysctl -qw net.ipv4.conf.all.arp_announce=2",
    "cat > /etc/sysctl.d/90-dsrwizard.conf <<'DSRWIZARD_END'",
    "chmod 644 /etc/sysctl.d/90-dsrwizard.conf",
]
UNIT_LINES = [
    "cat > /etc/systemd/system/dsrwizard-shop.service <<'DSRWIZARD_END'",
    "chmod 644 /etc/systemd/system/dsrwizard-shop.service",
    "ln -sfn /etc/systemd/system/dsrwizard-shop.service "
    "/etc/systemd/system/multi-user.target.wants/dsrwizard-shop.service",
    "systemctl daemon-reload",
]
ADD = "ip addr add 10.0.0.10/32 dev lo"


# --- a real server ---------------------------------------------------------------------------------------------------


def test_a_fresh_server_gets_guard_then_vip_then_what_keeps_both() -> None:
    made = of(shop(), server())
    assert [step.id for step in made.steps] == ["guard", "vip 10.0.0.10", "persistence"]
    assert lines(*made.steps) == [*GUARD_LINES, ADD, *UNIT_LINES]
    assert (made.problem, made.notes) == ("", ())


@pytest.mark.parametrize(
    ("present", "wanted"),
    [
        ({}, GUARD_LINES),
        ({IGNORE: "1"}, GUARD_LINES[1:]),
        ({IGNORE: "1", ANNOUNCE: "2"}, GUARD_LINES[2:]),
        ({IGNORE: "2", ANNOUNCE: "2"}, GUARD_LINES[2:]),  # answers even less
        ({IGNORE: "3", ANNOUNCE: "1"}, GUARD_LINES),  # 3 answers for global addresses
        ({IGNORE: "8", ANNOUNCE: "2"}, [GUARD_LINES[0], *GUARD_LINES[2:]]),
        ({"net.ipv4.conf.eth0.arp_ignore": "2"}, GUARD_LINES),
        # the larger of `all` and the interface's own is in force: 3 and 8 there would undo the guard
        (
            {"net.ipv4.conf.eth0.arp_ignore": "3"},
            [GUARD_LINES[0], "sysctl -qw net.ipv4.conf.eth0.arp_ignore=1", *GUARD_LINES[1:]],
        ),
        (
            {IGNORE: "1", ANNOUNCE: "2", "net.ipv4.conf.eth0.arp_ignore": "8"},
            ["sysctl -qw net.ipv4.conf.eth0.arp_ignore=1", *GUARD_LINES[2:]],
        ),
        ({"net.ipv4.conf.eth1.arp_ignore": "3"}, GUARD_LINES),  # no frame of the director arrives there
    ],
)
def test_guard(present: dict[str, str], wanted: list[str]) -> None:
    (guard, *_) = of(shop(), server(sysctl=present)).steps
    assert guard.id == "guard"
    assert lines(guard) == wanted


def test_the_guard_of_a_vlan_interface_is_named_as_sysctl_writes_it() -> None:
    facts = server(LO, link("eth0.100", "10.0.0.101/24"), sysctl={"net.ipv4.conf.eth0/100.arp_ignore": "3"})
    assert "sysctl -qw net.ipv4.conf.eth0/100.arp_ignore=1" in lines(*of(shop(), facts).steps)


def test_ipv6_alone_needs_no_guard() -> None:
    made = of(shop(V6), server())
    assert [step.id for step in made.steps] == ["vip fd00::10", "persistence"]
    assert lines(made.steps[0]) == ["ip addr add fd00::10/128 dev lo nodad preferred_lft 0"]
    assert "arp_" not in unit_text("shop", "lo", (V6,))


@pytest.mark.parametrize(
    ("lo", "wanted"),
    [
        (["127.0.0.1/8"], [ADD]),
        (["127.0.0.1/8", "10.0.0.10/32"], []),
        (["10.0.0.10/24"], ["ip addr del 10.0.0.10/24 dev lo", ADD]),
        (["10.0.0.10/24", "10.0.0.10/32"], ["ip addr del 10.0.0.10/24 dev lo"]),
        (["10.0.0.10/32", "10.0.0.10/8"], ["ip addr del 10.0.0.10/8 dev lo"]),
        (["10.0.0.11/32"], [ADD]),
    ],
)
def test_the_vip_on_lo(lo: list[str], wanted: list[str]) -> None:
    made = of(shop(), server(link("lo", *lo), ETH0))
    assert lines(*(step for step in made.steps if step.id.startswith("vip"))) == wanted
    gap = any(step.interrupts for step in made.steps)
    assert gap == (len(wanted) == 2)


def test_the_vip_with_a_wrong_prefix_on_another_interface_is_told_and_mended() -> None:
    made = of(shop(), server(LO, ETH0, link("dummy7", "10.0.0.10/24", kind="dummy")))
    assert lines(made.steps[1]) == ["ip addr del 10.0.0.10/24 dev dummy7", ADD]
    assert any("dummy7" in note for note in made.notes)


def test_a_vip_on_a_dummy_of_somebody_is_left_there() -> None:
    made = of(shop(), server(LO, ETH0, link("dummy7", "10.0.0.10/32", kind="dummy")))
    assert [step.id for step in made.steps] == ["guard", "persistence"]
    assert made.notes == ("10.0.0.10 is on dummy7 already, not on lo; it stays.",)


def test_vip_interface_that_is_not_there_is_made() -> None:
    made = of(shop(vip_interface="dsr0"), server())
    assert [step.id for step in made.steps] == ["guard", "link dsr0", "vip 10.0.0.10", "persistence"]
    assert lines(*made.steps[1:3]) == [
        "ip link add dsr0 type dummy", "ip link set dsr0 up", "ip addr add 10.0.0.10/32 dev dsr0",
    ]  # fmt: skip


def test_vip_interface_that_is_there_is_used() -> None:
    made = of(shop(vip_interface="dsr0"), server(LO, ETH0, link("dsr0", kind="dummy")))
    assert lines(made.steps[1]) == ["ip addr add 10.0.0.10/32 dev dsr0"]


@pytest.mark.parametrize(
    ("deployment", "facts", "words"),
    [
        (shop(), server(privileged=False), ["root", "sudo"]),
        (shop(), server(LO, link("eth0", "192.168.1.5/24")), ["No interface there holds 10.0.0.101"]),
        (shop(), server(LO, link("eth0", "10.0.0.101/24", "10.0.0.10/32")),
         ["10.0.0.10 is on eth0", "ip addr del 10.0.0.10/32 dev eth0"]),
        (shop(), server(LO, link("eth0", "10.0.0.101/24", "10.0.0.10/24")), ["ip addr del 10.0.0.10/24 dev eth0"]),
        (shop(vip_interface="dsr0"), server(LO, ETH0, link("dsr0", kind="vlan")),
         ["'dsr0'", "no dummy", 'vip_interface = "lo"']),
        (shop(vip_interface="eth0"), server(), ["'eth0'", "no dummy"]),
        (shop(vip_interface="dsr0"), server(LO, ETH0, link("dsr0", kind="dummy", up=False)), ["ip link set dsr0 up"]),
        (shop(), server(sysctls={}), ["arp_ignore", "could not be read"]),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_told_with_what_to_do(
    deployment: Deployment, facts: ServerFacts, words: list[str]
) -> None:
    made = of(deployment, facts)
    assert made.steps == ()
    assert [word for word in words if word not in made.problem] == []


def test_a_server_that_is_ready_needs_nothing() -> None:
    facts = applied(server(), of(shop(), server()))
    assert of(shop(), facts) == HostPlan(host="web1")


def test_ifupdown_gets_a_stanza_and_no_unit() -> None:
    made = of(shop(V4, V6, vip_interface="dsr0"), server(persistence="ifupdown"))
    (change,) = made.steps[-1].changes
    assert isinstance(change, FileChange)
    assert change.path == "/etc/network/interfaces.d/dsrwizard-shop"
    assert change.new == FileState(content=ifupdown_text("shop", "dsr0", (V4, V6)))
    assert change.new.content.splitlines()[1:] == [
        "auto dsr0",
        "iface dsr0 inet manual",
        "    pre-up ip link show dsr0 >/dev/null 2>&1 || ip link add dsr0 type dummy",
        "    pre-up ip link set dsr0 up",
        "    up ip addr replace 10.0.0.10/32 dev dsr0",
        "    up ip addr replace fd00::10/128 dev dsr0 nodad preferred_lft 0",
    ]


def test_a_name_with_a_dot_is_still_read_by_ifupdown() -> None:
    assert ifupdown_file("shop.example") == "/etc/network/interfaces.d/dsrwizard-shop-example"


def test_nothing_that_keeps_addresses_is_told() -> None:
    made = of(shop(), server(persistence="none"))
    assert [step.id for step in made.steps] == ["guard", "vip 10.0.0.10"]
    assert any("after a reboot" in note for note in made.notes)


def test_the_unit_sets_the_guard_before_the_address() -> None:
    text = unit_text("shop", "dsr0", (V4, V6))
    assert [line.partition("=")[2] for line in text.splitlines() if line.startswith("ExecStart=")] == [
        "/bin/sh -c 'sysctl -qw net.ipv4.conf.all.arp_ignore=1'",
        "/bin/sh -c 'sysctl -qw net.ipv4.conf.all.arp_announce=2'",
        "/bin/sh -c 'ip link show dsr0 >/dev/null 2>&1 || ip link add dsr0 type dummy'",
        "/bin/sh -c 'ip link set dsr0 up'",
        "/bin/sh -c 'ip addr replace 10.0.0.10/32 dev dsr0'",
        "/bin/sh -c 'ip addr replace fd00::10/128 dev dsr0 nodad preferred_lft 0'",
    ]
    assert "RemainAfterExit=yes" in text


def test_files_that_somebody_changed_are_put_right_and_their_text_is_kept_for_the_way_back() -> None:
    theirs = FileState(content="net.ipv4.conf.all.arp_ignore = 0\n", mode=0o600)
    masked = FileState(target="/dev/null")
    facts = server(files={GUARD_FILE: theirs, unit_file("shop"): masked, unit_link("shop"): None})
    old = {c.path: c.old for s in of(shop(), facts).steps for c in s.changes if isinstance(c, FileChange)}
    assert old == {GUARD_FILE: theirs, unit_file("shop"): masked, unit_link("shop"): None}
    assert f"rm -f {unit_file('shop')}" in lines(*of(shop(), facts).steps)  # or it would write to /dev/null


@pytest.mark.parametrize(("whole", "own", "value"), [("0", "2", 2), ("1", "0", 1), ("", "1", None), ("x", "1", None)])
def test_the_larger_value_is_in_force(whole: str, own: str, value: int | None) -> None:
    facts = server(sysctls={IGNORE: whole, "net.ipv4.conf.eth0.arp_ignore": own})
    assert effective(facts, "eth0", "arp_ignore") == value


# --- the director ----------------------------------------------------------------------------------------------------

WEB = ServiceKey("10.0.0.10", "tcp", 80)
READY = {key: wanted for key, (wanted, _, _) in sysctls("eth0").items()}


def virtual(*destinations: Destination, key: ServiceKey = WEB, state: ServiceState | None = None) -> VirtualService:
    return VirtualService(key=key, state=state or ServiceState("wlc"), destinations=destinations)


def behind(address: str = "10.0.0.101", port: int = 80, **state: Any) -> Destination:
    return Destination(address=address, port=port, state=DestinationState(**({"weight": 1} | state)))


def director(*services: VirtualService, held: tuple[str, ...] = ("10.0.0.2/24",), **others: Any) -> DirectorFacts:
    values: dict[str, Any] = {
        "privileged": True,
        "interfaces": (LO, link("eth0", *held)),
        "module_loaded": True,
        "services": services,
        "sysctls": READY,
    }
    return DirectorFacts(**(values | others))


HELD = ("10.0.0.2/24", "10.0.0.10/32")


def balance(deployment: Deployment, facts: DirectorFacts, *able: str) -> HostPlan:
    return plan_director(deployment, facts, frozenset(able or ("web1",)))


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
        "ip addr add 10.0.0.10/32 dev eth0",
        "arping -U -c 3 -I eth0 10.0.0.10",
        "ipvsadm -A -t 10.0.0.10:80 -s wlc",
        "ipvsadm -a -t 10.0.0.10:80 -r 10.0.0.101:80 -g -w 0",
        "ipvsadm -e -t 10.0.0.10:80 -r 10.0.0.101:80 -g -w 1",
    ]
    assert [step.phase for step in made.steps][-3:] == ["service", "destination", "weight"]
    assert made.steps[-1].proof is not None


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
    assert [step.phase for step in balance(without, director()).steps] == ["vip", "service"]


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
    assert made.notes == ("10.0.0.101 is behind 10.0.0.10 tcp/80 and not in this deployment; it stays as it is.",)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (director(privileged=False), ["root or CAP_NET_ADMIN", "sudo"]),
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


# --- all hosts -------------------------------------------------------------------------------------------------------


def test_each_host_has_its_own_problem() -> None:
    base = shop()
    servers = (
        *base.servers,
        RealServer(name="web2", address="10.0.0.102"),
        RealServer(name="web3", address="10.0.0.103"),
    )
    deployment = msgspec.structs.replace(
        base, servers=(*servers, RealServer(name="win", address="10.0.0.104", connect="manual"))
    )
    failure = Failure(kind="timeout", what="web2 does not answer.", next="Look at it.")
    made = plan(deployment, Observed(director=director(), servers={"web1": server()}, failed={"web2": failure}))
    problems = {host.host: host.problem for host in made.hosts}
    assert problems == {
        DIRECTOR: "", "web1": "", "web2": "web2 does not answer. Look at it.", "web3": "It was not looked at.",
        "win": "",
    }  # fmt: skip
    assert {step.server for step in made.steps if step.phase == "weight"} == {"web1", "win"}
    assert not made.empty


def test_another_products_director_is_none_of_ours() -> None:
    deployment = msgspec.structs.replace(shop(), director=Director(interface="eth0", engine="external"))
    assert [host.host for host in plan(deployment, Observed(servers={"web1": server()})).hosts] == ["web1"]


# --- a second plan is empty ------------------------------------------------------------------------------------------


def applied(facts: ServerFacts, made: HostPlan) -> ServerFacts:
    """The facts after the planned changes; a change that would not apply fails the test."""
    for step in made.steps:
        for change in step.changes:
            facts = after(facts, change)
    return facts


def after(facts: ServerFacts, change: Change) -> ServerFacts:
    match change:
        case SysctlChange():
            assert facts.sysctls.get(change.key, "0") == change.old
            return msgspec.structs.replace(facts, sysctls=facts.sysctls | {change.key: change.new})
        case FileChange():
            assert facts.files.get(change.path) == change.old
            return msgspec.structs.replace(facts, files=facts.files | {change.path: change.new})
        case LinkChange():
            return msgspec.structs.replace(facts, interfaces=(*facts.interfaces, link(change.interface, kind="dummy")))
        case AddressChange():
            return msgspec.structs.replace(facts, interfaces=readdressed(facts.interfaces, change))
        case _:
            return facts


def readdressed(interfaces: tuple[Interface, ...], change: AddressChange) -> tuple[Interface, ...]:
    entry = InterfaceAddress(address=change.address, prefix=change.prefix)
    (chosen,) = (interface for interface in interfaces if interface.name == change.interface)
    rest = tuple(own for own in chosen.addresses if own != entry)
    assert (len(rest) < len(chosen.addresses)) is change.old
    new = msgspec.structs.replace(chosen, addresses=(*rest, entry) if change.new else rest)
    return tuple(new if interface is chosen else interface for interface in interfaces)


def directed(facts: DirectorFacts, made: HostPlan) -> DirectorFacts:
    table = {service.key: service for service in facts.services or ()}
    for change in (change for step in made.steps for change in step.changes):
        match change:
            case ModuleChange():
                facts = msgspec.structs.replace(facts, module_loaded=True, services=())
            case SysctlChange():
                facts = msgspec.structs.replace(facts, sysctls=facts.sysctls | {change.key: change.new})
            case AddressChange():
                facts = msgspec.structs.replace(facts, interfaces=readdressed(facts.interfaces, change))
            case ServiceChange(new=ServiceState() as state):
                present = table.get(change.service)
                assert (present.state if present else None) == change.old
                table[change.service] = virtual(
                    *(present.destinations if present else ()), key=change.service, state=state
                )
            case DestinationChange(new=DestinationState() as state):
                found = table[change.service]
                old = found.destination(change.address, change.port)
                assert (old.state if old else None) == change.old
                rest = [entry for entry in found.destinations if entry != old]
                entry = Destination(address=change.address, port=change.port, state=state)
                table[change.service] = virtual(*rest, entry, key=change.service, state=found.state)
            case _:
                pass
    return facts if facts.services is None else msgspec.structs.replace(facts, services=tuple(table.values()))


_SERVICES = st.lists(
    st.builds(
        Service,
        protocol=st.sampled_from(["tcp", "udp"]),
        port=st.sampled_from([53, 80]),
        scheduler=st.sampled_from(["wlc", "rr"]),
        persistence=st.sampled_from([0, 60]),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda service: service.label,
).map(tuple)
_VIPS = st.lists(
    st.builds(Vip, address=st.sampled_from(["10.0.0.10", "10.0.0.11", "fd00::10"]), services=_SERVICES),
    min_size=1,
    max_size=3,
    unique_by=lambda vip: vip.address,
)
_VALUES = st.sampled_from(["0", "1", "2", "3", "8"])
_HELD = st.lists(st.sampled_from(["10.0.0.10/32", "10.0.0.10/24", "10.0.0.11/16", "fd00::10/64"]), unique=True)


@settings(max_examples=120, deadline=None)
@given(
    vips=_VIPS,
    target=st.sampled_from(["lo", "dsr0"]),
    weight=st.integers(0, 3),
    sysctl=st.fixed_dictionaries({IGNORE: _VALUES, ANNOUNCE: _VALUES, "net.ipv4.conf.eth0.arp_ignore": _VALUES}),
    lo=_HELD,
    dummy=st.none() | _HELD,
    files=st.dictionaries(
        st.sampled_from([GUARD_FILE, unit_file("shop"), ifupdown_file("shop")]), st.builds(FileState)
    ),
    persistence=st.sampled_from(["systemd", "ifupdown", "none"]),
)
def test_planning_again_after_the_plan_is_empty(
    vips: list[Vip], target: str, weight: int, sysctl: dict[str, str], lo: list[str], dummy: list[str] | None,
    files: dict[str, FileState], persistence: str,
) -> None:  # fmt: skip
    deployment = shop(*vips, vip_interface=target, weight=weight)
    links = (link("lo", *lo), ETH0, *(() if dummy is None else (link("dsr0", *dummy, kind="dummy"),)))
    facts = server(*links, sysctl=sysctl, files=files, persistence=persistence)
    made = of(deployment, facts)
    assert made.problem == ""
    again = of(deployment, applied(facts, made))
    assert (again.problem, again.steps) == ("", ())


@settings(max_examples=120, deadline=None)
@given(
    vips=_VIPS,
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
