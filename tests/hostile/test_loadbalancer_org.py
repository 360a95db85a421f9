"""A Loadbalancer.org that answers what none does: nothing of it is believed further than it makes sense, and none of
its words comes back to its shell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsrwizard.core.model.steps import DIRECTOR
from tests.fakes.box_shop import VIP
from tests.fakes.org_shop import OrgShop

ESCAPE = "\x1b[2J\u202eevil\r\n"
SHELL = "x;reboot"
DUMPS: dict[str, Any] = {
    "nothing": None, "a number": 7, "a text": "x", "an empty object": {}, "no list": {"ldirectord": 7},
    "texts": {"ldirectord": {"virtual": ["x", 7, None, [[]], {}]}},
    "deep": {"ldirectord": {"virtual": [[[[[[[[[[{"label": "a"}]]]]]]]]]]}},
    "nulls": {"ldirectord": {"virtual": [{"label": None, "server": None, "ports": None,
                                          "real": [None, {"label": None}]}]}},
    "huge": {"ldirectord": {"virtual": {"label": "n" * 70_000, "server": VIP, "ports": "9" * 9_000, "protocol": "tcp",
                                        "real": {"label": "w", "server": "10.0.0.101", "weight": "9" * 9_000}}}},
    "signs": {"ldirectord": {"virtual": {"label": ESCAPE, "server": VIP, "ports": "80", "protocol": "tcp",
                                         "forwardingmethod": ESCAPE, "scheduler": ESCAPE, "persist_time": ESCAPE,
                                         "real": {"label": ESCAPE, "server": "10.0.0.101", "weight": ESCAPE}}},
              "haproxy": {"virtual": {"label": ESCAPE, "server": VIP, "ports": ESCAPE}}},
    "a shell": {"ldirectord": {"virtual": {"label": SHELL, "server": VIP, "ports": "80", "protocol": "tcp",
                                           "real": {"label": SHELL, "server": "10.0.0.101", "weight": "1"}}}},
    "a server for a shell": {"ldirectord": {"virtual": {
        "label": "dsr_shop_10.0.0.10_80", "server": VIP, "ports": "80", "protocol": "tcp",
        "real": {"label": SHELL, "server": "10.0.0.101", "weight": "1"}}}},
    "no numbers": {"ldirectord": {"virtual": {"label": "v", "server": VIP, "ports": "80", "protocol": "tcp",
                                              "persistent": "on", "persist_time": "-²",
                                              "real": {"label": "r", "server": "10.0.0.101", "weight": "-1"}}}},
    "no addresses": {"ldirectord": {"virtual": {"label": "v", "server": "10.0.0.999", "ports": "80",
                                                "real": [{"label": "r", "server": "::1::"}]}}},
    "objects": {"ldirectord": {"virtual": {"label": {"a": 1}, "server": [VIP], "ports": {"n": 80}, "real": {"x": {}}}}},
    "twice": {"ldirectord": {"virtual": [{"label": "v", "server": VIP, "ports": "80", "protocol": "tcp"}] * 3}},
}  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrgShop]:
    folder: Path = tmp_path_factory.mktemp("box")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(folder / "state"))
        made = OrgShop(folder, by_hand=True)
        assert made.apply(made.deployment()).ok
        yield made
        made.close()
        assert not made.box.errors


@pytest.mark.parametrize("what", DUMPS)
def test_whatever_it_dumps_is_an_error_or_a_plan(shop: OrgShop, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shop.box, "_dump", lambda: DUMPS[what])
    observed = shop.engine.observe(shop.deployment())
    failed = observed.failed.get(DIRECTOR)
    assert failed is None or failed.kind != "defect", failed
    said: list[str] = [] if failed is None else [failed.text]
    plan = shop.engine.plan(shop.deployment(), observed)
    report = shop.engine.verify(shop.deployment())
    said += [call for step in plan.steps for call in step.calls or ()]
    assert not any(SHELL in call for call in said)
    said += [f"{one.message} {one.evidence}" for one in report.checks]
    said += [host.problem for host in plan.hosts] + [note for host in plan.hosts for note in host.notes]
    assert not any("\x1b" in text or "\u202e" in text or "\n" in text for text in said)
    done = shop.apply(shop.deployment())
    assert all(host.failure is None or host.failure.kind != "defect" for host in done.hosts)


@pytest.mark.parametrize("listed", [None, 7, ESCAPE, [ESCAPE], {"a": {"b": VIP}}, [[["10.0.0.999"]]], "x" * 90_000])
def test_whatever_it_lists_as_floating_is_an_address_or_nothing(
    shop: OrgShop, listed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shop.box, "_listed", lambda: listed)
    plan = shop.engine.plan(shop.deployment(), shop.engine.observe(shop.deployment()))
    assert [step.id for step in plan.steps] in ([], [f"floating IP {VIP}"])


def test_a_flood_ends(shop: OrgShop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.appliance.https.LARGEST", 100_000)
    monkeypatch.setattr(shop.box, "_dump", lambda: {"ldirectord": [], "haproxy": ["x" * 1_000] * 1_000})
    assert "more than any Loadbalancer.org sends" in shop.engine.observe(shop.deployment()).failed[DIRECTOR].text
