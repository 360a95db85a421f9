"""The command `dsrwizard rehearse`: what dsrwizard expects of Windows, tried on one server before it has a VIP."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsrwizard.cli.changing import CHANGED, WAIT, leased
from dsrwizard.core.model.errors import LookError, Stopped, UsageError

if TYPE_CHECKING:
    from dsrwizard.core.api import Leased
    from dsrwizard.core.model.deployment import Deployment, RealServer
    from dsrwizard.core.model.steps import Plan
    from dsrwizard.core.tell.rehearsal import Rehearsal
    from dsrwizard.engine.rehearse import Rehearser

_LARGEST = 50_000_000


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("server")
@click.option("--look", "look_only", is_flag=True, help="Only look at the server. Change nothing.")
@click.option("--keep", is_flag=True, help="Leave everything in place, for a restart of the server.")
@click.option("--finish", is_flag=True, help="Undo what was kept, even without a restart.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask before changing anything.")
@WAIT
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def rehearse(
    file: Path, server: str, look_only: bool, keep: bool, finish: bool, yes: bool, wait: float, as_json: bool
) -> int:
    """Try on one Windows server what an apply relies on, undo it, and report what differs.

    Looks at SERVER, then, if you agree, adds a loopback adapter with an address that no client uses, checks every
    setting, removes it, and checks that the server is as before. With --keep, restart the server and run the command
    again: it checks what the restart left and then undoes everything.
    """
    from dsrwizard import __version__
    from dsrwizard.core.intake.deployment_file import load

    if sum((look_only, keep, finish)) > 1:
        raise UsageError("--look, --keep and --finish cannot be used together.", "", "Use one of them.")
    deployment = load(file)
    one = _chosen(deployment, server)
    from dsrwizard.cli.asking import TerminalAsker
    from dsrwizard.cli.wiring import rehearsal_engine, rehearsal_folder
    from dsrwizard.core.tell.rehearsal import trial
    from dsrwizard.engine.rehearse import Rehearser

    kept = rehearsal_folder() / f"{one.name}.json"
    with closing(rehearsal_engine(TerminalAsker())) as engine:
        rehearser = Rehearser(engine, trial(deployment, one), allowed=one.look_seconds)
        alone = partial(leased, engine, trial(deployment, one).name, "rehearse", wait)
        command = _Command(rehearser, kept, alone, yes=yes, as_json=as_json)
        if rehearser.begun and not look_only:
            made = command.go_on(__version__, restarted=not finish)
        elif finish:
            raise UsageError(f"No rehearsal of {one.name} was kept.", "", "Run the command without --finish.")
        else:
            made = rehearser.begin(__version__)
            if not look_only:
                _refuse_where_clients_are(deployment, one, made)
                made = command.set_up(made, keep=keep)
    command.told(made)
    return 1 if made.differing or made.problems else 0


def _chosen(deployment: Deployment, name: str) -> RealServer:
    for server in deployment.servers:
        if server.name == name:
            if server.connect == "winrm":
                return server
            raise UsageError(
                f"{name} is not reached by WinRM.", "A rehearsal tries what is done on Windows servers.",
                "Name a server with connect = \"winrm\".",
            )  # fmt: skip
    names = ", ".join(server.name for server in deployment.servers if server.connect == "winrm")
    raise UsageError(f"{deployment.name} has no server {name!r}.", "", f"Its Windows servers: {names or 'none'}.")


def _refuse_where_clients_are(deployment: Deployment, server: RealServer, made: Rehearsal) -> None:
    held = [vip.address for vip in deployment.vips_of(server) if made.before.carrying(str(vip.ip))]
    if held:
        raise UsageError(
            f"{server.name} already has the VIP {', '.join(held)}, and clients may use it.",
            "Adding a loopback adapter may interrupt the others for a moment.",
            "Rehearse before there is a VIP on the server, or use --look, which changes nothing.",
        )


def _to_its_end(work: Callable[[threading.Event], Rehearsal]) -> Rehearsal:
    """On an interrupt the step that runs is finished and none is begun."""
    from dsrwizard.cli.interruptible import interruptible

    stop = threading.Event()
    return interruptible(lambda: work(stop), stop)


class _Command:
    """One run of the command. `kept`: the file that keeps what was seen until the server has restarted; `alone` gives
    the right to change hosts, for a block."""

    def __init__(
        self,
        rehearser: Rehearser,
        kept: Path,
        alone: Callable[[], AbstractContextManager[Leased]],
        *,
        yes: bool,
        as_json: bool,
    ) -> None:
        from dsrwizard.cli import printing

        self._alone = alone
        self._rehearser, self._kept, self._yes, self._as_json = rehearser, kept, yes, as_json
        self._watch = printing.ProgressLines(quiet=as_json)

    def set_up(self, made: Rehearsal, *, keep: bool) -> Rehearsal:
        """The trial set up and, unless it is kept, taken back."""
        from msgspec.structs import replace

        from dsrwizard import out
        from dsrwizard.core.plan.again import nothing_new

        plan = self._rehearser.plan()
        problem = next((host.problem for host in plan.hosts if host.problem), "")
        if problem:
            return replace(made, problems=(*made.problems, problem))
        afterwards = "After the checks, all of it is undone." if not keep else "It is kept for the restart."
        self._agreed(plan, afterwards)
        while True:
            with self._alone() as lease:
                fresh = self._rehearser.plan()
                if nothing_new(plan, fresh):
                    return self._tried(made, fresh, lease, keep=keep)
            plan = fresh
            out.complaint(CHANGED)
            self._agreed(plan, afterwards)

    def _tried(self, before: Rehearsal, plan: Plan, lease: Leased, *, keep: bool) -> Rehearsal:
        self._keep(before)
        made = _to_its_end(lambda stop: self._rehearser.set_up(before, plan, self._watch, stop, lease))
        self._keep(made)
        return made if keep else self._taken_back(made, lease)

    def go_on(self, version: str, *, restarted: bool) -> Rehearsal:
        """The rest of a rehearsal that was kept, or that broke off."""
        with self._alone() as lease:
            made = self._remembered()
            if made is None:
                return self._taken_back(self._rehearser.begin(version), lease, compared=False)
            if made.set_up is not None and restarted:  # otherwise it broke off, and there is nothing to compare
                made = self._rehearser.restarted(made)
            return self._taken_back(made, lease)

    def told(self, made: Rehearsal) -> None:
        from dsrwizard import out
        from dsrwizard.core.tell.rehearsal.report import report

        if self._as_json:
            out.document(made)
        else:
            out.text(report(made))

    def _taken_back(self, made: Rehearsal, lease: Leased, *, compared: bool = True) -> Rehearsal:
        plan = self._rehearser.plan_back()
        made = _to_its_end(
            lambda stop: self._rehearser.take_back(made, plan, self._watch, stop, lease, compared=compared)
        )
        if made.complete:
            self._kept.unlink(missing_ok=True)
        return made

    def _agreed(self, plan: Plan, afterwards: str) -> None:
        from dsrwizard import out
        from dsrwizard.cli import printing

        if not self._as_json:
            printing.plan(plan)
            out.line(afterwards)
        if self._yes:
            return
        if self._as_json or not sys.stdin.isatty():
            raise UsageError(
                "This changes the server, and there is no terminal to confirm it.", "",
                "Add --yes to continue, or --look to change nothing.",
            )  # fmt: skip
        if not out.confirm("Continue?"):
            raise Stopped("Nothing was changed.")

    def _keep(self, made: Rehearsal) -> None:
        from msgspec import json

        from dsrwizard import files

        try:
            files.folder(self._kept.parent)
            files.replace(self._kept, json.encode(made))
        except OSError as problem:
            raise LookError(
                f"{self._kept} cannot be written: {problem.strerror or problem}.",
                "It has to keep what the server was like before.",
                "Make room, or set XDG_STATE_HOME to another folder.",
            ) from problem  # fmt: skip

    def _remembered(self) -> Rehearsal | None:
        from msgspec import MsgspecError, json

        from dsrwizard import files
        from dsrwizard.core.tell.rehearsal import Rehearsal

        try:
            return json.decode(files.read(self._kept, _LARGEST, ours=True), type=Rehearsal)
        except FileNotFoundError:
            return None
        except (OSError, MsgspecError) as problem:
            raise LookError(
                f"{self._kept} cannot be read.", "It keeps what the server was like before the rehearsal.",
                f"Remove the file to undo everything without a comparison: {problem}.",
            ) from problem  # fmt: skip
