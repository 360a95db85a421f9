"""`dsrwizard adopt --netscaler`: what a NetScaler is set to becomes a deployment file, and nothing is written there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backends.netscaler
from dsrwizard.cli import adopting as command
from dsrwizard.cli import main as cli
from dsrwizard.core.intake.deployment_file import load
from dsrwizard.core.intake.importers.netscaler import live
from dsrwizard.core.model.balancer_facts import Box
from dsrwizard.core.model.deployment import Balancer, Service
from tests.fakes.box_shop import VIP, BoxShop, on_box
from tests.fakes.netscaler import Manners
from tests.unit.adopted import ADDRESS, reached, stand_there

OTHER = "10.0.0.20"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(params=["as documented", "otherwise"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoxShop]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    otherwise = Manners(text_numbers=False, state_follows=False, capitals=True, reverse=False)
    made = BoxShop(tmp_path, manners=Manners() if request.param == "as documented" else otherwise)
    stand_there(monkeypatch, made, backends.netscaler, "nsroot")
    yield made
    made.close()
    assert not made.box.errors


def adopt(shop: BoxShop, *arguments: str) -> tuple[int, Path]:
    out = shop.folder / "found.toml"
    return cli.run(["adopt", "--netscaler", f"nsroot@{ADDRESS}", "--no-login", "-o", str(out), *arguments]), out


def by_hand(shop: BoxShop, name: str = "pool-1", method: str = "LEASTCONNECTION", **more: Any) -> None:
    """What somebody set up long ago: a virtual server in MAC mode with two services."""
    config = shop.box.running
    config.servers["big one"] = {"name": "big one", "ipaddress": "10.0.0.101"}
    for number, server in ((1, "big one"), (2, "Web-Two")):
        service = f"s{number}"
        config.services[service] = {
            "name": service, "servername": server, "servicetype": "ANY", "port": 443, "ordered": "ENABLED",
            "usip": "YES",
        }  # fmt: skip
        config.bindings.append((name, service, 10 * number))
    config.vservers[name] = {
        "name": name, "servicetype": "ANY", "ipv46": OTHER, "port": 443, "m": "MAC", "lbmethod": method,
        "sessionless": "DISABLED", "persistencetype": "SOURCEIP", "timeout": 5, "connfailover": "STATELESS",
        "state": "ENABLED",
    } | more  # fmt: skip
    shop.box.keep()


def test_what_dsrwizard_set_up_comes_back_and_needs_no_change(shop: BoxShop) -> None:
    original = shop.deployment(Service(port=80, scheduler="wrr", persistence=120), vips=(VIP, OTHER))
    assert shop.apply(original).ok
    shop.box.changed.clear()
    code, out = adopt(shop)
    assert code == 0
    assert shop.box.changed == []
    found = load(out)
    assert found.name == original.name
    assert found.director.engine == "netscaler"
    assert found.balancer == Balancer(addresses=(ADDRESS,), user="nsroot")
    assert {vip.address: vip.services for vip in found.vips} == {vip.address: vip.services for vip in original.vips}
    told = {server.address: server.name for server in found.servers}
    assert told == {"10.0.0.101": "web1", "10.0.0.102": "Web-Two", "10.0.0.103": "web3"}
    again = reached(shop, found)
    assert on_box(shop.engine.plan(again, shop.engine.observe(again))) == ()


def test_a_farm_of_others_is_adopted_with_what_it_is_set_to(shop: BoxShop, capsys: Capture) -> None:
    by_hand(shop)
    shop.box.running.services["s2"]["ordered"] = "DISABLED"
    code, out = adopt(shop)
    assert code == 0
    assert shop.box.changed == []
    assert not shop.box.sessions, "logged out"
    found = load(out)
    assert found.name == "found"
    (vip,) = found.vips
    assert vip.address == OTHER
    (service,) = vip.services
    assert (service.protocol, service.port, service.scheduler, service.persistence) == ("tcp", 443, "wlc", 300)
    assert {server.address: server.weight for server in found.servers} == {"10.0.0.101": 10, "10.0.0.102": 0}
    assert found.director.engine == "netscaler"
    again = reached(shop, found)
    left = on_box(shop.engine.plan(again, shop.engine.observe(again)))
    assert not any("10.0.0.102" in str(step.changes) for step in left), "who is out stays out"
    said = capsys.readouterr().out
    assert "lb vserver mail" in said, "what is not in MAC mode is told"
    assert "No host was changed" in said
    assert "-connfailover STATELESS of lb vserver pool-1" in said
    assert "-sessionless" not in said


def test_a_plan_changes_nothing_behind_the_operators_back(shop: BoxShop, capsys: Capture) -> None:
    """What an apply of the adopted file would change is told."""
    by_hand(shop, method="SOURCEIPHASH")
    for place, (vserver, bound, _) in enumerate(shop.box.running.bindings):
        shop.box.running.bindings[place] = (vserver, bound, 1)
    code, out = adopt(shop)
    assert code == 0
    assert "an apply sets -sessionless to ENABLED" in capsys.readouterr().out
    again = reached(shop, load(out))
    assert "sessionless" in str(on_box(shop.engine.plan(again, shop.engine.observe(again))))


@pytest.mark.parametrize("why", ["type", "method", "groups", "domain"])
def test_what_cannot_be_driven_is_any_other_product_and_told(shop: BoxShop, capsys: Capture, why: str) -> None:
    by_hand(shop, method="LEASTRESPONSETIME" if why == "method" else "ROUNDROBIN")
    config = shop.box.running
    if why == "type":
        config.vservers["pool-1"]["servicetype"] = "TCP"
    if why == "domain":
        config.vservers["pool-1"]["td"] = 7
    if why == "groups":
        config.grouped["pool-1"] = ["g"]
        config.in_groups["g"] = [
            {"servername": "third", "ip": "10.0.0.103", "port": 443, "weight": 3, "state": "ENABLED"},
            {"servername": "fourth", "ip": "10.0.0.104", "port": 443, "weight": 3, "state": "DISABLED"},
        ]
        config.servers["fourth"] = {"name": "fourth", "ipaddress": "10.0.0.104"}
        config.servers["third"] = {"name": "third", "ipaddress": "10.0.0.103"}
    code, out = adopt(shop)
    assert code == 0
    found = load(out)
    assert (found.director.engine, found.balancer) == ("external", None)
    assert "dsrwizard does not set this NetScaler up" in capsys.readouterr().out
    rips = {server.address: server.weight for server in found.servers}
    assert rips == {"10.0.0.101": 10, "10.0.0.102": 20} | (
        {"10.0.0.103": 3, "10.0.0.104": 0} if why == "groups" else {}
    )


def test_one_without_mac_mode_has_nothing_to_adopt(shop: BoxShop, capsys: Capture) -> None:
    code, out = adopt(shop)
    assert code == 1
    assert not out.exists()
    assert "has nothing to adopt" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["10.1.0.5", "nsroot@", "@10.1.0.5", "nsroot@box", "nsroot@10.1.0.5:0", "a@::1::"])
def test_a_place_that_is_none_is_refused_before_anything_is_asked(shop: BoxShop, place: str) -> None:
    assert cli.run(["adopt", "--netscaler", place]) == 2
    assert shop.box.log == []


WORDS = st.sampled_from(["", "MAC", "ANY", "80", "65535", "9" * 5_000, "-1", "²", VIP, "10.0.0.101", "::1::",
                         "DISABLED",
                         "a", "\x1b[2J\u202e\r\n", "dsr_", "dsrwizard ", "n" * 9_000])  # fmt: skip
ROWS = st.dictionaries(
    st.sampled_from(["name", "m", "ipv46", "port", "servicetype", "lbmethod", "timeout", "persistencetype", "comment",
                     "servername", "ipaddress", "ip", "weight", "state", "td"]), WORDS,
)  # fmt: skip
TABLE = st.dictionaries(WORDS, ROWS, max_size=3)


@given(st.builds(
    Box, servers=TABLE, services=TABLE, vservers=st.dictionaries(WORDS, ROWS.map(lambda row: {"m": "MAC"} | row)),
    bindings=st.dictionaries(WORDS, st.dictionaries(WORDS, st.integers(1, 100), max_size=3), max_size=3),
    grouped=st.dictionaries(WORDS, st.lists(WORDS, max_size=2), max_size=3),
    members=st.dictionaries(WORDS, st.lists(ROWS, max_size=2), max_size=3),
))  # fmt: skip
def test_whatever_it_answers_is_a_farm_or_notes_and_harmless(box: Box) -> None:
    found = live(box)
    assert found.refused == (not found.vips)
    assert all(note.isprintable() and len(note) < 5_000 for note in found.notes)


def test_no_run_changes_it_while_it_is_read(shop: BoxShop, monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand(shop)
    honest, held = command._undisturbed, []

    @contextmanager
    def undisturbed(engine: Any) -> Iterator[None]:
        with honest(engine):
            held.append(len(shop.box.log))
            yield

    monkeypatch.setattr(command, "_undisturbed", undisturbed)
    assert adopt(shop)[0] == 0
    assert held == [0], "nothing was read before"
    assert shop.box.log


def test_two_farms_are_not_one(shop: BoxShop, tmp_path: Path, capsys: Capture) -> None:
    by_hand(shop)
    other = tmp_path / "ipvs"
    other.write_text("-A -t 10.0.0.30:80 -s rr\n-a -t 10.0.0.30:80 -r 10.0.0.101:80 -g -w 1\n")
    code, _ = adopt(shop, "--from", str(other))
    assert code == 2
    assert "into a file of its own" in capsys.readouterr().err
