"""The look at the director's own path, changed as a test wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.director_facts import (
    DirectorLook,
)
from dsrwizard.engine.verify import gather
from tests.unit.diagnosed import VIP, Farm

KEY = ServiceKey(VIP, "tcp", 80)
WEB3, CLIENT = "10.0.0.103", "203.0.113.10"
WEB3_MAC, OTHER = "02:00:0a:00:00:67", "02:00:0a:00:00:99"
STRICT = {"net.ipv4.conf.all.rp_filter": "1", "net.ipv4.conf.eth0.rp_filter": "1"}


def seeing(farm: Farm, change: Callable[[DirectorLook], dict[str, Any]]) -> None:
    """From now on a look at the director's path shows this."""
    farm.world.looked = lambda seen, lost: msgspec.structs.replace(seen, **change(seen))


def setting(farm: Farm, **values: str) -> None:
    seeing(farm, lambda seen: {"settings": seen.settings | {f"net.ipv4.vs.{key}": v for key, v in values.items()}})


def routed(farm: Farm, rip: str, **values: Any) -> None:
    seeing(
        farm,
        lambda seen: {"entries": seen.entries | {rip: msgspec.structs.replace(seen.entries[rip], **values)}},
    )


def applied(farm: Farm, *, kept: Sequence[str] = ()) -> Report:
    """Verified, with a journal that says the deployment was applied."""
    evidence = gather(
        farm.deployment, farm.observed(), farm.world.wire(), None, farm.inside(), dict.fromkeys(("web1", "web2"), 1.0)
    )
    return diagnose(msgspec.structs.replace(evidence, kept=frozenset(kept)))
