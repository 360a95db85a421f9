"""How a command ends: its exit code, and what went wrong as what, why and next; with --json as a document, too."""

from __future__ import annotations

import errno
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import click

from dsrwizard import signals
from dsrwizard.core.model.errors import DsrError

JSON_OPTION = "--json"
_INTERRUPTED = (
    "Interrupted.",
    "The journal has every change made so far.",
    "Run the command again, or run teardown.",
)


def exit_code(commands: click.Group, arguments: Sequence[str]) -> int:
    """Runs one command and returns its exit code. Errors go to standard error as what, why, next, and with --json to
    standard output as the one document, unless the command has printed its own already."""
    told = _Told(commands, arguments)
    try:
        with signals.handled(_interrupted):
            code = commands.main(args=list(arguments), prog_name="dsrwizard", standalone_mode=False)
    except DsrError as problem:
        return told(problem.exit_code, problem.kind, problem.what, problem.why, problem.next)
    except click.UsageError as problem:
        help_for = problem.ctx.command_path if problem.ctx else "dsrwizard"
        return told(2, "usage", problem.format_message(), "", f"Try: {help_for} --help")
    except (KeyboardInterrupt, click.Abort):
        return told(3, "interrupted", *_INTERRUPTED)
    except SystemExit:  # click makes it of a broken pipe, with a status that means "it is not"
        return _unread()
    except Exception as problem:  # noqa: BLE001 - whatever it is, no traceback reaches the user
        from dsrwizard import out

        if out.nobody_reads(problem):
            return _unread()
        if isinstance(problem, OSError) and problem.errno == errno.ENOSPC and problem.filename is None:  # click's help
            out.complaint(*out.takes_no_more(problem).lines())
            return 3
        return told(3, "defect", *_kept(problem))
    finally:
        if "dsrwizard.cli.asking" in sys.modules:
            from dsrwizard.cli.asking import put_back

            put_back()
    return int(code or 0)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def _unread() -> int:
    """The exit code when nobody reads the output: the result is unknown."""
    from dsrwizard import out

    out.forget()
    return 3


class _Told:
    """Tells what went wrong, to people and to programs."""

    def __init__(self, commands: click.Group, arguments: Sequence[str]) -> None:
        from dsrwizard.out import documents_begun

        words = list(arguments)
        before = words[: words.index("--")] if "--" in words else words
        name = next((word for word in before if not word.startswith("-")), "")
        command = commands.commands.get(name)
        passed_on = command is not None and not command.context_settings.get("allow_interspersed_args", True)
        self._json = JSON_OPTION in before and not passed_on
        self._lines = name == "watch"
        self._printed = documents_begun()

    def __call__(self, code: int, kind: str, what: str, why: str = "", next_: str = "") -> int:
        from dsrwizard import out

        out.complaint(*(line for line in (what, why, next_) if line))
        if self._json:
            document = {"error": {"kind": kind, "what": what, "why": why, "next": next_}, "exit_code": code}
            with suppress(OSError, DsrError):  # where nobody reads it or the disk is full, standard error has it
                self._document(document, kind)
        return code

    def _document(self, document: dict[str, Any], kind: str) -> None:
        from dsrwizard import out

        if self._lines:
            if kind != "interrupted":  # a second signal: the reader stands still, and no line would get to it
                out.document({"type": "error", "at": time.time(), **document}, indent=0)
        elif out.documents_begun() == self._printed:
            out.document(document)


def _kept(problem: BaseException) -> tuple[str, str, str]:
    """Keeps the traceback of a defect of dsrwizard in a file for a report; what to say of it."""
    from dsrwizard import files
    from dsrwizard.core.model.foreign import whole

    path = files.state_dir() / "crash.txt"
    try:
        files.replace(path, whole("".join(traceback.format_exception(problem))).encode(errors="replace"))
        where = f"Details are in {path}. Please report them, with what you did."
    except OSError:
        where = "Please report it, with what you did."
    return f"dsrwizard itself failed: {type(problem).__name__}.", "", where
