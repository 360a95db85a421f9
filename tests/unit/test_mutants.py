"""The changes that `make mutants` makes: each is sound Python, and another program."""

from __future__ import annotations

import ast

import pytest

from tests.mutants.__main__ import ROOT
from tests.mutants.places import mutated, places
from tests.parsing import parsed

SOURCE = '''
"""It says 1 and True."""
def é(a: int = 1, *, b: bool = True) -> int | None:
    """Text of 2."""
    if a == 1 and not b:
        print(f"{a + 1}")
        return a - 1
    for one in [3]:
        break
    return one if one in (4, 5) else None
'''


def test_every_kind_of_place_is_found_once_and_texts_types_and_docstrings_are_left_alone() -> None:
    assert [(place.old, place.new) for place in places("x.py", SOURCE)] == [
        ("1", "(2)"),
        ("True", "(False)"),
        ("a == 1", "(a != 1)"),
        ("a == 1 and not b", "(a == 1 or not b)"),
        ("1", "(2)"),
        ("not b", "(b)"),
        ('print(f"{a + 1}")', "pass"),
        ("return a - 1", "return None"),
        ("a - 1", "(a + 1)"),
        ("1", "(2)"),
        ("3", "(4)"),
        ("break", "continue"),
        ("return one if one in (4, 5) else None", "return None"),
        ("one if one in (4, 5) else None", "(None if one in (4, 5) else one)"),
        ("one in (4, 5)", "(one not in (4, 5))"),
        ("4", "(5)"),
        ("5", "(6)"),
    ]


@pytest.mark.parametrize("name", ["core/plan/director.py", "core/diagnosis/client_answers.py", "core/record/owed.py"])
def test_each_change_of_a_file_is_sound_and_makes_another_program(name: str) -> None:
    source = (ROOT / "dsrwizard" / name).read_text()
    sound = ast.dump(parsed(source))
    found = places(name, source)
    assert len(found) > 20
    for place in found:
        changed = mutated(source, place)
        assert ast.dump(parsed(changed)) != sound, place
        assert changed.count("\n") == source.count("\n") - place.old.count("\n") + place.new.count("\n")
