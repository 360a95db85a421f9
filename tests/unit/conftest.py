"""Nobody waits for a kernel's counters where there is no kernel."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def no_kernel_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single look compares two readings at once; the farm in memory counts without delay."""
    monkeypatch.setattr("dsrwizard.engine.watch.poller.KERNEL_SECONDS", 0.0)


@pytest.fixture(autouse=True)
def no_other_homes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Journals of this machine's own users are none of the tests' business; this is root's home to them."""
    home = tmp_path / "home of root"
    monkeypatch.setattr("dsrwizard.engine.journals_elsewhere._homes", lambda: iter((home,)))
    return home
