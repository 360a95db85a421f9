"""Errors as the user reads them: what happened, why, and what to do next.

Every error that may reach a user is a `DsrError`; its three sentences are the whole message, so they never hold a
secret and never a traceback.
"""

from __future__ import annotations

from dsrwizard.core.model.foreign import lines, one_line


class DsrError(Exception):
    """Something did not work. `what`, `why` and `next` are one sentence each; `why` and `next` may be empty.

    They may quote what a host, a file or a library said; here it is made harmless. `why` keeps a quotation's lines.
    """

    exit_code = 1
    kind = "error"
    halfway = False
    """True: a step failed and what it had changed could not be taken back whole, so that something of it stands."""

    def __init__(self, what: str, why: str = "", next_: str = "") -> None:
        self.what = one_line(what)
        self.why = lines(why)
        self.next = one_line(next_)
        super().__init__(self.what)

    def lines(self) -> tuple[str, ...]:
        """What, why and next, without the empty ones."""
        return tuple(line for line in (self.what, self.why, self.next) if line)

    def __str__(self) -> str:
        return one_line(" ".join(self.lines()))


class UsageError(DsrError):
    """The command or the deployment file is wrong: nothing was tried."""

    exit_code = 2
    kind = "usage"


class LookError(DsrError):
    """It could not be looked at: no privilege, no IPVS, interrupted."""

    exit_code = 3
    kind = "could-not-look"


class Locked(LookError):
    """Another run is under way: nothing was begun. `brief`: it is one that takes a moment, such as a guard's."""

    kind = "locked"
    brief = False


class HostError(DsrError):
    """One host failed. `kind` tells which way, so that a screen can choose the buttons that help."""

    kind = "host"


class NameUnknown(HostError):
    """The host's name has no address."""

    kind = "name-unknown"


class ConnectionRefused(HostError):
    """The host is there, nothing listens on the port."""

    kind = "refused"


class ConnectTimeout(HostError):
    """The host did not answer in time."""

    kind = "timeout"


class HostKeyUnknown(HostError):
    """The host's key is in no known_hosts file and nobody accepted it."""

    kind = "key-unknown"


class HostKeyChanged(HostError):
    """The host shows another key than the one known: never accepted, never offered for acceptance."""

    kind = "key-changed"


class LoginRefused(HostError):
    """The host accepted none of the keys and passwords offered."""

    kind = "login"


class NoPrivilege(HostError):
    """Logged in, but neither root nor sudo."""

    kind = "privilege"


class NoInterface(HostError):
    """The interface named in the deployment is not on the host."""

    kind = "interface"


class SessionRefused(HostError):
    """The host is logged in to and opens no session for a script; one that stands beside may be in the way."""


class CommandFailed(HostError):
    """A command on the host failed; `why` quotes what the host said."""

    kind = "command"


class HostBusy(HostError):
    """Another run of dsrwizard changes the host: nothing was begun."""

    kind = "busy"


class ConnectionLost(HostError):
    """The connection broke while a script ran: the host's state is unknown until it is observed again.

    `begun` false: it is known that the script did not run.
    """

    kind = "lost"
    begun = True


class AnswerUnreadable(HostError):
    """The host answered something that is not what the script prints.

    `begun` true: the script may have run, so the host's state is unknown until it is observed again.
    """

    kind = "answer"
    begun = False


class Stopped(DsrError):
    """The operator stopped the run."""

    exit_code = 3
    kind = "stopped"
