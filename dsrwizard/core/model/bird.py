"""BIRD on a director: its files, ours among them, and what a look there finds."""

from __future__ import annotations

from hashlib import sha256

from dsrwizard.core.model.changes import FileState
from dsrwizard.core.model.shown import Shown

BIRD_CONF = "/etc/bird/bird.conf"
"""What BIRD reads where nobody tells it otherwise (Debian's bird2). It is the operator's."""
BIRD_FOLDER = "/etc/bird/dsrwizard.d"
BIRD_INCLUDE = f'include "{BIRD_FOLDER}/*.conf";'
"""The one line of ours in the operator's file. A folder that is missing is an error, an empty one is none (seen with
BIRD 2.0.12)."""
BIRD_UNIT = "bird.service"


def bird_file(deployment: str) -> str:
    """The routes and the session of a deployment."""
    return f"{BIRD_FOLDER}/{deployment}.conf"


def sign_of(deployment: str) -> str:
    """The dummy interface that says “this director is well”: BIRD announces the VIPs as long as it is up. Names of
    interfaces have 15 characters at most, so that a deployment's own would not fit."""
    return f"dsrup-{sha256(deployment.encode()).hexdigest()[:8]}"


class OtherSession(Shown, frozen=True):
    """A BGP session of BIRD that is not ours: protocol and the neighbour's address."""

    protocol: str
    neighbour: str


class BirdFacts(Shown, frozen=True, kw_only=True):
    """A look at BIRD on a director.

    `version` empty: there is none. `conf`: the operator's file; `own`: ours of this deployment. `running`: it answers
    on its control socket; then `state` is our session's (`Established`, `Active`, …; empty: it has none), `sessions`
    are those of others and `bfd` the names of BFD protocols that are not ours.
    """

    version: str = ""
    systemd: bool = False
    enabled: bool = False
    running: bool = False
    problem: str = ""
    """Why it could not be looked at."""
    conf: FileState | None = None
    own: FileState | None = None
    folder: bool = False
    state: str = ""
    sessions: tuple[OtherSession, ...] = ()
    bfd: tuple[str, ...] = ()
