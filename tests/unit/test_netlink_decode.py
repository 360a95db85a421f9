"""IPVS dumps decoded: what the kernel sent once, what it may send, and bytes that nobody should send."""

from __future__ import annotations

import sys
from contextlib import suppress
from socket import AF_INET, AF_INET6, htons, inet_pton
from struct import pack, pack_into

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.netlink.attributes import attribute
from backends.netlink.decode import DestinationDump, KernelError, MessageLayout, Row, ServiceDump
from backends.netlink.ipvs import Ipvs
from dsrwizard.core.model.changes import ServiceKey, ServiceState
from dsrwizard.core.model.errors import AnswerUnreadable

IPVS = 0x1C
DONE = pack("=IHHIIi", 20, 3, 2, 7, 0, 0)

# A destination as Linux 6.1 sent it (10.0.0.101:80, direct, weight 3, thresholds 100 and 50), the padding attributes
# of a 64-bit User-Mode Linux included. `ipvsadm -Sn` and `-Ln --thresholds` said the same.
GOLDEN_DESTINATION = bytes.fromhex(
    "900100001c00020003000000cd020000050100007c010200140001000a000065000000000000000000000000060002000050000008000300"
    "03000000080004000300000005000d000000000006000e000000000006000f00000000000800050064000000080006003200000008000700"
    "000000000800080000000000080009000000000006000b000200000064000a0008000100000000000800020000000000080003000000"
    "000004000b000c000400000000000000000004000b000c000500000000000000000008000600000000000800070000000000080008000000"
    "0000080009000000000008000a0000000000a0000c000c000100000000000000000004000b000c000200000000000000000004000b000c00"
    "0300000000000000000004000b000c000400000000000000000004000b000c000500000000000000000004000b000c000600000000000000"
    "000004000b000c000700000000000000000004000b000c000800000000000000000004000b000c000900000000000000000004000b000c00"
    "0a000000000000000000"
)
# A service as the same kernel sent it: [fd00::10]:80 rr persistent 60 mask 64.
GOLDEN_SERVICE = bytes.fromhex(
    "680100001c00020002000000cd0200000101000054010100060001000a000000060002000600000014000300fd0000000000000000000000"
    "00000010060004000050000007000600727200000c00070003000000ffffffff080008003c000000080009004000000060000a0008000100"
    "00000000080002000000000008000300000000000c000400000000000000000004000b000c00050000000000000000000800060000000000"
    "08000700000000000800080000000000080009000000000008000a0000000000a0000c000c000100000000000000000004000b000c000200"
    "000000000000000004000b000c000300000000000000000004000b000c000400000000000000000004000b000c0005000000000000000000"
    "04000b000c000600000000000000000004000b000c000700000000000000000004000b000c000800000000000000000004000b000c000900"
    "000000000000000004000b000c000a000000000000000000"
)
COUNTS = (4_000_000_000_000, 3, 0, 1 << 40, 0)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind, b"".join(parts))


def message(part: bytes) -> bytes:
    return pack("=IHHIIBBH", 20 + len(part), IPVS, 2, 7, 0, 5, 1, 0) + part


def destination(
    address: str = "10.0.0.101",
    *,
    port: int = 80,
    weight: int = 1,
    counts: tuple[int, ...] = COUNTS,
    padding: bool = False,
    without: frozenset[int] = frozenset(),
    method: int = 3,
) -> bytes:
    """A destination's message in the kernel's order of attributes (ip_vs_genl_fill_dest), less those left out."""
    family = AF_INET6 if ":" in address else AF_INET
    pad = attribute(11, b"") if padding else b""
    fields = [
        (1, inet_pton(family, address).ljust(16, b"\0")), (2, pack(">H", port)), (3, pack("=I", method)),
        (4, pack("=i", weight)), (13, b"\0"), (14, pack(">H", 0)), (15, pack("=H", 0)), (5, pack("=I", 9)),
        (6, pack("=I", 8)), (7, pack("=I", 7)), (8, pack("=I", 6)), (9, pack("=I", 5)), (11, pack("=H", family)),
    ]  # fmt: skip
    parts = [attribute(kind, value) for kind, value in fields if kind not in without]
    if 10 not in without:
        narrow = [
            attribute(n, pack("=I", count & 0xFFFFFFFF) if n < 4 else pack("=Q", count))
            for n, count in enumerate(counts, 1)
        ]
        parts.append(nested(10, *narrow))
    if 12 not in without:
        parts.append(nested(12, *(pad + attribute(n, pack("=Q", count)) for n, count in enumerate(counts, 1))))
    return message(nested(2, *parts))


def rows(*buffers: bytes, layouts: list[MessageLayout] | None = None, family: int = AF_INET) -> list[Row]:
    dump = DestinationDump(family, [] if layouts is None else layouts)
    ended = [dump.feed(buffer) for buffer in buffers]
    assert ended[-1], "the dump has not ended"
    assert not any(ended[:-1])
    return dump.rows


def test_the_kernels_own_destination() -> None:
    assert rows(GOLDEN_DESTINATION, DONE) == [
        (bytes([10, 0, 0, 101]) + bytes(12), htons(80), 3, 3, 0, 0, 0, 100, 50, 0, 0, 0, AF_INET, 0, 0, 0, 0, 0)
    ]


def test_the_kernels_own_service() -> None:
    dump = ServiceDump()
    assert not dump.feed(GOLDEN_SERVICE)
    assert dump.feed(DONE)
    assert [(raw.key, raw.state) for raw in dump.services] == [
        (ServiceKey("fd00::10", "tcp", 80), ServiceState("rr", persistence=60, netmask=64))
    ]


@pytest.mark.parametrize("padding", [False, True])
def test_the_quick_way_reads_what_the_slow_way_reads(padding: bool) -> None:
    made = [
        destination(f"10.0.{n}.1", port=n + 1, weight=n, counts=(n, n << 33, n, n << 50, 1), padding=padding)
        for n in range(50)
    ]
    layouts: list[MessageLayout] = []
    slow = [rows(one, DONE)[0] for one in made]
    assert rows(made[0], DONE, layouts=layouts) == slow[:1]
    (layout,) = layouts
    taken: list[Row] = []
    assert layout.take(b"".join(made), taken) == sum(map(len, made))
    assert taken == slow
    assert rows(b"".join(made) + DONE, layouts=layouts) == slow


@pytest.mark.parametrize("field", [4, 9, 11, 13, 12])
def test_one_message_that_differs_in_a_buffer_is_still_read(field: int) -> None:
    """A layout learned from one message is never forced on another."""
    layouts: list[MessageLayout] = []
    rows(destination(), DONE, layouts=layouts)
    odd = destination("10.0.0.102", without=frozenset({field}), counts=(1, 2, 3, 4, 5))
    got = rows(destination() + odd + destination("10.0.0.103"), DONE, layouts=layouts)
    assert [row[0][:4] for row in got] == [bytes([10, 0, 0, n]) for n in (101, 102, 103)]
    assert got[1][-5:] == (1, 2, 3, 4, 5)  # without 64-bit counters the narrow ones are read


def test_a_message_of_the_same_length_with_another_order_is_not_taken_by_the_layout() -> None:
    layouts: list[MessageLayout] = []
    plain = destination()
    rows(plain, DONE, layouts=layouts)
    swapped = bytearray(plain)
    at = plain.index(pack("=HH", 8, 7))  # active connections become inactive ones and the other way round
    pack_into("=HH", swapped, at, 8, 8)
    pack_into("=HH", swapped, at + 8, 8, 7)
    (row,) = rows(bytes(swapped), DONE, layouts=layouts)
    assert (row[9], row[10]) == (6, 7)
    assert rows(plain, DONE, layouts=layouts)[0][9:11] == (7, 6)


def test_an_old_kernel_without_family_tunnel_and_wide_counters() -> None:
    (row,) = rows(destination(without=frozenset({11, 12, 13, 14, 15})), DONE)
    assert row[12] == AF_INET
    assert row[-5:] == (COUNTS[0] & 0xFFFFFFFF, *COUNTS[1:])


def test_ipv6_destinations_use_the_same_layout() -> None:
    layouts: list[MessageLayout] = []
    got = rows(destination() + destination("fd00::101"), DONE, layouts=layouts)
    assert len(layouts) == 1
    assert [row[12] for row in got] == [AF_INET, AF_INET6]
    assert got[1][0] == inet_pton(AF_INET6, "fd00::101")


def test_services_nobody_can_name_are_told_apart() -> None:
    fwmark = [attribute(1, pack("=H", AF_INET)), attribute(5, pack("=I", 7)), attribute(6, b"rr\0")]
    sctp = [
        attribute(1, pack("=H", AF_INET)), attribute(2, pack("=H", 132)), attribute(3, bytes([10, 0, 0, 10])),
        attribute(4, pack(">H", 5000)), attribute(6, b"wlc\0"),
    ]  # fmt: skip
    dump = ServiceDump()
    dump.feed(message(nested(1, *fwmark)) + message(nested(1, *sctp)) + DONE)
    assert [(raw.key, raw.label) for raw in dump.services] == [
        (None, "firewall mark 7"),
        (None, "sctp 10.0.0.10 port 5000"),
    ]


def test_persistence_is_off_without_its_flag_and_hashed_is_never_stored() -> None:
    parts = [
        attribute(1, pack("=H", AF_INET)), attribute(2, pack("=H", 17)), attribute(3, bytes([10, 0, 0, 10])),
        attribute(4, pack(">H", 53)), attribute(6, b"sh\0"), attribute(7, pack("=II", 0x2 | 0x4, 0xFFFFFFFF)),
        attribute(8, pack("=I", 360)), attribute(9, bytes([255, 255, 255, 0])), attribute(11, b"sip\0"),
    ]  # fmt: skip
    dump = ServiceDump()
    dump.feed(message(nested(1, *parts)) + DONE)
    assert dump.services[0].state == ServiceState("sh", 0, 0x4, 0xFFFFFF00, "sip")


def test_a_refusal_of_the_kernel_is_its_errno() -> None:
    refusal = pack("=IHHIIi", 36, 2, 0, 7, 0, -1) + bytes(16)
    with pytest.raises(KernelError) as raised:
        DestinationDump(AF_INET, []).feed(refusal)
    assert raised.value.errno == 1


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_rows_or_one_clear_error(data: bytes, framed: bool) -> None:
    buffer = message(nested(2, data)) if framed else data
    for dump in (DestinationDump(AF_INET, []), ServiceDump()):
        with suppress(AnswerUnreadable, KernelError):
            assert dump.feed(buffer) in (True, False)


@given(st.data())
def test_a_damaged_or_cut_dump_never_crashes(data: st.DataObject) -> None:
    """Damage the sound bytes in a few places, learn from sound ones first or not, cut the end."""
    whole = bytearray(destination() + GOLDEN_SERVICE + destination("fd00::1") + DONE)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(0, len(whole)))])
    layouts: list[MessageLayout] = []
    if data.draw(st.booleans()):
        rows(destination(), DONE, layouts=layouts)
    for dump in (DestinationDump(AF_INET, layouts), ServiceDump()):
        try:
            dump.feed(damaged)
        except (AnswerUnreadable, KernelError):
            continue
        if isinstance(dump, DestinationDump):
            assert all(len(row) == 18 for row in dump.rows)


def test_numbers_are_in_this_machines_order() -> None:
    (row,) = rows(destination(weight=0x01020304), DONE)
    assert row[3] == 0x01020304
    assert row[1] == int.from_bytes(pack(">H", 80), sys.byteorder)


@pytest.mark.parametrize("weight", [0, 65535, 0x7FFFFFFF, -1])
def test_a_weight_is_the_signed_number_that_the_kernel_keeps(weight: int) -> None:
    """`atomic_t weight` (ip_vs.h), sent as a u32: -1 is not shown as four thousand million."""
    assert Ipvs()._destination(rows(destination(weight=weight), DONE)[0]).state.weight == weight
