"""A Windows server without the journal of its apply: what carries dsrwizard's names is found and taken back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.steps import HostPlan, Plan
from dsrwizard.core.record.owed import owed
from dsrwizard.engine.journal import Journals
from tests.windows.conftest import VIP, Farm, shop
from tests.windows.host.machine import WindowsHost
from tests.windows.host.model import Address, fresh_loopback

Make = Callable[..., Farm]
VERSIONS = ["2008", "2012", "2025"]


def lost(farm: Farm) -> None:
    """The journal is gone, and dsrwizard starts anew."""
    for path in farm.folder.glob("shop.*"):
        path.unlink()
    farm.engine = farm.fresh()


def failures(result: RunResult) -> str:
    return " ".join(host.failure.text for host in result.hosts if host.failure is not None)


def without_weak_receive(host: WindowsHost) -> dict[str, Any]:
    """All that a teardown by names can bring back: of that setting nobody knows what it was."""
    state = host.state()
    for row in state["adapters"][0]["rows"].values():
        row.pop("weak_receive")
    return state


def of_win1(plan: Plan) -> HostPlan:
    return next(host for host in plan.hosts if host.host == "win1")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("renamed", [False, True])
def test_what_carries_our_names_is_taken_back(farm: Make, version: str, renamed: bool) -> None:
    """The adapter has a mark, and is ours also where the operator has given it another name."""
    one = farm(WindowsHost(version))
    before = without_weak_receive(one.host)
    assert one.apply().ok
    if renamed:
        (adapter,) = [entry for entry in one.host.adapters if entry.loopback]
        adapter.name = "Loopback of the operator"
    lost(one)
    plan = of_win1(one.engine.teardown_plan(one.deployment))
    assert plan.steps
    (note,) = [note for note in plan.notes if "What was there before is not known" in note]
    assert "weak-host receive of Ethernet" in note or "weak-host receive of Local Area Connection" in note
    result = one.teardown()
    assert result.ok, failures(result)
    assert without_weak_receive(one.host) == before
    assert owed(Journals(one.folder).of("shop").entries()) == []
    assert one.teardown().ok
    assert without_weak_receive(one.host) == before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_host_of_which_nothing_carries_our_names_is_left_alone(farm: Make, version: str) -> None:
    one = farm(WindowsHost(version))
    before = one.host.state()
    result = one.teardown()
    assert result.ok, failures(result)
    assert one.host.state() == before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_vip_on_an_adapter_of_somebody_else_is_named_and_stays(farm: Make, version: str) -> None:
    host = WindowsHost(version)
    theirs = fresh_loopback(30, 31, version, 0)
    theirs.name, theirs.polls, theirs.addresses = "Loopback of the operator", 0, [Address(VIP, 32, skip=True)]
    host.adapters.append(theirs)
    one = farm(host)
    by_hand = one.host.state()
    result = one.teardown()
    assert one.host.state() == by_hand
    assert not result.ok
    assert f"win1 has {VIP}, as the deployment's file says." in failures(result)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_rules_alone_show_that_we_were_there(farm: Make, version: str) -> None:
    """Its adapter was removed by hand; the firewall's rules with our names are left."""
    one = farm(WindowsHost(version))
    before = one.host.state()
    assert one.apply().ok
    assert one.host.rules
    one.host.adapters = [entry for entry in one.host.adapters if not entry.loopback]
    lost(one)
    result = one.teardown()
    assert result.ok, failures(result)
    assert one.host.state()["rules"] == before["rules"]


def test_another_deployments_names_are_not_ours(farm: Make) -> None:
    one = farm(WindowsHost())
    assert one.apply().ok
    standing = one.host.state()
    lost(one)
    one.deployment = shop("10.0.0.99")
    one.deployment = msgspec.structs.replace(one.deployment, name="mail")
    result = one.teardown()
    assert result.ok, failures(result)
    assert one.host.state() == standing
