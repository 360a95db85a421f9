"""A frame that names another MAC than the one it came from: its sender is named, and never the machine it names."""

from __future__ import annotations

import threading
import time

import msgspec
import pytest

from backends.packets import arp, ethernet, ndp
from backends.packets import link as links
from backends.packets.ethernet import mac_text
from backends.packets.hear import Claims
from backends.packets.owners import ArpQuestions
from dsrwizard.core.live.findings import Findings
from dsrwizard.core.model.answers import Connected, Owners, Told
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.client_view import ClientView, ClientVip
from dsrwizard.core.model.deployment import Client, Deployment, Director
from dsrwizard.core.plan.mend import mending
from dsrwizard.engine.watch.board import Board
from dsrwizard.engine.watch.probing import Ear
from tests.fakes.host import Link
from tests.unit.diagnosed import STRANGER, VIP, VIP6, Altered, Farm, arp_leak, faults, find, only, unreachable
from tests.unit.test_packets_frames import DIRECTOR_MAC, SERVER_MAC, frame, packed

FORGER = bytes.fromhex("02000a000067")
ETH0 = links.EthernetLink(
    "eth0", DIRECTOR_MAC, (links.LinkAddress(packed("10.0.0.2"), 24), links.LinkAddress(packed("fd00::2"), 64))
)
WEB1, WEB2, WEB3 = "02:00:0a:00:00:65", "02:00:0a:00:00:66", "02:00:0a:00:00:67"
DIRECTOR = "02:00:0a:00:00:02"


def sent_by(mac: bytes, data: bytes) -> ethernet.Frame:
    """The same frame from another machine: only its Ethernet source differs."""
    return frame(data[:6] + mac + data[12:])


def reply(mac: bytes = SERVER_MAC, target: bytes = DIRECTOR_MAC, to: bytes = DIRECTOR_MAC) -> bytes:
    """An is-at for the VIP, byte by byte (RFC 826)."""
    body = bytes.fromhex("0001 0800 06 04 0002") + mac + packed(VIP) + target + packed("10.0.0.2")
    return to + mac + b"\x08\x06" + body


def audit(*frames: ethernet.Frame, address: str = VIP) -> Owners:
    """What an audit makes of these frames."""
    rules = ArpQuestions(ETH0, [packed(address)])
    for one in frames:
        rules.take(one)
    asked = rules.asked[packed(address)]
    told = [Told(mac=mac_text(mac), by=mac_text(by), answer=answer) for (mac, by), answer in asked.told.items()]
    macs, claims = map(mac_text, asked.answers), map(mac_text, asked.claims)
    return Owners(address=address, macs=tuple(macs), claims=tuple(claims), told=tuple(told))


# -- on the wire


@pytest.mark.parametrize(
    ("data", "address", "answer"),
    [
        (reply(), VIP, True),
        (arp.gratuitous(SERVER_MAC, packed(VIP))[0], VIP, False),
        (arp.gratuitous(SERVER_MAC, packed(VIP))[1], VIP, False),
        (arp.who_has(SERVER_MAC, packed(VIP), packed("10.0.0.1")), VIP, False),
        (ndp.unsolicited(SERVER_MAC, packed(VIP6)), VIP6, False),
        (ndp.solicitation(SERVER_MAC, packed(VIP6), packed("fd00::1")), VIP6, False),
    ],
)
def test_what_another_mac_said_is_kept_with_both_and_is_nobodys_own_word(
    data: bytes, address: str, answer: bool
) -> None:
    named = Told(mac=mac_text(SERVER_MAC), by=mac_text(FORGER), answer=answer)
    assert audit(sent_by(FORGER, data), address=address) == Owners(address=address, told=(named,))
    own = audit(frame(data), address=address)
    assert own.told == ()
    assert mac_text(SERVER_MAC) in (own.macs if answer else own.claims)
    (claim,) = Claims([address], frozenset).take(sent_by(FORGER, data), 1.0, 1.0)
    assert (claim.mac, claim.by) == (mac_text(SERVER_MAC), mac_text(FORGER))
    (claim,) = Claims([address], frozenset).take(frame(data), 1.0, 1.0)
    assert (claim.mac, claim.by) == (mac_text(SERVER_MAC), "")


def test_a_forger_does_not_hide_the_machine_itself() -> None:
    rules = Claims([VIP], frozenset)
    request = arp.who_has(SERVER_MAC, packed(VIP), packed("10.0.0.1"))
    assert rules.take(sent_by(FORGER, request), 1.0, 1.0)
    assert rules.take(frame(request), 1.0, 1.0)
    assert audit(sent_by(FORGER, reply()), frame(reply())).macs == (mac_text(SERVER_MAC),)


def test_a_reply_meant_for_another_machine_answers_no_question_of_ours() -> None:
    other = audit(frame(reply(target=FORGER)))
    assert (other.macs, other.claims) == ((), (mac_text(SERVER_MAC),))
    assert audit(frame(reply(target=bytes(6)))).macs == (mac_text(SERVER_MAC),)  # some devices leave it empty


def test_what_leads_to_this_machine_is_left_out_whoever_says_it() -> None:
    own = bytes.fromhex("02000a0000aa")
    rules = ArpQuestions(ETH0, [packed(VIP)], own=lambda: frozenset({own}))
    for data in (sent_by(FORGER, reply(DIRECTOR_MAC)), sent_by(FORGER, reply(own)), frame(reply(own))):
        rules.take(data)
    assert (rules.asked[packed(VIP)].answers, rules.asked[packed(VIP)].told) == ([], {})


def test_who_speaks_for_itself_is_sent_to_before_who_is_named_by_others() -> None:
    told = Told(mac=WEB2, by=WEB3, answer=True)
    assert Owners(address=VIP, macs=(WEB1,), told=(told,)).where == (WEB1,)
    assert Owners(address=VIP, told=(told,)).where == (WEB2,)
    assert Owners(address=VIP, told=(msgspec.structs.replace(told, answer=False),)).where == ()


def test_made_up_macs_fill_neither_memory_nor_evidence() -> None:
    numbers = [b"\x02\x00" + number.to_bytes(4, "big") for number in range(3000)]
    found = audit(*(frame(reply(mac)) for mac in numbers), *(sent_by(mac, reply()) for mac in numbers))
    assert (len(found.macs), len(found.told)) == (200, 200)
    farm = Farm()
    report = farm.verify(wire=Altered(farm, owners=lambda one: found if one.address == VIP else one))
    assert faults(report) == [("arp-mismatch", "director"), ("duplicate-vip", "director")]
    assert all(len(check.evidence) < 600 for check in report.failures)


# -- what verify makes of it


def told(farm: Farm, mac: str, by: str, address: str = VIP, *, answer: bool = True) -> Report:
    farm.world.told[address] = [Told(mac=mac, by=by, answer=answer)]
    return farm.verify()


@pytest.mark.parametrize("answer", [True, False])
def test_a_server_that_names_another_is_at_fault_and_the_other_is_not(answer: bool) -> None:
    check = only(told(Farm(), WEB1, WEB3, answer=answer))
    assert (check.check, check.cause, check.host, check.vip) == ("arp.audit", "arp-mismatch", "web3", VIP)
    assert f"{WEB1} (web1), in a frame that came from {WEB3} (web3)" in check.evidence
    assert check.fix.startswith("On web3:")
    assert "A proxying router" in check.fix
    assert "arp_ignore" not in check.fix


def test_a_stranger_that_names_a_server_is_the_networks() -> None:
    check = only(told(Farm(), WEB1.upper(), STRANGER.upper()))
    assert (check.cause, check.host) == ("arp-mismatch", "director")
    assert "outside the deployment" in check.message
    assert STRANGER in check.fix
    assert WEB1 in check.evidence


def test_a_server_that_names_a_mac_nobody_knows_is_named() -> None:
    check = only(told(Farm(), STRANGER, WEB3))
    assert (check.cause, check.host) == ("arp-mismatch", "web3")


def test_a_stranger_that_names_a_stranger_is_a_duplicate() -> None:
    check = only(told(Farm(), STRANGER, "02:00:00:00:be:ee"))
    assert (check.cause, check.host) == ("duplicate-vip", "director")
    assert f"{STRANGER}, in frames that came from 02:00:00:00:be:ee" in check.evidence


@pytest.mark.parametrize("by", [STRANGER, WEB3])
def test_what_leads_to_the_director_misleads_nobody(by: str) -> None:
    """A switch may answer for the machines behind it, with their MACs."""
    assert told(Farm(), DIRECTOR, by).verdict == "pass"


def bonded(farm: Farm) -> None:
    """web1 has a second port, as in a bond of mode balance-alb, whose frames may leave by either."""
    farm.server("web1").machine.links["eth1"] = Link(STRANGER)


def test_two_ports_of_one_server_are_one_machine_that_leaks() -> None:
    farm = Farm()
    bonded(farm)
    check = only(told(farm, WEB1, STRANGER))
    assert (check.cause, check.host) == ("arp-leak", "web1")
    assert f"{WEB1}, in frames that came from {STRANGER}" in check.evidence
    assert told(farm, WEB1, STRANGER, farm.rip("web1")).failures[0].cause == "arp-leak"  # still the VIP's


def test_an_access_point_that_speaks_for_a_server_speaks_for_it_at_the_vip_too() -> None:
    """It rewrites the Ethernet source of all frames of the machines behind it, and leaves ARP as it is."""
    farm = Farm()
    rip = farm.rip("web1")
    behind = Owners(address=rip, told=(Told(mac=WEB1, by=STRANGER, answer=True),))

    def owners(one: Owners) -> Owners:
        return behind if one.address == rip else one

    assert farm.verify(wire=Altered(farm, owners=owners)).verdict == "pass"
    farm.world.told[VIP] = [Told(mac=WEB1, by=STRANGER, answer=True)]
    assert faults(farm.verify(wire=Altered(farm, owners=owners))) == [("arp-leak", "web1")]


def test_a_leak_and_a_forger_are_two_faults() -> None:
    farm = Farm()
    arp_leak(farm, "web1")
    assert faults(told(farm, WEB1, WEB3)) == [("arp-leak", "web1"), ("arp-mismatch", "web3")]


def test_a_dead_servers_address_that_another_answers_for_makes_the_dead_one_no_leak() -> None:
    farm = Farm()
    unreachable(farm, "web1")
    arp_leak(farm, "web3")
    taken = Owners(address=farm.rip("web1"), macs=(WEB3,))
    report = farm.verify(wire=Altered(farm, owners=lambda one: taken if one.address == taken.address else one))
    assert ("arp-leak", "web3") in faults(report)
    assert ("arp-leak", "web1") not in faults(report)


def test_a_rip_that_somebody_moves_is_told_and_its_server_is_well() -> None:
    farm = Farm()
    check = only(told(farm, WEB2, WEB3, farm.rip("web1")))
    assert (check.cause, check.host, check.server) == ("arp-mismatch", "web3", "web1")
    assert f"{farm.rip('web1')}, the address of web1," in check.message
    assert told(farm, WEB1, WEB3, farm.rip("web1")).verdict == "pass"  # a proxy that says what is so


# -- behind another product


def external(deployment: Deployment) -> Deployment:
    return msgspec.structs.replace(deployment, director=Director(interface="eth0", engine="external"))


def test_a_balancers_virtual_mac_is_one_balancer() -> None:
    """CARP and masked NLB answer with a MAC that the frame does not come from."""
    assert told(Farm(change=external), "00:00:5e:00:01:0a", STRANGER).verdict == "pass"


def test_behind_another_product_a_forger_is_named() -> None:
    farm = Farm(change=external)
    farm.world.strangers[VIP] = [STRANGER]
    assert faults(told(farm, WEB1, WEB3)) == [("arp-mismatch", "web3")]


# -- what follows from it


def test_a_client_that_was_misled_follows_from_it() -> None:
    farm = Farm(change=lambda one: msgspec.structs.replace(one, client=Client(address="203.0.113.10")))
    connect = Connected(address=VIP, port=80, result="silent")
    seen = ClientVip(vip=VIP, ping="silent", on_link=True, neighbour=WEB1, connects=(connect,))
    farm.world.told[VIP] = [Told(mac=WEB1, by=WEB3, answer=True)]
    report = farm.verify(client=ClientView(vips=(seen,)))
    assert faults(report) == [("arp-mismatch", "web3")]
    for check in ("client.arp", "client.connect"):
        assert find(report, check, "client").consequence_of == "arp-mismatch"


def test_no_step_mends_it_and_mend_says_who_must() -> None:
    farm = Farm()
    check = only(told(farm, WEB1, WEB3))
    (cure,) = mending(farm.deployment, farm.observed(), [check]).cures
    assert cure.steps == ()
    assert "the administrator of" in cure.by_hand


# -- what the live view makes of it


def test_the_live_view_hears_who_said_it_and_leaves_alone_who_is_named() -> None:
    farm = Farm()
    board = Board(farm.deployment, time.time, None, threading.Event())
    board.found(Findings(), {WEB1: "web1", WEB2: "web2", WEB3: "web3"}, None)
    ear = Ear(farm.deployment, farm.world.wire(), board)
    ear.open()
    try:
        farm.world.claim(VIP, WEB1, "gratuitous", by=WEB3)
        states = {row.server: (row.state, row.cause) for row in board.snapshot().services[0].rows}
        assert states["web3"] == ("leaking", "arp-mismatch")
        assert "leaking" not in (states["web1"][0], states["web2"][0])
        farm.world.claim(VIP, WEB1, "gratuitous", by=STRANGER)
        assert board.snapshot().services[0].rows[0].cause != "arp-announce"
        board.refresh()
        service = board.snapshot().services[0]
        assert (service.cause, STRANGER in service.message, WEB1 in service.message) == ("arp-mismatch", True, True)
    finally:
        ear.close()
