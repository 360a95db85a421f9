"""A runbook as Markdown, as a page of HTML to print, and as plain text. The same input gives the same bytes."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from textwrap import wrap

from dsrwizard.core.tell.markdown import escaped, fenced, prose
from dsrwizard.core.tell.runbook.book import Runbook
from dsrwizard.core.tell.runbook.step import RunbookStep

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
    if step.undo:
        yield "Undo", step.undo, True


def _proof(step: RunbookStep) -> str:
    return f"dsrwizard proves this from outside: {step.proves}" if step.proves else ""


def text(book: Runbook) -> str:
    """Plain text, for a terminal or a ticket."""
    lines = [*wrap(book.title, 78), "=" * min(len(book.title), 78), ""]
    lines += [line for entry in book.before for line in wrap(entry, 78)]
    for number, step in enumerate(book.steps, 1):
        lines += ["", f"{number}. {step.title}", *_indented(step.why, 3)]
        for label, entries, typed in _parts(step):
            lines.append(f"   {label}:")
            for entry in entries:  # what is typed is never broken
                lines += [f"     {line}" for line in entry.split("\n")] if typed else _indented(entry, 5)
        if step.proves:
            lines.append(f"   {_proof(step)}")
    outside = [line for entry in book.outside for line in wrap(f"- {entry}", 78, subsequent_indent="  ")]
    return "\n".join([*lines, "", "From outside", *outside, ""])


def _indented(entry: str, depth: int) -> list[str]:
    return wrap(entry, 78, initial_indent=" " * depth, subsequent_indent=" " * depth)


def markdown(book: Runbook) -> str:
    """Markdown with a task per step and fenced commands."""
    lines = [f"# {escaped(book.title)}", "", *(f"{prose(line)}  " for line in book.before)]
    for number, step in enumerate(book.steps, 1):
        lines += ["", f"## {number}. {escaped(step.title)}", "", "- [ ] done", "", prose(step.why)]
        for label, entries, typed in _parts(step):
            lines += ["", f"**{label}**", ""]
            lines += fenced(entries) if typed else [f"- {prose(entry)}" for entry in entries]
        if step.proves:
            lines += ["", f"_{escaped(_proof(step))}_"]
    return "\n".join([*lines, "", "## From outside", "", *(f"- {prose(line)}" for line in book.outside), ""])


def html(book: Runbook) -> str:
    """One page that needs nothing else, with a box to tick per step."""
    body = [f"<h1>{escape(book.title)}</h1>", *(f"<p>{escape(line)}</p>" for line in book.before)]
    for number, step in enumerate(book.steps, 1):
        title = f"{number}. {escape(step.title)}"
        body.append(f'<h2><label><input type="checkbox">{title}</label></h2>')
        body.append(f"<p>{escape(step.why)}</p>")
        for label, entries, typed in _parts(step):
            body.append(f'<p class="label">{label}</p>')
            if typed:
                body.append("<pre>" + escape("\n".join(entries)) + "</pre>")
            else:
                body.append("<ul>" + "".join(f"<li>{escape(entry)}</li>" for entry in entries) + "</ul>")
        if step.proves:
            body.append(f"<p><em>{escape(_proof(step))}</em></p>")
    body.append("<h2>From outside</h2>")
    body.append("<ul>" + "".join(f"<li>{escape(line)}</li>" for line in book.outside) + "</ul>")
    head = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(book.title)}</title>\n'
    return head + f"<style>\n{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
