"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

from dsrwizard.core.model.errors import UsageError

FILE = click.argument("file", type=click.Path(path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
INTERVAL = click.option(
    "--interval",
    type=click.FloatRange(0.2, 3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="Time between two readings of the counters.",
)
YES = click.option("--yes", "-y", is_flag=True, help="Do not ask before changing anything.")

SHORTEST = 30
"""Seconds of `--revert-after`. A step may take twenty before the next one gives a sign of life."""


def _long_enough(context: click.Context, option: click.Parameter, seconds: int) -> int:
    if 0 < seconds < SHORTEST:
        raise UsageError(
            f"--revert-after {seconds} is too short.",
            "A server could take its steps back while one of them still runs.",
            f"Write {SHORTEST} or more, or 0 for never.",
        )
    return seconds


REVERT_AFTER = click.option(
    "--revert-after",
    type=click.IntRange(0, 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    callback=_long_enough,
    help="Time after which a real server takes back by itself what was not proved; 0: never.",
)
WAVE = click.option(
    "--wave",
    "mode",
    type=click.Choice(["auto", "on", "off"]),
    default="auto",
    show_default=True,
    help="Change one server, prove it, then a tenth, then the rest. auto: from four servers.",
)
DRAIN = click.option(
    "--drain",
    type=click.FloatRange(0, 86400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a server that is removed keeps its connections; 0 cuts them.",
)
