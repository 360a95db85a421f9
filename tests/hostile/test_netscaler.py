"""A NetScaler that answers what no NetScaler does: nothing of it is believed further than it makes sense."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.steps import DIRECTOR
from tests.fakes.box_shop import VIP, BoxShop

pytestmark = pytest.mark.long

KINDS = (
    "config/nsfeature", "config/nsmode", "config/server", "config/service", "config/lbvserver", "config/lbmonitor",
    "config/lbvserver_service_binding", "config/service_lbmonitor_binding", "config/svcbindings", "stat/hanode",
    "stat/service", "config/nsconfig", "config/hanode",
)  # fmt: skip
ESCAPE = "\x1b[2J\u202eevil\r\n"
ROWS: dict[str, Any] = {
    "no list": 7, "a text": "x", "numbers": [1, 2, 3], "nothing": None, "an empty row": [{}], "deep": [[[{}]]],
    "nulls": [{"name": None, "ipv46": None, "port": None, "servicename": None, "monitorname": None}],
    "huge": [{"name": "n" * 70_000, "port": "9" * 9_000, "weight": "9" * 9_000, "timeout": "9" * 9_000}],
    "signs": [{"name": ESCAPE, "ipv46": VIP, "port": "80", "servicetype": ESCAPE, "m": ESCAPE,
               "hacurmasterstate": ESCAPE,
               "ipaddress": "10.0.0.101", "servername": ESCAPE, "svrstate": ESCAPE, "feature": [ESCAPE]}],
    "no numbers": [{"name": "v", "ipv46": VIP, "port": "eighty", "weight": "-1", "timeout": "²", "servicetype": "ANY"}],
    "no addresses": [{"name": "v", "ipv46": "::1::", "ipaddress": "10.0.0.999", "port": "80", "servicetype": "ANY"}],
    "objects": [{"name": {"a": 1}, "ipv46": [VIP], "port": {"n": 80}}],
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoxShop]:
    folder: Path = tmp_path_factory.mktemp("box")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(folder / "state"))
        made = BoxShop(folder)
        assert made.apply(made.deployment()).ok
        yield made
        made.close()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", ROWS)
def test_whatever_it_answers_is_an_error_or_a_plan(
    shop: BoxShop, kind: str, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = shop.box._got

    def got(node: int, area: str, asked: str, name: str) -> dict[str, Any]:
        return {asked: ROWS[rows]} if f"{area}/{asked}" == kind else honest(node, area, asked, name)

    monkeypatch.setattr(shop.box, "_got", got)
    observed = shop.engine.observe(shop.deployment())
    failed = observed.failed.get(DIRECTOR)
    assert failed is None or failed.kind != "defect", failed
    said: list[str] = [] if failed is None else [failed.text]
    plan = shop.engine.plan(shop.deployment(), observed)
    report = shop.engine.verify(shop.deployment())
    said += [call for step in plan.steps for call in step.calls or ()]
    said += [f"{one.message} {one.evidence}" for one in report.checks]
    said += [host.problem for host in plan.hosts] + [note for host in plan.hosts for note in host.notes]
    assert not any("\x1b" in text or "\u202e" in text or "\n" in text for text in said)


def test_a_flood_and_a_redirect_end(shop: BoxShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.appliance.https.LARGEST", 100_000)
    honest = shop.box._got
    flood = {"server": [{"name": f"s{number}", "ipaddress": "10.9.9.9"} for number in range(9_000)]}
    monkeypatch.setattr(
        shop.box, "_got", lambda node, area, kind, name: flood if kind == "server" else honest(node, area, kind, name)
    )
    failed: Failure = shop.engine.observe(shop.deployment()).failed[DIRECTOR]
    assert "more than any NetScaler sends" in failed.text
