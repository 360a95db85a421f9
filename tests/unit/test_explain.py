"""`dsrwizard explain`: every cause has its page, and the page tells the whole story."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from backends.lab import naming
from dsrwizard.cli.main import commands, run
from dsrwizard.core.model.causes import CAUSES
from dsrwizard.pages import page

SECTIONS = ["What you see", "Why it happens", "Check by hand", "How to fix it", "Reproduce it in the lab"]


@pytest.mark.parametrize("cause", CAUSES)
def test_a_page_has_every_section_and_something_in_each(cause: str) -> None:
    title, *rest = page(cause).split("\n## ")
    assert title.startswith(f"# {cause}\n")
    assert [part.partition("\n")[0] for part in rest] == SECTIONS
    assert all(len(part.partition("\n")[2].split()) >= 4 for part in rest)


@pytest.mark.parametrize("cause", CAUSES)
def test_the_lab_makes_what_the_page_says_it_makes(cause: str) -> None:
    named = re.findall(r"dsrwizard lab --fault (\S+)", page(cause))
    assert [naming.parse(name).fault.cause for name in named] == [cause] * len(named)
    assert bool(named) is not CAUSES[cause].windows


def test_a_page_promises_no_step_where_none_cures() -> None:
    for cause, row in CAUSES.items():
        mending = page(cause).partition("\n## How to fix it")[2].partition("\n## ")[0]
        assert ("dsrwizard mend FILE" in mending) is (not row.by_hand or row.sometimes), cause


def test_the_list_names_every_cause() -> None:
    shown = CliRunner().invoke(commands, ["explain"])
    assert shown.exit_code == 0
    assert [line.split()[0] for line in shown.output.splitlines()] == list(CAUSES)


def test_a_page_in_a_pipe_is_plain_markdown() -> None:
    assert CliRunner().invoke(commands, ["explain", "vip-missing"]).output == page("vip-missing")


def test_a_cause_that_there_is_not_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "vip-mising"]) == 2
    what, next_ = capsys.readouterr().err.splitlines()
    assert what == "Unknown cause: 'vip-mising'."
    assert next_ == "Did you mean vip-missing? To list all causes, run: dsrwizard explain"
