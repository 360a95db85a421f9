"""What a Linux host may answer and what it cannot: odd values are carried as they are, impossible ones are named."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.dialects.linux.observe import parse
from dsrwizard.core.model.changes import AddressChange, FileState, SysctlChange
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.facts import InterfaceAddress, Listener, Route
from dsrwizard.core.model.foreign import harmless
from tests.unit.test_linux_observe import DEBIAN, NONCE, answer, read

CONF = "/proc/sys/net/ipv4/conf"
LINK = {"ifname": "eth0", "flags": ["UP"], "link_type": "ether", "address": "52:54:00:12:34:56"}
ENTRY = {"family": "inet", "local": "10.0.0.101", "prefixlen": 24, "scope": "global"}


def addr(**changed: Any) -> str:
    return json.dumps([LINK | {"addr_info": [ENTRY]} | changed])


def entry(**changed: Any) -> str:
    return addr(addr_info=[ENTRY | changed])


def route(**changed: Any) -> str:
    return json.dumps([{"dst": "default", "gateway": "10.0.0.1", "dev": "eth0", "flags": []} | changed])


HUGE = "[" + "9" * 5_000 + "]"
DEEP = "[" * 100_000

IMPOSSIBLE = [
    ("addr", entry(local="10.0.0.256"), "interfaces", "“10.0.0.256”"),
    ("addr", entry(local="fe80::1%\x1b]0;x\x07", prefixlen=200), "interfaces", "200"),
    ("addr", entry(local=None), "interfaces", "null"),
    ("addr", entry(local=167772161), "interfaces", "167772161"),
    ("addr", entry(local=["10.0.0.1"]), "interfaces", "a list"),
    ("addr", entry(local="1" * 100_000), "interfaces", "characters more"),
    ("addr", entry(prefixlen=33), "interfaces", "33"),
    ("addr", entry(prefixlen=-1), "interfaces", "-1"),
    ("addr", entry(prefixlen=999), "interfaces", "999"),
    ("addr", entry(prefixlen="24"), "interfaces", "“24”"),
    ("addr", entry(prefixlen=24.5), "interfaces", "24.5"),
    ("addr", entry(prefixlen=True), "interfaces", "true"),
    ("addr", entry(prefixlen=None), "interfaces", "null"),
    ("addr", entry(local="fd00::1", prefixlen=129), "interfaces", "129"),
    ("addr", entry().replace("24", "1e999"), "interfaces", "inf"),
    ("addr", entry().replace("24", "NaN"), "interfaces", "NaN"),
    ("addr", entry().replace("24", "9" * 5_000), "interfaces", "999"),
    ("addr", entry(scope={"x": 1}), "interfaces", "an object"),
    ("addr", addr(ifname=None), "interfaces", "null"),
    ("addr", addr(ifname=""), "interfaces", "“”"),
    ("addr", addr(ifname="\ud800"), "interfaces", r"“\ud800”"),
    ("addr", addr(ifname="."), "interfaces", "“.”"),
    ("addr", addr(ifname="a/b"), "interfaces", "“a/b”"),
    ("addr", addr(ifname="a b"), "interfaces", "“a b”"),
    ("addr", addr(ifname="a\nb"), "interfaces", r"“a\nb”"),
    ("addr", addr(ifname="x" * 16), "interfaces", "x" * 16),
    ("addr", addr(ifname="é" * 8), "interfaces", "é" * 8),
    ("addr", addr(flags="UP"), "interfaces", "“UP”"),
    ("addr", addr(flags=[None]), "interfaces", "a list"),
    ("addr", addr(address="52:54:00:12:34"), "interfaces", "“52:54:00:12:34”"),
    ("addr", addr(address="52:54:00:12:34:5\x1b"), "interfaces", r"52:54:00:12:34:5\x1b"),
    ("addr", addr(address=None), "interfaces", "null"),
    ("addr", addr(linkinfo=[]), "interfaces", "a list"),
    ("addr", addr(linkinfo={"info_kind": 3}), "interfaces", "3"),
    ("addr", addr(addr_info=None), "interfaces", "null"),
    ("addr", addr(addr_info=[[]]), "interfaces", "a list"),
    ("addr", addr(addr_info="eth0"), "interfaces", "“eth0”"),
    ("addr", "null", "interfaces", "null"),
    ("addr", "{}", "interfaces", "an object"),
    ("addr", "[null]", "interfaces", "null"),
    ("addr", '["eth0"]', "interfaces", "“eth0”"),
    ("addr", HUGE, "interfaces", "999"),
    ("addr", DEEP, "interfaces", "depth"),
    ("addr", json.dumps([LINK] * 70_000), "interfaces", "65,536"),
    ("addr", addr(addr_info=[ENTRY] * 70_000), "interfaces", "65,536"),
    ("route4", route(gateway=None), "default routes", "null"),
    ("route4", route(gateway="nowhere"), "default routes", "“nowhere”"),
    ("route4", route(gateway="10.0.0.1/24"), "default routes", "“10.0.0.1/24”"),
    ("route4", route(gateway=["10.0.0.1"]), "default routes", "a list"),
    ("route4", route(dev=0), "default routes", "0"),
    ("route4", route(dev="x" * 40), "default routes", "xxx"),
    ("route4", route(type=3), "default routes", "3"),
    ("route4", route(nexthops={}), "default routes", "an object"),
    ("route4", route(nexthops=[3]), "default routes", "3"),
    ("route4", json.dumps([{"dst": "default", "via": "fe80::1", "dev": "eth0"}]), "default routes", "“fe80::1”"),
    ("route4", route()[:40], "default routes", "is not a valid JSON document"),
    ("addr", addr()[:-9], "interfaces", "is not a valid JSON document"),
    ("way:10.0.0.10>192.0.2.1", '[{"dst":"192.0.2.1"', "way its replies", "is not a valid JSON document"),
    ("route4", "default via 10.0.0.999 dev eth0", "default routes", "“10.0.0.999”"),
    ("route4", HUGE, "default routes", "999"),
    ("route6", DEEP, "default routes", "depth"),
    ("way:10.0.0.10>192.0.2.1", '[{"dst": "192.0.2.1", "gateway": "x", "dev": "eth0"}]', "way its replies", "“x”"),
    ("way:10.0.0.10>192.0.2.1", json.dumps([{"dst": 4, "dev": "eth0"}]), "way its replies", "4"),
    ("way:10.0.0.10>192.0.2.1", "[{}, {}]", "way its replies", "a list"),
    ("texts", f"{CONF}/all/arp_ignore:²", "kernel settings", "“²”"),
    ("texts", f"{CONF}/all/arp_ignore:", "kernel settings", "“”"),
    ("texts", f"{CONF}/all/arp_ignore:{'1' * 5_000}", "kernel settings", "111"),
    ("texts", f"{CONF}/all/arp_ignore:9999999999", "kernel settings", "9999999999"),
    ("texts", f"{CONF}/all/arp_ignore:1 2", "kernel settings", "“1 2”"),
    ("texts", f"{CONF}/{'x' * 20}/arp_ignore:1", "kernel settings", "xxx"),
    ("texts", f"{CONF}/a/b/arp_ignore:1", "kernel settings", "“a/b”"),
    ("listeners", "ss\ntcp LISTEN 0 1 10.0.0.1:70000 0.0.0.0:*", "listening sockets", "“70000”"),
    ("listeners", "ss\ntcp LISTEN 0 1 10.0.0.1:0 0.0.0.0:*", "listening sockets", "“0”"),
    ("listeners", "ss\ntcp LISTEN 0 1 10.0.0.1:-1 0.0.0.0:*", "listening sockets", "“-1”"),
    ("listeners", "ss\ntcp LISTEN 0 1 10.0.0.1:² 0.0.0.0:*", "listening sockets", "“²”"),
    ("listeners", f"ss\nudp UNCONN 0 0 *:{'8' * 5_000} *:*", "listening sockets", "888"),
    ("listeners", "ss\ntcp LISTEN 0 1 localhost:80 0.0.0.0:*", "listening sockets", "“localhost”"),
    ("listeners", "ss\ntcp LISTEN 0 1 10.0.0.1000:80 0.0.0.0:*", "listening sockets", "“10.0.0.1000”"),
]  # fmt: skip


@pytest.mark.parametrize(("section", "text", "part", "value"), IMPOSSIBLE)
def test_an_impossible_value_makes_its_part_unreadable_and_is_quoted(
    section: str, text: str, part: str, value: str
) -> None:
    with pytest.raises(AnswerUnreadable) as problem:
        parse("web2", NONCE, answer(DEBIAN | {section: text}))
    error = problem.value
    assert error.what.startswith("web2: ")
    assert part in error.what
    assert value in error.why
    assert re.search(r"`(ip -j|ss -|sysctl )", error.next)
    assert all(harmless(line) and len(line) < 250 for line in error.lines())


@pytest.mark.parametrize(
    "name",
    ["eth0@if5", "veth-a.100", "br:lan", "wlp0s20f3", "ens1f0np0d1", "en-bürö", "網路", "a%b", "$(id)", "'\"`;", "-x",
     "…", "x" * 15, "é" * 7, "\ufffd" * 15],
)  # fmt: skip
def test_every_name_the_kernel_takes_is_carried(name: str) -> None:
    text = f"{CONF}/all/arp_ignore:1\n{CONF}/{name}/arp_ignore:0"
    raw = json.dumps([LINK | {"ifname": name, "addr_info": [ENTRY]}], ensure_ascii=False)
    facts = read(addr=raw, texts=text, route4=route(dev=name))
    assert [link.name for link in facts.interfaces] == [name]
    assert facts.default_routes == (Route(gateway="10.0.0.1", interface=name),)
    assert facts.sysctls[f"net.ipv4.conf.{name.replace('.', '/')}.arp_ignore"] == "0"


def test_a_name_that_acts_on_a_terminal_is_written_out() -> None:
    raw = addr(ifname="tun\x1b[m").replace(r"\u001b", "\x1b")
    assert [link.name for link in read(addr=raw).interfaces] == [r"tun\x1b[m"]


def test_a_name_with_signs_of_the_shell_is_one_word_of_a_command() -> None:
    change = AddressChange(interface="$(id)", address="10.0.0.10", prefix=32, old=False, new=True)
    assert commands(change) == ("ip addr add 10.0.0.10/32 dev '$(id)'",)
    assert commands(SysctlChange(key="net.ipv4.conf.`x`.rp_filter", old="1", new="2")) == (
        "sysctl -qw 'net.ipv4.conf.`x`.rp_filter'=2",
    )


@pytest.mark.parametrize(
    ("link", "mac", "kind"),
    [
        ({"link_type": "none", "linkinfo": {"info_kind": "wireguard"}}, "", "wireguard"),
        ({"link_type": "ipip", "address": "0.0.0.0", "linkinfo": {"info_kind": "ipip"}}, "", "ipip"),
        ({"link_type": "sit", "address": "10.0.0.1"}, "", ""),
        ({"link_type": "infiniband", "address": "80:00:02:08:fe:80:00:00:00:00:00:00:7c:fe:90:03:00:29:2a:b6"}, "", ""),
        ({"link_type": "loopback", "address": "00:00:00:00:00:00"}, "", ""),
        ({"link_type": "ether", "address": "AE:12:11:70:01:02"}, "ae:12:11:70:01:02", ""),
        ({"link_type": "ether", "address": "ae:12:11:70:01:02", "linkinfo": {"info_slave_kind": "bond"}},
         "ae:12:11:70:01:02", ""),
        ({"link_type": "ether", "address": "ae:12:11:70:01:02", "linkinfo": {"info_kind": "vrf"}, "flags": []},
         "ae:12:11:70:01:02", "vrf"),
    ],
)  # fmt: skip
def test_links_of_every_kind(link: dict[str, Any], mac: str, kind: str) -> None:
    (found,) = read(addr=json.dumps([{"ifname": "x0", **link}])).interfaces
    assert (found.mac, found.kind) == (mac, kind)


def test_what_iproute2_filters_or_has_no_address_for_is_passed_over() -> None:
    facts = read(addr=json.dumps([{}, LINK | {"addr_info": [{}, {"family": "inet6"}, ENTRY]}, {}]))
    assert [one.name for one in facts.interfaces] == ["eth0"]
    assert facts.interfaces[0].addresses == (InterfaceAddress(address="10.0.0.101", prefix=24),)


def test_routes_that_lead_nowhere_and_gateways_of_the_other_family() -> None:
    facts = read(
        route4=json.dumps([{"dst": "default", "via": {"family": "inet6", "host": "fe80::1"}, "dev": "eth0"}]),
        route6=json.dumps(
            [{"type": "unreachable", "dst": "default", "dev": "lo", "metric": 4294967295, "flags": [], "error": -101}]
        ),
    )
    assert facts.default_routes == (Route(gateway="fe80::1", interface="eth0"),)


def test_an_ip_older_than_its_json_for_routes_is_read_in_words() -> None:
    four = "default via 10.0.0.1 dev eth0 proto dhcp metric 100 \ndefault dev ppp0 scope link "
    six = (
        "default proto ra metric 1024 \n\tnexthop via fe80::1 dev eth0 weight 1 \n"
        "\tnexthop via fe80::2 dev eth1 weight 1\n"
        "unreachable default dev lo metric 4294967295 error -101 pref medium"
    )
    assert read(route4=four, route6=six).default_routes == (
        Route(gateway="10.0.0.1", interface="eth0"),
        Route(gateway="", interface="ppp0"),
        Route(gateway="fe80::1", interface="eth0", family=6),
        Route(gateway="fe80::2", interface="eth1", family=6),
    )


@pytest.mark.parametrize("said", ["", 'Object "route6" is unknown', "RTNETLINK answers: Operation not supported"])
def test_a_host_without_ipv6_has_no_route_of_it(said: str) -> None:
    assert {one.family for one in read(route6=said).default_routes} == {4}


@pytest.mark.parametrize(
    ("said", "way"),
    [
        ("RTNETLINK answers: Network is unreachable", None),
        ('[{"type":"unreachable","dst":"192.0.2.1","dev":"lo"}]', None),
        ("RTNETLINK answers: Invalid argument", "none"),
        ("[]", "none"),
        ("192.0.2.1 from 10.0.0.10 via 10.0.0.1 dev eth0 uid 0 \n    cache", "10.0.0.1"),
        ("192.0.2.1 from 10.0.0.10 via inet6 fe80::1 dev eth0", "fe80::1"),
        ("192.0.2.1 from 10.0.0.10 dev wg0 \n    cache", ""),
        ("local 192.0.2.1 dev lo", "none"),
        ('[{"dst":"192.0.2.1","from":"10.0.0.10","gateway":"10.0.0.1","dev":"eth0","uid":0,"cache":[]}]', "10.0.0.1"),
        ('[{"dst":"192.0.2.1","dev":"wg0","flags":[]}]', ""),
    ],
)
def test_ways_back(said: str, way: str | None) -> None:
    ways = read(**{"way:10.0.0.10>192.0.2.1": said}).ways
    found = ways.get("10.0.0.10", Route(gateway="", interface="none"))
    assert (found.gateway or found.interface.replace("wg0", "") if found else None) == way


@pytest.mark.parametrize("value", ["0", "-1", "8", "2147483647", "-2147483648"])
def test_settings_of_any_number(value: str) -> None:
    assert read(texts=f"{CONF}/eth0/arp_ignore:{value}").sysctls == {"net.ipv4.conf.eth0.arp_ignore": value}


@pytest.mark.parametrize(
    ("local", "address"),
    [("[::ffff:10.0.0.10]", "10.0.0.10"), ("::ffff:10.0.0.10", "10.0.0.10"), ("[fe80::1%eth0]", "fe80::1"),
     ("*%vrf-blue", "*"), ("127.0.0.53%lo", "127.0.0.53"), ("::", "::")],
)  # fmt: skip
def test_listeners_as_old_and_new_ss_write_them(local: str, address: str) -> None:
    (found,) = read(listeners=f"ss\ntcp LISTEN 0 4096 {local}:80 *:*").listeners or ()
    assert found == Listener(protocol="tcp", address=address, port=80, room=4096)


def test_names_of_programs_hold_any_sign_and_are_written_out() -> None:
    said = (
        'ss\ntcp LISTEN 0 1 *:80 *:* users:(("\x1b]0;HACK\x07\x9b2J",pid=1,fd=3))\nudp UNCONN 0 0 *:9 *:* users:(("a\nb'
    )
    facts = read(
        listeners=said, texts="/proc/sys/kernel/hostname:we\x1b[31mb\n/proc/sys/kernel/osrelease:" + "6" * 9999
    )
    assert [one.process for one in facts.listeners or ()] == [r"\x1b]0;HACK\x07\x9b2J", "a"]
    assert facts.hostname == r"we\x1b[31mb"
    assert len(facts.kernel) <= 200
    assert read(texts="/etc/os-release:PRETTY_NAME=" + "x" * 5_000_000).os[:9] == "x" * 9


def test_a_file_of_another_kind_or_mode_is_no_file() -> None:
    for body, mode in (
        ("pipe\nYQ==", "644"),
        ("file\nYQ==", "-644"),
        ("file\nYQ==", "0o644"),
        ("file\nYQ==", "7" * 50),
    ):
        with pytest.raises(AnswerUnreadable, match="/etc/x could not be read as text"):
            read(**{"file:/etc/x": body, "modes": f"{mode} /etc/x\n604 /etc/z z"})
    assert read(**{"file:/etc/x": "link \x1b[31m"}).files["/etc/x"] == FileState(target="\x1b[31m")


@pytest.mark.parametrize(
    "make",
    [
        lambda: InterfaceAddress(address="10.0.0.1", prefix=33),
        lambda: InterfaceAddress(address="x", prefix=3),
        lambda: Route(gateway="None", interface="eth0"),
        lambda: Listener(protocol="tcp", address="localhost", port=80),
        lambda: Listener(protocol="tcp", address="*", port=65_536),
    ],
)
def test_facts_cannot_hold_what_is_no_address_prefix_or_port(make: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        make()
