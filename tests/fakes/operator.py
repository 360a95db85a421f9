"""Operators for tests that are not about questions."""

from __future__ import annotations

from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion


class Nobody:
    """Answers no question."""

    def secret(self, question: SecretQuestion) -> Secret | None:
        return None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        return False
