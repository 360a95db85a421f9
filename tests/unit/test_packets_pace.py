"""The pace of what goes out, on a clock of its own: never too fast, never idle, nothing held back that must go now."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Iterator
from typing import cast

import msgspec
import pytest

from backends.packets import ethernet, loop, owners, probe
from backends.packets.capture import Capture
from backends.packets.link import EthernetLink, LinkAddress
from backends.packets.port import Wire
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.ports import ProbeTarget
from tests.unit.test_packets_frames import DIRECTOR_MAC, packed


class Clock:
    """Time passes only while the loop rests, and a little with each look at the clock."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 1e-6
        return self.now


class Interface:
    """Takes frames and notes when; `room` 0 is a queue that is full."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.taken: list[tuple[float, bytes]] = []
        self.room = 1 << 30

    def send(self, frame: bytes) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.taken.append((self.clock.now, frame))
        return True

    def close(self) -> None:
        pass


class Resting(loop.Loop):
    """The loop with nobody on the other side."""

    clock: Clock

    def _receive(self, wait: float) -> None:
        self.clock.now += wait


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(loop, "time", made)
    monkeypatch.setattr(Resting, "clock", made, raising=False)
    return made


def sending(clock: Clock, pace: float, frames: int) -> tuple[Resting, Interface, Capture]:
    interface = Interface(clock)
    made, capture = Resting(pace), cast("Capture", interface)
    for number in range(frames):
        made.send(capture, number.to_bytes(4, "big"))
    return made, interface, capture


def never() -> bool:
    return False


@pytest.mark.parametrize("pace", [1, 50, 200, 500, 2000, 5000])
def test_no_second_has_more_frames_than_the_pace_and_no_time_is_lost(clock: Clock, pace: int) -> None:
    made, interface, _ = sending(clock, pace, 5 * pace)
    made.run(never)
    times = [at for at, _ in interface.taken]
    assert [frame for _, frame in interface.taken] == [number.to_bytes(4, "big") for number in range(5 * pace)]
    for first, later in zip(times, times[pace:], strict=False):
        assert later - first > 1 - 1e-3
    assert times[-1] - times[0] < 5.2


def test_a_quiet_time_is_not_made_up_for_afterwards(clock: Clock) -> None:
    made, interface, capture = sending(clock, 100, 10)

    def much_more() -> None:
        for _ in range(200):
            made.send(capture, b"late")

    made.at(clock.now + 60, much_more)
    made.run(never)
    late = [at for at, frame in interface.taken if frame == b"late"]
    assert late[-1] - late[0] > 1.9


def test_without_a_pace_everything_goes_at_once(clock: Clock) -> None:
    made, interface, _ = sending(clock, 0, 10_000)
    made.run(never)
    assert interface.taken[-1][0] - interface.taken[0][0] < 0.1


def test_what_is_free_goes_out_at_once_and_repeats_go_before_the_rest(clock: Clock) -> None:
    made, interface, capture = sending(clock, 10, 30)
    began = clock.now

    def meanwhile() -> None:
        made.send(capture, b"again", turn="first")
        for _ in range(50):
            made.send(capture, b"reset", turn="free")

    made.at(began + 1, meanwhile)
    made.run(never)
    resets = [at for at, frame in interface.taken if frame == b"reset"]
    assert len(resets) == 50
    assert resets[-1] < began + 1.2
    (again,) = (at for at, frame in interface.taken if frame == b"again")
    assert again < began + 1.2


def test_the_end_waits_for_what_is_free_and_for_nothing_else(clock: Clock) -> None:
    made, interface, capture = sending(clock, 10, 30)
    ended: list[bool] = []

    def end() -> None:
        ended.append(True)
        made.send(capture, b"reset", turn="free")

    made.at(clock.now + 1, end)
    made.run(lambda: bool(ended))
    assert interface.taken[-1][1] == b"reset"
    assert len(interface.taken) < 15


@pytest.mark.parametrize("turn", ["last", "free"])
def test_an_interface_that_takes_nothing_any_more_is_an_error_and_no_endless_wait(
    clock: Clock, turn: loop.Turn
) -> None:
    made, interface, capture = sending(clock, 0, 0)
    interface.room = 3
    for _ in range(5):
        made.send(capture, b"frame", turn=turn)
    began = clock.now
    with pytest.raises(OSError, match="queue stays full") as caught:
        made.run(never)
    assert caught.value.errno == errno.ENOBUFS
    assert clock.now - began < 3


def test_an_interface_that_is_full_for_a_moment_gets_everything(clock: Clock) -> None:
    made, interface, _ = sending(clock, 0, 100)
    interface.room = 10

    def room() -> None:
        interface.room = 1000

    refill: Callable[[], None] = room
    made.at(clock.now + 1, refill)
    made.run(never)
    assert len(interface.taken) == 100


# The instruments at their pace


@pytest.fixture
def interface(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Interface]:
    """eth0 of a director, with nobody on the other side."""
    made = Interface(clock)
    link = EthernetLink("eth0", DIRECTOR_MAC, (LinkAddress(packed("10.0.0.2"), 16), LinkAddress(packed("fd00::2"), 64)))
    with socket.socket() as quiet:
        monkeypatch.setattr(made, "fileno", quiet.fileno, raising=False)
        for module in (owners, probe):
            monkeypatch.setattr(module, "look_up", lambda _name: link)
            monkeypatch.setattr(module, "Capture", lambda *_: made)
            monkeypatch.setattr(module, "Loop", Resting)
        monkeypatch.setattr(owners, "time", clock)
        yield made


@pytest.mark.parametrize(("count", "least"), [(1, 1.0), (100, 1.25), (400, 4.25)])
def test_an_audit_asks_for_each_address_twice_and_never_200_times_in_less_than_a_second(
    clock: Clock, interface: Interface, count: int, least: float
) -> None:
    began = clock.now
    addresses = [f"10.0.{number // 200}.{number % 200 + 3}" for number in range(count)]
    found = Wire().owners("eth0", addresses, 1.0)
    assert [one.problem for one in found.values()] == [""] * count
    times = [at for at, _ in interface.taken]
    assert len(times) == 2 * count
    assert len({frame for _, frame in interface.taken}) == count
    for first, later in zip(times, times[200:], strict=False):
        assert later - first > 1 - 1e-3
    assert clock.now - began == pytest.approx(least, abs=0.05)


def test_finding_the_rips_of_a_farm_does_not_wait_for_a_pace(interface: Interface) -> None:
    Wire().resolve("eth0", [f"10.0.0.{number}" for number in range(3, 103)], 1.0)
    first = [at for at, _ in interface.taken][:100]
    assert first[-1] - first[0] < 0.01


def test_the_same_target_is_probed_once_and_its_answer_given_to_each(interface: Interface) -> None:
    web, dns = Service(port=80), Service(protocol="udp", port=53)
    mac = "02:00:0a:00:00:65"
    one, other, third = (
        msgspec.structs.replace(ProbeTarget.of("10.0.0.101", vip, service), mac=mac)
        for vip, service in (("10.0.0.10", web), ("10.0.0.11", web), ("10.0.0.10", dns))
    )
    found = Wire().probe("eth0", [one, other, one, third, one], 1.0)
    assert [(answer.vip, answer.port, answer.signature) for answer in found] == [
        ("10.0.0.10", 80, "silence"), ("10.0.0.11", 80, "silence"), ("10.0.0.10", 80, "silence"),
        ("10.0.0.10", 53, "silence"), ("10.0.0.10", 80, "silence"),
    ]  # fmt: skip
    questions = {frame for _, frame in interface.taken if frame[47] != 4}
    assert len(questions) == 3


def test_a_paced_round_counts_each_deadline_from_the_sending_and_ends_soon_after_the_last(
    clock: Clock, interface: Interface
) -> None:
    began = clock.now
    targets = [
        ProbeTarget(rip="10.0.0.101", vip=f"10.0.{vip // 200 + 1}.{vip % 200}", port=80, mac="02:00:0a:00:00:65")
        for vip in range(1000)
    ]
    found = Wire().probe("eth0", targets, 1.0, 500)
    assert {answer.signature for answer in found} == {"silence"}
    questions = [at for at, frame in interface.taken if frame[47] == 2]
    resets = [at for at, frame in interface.taken if frame[47] == 4]
    assert (len(questions), len(resets)) == (2000, 1000)  # all are silent: each is asked twice and reset
    for first, later in zip(questions, questions[500:], strict=False):
        assert later - first > 1 - 1e-3
    # Repeats take their share of the pace from those not asked yet, and nobody is given up early.
    assert clock.now - began == pytest.approx(4.5, abs=0.4)
    last_asked = {frame: at for at, frame in interface.taken if frame[47] == 2}
    assert len(last_asked) == 1000


@pytest.mark.parametrize(("by", "at_once"), [("02000a000065", True), ("02000a000067", False)])
def test_a_mac_that_another_machine_names_is_probed_when_nobody_speaks_for_itself(
    clock: Clock, interface: Interface, monkeypatch: pytest.MonkeyPatch, by: str, at_once: bool
) -> None:
    named, rip, own = bytes.fromhex("02000a000065"), packed("10.0.0.101"), packed("10.0.0.2")
    body = bytes.fromhex("0001 0800 06 04 0002") + named + rip + DIRECTOR_MAC + own
    reply = ethernet.parse(DIRECTOR_MAC + bytes.fromhex(by) + b"\x08\x06" + body)
    assert reply is not None

    def receive(self: Resting, wait: float) -> None:
        clock.now += min(wait, 0.01)
        for _, heard in self._captures.values():
            heard(reply, clock.now)

    monkeypatch.setattr(Resting, "_receive", receive)
    began = clock.now
    (found,) = Wire().probe("eth0", [ProbeTarget(rip="10.0.0.101", vip="10.0.0.10", port=80)], 1.0)
    assert (found.mac, found.signature) == ("02:00:0a:00:00:65", "silence")
    asked = next(at for at, frame in interface.taken if frame[47:48] == b"\x02" and frame[12:14] == b"\x08\x00")
    assert (asked - began < 0.5) is at_once


def test_what_arrived_while_this_process_stood_still_counts(clock: Clock) -> None:
    """Both the answer and the end of the wait are due when it goes on: nobody was silent."""
    order: list[str] = []

    class Late(Resting):
        def _receive(self, wait: float) -> None:
            if clock.now > 1002.0 and "answer" not in order:
                order.append("answer")
            super()._receive(wait)
            if clock.now < 1001.0:
                clock.now += 3.0

    made = Late(100.0)
    made.at(1000.5, lambda: None)
    made.at(1001.0, lambda: order.append("silence"))
    made.run(lambda: bool(order))
    assert order[0] == "answer"
