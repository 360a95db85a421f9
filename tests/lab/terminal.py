"""A terminal screen over a command in the lab: keys in, what a person would read out."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Self

import pyte

from tests.lab.harness import Lab, Process

NEXT, RIGHT, ENTER, ESC, QUIT, TICK_ALL = "\x0e", "\x1b[C", "\r", "\x1b", "\x11", "\x1bOQ"
SECONDS = 120.0
"""For one screen: Python is slow in the lab, and the machine may be busy."""


class Terminal:
    """A command on the director with a terminal of its own. Killed at the end of the `with` block."""

    def __init__(self, lab: Lab, command: list[str], rows: int = 24, cols: int = 80) -> None:
        self._screen = pyte.Screen(cols, rows)
        self._stream = pyte.Stream(self._screen)
        self._read = 0
        self.process: Process = lab.spawn("director", command, terminal=(rows, cols))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()

    @property
    def text(self) -> str:
        """What stands on the screen now, with runs of spaces as one."""
        said = self.process.stdout
        self._stream.feed(said[self._read :])
        self._read = len(said)
        return "\n".join(" ".join(line.split()) for line in self._screen.display)

    def expect(self, pattern: str, seconds: float = SECONDS) -> re.Match[str]:
        """Waits until the screen shows the pattern. Fails with the screen."""
        found = self.process.wait_for(lambda: re.search(pattern, self.text) is not None, seconds)
        match = re.search(pattern, self.text)
        assert found, f"no {pattern!r} in {seconds} s:\n{self.text}"
        assert match is not None
        return match

    def press(self, *keys: str) -> None:
        for key in keys:
            self.process.send(key)
