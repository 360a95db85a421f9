"""The command `dsrwizard balancer record`: an appliance's answers for a report, without names and secrets."""

from __future__ import annotations

from pathlib import Path

import click

from dsrwizard.cli.options import FILE


@click.command()
@click.argument("action", type=click.Choice(["record"]), metavar="record")
@FILE
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="PATH", help="A file. Default: standard output."
)
def balancer(action: str, file: Path, output: Path | None) -> int:
    """Record what a NetScaler or Loadbalancer.org answers, for a report to dsrwizard. Changes nothing on it.

    Makes the reads of a run, and writes requests, statuses and answers as JSON: names, addresses, numbers and secrets
    are replaced, the same thing by the same placeholder. Of other products it says what to send instead.
    """
    del action
    from dsrwizard.cli.recording import record

    return record(file, output)
