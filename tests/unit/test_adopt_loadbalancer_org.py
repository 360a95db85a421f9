"""`dsrwizard adopt --loadbalancer-org`: what that appliance is set to becomes a deployment file, and nothing is written
there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import backends.loadbalancer_org
from dsrwizard.cli import main as cli
from dsrwizard.core.dialects.loadbalancer_org.farm import live
from dsrwizard.core.intake.deployment_file import load
from dsrwizard.core.model.balancer_facts import Ldirectord
from dsrwizard.core.model.deployment import Balancer, Deployment, Service
from tests.fakes.box_shop import VIP, on_box
from tests.fakes.loadbalancer_org import ORG_USER, LbManners
from tests.fakes.org_shop import OrgShop
from tests.unit.adopted import ADDRESS, reached, stand_there

OTHER = "10.0.0.20"
Capture = pytest.CaptureFixture[str]


@pytest.fixture(params=["as documented", "otherwise"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OrgShop]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    otherwise = LbManners(nested=False, quoted=True, numbers=True, words=("yes", "no"), addresses_told=False)
    made = OrgShop(tmp_path, manners=LbManners() if request.param == "as documented" else otherwise)
    stand_there(monkeypatch, made, backends.loadbalancer_org, ORG_USER)
    yield made
    made.close()
    assert not made.box.errors


def adopt(shop: OrgShop, *arguments: str) -> tuple[int, Path]:
    out = shop.folder / "found.toml"
    place = f"{ORG_USER}@{ADDRESS}"
    return cli.run(["adopt", "--loadbalancer-org", place, "--no-login", "-o", str(out), *arguments]), out


def left_to_do(shop: OrgShop, found: Deployment) -> Any:
    """What an apply of the adopted file would do there, at the fake's own place."""
    again = reached(shop, found)
    return on_box(shop.engine.plan(again, shop.engine.observe(again)))


def by_hand(shop: OrgShop, label: str = "shop-old", **more: str) -> None:
    """What somebody set up long ago."""
    config = shop.box.config
    config.virtuals[label] = {
        "server": OTHER, "ports": "443", "protocol": "tcp", "forwardingmethod": "gate", "scheduler": "wlc",
        "persistent": "on", "persist_time": "420", "granularity": "255.255.255.255",
    } | more  # fmt: skip
    config.reals[label] = {
        name: {"server": f"10.0.0.10{number}", "port": "", "weight": weight, "minconns": "0", "maxconns": "0"}
        for number, (name, weight) in enumerate((("big.one", "100"), ("two", "0")), 1)
    }
    config.floating.add(OTHER)
    shop.box.reboot()


def test_what_dsrwizard_set_up_comes_back_and_needs_no_change(shop: OrgShop) -> None:
    original = shop.deployment(Service(port=80, scheduler="wrr", persistence=90), vips=(VIP, OTHER))
    assert shop.apply(original).ok
    shop.box.changed.clear()
    code, out = adopt(shop)
    assert code == 0
    assert shop.box.changed == []
    found = load(out)
    assert (found.name, found.director.engine) == (original.name, "loadbalancer.org")
    assert found.balancer == Balancer(addresses=(ADDRESS,), user=ORG_USER)
    assert {vip.address: vip.services for vip in found.vips} == {vip.address: vip.services for vip in original.vips}
    assert {(one.name, one.address) for one in found.servers} == {(one.name, one.address) for one in original.servers}
    assert left_to_do(shop, found) == ()


def test_a_farm_of_others_is_adopted_with_what_it_is_set_to(shop: OrgShop, capsys: Capture) -> None:
    by_hand(shop)
    before = shop.box.snapshot()
    code, out = adopt(shop)
    assert code == 0
    assert shop.box.snapshot() == before
    found = load(out)
    (vip,) = found.vips
    (service,) = vip.services
    assert (vip.address, service.port, service.scheduler, service.persistence) == (OTHER, 443, "wlc", 420)
    assert {server.name: server.weight for server in found.servers} == {"big.one": 100, "two": 0}
    assert left_to_do(shop, found) == (), "who is out stays out, and nothing is renamed"
    said = capsys.readouterr().out
    assert "tcp/25 at 10.0.9.10" in said, "what is not in direct routing is told"
    assert "virtual service web farm" in said, "layer 7, too"
    assert "No host was changed" in said


@pytest.mark.parametrize(
    ("more", "why", "also"),
    [
        ({"ports": "443:8443"}, "for several ports", [("tcp", 8443)]),
        ({"protocol": "tcpudp"}, "is for tcpudp", [("udp", 443)]),
        ({"scheduler": "sed"}, "the scheduler of", []), ({"label": "shop old"}, "gives to a shell", []),
    ],
)  # fmt: skip
def test_what_cannot_be_driven_is_any_other_product_and_told(
    shop: OrgShop, capsys: Capture, more: dict[str, str], why: str, also: list[tuple[str, int]]
) -> None:
    by_hand(shop, **more)
    code, out = adopt(shop)
    assert code == 0
    found = load(out)
    assert (found.director.engine, found.balancer) == ("external", None)
    said = capsys.readouterr().out
    assert "dsrwizard does not set this Loadbalancer.org up" in said
    assert why in said
    ports = {(service.protocol, service.port) for service in found.vips[0].services}
    assert ports == {("tcp", 443), *also}


def test_one_without_direct_routing_has_nothing_to_adopt(shop: OrgShop, capsys: Capture) -> None:
    by_hand(shop, forwardingmethod="masq")
    code, out = adopt(shop)
    assert code == 1
    assert not out.exists()
    assert "has nothing to adopt" in capsys.readouterr().err


def test_two_appliances_are_not_one_farm(shop: OrgShop, capsys: Capture) -> None:
    code, _ = adopt(shop, "--netscaler", "nsroot@10.1.0.6")
    assert code == 2
    assert "Adopt each into its own file" in capsys.readouterr().err
    assert shop.box.log == []


WORDS = st.sampled_from(["", "gate", "masq", "tcp", "fwm", "80", "80:90-99", "9" * 5_000, "-1", "²", VIP, "10.0.0.101",
                         "::1::", "wlc", "on", "\x1b[2J\u202e\r\n", "dsr_", "n" * 9_000])  # fmt: skip
FIELDS = st.dictionaries(
    st.sampled_from(["server", "ports", "port", "protocol", "forwardingmethod", "scheduler", "persistent",
                     "persist_time", "granularity", "weight"]), WORDS,
)  # fmt: skip


@given(st.builds(
    Ldirectord, virtuals=st.dictionaries(WORDS, FIELDS.map(lambda one: {"forwardingmethod": "gate"} | one)),
    reals=st.dictionaries(WORDS, st.dictionaries(WORDS, FIELDS, max_size=3), max_size=3),
    layer7=st.dictionaries(WORDS, FIELDS, max_size=2), floating=st.none() | st.sets(WORDS, max_size=2),
))  # fmt: skip
def test_whatever_it_answers_is_a_farm_or_notes_and_harmless(config: Ldirectord) -> None:
    found = live(config)
    assert found.refused == (not found.vips)
    assert all(note.isprintable() and len(note) < 5_000 for note in found.notes)
