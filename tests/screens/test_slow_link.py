"""A real terminal 300 ms away: what is typed and clicked meanwhile arrives in one piece, and nothing of it acts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Event, Timer

import pyte
import pytest

from tests.fakes.program import Program

LATE = 0.3
"""Seconds on the way."""


class SlowLink:
    """To a program: the first key sets out at once, and what comes until it arrives comes with it."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._under_way: list[str] = []
        self._arrived = Event()

    def type(self, *keys: str) -> None:
        """One after the other; returns when the last has arrived."""
        self._arrived.clear()
        for key in keys:
            if not self._under_way:
                Timer(LATE, self._arrive).start()
            self._under_way.append(key)
        assert self._arrived.wait(60)

    def _arrive(self) -> None:
        keys = "".join(self._under_way)
        self._under_way.clear()
        self._program.enter(keys)
        self._arrived.set()


def lines(program: Program) -> list[str]:
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(program.said)
    return list(screen.display)


def text(program: Program) -> str:
    return "\n".join(" ".join(line.split()) for line in lines(program))


def click(program: Program, words: str) -> str:
    """What a terminal sends for a click on these words (SGR mouse mode, xterm's ctlseqs)."""
    y, line = next((number, line) for number, line in enumerate(lines(program), 1) if words in line)
    x = line.index(words) + 2
    return f"\x1b[<0;{x};{y}M\x1b[<0;{x};{y}m"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Program]:
    with Program(tmp_path, "watch", "FILE", applied=True, terminal=True) as program:
        program.until(lambda: "3/3 up" in text(program) and "d Drain" in text(program))
        program.enter("\x1b[H\x1b[B")
        program.until(lambda: "› web1" in text(program))
        yield program


@pytest.mark.parametrize("how", ["/", "a click"])
def test_words_that_arrive_with_the_search_are_looked_for(live: Program, how: str) -> None:
    opens = click(live, "/ Find") if how == "a click" else how
    SlowLink(live).type(opens, *"umad1")
    live.until(lambda: "“umad1”" in text(live))
    assert "0 of 3" in text(live)
    assert "?" not in "".join(line for line in text(live).splitlines() if "Drain" in line), "no question has opened"


def test_a_question_its_answer_and_a_search_that_arrive_at_once_are_taken_in_turn(live: Program) -> None:
    SlowLink(live).type("d", "\r", "/", *"web2")
    live.until(lambda: "“web2”" in text(live))
    assert "1 of 3" in text(live)
    assert "draining" not in text(live), "Enter is the answer that changes nothing"
