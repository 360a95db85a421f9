"""What `dsrwizard adopt` finds on an appliance: a fake of it on loopback, which a deployment file does not take."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import msgspec
import pytest

from dsrwizard.cli import adopting as command
from dsrwizard.cli import asking, wiring
from dsrwizard.core.model.deployment import Balancer, Deployment

ADDRESS = "10.1.0.5"
"""Where the appliance is said to be managed."""


def stand_there(monkeypatch: pytest.MonkeyPatch, shop: Any, driver: ModuleType, user: str) -> None:
    """The fake of `shop` is the appliance at ADDRESS for this user, to `driver` and to the command."""
    honest = driver.farm_of

    def there(place: Balancer, asker: Any) -> Any:
        assert (place.addresses, place.user) == ((ADDRESS,), user)
        return honest(_at(place, shop), asker)

    monkeypatch.setattr(driver, "farm_of", there)
    monkeypatch.setattr(asking, "TerminalAsker", lambda: shop.operator)
    monkeypatch.setattr(wiring, "build_engine", lambda asker: shop.fresh())
    monkeypatch.setattr(command, "_hosts", lambda: "")


def reached(shop: Any, found: Deployment) -> Deployment:
    """The adopted deployment with the fake's own place."""
    return msgspec.structs.replace(found, balancer=_at(found.balancer or Balancer(), shop))


def _at(place: Balancer, shop: Any) -> Balancer:
    return msgspec.structs.replace(place, addresses=shop.box.addresses, port=shop.box.port)
