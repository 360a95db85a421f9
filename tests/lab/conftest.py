"""The lab fixture: a fresh guest per test module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.cases import CaseLab, difference
from tests.lab.harness import Lab


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A running lab whose director knows every host's key. What one test changes, the next one of the module finds."""
    with Lab() as running:
        yield running


@pytest.fixture(scope="module")
def cases(lab: Lab) -> Iterator[CaseLab]:
    """The lab with its deployment in force; nothing of any case is left on any host at the end."""
    deployed = CaseLab.deployed(lab)
    before = deployed.settings()
    yield deployed
    assert difference(before, deployed.settings()) == []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this directory needs the lab."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.lab)
