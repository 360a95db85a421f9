"""The command `dsrwizard balancer record`: reads, hides, tells what it writes and where."""

from __future__ import annotations

from pathlib import Path

from dsrwizard import __version__, files, out
from dsrwizard.cli import wiring
from dsrwizard.cli.asking import TerminalAsker
from dsrwizard.core.intake.deployment_file import load
from dsrwizard.core.model.balancer_facts import ApplianceAnswer
from dsrwizard.core.model.deployment import Balancer, Deployment
from dsrwizard.core.model.errors import DsrError, LookError, UsageError
from dsrwizard.core.model.products import PRODUCTS
from dsrwizard.core.tell.transcript import BY_HAND, Transcript, transcript

_KINDS = {
    "address": "IPv4 addresses", "address6": "IPv6 addresses", "mac": "MAC addresses", "name": "names",
    "number": "numbers", "text": "texts",
}  # fmt: skip


def record(file: Path, output: Path | None) -> int:
    """Returns the exit code. Raises UsageError for a load balancer that is not read from here, LookError where the
    transcript cannot be written, and what ended the reading, after what was read by then is written."""
    deployment = load(file)
    product = _driven(deployment)
    if output is not None and output.exists() and output.samefile(file):
        raise UsageError(f"{output} is the deployment file.", "", "Choose another path with --output.")
    of = deployment.balancer or Balancer()
    where = str(output.absolute()) if output is not None else "standard output"
    _say(f"Reads the {product} at {', '.join(of.addresses)} as {of.user}. Nothing is changed there.")
    _say(f"Writes what it answers, without names, addresses, numbers and secrets, to {where}.")
    answers: list[ApplianceAnswer] = []
    problem: DsrError | None = None
    try:
        wiring.read_balancer(deployment, TerminalAsker(), answers.append)
    except DsrError as error:
        if not answers:
            raise
        problem = error
    made = transcript(product, __version__, answers, problem.kind if problem else "")
    _write(made, output)
    _summary(made, where, whole=problem is None)
    if problem is not None:
        raise problem
    return 0


def _driven(deployment: Deployment) -> str:
    director = deployment.director
    if director.in_kernel:
        raise UsageError(
            f"The load balancer of {deployment.name} is this machine: there is no appliance to read.", "",
            "For a report of this machine: dsrwizard status FILE --incident",
        )  # fmt: skip
    if not director.driven:
        known = PRODUCTS.get(director.engine)
        raise UsageError(
            f"{known.name if known else 'This load balancer'} is not read from here: nothing was written.", "",
            f"Please send by hand: {BY_HAND[director.engine]}.",
        )  # fmt: skip
    return PRODUCTS[director.engine].name


def _write(made: Transcript, output: Path | None) -> None:
    if output is None:
        out.document(made.document)
        return
    try:
        files.export(output, made.text)
    except OSError as problem:
        raise LookError(
            f"{output} cannot be written.", f"{problem.strerror or problem}.", "Choose another path with --output."
        ) from None


def _summary(made: Transcript, where: str, *, whole: bool) -> None:
    replaced = ", ".join(f"{count} {_KINDS[kind]}" for kind, count in made.replaced.items()) or "nothing"
    _say(f"Written to {where}: {made.answers} answers{'' if whole else ' until it failed'}. Replaced: {replaced}.")
    _say(f"Its version stays: {made.version}." if made.version else "It did not say its version: please add it.")
    _say("Read the transcript before you send it.")


def _say(text: str) -> None:
    out.line(text, err=True)
