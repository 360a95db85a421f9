"""Asks the operator on the terminal, for the commands without a screen."""

from __future__ import annotations

import os
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from shutil import get_terminal_size
from typing import Any

from dsrwizard import out, signals
from dsrwizard.core.model.foreign import rows
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import SHOW_CERTIFICATES, HostKeyQuestion, SecretQuestion
from dsrwizard.core.tell.trust import identity_rows

_WORDS = {"password": "Password", "passphrase": "Passphrase", "sudo": "sudo password", "windows": "Windows password"}
_INTERRUPT = b"\x03"
_BAR = "  | "
_MOST = 3
"""Rows of one line of a server's question."""
_SHORT = 40
"""Characters of a server's question that stands in a sentence; a longer one or one of other letters has rows."""
_MARGIN = 14
"""Columns to spare: a joined emoji that is cut in two grows when its joiner is written out."""
_before: dict[int, list[Any]] = {}
"""Modes of terminals at which a question stands, as they were before it."""


class TerminalAsker:
    """Implements `core.ports.Asker`: one question at a time, on standard error. Without a terminal the answer is no,
    and after ctrl+c as well.

    Questions come from worker threads, where an interrupt is not noticed while they read. So ctrl+c ends the line like
    Enter does, the terminal is put back as it was, and only then the main thread gets its interrupt.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interrupted = False

    def secret(self, question: SecretQuestion) -> Secret | None:
        if question.kind == "prompt":
            answer = self._line("\n".join(question_rows(question, get_terminal_size().columns - _MARGIN)), echo=False)
            return Secret(answer) if answer else None
        again = "That did not work. " if question.refused else ""
        detail = f" ({question.detail})" if question.detail else ""
        answer = self._line(
            f"{again}{_WORDS[question.kind]} of {question.user} on {question.host}{detail}: ", echo=False
        )
        return Secret(answer) if answer else None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        if question.untrusted:
            what, head = "certificate", "A certificate that is not trusted."
            compared = f"what PowerShell on the machine itself prints:\n  {SHOW_CERTIFICATES}"
        else:
            what, head = "key", "A host key that is not known yet."
            compared = "what the machine itself tells: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
        width = min(max(get_terminal_size().columns - 1, 40), 100)
        text = [
            f"{head} Its fingerprint, made on this machine:", f"    {question.fingerprint}",
            *identity_rows(question, width), f"Compare the fingerprint with {compared}",
            f"Is that the {what} of this host? [y/N]: ",
        ]  # fmt: skip
        return self._line("\n".join(text), echo=True).strip().lower() in ("y", "yes")

    def _line(self, text: str, *, echo: bool) -> str:
        """What is typed up to Enter; nothing without a terminal, after ctrl+c, and at the end of input."""
        with self._lock:
            if self._interrupted or not sys.stdin.isatty():
                return ""
            typed = b""
            with suppress(OSError, termios.error), _line_mode(sys.stdin.fileno(), echo=echo):  # closed meanwhile
                out.question(text)
                while not typed.endswith((b"\n", _INTERRUPT)) and (more := os.read(sys.stdin.fileno(), 4096)):
                    typed += more
                if not echo or not typed.endswith(b"\n"):
                    out.line(err=True)
            if typed.endswith(_INTERRUPT):
                self._interrupted = True
                signals.typed()
                return ""
            return typed.decode(sys.stdin.encoding or "utf-8", "surrogateescape").rstrip("\r\n")


def question_rows(question: SecretQuestion, width: int) -> list[str]:
    """A server's own question in rows of at most `width` cells (40 or more): each row of it stands behind a bar, so
    that none of them can look like one of dsrwizard's."""
    said = [row for line in question.asked.split("\n") for row in rows(line, max(40, width) - len(_BAR), _MOST) if row]
    last = f"Answer of {question.user} for {question.host} alone (not shown, Enter gives none): "
    if not said:
        return [f"{question.host} asks something without words.", last]
    if len(said) == 1 and said[0].isascii() and len(said[0]) <= _SHORT and not set(said[0]) & set('"()'):
        return [f"{question.host} asks: “{said[0]}”", last]
    return [f"{question.host} asks:", *(f"{_BAR}{row}" for row in said), last]


@contextmanager
def _line_mode(terminal: int, *, echo: bool) -> Iterator[None]:
    """Lines as the terminal edits them, hidden unless `echo`, and ctrl+c as one more end of a line (termios(3))."""
    before = termios.tcgetattr(terminal)
    mode = termios.tcgetattr(terminal)
    mode[3] = mode[3] | termios.ICANON | termios.ECHO if echo else (mode[3] | termios.ICANON) & ~termios.ECHO
    mode[6][termios.VINTR] = b"\x00"
    mode[6][termios.VEOL] = _INTERRUPT
    _before[terminal] = before
    try:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, mode)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, _before.pop(terminal, before))


def put_back() -> None:
    """The terminal as it was before the question that stands, if one does; what was typed there is forgotten. For the
    end of the program, which waits for no thread that asks."""
    for terminal, before in list(_before.items()):
        with suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
