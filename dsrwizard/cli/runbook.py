"""The command `dsrwizard runbook`: what is done by hand on servers and load balancers."""

from __future__ import annotations

from pathlib import Path

import click

from dsrwizard.cli.options import FILE


@click.command()
@FILE
@click.option("--host", metavar="NAME", help="Only this server. Default: every server that is set up by hand.")
@click.option(
    "--system", help="The server's system, if the file does not say: linux, windows-2003, windows-2008, windows-2012."
)
@click.option("--format", "form", type=click.Choice(["text", "md", "html"]), default="text", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="A file, or a folder for several.")
@click.option(
    "--balancer",
    type=click.Choice(["netscaler", "loadbalancer.org", "aloha", "barracuda", "other"]),
    help="Only the load balancer's. Default: with those of the servers, where the file names the product.",
)
@click.option(
    "--report", type=click.Path(path_type=Path), metavar="PATH", help="Tick steps by this output of verify --json."
)
@click.option(
    "--compare", type=click.Path(path_type=Path), metavar="PATH", help="Compare this text of an ALOHA's LB Layer4 tab."
)
def runbook(
    file: Path,
    host: str | None,
    system: str | None,
    form: str,
    output: Path | None,
    balancer: str | None,
    report: Path | None,
    compare: Path | None,
) -> int:
    """Print the manual steps for servers and load balancers that dsrwizard does not set up itself."""
    from dsrwizard.cli.runbooks import write_runbooks
    from dsrwizard.core.intake.deployment_file import load

    return write_runbooks(load(file), host, system, form, output, balancer=balancer, report=report, compare=compare)
