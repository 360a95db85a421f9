"""The command `answer`: what the dsrwizard of another director asks of this one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from dsrwizard.core.ports import DirectorPort
    from dsrwizard.engine.locks import Locks

MOST = 16_000_000
"""Bytes of what is asked."""


@click.command()
@click.argument("what", type=click.Choice(("look", "steps")), metavar="look|steps")
def answer(what: str) -> int:
    """Answer the dsrwizard of another director, which runs this here by SSH.

    Where several directors announce the VIPs by BGP, one of them sets all of them up. It asks this one to look at
    itself, or to carry steps out and then look. What is asked comes by standard input.
    """
    from dsrwizard import __version__, out
    from dsrwizard.core.dialects.other_director.asking import read_order
    from dsrwizard.engine.asked import answered

    order = read_order(sys.stdin.buffer.read(MOST))

    def say(line: str) -> None:
        out.line(line)
        sys.stdout.flush()

    answered(
        "steps" if what == "steps" else "look", order, __version__, director_here(),
        lambda: locks_here().hold("apply", order.deployment.name), say, lambda facts: out.document(facts, indent=0),
    )  # fmt: skip
    return 0


def director_here() -> DirectorPort:
    """This machine as a director; without the engine, for another director waits."""
    from backends.director.port import LocalDirector

    return LocalDirector()


def locks_here() -> Locks:
    """The locks of the runs on this machine."""
    from dsrwizard.engine.locks import SHARED, Locks
    from dsrwizard.session import state_dir

    return Locks(state_dir() / "journal", SHARED, state_dir())
