"""The command `dsrwizard balancer`: an appliance's answers for a report, or held against the deployment."""

from __future__ import annotations

from pathlib import Path

import click

from dsrwizard.cli.options import FILE, JSON
from dsrwizard.core.model.errors import UsageError


@click.command()
@click.argument("action", type=click.Choice(["record", "look"]), metavar="record|look")
@FILE
@click.option(
    "--output", "-o", type=click.Path(path_type=Path), metavar="PATH", help="A file. Default: standard output."
)
@JSON
def balancer(action: str, file: Path, output: Path | None, as_json: bool) -> int:
    """Read a load balancer of another make. Changes nothing on it.

    record: what a NetScaler or Loadbalancer.org answers, for a report to dsrwizard. Makes the reads of a run, and
    writes requests, statuses and answers as JSON: names, addresses, numbers and secrets are replaced, the same thing by
    the same placeholder. Of other products it says what to send instead.

    look: what a Barracuda says of the deployment, line by line, and what cannot be told from its answer.
    """
    if action == "look":
        from dsrwizard.cli.box_look import box_look

        if output is not None:
            raise UsageError("--output is for `balancer record`.", "", "Leave it out, or send the output elsewhere.")
        return box_look(file, as_json=as_json)
    if as_json:
        raise UsageError("`balancer record` writes JSON without --json.", "", "Leave it out.")
    from dsrwizard.cli.recording import record

    return record(file, output)
