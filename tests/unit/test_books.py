"""The journals are read once for one answer, however many questions lead to it, and what they add up to is pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.deployment import Deployment, Service
from dsrwizard.core.record.owed import Entry
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journal, JournalUnread
from tests.unit.test_engine import Farm

ANSWERS: dict[str, Callable[[Engine, Deployment], object]] = {
    "observe": lambda engine, shop: engine.observe(shop),
    "teardown_plan": lambda engine, shop: engine.teardown_plan(shop),
    "mend_plan": lambda engine, shop: engine.mend_plan(shop),
}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each deployment's journal is read."""
    counted: Counter[str] = Counter()
    readable = Journal.readable

    def counting(journal: Journal) -> tuple[list[Entry], JournalUnread | None]:
        counted[journal.path.stem] += 1
        return readable(journal)

    monkeypatch.setattr(Journal, "readable", counting)
    return counted


def three_deployments(folder: Path) -> tuple[Farm, Deployment]:
    """A shop and a mail service on the same servers, and an archive that was torn down and left the guard to both."""
    farm = Farm(folder)
    shop = farm.world.deployment()
    for number, name in enumerate(("archive", "mail"), 11):
        other = farm.world.deployment(vip=f"10.0.0.{number}", name=name, services=(Service(port=80),))
        assert farm.apply(other).ok
    assert farm.apply(shop).ok
    assert farm.teardown(farm.world.deployment(vip="10.0.0.11", name="archive", services=(Service(port=80),))).ok
    return farm, shop


@pytest.mark.parametrize("answer", ANSWERS)
def test_one_answer_reads_each_journal_once(tmp_path: Path, read: Counter[str], answer: str) -> None:
    farm, shop = three_deployments(tmp_path)
    read.clear()
    ANSWERS[answer](farm.engine, shop)
    assert read["shop"] == 1
    assert max(read.values()) == 1, read


def test_a_plan_of_a_smaller_deployment_reads_each_journal_once(tmp_path: Path, read: Counter[str]) -> None:
    farm, shop = three_deployments(tmp_path)
    fewer = msgspec.structs.replace(shop, servers=shop.servers[:2])
    observed = farm.engine.observe(fewer)
    read.clear()
    farm.engine.plan(fewer, observed)
    assert set(read) == {"shop", "mail", "archive"}, "what the others need is asked, too"
    assert max(read.values()) == 1, read
