"""What birdc says, read. Pure.

`show protocols all` (BIRD 2.0): a line for each protocol, `name Proto Table State Since Info`, and below it lines that
begin with blanks.
"""

from __future__ import annotations

import re

import msgspec

from dsrwizard.core.dialects.bird.writer import symbol
from dsrwizard.core.model.bird import BirdFacts, OtherSession

_HEAD = re.compile(
    r"(?P<name>\S+)\s+(?P<kind>\S+)\s+(?P<table>\S+)\s+(?P<state>up|down|start|stop|flush)\b(?P<rest>.*)"
)
_NEIGHBOUR = re.compile(r"\s+Neighbor (?:address|range):\s+(\S+)")
_SESSION = re.compile(r"\s+BGP state:\s+(\S+)")


def with_protocols(facts: BirdFacts, deployment: str, said: str) -> BirdFacts:
    """The facts with what `birdc show protocols all` said: our session, those of others, and others' BFD."""
    ours = f"{symbol(deployment)}_"
    name = kind = state = ""
    sessions: list[OtherSession] = []
    bfd: list[str] = []
    for line in said.splitlines():
        head = _HEAD.match(line)
        if head is not None:
            name, kind = head["name"], head["kind"]
            if kind == "BFD" and not name.startswith(ours):
                bfd.append(name)
            continue
        if kind != "BGP":
            continue
        if name == f"{ours}bgp" and (found := _SESSION.match(line)):
            state = found[1]
        elif name != f"{ours}bgp" and (found := _NEIGHBOUR.match(line)):
            sessions.append(OtherSession(name, found[1].partition("%")[0]))
    return msgspec.structs.replace(facts, running=True, state=state, sessions=tuple(sessions), bfd=tuple(bfd))
