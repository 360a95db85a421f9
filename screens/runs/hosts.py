"""The state of each host in a run, built from the engine's events: state, step, elapsed time, last line. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from dsrwizard.core.model.events import (
    Draining,
    Event,
    HostFinished,
    HostSaid,
    HostStarted,
    RevertArmed,
    RevertOff,
    StepFinished,
    StepStarted,
    WaveBegan,
)
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.outcome import HostResult, Outcome, StepResult
from dsrwizard.core.model.steps import DIRECTOR, Plan, Step
from dsrwizard.core.plan.waves import names
from screens.widgets.glyphs import arrows, glyph
from screens.widgets.host_words import style, word
from screens.widgets.numbers import age
from screens.widgets.rows import ListRow, fit, right

KEPT_LINES = 5000
_BROKEN = (Outcome.FAILED, Outcome.UNKNOWN, Outcome.HELD)


@dataclass
class HostRun:
    """One host's part in a run. Times in seconds since the run began."""

    host: str
    of: int = 0
    number: int = 0
    title: str = ""
    state: str = "waiting"
    began: float | None = None
    ended: float | None = None
    last: str = ""
    lines: list[str] = field(default_factory=list)
    failure: Failure | None = None
    failed_step: StepResult | None = None
    finished: int = 0
    revert: tuple[float, float] | None = None
    """When it takes its steps back by itself: so many seconds after that moment, which each step puts off."""

    @property
    def broken(self) -> bool:
        """The host failed and needs a decision: retry, skip or roll back."""
        return self.state in _BROKEN or self.state == Outcome.NOT_ATTEMPTED

    def going_back(self, now: float) -> str:
        """What it does by itself, and when; empty: nothing."""
        if self.revert is None:
            return ""
        seconds, since = self.revert
        left = round(seconds - (now - since))
        return f"{self.host} puts itself back in {left} s unless proved" if left > 0 else f"{self.host} put itself back"

    def say(self, text: str) -> None:
        """Adds to the log; all lines of a text get the first one's indent."""
        indent = text[: len(text) - len(text.lstrip(" "))]
        lines = text.strip().split("\n")
        self.lines += [f"{indent}{line}" for line in lines]
        if len(self.lines) > 2 * KEPT_LINES:
            del self.lines[:-KEPT_LINES]
        self.last = lines[0] or self.last

    def said(self, text: str) -> bool:
        """Whether the log already ends with this text."""
        recent = "\n".join(line.strip() for line in self.lines[-20:])
        return all(line.strip() in recent for line in text.split("\n"))


class HostRuns:
    """All hosts of a run, in the plan's order. A retry starts one host's run again and leaves the others."""

    def __init__(self, plan: Plan | None = None, unseen: Mapping[str, Failure] | None = None) -> None:
        self.hosts: dict[str, HostRun] = {}
        self._steps: dict[tuple[str, str], Step] = {}
        self._unseen: dict[str, Failure] = {}
        if plan is not None:
            self.add(plan, unseen or {})

    def add(self, plan: Plan, unseen: Mapping[str, Failure]) -> None:
        """Adds a plan: new hosts wait, step titles become known, and so do the errors of hosts that could not be
        observed (`unseen`)."""
        self._unseen |= unseen
        for host in plan.hosts:
            self._steps |= {(step.host, step.id): step for step in host.steps}
            if host.host not in self.hosts:
                state = "left out" if host.problem and not host.steps else "waiting"
                self.hosts[host.host] = HostRun(host.host, of=len(host.steps), state=state, last=host.problem)

    def rolled_back(self, hosts: Iterable[str]) -> None:
        """Marks these hosts as rolled back."""
        for host in hosts:
            run = self.hosts.get(host)
            if run is not None and run.state in (Outcome.CHANGED, Outcome.UNCHANGED):
                run.state, run.last = Outcome.ROLLED_BACK, "as it was before"

    def take(self, event: Event) -> HostRun:
        """Records one event and returns its host."""
        run = self.hosts.setdefault(event.host, HostRun(event.host))
        match event:
            case HostStarted(steps=steps):
                kept = run.lines
                run = self.hosts[event.host] = HostRun(event.host, of=steps, lines=kept)
                if kept:
                    kept.append("")
            case StepStarted(title=title, number=number, of=of):
                run.revert = (run.revert[0], event.at) if run.revert else None
                run.began = event.at if run.began is None else run.began
                run.state, run.title, run.number, run.of = "running", title, number, of or run.of
                run.say(f"{glyph('arrow')} {arrows(title)}")
            case StepFinished(result=result):
                self._step(run, result)
            case HostSaid(line=line):
                run.say(f"  {line}")
            case RevertArmed(seconds=seconds):
                run.revert = (seconds, event.at)
            case RevertOff():
                run.revert = None
            case HostFinished(result=result):
                self._finish(run, result, event.at)
            case WaveBegan(number=number, of=of, servers=servers):
                run.say(f"wave {number} of {of}: {names(servers)}")
            case Draining(servers=servers, left=left, seconds=seconds):
                count = f"{left} connection{'' if left == 1 else 's'}"
                run.say(f"{names(servers, 3)}: {count} left, {seconds:.0f} s")
        return run

    def _step(self, run: HostRun, result: StepResult) -> None:
        run.finished += result.outcome is Outcome.CHANGED
        title = self.title_of(result)
        if result.outcome in (*_BROKEN, Outcome.NOT_ATTEMPTED):
            if result.outcome is not Outcome.NOT_ATTEMPTED:
                run.failed_step = run.failed_step or result
            run.say(f"{word(result.outcome)}: {title}")
            if result.detail and not run.said(result.detail):
                run.say(f"  {result.detail}")

    def _finish(self, run: HostRun, result: HostResult, at: float) -> None:
        run.state, run.failure, run.ended = str(result.outcome), result.failure, at
        if run.failure is not None and run.failure.kind == "plan":
            run.failure = self._unseen.get(run.host, run.failure)
        run.failed_step = run.failed_step or next((step for step in result.steps if step.outcome in _BROKEN), None)
        if result.failure is not None:
            what = (run.failure or result.failure).what
            if run.said(what):
                run.last = what
            else:
                run.say(what)
        elif waits := self._waits_for(result):
            run.state, run.last = "in part", f"steps for {', '.join(waits)} wait until that is fixed"
        elif result.outcome is Outcome.NOT_ATTEMPTED:
            run.last = next((step.detail for step in result.steps if step.detail), run.last)
        elif result.outcome is Outcome.UNCHANGED:
            run.last = "nothing to do"
        elif result.outcome is Outcome.CHANGED:
            done = sum(step.outcome is Outcome.CHANGED for step in result.steps)
            run.say(f"{done} change{'' if done == 1 else 's'} made")

    def _waits_for(self, result: HostResult) -> list[str]:
        """The failed real servers that the director's remaining steps wait for."""
        if result.host != DIRECTOR or result.outcome is not Outcome.NOT_ATTEMPTED:
            return []
        left = [step for step in result.steps if step.outcome is Outcome.NOT_ATTEMPTED]
        known = [step for one in left if (step := self._steps.get((one.host, one.step))) is not None]
        waiting = [step for step in known if not step.awaits]  # a VIP waits for whichever server comes first
        broken = list(dict.fromkeys(step.server for step in waiting)) or self.broken()
        return broken if all(name in self.hosts and self.hosts[name].broken for name in broken) else []

    def title_of(self, result: StepResult) -> str:
        """The step that failed."""
        step = self._steps.get((result.host, result.step))
        return step.title if step else result.step

    def rows(self, now: float) -> list[ListRow]:
        return [_row(run, now) for run in self.hosts.values()]

    def broken(self) -> list[str]:
        return [run.host for run in self.hosts.values() if run.broken]

    @property
    def total(self) -> int:
        """The number of hosts that take part."""
        return len(self.hosts) - self.counted(("left out",))

    @property
    def untouched(self) -> bool:
        """Whether nothing has begun on any host."""
        return self.counted(("waiting",)) == self.total

    @property
    def done(self) -> int:
        """The number of hosts that are finished."""
        return self.counted((Outcome.CHANGED, Outcome.UNCHANGED, Outcome.SKIPPED, Outcome.ROLLED_BACK))

    def counted(self, states: Iterable[str]) -> int:
        wanted = set(states)
        return sum(run.state in wanted for run in self.hosts.values())


def _row(run: HostRun, now: float) -> ListRow:
    elapsed = ""
    if run.began is not None:
        elapsed = age((run.ended if run.ended is not None else now) - run.began)
    done = run.number if run.state == "running" else run.finished
    step = f"{done}/{run.of}" if run.of else glyph("dash")
    return ListRow(
        run.host,
        (
            (fit(run.host, 14), "head"),
            (" " + fit(word(run.state), 14), style(run.state)),
            (right(step, 6), ""),
            (right(elapsed, 7), "dim"),
            (f"  {run.going_back(now) or run.last}", "bad" if run.broken or run.revert else "dim"),
        ),
    )
