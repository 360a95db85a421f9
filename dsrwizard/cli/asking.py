"""Questions to the operator on the terminal, for commands without a screen."""

from __future__ import annotations

import os
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from dsrwizard import out, signals
from dsrwizard.core.intake.known_keys import compared, kept_keys
from dsrwizard.core.intake.opening import brought
from dsrwizard.core.model.foreign import lines, one_line, rows
from dsrwizard.core.model.in_dns import DnsSays
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.core.tell.trust import compared_with, dns_rows, identity_rows, silence
from dsrwizard.gathering import KeyGathering, in_dns

_WORDS = {
    "password": "Password",
    "passphrase": "Passphrase",
    "sudo": "sudo password",
    "windows": "Windows password",
    "balancer": "Load balancer password",
    "api-key": "Key of the load balancer's API",
}
_ON_ITS_CONSOLE = "the output of this command on the server's console: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub"
_LARGEST = 20_000_000
"""Characters of a file of keys."""
_PATH = 200
"""Characters of its path that are shown."""
_INTERRUPT = b"\x03"
_BAR = "  | "
_MOST = 3
"""The most rows for one line of a server's question."""
_SHORT = 40
"""The most characters of a server's question that is put in a sentence; a longer or unusual one gets rows."""
_MARGIN = 14
"""Spare columns: a joined emoji that is cut in two grows when its joiner is written out."""
_before: dict[int, list[Any]] = {}
"""The saved modes of terminals with an open question."""


class TerminalAsker:
    """Implements `core.ports.Asker`: one question at a time, on standard error. Without a terminal the answer is no, as
    after ctrl+c.

    Questions come from worker threads, which do not notice an interrupt while they read. So ctrl+c ends the line as
    Enter does, the terminal is restored, and only then does the main thread get its interrupt.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._interrupted = False
        self._keys = KeyGathering(threading.Lock(), self._ask_keys, self._somebody)

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
        """Several hosts whose keys are unknown at the same time are asked for once."""
        return self._keys.accept(question)

    def _somebody(self) -> bool:
        return sys.stdin.isatty()

    def _in_dns(self, questions: tuple[HostKeyQuestion, ...]) -> list[DnsSays | None]:
        """Where nobody is there to be asked, nobody waits for DNS."""
        return in_dns(questions) if self._somebody() else [None] * len(questions)

    def _ask_keys(self, questions: tuple[HostKeyQuestion, ...]) -> frozenset[int]:
        everyone = range(len(questions))
        if len(questions) == 1:
            return frozenset(everyone) if self._is_its_key(questions[0]) else frozenset()
        width = min(max(get_terminal_size().columns - 1, 40), 100)
        says = self._in_dns(questions)
        differ = frozenset(number for number in everyone if says[number] == "differs")
        signed = frozenset(number for number in everyone if says[number] == "signed")
        text = [f"{len(questions)} host keys are unknown. Their fingerprints, computed on this machine:"]
        for one, said in zip(questions, says, strict=True):
            text += [f"    {one.fingerprint}", *identity_rows(one, width), *dns_rows(said)]
        if silent := says.count("silent"):
            text.append(silence(silent))
        if differ:
            names = ", ".join(one_line(questions[number].host, _SHORT) for number in sorted(differ))
            text.append(f"WARNING: DNS has another key for {names}: that may be an impostor. y leaves it out.")
        by_dns = f"dns for the {len(signed)} that DNS has signed, " if signed else ""
        text += [
            f"Compare each with {_ON_ITS_CONSOLE}",
            f"Are these the keys of these hosts? [y/N], {by_dns}or the path of a file that has them: ",
        ]
        answer = self._line("\n".join(text), echo=True).strip()
        if answer.lower() in ("y", "yes"):
            return frozenset(everyone) - differ
        if signed and answer.lower() == "dns":
            return signed
        return frozenset() if answer.lower() in ("", "n", "no") else _those_in(answer, questions)

    def _is_its_key(self, question: HostKeyQuestion) -> bool:
        if question.untrusted:
            what, head = "certificate", "This certificate is not trusted."
            beside = compared_with(question)
        else:
            what, head = "key", "This host key is unknown."
            beside = _ON_ITS_CONSOLE
        width = min(max(get_terminal_size().columns - 1, 40), 100)
        [said] = self._in_dns((question,))
        text = [
            f"{head} Its fingerprint, computed on this machine:", f"    {question.fingerprint}",
            *identity_rows(question, width), *dns_rows(said), *([silence(1)] if said == "silent" else []),
            f"Compare the fingerprint with {beside}",
            f"Is that the {what} of this host? [y/N]: ",
        ]  # fmt: skip
        return self._line("\n".join(text), echo=True).strip().lower() in ("y", "yes")

    def _line(self, text: str, *, echo: bool) -> str:
        """One line of input; empty without a terminal, after ctrl+c, and at the end of input."""
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


def _those_in(path: str, questions: tuple[HostKeyQuestion, ...]) -> frozenset[int]:
    """The places of the keys that a file has: known_hosts, what ssh-keygen -l prints, or SSHFP records. Says what
    becomes of the others."""
    try:
        keys = kept_keys(lines(brought(Path(path)), _LARGEST, tabs=True))
    except OSError as error:
        out.line(f"{one_line(path, _PATH)} cannot be read: {error.strerror}. No key is accepted.", err=True)
        return frozenset()
    says = [
        compared(keys, (one.host, one.address, one.address.partition(":")[0]), one.key_type, one.fingerprint)
        for one in questions
    ]
    out.line(
        f"{one_line(path, _PATH)} has {says.count('same')} of these {len(says)} keys; the others are refused.", err=True
    )
    if differ := [one.host for one, said in zip(questions, says, strict=True) if said == "differs"]:
        out.line(f"It has another key for {', '.join(differ)}: that may be an impostor.", err=True)
    return frozenset(number for number, said in enumerate(says) if said == "same")


def question_rows(question: SecretQuestion, width: int) -> list[str]:
    """A server's own question in rows of at most `width` cells (40 or more): each row has a bar in front, so that
    none can look like dsrwizard's own output."""
    said = [row for line in question.asked.split("\n") for row in rows(line, max(40, width) - len(_BAR), _MOST) if row]
    last = f"Answer for {question.user}@{question.host} only (hidden; Enter gives none): "
    if not said:
        return [f"{question.host} asks an empty question.", last]
    if len(said) == 1 and said[0].isascii() and len(said[0]) <= _SHORT and not set(said[0]) & set('"()'):
        return [f"{question.host} asks: “{said[0]}”", last]
    return [f"{question.host} asks:", *(f"{_BAR}{row}" for row in said), last]


@contextmanager
def _line_mode(terminal: int, *, echo: bool) -> Iterator[None]:
    """Reads edited lines, hidden unless `echo`, with ctrl+c as another line end (termios(3))."""
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
    """Restores the terminal if a question is open; typed input is discarded. Used at the end of the program, which
    does not wait for asking threads."""
    for terminal, before in list(_before.items()):
        with suppress(termios.error):
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
