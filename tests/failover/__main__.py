"""`make failover`: every event under load, in two guests side by side; prints the table. Exit status 0 where all holds
that must.

    python -m tests.failover [TRIAL…]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from backends.lab import network
from tests.failover import guard_trials, over_trials, pair_trials, three_trials
from tests.failover.over_trials import Alone
from tests.failover.pair import Pair
from tests.failover.table import Table
from tests.failover.three import COUNT, Three
from tests.lab.harness import Lab, LabDied

T = TypeVar("T")
W = TypeVar("W", Pair, Three, Alone)


def of_two(table: Table, chosen: list[str]) -> None:
    """The trials with keepalived."""
    if wanted := _wanted(pair_trials.TRIALS, chosen):
        with Lab(directors=network.PAIR) as lab:
            pair = Pair(lab)
            pair.set_up()
            _each(wanted, pair, table)


def of_three(table: Table, chosen: list[str]) -> None:
    """The trials with BIRD."""
    if wanted := _wanted(three_trials.TRIALS, chosen):
        with Lab(directors=COUNT) as lab:
            three = Three(lab)
            three.set_up()
            _each(wanted, three, table)


def of_guard(table: Table, chosen: list[str]) -> None:
    """The trials with a guard beside keepalived."""
    if wanted := _wanted(guard_trials.TRIALS, chosen):
        with Lab(directors=network.PAIR) as lab:
            pair = Pair(lab)
            pair.set_up()
            pair.guarded()
            _each(wanted, pair, table)


def of_one(table: Table, chosen: list[str]) -> None:
    """The trials with a director that goes from netlink to keepalived."""
    if wanted := _wanted(over_trials.TRIALS, chosen):
        with Lab(directors=network.PAIR) as lab:
            _each(wanted, Alone(lab), table)


def _wanted(trials: Mapping[str, T], chosen: list[str]) -> dict[str, T]:
    return {name: trial for name, trial in trials.items() if not chosen or name in chosen}


def _each(trials: Mapping[str, Callable[[W, Table], None]], world: W, table: Table) -> None:
    """One after the other, each from where all is well. One that cannot be carried out is the last."""
    for name, trial in trials.items():
        try:
            world.settled()
            trial(world, table)
        except (AssertionError, TimeoutError, LabDied) as problem:
            table.say(name, "", [" ".join(str(problem).split())[:600]])
            return


def _beside(table: Table, chosen: list[str]) -> None:
    of_three(table, chosen)
    of_guard(table, chosen)
    of_one(table, chosen)


def main() -> int:
    chosen = sys.argv[1:]
    table = Table()
    with ThreadPoolExecutor() as pool:
        for one in [pool.submit(run, table, chosen) for run in (of_two, _beside)]:
            one.result()
    return 0 if table.printed() else 1


if __name__ == "__main__":
    sys.exit(main())
