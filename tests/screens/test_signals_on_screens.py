"""The screens and what ends them from outside: a signal, a terminal that is closed. Each is a process of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from signal import SIGCONT, SIGHUP, SIGINT, SIGTERM, SIGTSTP, Signals

import pyte
import pytest

from tests.fakes.program import Program

pytestmark = pytest.mark.long

LEFT = "\x1b[?1049l"
"""What leaves the alternate screen (xterm's control sequences)."""
NEXT, RIGHT, ENTER = "\x0e", "\x1b[C", "\r"


def ids(value: object) -> str | None:
    return "+".join(one.name for one in value) or "none" if isinstance(value, list) else None


def shown(program: Program) -> str:
    """The screen as it is now."""
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(program.said)
    return "\n".join(screen.display)


@pytest.fixture
def applying(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Program]:
    """The wizard, driven by keys to an apply whose first step is running."""
    with Program(tmp_path, terminal=True, lab=True, held="director", ignored=getattr(request, "param", [])) as program:
        for heading in ("VIP and services", "Director: this machine", "─ Real servers"):
            program.until(lambda heading=heading: heading in shown(program))  # type: ignore[misc]
            program.enter(NEXT)
        program.until(lambda: "Review:" in (screen := shown(program)) and "ooking" not in screen)
        program.enter(NEXT)
        program.until(lambda: "Cancel" in shown(program))
        program.enter(RIGHT + ENTER)
        program.is_held()
        yield program


@pytest.mark.parametrize("number", [SIGINT, SIGTERM, SIGHUP], ids=lambda number: number.name)
def test_a_signal_ends_the_live_view_and_leaves_the_terminal_as_it_was(tmp_path: Path, number: Signals) -> None:
    with Program(tmp_path, "watch", "FILE", applied=True, terminal=True) as program:
        program.until(lambda: "web3" in shown(program))
        program.process.send_signal(number)
        assert program.status() == 0
        assert LEFT in program.said
        assert program.modes_now() == program.modes
        assert not program.crash.exists()


@pytest.mark.parametrize("ignored", [[], [SIGHUP]], ids=ids)
def test_the_live_view_ends_with_its_terminal(tmp_path: Path, ignored: list[Signals]) -> None:
    with Program(tmp_path, "watch", "FILE", applied=True, terminal=True, ignored=ignored) as program:
        program.until(lambda: "web3" in shown(program))
        program.hang_up()
        assert program.status() == 0
        assert not program.crash.exists()


def test_a_signal_in_an_apply_finishes_what_runs_and_begins_nothing_new(applying: Program) -> None:
    applying.process.send_signal(SIGTERM)
    applying.until(lambda: "Stopping:" in shown(applying))
    applying.go()
    assert applying.status() == 0
    assert applying.done == 1
    assert LEFT in applying.said
    assert applying.modes_now() == applying.modes


def test_a_second_signal_in_an_apply_waits_for_nothing(applying: Program) -> None:
    applying.process.send_signal(SIGTERM)
    applying.until(lambda: "Stopping:" in shown(applying))
    applying.process.send_signal(SIGTERM)
    assert applying.status() == 0
    assert applying.done == 0


@pytest.mark.parametrize("applying", [[SIGHUP]], indirect=True, ids=ids)
def test_an_apply_that_ignores_the_hang_up_outlives_its_terminal(applying: Program) -> None:
    applying.hang_up()
    applying.go()
    assert applying.status() == 0
    assert applying.done > 10


def test_a_program_that_comes_back_from_the_shell_paints_everything_again(tmp_path: Path) -> None:
    with Program(tmp_path, "watch", "FILE", applied=True, terminal=True) as program:
        program.until(lambda: "web3" in shown(program) and "q Quit" in shown(program))
        stat = Path(f"/proc/{program.process.pid}/stat")
        program.process.send_signal(SIGTSTP)
        program.until(lambda: stat.read_text().rpartition(")")[2].split()[0] == "T")
        program.said = ""  # the shell has written over it
        program.process.send_signal(SIGCONT)
        program.until(lambda: "web3" in shown(program) and "q Quit" in shown(program) and "State" in shown(program))
        program.process.send_signal(SIGTERM)
        assert program.status() == 0
        assert program.modes_now() == program.modes
