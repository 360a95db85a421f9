"""The command line: commands and options of dsrwizard, for scripts, tickets and screen readers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsrwizard import __version__
from dsrwizard.cli.adopt import adopt
from dsrwizard.cli.answering import answer
from dsrwizard.cli.balancer import balancer
from dsrwizard.cli.changing import WAIT, carried_out, mended_by_steps
from dsrwizard.cli.completion import causes
from dsrwizard.cli.ending import exit_code
from dsrwizard.cli.forget import forget
from dsrwizard.cli.front import FrontPage
from dsrwizard.cli.guarding import guard
from dsrwizard.cli.lab import lab
from dsrwizard.cli.options import DRAIN, FILE, INTERVAL, JSON, REVERT_AFTER, WAVE, YES
from dsrwizard.cli.rehearse import rehearse
from dsrwizard.cli.restoring import restore
from dsrwizard.cli.runbook import runbook
from dsrwizard.core.model.errors import LookError, Stopped, UsageError

if TYPE_CHECKING:
    from dsrwizard.core.api import Engine
    from dsrwizard.core.model.deployment import Deployment
    from dsrwizard.core.model.outcome import RunResult
    from dsrwizard.core.model.steps import Plan
    from dsrwizard.core.plan.waves import WaveMode


def run(arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code. Errors go to standard error as what, why, next."""
    return exit_code(commands, arguments)


@click.group(cls=FrontPage, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="dsrwizard %(version)s")
@click.pass_context
def commands(context: click.Context) -> int:
    """Set up, verify and watch Layer-4 Direct Server Return (LVS-DR) on the director and the real servers.

    Without a command, opens the wizard, or the live pane if a deployment is in force. FILE is a deployment file (TOML).
    """
    if context.invoked_subcommand is not None:
        return 0
    return _wizard()


def _terminal_or_refuse(instead: str) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise UsageError("This needs a terminal.", "Standard input or output is not one, or TERM is dumb.", instead)


def _wizard() -> int:
    _terminal_or_refuse("Without a terminal, use: dsrwizard plan FILE, then apply, verify and status.")
    from dsrwizard.app import DsrApp
    from dsrwizard.session import Session

    in_force, notices = _latest_in_force()
    if in_force is not None:
        return _screen(DsrApp(_engine_factory(), deployment=in_force, start="live", notices=notices))
    session = Session.load(notice=notices.append)
    return _screen(DsrApp(_engine_factory(), session=session, notices=notices))


def _latest_in_force() -> tuple[Deployment | None, list[str]]:
    """The deployment that was applied last and not torn down, and which journals cannot be read. Reading them needs no
    backend."""
    from dsrwizard.engine.journal import Journals
    from dsrwizard.session import state_dir

    found, problems = Journals(state_dir() / "journal").surveyed()
    notices = [f"{problem.what} Whether that deployment is in force is not known." for problem in problems]
    return (found[0] if found else None), notices


def _screen(app: object) -> int:
    """Runs the screens and turns their end into an exit code."""
    from textual.app import App

    assert isinstance(app, App)  # noqa: S101 - for the type checker
    app.run()
    return app.return_code or 0


def _engine_factory() -> Callable[..., Engine]:
    def build(asker: object) -> Engine:
        from dsrwizard.cli.wiring import build_engine

        return build_engine(asker)  # type: ignore[arg-type]

    return build


def _load(file: Path) -> Deployment:
    from dsrwizard.core.intake.deployment_file import load

    return load(file)


def _engine() -> Engine:
    from dsrwizard.cli.asking import TerminalAsker
    from dsrwizard.cli.wiring import build_engine

    return build_engine(TerminalAsker())


@commands.command()
@FILE
@click.option("--scripts", is_flag=True, help="Print the scripts that are sent to the real servers, word for word.")
@JSON
def plan(file: Path, scripts: bool, as_json: bool) -> int:
    """Show what would change, with the exact commands. Changes nothing."""
    from dsrwizard.cli import printing
    from dsrwizard.engine.servers.sent import scripts_of

    deployment = _load(file)
    with closing(_engine()) as engine:
        observed = engine.observe(deployment)
        made = engine.plan(deployment, observed)
    printing.plan(
        made, as_json=as_json, scripts=scripts_of(deployment, made, observed, engine.revert_after) if scripts else None
    )
    return _plan_code(made)


def _plan_code(made: Plan) -> int:
    from dsrwizard.core.model.steps import DIRECTOR

    problems = [host.host for host in made.hosts if host.problem]
    if not problems:
        return 0
    if any(host.failure is not None and host.failure.kind == "left" for host in made.hosts):
        return 1
    return 3 if problems == [DIRECTOR] else 1


@commands.command()
@FILE
@WAVE
@DRAIN
@REVERT_AFTER
@YES
@WAIT
@JSON
def apply(
    file: Path, mode: WaveMode, drain: float, revert_after: int, yes: bool, wait: float, as_json: bool
) -> int:  # fmt: skip
    """Set up the director and the real servers. A second run changes nothing."""
    deployment = _load(file)
    with closing(_engine()) as engine:
        engine.revert_after, engine.wave, engine.patience.seconds = revert_after, mode, drain
        result, made = carried_out(
            engine,
            deployment,
            "apply",
            lambda: engine.plan(deployment, engine.observe(deployment)),
            lambda plan, watch, stop, lease: engine.apply(deployment, plan, watch, stop, lease),
            yes=yes,
            as_json=as_json,
            wait=wait,
        )
    return _result_code(result, made)


@commands.command()
@FILE
@DRAIN
@YES
@WAIT
@JSON
def teardown(file: Path, drain: float, yes: bool, wait: float, as_json: bool) -> int:
    """Undo everything dsrwizard changed on the director and the real servers."""
    deployment = _load(file)
    with closing(_engine()) as engine:
        engine.patience.seconds = drain
        result, made = carried_out(
            engine,
            deployment,
            "teardown",
            lambda: engine.teardown_plan(deployment),
            lambda plan, watch, stop, lease: engine.teardown(deployment, plan, watch, stop, lease),
            yes=yes,
            as_json=as_json,
            wait=wait,
        )
    return _result_code(result, made)


def _result_code(result: RunResult, made: Plan) -> int:
    if result.ok:
        return 0
    return 3 if _plan_code(made) == 3 else 1


def _known(deployment: Deployment, host: str, cause: str) -> None:
    """Refuses unknown hosts and causes: a check for them would always pass."""
    from difflib import get_close_matches

    from dsrwizard.core.model.causes import CAUSES
    from dsrwizard.core.model.steps import CLIENT, DIRECTOR

    names = [*(server.name for server in deployment.servers), DIRECTOR, CLIENT]
    for word, value, known in (("host", host, names), ("cause", cause, list(CAUSES))):
        if value and value not in known:
            near = get_close_matches(value, known, n=1)
            hint = f"Did you mean {near[0]}? " if near else ""
            raise UsageError(f"Unknown {word}: {value!r}.", "", f"{hint}Choose one of: {', '.join(known)}.")


@commands.command()
@FILE
@JSON
def verify(file: Path, as_json: bool) -> int:
    """Check every real server through the VIP and show what is wrong."""
    from dsrwizard.cli import printing

    deployment = _load(file)
    with closing(_engine()) as engine:
        report = engine.verify(deployment)
    printing.report(report, as_json=as_json)
    return {"pass": 0, "fail": 1, "unknown": 3}[report.verdict]


@commands.command()
@FILE
@click.option("--host", default="", metavar="NAME", help="Only faults of this real server, or of the host director.")
@click.option("--cause", default="", metavar="CAUSE", shell_complete=causes, help="Only this cause, e.g. vip-missing.")
@WAVE
@REVERT_AFTER
@YES
@WAIT
@JSON
def mend(
    file: Path, host: str, cause: str, mode: WaveMode, revert_after: int, yes: bool, wait: float, as_json: bool
) -> int:  # fmt: skip
    """Verify, fix what dsrwizard can fix, and verify again. For the rest, say who must do what."""
    from dsrwizard.cli import printing
    from dsrwizard.core.diagnosis import verdict
    from dsrwizard.core.model.outcome import RunResult
    from dsrwizard.core.model.steps import Plan
    from dsrwizard.core.plan.mend import Mending, concerning, mended

    deployment = _load(file)
    _known(deployment, host, cause)
    with closing(_engine()) as engine:
        engine.revert_after, engine.wave = revert_after, mode
        report = engine.verify(deployment)
        made, done = Mending(cures=(), plan=Plan(deployment=deployment.name, hosts=())), None
        wrong = concerning(report.failures, host=host, cause=cause)
        if wrong:
            made, done = mended_by_steps(engine, deployment, wrong, yes=yes, as_json=as_json, wait=wait)
        done = done or mended(made, RunResult(deployment=deployment.name, hosts=()), report)
    left = concerning(done.report.failures if done.report else (), host=host, cause=cause)
    printing.mended(done, left, as_json=as_json)
    if done.report is None:
        raise Stopped("Stopped before the final verification.", "", f"See what is left: dsrwizard verify {file}")
    if left or not done.cured:
        return 1
    return 3 if verdict(concerning(done.report.checks, host=host)) == "unknown" else 0


@commands.command()
@FILE
@JSON
@click.option("--incident", "as_incident", is_flag=True, help="Print a text for a ticket, with the last events.")
def status(file: Path, as_json: bool, as_incident: bool) -> int:
    """Print one snapshot of the live pane."""
    from dsrwizard import out
    from dsrwizard.cli import printing
    from dsrwizard.core.record.timeline import remembered
    from dsrwizard.session import incident_text

    if as_json and as_incident:
        raise UsageError("--json and --incident cannot be used together.", "", "Use one of them.")
    deployment = _load(file)
    with closing(_engine()) as engine, closing(engine.watch(deployment, recorded=False)) as watcher:
        snapshot = watcher.once()
        events = engine.events(deployment)
    snapshot = remembered(snapshot, events)
    if as_incident:
        out.text(incident_text(snapshot))
    else:
        printing.snapshot(snapshot, as_json=as_json)
    states = {row.state for service in snapshot.services for row in service.rows}
    if snapshot.problem:
        return LookError.exit_code
    if states & {"vip-dead", "leaking", "drifted", "unreachable"} or snapshot.wrong:
        return 1
    return 3 if "unknown" in states else 0


@commands.command()
@FILE
@INTERVAL
@click.option("--read-only", is_flag=True, help="Disable every key that changes something.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON document per line; needs no terminal.")
def watch(file: Path, interval: float, read_only: bool, as_json: bool) -> int:
    """Open the live pane; with --json, print a line for each change until stopped."""
    if as_json:
        from dsrwizard.cli import streaming

        deployment = _load(file)
        with closing(_engine()) as engine, closing(engine.watch(deployment, interval)) as watcher:
            return streaming.changes(watcher)
    _terminal_or_refuse(f"Without a terminal, use: dsrwizard watch {file} --json, or once: dsrwizard status {file}")
    deployment = _load(file)
    from dsrwizard.app import DsrApp

    app = DsrApp(_engine_factory(), deployment=deployment, start="live", read_only=read_only, interval=interval)
    return _screen(app)


@commands.command()
@FILE
@click.option("--since", default="", metavar="WHEN", help="Only events since then: 30m, 2h, 3d, or a date.")
@click.option("--host", default="", metavar="NAME", help="Only events of this real server, or of the host director.")
@JSON
def events(file: Path, since: str, host: str, as_json: bool) -> int:
    """Print the timeline: observed state changes and operator actions."""
    import time

    from dsrwizard.cli import printing
    from dsrwizard.core.model.steps import DIRECTOR
    from dsrwizard.core.record.timeline import since as moment_of
    from dsrwizard.core.record.timeline import wanted

    deployment = _load(file)
    begin = moment_of(since, time.time()) if since else 0.0
    if begin is None:
        raise UsageError(f"--since {since} is not a time.", "", "Write 30m, 2h, 3d, or a date: 2026-03-01T14:00.")
    with closing(_engine()) as engine:
        kept = engine.events(deployment)
    hosts = {DIRECTOR, *(server.name for server in deployment.servers), *(entry.host for entry in kept)}
    if host and host not in hosts:
        raise UsageError(f"Unknown host: {host}.", "", f"Choose one of: {', '.join(sorted(hosts))}.")
    printing.events(deployment.name, wanted(kept, begin, host), as_json=as_json)
    return 0


@commands.command()
@FILE
@click.option(
    "--listen", default="127.0.0.1:9749", show_default=True, metavar="ADDRESS:PORT", help="Where Prometheus connects."
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A host name that Prometheus may use in its requests, besides the listen address; repeatable.",
)
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Require the bearer token in this file. Default: the token in DSRWIZARD_METRICS_TOKEN, if set.",
)
@INTERVAL
def metrics(file: Path, listen: str, names: tuple[str, ...], token_file: Path | None, interval: float) -> int:
    """Watch and serve metrics for Prometheus until stopped."""
    from dsrwizard.cli import streaming

    streaming.listen_at(listen)  # what is wrong with it is told before anything is looked at
    token = streaming.metrics_token(token_file)
    deployment = _load(file)
    with closing(_engine()) as engine, closing(engine.watch(deployment, interval)) as watcher:
        return streaming.metrics(watcher, listen, names, token)


@commands.command()
@click.argument("system", required=False, type=click.Choice(["windows-2012", "windows-2008"]))
def prepare(system: str | None) -> None:
    """Print what to paste into a Windows server's PowerShell, so that dsrwizard can log in.

    SYSTEM: windows-2012 (2012 to 2025) or windows-2008 (2008 and 2008 R2). Without SYSTEM, for both.
    """
    from dsrwizard import out
    from dsrwizard.core.tell.prepare import PREPARATIONS, preparation, text

    out.text(text(PREPARATIONS if system is None else (preparation(system),)))


@commands.command()
@click.argument("cause", required=False, shell_complete=causes)
def explain(cause: str | None) -> None:
    """Explain a cause: what you see, why it happens, how to fix it. Without CAUSE, list all causes."""
    from dsrwizard.cli.explain import explain as shown

    shown(cause)


commands.add_command(adopt)
commands.add_command(answer)
commands.add_command(balancer)
commands.add_command(forget)
commands.add_command(guard)
commands.add_command(lab)
commands.add_command(rehearse)
commands.add_command(restore)
commands.add_command(runbook)
