"""The output of the commands: text for people, one JSON document for programs."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dsrwizard import out
from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.events import (
    Draining,
    Event,
    HostFinished,
    RevertArmed,
    RevertOff,
    StepFinished,
    WaveBegan,
)
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.core.model.outcome import HostResult, RunResult, StepResult
from dsrwizard.core.model.snapshot import DestinationRow, FarmFault, Happening, Rates, ServiceRow, Snapshot, Totals
from dsrwizard.core.model.steps import Plan, Step
from dsrwizard.core.model.words import capital
from dsrwizard.core.plan.departed import DEPARTED, Departed
from dsrwizard.core.plan.mend import Mending, MendResult
from dsrwizard.core.plan.waves import names, wave_lines
from dsrwizard.core.tell.ticket import step_commands, undo_commands
from dsrwizard.engine.servers.sent import SentScript

_NOW = 10.0
"""Seconds. A state younger than this is printed without its age."""
_GOOD = {"pass", "up", "changed", "unchanged", "skipped", "cured"}
_BAD = {"fail", "left", "failed", "vip-dead", "leaking", "drifted", "unreachable"}


def _word(word: str, width: int = 0) -> out.Word:
    """A state as a coloured word; the word alone has the full meaning."""
    return out.Word(word.ljust(width), "green" if word in _GOOD else "red" if word in _BAD else "yellow")


def step_document(step: Step) -> dict[str, Any]:
    """A step as JSON: why, the exact commands, the exact undo."""
    return {
        "id": step.id,
        "phase": step.phase,
        "title": step.title,
        "why": step.why,
        "interrupts": step.interrupts,
        "commands": [*step_commands(step)],
        "undo": [*undo_commands(step)],
    }


def plan(made: Plan, *, as_json: bool = False, scripts: Mapping[str, Sequence[SentScript]] | None = None) -> None:
    """Prints the plan, host by host, in the order of execution; with `scripts`, those that are sent to each server."""
    if as_json:
        out.document(
            {
                "deployment": made.deployment,
                "changes": len(made.steps),
                "waves": [{"servers": wave.servers, "share": wave.share} for wave in made.waves],
                "hosts": [
                    {
                        "host": host.host,
                        "problem": host.problem,
                        "notes": list(host.notes),
                        "steps": [step_document(step) for step in host.steps],
                        **({} if scripts is None else {"scripts": scripts.get(host.host, ())}),
                    }
                    for host in made.hosts
                ],
            }
        )
        return
    for host in made.hosts:
        count = f"{len(host.steps)} step{'' if len(host.steps) == 1 else 's'}" if host.steps else "nothing to do"
        count = "left as it is" if host.failure is not None else count
        out.line(f"{host.host}: {'no plan possible' if host.problem else count}")
        if host.problem:
            out.line(f"  ! {host.problem}")
        for note in host.notes:
            out.line(f"  i {note}")
        for step in host.steps:
            _step(step)
        for sent in (scripts or {}).get(host.host, ()):
            out.line(f"  - The script that {sent.what}s")
            out.text("".join(f"      | {one}".rstrip() + "\n" for one in sent.text.splitlines()))
    waves(made)
    total = len(made.steps)
    out.line(f"{total} step{'' if total == 1 else 's'} on {sum(bool(host.steps) for host in made.hosts)} hosts.")


def waves(made: Plan) -> None:
    """Prints who is in which wave, and what is at stake."""
    for line in wave_lines(made):
        out.line(f"{capital(line)}.")


def _step(step: Step, *, undo: bool = False) -> None:
    out.line(f"  - {step.title}")
    out.line(f"      {step.why}")
    _commands("$ ", step)
    if undo:
        _commands("undo: ", step.inverse())
    if step.interrupts:
        out.line(f"      ! {step.interrupts}")


def _commands(mark: str, step: Step) -> None:
    for command in step_commands(step):
        out.command(f"      {mark}", command)


def forgettable(gone: Departed) -> None:
    """Prints what would be forgotten of a former server, with what would have to be done there."""
    out.line(f"{gone.server} ({gone.address}): the journal forgets")
    for item in gone.owed:
        out.line(f"  - {item.title}")
        for command in commands(item.change.inverse()):
            out.command("      undo: ", command)
    if gone.vips:
        out.line(
            f"  ! If this machine starts again, it holds {names(gone.vips)}, and nothing undoes that any more. "
            "Wipe it, or run these commands there before it is back in this network."
        )


def forgotten(deployment: str, gone: Departed, *, as_json: bool = False) -> None:
    """Prints what was forgotten."""
    if as_json:
        titles = [item.title for item in gone.owed]
        document = {"deployment": deployment, "server": gone.server, "address": gone.address, "forgotten": titles}
        out.document(document)
        return
    out.line(f"Forgotten: {gone.server}. Nothing was changed on any host.")


class ProgressLines:
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
                    about = f" {result.step}{': ' if result.detail else ''}"
                    out.line(*_when(event, result), about, said=result.detail)
                case RevertArmed(host=host, seconds=seconds):
                    about = f" puts itself back in {seconds:.0f} s unless proved"
                    out.line(f"{event.at:6.1f}s {host:<10} ", _word("armed", 13), about)
                case RevertOff(host=host, proved=True):
                    out.line(f"{event.at:6.1f}s {host:<10} ", _word("kept", 13), " proved: it keeps what was changed")
                case RevertOff(host=host):
                    out.line(f"{event.at:6.1f}s {host:<10} ", _word("disarmed", 13), " no changes left to undo")
                case HostFinished(result=result) if result.failure is not None:
                    out.line(*_when(event, result), err=True)
                case WaveBegan(number=number, of=of, servers=servers):
                    out.line(f"{event.at:6.1f}s wave {number} of {of}: {names(servers)}")
                case Draining(servers=servers, left=left, seconds=seconds):
                    out.line(f"{event.at:6.1f}s {names(servers)}: {_count(left, 'connection')} left, {seconds:.0f} s")
                case _:
                    pass


def _when(event: Event, result: StepResult | HostResult) -> tuple[str | out.Word, ...]:
    return f"{event.at:6.1f}s {result.host:<10} ", _word(str(result.outcome), 13)


def result(run: RunResult, *, as_json: bool = False) -> None:
    """Prints the result of a run, host by host."""
    if as_json:
        out.document({"deployment": run.deployment, "ok": run.ok, "changed": run.changed, "hosts": run.hosts})
        return
    _failures(run)
    words = [part for host in run.hosts for part in (f", {host.host} ", _word(str(host.outcome)))]
    words[:1] = [f"{run.hosts[0].host} "] if run.hosts else ["Nothing to do"]
    out.line(*words, ". No change." if run.ok and not run.changed else ".")


def _failures(run: RunResult) -> None:
    for host in run.hosts:
        if host.failure is not None and host.failure.kind != DEPARTED:  # the plan has said it
            what = host.failure.what
            named = what if what.startswith(host.host) else f"{host.host}: {what}"
            for text in (named, host.failure.why, host.failure.next):
                if text:
                    out.line(said=text, err=True)


def report(made: Report, *, as_json: bool = False) -> None:
    """Prints the checks in the order a packet travels, and the verdict."""
    if as_json:
        out.document(made)
        return
    for check in made.checks:
        about = " ".join(part for part in (check.vip, check.service) if part)
        out.line(_word(check.outcome, 8), f" {check.host:<10} {check.check:<18} {about}")
        out.line(f"         {check.message}")
        if check.outcome in ("fail", "unknown"):
            for label, text in (("cause", check.cause), ("seen", check.evidence), ("fix", check.fix)):
                if text:
                    out.line(f"         {label}: {text}")
    if made.not_seen:
        out.line("Not seen:")
    for text in made.not_seen:
        out.line(f"  - {text}")
    out.line("Verdict: ", _word(made.verdict))


def _fault(check: Check) -> str:
    about = " ".join(part for part in (check.vip, check.service, check.server) if part)
    return f"{check.host}: {check.cause or check.check}{' ' + about if about else ''}"


def mending(made: Mending) -> None:
    """Prints the faults and the steps that fix them: each step once, with its exact commands and its exact undo."""
    for cure in made.cures:
        check = cure.check
        out.line(_word(check.outcome, 8), f" {_fault(check)}")
        out.line(f"         {check.message}")
        known = (("seen", check.evidence), ("not fixed", cure.by_hand), ("fix", check.fix if cure.by_hand else ""))
        for label, text in known:
            if text:
                out.line(f"         {label}: {text}")
    for host in made.plan.hosts:
        if host.steps or host.notes:
            out.line(f"{host.host}:")
        for note in host.notes:
            out.line(f"  i {note}")
        for step in host.steps:
            _step(step, undo=True)
    waves(made.plan)
    able = sum(bool(cure.steps) for cure in made.cures)
    out.line(f"{_count(len(made.cures), 'fault')}; {able} can be mended, in {_count(len(made.plan.steps), 'step')}.")


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def mended(done: MendResult, left: Sequence[Check], *, as_json: bool = False) -> None:
    """Prints each fault before and after, and what is left. `left` are the checks that fail now."""
    if as_json:
        out.document(
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
        told = one.after.message if one.after else "It was not checked again."
        out.line(_word(word, 8), f" {_fault(one.cure.check)}: {told}")
    if not done.mended:
        out.line("No check failed.")
    before = {(one.cure.check.host, one.cure.check.server, one.cure.check.cause) for one in done.mended}
    for check in left:
        if (check.host, check.server, check.cause) not in before:
            out.line(_word(check.outcome, 8), f" {_fault(check)}: {check.message}")
            if check.fix:
                out.line(f"         fix: {check.fix}")
    if done.report is not None:
        out.line("Verdict: ", _word(done.report.verdict))


def snapshot(made: Snapshot, *, as_json: bool = False) -> None:
    """Prints one snapshot of the live pane."""
    if as_json:
        out.document(
            {name: getattr(made, name) for name in made.__struct_fields__ if name not in ("history", "clock_set")}
        )
        return
    if made.problem:
        out.line(f"! {made.problem}")
    if not made.verdict:
        out.line("Not verified yet: no verification has ended, so the states are those of the quick looks.")
    _guard(made.guard, made.at)
    if made.directors:
        out.line(f"Directors: {', '.join(f'{one.name} {one.words}' for one in made.directors)}.")
    for fault in made.faults:
        _farm_fault(fault, made.at)
    told = {fault.message for fault in made.faults}
    for service in made.services:
        owner = f"VIP owner: {service.owner or 'unknown'}"
        head = f"{service.vip} {service.service} {service.scheduler}"
        out.line(f"{head}  {_rates(service.rates)}  {owner}; {_replies(service)}")
        if service.cause and service.message not in told:
            out.line("  ", _word("fail", 8), f" {service.cause}: {service.message}")
            _fix(service.fix, "           ")
        for row in service.rows:
            weight = "-" if row.weight is None else str(row.weight)
            probe = f"{row.probe.milliseconds:.1f} ms" if row.probe and row.probe.milliseconds is not None else "-"
            out.line(
                f"  {row.server:<12} ",
                _word(row.state, 11),
                f" weight {weight:>3}  active {row.active:>5}  "
                f"inactive {row.inactive:>5}  {_rates(row.rates)}  probe {probe:>8}  arp {row.arp}",
            )
            _about(row, made.at)
        if service.present:
            out.line(f"  {'total':<12} {_totals(service.totals)}")
    if made.unseen:
        out.line("Not seen:")
        for line in made.unseen:
            out.line(f"  {line}")


def _guard(guard: GuardState | None, at: float) -> None:
    """Prints what the deployment's guard does; nothing where there is none."""
    from dsrwizard.core.tell.incident import span

    if guard is None or guard.over:
        return
    if not guard.alive(at):
        out.line(f"! The guard is not running. Its last round was {span(at - guard.at)} ago; it {guard.words}.")
        return
    out.line(f"Guard: {guard.words}; its last round was {max(0.0, at - guard.at):.1f} s ago.")
    for held in guard.held:
        out.line(f"  holds out {held.place} for {span(at - held.since)}: {held.why}")
    for alarm in guard.alarms:
        out.line(f"  alarm: {alarm}")


def _farm_fault(fault: FarmFault, at: float) -> None:
    """Prints what a verification found wrong with the director or the network."""
    from dsrwizard.core.tell.incident import cause_line, span

    about = " ".join(part for part in (fault.host, fault.vip, fault.service) if part)
    out.line(_word("fail", 8), f" {about}  {cause_line(fault.cause, fault.message)}")
    if fault.evidence:
        out.line(f"         seen: {fault.evidence}")
    _fix(fault.fix, "         ")
    if at - fault.since >= _NOW:
        age = f", last seen {span(fault.age)} ago" if fault.age >= _NOW else ""
        out.line(f"         for {span(at - fault.since)}{age}")


def _fix(fix: str, margin: str) -> None:
    if fix:
        out.line(f"{margin}fix: {fix}")


def _about(row: DestinationRow, at: float) -> None:
    """Prints details of one real server below its line: since when, why, what to do, latency, totals."""
    from dsrwizard.core.tell.incident import cause_line, span, time_with_zone

    zone = datetime.now().astimezone().tzinfo or UTC
    if row.since and at - row.since >= _NOW:
        out.line(f"    since {time_with_zone(row.since, zone)} ({span(at - row.since)})")
    reason = cause_line(row.cause, row.message)
    if reason:
        out.line(f"    {reason}")
    if row.fix not in row.message:
        _fix(row.fix, "    ")
    latency = row.latency
    if latency.sent:
        known = (latency.minimum, latency.median, latency.maximum)
        figures = " / ".join(f"{one:.1f}" for one in known if one is not None)
        answers = f"answers in {figures} ms (minimum / median / maximum)" if figures else "no answers"
        out.line(f"    {answers}, {latency.lost} of {latency.sent} probes lost")
    if row.weight is not None:
        out.line(f"    {_totals(row.totals)}")


def _totals(totals: Totals) -> str:
    return f"{totals.connections} connections, {totals.in_packets} packets and {totals.in_bytes} bytes in"


def events(deployment: str, entries: Sequence[Happening], *, as_json: bool = False) -> None:
    """Prints the timeline, oldest first."""
    if as_json:
        out.document({"deployment": deployment, "events": list(entries)})
        return
    from dsrwizard.core.tell.incident import event_line

    zone = datetime.now().astimezone().tzinfo or UTC
    for entry in entries:
        out.line(event_line(entry, zone).strip())
    if not entries:
        out.line("No events.")


def _replies(service: ServiceRow) -> str:
    """The path of the replies, if IPVS counters could be read."""
    if service.present is None:
        return "replies not counted"
    if not service.present:
        return "not in IPVS"
    return (
        f"{service.totals.out_packets} replies came through the director"
        if service.totals.out_packets
        else "replies bypass the director"
    )


def _rates(rates: Rates) -> str:
    if rates.connections is None:
        return "- conn/s"
    return f"{rates.connections:.1f} conn/s {rates.in_packets or 0:.0f} pkt/s {rates.in_bytes or 0:.0f} B/s"
