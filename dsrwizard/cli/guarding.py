"""The command `guard`: a service that takes dead real servers out and lets them in again."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsrwizard.cli.options import FILE
from dsrwizard.core.model.errors import LookError, UsageError

if TYPE_CHECKING:
    from dsrwizard.core.model.guarding import GuardState

MOST_STATUS = 200


@click.command()
@FILE
@click.option(
    "--every",
    type=click.FloatRange(0.2, 60),
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    help="From one round of probes to the next.",
)
@click.option(
    "--floor",
    type=click.IntRange(1, 100),
    metavar="PERCENT",
    help="So many of each service's real servers stay in, whatever the probes say. Default: guard_floor of the file.",
)
@click.option("--once", is_flag=True, help="Prove every destination, act on it, and exit.")
def guard(file: Path, every: float, floor: int | None, once: bool) -> int:
    """Take dead real servers out of the IPVS table, and let them in again once they answer.

    Runs until stopped. It proves every destination through the VIP, sets the weight of one that is proved dead to 0,
    and gives it back when it is proved well; where keepalived keeps the table, it tells keepalived. Where nobody
    answers at all it changes nothing. A destination that an operator drained stays drained.
    """
    from dsrwizard import garbage, out
    from dsrwizard.cli.streaming import until_signalled
    from dsrwizard.cli.wiring import build_guard, notify
    from dsrwizard.core.guard.policy import Limits
    from dsrwizard.core.intake.deployment_file import load

    deployment = load(file)
    if not deployment.director.in_kernel:
        raise UsageError(
            "A guard needs IPVS on this machine.", "In this deployment, another product is the load balancer.",
            "Use the health checks of that product, and `dsrwizard watch` beside it.",
        )  # fmt: skip
    floor = deployment.director.guard_floor if floor is None else floor
    garbage.staying()
    with build_guard(deployment, Limits(floor=floor), every, out.line) as watching:
        if once:
            watching.several()
            return _once(watching.state)
        ended = threading.Event()
        with until_signalled() as stopped:

            def beat() -> None:
                # Whoever is started after the guard finds what it has proved: keepalived, its health files.
                ready = ("READY=1",) if watching.state.rounds == watching.proved_after else ()
                notify(*ready, "WATCHDOG=1", f"STATUS={watching.state.words[:MOST_STATUS]}")
                sys.stdout.flush()
                if stopped():
                    ended.set()

            out.line(f"Guarding {deployment.name}: a round every {every:g} s, {floor} % of each service stay in.")
            watching.run(ended, beat)
            notify("STOPPING=1")
    return 0


def _once(state: GuardState) -> int:
    """Says what came of it; the exit code."""
    from dsrwizard import out

    held = [str(one.place) for one in state.held]
    out.line(f"Held out: {', '.join(held)}." if held else "Nothing is held out.")
    if state.blind:
        return LookError.exit_code
    return 1 if held or state.alarms else 0
