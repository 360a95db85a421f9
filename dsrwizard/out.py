"""The one way to standard output and standard error for the commands: lines, quotations, whole texts, JSON.

Whatever comes in is made harmless here, the whole line of it, so that nobody who prints has to think of it. Colour is
given as a `Word` and put on afterwards. One call of `line` is one line on the terminal: what a host said cannot begin
another one, and the lines of a quotation stand behind a bar.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import click
import msgspec

from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.foreign import in_json, lines, one_line, whole

LONGEST_LINE = 20_000
LONGEST_COMMAND = 200_000
"""Characters. What dsrwizard prints is far below."""
_BAR = "  | "
_WIDEST = 100
"""Columns of a page: longer lines of prose are hard to read, however wide the terminal is."""

_documents = 0


@dataclass(frozen=True)
class Word:
    """A text in a colour, where the terminal shows colours."""

    text: str
    colour: str


def line(*parts: str | Word, said: str = "", err: bool = False, end: str = "\n") -> None:
    """One line. `said` follows on it; where it has more lines, they come behind a bar. `err`: to standard error."""
    first, *more = lines(said).split("\n")
    _echo("".join(_styled(part) for part in (*parts, first)) + end, err=err)
    for one in more:
        _echo(_BAR + one_line(one, LONGEST_LINE) + "\n", err=err)


def command(mark: str, typed: str) -> None:
    """A command behind its mark, tabs kept. The further lines of a here-document stand behind a bar: they are a file's
    content, which may look like anything."""
    first, *more = lines(typed, LONGEST_COMMAND, tabs=True).split("\n")
    _echo(one_line(mark) + first + "\n")
    for one in more:
        _echo(f"{' ' * (len(mark) - len(_BAR))}{_BAR}{one}\n")


def text(content: str) -> None:
    """A text of several lines that dsrwizard has put together, as it stands."""
    _echo(whole(content))


def markdown(content: str) -> None:
    """A page of Markdown, formatted on a terminal and as it is elsewhere."""
    if not sys.stdout.isatty():
        text(content)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    console.print(Markdown(whole(content), code_theme="ansi_dark"), width=min(console.width, _WIDEST))


def question(content: str) -> None:
    """A question on standard error, the cursor behind it."""
    _echo(whole(content), err=True)


def complaint(*said: str) -> None:
    """What went wrong, on standard error. Where that is gone, nobody can be told."""
    with suppress(OSError):
        for one in said:
            line(said=one, err=True)


def document(content: Any, *, indent: int = 2) -> None:
    """One JSON document; with `indent` 0 on one line."""
    global _documents  # noqa: PLW0603 - standard output is one for the whole process, too
    _documents += 1
    encoded = _encoded(content)
    text = (msgspec.json.format(encoded, indent=indent) if indent else encoded).decode()
    _echo(in_json(text) + "\n")


def documents_begun() -> int:
    """How many JSON documents this process has printed, or has begun to print."""
    return _documents


def confirm(question: str) -> bool:
    """Asks on standard error; no is what Enter answers. Raises click.Abort at the end of input."""
    return click.confirm(one_line(question), err=True)


def nobody_reads(problem: Exception) -> bool:
    """Whether this error of writing says that the other end of standard output is gone: the reader of a pipe, or the
    terminal, which was closed."""
    if isinstance(problem, OSError) and problem.errno == errno.EIO:
        with suppress(OSError, ValueError):
            return stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)
    return isinstance(problem, BrokenPipeError)


def forget() -> None:
    """Nobody reads standard output any more; without this Python complains once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _echo(text: str, *, err: bool = False) -> None:
    """Raises LookError where standard output takes no more, as a file on a full disk does not; BrokenPipeError and the
    like where nobody reads it (`nobody_reads`)."""
    try:
        click.echo(text, nl=False, err=err)
    except OSError as problem:
        if err or nobody_reads(problem):
            raise
        raise takes_no_more(problem) from problem


def takes_no_more(problem: OSError) -> LookError:
    """What to tell where standard output cannot be written."""
    return LookError(
        f"Standard output takes no more: {problem.strerror or problem}.",
        "What was printed last may be incomplete there.",
        "Make room there, or send the output elsewhere, and run the command again.",
    )


def _styled(part: str | Word) -> str:
    if isinstance(part, Word):
        shown = one_line(part.text, LONGEST_LINE)
        return click.style(shown, fg=part.colour) if _coloured() else shown
    return one_line(part, LONGEST_LINE)


def _coloured() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _encoded(content: Any) -> bytes:
    try:
        return msgspec.json.encode(content)
    except UnicodeEncodeError:  # halves of surrogate pairs, from bytes that are no text
        return msgspec.json.encode(_whole_signs(msgspec.to_builtins(content)))


def _whole_signs(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_whole_signs(key): _whole_signs(one) for key, one in value.items()}
    return [_whole_signs(one) for one in value] if isinstance(value, list | tuple) else value
