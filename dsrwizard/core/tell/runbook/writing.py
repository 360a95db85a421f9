"""A runbook as Markdown, as a page of HTML to print, and as plain text. The same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from textwrap import wrap

from dsrwizard.core.tell.markdown import escaped, fenced, prose
from dsrwizard.core.tell.runbook.book import HandBook
from dsrwizard.core.tell.runbook.step import COMPARED, RunbookStep
from dsrwizard.core.tell.runbook.ticks import StepProof

_STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em; color: #111; }
pre { background: #f3f3f3; border: 1px solid #ccc; padding: .6em; white-space: pre-wrap; overflow-wrap: anywhere; }
h2 { margin-top: 1.6em; font-size: 1.1em; } h2 input { margin-right: .5em; }
p.label { margin: .6em 0 .2em; font-weight: 600; }
@media print { h2 { break-after: avoid; } pre { break-inside: avoid; } }
"""


def _parts(step: RunbookStep) -> Iterator[tuple[str, tuple[str, ...], bool]]:
    """Label, lines, and whether they are typed."""
    if step.hand:
        yield "By hand", step.hand, False
    if step.commands:
        yield "Commands", step.commands, True
    if step.core:
        yield "On Server Core, instead", step.core, True
    if step.check:
        yield "Check", step.check, True
    if step.see:
        yield "How to see it", step.see, False
    if step.undo:
        yield "Undo", step.undo, True
    if step.back:
        yield "Undo by hand", step.back, False


def _proof(step: RunbookStep, proof: StepProof) -> str:
    """What was seen, or what would show it."""
    check = proof.check
    if proof.outcome == "proved":
        by = "" if step.proves == COMPARED else " from outside"
        return f"Proved{by}: {check.message if check is not None else step.proves}"
    if proof.outcome == "failed" and check is not None:
        return " ".join(part for part in (f"FAILED: {check.message}", f"Cause: {check.cause}." * bool(check.cause),
                                          check.fix) if part)  # fmt: skip
    if step.proves == COMPARED:
        return "dsrwizard runbook proves this with --compare"
    return f"dsrwizard proves this from outside: {step.proves}" if step.proves else ""


def _numbered(book: HandBook, proofs: Sequence[StepProof]) -> Iterator[tuple[int, RunbookStep, StepProof]]:
    """`proofs`: one for each step, or none at all."""
    for number, step in enumerate(book.steps):
        yield number + 1, step, proofs[number] if proofs else StepProof()


def text(book: HandBook, proofs: Sequence[StepProof] = ()) -> str:
    """Plain text, for a terminal or a ticket."""
    lines = [*wrap(book.title, 78), "=" * min(len(book.title), 78), ""]
    lines += [line for entry in book.before for line in wrap(entry, 78)]
    for number, step, proof in _numbered(book, proofs):
        done = "[x] " if proof.outcome == "proved" else "[!] " if proof.outcome == "failed" else ""
        lines += ["", f"{number}. {done}{step.title}", *_indented(step.why, 3)]
        for label, entries, typed in _parts(step):
            lines.append(f"   {label}:")
            for entry in entries:  # what is typed is never broken
                lines += [f"     {line}" for line in entry.split("\n")] if typed else _indented(entry, 5)
        if seen := _proof(step, proof):
            lines += _indented(seen, 3)
    outside = [line for entry in book.outside for line in wrap(f"- {entry}", 78, subsequent_indent="  ")]
    return "\n".join([*lines, "", "From outside", *outside, ""])


def _indented(entry: str, depth: int) -> list[str]:
    return wrap(entry, 78, initial_indent=" " * depth, subsequent_indent=" " * depth)


def markdown(book: HandBook, proofs: Sequence[StepProof] = ()) -> str:
    """Markdown with a task per step and fenced commands."""
    lines = [f"# {escaped(book.title)}", "", *(f"{prose(line)}  " for line in book.before)]
    for number, step, proof in _numbered(book, proofs):
        task = "- [x] done" if proof.outcome == "proved" else "- [ ] done"
        lines += ["", f"## {number}. {escaped(step.title)}", "", task, "", prose(step.why)]
        for label, entries, typed in _parts(step):
            lines += ["", f"**{label}**", ""]
            lines += fenced(entries) if typed else [f"- {prose(entry)}" for entry in entries]
        if seen := _proof(step, proof):
            lines += ["", f"_{escaped(seen)}_"]
    return "\n".join([*lines, "", "## From outside", "", *(f"- {prose(line)}" for line in book.outside), ""])


def html(book: HandBook, proofs: Sequence[StepProof] = ()) -> str:
    """One page that needs nothing else, with a box to tick per step."""
    body = [f"<h1>{escape(book.title)}</h1>", *(f"<p>{escape(line)}</p>" for line in book.before)]
    for number, step, proof in _numbered(book, proofs):
        title = f"{number}. {escape(step.title)}"
        ticked = " checked" if proof.outcome == "proved" else ""
        body.append(f'<h2><label><input type="checkbox"{ticked}>{title}</label></h2>')
        body.append(f"<p>{escape(step.why)}</p>")
        for label, entries, typed in _parts(step):
            body.append(f'<p class="label">{label}</p>')
            if typed:
                body.append("<pre>" + escape("\n".join(entries)) + "</pre>")
            else:
                body.append("<ul>" + "".join(f"<li>{escape(entry)}</li>" for entry in entries) + "</ul>")
        if seen := _proof(step, proof):
            tag = "strong" if proof.outcome == "failed" else "em"
            body.append(f"<p><{tag}>{escape(seen)}</{tag}></p>")
    body.append("<h2>From outside</h2>")
    body.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in book.outside) + "</ul>")
    head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(book.title)}</title>\n'
    return head + f"<style>\n{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
