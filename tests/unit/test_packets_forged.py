"""Answers that somebody forges: who has not seen the question proves nothing, and who guesses is noticed."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from backends.packets import ethernet, ip, probe, transport
from backends.packets import link as links
from backends.packets.checksum import checksum, transport_checksum
from backends.packets.shots import GUESSES, Shot, Shots
from dsrwizard.core.model.answers import Connected, Probed
from dsrwizard.core.model.checks import Report
from dsrwizard.core.ports import ProbeTarget
from tests.unit.diagnosed import Altered, Farm, faults, find, service_down
from tests.unit.test_packets_frames import DIRECTOR_MAC, SERVER_MAC, frame, packed

VIP, RIP, OWN = packed("10.0.0.10"), packed("10.0.0.101"), packed("10.0.0.2")
ETH0 = links.EthernetLink("eth0", DIRECTOR_MAC, (links.LinkAddress(OWN, 24),))
Expects = Literal["any", "dns", "echo"]


def target(expects: Expects = "any", port: int = 123, protocol: Literal["tcp", "udp"] = "udp") -> ProbeTarget:
    return ProbeTarget(
        rip="10.0.0.101", vip="10.0.0.10", port=port, protocol=protocol, expects=expects, mac="02:00:0a:00:00:65"
    )


def aimed(*targets: ProbeTarget) -> list[Shot]:
    """The probes of one round, as they would leave."""
    shots = probe._Round("eth0", targets, 1.0, 0)._aim(ETH0)
    for shot in shots:
        shot.sent_at = 100.0
    return shots


def carried(shot: Shot) -> bytes:
    packet = ip.parse(frame(shot.opening(DIRECTOR_MAC)))
    assert packet is not None
    datagram = transport.parse_udp(packet)
    assert datagram is not None
    return datagram.payload


def udp(payload: bytes, to: int, port: int = 123) -> ethernet.Frame:
    packet = transport.datagram(VIP, OWN, port, to, payload)
    return frame(ethernet.build(DIRECTOR_MAC, SERVER_MAC, ethernet.IPV4, packet))


def closed(to: int, port: int = 123) -> ethernet.Frame:
    """An ICMP error of the server about a datagram that left port `to`."""
    about = transport.datagram(OWN, VIP, to, port, b"dsrwizard")[:28]
    message = bytes.fromhex("0303 0000 00000000") + about
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    return frame(ethernet.build(DIRECTOR_MAC, SERVER_MAC, ethernet.IPV4, ip.build(VIP, OWN, ip.ICMP, message)))


def syn_ack(to: int, acknowledged: int) -> ethernet.Frame:
    head = transport._tcp(VIP, OWN, 80, to, 77, flags=transport.SYN | transport.ACK)
    segment = bytearray(head[20:])
    segment[8:12] = acknowledged.to_bytes(4, "big")
    segment[16:18] = b"\0\0"
    right = transport_checksum(VIP, OWN, ip.TCP, bytes(segment)).to_bytes(2, "big")
    segment[16:18] = right
    return frame(ethernet.build(DIRECTOR_MAC, SERVER_MAC, ethernet.IPV4, ip.build(VIP, OWN, ip.TCP, bytes(segment))))


# -- what cannot be known beforehand


def test_every_round_has_ports_numbers_and_tokens_of_its_own() -> None:
    rounds = [aimed(target("echo", 7), target("dns", 53), target(), target(protocol="tcp", port=80)) for _ in range(40)]
    ports = [shot.source_port for shots in rounds for shot in shots]
    assert all(32768 <= port < 65536 for port in ports)
    assert len(set(ports)) > 150
    assert max(ports) > 61000
    assert len({shot.sequence for shots in rounds for shot in shots}) > 150
    assert len({carried(echo) for echo, *_ in rounds}) == 40
    assert len({carried(dns)[:2] for _, dns, *_ in rounds}) > 35
    assert all(len({shot.source_port for shot in shots}) == 4 for shots in rounds)


def test_an_echo_of_an_earlier_question_is_no_echo() -> None:
    (first,), (second,) = aimed(target("echo", 7)), aimed(target("echo", 7))
    table = Shots(DIRECTOR_MAC, [second])
    table.take(udp(carried(first), second.source_port, 7), 100.1)
    assert table.result(second).signature == "wrong-reply"
    table.take(udp(carried(second), second.source_port, 7), 100.2)
    assert table.result(second).good


def test_only_tftp_answers_from_another_port() -> None:
    for port, signature in ((69, "reply"), (123, "silence")):
        (shot,) = aimed(target(port=port))
        table = Shots(DIRECTOR_MAC, [shot])
        table.take(udp(b"data", shot.source_port, 50000), 100.1)
        assert table.result(shot).signature == signature


# -- who guesses


@pytest.mark.parametrize("forged", [lambda to: udp(b"x", to), closed])
def test_no_answer_is_believed_among_guesses_and_a_late_one_is_no_guess(forged: object) -> None:
    assert callable(forged)
    for number, believed in ((3, True), (GUESSES + 1, False)):
        (shot,) = aimed(target())
        table = Shots(DIRECTOR_MAC, [shot])
        for port in (one for one in range(20000, 20000 + number)):
            table.take(forged(port), 100.0)
        assert table.result(shot).signature == "silence"
        table.take(forged(shot.source_port), 100.1)
        found = table.result(shot)
        assert (found.signature != "unknown") is believed
        assert found.strays == number
        assert ("someone is guessing" in found.problem) is not believed


def test_a_wrong_number_at_the_right_port_is_a_guess_too() -> None:
    (shot,) = aimed(target("dns", 53))
    table = Shots(DIRECTOR_MAC, [shot])
    right = carried(shot)
    for number in range(GUESSES + 1):
        table.take(
            udp(((shot.sequence + 1 + number) & 0xFFFF).to_bytes(2, "big") + right[2:], shot.source_port, 53), 100.0
        )
    table.take(udp(right[:2] + b"\x80\x05" + right[4:], shot.source_port, 53), 100.1)
    assert table.result(shot).signature == "unknown"


def test_guesses_at_one_service_spoil_no_other() -> None:
    one, other = aimed(target(), target(port=514))
    table = Shots(DIRECTOR_MAC, [one, other])
    for port in range(20000, 20100):
        table.take(udp(b"x", port), 100.0)
    table.take(udp(b"x", other.source_port, 514), 100.1)
    assert table.result(other).good
    assert table.result(other).strays == 0


def test_forged_acknowledgements_prove_nothing_and_are_counted() -> None:
    (shot,) = aimed(target(port=80, protocol="tcp"))
    table = Shots(DIRECTOR_MAC, [shot])
    for number in range(2000):
        at = shot.source_port if number % 2 else 20000 + number
        table.take(syn_ack(at, (shot.sequence + 2 + number) & 0xFFFFFFFF), 100.0)
    assert (table.result(shot).signature, table.result(shot).strays) == ("silence", 2000)
    table.take(syn_ack(shot.source_port, (shot.sequence + 1) & 0xFFFFFFFF), 100.1)
    assert table.result(shot).good  # its number proves it, whoever else sends what


def test_made_up_senders_do_not_fill_the_memory() -> None:
    (shot,) = aimed(target())
    table = Shots(DIRECTOR_MAC, [shot])
    for number in range(20_000):
        mac = b"\x02\x00" + number.to_bytes(4, "big")
        table.take(
            frame(ethernet.build(DIRECTOR_MAC, mac, ethernet.IPV4, transport.datagram(VIP, OWN, 123, 9, b"x"))), 1.0
        )
    assert len(table._strays) <= 10_000


# -- what verify makes of it


def verified(farm: Farm, strays: int, *, silent: bool) -> Report:
    """web2's port is silent to a TCP connect, as where a switch has learnt its MAC at another port."""

    def probed(one: Probed) -> Probed:
        if one.rip != farm.rip("web2"):
            return one
        bare = msgspec.structs.replace(one, signature="silence", answered_by="") if silent else one
        return msgspec.structs.replace(bare, strays=strays)

    def connect(one: Connected) -> Connected:
        return msgspec.structs.replace(one, result="silent") if one.address == farm.rip("web2") else one

    return farm.verify(wire=Altered(farm, probe=probed, connect=connect))


def test_a_service_that_is_down_is_no_firewall_besides() -> None:
    farm = Farm()
    service_down(farm, "web2")
    report = verified(farm, 80_000, silent=False)
    assert faults(report) == [("service-down", "web2")]
    assert find(report, "server.port", "web2").consequence_of == "service-down"


def test_silence_where_somebody_uses_the_mac_is_not_put_down_to_a_firewall() -> None:
    report = verified(Farm(), 80_000, silent=True)
    assert (report.verdict, faults(report)) == ("unknown", [])
    for check in ("vip.probe", "server.port"):
        seen = find(report, check, "web2")
        assert seen.outcome == "unknown"
        assert "80000 answers in its name" in seen.evidence
        assert "On the switch" in seen.fix
    assert ("spoof-filter", "web2") in faults(verified(Farm(), 2, silent=True))


def test_an_answer_among_guesses_is_unknown_and_says_what_to_look_for() -> None:
    farm = Farm()

    def probed(one: Probed) -> Probed:
        if one.rip != farm.rip("web2"):
            return one
        return msgspec.structs.replace(one, signature="unknown", problem="40 answers match no probe.", strays=40)

    check = find(farm.verify(wire=Altered(farm, probe=probed)), "vip.probe", "web2")
    assert (check.outcome, check.evidence) == ("unknown", "40 answers match no probe.")
    assert "On the switch" in check.fix
