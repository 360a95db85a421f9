"""The lock of a Linux server: one run at a time changes it, from whichever machine it comes.

A script holds flock(1) on a file in /run as long as its connection lasts. What stands in the file is a help to those
who have to wait: the process and its start (proc(5)), then a line about the run. A host without flock has no lock.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Literal

from dsrwizard.core.dialects.linux.revert import PLACES
from dsrwizard.core.dialects.script_files import body, filled

SILENCE = 60
"""Seconds without a sign of life after which a run whose connection nobody has closed counts as dead."""
_LOCK = body(__package__, "lock.sh")
_LONGEST = 4_000

LockWord = Literal["", "held", "none", "busy"]


def lock_script(nonce: str, holder: str, places: Sequence[str] = PLACES, seconds: int = SILENCE) -> str:
    """The script that stands for as long as the lock is held. `holder`: one line about the run; `places` and `seconds`
    are for tests."""
    holes = {"@NONCE@": nonce, "__SECONDS__": str(seconds), "@HOLDER@": shlex.quote(holder)}
    return filled(_LOCK, holes | {"@PLACES@": " ".join(map(shlex.quote, places))})


class LockAnswer:
    """What the script says, line by line. `word`: `held`, `busy` (another run has it), `none` (there is no lock to be
    had), empty until then. `holder`: the line about the run that has it, empty where it is not known."""

    def __init__(self, nonce: str) -> None:
        self._opening = f"==dsr:{nonce}:"
        self._listening = False
        self.word: LockWord = ""
        self.holder = ""

    def feed(self, line: str) -> None:
        """One line of the script's output."""
        match line.removeprefix(self._opening) if line.startswith(self._opening) else "":
            case "held==":
                self.word = "held"
            case "none==":
                self.word = "none"
            case "busy==":
                self.word, self._listening = "busy", True
            case "end==":
                self._listening = False
            case _ if self._listening and line.strip() and not self.holder:
                self.holder = line[:_LONGEST]
            case _:
                pass
