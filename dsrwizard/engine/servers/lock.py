"""The lock of one Linux server, as a run holds it: a script that stands beside those that do the work.

It gives a sign of life every few seconds. So the lock of a run whose machine has died, of which no packet tells, is
free in a minute, and that of a run that was killed at once.
"""

from __future__ import annotations

import secrets
import threading

from dsrwizard.core.dialects.linux.lock import SILENCE, LockAnswer, lock_script
from dsrwizard.core.model.errors import ConnectionLost, HostBusy, HostError, NoPrivilege
from dsrwizard.core.ports import Connector, StandingConnector, StandingScript

_TAKE_SECONDS = 20.0
_SIGN_SECONDS = SILENCE / 4
_END_SECONDS = 2.0


class HostLock:
    """The lock of the host with this name. `taken_by`: see `ServerPort.hold`, as the host said last."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._holder = ""
        self._standing: StandingScript | None = None
        self._without = False
        """The host has no lock to give."""
        self._ended = threading.Event()
        self.taken_by: str | None = None

    def wanted(self, holder: str) -> None:
        """From now on this run is to have it."""
        if holder != self._holder:
            self.let_go()
            self._holder = holder
        self.taken_by = None

    def take(self, connector: Connector) -> None:
        """Takes it, where it is wanted and not there. What the host cannot do about it is no reason to fail. Raises
        ConnectionLost and NoPrivilege."""
        if not self._holder or self._standing is not None or self._without:
            return
        if not isinstance(connector, StandingConnector):
            self._without = True
            return
        nonce = secrets.token_hex(8)
        said = LockAnswer(nonce)
        script = lock_script(nonce, self._holder)
        try:
            standing = connector.stand(
                script, deadline=_TAKE_SECONDS, on_line=said.feed, until=lambda: said.word == "held"
            )
        except (ConnectionLost, NoPrivilege):
            raise
        except HostError:
            self._without = True
            return
        self.taken_by = said.holder if said.word == "busy" else None
        self._without = standing is None and said.word != "busy"
        if standing is not None:
            self._standing, self._ended = standing, threading.Event()
            threading.Thread(
                target=_signs, args=(standing, self._ended), name=f"lock-{self._host}", daemon=True
            ).start()

    def refuse(self) -> None:
        """Raises HostBusy where another run has taken it since this one lost it."""
        if self.taken_by is not None:
            raise HostBusy(
                f"{self._host}: nothing was changed, because another run of dsrwizard is changing it now.",
                "The connection to it broke, and the other run began before it was there again.",
                "Wait until that run has ended, then try again.",
            )

    def gives_way(self) -> bool:
        """Lets it go for good, because the host has no room for it; false where it stood in nobody's way."""
        if self._standing is None:
            return False
        self._without = True
        self._end()
        return True

    def lost(self) -> None:
        """Its connection is no more."""
        self._ended.set()
        self._standing = None

    def let_go(self) -> None:
        """The run has ended."""
        self._holder, self._without, self.taken_by = "", False, None
        self._end()

    def _end(self) -> None:
        standing = self._standing
        self.lost()
        if standing is not None:
            standing.end(_END_SECONDS)


def _signs(standing: StandingScript, ended: threading.Event) -> None:
    while not ended.wait(_SIGN_SECONDS):
        if not standing.sign():
            return
