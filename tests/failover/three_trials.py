"""What happens to three active directors, each event under load."""

from __future__ import annotations

from backends.lab import network
from dsrwizard.core.model.bird import sign_of
from tests.failover.table import ByHand, Table, judged
from tests.failover.three import DIRECTORS, NEXT_HOPS, OF_THIS_HOST, Three
from tests.failover.world import Watched, cable, uncut

THIRD = DIRECTORS[-1].name
BY_HAND = ByHand("-", "0", "60 of 60")


def power_cut(three: Three, table: Table) -> None:
    """One of the three is gone, and comes back."""
    with Watched(three.lab, ()) as watched:
        watched.event(THIRD, cable(THIRD, "nomaster"), 0)
        gone = _route(three, 2)
        watched.look_on(4)
        watched.event(THIRD, uncut(THIRD), 0)
        there = _route(three, 3)
        watched.look_on(4)
        _, (cut, back) = watched.records()
    table.row("three directors: one's power is cut", cut, BY_HAND, judged(cut))
    table.row("  it comes back", back, BY_HAND, judged(back))
    table.say(
        "three directors",
        f"the router had no route over it after {gone - watched.marks[0]:.2f} s (by hand 0.21 s), and one again after "
        f"{there - watched.marks[1]:.1f} s",
    )


def kill(three: Three, table: Table) -> None:
    """kill -9 of its BIRD: the router takes it out, though the director itself is well; then BIRD starts again."""
    with Watched(three.lab, ()) as watched:
        watched.event(THIRD, f"{OF_THIS_HOST} -9", 5)
        watched.event(THIRD, "bird", 0)
        _route(three, 3)
        watched.look_on(4)
        _, (killed, back) = watched.records()
    table.row("three directors: kill -9 of one's bird", killed, BY_HAND, judged(killed))
    table.row("  it is started again", back, ByHand(), judged(back))


def leave(three: Three, table: Table) -> None:
    """One says that it is not well any more, as its guard does: the interface that is the sign of it goes down."""
    sign = sign_of(three.deployment.name)
    with Watched(three.lab, ()) as watched:
        watched.event(THIRD, f"ip link set {sign} down", 0)
        _route(three, 2)
        watched.look_on(3)
        watched.event(THIRD, f"ip link set {sign} up", 0)
        _route(three, 3)
        watched.look_on(3)
        _, (leaving, back) = watched.records()
    table.row("three directors: one withdraws", leaving, ByHand(), judged(leaving))
    table.row("  it announces again", back, ByHand(), judged(back))


def _route(three: Three, count: int) -> float:
    """When the router spreads over so many."""
    script = f'until [ "$({NEXT_HOPS})" = {count} ]; do sleep 0.02; done; cat /proc/uptime'
    return float(three.lab.run(network.ROUTER.name, script).ok().stdout.split()[0])


TRIALS = {"three-power-cut": power_cut, "three-kill": kill, "three-leave": leave}
