"""The deployment file as hypothesis writes it: any deployment is written and read back, any text is read or refused."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Any

import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from dsrwizard.core.intake.deployment_file import dumps, loads
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.intake.validate import deployment_of, problems_of, with_plain_addresses
from dsrwizard.core.model.deployment import (
    SCHEDULERS,
    Balancer,
    Bgp,
    Client,
    Deployment,
    Director,
    EngineName,
    PeerDirector,
    RealServer,
    Service,
    Vip,
    Vrrp,
)
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.foreign import harmless
from tests.unit.test_deployment_file import DESIGN

ADDRESS4 = st.integers(0, 2**16 - 1).map(lambda n: str(IPv4Address("10.1.0.0") + n))
ADDRESS6 = st.integers(1, 2**64 - 1).map(lambda n: str(IPv6Address("fd00::") + n))
NAME = st.from_regex(r"\A[a-z0-9][a-z0-9._-]{0,20}\Z").filter(lambda name: name not in ("director", "client"))
INTERFACE = st.from_regex(r"\A[a-z][a-z0-9]{0,14}\Z").filter(lambda name: name not in ("lo", "all", "default"))
USER = st.none() | st.from_regex(r"\A[a-z_][a-z0-9_-]{0,20}\Z")
FILE = st.none() | st.text("abc /~.'\"\\é#=[]", min_size=1, max_size=30).filter(lambda text: text == text.strip())
HEX = st.binary(min_size=1, max_size=1400).map(lambda data: f"hex:{data.hex()}")
TEXT = st.text("abc /.:'\"\\é#=[]", min_size=1, max_size=30).filter(
    lambda text: text == text.strip() and not text.startswith("hex")
)
ASKED = st.one_of(
    st.just({"protocol": "tcp"}),
    st.fixed_dictionaries({"protocol": st.just("udp")}, optional={"probe": st.sampled_from(["dns", "echo"])}),
    st.fixed_dictionaries({"protocol": st.just("udp"), "payload": HEX | TEXT}, optional={"probe": st.just("echo")}),
)
SERVICE = st.builds(
    lambda asked, **others: Service(**asked, **others),
    asked=ASKED,
    port=st.integers(1, 21) | st.integers(1024, 65_535),
    scheduler=st.sampled_from(sorted(SCHEDULERS)),
    persistence=st.sampled_from([0, 1, 360, 2_678_400]),
)


@st.composite
def reached(draw: st.DrawFn) -> dict[str, Any]:
    """A connection method with the keys that belong to it."""
    connect = draw(st.sampled_from(["ssh", "winrm", "manual"]))
    if connect == "winrm":
        winrm = draw(st.sampled_from(["https", "http"]))
        auth = draw(st.sampled_from(["ntlm", "kerberos"] + ["basic"] * (winrm == "https")))
        return {
            "connect": connect,
            "winrm": winrm,
            "auth": auth,
            "ca_file": draw(FILE) if winrm == "https" else None,
            "dns_name": draw(st.none() | st.from_regex(r"\A[a-z][a-z0-9]{0,9}(\.[a-z]{2,5}){0,2}\Z")),
            "look_seconds": draw(st.integers(20, 900)) if connect == "winrm" else 60,
            "kerberos_service": draw(st.sampled_from([None, "WSMAN", "HTTP"])) if auth == "kerberos" else None,
        }
    systems = [None, "linux", "windows-2003", "windows-2008", "windows-2012"]
    system = draw(st.sampled_from(systems)) if connect == "manual" else None
    return {"connect": connect, "identity_file": draw(FILE), "system": system}


@st.composite
def alone(draw: st.DrawFn) -> Director:
    return Director(interface=draw(INTERFACE), engine=draw(st.sampled_from(["netlink", "keepalived", "external"])))


@st.composite
def pair(draw: st.DrawFn, net: str) -> Director:
    peer = PeerDirector(name="other-director", address=f"{net}3", user=draw(USER), identity_file=draw(FILE))
    vrrp = st.builds(
        Vrrp, router_id=st.integers(1, 255), advert_seconds=st.integers(10, 100).map(lambda each: each / 100),
        preempt_delay=st.integers(0, 1000), priority=st.integers(51, 254),
    )  # fmt: skip
    return Director(
        interface=draw(INTERFACE), engine="keepalived", guard=draw(st.booleans()),
        address=draw(st.sampled_from([None, f"{net}2"])), peers=(peer,), vrrp=draw(st.none() | vrrp),
    )  # fmt: skip


@st.composite
def spread(draw: st.DrawFn) -> Director:
    peers = tuple(
        PeerDirector(name=f"other-director-{number}", address=f"172.31.0.{number}", interface=draw(INTERFACE))
        for number in range(3, draw(st.integers(4, 9)))
    )
    number = st.sampled_from([1, 64512, 65010, 4_200_000_000])
    bgp = st.builds(
        Bgp, neighbour=st.just("172.31.0.1"), local_as=number, neighbour_as=number, bfd=st.booleans()
    )  # fmt: skip
    engines: list[EngineName] = ["netlink", "keepalived"]
    return Director(
        interface=draw(INTERFACE), engine=draw(st.sampled_from(engines)), guard=True, peers=peers, bgp=draw(bgp)
    )  # fmt: skip


@st.composite
def appliance(draw: st.DrawFn) -> Balancer:
    return Balancer(
        addresses=draw(st.sampled_from([("172.30.0.5",), ("172.30.0.5", "fd30::6")])),
        user=draw(st.sampled_from(["nsroot", "dsrwizard"])),
        port=draw(st.none() | st.just(8443)),
        ca_file=draw(FILE),
        save=draw(st.booleans()),
    )


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    address = draw(st.sampled_from([ADDRESS4, ADDRESS6]))
    addresses = draw(st.lists(address, min_size=2, max_size=8, unique=True))
    count = draw(st.integers(1, len(addresses) - 1))
    vips = tuple(
        Vip(address=vip, services=tuple(draw(st.lists(SERVICE, min_size=1, max_size=3, unique_by=lambda s: s.label))))
        for vip in addresses[:count]
    )
    names = draw(st.lists(NAME, min_size=len(addresses) - count, max_size=len(addresses) - count, unique=True))
    servers = tuple(
        RealServer(
            name=name,
            address=rip,
            weight=draw(st.integers(0, 65_535)),
            **draw(reached()),
            user=draw(USER),
            port=draw(st.none() | st.just(22) | st.integers(23, 1023)),
            vip_interface=draw(st.just("lo") | INTERFACE),
            vips=draw(st.none() | st.just(tuple(addresses[:count]))),
        )
        for name, rip in zip(names, addresses[count:], strict=True)
    )
    client = draw(st.none() | st.builds(Client, address=st.just("203.0.113.10"), user=USER, identity_file=FILE))
    four = any(":" not in vip.address for vip in vips)
    director = draw(st.one_of(alone(), pair("172.31.0." if four else "fd31::"), spread()))
    balancer = None
    if draw(st.integers(0, 3)) == 0:
        product: EngineName = draw(st.sampled_from(["netscaler", "loadbalancer.org", "barracuda"]))
        plain = {"scheduler": "wlc", "persistence": 0}  # what all of these products can say
        vips = tuple(
            replace(vip, services=tuple(replace(service, **plain) for service in vip.services)) for vip in vips
        )
        servers = tuple(replace(server, weight=1) for server in servers)
        director, balancer = Director(interface=draw(INTERFACE), engine=product), draw(appliance())
    return Deployment(
        name=draw(NAME), director=director, vips=vips, servers=servers, client=client, balancer=balancer
    )  # fmt: skip


@given(deployments())
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_what_is_read(deployment: Deployment) -> None:
    assert problems_of(deployment) == []
    assert loads(dumps(deployment)) == deployment
    assert deployment_of(Draft.from_deployment(deployment)) == with_plain_addresses(deployment)


def read_or_refused(text: str) -> None:
    """The one promise about any text: a valid deployment, or a refusal that names the file."""
    error = None
    try:
        deployment = loads(text, "any.toml")
    except UsageError as refused:
        error = refused
    if error is None:
        assert problems_of(deployment) == []
    else:
        assert error.what.startswith("any.toml")
        assert error.next
        assert len(error.lines()) <= 3
        assert all(harmless(line) for line in error.lines())


BITS = [
    "[", "]", "[[", "]]", "=", " ", '"', "'", '"""', "\'\'\'", "{", "}", ",", ".", "#", "\\u", "\\", "é", "name",
    "director", "vips", "vips.services", "servers", "address", "port", "10.0.0.10", "80", "1979-05-27",
    "0x", "1e9", "inf", "nan",
    "true", "00:00", "-", "_", "\n", " = ", "\0", "\r", "\N{ZERO WIDTH NO-BREAK SPACE}", "\u202e", "\ud800",
]  # fmt: skip
TOML_BITS = st.lists(st.sampled_from(BITS), max_size=30).map("".join)


@given(st.text(max_size=200) | TOML_BITS)
@settings(max_examples=100, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    read_or_refused(text)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_read_or_refused(data: st.DataObject) -> None:
    text = DESIGN
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 40)))
        text = text[:start] + data.draw(TOML_BITS | st.text(max_size=5)) + text[end:]
    read_or_refused(text)


LEAVES: st.SearchStrategy[Any] = (
    st.none().map(lambda _: {})
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.dates()
    | st.times()
    | st.sampled_from(["10.0.0.10", "10.0.0.101", "fd00::1", "fe80::1%eth0", "::ffff:10.0.0.1", "tcp", "wlc", "lo", 80])
)
KEYS = st.sampled_from([
    "name", "director", "interface", "engine", "vips", "address", "services", "protocol", "port", "scheduler", "x_y",
    "persistence", "probe", "payload", "page", "servers", "address6", "weight", "connect", "user", "identity_file",
    "client", "password",
])  # fmt: skip
TREES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=20
)


@given(st.dictionaries(KEYS, TREES, max_size=6))
@settings(max_examples=100, deadline=None)
def test_any_structure_is_read_or_refused(tree: dict[str, Any]) -> None:
    read_or_refused(tomli_w.dumps(tree))


@given(st.sampled_from(["address", "name", "interface", "port", "user", "weight", "vips"]), TREES)
@settings(max_examples=100, deadline=None)
def test_any_value_of_one_key_is_read_or_refused(key: str, value: Any) -> None:
    tree: dict[str, Any] = {
        "name": "shop",
        "director": {"interface": "eth0"},
        "vips": [{"address": "10.0.0.10", "services": [{"port": 80}]}],
        "servers": [{"name": "web1", "address": "10.0.0.101"}],
    }
    for table in (tree, tree["director"], tree["vips"][0], tree["vips"][0]["services"][0], tree["servers"][0]):
        if key in table:
            table[key] = value
    tree["servers"][0].setdefault(key, value)
    read_or_refused(tomli_w.dumps(tree))
