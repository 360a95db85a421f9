"""The command that strikes a machine out of the journal that is gone for good."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from dsrwizard.cli.changing import WAIT, consent, leased
from dsrwizard.cli.options import FILE, JSON, YES


@click.command()
@FILE
@click.argument("server")
@YES
@WAIT
@JSON
def forget(file: Path, server: str, yes: bool, wait: float, as_json: bool) -> int:
    """Forget a former server that is gone for good: nothing is undone there any more.

    SERVER: its name or address, as apply says it. It has to be out of the file, and must not answer.
    """
    from dsrwizard.cli import printing
    from dsrwizard.cli.asking import TerminalAsker
    from dsrwizard.cli.wiring import build_engine
    from dsrwizard.core.intake.deployment_file import load
    from dsrwizard.core.model.errors import LookError

    deployment = load(file)
    with closing(build_engine(TerminalAsker())) as engine:
        with leased(engine, deployment.name, "forget", wait):
            gone = engine.forgettable(deployment, server)
            if not as_json:
                printing.forgettable(gone)
            if yes:
                engine.forget(deployment, gone)
        if not yes:
            consent(as_json)
            with leased(engine, deployment.name, "forget", wait):
                if engine.forgettable(deployment, server) != gone:
                    raise LookError("The journal has changed meanwhile. Nothing was forgotten.", "", "Run this again.")
                engine.forget(deployment, gone)
    printing.forgotten(deployment.name, gone, as_json=as_json)
    return 0
