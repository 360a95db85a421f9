"""Asks the operator on the terminal, for the commands without a screen."""

from __future__ import annotations

import sys
import threading

import click

from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.core.secret import Secret

_WORDS = {"password": "Password", "passphrase": "Passphrase", "sudo": "sudo password"}


class TerminalAsker:
    """Implements `core.ports.Asker`: one question at a time, on standard error. Without a terminal the answer is no."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def secret(self, question: SecretQuestion) -> Secret | None:
        if not sys.stdin.isatty():
            return None
        again = "That did not work. " if question.refused else ""
        detail = f" ({question.detail})" if question.detail else ""
        with self._lock:
            text = f"{again}{_WORDS[question.kind]} of {question.user} on {question.host}{detail}"
            answer = click.prompt(text, default="", hide_input=True, show_default=False, err=True)
        return Secret(answer) if answer else None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        if not sys.stdin.isatty():
            return False
        with self._lock:
            click.echo(
                f"{question.host} ({question.address}) shows a host key that is not known yet:\n"
                f"  {question.key_type} {question.fingerprint}\n"
                "Compare it with what the machine itself tells: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub",
                err=True,
            )
            return click.confirm("Is that the key of this host?", err=True)
