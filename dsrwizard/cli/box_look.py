"""The command `dsrwizard balancer look`: what a Barracuda says of a deployment, read by REST."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from dsrwizard import out
from dsrwizard.cli import wiring
from dsrwizard.cli.asking import TerminalAsker
from dsrwizard.core.dialects.barracuda.reading import BarracudaSaid, held_against
from dsrwizard.core.intake.deployment_file import load
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.products import BARRACUDA

_MARKS: dict[BarracudaSaid, str] = {"same": "=", "differs": "!", "unverified": "?"}


def box_look(file: Path, *, as_json: bool) -> int:
    """Returns the exit code: 1 where something differs. Raises UsageError for another product, and DsrError."""
    deployment = load(file)
    if deployment.director.engine != BARRACUDA.engine:
        raise UsageError(
            "`balancer look` is for a Barracuda, which dsrwizard reads and does not set up.", "",
            f"What the load balancer of {deployment.name} says: dsrwizard verify {file}",
        )  # fmt: skip
    of = deployment.balancer
    if of is None or not of.addresses or not of.user:
        raise UsageError(
            "Nothing says where the Barracuda is.", "",
            'Add [balancer] with addresses = ["10.1.0.5"], its management address, and user to the file. '
            f"Its checklist needs neither: dsrwizard runbook {file}",
        )  # fmt: skip
    lines = held_against(deployment, wiring.read_barracuda(of, TerminalAsker()))
    differs = sum(one.said == "differs" for one in lines)
    if as_json:
        document: dict[str, Any] = {
            "deployment": deployment.name, "product": BARRACUDA.name, "lines": msgspec.to_builtins(lines),
        }  # fmt: skip
        out.document(document)
        return 1 if differs else 0
    for one in lines:
        out.line(f"{_MARKS[one.said]} {one.what}: {one.message}")
    open_ = sum(one.said == "unverified" for one in lines)
    out.line(f"{differs} differ, {open_} unverified. Nothing was changed there. What packets show: verify.")
    return 1 if differs else 0
