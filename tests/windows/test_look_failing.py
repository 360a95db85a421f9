"""The n-th thing asked of a Windows host in a look fails, for every n, in both dialects.

The facts still come and name what they lack; verify finds no fault because of it; the plan leaves out no step that is
needed without a word about it.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import msgspec
import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.model.changes import Change, WindowsChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import ServerFacts
from dsrwizard.core.model.steps import HostPlan
from dsrwizard.core.plan.plan import host_plan
from tests.windows.answers import rich
from tests.windows.conftest import VIP, VIP6, Farm, shop
from tests.windows.diagnosed import SOME, evidence, look
from tests.windows.host import Address, Binding, Site, WindowsHost
from tests.windows.host.machine import BUSY

pytestmark = pytest.mark.long

BOTH = shop(VIP, VIP6)


def bare(version: str) -> WindowsHost:
    """A host that needs every kind of step."""
    host = WindowsHost(version)
    host.wire.addresses.append(Address("fd00::101", 64))
    host.wire.gateways.append("fd00::1")
    host.listeners = []
    host.sites = [Site("Shop", [Binding("http", "10.0.0.101:80:"), Binding("http", "[fd00::101]:80:")])]
    host.listen = ["10.0.0.101", "fd00::101"]
    return host


def each(host: WindowsHost, deployment: Deployment) -> Iterator[tuple[str, WindowsHost, ServerFacts]]:
    """What failed, the host, and the facts of that look; for every question of a look."""
    counted = copy.deepcopy(host)
    look(counted, deployment)
    for n, question in enumerate(counted.questions, 1):
        failing = copy.deepcopy(host)
        failing.fails_at = n
        facts = look(failing, deployment)
        failing.fails_at = 0
        yield f"{n}: {question}", failing, facts


def planned(facts: ServerFacts, deployment: Deployment) -> HostPlan:
    return host_plan(deployment, deployment.servers[0], facts)


def unseen_on_our_own(change: Change) -> bool:
    """A setting of dsrwizard's own adapter that was not seen is set once more, which does no harm."""
    return isinstance(change, WindowsChange) and change.old is None and change.key.startswith("dsrwizard")


def wanted(change: Change) -> str:
    """What it sets, whatever was there."""
    return repr(msgspec.structs.replace(change, old=None) if isinstance(change, WindowsChange) else change)


@pytest.mark.parametrize("version", SOME)
def test_a_server_that_serves_is_found_at_fault_by_nothing_that_could_not_be_read(version: str) -> None:
    host = rich(version)
    host.sites, host.listen, host.events = None, [], []
    wrong: list[str] = []
    for what, failing, facts in each(host, shop()):
        assert facts.windows is not None
        if not any(BUSY in sentence for sentence in facts.windows.unread()):
            wrong.append(f"{what}: nothing says what could not be read")
        for wire in (True, False):
            report = diagnose(evidence(failing, facts, wire=wire))
            wrong += [f"{what}: {one.check} {one.message}" for one in report.checks if one.outcome == "fail"]
        changes = [change for step in planned(facts, shop()).steps for change in step.changes]
        wrong += [f"{what}: needless {change}" for change in changes if not unseen_on_our_own(change)]
    assert wrong == []


@pytest.mark.parametrize("version", SOME)
def test_no_needed_step_is_left_out_without_a_word(version: str) -> None:
    host = bare(version)
    needed = {wanted(change) for step in planned(look(host, BOTH), BOTH).steps for change in step.changes}
    assert len(needed) > 10
    wrong: list[str] = []
    for what, _, facts in each(host, BOTH):
        plan = planned(facts, BOTH)
        made = {wanted(change) for step in plan.steps for change in step.changes}
        told = plan.problem or "; ".join(plan.notes)
        if needed - made and BUSY not in told:
            wrong.append(f"{what}: {sorted(needed - made)}, and only this is said: {told}")
        if made - needed:
            wrong.append(f"{what}: needless {sorted(made - needed)}")
    assert wrong == []


@pytest.mark.parametrize("version", SOME)
def test_one_adapter_that_cannot_be_read_takes_away_no_other(version: str) -> None:
    """Each part of a look that is about one adapter, as far as the host is asked for it on its own."""
    host = rich(version)
    names = {adapter.name for adapter in look(host).windows.adapters}  # type: ignore[union-attr]
    parts = 0
    for _, _, facts in each(host, shop()):
        assert facts.windows is not None
        if any(adapter.unknown for adapter in facts.windows.adapters):
            parts += 1
            assert {adapter.name for adapter in facts.windows.adapters} == names
            (lacking,) = [adapter for adapter in facts.windows.adapters if adapter.unknown]
            others = [adapter for adapter in facts.windows.adapters if adapter is not lacking]
            assert all(adapter.addresses for adapter in others)
    assert parts >= 3


@pytest.mark.parametrize(
    ("version", "cmdlet"),
    [
        ("2008 R2", "get-wmiobject"),
        ("2025", "get-netadapter"),
        ("2025", "get-netipaddress"),
        ("2025", "get-netipinterface"),
    ],
)
def test_what_cannot_be_seen_is_not_taken_for_gone(farm: Callable[..., Farm], version: str, cmdlet: str) -> None:
    """A teardown leaves what it cannot see in the books, and takes it away when it can."""
    one = farm(WindowsHost(version))
    before = one.host.state()
    assert one.apply().ok
    one.host.broken = {cmdlet: BUSY}
    one.teardown()
    one.host.broken = {}
    assert one.teardown().ok
    assert one.host.state() == before
