"""A plan as Markdown for a change ticket: what changes where, why, the exact commands and their undo. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.steps import Plan, Step
from dsrwizard.core.plan.order import leaves
from dsrwizard.core.plan.waves import stop_lines, wave_lines, wave_of
from dsrwizard.core.tell.difference import (
    LEGEND,
    StepGroup,
    count_line,
    difference,
    groups,
    interruptions,
    replaced_or_removed,
    symbols,
)
from dsrwizard.core.tell.markdown import escaped, fenced


def ticket(deployment: Deployment, plan: Plan, when: str = "") -> str:
    """The whole text. `when` is a date as it should stand in the ticket; empty leaves the line out."""
    return "\n".join(_lines(deployment, plan, when)).rstrip() + "\n"


def _lines(deployment: Deployment, plan: Plan, when: str) -> Iterator[str]:
    yield f"# Change: Direct Server Return deployment {escaped(deployment.name)}"
    yield ""
    for vip in deployment.vips:
        services = ", ".join(f"{service.label} ({service.scheduler})" for service in vip.services)
        yield f"- {escaped(f'VIP {vip.address}: {services}')}"
    yield f"- Director: interface {escaped(deployment.director.interface)}, engine {deployment.director.engine}"
    yield f"- Real servers: {escaped(', '.join(f'{server.name} ({server.address})' for server in deployment.servers))}"
    if when:
        yield f"- Planned from what was seen {when}"
    yield f"- Total: {escaped(count_line(plan))}"
    yield ""
    yield from _section(
        "What could interrupt traffic", interruptions(plan), "Nothing in this plan interrupts existing traffic."
    )
    yield from _section("What is replaced or removed", replaced_or_removed(plan), "Nothing.")
    if plan.waves:
        yield from _section("Waves", (*wave_lines(plan), *stop_lines(plan)), "")
    yield "## Changes, in order of execution"
    yield ""
    legend = [f"`{symbol}` {LEGEND[symbol]}" for symbol in symbols(plan)]
    if legend:
        yield from (", ".join(legend), "")
    for group in groups(plan):
        yield from _group(group, _turn(plan, group))
    yield "## Undo"
    yield ""
    yield "In reverse order. `dsrwizard teardown` does the same from the journal, which holds every previous value."
    yield ""
    for group in reversed(groups(plan)):
        if group.steps:
            yield f"### {escaped(group.heading)}"
            yield ""
            yield from _code(line for step in reversed(group.steps) for line in undo_commands(step))


def undo_commands(step: Step) -> tuple[str, ...]:
    """The exact commands that take this step back."""
    return step_commands(step.inverse())


def step_commands(step: Step) -> tuple[str, ...]:
    """The exact commands of this step, or the calls where it is about an appliance."""
    if step.calls is not None:
        return step.calls
    return tuple(line for change in step.changes for line in commands(change))


def _section(title: str, lines: tuple[str, ...], none: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    if lines:
        yield from (f"- {escaped(line)}" for line in lines)
    else:
        yield none
    yield ""


def _turn(plan: Plan, group: StepGroup) -> str:
    number = wave_of(plan, group.host) if group.steps and not any(map(leaves, group.steps)) else 0
    return f", wave {number} of {len(plan.waves)}" if number else ""


def _group(group: StepGroup, turn: str) -> Iterator[str]:
    yield f"### {escaped(group.heading)}{turn}"
    yield ""
    if group.problem:
        yield f"**Cannot be planned:** {escaped(group.problem)}"
        yield ""
    for note in group.notes:
        yield f"> {escaped(note)}"
        yield ""
    if group.unchanged:
        yield "`=` unchanged"
        yield ""
    for number, step in enumerate(group.steps, 1):
        yield f"**{number}. {escaped(step.title)}.** {escaped(step.why)}"
        if step.interrupts:
            yield f"Could interrupt: {escaped(step.interrupts)}"
        yield ""
        for change in step.changes:
            found = difference(change)
            yield f"- `{found.symbol}` {escaped(found.text())}"
        yield ""
        yield from _code(step_commands(step))


def _code(lines: Iterator[str] | tuple[str, ...]) -> Iterator[str]:
    block = list(fenced(lines, "sh"))
    if block:
        yield from (*block, "")
