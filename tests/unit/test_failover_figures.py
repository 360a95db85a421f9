"""The figures of `make failover`, from what clients and watchers saw."""

from __future__ import annotations

import pytest

from tests.failover.figures import Connection, Records, Transfer, longest, moved, seen, two_owners
from tests.failover.table import judged

STEADY = tuple(Connection(at / 50, 0.01) for at in range(500))
"""Ten seconds, all well."""
GOING = Transfer(tuple(at / 10 for at in range(100)))


def at(*bad: tuple[float, float, float | None]) -> tuple[Connection, ...]:
    """The same where connections from one moment to another took so long, or (None) got no answer."""
    return tuple(
        next(
            (Connection(one.began, took, "" if took else "no answer") for a, b, took in bad if a <= one.began < b), one
        )
        for one in STEADY
    )


@pytest.mark.parametrize(
    ("new", "seconds"),
    [
        (STEADY, 0.0),
        (at((4.0, 4.3, 1.01)), 0.3),
        (at((4.0, 4.3, 1.01), (6.0, 7.0, None)), 1.0),
        (at((8.0, 11.0, None)), 1.98),
        ((), 0.0),
    ],
)
def test_the_outage_is_the_longest_time_without_an_answer_at_once(new: tuple[Connection, ...], seconds: float) -> None:
    assert longest(new) == pytest.approx(seconds)


def test_a_time_is_told_by_itself() -> None:
    records = Records(at((4.0, 4.3, 1.01), (7.0, 7.1, None)), (GOING,) * 20)
    before, after = seen(records, 3.0, 6.0), seen(records, 6.0, 10.0)
    assert (before.slow, before.lost, before.kept, before.of, before.served) == (15, 0, 20, 20, True)
    assert (after.slow, after.lost, after.kept, after.why) == (0, 5, 20, ("no answer",))
    assert judged(before) == judged(after) == []
    assert judged(after, lost=0) == ["5 new connections were lost, more than 0"]


def test_what_broke_earlier_is_no_loss_of_a_later_event() -> None:
    broken = Transfer(GOING.heard[:40], 4.1, "Connection reset by peer")
    silent = Transfer(GOING.heard[:70])
    records = Records(STEADY, (GOING, broken, silent))
    first, second = seen(records, 3.0, 6.0), seen(records, 6.0, 9.5)
    assert (first.kept, first.of, first.why) == (2, 3, ("Connection reset by peer",))
    assert (second.kept, second.of) == (1, 2), "one that hears nothing any more is lost, too"
    assert judged(first) == ["1 of 3 transfers broke"]


def test_a_black_hole_is_one_though_nothing_was_lost_before_it() -> None:
    hole = seen(Records(at((8.0, 11.0, None)), (GOING,)), 3.0, 10.0)
    assert not hole.served
    assert "new connections are not answered any more" in judged(hole, lost=100)


def test_two_owners_are_counted_in_tenths_of_a_second() -> None:
    owners = [(at / 10 + 0.01, "a") for at in range(50)] + [(at / 10 + 0.02, "b") for at in range(20, 35)]
    assert two_owners(owners) == 1.5
    records = Records(STEADY, (GOING,), tuple((when, mac, False) for when, mac in owners))
    assert judged(seen(records, 0.0, 9.0), two=1.0) == [
        "two directors answered for the VIP for 1.5 s, more than 1 s"
    ]  # fmt: skip


def test_when_a_director_got_the_vip_and_lost_it() -> None:
    records = Records((), (), held={"lb2": ((2.0, True), (3.0, False), (5.5, True))})
    assert moved(records, "lb2", 4.0) == 1.5
    assert moved(records, "lb2", 2.5, came=False) == 0.5
    assert moved(records, "lb2", 6.0) is None
    assert moved(records, "director", 0.0) is None


def test_records_are_read_from_what_the_programs_print() -> None:
    load = {
        "new": [[1.0, 0.2, ""], [1.1, None, "no answer"]],
        "transfers": [{"heard": [1.0], "ended": [2.0, "closed"]}],
    }
    records = Records.read(load, {"heard": [[1.0, "a", True]]}, {"lb2": {"began": False, "news": [[1.5, True]]}})
    assert [one.good for one in records.new] == [True, False]
    assert records.transfers[0] == Transfer((1.0,), 2.0, "closed")
    assert records.held == {"lb2": ((1.5, True),)}
