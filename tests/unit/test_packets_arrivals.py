"""The beginning of a client's connection is read from a packet as it comes in, and nothing else is taken for one."""

from __future__ import annotations

import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.packets import ip
from backends.packets.arrivals import arrival, listen, only_openings

VIP, VIP6 = "10.0.0.10", "fd00::10"
VIPS = {socket.inet_aton(VIP): VIP, socket.inet_pton(socket.AF_INET6, VIP6): VIP6}
MAC = bytes.fromhex("020000000001")
SYN, ACK, RST = 0x02, 0x10, 0x04


def packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


def packet(source: str = "203.0.113.10", vip: str = VIP, flags: int = SYN, protocol: int = ip.TCP) -> bytes:
    tcp = struct.pack("!HHIIBBHHH", 5001, 80, 7, 0, 5 << 4, flags, 1000, 0, 0)
    return ip.build(packed(source), packed(vip), protocol, tcp)


@pytest.mark.parametrize(("source", "vip"), [("203.0.113.10", VIP), ("fd00:203::10", VIP6)])
def test_a_syn_to_a_vip_is_told_with_where_it_came_from(source: str, vip: str) -> None:
    found = arrival(6 if ":" in vip else 4, packet(source, vip), "eth1", MAC, VIPS)
    assert found is not None
    assert (found.client, found.client_port, found.vip, found.port) == (source, 5001, vip, 80)
    assert (found.interface, found.source) == ("eth1", "02:00:00:00:00:01")


def test_ip_options_before_the_syn_are_passed_over() -> None:
    plain = packet()
    longer = bytes([0x46]) + plain[1:20] + b"\x01" * 4 + plain[20:]
    found = arrival(4, longer, "eth0", MAC, VIPS)
    assert found is not None
    assert found.client_port == 5001


@pytest.mark.parametrize(
    "data",
    [
        packet(flags=SYN | ACK), packet(flags=ACK), packet(flags=RST), packet(vip="10.0.0.11"), packet(protocol=17),
        packet()[:30], packet()[:12], b"", packet()[:6] + b"\x00\x10" + packet()[8:],
    ],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_first_packet_to_a_vip_is_left_out(data: bytes) -> None:
    assert arrival(4, data, "eth0", MAC, VIPS) is None


@given(data=st.binary(max_size=200), version=st.sampled_from([4, 6]))
def test_no_packet_breaks_it(data: bytes, version: int) -> None:
    arrival(version, data, "eth0", MAC, VIPS)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("count", [1, 200, 500])
def test_every_jump_of_the_filter_stays_within_it(version: int, count: int) -> None:
    vips = [struct.pack(">I", 0x0A000000 + number) for number in range(count)]
    program = only_openings(version, vips)
    lines = list(struct.iter_unpack("HBBI", program))
    for at, (code, yes, no, _) in enumerate(lines):
        if code == 0x15:
            assert at + 1 + max(yes, no) < len(lines)
    assert lines[-1][0] == 0x06
    assert lines[-1][3] > 0


def test_what_cannot_be_listened_for_is_a_problem_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object, **named: object) -> socket.socket:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket, "socket", refuse)
    told = listen("eth0", [VIP, VIP6]).close()
    assert told.seen == ()
    assert "CAP_NET_RAW" in told.problem
