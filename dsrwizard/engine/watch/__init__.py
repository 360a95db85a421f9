"""The watch behind the live pane: five sources looked at in threads of their own, joined into one snapshot."""

from __future__ import annotations

from dsrwizard.engine.watch.poller import Poller

__all__ = ["Poller"]
