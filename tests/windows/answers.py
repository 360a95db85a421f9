"""What the looking script tells of a modelled host, as a document to change, and the frame it travels in."""

from __future__ import annotations

import base64
import copy
import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

from dsrwizard.core.dialects.windows.answer import parse
from dsrwizard.core.dialects.windows.frames import CLOSING, OPENING
from dsrwizard.core.dialects.windows.observe import observe_script
from dsrwizard.core.model.facts import ServerFacts
from tests.windows.diagnosed import NOW, set_up
from tests.windows.host import Binding, Event, Site, WindowsHost

IIS = "{4dc3e181-e14b-4a21-b022-59fc669b0914}"
NONCE = re.compile(r"\$nonce = '(\w+)'")
"""Where a script has its nonce."""


def rich(version: str) -> WindowsHost:
    """A host that is set up, with something of everything."""
    host = set_up(version)
    host.sites = [Site("Shop", [Binding("http", "10.0.0.101:80:"), Binding("https", "*:443:", "ab" * 20, "MY")])]
    host.certificates = {"10.0.0.101:443": ("AB" * 20, IIS, "MY"), "[::]:443": ("CD" * 20, IIS, "WebHosting")}
    host.listen = ["10.0.0.101", "10.0.0.10"]
    host.events.append(Event(4199, "10.0.0.77", "02:00:00:00:be:ef", 60))
    return host


@cache
def _told(version: str) -> dict[str, Any]:
    status, out, err = rich(version).run(observe_script("n"))
    assert (status, err) == (0, [])
    (line,) = out
    return dict(json.loads(base64.b64decode(line.removeprefix(OPENING).removesuffix(CLOSING))))


def told(version: str = "2025") -> dict[str, Any]:
    """The document of a rich host; nonce `n`."""
    return copy.deepcopy(_told(version))


def framed(document: object, nonce: str | None = None) -> str:
    """The line that carries it."""
    if nonce is not None and isinstance(document, dict):
        document = document | {"nonce": nonce}
    data = document if isinstance(document, bytes) else json.dumps(document).encode("utf-8", "surrogatepass")
    return f"{OPENING}{base64.b64encode(data).decode()}{CLOSING}"


def facts(change: Callable[[dict[str, Any]], object] | None = None, version: str = "2025") -> ServerFacts:
    """The facts in what is left of the document after a change."""
    document = told(version)
    if change is not None:
        change(document)
    return parse("win1", "n", framed(document), now=NOW, reached="10.0.0.101")
