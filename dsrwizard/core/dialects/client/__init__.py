"""The client host's dialect: a script that pings, connects and reads neighbour entries, and its parser."""

from __future__ import annotations

from dsrwizard.core.dialects.client.parse import parse
from dsrwizard.core.dialects.client.shell import script

__all__ = ["parse", "script"]
