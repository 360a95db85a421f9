"""What clients notice when a deployment in force goes from netlink to keepalived, under load: with one director, and
with a second one that joins at the same time."""

from __future__ import annotations

import msgspec

from backends.lab import network, recipe
from dsrwizard.core.intake.deployment_file import dumps, loads
from dsrwizard.core.model.deployment import Deployment
from tests.failover.figures import moved
from tests.failover.pair import FIRST, SECOND
from tests.failover.table import ByHand, Table, judged
from tests.failover.world import RATE, Watched, put
from tests.lab.harness import VIP, Lab

FILE = "/lab/over.toml"
BRIEFLY, LISTENING = 3.0, 12.0
"""Seconds that new connections may wait, a noisy machine included: a keepalived alone takes the VIP back at once, one
that has another to hear listens for 5 s first. Connections of the listening may count as lost: they ask again after 1,
3 and 7 s, and are given 4 s."""


class Alone:
    """The lab's first director, which serves by netlink."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.netlink = loads(network.deployment(recipe.IDENTITY_FILE))

    def settled(self) -> None:
        """Sets it up anew."""
        self.apply(self.netlink)
        self.lab.run(network.CLIENT.name, "ip neigh flush all")

    def apply(self, deployment: Deployment) -> None:
        put(self.lab, FIRST.name, {FILE: dumps(deployment)})
        self.lab.dsrwizard("apply", FILE, "--yes").ok()

    def torn_down(self) -> None:
        self.lab.dsrwizard("teardown", FILE, "--yes", "--drain", "0").ok()
        for host in (FIRST, SECOND):
            self.lab.wait(host.name, f"! ip -o addr show to {VIP} | grep -q . && ! ipvsadm -Sn | grep -q {VIP}")


def lone(alone: Alone, table: Table) -> None:
    """One director, whose table becomes keepalived's."""
    director = msgspec.structs.replace(alone.netlink.director, engine="keepalived")
    wanted = msgspec.structs.replace(alone.netlink, director=director)
    _over(alone, table, "netlink becomes keepalived, one director", wanted, BRIEFLY, 10)


def joined(alone: Alone, table: Table) -> None:
    """A second director joins in the same apply."""
    wanted = loads(network.deployment(recipe.IDENTITY_FILE, network.PAIR))
    _over(alone, table, "netlink becomes keepalived, a second joins", wanted, LISTENING, round(LISTENING * RATE))


def _over(alone: Alone, table: Table, name: str, wanted: Deployment, gap: float, lost: int) -> None:
    """No established connection may break; new ones may have to ask again."""
    with Watched(alone.lab, (FIRST.name,)) as watched:
        watched.event(FIRST.name, "true", 0)
        alone.apply(wanted)
        watched.look_on(12)
        records, (seen,) = watched.records()
    off, on = (moved(records, FIRST.name, watched.marks[0], came=came) for came in (False, True))
    alone.torn_down()
    table.row(name, seen, ByHand(), judged(seen, outage=gap, lost=lost, two=1.0))
    gone = "" if off is None or on is None else f"{on - off:.2f} s"
    table.say(name, f"its VIP was off for {gone or 'ever'}", [] if gone else ["it has no VIP any more"])


TRIALS = {"over-alone": lone, "over-joined": joined}
