"""Faults of two directors with a real keepalived each: they are made and mended as the lab says."""

from __future__ import annotations

import pytest

from backends.lab import network
from tests.lab.harness import VIP, Lab
from tests.lab.test_guard_keepalived import pair

__all__ = ["pair"]
PAIR = ("split-brain@director",)
"""Faults that need two directors."""
ONE, OTHER = network.directors(network.PAIR)
HOLDS = f"ip -o addr show to {VIP} | grep -q ."


@pytest.mark.parametrize("name", PAIR)
def test_it_is_made_and_mended(pair: Lab, name: str) -> None:
    pair.wait(ONE.name, HOLDS)
    pair.wait(OTHER.name, f"! {HOLDS}")
    pair.dsrwizard("lab", "fault", name).ok()
    pair.run(ONE.name, HOLDS).ok()
    pair.run(OTHER.name, HOLDS).ok()
    pair.dsrwizard("lab", "mend", name).ok()
    pair.wait(OTHER.name, f"! {HOLDS}")
    pair.run(ONE.name, HOLDS).ok()
