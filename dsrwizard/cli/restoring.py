"""The command `restore`: what the unit of a director runs at boot."""

from __future__ import annotations

import click

from dsrwizard.core.model.errors import UsageError


@click.command()
@click.argument("name", metavar="NAME")
def restore(name: str) -> int:
    """Bring back the table and the VIPs of the deployment NAME on this director, as after a reboot.

    It reads /var/lib/dsrwizard/NAME.json, which apply wrote, and needs no other host. What is there already is left as
    it is. A VIP that another machine answers for is not taken from it.
    """
    from backends.director.restore import restore as carried_out  # and no engine: it is the boot that waits
    from dsrwizard import out
    from dsrwizard.core.intake.fields import name as refused_name

    wrong = refused_name(name)
    if wrong:
        raise UsageError(f"{name!r} is not the name of a deployment.", wrong.text, "Name one that was applied here.")
    return 0 if carried_out(name, out.line) else 1
