"""What a kill leaves at every call that changes an appliance: journal and configuration as they are then."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dsrwizard.core.model.deployment import Deployment
from tests.fakes.box_shop import ApplianceShop


class Moments:
    """What a kill leaves at every moment of a run."""

    def __init__(self, shop: ApplianceShop[Any]) -> None:
        self._shop = shop
        self.taken: list[tuple[str, Path, Any]] = []
        shop.box.on_change = self._note

    def _note(self, method: str, path: str, body: Any) -> None:
        when = "before" if method.isupper() else "after"
        kept = self._shop.folder / f"moment-{len(self.taken)}"
        shutil.copytree(self._shop.folder / "journal", kept)
        self.taken.append((f"{when} {method.upper()} {path}", kept, self._shop.box.snapshot()))

    def go_back(self, number: int) -> str:
        """The world as it was at a moment, with a new process."""
        shop = self._shop
        shop.box.on_change = lambda method, path, body: None
        what, kept, state = self.taken[number]
        shop.engine.close()
        shutil.rmtree(shop.folder / "journal")
        shutil.copytree(kept, shop.folder / "journal")
        shop.box.restore(state)
        shop.engine = shop.fresh()
        return what


def moments_of(shop: ApplianceShop[Any], run: Callable[[], object]) -> Moments:
    (shop.folder / "journal").mkdir(exist_ok=True)
    moments = Moments(shop)
    run()
    return moments


def failures(shop: ApplianceShop[Any], moments: Moments, after: Callable[[], str]) -> list[str]:
    found = []
    for number in range(len(moments.taken)):
        what = moments.go_back(number)
        wrong = after()
        if wrong:
            found.append(f"{what}: {wrong}")
    return found


def applied_well(shop: ApplianceShop[Any], deployment: Deployment, servers: list[str]) -> str:
    """What is wrong after an apply that these servers are to serve after; empty: nothing."""
    result = shop.apply(deployment)
    if not result.ok:
        return str([host.failure for host in result.hosts if host.failure])
    if shop.served() != servers:
        return f"served by {shop.served()}"
    return "" if shop.plan(deployment).empty else "a second apply would write"


def taken_back_well(shop: ApplianceShop[Any], deployment: Deployment, as_before: Callable[[], bool]) -> str:
    """The same of a teardown."""
    result = shop.teardown(deployment)
    if not result.ok:
        return str([host.failure for host in result.hosts if host.failure])
    if shop.ours():
        return f"left: {shop.ours()}"
    return "" if as_before() else "something of others is not as it was"
