"""What a host reports of its steps is taken in turn; whatever else it prints is its own words, and not endless."""

from __future__ import annotations

import pytest

from dsrwizard.core.dialects.linux.apply import LineProgress
from dsrwizard.core.model.progress import SAID_LENGTH, SAID_LINES
from dsrwizard.core.model.steps import Step
from tests.fakes.step_watch import Told


def steps(count: int) -> list[Step]:
    return [
        Step(id=f"s{number}", host="web1", phase="vip", title=f"Step {number}", why="", changes=())
        for number in range(1, count + 1)
    ]


def follow(*words: str, count: int = 2) -> tuple[list[str], LineProgress]:
    """What is told of this many steps while the host prints markers (`start:1`) and other lines."""
    told = Told()
    progress = LineProgress("n", steps(count), told)
    for word in words:
        progress.feed(f"==dsr:n:{word}==" if ":" in word else word)
    return told.log, progress


def test_two_steps_in_turn() -> None:
    told, progress = follow("start:1", "done:1", "start:2", "said", "failed:2")
    assert told == ["start s1", "done s1", "start s2", "said", "failed s2"]
    assert progress.said == "said"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["done:1", "done:2"], []),  # never begun
        (["start:2", "done:2"], []),  # not its turn
        (["start:1", "done:1", "done:1"], ["start s1", "done s1"]),  # told twice is not told of the other
        (["start:1", "start:1", "start:2", "done:2"], ["start s1"]),
        (["start:1", "failed:1", "start:2", "done:2"], ["start s1", "failed s1"]),  # none follows a failure
        (["start:1", "halfway:1", "done:1", "start:2"], ["start s1"]),
        (["start:1", "failed:1", "done:1"], ["start s1", "failed s1"]),
        (["start:3", "start:" + "9" * 5_000, "done:" + "9" * 5_000, "start:-1", "start:²", "start:1e3"], []),
        (["start:1", "done:" + "1" * 5_000, "halfway:0"], ["start s1"]),
    ],
)
def test_what_comes_out_of_turn_is_no_report(words: list[str], told: list[str]) -> None:
    assert follow(*words)[0] == told


def test_of_a_flood_the_end_is_kept() -> None:
    _, progress = follow("start:1", *("x" * 100_000 for _ in range(1_000)), "the error", "failed:1")
    said = progress.said.splitlines()
    assert (len(said), said[-1]) == (SAID_LINES, "the error")
    assert max(map(len, said)) == SAID_LENGTH
