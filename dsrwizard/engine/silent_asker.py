"""An asker that can be silenced, for checks that no operator waits for."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import Asker, HostKeyQuestion, SecretQuestion


class Unasked:
    """What would have been asked in one quiet look: `password`, `passphrase`, `sudo`, `windows`, `host key`,
    `certificate`."""

    def __init__(self) -> None:
        self.questions: list[str] = []


class Quiet:
    """Implements `core.ports.Asker`. Inside `quietly()` every question of this thread is answered no, and noted."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker
        self._mine = threading.local()

    @contextmanager
    def quietly(self) -> Iterator[Unasked]:
        """Nothing is asked from this thread until the block ends."""
        unasked = Unasked()
        self._mine.unasked = unasked
        try:
            yield unasked
        finally:
            self._mine.unasked = None

    def secret(self, question: SecretQuestion) -> Secret | None:
        if self._noted(question.kind):
            return None
        return self._asker.secret(question)

    def accept_key(self, question: HostKeyQuestion) -> bool:
        what = "certificate" if question.untrusted else "host key"
        return not self._noted(what) and self._asker.accept_key(question)

    def _noted(self, what: str) -> bool:
        unasked: Unasked | None = getattr(self._mine, "unasked", None)
        if unasked is not None:
            unasked.questions.append(what)
        return unasked is not None
