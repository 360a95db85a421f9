"""The progress of a script that runs steps, read from its output. Each dialect reads its own lines."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from dsrwizard.core.model.steps import Step

SAID_LINES = 100
"""Of what a host says about one step this many are kept, the last ones: an error comes at the end."""
SAID_LENGTH = 2_000
"""Characters of one such line."""


class StepWatch(Protocol):
    """Whoever is told what a host does while it carries out steps, in order and as it happens."""

    def started(self, step: Step) -> None: ...

    def said(self, text: str) -> None:
        """One line from the host, for its log. It may read like anything, and starts and ends nothing."""
        ...

    def made(self, step: Step, name: str, device: str, guid: str) -> None:
        """The host made a device for the adapter `name`: its instance id, and its GUID once it has one."""
        ...

    def armed(self, seconds: float) -> None:
        """The host takes the steps back by itself so many seconds after the last sign of life, unless it is told to
        keep them. Told once, before the first step that touches the network."""
        ...

    def disarmed(self) -> None:
        """It does not: of what it was armed for, nothing is there to be taken back."""
        ...

    def finished(self, step: Step, worked: bool, said: str) -> None:
        """`said` is all that the host said about this step."""
        ...


class Progress:
    """Tells a watch of each step as the host reports it, and keeps what was said.

    A step that failed and could not be taken back whole is in `failed` with `halfway` set and is not told as finished:
    what it left is not known.
    """

    def __init__(
        self,
        nonce: str,
        steps: Sequence[Step],
        watch: StepWatch,
    ) -> None:
        self._nonce = nonce
        self._steps = steps
        self._watch = watch
        self._said: deque[str] = deque(maxlen=SAID_LINES)
        self._at = 0
        """The step that has begun and not ended, counted from 1; 0: none."""
        self.failed: Step | None = None
        self.halfway = False
        self.refused = ""
        """Why the host began none of the steps: another run changes it. Empty: it did not refuse."""
        self.armed = False
        """The host takes the steps back by itself unless it is told to keep them."""
        self.unarmed = False
        """It was to do so and could not, and began none of the steps."""
        self.said = ""
        self.finished_steps: list[str] = []

    @property
    def said_last(self) -> str:
        """What the host said last, whatever about."""
        return "\n".join(self._said)

    def feed(self, text: str) -> None:
        """One line of the host's output, without its newline."""
        raise NotImplementedError

    def _disarm(self) -> None:
        if self.armed:
            self.armed = False
            self._watch.disarmed()

    def _hear(self, text: str) -> None:
        """Something the host said about the step it is at."""
        text = text[:SAID_LENGTH]
        self._said.append(text)
        self._watch.said(text)

    def _reached(self, word: str, number: int) -> None:
        """The host is at this point: `start`, `done`, `failed` or `halfway` of a step, counted from 1. Other words and
        numbers are no report of ours, and neither is what comes out of turn: a step begins when the one before it is
        done, ends when it has begun, and none follows one that failed."""
        if word == "start":
            if self._at or self.failed or not number == len(self.finished_steps) + 1 <= len(self._steps):
                return
            self._at = number
            self._said.clear()
            self._watch.started(self._steps[number - 1])
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
        self._watch.finished(step, word == "done", said)
