"""The plan of a real server as tables: facts and a deployment in, exact commands out; and of all hosts together."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrwizard.core.dialects.linux.plan import effective, ifupdown_file, ifupdown_text, unit_file, unit_link, unit_text
from dsrwizard.core.model.changes import GUARD_FILE, FileChange, FileState
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Vip
from dsrwizard.core.model.facts import Failure, Observed, ServerFacts
from dsrwizard.core.model.steps import DIRECTOR, HostPlan
from dsrwizard.core.plan.plan import plan
from tests.unit.planned import (
    ANNOUNCE,
    ETH0,
    IGNORE,
    LO,
    V4,
    V6,
    VIPS,
    applied,
    director,
    lines,
    link,
    of,
    server,
    shop,
)

GUARD_LINES = [
    "sysctl -qw net.ipv4.conf.all.arp_ignore=1",
    "sysctl -qw net.ipv4.conf.all.arp_announce=2",
    "cat > /etc/sysctl.d/zzz-dsrwizard.conf <<'DSRWIZARD_END'",
    "chmod 644 /etc/sysctl.d/zzz-dsrwizard.conf",
]
UNIT_LINES = [
    "cat > /etc/systemd/system/dsrwizard-shop.service <<'DSRWIZARD_END'",
    "chmod 644 /etc/systemd/system/dsrwizard-shop.service",
    "ln -sfn /etc/systemd/system/dsrwizard-shop.service "
    "/etc/systemd/system/multi-user.target.wants/dsrwizard-shop.service",
    "systemctl daemon-reload",
]
ADD = "ip addr add 10.0.0.10/32 dev lo"


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
    assert made.notes == ("10.0.0.10 is already on dummy7, not on lo. It stays there.",)


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
        (shop(), server(LO, link("eth0", "192.168.1.5/24")), ["No interface on this host has 10.0.0.101"]),
        (shop(), server(LO, link("eth0", "10.0.0.101/24", "10.0.0.10/32")),
         ["10.0.0.10 is on eth0", "ip addr del 10.0.0.10/32 dev eth0"]),
        (shop(), server(LO, link("eth0", "10.0.0.101/24", "10.0.0.10/24")), ["ip addr del 10.0.0.10/24 dev eth0"]),
        (shop(vip_interface="dsr0"), server(LO, ETH0, link("dsr0", kind="vlan")),
         ["'dsr0'", "not a dummy interface", 'vip_interface = "lo"']),
        (shop(vip_interface="eth0"), server(), ["'eth0'", "not a dummy interface"]),
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
    assert any("After a reboot" in note for note in made.notes)


def test_the_unit_sets_the_guard_before_the_address() -> None:
    text = unit_text("shop", "dsr0", (V4, V6))
    assert [line.partition("=")[2] for line in text.splitlines() if line.startswith("ExecStart=")] == [
        "/bin/sh -c 'sysctl -qw net.ipv4.conf.all.arp_ignore=1'",
        "/bin/sh -c 'sysctl -qw net.ipv4.conf.all.arp_announce=2'",
        "/bin/sh -c 'ip link show dsr0 >/dev/null 2>&1 || ip link add dsr0 type dummy'",
        "/bin/sh -c 'ip link set dsr0 up'",
        "/bin/sh -c 'sysctl -qw net.ipv6.conf.dsr0.keep_addr_on_down=1'",
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
        DIRECTOR: "", "web1": "", "web2": "web2 does not answer. Look at it.", "web3": "It was not checked.",
        "win": "",
    }  # fmt: skip
    assert {step.server for step in made.steps if step.phase == "weight"} == {"web1", "win"}
    assert not made.empty


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("external", "The load balancer is set up by hand: see dsrwizard runbook FILE --balancer other."),
        ("barracuda", "Barracuda is set up by hand: see dsrwizard runbook FILE --balancer barracuda."),
        ("aloha", "ALOHA is set up by hand: see dsrwizard runbook FILE --balancer aloha."),
    ],
)
def test_another_products_director_is_set_up_by_hand(engine: str, says: str) -> None:
    deployment = msgspec.structs.replace(shop(), director=Director(interface="eth0", engine=engine))  # type: ignore
    director, web1 = plan(deployment, Observed(servers={"web1": server()})).hosts
    assert (director.host, director.steps, web1.host) == ("director", (), "web1")
    assert director.notes[0].startswith(says)


_VALUES = st.sampled_from(["0", "1", "2", "3", "8"])
_HELD = st.lists(st.sampled_from(["10.0.0.10/32", "10.0.0.10/24", "10.0.0.11/16", "fd00::10/64"]), unique=True)


@settings(max_examples=120, deadline=None)
@given(
    vips=VIPS,
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
