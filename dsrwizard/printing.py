"""What the commands print: text for people, one JSON document for programs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from dsrwizard.core.checks import Check, Report
from dsrwizard.core.commands import commands
from dsrwizard.core.events import Event, HostFinished, StepFinished
from dsrwizard.core.mending import Mending, MendResult
from dsrwizard.core.outcome import RunResult
from dsrwizard.core.snapshot import DestinationRow, Happening, Rates, ServiceRow, Snapshot, Totals
from dsrwizard.core.steps import Plan, Step

_NOW = 10.0
"""A state that began later than this many seconds ago has no past worth telling."""
_GOOD = {"pass", "up", "changed", "unchanged", "skipped", "cured"}
_BAD = {"fail", "left", "failed", "vip-dead", "leaking", "drifted", "unreachable"}


def _json(document: Any) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(document), indent=2).decode())


def _word(word: str, width: int = 0) -> str:
    """A state as a coloured word; the word itself carries the meaning."""
    colour = "green" if word in _GOOD else "red" if word in _BAD else "yellow"
    return click.style(word.ljust(width), fg=colour) if _coloured() else word.ljust(width)


def _coloured() -> bool:
    import os

    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def step_document(step: Step) -> dict[str, Any]:
    """A step as JSON: why, the exact commands, the exact undo."""
    return {
        "id": step.id,
        "phase": step.phase,
        "title": step.title,
        "why": step.why,
        "interrupts": step.interrupts,
        "commands": [line for change in step.changes for line in commands(change)],
        "undo": [line for change in step.inverse().changes for line in commands(change)],
    }


def plan(made: Plan, *, as_json: bool = False) -> None:
    """The plan, host by host, in the order in which it runs."""
    if as_json:
        _json(
            {
                "deployment": made.deployment,
                "changes": len(made.steps),
                "hosts": [
                    {
                        "host": host.host,
                        "problem": host.problem,
                        "notes": list(host.notes),
                        "steps": [step_document(step) for step in host.steps],
                    }
                    for host in made.hosts
                ],
            }
        )
        return
    for host in made.hosts:
        count = f"{len(host.steps)} step{'' if len(host.steps) == 1 else 's'}" if host.steps else "nothing to do"
        click.echo(f"{host.host}: {'cannot be planned' if host.problem else count}")
        if host.problem:
            click.echo(f"  ! {host.problem}")
        for note in host.notes:
            click.echo(f"  i {note}")
        for step in host.steps:
            _step(step)
    total = len(made.steps)
    click.echo(f"{total} step{'' if total == 1 else 's'} on {sum(bool(host.steps) for host in made.hosts)} hosts.")


def _step(step: Step, *, undo: bool = False) -> None:
    click.echo(f"  - {step.title}")
    click.echo(f"      {step.why}")
    _commands("$ ", step)
    if undo:
        _commands("undo: ", step.inverse())
    if step.interrupts:
        click.echo(f"      ! {step.interrupts}")


def _commands(mark: str, step: Step) -> None:
    for change in step.changes:
        for command in commands(change):
            first, *more = command.splitlines()
            click.echo(f"      {mark}{first}")
            for line in more:
                click.echo(f"      {' ' * len(mark)}{line}")


class Progress:
    """An observer that prints a line as each step and each host ends. Called from many threads."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        if self._quiet:
            return
        with self._lock:
            match event:
                case StepFinished(result=result):
                    detail = f": {result.detail}" if result.detail else ""
                    click.echo(
                        f"{event.at:6.1f}s {result.host:<10} {_word(result.outcome.value, 13)} {result.step}{detail}"
                    )
                case HostFinished(result=result) if result.failure is not None:
                    click.echo(f"{event.at:6.1f}s {result.host:<10} {_word(result.outcome.value, 13)}", err=True)
                case _:
                    pass


def result(run: RunResult, *, as_json: bool = False) -> None:
    """How a run ended, host by host."""
    if as_json:
        _json({"deployment": run.deployment, "ok": run.ok, "changed": run.changed, "hosts": run.hosts})
        return
    _failures(run)
    words = ", ".join(f"{host.host} {_word(host.outcome.value)}" for host in run.hosts)
    nothing = " No change." if run.ok and not run.changed else ""
    click.echo(f"{words or 'Nothing was owed'}.{nothing}")


def _failures(run: RunResult) -> None:
    for host in run.hosts:
        if host.failure is not None:
            what = host.failure.what
            named = what if what.startswith(host.host) else f"{host.host}: {what}"
            for line in (named, host.failure.why, host.failure.next):
                if line:
                    click.echo(line, err=True)


def report(made: Report, *, as_json: bool = False) -> None:
    """The checks in the order a packet travels, and the verdict."""
    if as_json:
        _json(made)
        return
    for check in made.checks:
        about = " ".join(part for part in (check.vip, check.service) if part)
        click.echo(f"{_word(check.outcome, 8)} {check.host:<10} {check.check:<18} {about}")
        click.echo(f"         {check.message}")
        if check.outcome in ("fail", "unknown"):
            for label, text in (("cause", check.cause), ("seen", check.evidence), ("fix", check.fix)):
                if text:
                    click.echo(f"         {label}: {text}")
    click.echo(f"Verdict: {_word(made.verdict)}")


def _fault(check: Check) -> str:
    about = " ".join(part for part in (check.vip, check.service, check.server) if part)
    return f"{check.host}: {check.cause or check.check}{' ' + about if about else ''}"


def mending(made: Mending) -> None:
    """What is wrong, and what is done about it: each step once, with its exact commands and its exact undo."""
    for cure in made.cures:
        check = cure.check
        click.echo(f"{_word(check.outcome, 8)} {_fault(check)}")
        click.echo(f"         {check.message}")
        known = (("seen", check.evidence), ("not mended", cure.by_hand), ("fix", check.fix if cure.by_hand else ""))
        for label, text in known:
            if text:
                click.echo(f"         {label}: {text}")
    for host in made.plan.hosts:
        if host.steps or host.notes:
            click.echo(f"{host.host}:")
        for note in host.notes:
            click.echo(f"  i {note}")
        for step in host.steps:
            _step(step, undo=True)
    able = sum(bool(cure.steps) for cure in made.cures)
    click.echo(f"{len(made.cures)} wrong, {able} of them can be mended, in {_count(len(made.plan.steps), 'step')}.")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def mended(done: MendResult, left: Sequence[Check], *, as_json: bool = False) -> None:
    """Each fault before and after, and what is left. `left` are the checks that fail now."""
    if as_json:
        _json(
            {
                "deployment": done.run.deployment,
                "cured": done.cured,
                "verdict": done.report.verdict if done.report else None,
                "faults": [
                    {
                        "before": one.cure.check,
                        "steps": [{"host": step.host, **step_document(step)} for step in one.cure.steps],
                        "by_hand": one.cure.by_hand,
                        "notes": list(one.cure.notes),
                        "after": one.after,
                        "cured": one.cured,
                    }
                    for one in done.mended
                ],
                "left": list(left),
                "hosts": done.run.hosts,
            }
        )
        return
    _failures(done.run)
    for one in done.mended:
        word = "cured" if one.cured else "left"
        told = one.after.message if one.after else "It was not looked at again."
        click.echo(f"{_word(word, 8)} {_fault(one.cure.check)}: {told}")
    if not done.mended:
        click.echo("Nothing was found that fails.")
    before = {(one.cure.check.host, one.cure.check.server, one.cure.check.cause) for one in done.mended}
    for check in left:
        if (check.host, check.server, check.cause) not in before:
            click.echo(f"{_word(check.outcome, 8)} {_fault(check)}: {check.message}")
            if check.fix:
                click.echo(f"         fix: {check.fix}")
    if done.report is not None:
        click.echo(f"Verdict: {_word(done.report.verdict)}")


def snapshot(made: Snapshot, *, as_json: bool = False) -> None:
    """One moment of the live pane."""
    if as_json:
        _json({name: getattr(made, name) for name in made.__struct_fields__ if name != "history"})
        return
    if made.problem:
        click.echo(f"! {made.problem}")
    for service in made.services:
        owner = f"VIP owner: {service.owner or 'unknown'}"
        head = f"{service.vip} {service.service} {service.scheduler}"
        click.echo(f"{head}  {_rates(service.rates)}  {owner}; {_replies(service)}")
        for row in service.rows:
            weight = "-" if row.weight is None else str(row.weight)
            probe = f"{row.probe.milliseconds:.1f} ms" if row.probe and row.probe.milliseconds is not None else "-"
            click.echo(
                f"  {row.server:<12} {_word(row.state, 11)} weight {weight:>3}  active {row.active:>5}  "
                f"inactive {row.inactive:>5}  {_rates(row.rates)}  probe {probe:>8}  arp {row.arp}"
            )
            _about(row, made.at)
        if service.present:
            click.echo(f"  {'total':<12} {_totals(service.totals)}")
    if made.unseen:
        click.echo("Not seen:")
        for line in made.unseen:
            click.echo(f"  {line}")


def _about(row: DestinationRow, at: float) -> None:
    """What is known of one real server besides its line: since when, why, what to do, latency, totals."""
    from dsrwizard.core.incident import cause_line, moment, span

    zone = datetime.now().astimezone().tzinfo or UTC
    if row.since and at - row.since >= _NOW:
        click.echo(f"    since {moment(row.since, zone)} ({span(at - row.since)})")
    reason = cause_line(row.cause, row.message)
    if reason:
        click.echo(f"    {reason}")
    if row.fix and row.fix not in row.message:
        click.echo(f"    fix: {row.fix}")
    latency = row.latency
    if latency.sent:
        known = (latency.minimum, latency.median, latency.maximum)
        figures = " / ".join(f"{one:.1f}" for one in known if one is not None)
        answers = f"answers in {figures} ms (minimum / median / maximum)" if figures else "no answers"
        click.echo(f"    {answers}, {latency.lost} of {latency.sent} probes lost")
    if row.weight is not None:
        click.echo(f"    {_totals(row.totals)}")


def _totals(totals: Totals) -> str:
    return f"{totals.connections} connections, {totals.in_packets} packets and {totals.in_bytes} bytes in"


def events(deployment: str, entries: Sequence[Happening], *, as_json: bool = False) -> None:
    """The timeline, oldest first."""
    if as_json:
        _json({"deployment": deployment, "events": list(entries)})
        return
    from dsrwizard.core.incident import event_line

    zone = datetime.now().astimezone().tzinfo or UTC
    for entry in entries:
        click.echo(event_line(entry, zone).strip())
    if not entries:
        click.echo("No events.")


def _replies(service: ServiceRow) -> str:
    """The way the replies take, as far as IPVS was seen to count."""
    if service.present is None:
        return "replies not counted here"
    if not service.present:
        return "not in IPVS"
    return (
        f"{service.totals.out_packets} replies seen here"
        if service.totals.out_packets
        else "replies bypass the director"
    )


def _rates(rates: Rates) -> str:
    if rates.connections is None:
        return "- conn/s"
    return f"{rates.connections:.1f} conn/s {rates.in_packets or 0:.0f} pkt/s {rates.in_bytes or 0:.0f} B/s"
