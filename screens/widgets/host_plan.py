"""Rows and texts for a plan and its steps, used in the review and before mending."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from textual.content import Content

from dsrwizard.core.model.changes import FileChange, ModuleChange, SysctlChange
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.steps import DIRECTOR, Plan, Step
from dsrwizard.core.model.words import capital
from dsrwizard.core.plan.waves import wave_lines
from dsrwizard.core.tell.difference import LEGEND, StepGroup, difference, file_difference, groups, symbols
from dsrwizard.core.tell.ticket import step_commands, undo_commands
from screens.widgets.check_detail import labelled
from screens.widgets.glyphs import arrows, glyph
from screens.widgets.rows import ListRow, RowPart
from screens.widgets.words import barred, command_text

STYLES = {"+": "good", "~": "warn", "-": "bad", ">": "accent", "=": "dim"}


def step_key(step: Step) -> str:
    return f"step {step.host} {step.id}"


def problem_key(host: str) -> str:
    return f"problem {host}"


def plan_rows(plan: Plan, moved: frozenset[str] = frozenset()) -> list[ListRow]:
    """The plan as rows in order of execution, its waves first. `moved`: keys of steps that changed since the previous
    plan."""
    return [*_wave_rows(plan), *_rows(groups(plan), moved)]


def _wave_rows(plan: Plan) -> Iterator[ListRow]:
    if plan.waves:
        about = f" {glyph('dash')} each is proved before the next one begins"
        heading = f"{len(plan.waves)} waves"
        yield ListRow("", ((heading, "head"), (about, "dim")), selectable=False)
    for number, line in enumerate(wave_lines(plan), 1):
        yield ListRow(f"wave {number}", (("  ", ""), (line, "")), selectable=False)


def withdrawal_rows(plan: Plan) -> list[ListRow]:
    """A teardown as rows in its order: the director stops sending, the servers remove the VIP, then the director's
    own settings."""
    stops: list[StepGroup] = []
    servers: list[StepGroup] = []
    ground: list[StepGroup] = []
    for host in plan.hosts:
        if host.host != DIRECTOR:
            group = StepGroup(
                host=host.host, heading=host.host, steps=host.steps, problem=host.problem, notes=host.notes
            )
            servers.append(group)
            continue
        first = tuple(step for step in host.steps if step.phase != "prepare")
        last = tuple(step for step in host.steps if step.phase == "prepare")
        stops.append(StepGroup(host=DIRECTOR, heading=DIRECTOR, steps=first, problem=host.problem, notes=host.notes))
        if last:
            ground.append(StepGroup(host=DIRECTOR, heading=f"{DIRECTOR}, after the servers", steps=last))
    return _rows([*stops, *servers, *ground], frozenset())


def _rows(order: Sequence[StepGroup], moved: frozenset[str]) -> list[ListRow]:
    rows: list[ListRow] = []
    same: list[str] = []
    for group in order:
        if group.unchanged:
            same.append(group.heading)
            rows += [_note(group, note) for note in group.notes]
            continue
        rows.append(_heading(group))
        rows += [_note(group, note) for note in group.notes]
        if group.problem:
            text = f"{glyph('fail')} cannot be planned: {group.problem}"
            rows.append(ListRow(problem_key(group.host), (("  ", ""), (text, "bad"))))
        for step in group.steps:
            rows += _step(step, step_key(step) in moved)
    if same:
        names = ", ".join(same) if len(same) <= 6 else f"{', '.join(same[:5])} and {len(same) - 5} more"
        rows.append(ListRow("unchanged", (("= ", "dim"), (f"unchanged: {names}", "dim"))))
    return rows


def _heading(group: StepGroup) -> ListRow:
    count = len(group.steps)
    text = f"{count} step{'' if count == 1 else 's'}" if count else "no steps"
    return ListRow("", ((group.heading, "head"), (f" {glyph('dash')} {text}", "dim")), selectable=False)


def _note(group: StepGroup, note: str) -> ListRow:
    return ListRow(f"note {group.host} {note}", (("  ", ""), (f"{glyph('warn')} {group.host}: {note}", "warn")))


def _step(step: Step, moved: bool) -> Iterator[ListRow]:
    tail: list[RowPart] = []
    if step.interrupts:
        tail.append((f"  {glyph('warn')} interrupts", "warn"))
    if moved:
        tail.append((f"  {glyph('stale')} changed since you looked", "accent"))
    if len(step.changes) == 1:
        found = difference(step.changes[0])
        title = found.what if isinstance(step.changes[0], SysctlChange) else arrows(step.title)
        told = glyph("arrow") in title
        values = f"  {found.old} {glyph('arrow')} {found.new}" if found.old and found.new and not told else ""
        parts: tuple[RowPart, ...] = (("  ", ""), (found.symbol, STYLES[found.symbol]), (f" {title}", ""))
        yield ListRow(step_key(step), (*parts, (values, STYLES[found.symbol]), *tail))
        return
    yield ListRow(step_key(step), (("    ", ""), (arrows(step.title), ""), *tail))
    for change in step.changes:
        found = difference(change)
        line = found.text(glyph("arrow"))
        yield ListRow("", (("      ", ""), (found.symbol, STYLES[found.symbol]), (f" {line}", "dim")), selectable=False)


def legend(plan: Plan) -> Content:
    """The legend of the symbols that this plan uses."""
    return Content("  ".join(f"{symbol} {LEGEND[symbol]}" for symbol in symbols(plan)))


def step_lines(step: Step) -> Iterator[tuple[str, str]]:
    """A short description of a step, for the box under the list."""
    yield "Why", step.why
    yield "Could interrupt", step.interrupts
    undo = undo_commands(step)
    more = f"  (and {len(undo) - 1} more)" if len(undo) > 1 else ""
    yield "Undo", (one_line(undo[0].partition("\n")[0]) + more) if undo else _no_undo(step)
    yield "", "Enter shows the exact commands."


def _no_undo(step: Step) -> str:
    if any(isinstance(change, ModuleChange) for change in step.changes):
        return "cannot be undone: the module stays loaded. Without services it does nothing."
    return "not needed: it leaves no trace."


def failure_lines(failure: Failure) -> Iterator[tuple[str, str]]:
    yield "", failure.what
    yield "Why", failure.why
    yield "Next", failure.next


def step_text(step: Step, *, undo: bool = True) -> Content:
    """All details of a step: why, the exact commands, the exact undo (a teardown has none), changes in files."""
    blocks = [labelled([("", step.why), ("Could interrupt", step.interrupts)])]
    if step.proof is not None:
        proof = step.proof
        text = f"the VIP {proof.vip} answers through {proof.server} on {proof.protocol}/{proof.port}"
        blocks.append(labelled([("Only after", text)]))
    blocks.append(_block("Commands", "\n".join(map(command_text, step_commands(step)))))
    for change in step.changes:
        if isinstance(change, FileChange) and change.old is not None:
            blocks.append(_block(one_line(f"Changes in {change.path}"), barred(file_difference(change))))
    if undo:
        none = _no_undo(step)
        undone = "\n".join(map(command_text, undo_commands(step))) or capital(none)
        blocks.append(_block("Undo", undone))
    return Content("\n\n").join(block for block in blocks if block.plain)


def _block(title: str, text: str) -> Content:
    if not text:
        return Content("")
    return Content.assemble((title, "bold underline"), "\n", text)
