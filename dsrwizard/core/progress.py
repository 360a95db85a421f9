"""How far a script that carries out steps has come, as its lines tell. Each dialect reads its own lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dsrwizard.core.steps import Step


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
        self._said: list[str] = []
        self.failed: Step | None = None
        self.halfway = False
        self.said = ""
        self.finished_steps: list[str] = []

    def feed(self, text: str) -> None:
        """One line of the host's output, without its newline."""
        raise NotImplementedError

    def _hear(self, text: str) -> None:
        """Something the host said about the step it is at."""
        self._said.append(text)
        self._line(text)

    def _reached(self, word: str, number: int) -> None:
        """The host is at this point: `start`, `done`, `failed` or `halfway` of a step, counted from 1. Other words and
        numbers are no report of ours."""
        if not 1 <= number <= len(self._steps) or word not in ("start", "done", "failed", "halfway"):
            return
        step = self._steps[number - 1]
        if word == "start":
            self._said = []
            self._started(step)
            return
        said = "\n".join(self._said)
        if word != "done":
            self.failed, self.said, self.halfway = step, said, word == "halfway"
            if self.halfway:
                return
        self.finished_steps.append(step.id)
        self._finished(step, word == "done", said)
