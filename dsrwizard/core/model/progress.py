"""How far a script that carries out steps has come, as its lines tell. Each dialect reads its own lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from dsrwizard.core.model.steps import Step

SAID_LINES = 100
"""Of what a host says about one step this many are kept, the last ones: an error comes at the end."""
SAID_LENGTH = 2_000
"""Characters of one such line."""


class Progress:
    """Tells `started` and `finished` of each step and keeps what was said; `line` gets what is for the host's log.

    A step that failed and could not be taken back whole is in `failed` with `halfway` set and is not told as finished:
    what it left is not known.
    """

    def __init__(
        self,
        nonce: str,
        steps: Sequence[Step],
        started: Callable[[Step], None],
        finished: Callable[[Step, bool, str], None],
        line: Callable[[str], None],
    ) -> None:
        self._nonce = nonce
        self._steps = steps
        self._started = started
        self._finished = finished
        self._line = line
        self._said: deque[str] = deque(maxlen=SAID_LINES)
        self._at = 0
        """The step that has begun and not ended, counted from 1; 0: none."""
        self.failed: Step | None = None
        self.halfway = False
        self.said = ""
        self.finished_steps: list[str] = []

    def feed(self, text: str) -> None:
        """One line of the host's output, without its newline."""
        raise NotImplementedError

    def _hear(self, text: str) -> None:
        """Something the host said about the step it is at."""
        text = text[:SAID_LENGTH]
        self._said.append(text)
        self._line(text)

    def _reached(self, word: str, number: int) -> None:
        """The host is at this point: `start`, `done`, `failed` or `halfway` of a step, counted from 1. Other words and
        numbers are no report of ours, and neither is what comes out of turn: a step begins when the one before it is
        done, ends when it has begun, and none follows one that failed."""
        if word == "start":
            if self._at or self.failed or not number == len(self.finished_steps) + 1 <= len(self._steps):
                return
            self._at = number
            self._said.clear()
            self._started(self._steps[number - 1])
            return
        if word not in ("done", "failed", "halfway") or not 0 < number == self._at:
            return
        self._at = 0
        step = self._steps[number - 1]
        said = "\n".join(self._said)
        if word != "done":
            self.failed, self.said, self.halfway = step, said, word == "halfway"
            if self.halfway:
                return
        self.finished_steps.append(step.id)
        self._finished(step, word == "done", said)
