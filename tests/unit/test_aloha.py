"""The text of ALOHA's LB Layer4 tab: written from a deployment, read back, compared; and texts of others.

What is right comes from the "LB Layer4 reference" of the ALOHA documentation; no text here was taken from a real box.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrwizard.core.dialects.aloha import verbs
from dsrwizard.core.dialects.aloha.compare import text_differences
from dsrwizard.core.dialects.aloha.writer import aloha_text
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.intake.expressible import product_problems
from dsrwizard.core.intake.importers import detect, read
from dsrwizard.core.intake.importers.aloha import read_config
from dsrwizard.core.intake.validate import problems_of_draft
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.foreign import harmless
from dsrwizard.core.model.products import ALOHA

SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0", engine="external"),
    vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
    servers=(
        RealServer(name="web1", address="10.0.0.101", weight=10),
        RealServer(name="web2", address="10.0.0.102", weight=10),
    ),
)
SHOP_TEXT = """\
director dsr_shop_80 10.0.0.10:80 TCP
   balance leastconn
   mode gateway
   option tcpcheck
   server web1 10.0.0.101:80 weight 10 check
   server web2 10.0.0.102:80 weight 10 check
"""


def test_the_text_of_a_shop_is_exactly_this() -> None:
    assert aloha_text(SHOP) == SHOP_TEXT


def test_every_thing_that_a_deployment_can_say_has_its_line() -> None:
    services = (
        Service(port=53, protocol="udp", scheduler="sh", persistence=300), Service(port=53, scheduler="lblcr"),
    )  # fmt: skip
    vips = (*SHOP.vips, Vip(address="10.0.0.11", services=services))
    servers = (*SHOP.servers, RealServer(name="web3", address="10.0.0.103", weight=0))
    assert (
        aloha_text(msgspec.structs.replace(SHOP, vips=vips, servers=servers)).partition("\n\n")[2]
        == """\
director dsr_shop_10.0.0.11_53_udp 10.0.0.11:53 UDP
   balance source
   mode gateway
   option persistence timeout 300s
   option arpcheck
   server web1 10.0.0.101:53 weight 10 check
   server web2 10.0.0.102:53 weight 10 check

director dsr_shop_10.0.0.11_53 10.0.0.11:53 TCP
   balance leastconn localitybased replication
   mode gateway
   option tcpcheck
   server web1 10.0.0.101:53 weight 10 check
   server web2 10.0.0.102:53 weight 10 check
"""
    )


# --- any deployment ------------------------------------------------------------------------------------------------


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    """Deployments that ALOHA can express."""
    equal = draw(st.booleans())
    schedulers = sorted(ALOHA.methods if equal else ALOHA.methods.keys() - ALOHA.unweighted)
    weights = st.just(draw(st.integers(1, 256))) if equal else st.integers(0, 256)
    vips = []
    for number in range(draw(st.integers(1, 3))):
        keys = draw(
            st.lists(st.tuples(st.sampled_from(("tcp", "udp")), st.integers(1, 65_535)), min_size=1, max_size=3,
                     unique=True)
        )  # fmt: skip
        vips.append(
            Vip(
                address=f"10.0.0.{10 + number}",
                services=tuple(
                    Service(
                        protocol=protocol,  # type: ignore[arg-type]
                        port=port, scheduler=draw(st.sampled_from(schedulers)),
                        persistence=draw(st.sampled_from((0, 1, 300, 2_678_400))),
                    )
                    for protocol, port in keys
                ),
            )
        )  # fmt: skip
    servers = [
        RealServer(
            name=f"web{number}", address=f"10.0.0.{100 + number}", weight=draw(weights), connect="manual",
            vips=draw(st.sampled_from((None, ("10.0.0.10",)))) if number else None,
        )
        for number in range(draw(st.integers(1, 5)))
    ]  # fmt: skip
    return Deployment(name="shop", director=SHOP.director, vips=tuple(vips), servers=tuple(servers))


@settings(max_examples=200, deadline=None)
@given(deployments())
def test_what_is_written_is_read_back_without_a_difference(deployment: Deployment) -> None:
    assert list(product_problems(msgspec.structs.replace(Draft.from_deployment(deployment), engine="aloha"))) == []
    text = aloha_text(deployment)
    config = read_config(text)
    assert config.problems == []
    assert [one.problems for one in config.directors] == [[] for _ in config.directors]
    assert text_differences(deployment, text) == ()
    assert text.isascii()


@settings(max_examples=200, deadline=None)
@given(deployments())
def test_what_is_written_is_adopted_as_the_same_farm(deployment: Deployment) -> None:
    found = read(aloha_text(deployment), kind="aloha")
    serving = {server.address: server for server in deployment.servers if server.weight}
    if not serving:
        assert found.refused
        return
    assert found.external
    told = {
        (vip.address, one.protocol, one.port, ALOHA.methods[one.scheduler], one.persistence)
        for vip in found.vips
        for one in vip.services
    }
    assert told == {
        (vip.address, one.protocol, str(one.port), ALOHA.methods[one.scheduler], str(one.persistence))
        for vip in deployment.vips
        for one in vip.services
        if any(server.weight for server in deployment.servers_of(vip))
    }
    heeded = {service.scheduler for vip in deployment.vips for service in vip.services}.isdisjoint(ALOHA.unweighted)
    for server in found.servers:
        assert server.name == serving.pop(server.address).name
        if heeded:
            assert server.weight == str(deployment.server(server.name).weight)
    assert serving == {}


@settings(max_examples=200, deadline=None)
@given(deployments(), st.data())
def test_any_line_that_is_changed_or_lost_is_a_difference(deployment: Deployment, data: st.DataObject) -> None:
    lines = aloha_text(deployment).splitlines()
    at = data.draw(st.sampled_from([number for number, line in enumerate(lines) if line.strip()]))
    words = lines[at].split()
    lost = "\n".join(lines[:at] + lines[at + 1 :])
    spoilt = "\n".join([*lines[:at], lines[at].replace(words[-1], f"{words[-1]}7x"), *lines[at + 1 :]])
    assert text_differences(deployment, spoilt)
    default = lines[at].strip() == "balance leastconn"  # the text's own default, and so no difference
    assert bool(text_differences(deployment, lost)) is not default


# --- drift, one by one -----------------------------------------------------------------------------------------------


def drifted(old: str, new: str) -> tuple[str, ...]:
    assert old in SHOP_TEXT
    return tuple(f"{one.message} {one.fix}" for one in text_differences(SHOP, SHOP_TEXT.replace(old, new)))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("   mode gateway\n", "", "The mode of dsr_shop_80 is nat (none is written)"),
        ("mode gateway", "mode tunnel", "is tunnel: replies would have to pass the ALOHA. Write mode gateway."),
        ("leastconn", "roundrobin", "has wlc, which is leastconn. Write balance leastconn."),
        ("option tcpcheck", "option persistence timeout 60", "persistence of 60 s; the deployment has 0 s."),
        ("   option tcpcheck\n", "", "has no check: a dead server keeps its clients. Write option tcpcheck."),
        ("101:80 weight 10", "101:80 weight 7", "web1 has weight 7; the deployment has 10"),
        ("weight 10 check\n   server web2", "weight 10\n   server web2", "web1 is not checked."),
        (" 10.0.0.102:80", " 10.0.0.102:8080", "web2 has port 8080; direct routing cannot change ports."),
        ("server web2 10.0.0.102", "server web9 10.0.0.109", "web2 (10.0.0.102) is missing in dsr_shop_80."),
        ("server web2 10.0.0.102", "server web9 10.0.0.109", '"web9" (10.0.0.109) is no real server'),
        ("10.0.0.102:80 weight 10 check", "10.0.0.101:80 weight 10 check", "10.0.0.101 stands twice"),
        ("10.0.0.10:80 TCP", "10.0.0.10:80 UDP", "There is no director for 10.0.0.10 tcp/80."),
        ("10.0.0.10:80 TCP", "10.0.0.10 TCP", "it takes every service of the VIP."),
        ("mode gateway", "mode gateway\n   inhibit yes", '"inhibit" was not understood.'),
    ],
)  # fmt: skip
def test_each_kind_of_drift_is_told_with_what_to_write(old: str, new: str, says: str) -> None:
    assert any(says in one for one in drifted(old, new)), drifted(old, new)


def test_names_and_what_is_as_good_are_no_drift() -> None:
    for old, new in (
        ("dsr_shop_80", "www"), ("web1", "srv-a"), (":80 weight", " weight"), ("   balance leastconn\n", ""),
        ("option tcpcheck", "option tcpcheck interval 4s timeout 1s"), ("option tcpcheck", "option icmpcheck"),
        ("option tcpcheck", "option tcpcheck\n   check interval 5s timeout 2s rise 2 fall 3 inhibit"),
        ("director", "# ours\ndirector"), ("TCP\n", "TCP\r\n"),
        ("director", "director other 10.0.0.99:80\n   mode nat\n   nonsense\ndirector"),
    ):  # fmt: skip
        assert drifted(old, new) == ()


def test_a_server_that_is_to_be_held_is_not_there_or_at_weight_0() -> None:
    held = msgspec.structs.replace(SHOP.servers[1], weight=0)
    deployment = msgspec.structs.replace(SHOP, servers=(SHOP.servers[0], held))
    assert "web2" not in aloha_text(deployment)
    at_zero = SHOP_TEXT.replace("10.0.0.102:80 weight 10", "10.0.0.102:80 weight 0")
    assert text_differences(deployment, at_zero) == ()
    (one,) = text_differences(deployment, SHOP_TEXT)
    assert (one.line, one.fix) == (6, "Take the line out: that holds the server.")


# --- texts of others -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("director a 10.0.0.10:80-90 TCP\n mode gateway", "A range needs a flow in the Flows tab."),
        ("director a 10.0.0.10:80 SCTP\n mode gateway", "after the address comes TCP or UDP"),
        ("director a/b 10.0.0.10:80\n mode gateway", "is not a valid name of a director."),
        ("director a 10.0.0.10:80\n balance random\n mode gateway", 'balance cannot be "random".'),
        ("director a 10.0.0.10:80\n mode gateway\n mode gateway", "mode is written twice."),
        ("director a 10.0.0.10:80\n mode gateway\n server w 10.0.0.1 weight 257", "is not in 0 to 256."),
        ("director a 10.0.0.10:80\n mode gateway\n server w 10.0.0.1 sorry check", "a sorry server is never checked."),
        ("director a 10.0.0.10:80\n mode gateway\n server w x sorry\n server v 10.0.0.2 sorry", "sorry servers"),
        ("director a 10.0.0.10:80\n mode gateway\n option dnscheck", 'option "dnscheck" was not understood.'),
        ("director a 10.0.0.10:80\n mode gateway\n option tcpcheck\n option arpcheck", "has several checks"),
        ("director a 10.0.0.10:80\n server w 10.0.0.1 check", "a has no mode: it counts as nat."),
        ("server w 10.0.0.1", "stands before every director."),
    ],
)
def test_what_the_reference_does_not_have_is_not_understood(text: str, says: str) -> None:
    config = read_config(text)
    told = [*config.problems, *(problem for one in config.directors for problem in one.problems)]
    assert any(says in problem for problem in told), told


def test_a_farm_of_an_aloha_is_adopted_with_a_note_for_what_a_deployment_cannot_say() -> None:
    text = """\
# the farm
director web 10.0.0.10:80 TCP
  balance source
  mode gateway
  option persistence timeout 120 netmask 255.255.255.0
  option httpcheck uri /alive vhost shop.example
  server a 10.0.0.101:80 weight 3 check
  server b 10.0.0.102 check
  server moved 10.0.0.103:81 check
  server last 10.0.0.104 sorry
director nat 10.0.0.11:80
  mode nat
  server a 10.0.0.101:80
director hashed 10.0.0.12:80
  balance srcdst
  mode gateway
  server a 10.0.0.101:80
"""
    assert detect(text) == "aloha"
    found = read(text)
    assert [(vip.address, [(one.scheduler, one.persistence) for one in vip.services]) for vip in found.vips] == [
        ("10.0.0.10", [("sh", "120")]), ("10.0.0.12", [("wlc", "0")]),
    ]  # fmt: skip
    assert [(server.name, server.weight) for server in found.servers] == [("a", "3"), ("b", "1")]
    notes = " ".join(found.notes)
    for word in ("httpcheck", "netmask", "its port is 81", "sorry server", "NAT (masquerading)", "balance srcdst"):
        assert word in notes, found.notes
    assert problems_of_draft(Draft(interface="eth0", engine="external", vips=found.vips, servers=found.servers)) == []


HOSTILE = st.lists(
    st.one_of(
        st.text(max_size=60),
        st.sampled_from(["director", "director x 10.0.0.10:80", " balance", " mode gateway", " server", "\0"]),
        st.builds(
            " {} {} {}".format, st.sampled_from(["server", "director", "check", "option", "balance"]),
            st.text(max_size=30), st.text(max_size=30),
        ),
    ),
    max_size=30,
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(HOSTILE)
def test_no_text_crashes_it_or_reaches_a_reader_raw(lines: list[str]) -> None:
    text = "\n".join(lines)
    config = read_config(text)
    told = [*config.problems, *(problem for one in config.directors for problem in one.problems)]
    told += [f"{one.message} {one.fix}" for one in text_differences(SHOP, text)]
    told += read(text, kind="aloha").notes
    for each in told:
        assert harmless(each)
        assert "\n" not in each
        assert len(each) < 2_000


@pytest.mark.parametrize(
    "text",
    [
        "director x 10.0.0.10:80\n" * 200_000,
        "director x 10.0.0.10:80\n mode gateway\n" + " server a 10.0.0.1 check\n" * 40_000,
        "director x 10.0.0.10:80\n balance " + "leastconn " * 90_000,
        "director x 10.0.0.10:80\n" + " z\n" * 100_000,
    ],
    ids=["directors", "servers", "a long line", "lines"],
)
def test_a_text_without_end_comes_to_one(text: str) -> None:
    differences = text_differences(SHOP, text)
    assert differences
    assert len(read(text, kind="aloha").notes) <= 60


# --- its commands ----------------------------------------------------------------------------------------------------


def test_no_aloha_is_driven_as_long_as_a_verb_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not verbs.drivable()
    assert verbs.unknown()
    monkeypatch.setattr(verbs, "VERIFIED", True)
    assert not verbs.drivable(), "marked as verified, and still without words"
    monkeypatch.setattr(verbs, "VERBS", dict.fromkeys(verbs.VERBS, "word"))
    assert verbs.drivable()


def test_nothing_of_the_program_has_a_command_of_an_aloha() -> None:
    """Beside the table of verbs, and what asks for its output: the pages, and `balancer record`."""
    root = Path(__file__).parents[2]
    naming = {
        str(path.relative_to(root))
        for package in ("dsrwizard", "screens", "backends")
        for path in (root / package).rglob("*.py")
        if "alohactl2" in path.read_text()
    }
    assert naming == {"dsrwizard/core/dialects/aloha/verbs.py", "dsrwizard/core/tell/transcript.py"}


def test_an_exit_that_leaves_the_box_without_its_configuration_stops_everything() -> None:
    assert {code for code, one in verbs.EXITS.items() if one.after == "stop"} == {120, 121}
    assert {code for code, one in verbs.EXITS.items() if one.after == "done"} == {0}
    assert verbs.EXITS[100].after == "wait"
    assert verbs.EXITS[122].after == "unsaved"


def test_every_word_of_balance_has_its_word_among_the_objects_but_locality() -> None:
    words = set(ALOHA.methods.values())
    assert words - verbs.BALANCES.keys() == {"leastconn localitybased", "leastconn localitybased replication"}
