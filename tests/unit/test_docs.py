"""The README, the book and the causes: each test they name exists, each link leads somewhere, each target is one."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

from tests.parsing import parsed

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "dsrwizard/pages").glob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
MODEL = (ROOT / "docs/threat-model.md").read_text()


def texts(page: str) -> str:
    return (ROOT / page).read_text()


@functools.cache
def held_by(path: str) -> set[str]:
    """`test_x` and `TestY::test_x` of a file."""
    found = set()
    for node in parsed((ROOT / path).read_text()).body:
        members = [(f"{node.name}::", each) for each in node.body] if isinstance(node, ast.ClassDef) else [("", node)]
        functions = [(prefix, each.name) for prefix, each in members if isinstance(each, FUNCTIONS)]
        found |= {prefix + name for prefix, name in functions if name.startswith("test_")}
    return found


def anchors(text: str) -> set[str]:
    """What the headings of a page can be linked by."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", NAMES)
def test_every_test_it_names_exists(page: str) -> None:
    for path, name in re.findall(r"`?(tests/[\w/.]+\.py)(?:::([\w:]+))?", texts(page)):
        assert (ROOT / path).is_file(), path
        assert not name or name in held_by(path), f"{path} has no {name}"


@pytest.mark.parametrize("page", NAMES)
def test_every_relative_link_resolves(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", texts(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (ROOT / page).parent / path if path else ROOT / page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there.read_text()), target


@pytest.mark.parametrize("page", NAMES)
def test_every_make_target_it_names_exists(page: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^    )make ([a-z-]+)", texts(page), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), ["README.md"]
    while waiting:
        page = waiting.pop()
        if page not in reached:
            reached.add(page)
            linked = re.findall(r"\]\(([^)#\s]+\.md)", texts(page))
            waiting += [str(((ROOT / page).parent / target).resolve().relative_to(ROOT)) for target in linked]
    assert set(NAMES) <= reached


def test_each_line_of_the_threat_model_names_its_test_or_says_that_there_is_none() -> None:
    tables = re.findall(r"((?:^\|.*\n)+)", MODEL, re.MULTILINE)
    shown = [table.splitlines() for table in tables if table.splitlines()[0].endswith("| shown by |")]
    assert len(shown) == len(tables) - 1, "who is trusted is the one that shows nothing"
    for row in (row for table in shown for row in table[2:]):
        last = row.rstrip("| ").rpartition(" | ")[2]
        assert last == "not shown" or re.fullmatch(r"(`tests/[\w/]+\.py::\w+`(, )?)+", last), row


def test_no_page_names_a_place_of_one_machine() -> None:
    for page in NAMES:
        assert not re.search(r"/tmp/|/work/|/root/|/home/(?!dsrwizard\b)", texts(page)), page
