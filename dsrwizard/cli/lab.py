"""The commands of the lab: start it, make a fault in it, fix it."""

from __future__ import annotations

import os

import click

from dsrwizard.core.model.errors import UsageError


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--fault", "faults", multiple=True, metavar="CAUSE@HOST", help="Apply, then make this fault; repeatable.")
@click.option(
    "--directors",
    type=click.IntRange(1, 8),
    default=1,
    metavar="N",
    help="Two share the VIPs by keepalived; three and more are active at once, by BGP and ECMP.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def lab(command: tuple[str, ...], faults: tuple[str, ...], directors: int) -> int:
    """Start a complete DSR network on this machine and run COMMAND on its director (default: the wizard).

    Inside the lab, `lab fault CAUSE@HOST` makes a fault, `lab fault` lists them, `lab mend [CAUSE@HOST]` fixes one or
    all. CAUSE@HOST/VIP and CAUSE@HOST/VIP/SERVICE (tcp/8080) limit the fault to one VIP or service of /lab/rich.toml.
    """
    if command and command[0] in ("fault", "mend"):
        return _lab_faults(command, faults)
    from dsrwizard.cli.wiring import run_lab

    return run_lab(command, faults, directors)


def _lab_faults(command: tuple[str, ...], faults: tuple[str, ...]) -> int:
    if not os.environ.get("DSRWIZARD_LAB"):
        named = [f"--fault {name}" for name in command[1:]] or ["--fault CAUSE@HOST"]
        raise UsageError(
            f"dsrwizard lab {command[0]} works only inside the lab.", "The variable DSRWIZARD_LAB is not set.",
            f"Start it with the fault: dsrwizard lab {' '.join(named)}    or open a shell there: dsrwizard lab -- bash",
        )  # fmt: skip
    if faults:
        raise UsageError("--fault is only for starting the lab.", "", f"Write: dsrwizard lab fault {' '.join(faults)}")
    from dsrwizard.cli.wiring import run_inside_lab

    return run_inside_lab(command)
