"""Several directors in a deployment file: what is read, what is refused, and with which words."""

from __future__ import annotations

import pytest

from dsrwizard.core.intake.deployment_file import FileRefused, dumps, loads
from dsrwizard.core.model.deployment import Bgp, Deployment, PeerDirector, Vrrp
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.plan.engines import refuse_unbuilt

SHOP = """
[[vips]]
address = "10.0.0.10"
[[vips.services]]
port = 80
[[servers]]
name = "web1"
address = "10.0.0.101"
address6 = "fd00::101"
[client]
address = "203.0.113.10"
"""
PEER = """
[[director.peers]]
name = "lb2"
address = "10.0.0.3"
"""
BGP = """
[director.bgp]
neighbour = "10.0.0.1"
local_as = 65010
neighbour_as = 65000
"""


def read(director: str = 'engine = "keepalived"', rest: str = PEER, shop: str = SHOP) -> Deployment:
    return loads(f'name = "shop"\n[director]\ninterface = "eth0"\n{director}\n{rest}\n{shop}')


def refused(*words: str, director: str = 'engine = "keepalived"', rest: str = PEER, shop: str = SHOP) -> None:
    with pytest.raises(FileRefused) as caught:
        read(director, rest, shop)
    told = " ".join(problem.text for problem in caught.value.problems)
    for word in words:
        assert word in told, told


def test_two_directors_are_read_with_their_defaults() -> None:
    deployment = read('engine = "keepalived"\naddress = "10.0.0.2"')
    assert deployment.director.address == "10.0.0.2"
    assert deployment.peer("lb2") == PeerDirector(name="lb2", address="10.0.0.3")
    assert deployment.director.interface_of(deployment.peer("lb2")) == "eth0"
    assert Vrrp() == Vrrp(router_id=51, advert_seconds=0.1, preempt_delay=60, priority=150)


def test_with_several_directors_a_service_without_scheduler_gets_the_shared_one() -> None:
    assert read().vips[0].services[0].scheduler == "mh"
    assert read(rest="").vips[0].services[0].scheduler == "wlc"


def test_a_scheduler_that_was_chosen_outlives_writing_and_reading() -> None:
    deployment = read(shop=SHOP.replace("port = 80", 'port = 80\nscheduler = "wlc"'))
    assert deployment.vips[0].services[0].scheduler == "wlc"
    assert loads(dumps(deployment)) == deployment


def test_bgp_is_read_and_any_engine_here_goes_with_it() -> None:
    more = PEER + PEER.replace("lb2", "lb3").replace("10.0.0.3", "10.0.0.4") + BGP
    for engine in ("netlink", "keepalived"):
        deployment = read(f'engine = "{engine}"\nguard = true', more)
        assert len(deployment.director.peers) == 2
        assert deployment.director.bgp == Bgp(neighbour="10.0.0.1", local_as=65010, neighbour_as=65000, bfd=True)


@pytest.mark.parametrize("address", ["10.0.0.101", "fd00::101"])
@pytest.mark.parametrize("place", ["peer", "own"])
def test_a_director_that_is_a_real_server_is_refused_with_the_loop(address: str, place: str) -> None:
    words = ("web1", "round between the two")
    if place == "peer":
        refused(*words, rest=PEER.replace("10.0.0.3", address))
    else:
        refused(*words, director=f'engine = "keepalived"\naddress = "{address}"')


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.0.0.10", "is the VIP. It moves between directors"),
        ("203.0.113.10", "is already the address of the client host"),
        ("10.0.0.2", "is already the address of this director"),
        ("fd00::3", "Write two addresses of one family"),
        ("lb2.example", "is a name, not an address"),
    ],
)
def test_a_peer_needs_an_address_of_its_own(address: str, words: str) -> None:
    refused(words, director='engine = "keepalived"\naddress = "10.0.0.2"', rest=PEER.replace("10.0.0.3", address))


def test_vrrp_needs_a_vip_of_the_directors_own_family() -> None:
    refused("VRRP needs one family for both", "the directors' IPv4 addresses", rest=PEER.replace("10.0.0.3", "fd00::3"))


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("web1", "Another host is named"),
        ("WEB1", "Another host"),
        ("director", "reserved"),
        ("l b", "not a valid name"),
    ],
)
def test_a_peer_needs_a_name_of_its_own(name: str, words: str) -> None:
    refused(words, rest=PEER.replace("lb2", name))


def test_peers_of_one_name_are_refused() -> None:
    refused("Another host is named", rest=PEER + PEER.replace("10.0.0.3", "10.0.0.4") + BGP)


def test_more_than_one_peer_needs_bgp() -> None:
    refused("one director serves and one stands by", "[director.bgp]",
            rest=PEER + PEER.replace("lb2", "lb3").replace("10.0.0.3", "10.0.0.4"))  # fmt: skip


def test_netlink_alone_cannot_say_who_holds_the_vip() -> None:
    refused("nobody decides", 'engine = "keepalived"', director='engine = "netlink"')


def test_nothing_is_announced_without_a_guard() -> None:
    refused("only while a guard is well", "guard = true", director='engine = "netlink"', rest=BGP)


def test_bgp_alone_makes_the_scheduler_one_that_all_directors_agree_on() -> None:
    assert read('engine = "netlink"\nguard = true', BGP).vips[0].services[0].scheduler == "mh"


@pytest.mark.parametrize("rest", [PEER, BGP, "[director.vrrp]\nrouter_id = 7\n"])
def test_another_product_has_its_own_directors(rest: str) -> None:
    refused("another product", director='engine = "external"', rest=rest)


def test_vrrp_is_keepaliveds_and_not_beside_bgp() -> None:
    refused("VRRP is spoken by keepalived", director='engine = "netlink"', rest="[director.vrrp]\n")
    refused("Keep one of the two", rest=PEER + "[director.vrrp]\n" + BGP)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("router_id = 0", "from 1 to 255"),
        ("router_id = 256", "from 1 to 255"),
        ("priority = 50", "from 51 to 254"),
        ("priority = 255", "from 51 to 254"),
        ("preempt_delay = 1001", "from 0 to 1000"),
        ("preempt_delay = -1", "from 0 to 1000"),
        ("advert_seconds = 0.05", "from 0.1 to 1"),
        ("advert_seconds = 2", "from 0.1 to 1"),
        ("advert_seconds = 0.123", "in hundredths"),
        ("advert_seconds = nan", "not a number of seconds"),
        ('advert_seconds = "0.1"', "without quotes"),
        ("advert_int = 1", "Did you mean advert_seconds?"),
    ],
)
def test_what_vrrp_cannot_be(line: str, words: str) -> None:
    refused(words, rest=f"{PEER}\n[director.vrrp]\n{line}\n")


@pytest.mark.parametrize("line", ["advert_seconds = 1", "advert_seconds = 0.3", "priority = 254", "router_id = 255"])
def test_what_vrrp_can_be(line: str) -> None:
    assert read(rest=f"{PEER}\n[director.vrrp]\n{line}\n").director.vrrp is not None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("65010", "0", "RFC 7607"),
        ("65010", "23456", "RFC 6793"),
        ("65000", "65535", "RFC 7300"),
        ("65000", "4294967296", "from 1 to 4294967295"),
        ("10.0.0.1", "10.0.0.10", "is the VIP"),
        ("10.0.0.1", "10.0.0.101", "web1"),
        ("10.0.0.1", "10.0.0.3", 'director "lb2"'),
        ('neighbour = "10.0.0.1"\n', "", "the router that is told of the VIPs"),
    ],
)
def test_what_bgp_cannot_be(old: str, new: str, words: str) -> None:
    refused(words, rest=PEER + BGP.replace(old, new))


def test_what_cannot_be_set_up_is_said_plainly() -> None:
    for director, rest, words in (
        ('engine = "keepalived"\nguard = true', BGP, "keepalived gives the VIPs to one director"),
    ):
        with pytest.raises(UsageError, match=words):
            refuse_unbuilt(read(director, rest))
    refuse_unbuilt(read())
    refuse_unbuilt(read('engine = "netlink"\nguard = true', BGP))
    refuse_unbuilt(read('engine = "netlink"\nguard = true', PEER + BGP))
