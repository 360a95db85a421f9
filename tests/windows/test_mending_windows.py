"""Mending a Windows server: which steps of its plan cure a cause, by their names."""

from __future__ import annotations

from typing import cast

import pytest

from dsrwizard.core.model.changes import DestinationChange, DestinationState, ServiceKey, WindowsChange
from dsrwizard.core.model.steps import HostPlan, Phase, Plan, Purpose, Step
from dsrwizard.core.plan.mend import mending
from tests.unit.diagnosed import VIP, Farm
from tests.unit.test_mending import unseen

WINDOWS = {
    "weak-host": ["weak-host"],
    "windows-adapter": ["hygiene"],
    "firewall": [f"firewall {VIP}"],
    "site-binding": [f"sites {VIP}"],
    "vip-missing": ["weak-host", "hygiene", f"vip {VIP}"],
    "arp-leak": [],
    "address-conflict": [],
}
"""Cause → the steps of a Windows server's plan that cure it."""


def windows_plan(*ids: str) -> HostPlan:
    phases: dict[str, Phase] = {"adapter": "prepare", "weak-host": "guard", "hygiene": "guard"}
    setting = WindowsChange(item="metric", key="dsrwizard/4", old="1", new="254")
    steps = []
    for id_ in ids:
        word, _, about = id_.partition(" ")
        purpose = cast("Purpose", word)
        vip = "" if word == "adapter" else about
        steps.append(
            Step(
                id=id_, purpose=purpose, vip=vip, host="web2", phase=phases.get(word, "vip"), title=id_, why="",
                changes=(setting,),
            )
        )  # fmt: skip
    return HostPlan(host="web2", steps=tuple(steps))


@pytest.mark.parametrize("cause", WINDOWS)
def test_a_windows_server_is_cured_by_its_own_steps(monkeypatch: pytest.MonkeyPatch, cause: str) -> None:
    farm = Farm()
    names = ("weak-host", "hygiene", f"vip {VIP}", f"firewall {VIP}", f"sites {VIP}", "firewall 10.0.0.100")
    monkeypatch.setattr(
        "dsrwizard.core.plan.mend.planned", lambda *_: Plan(deployment="shop", hosts=(windows_plan(*names),))
    )
    (cure,) = mending(farm.deployment, farm.observed(), [unseen(cause, vip=VIP)]).cures
    assert [step.id for step in cure.steps] == WINDOWS[cause]
    assert bool(cure.by_hand) is (not WINDOWS[cause])


@pytest.mark.parametrize(("cause", "lifted"), [("weak-host", True), ("firewall", True), ("windows-adapter", False)])
def test_cured_of_what_kept_it_from_serving_it_comes_to_its_weight(
    monkeypatch: pytest.MonkeyPatch, cause: str, lifted: bool
) -> None:
    farm = Farm()
    change = DestinationChange(
        service=ServiceKey(VIP, "tcp", 80), address=farm.rip("web2"), port=80,
        old=DestinationState(weight=0), new=DestinationState(weight=1),
    )  # fmt: skip
    weight = Step(
        id=f"weight {VIP} tcp/80 web2", host="director", phase="weight", title="", why="", changes=(change,),
        server="web2", purpose="weight", vip=VIP, service="tcp/80",
    )  # fmt: skip
    hosts = (HostPlan(host="director", steps=(weight,)), windows_plan("weak-host", "hygiene", f"firewall {VIP}"))
    monkeypatch.setattr("dsrwizard.core.plan.mend.planned", lambda *_: Plan(deployment="shop", hosts=hosts))
    (cure,) = mending(farm.deployment, farm.observed(), [unseen(cause, vip=VIP)]).cures
    assert (weight in cure.steps) is lifted


def test_with_its_adapter_a_windows_server_lost_everything_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    farm = Farm()
    names = ("adapter dsrwizard", "weak-host", "hygiene", f"vip {VIP}")
    monkeypatch.setattr(
        "dsrwizard.core.plan.mend.planned", lambda *_: Plan(deployment="shop", hosts=(windows_plan(*names),))
    )
    (cure,) = mending(farm.deployment, farm.observed(), [unseen("windows-adapter")]).cures
    assert [step.id for step in cure.steps] == list(names)
