"""The README's film: a file that asciinema plays, and the drawing made from it."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tests import cast

FILM = cast.CAST.read_text()
SVG = "{http://www.w3.org/2000/svg}"


def test_asciinema_plays_it_and_it_is_small() -> None:
    head, *events = (json.loads(line) for line in FILM.splitlines())
    assert head["version"] == 2
    assert (head["width"], head["height"]) == (cast.WIDTH, cast.HEIGHT)
    times = [at for at, _, _ in events]
    assert times == sorted(times)
    assert {kind for _, kind, _ in events} == {"o", "m"}
    assert len(FILM.encode()) < 1_000_000


def test_the_drawing_is_made_from_the_film_and_each_picture_has_its_turn() -> None:
    drawn = cast.PICTURE.read_text()
    assert drawn == cast.drawn(FILM), "run: make pictures"
    assert len(drawn.encode()) < 1_000_000
    groups = ElementTree.fromstring(drawn).findall(f"{SVG}g")  # noqa: S314 - it is ours
    shown = ["".join(group.itertext()) for group in groups]
    assert len(shown) == len(cast.played(FILM))
    for (_, words, _), text in zip(cast.played(FILM), shown, strict=True):
        assert text.endswith(words)


@pytest.mark.parametrize("step", ["VIP and services", "Director", "Real servers", "Review", "Apply", "Verify"])
def test_the_tour_passes_each_step(step: str) -> None:
    assert any(f" {step}" in picture for _, _, picture in cast.played(FILM))


def test_it_ends_with_the_fault_that_verify_names() -> None:
    assert "1 check failed" in cast.played(FILM)[-1][2]
