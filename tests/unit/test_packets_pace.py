"""The pace of what goes out, on a clock of its own: never too fast, never idle, nothing held back that must go now."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import cast

import pytest

from backends.packets import loop
from backends.packets.capture import Capture


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
