"""One SYN per target, from nowhere, framed to the real server's MAC; what cannot be sent says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Self

import pytest

from backends.packets import ethernet, ip, offlink, transport
from backends.packets.addresses import unpack
from backends.packets.ethernet import mac_bytes, mac_text
from backends.packets.link import EthernetLink, LinkAddress
from dsrwizard.core.model.answers import Owners, Sent
from dsrwizard.core.model.doc_addresses import NETWORK6, NETWORKS, sources
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.ports import ProbeTarget
from tests.unit.test_packets_frames import DIRECTOR_MAC, frame, packed

SENDERS = {4: "192.0.2.7", 6: "2001:db8::7"}
WEB1 = "02:00:0a:00:00:65"
OWNERS = {"10.0.0.101": WEB1, "fd00:10::101": WEB1}


class Wire:
    """An interface that takes frames, or refuses as a full queue or a missing capability does."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.full = 0
        self.error: OSError | None = None
        self.asked: list[str] = []

    def capture(self, interface: str, ethertype: int, program: bytes = b"", receive: bool = True) -> Wire:
        assert not receive, "nobody waits for an answer"
        return self

    def send(self, data: bytes) -> bool:
        if self.error is not None:
            raise self.error
        if self.full:
            self.full -= 1
            return False
        self.frames.append(data)
        return True

    def close(self) -> None:
        pass

    def resolve(self, interface: str, addresses: Sequence[str], deadline: float) -> Mapping[str, Owners]:
        self.asked += addresses
        return {one: Owners(address=one, macs=(OWNERS[one],) if one in OWNERS else ()) for one in addresses}

    def __enter__(self) -> Self:
        return self


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    made = Wire()
    link = EthernetLink(
        "eth0", DIRECTOR_MAC, (LinkAddress(packed("10.0.0.2"), 24), LinkAddress(packed("fd00:10::2"), 64))
    )
    monkeypatch.setattr(offlink, "look_up", lambda name: link)
    monkeypatch.setattr(offlink, "Capture", made.capture)
    monkeypatch.setattr(offlink, "resolve", made.resolve)
    return made


def target(rip: str = "10.0.0.101", vip: str = "10.0.0.10", port: int = 80, mac: str = "") -> ProbeTarget:
    return ProbeTarget(rip=rip, vip=vip, port=port, mac=mac)


def send(*targets: ProbeTarget, senders: Mapping[int, str] = SENDERS) -> list[Sent]:
    return offlink.offlink("eth0", targets, senders)


def test_one_syn_per_target_leaves_for_the_servers_mac_from_the_address_given(wire: Wire) -> None:
    found = send(target(), target("fd00:10::101", "fd00:10::10", 443))
    assert len(wire.frames) == 2
    for sent, data in zip(found, wire.frames, strict=True):
        seen = frame(data)
        packet = ip.parse(seen)
        assert packet is not None
        segment = transport.parse_tcp(packet)
        assert segment is not None
        assert (seen.destination, seen.source) == (mac_bytes(WEB1), DIRECTOR_MAC)
        assert (unpack(packet.source), unpack(packet.destination)) == (sent.source, sent.vip)
        assert (segment.source_port, segment.destination_port, segment.flags) == (
            sent.source_port, sent.port, transport.SYN,
        )  # fmt: skip
        assert (sent.problem, sent.mac) == ("", WEB1)
    assert [sent.source for sent in found] == [SENDERS[4], SENDERS[6]]
    assert [frame(data).ethertype for data in wire.frames] == [ethernet.IPV4, ethernet.IPV6]


def test_every_target_has_a_port_of_its_own_and_a_known_mac_is_not_asked_for(wire: Wire) -> None:
    found = send(*[target(mac=mac_text(DIRECTOR_MAC))] * 300)
    assert len({sent.source_port for sent in found}) == len(wire.frames) == 300
    assert wire.asked == []


def test_a_full_queue_is_waited_for_and_the_frame_goes_out_once(wire: Wire) -> None:
    wire.full = 3
    (sent,) = send(target())
    assert (sent.problem, len(wire.frames)) == ("", 1)


@pytest.mark.parametrize(
    ("one", "senders", "words"),
    [
        (target("10.0.0.77"), SENDERS, "No host answers for 10.0.0.77"),
        (target("web1"), SENDERS, "'web1' is not an IP address"),
        (target(vip="fd00:10::10"), SENDERS, "different address families"),
        (target(port=0), SENDERS, "Port 0"),
        (target(mac="ff:ff:ff:ff:ff:ff"), SENDERS, "not a machine's MAC"),
        (target("10.0.0.2"), SENDERS, "this machine itself"),
        (target(), {6: "2001:db8::7"}, "no source address"),
        (target(), {4: "10.0.0.9"}, "in the real servers' own network"),
        (target(), {4: "nowhere"}, "no source address"),
        (ProbeTarget(rip="10.0.0.101", vip="10.0.0.10", port=7, protocol="udp"), SENDERS, "datagram"),
    ],
)
def test_what_cannot_be_sent_says_why_and_keeps_nobody_else_back(
    wire: Wire, one: ProbeTarget, senders: Mapping[int, str], words: str
) -> None:
    sent, *_ = send(one, senders=senders)
    assert words in sent.problem
    assert wire.frames == []
    _, good = send(one, target("fd00:10::101", "fd00:10::10"), senders={**senders, 6: SENDERS[6]})
    assert good.problem == ""


def test_without_privilege_or_interface_every_target_says_so(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.error = OSError(100, "Network is down")
    assert "down or gone" in send(target())[0].problem

    def refuse(name: str) -> EthernetLink:
        raise LookError(f"This machine has no interface {name}.")

    monkeypatch.setattr(offlink, "look_up", refuse)
    assert [sent.problem for sent in send(target(), target())] == ["This machine has no interface eth0."] * 2


@pytest.mark.parametrize("number", [0, 1, 12345, 2**128 - 1])
def test_an_address_of_nowhere_is_for_documentation_and_not_one_of_ours(number: int) -> None:
    found = sources(number)
    assert any(found[4] in map(str, network.hosts()) for network in NETWORKS)
    assert int.from_bytes(packed(found[6])[:4], "big") == int(NETWORK6.network_address) >> 96
    other = sources(number, held=["192.0.2.200", "fe80::1"])
    assert other[4].startswith("198.51.100.")
    used: set[str] = set()
    for _ in range(200):
        fresh = set(sources(number, used=used).values())
        assert fresh.isdisjoint(used)
        used |= fresh
