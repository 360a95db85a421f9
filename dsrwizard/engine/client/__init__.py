"""The view from the client host: a script that pings, connects and reads neighbour entries, its parser, its rounds."""

from __future__ import annotations

from dsrwizard.engine.client.parse import parse
from dsrwizard.engine.client.rounds import look
from dsrwizard.engine.client.shell import script

__all__ = ["look", "parse", "script"]
