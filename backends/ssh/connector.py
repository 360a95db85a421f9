"""One SSH connection to one host that runs scripts as root: one exec channel per run, script over standard input.

A login as root runs `sh`. Any other user's command looks whether it is root after all, else calls sudo with a prompt
of its own. The password goes out only when that very prompt has come back on standard error, and the script only when
the root shell has said that it is there: neither can be taken for the other.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable
from threading import Lock
from typing import TypeVar

import paramiko

from backends.memory import Memory, memory_of
from backends.ssh.dial import SshConnection, dial
from backends.ssh.privilege import PATH, Sudo, quote, sudo_command
from backends.ssh.route import route_to
from backends.ssh.session import Clock, Flood, Overdue, SshCommand
from backends.ssh.transport import within
from dsrwizard.core.model.deployment import Client, RealServer
from dsrwizard.core.model.errors import ConnectionLost, HostError, NoPrivilege, SessionRefused
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.ports import Answer, Asker, OnLine, StandingScript

T = TypeVar("T")

_TRAFFIC = 64 * 1024 * 1024
"""Bytes a server may send for one run, all it takes to carry the output among them."""
_ENDING = 2.0
"""Seconds a host may take to end a session before the next is refused for good."""
_OPENING = 20.0
"""Seconds the host may take to open a session."""


def open_connector(host: str, target: RealServer | Client, asker: Asker) -> SshConnector:
    """See `backends.ssh.open_ssh`."""
    memory = memory_of(asker)
    try:
        link = dial(route_to(host, target), asker, memory)
    except UnicodeEncodeError:
        # Its text and its traceback would hold what could not be encoded: an answer the operator typed.
        raise HostError(
            f"{host}: a name, path or password holds characters that cannot be sent.", "", "Type it again."
        ) from None
    except (paramiko.SSHException, EOFError, OSError, ValueError) as error:
        # All that is known to happen has its own message; this is for what odd servers may think of.
        raise HostError(
            f"{host}: the SSH connection to {target.address} failed.",
            one_line(f"{type(error).__name__}: {error}.", 300),
            f"See what ssh -v {target.address} says.",
        ) from error
    return SshConnector(link, asker, memory)


def framed(script: str, marker: str) -> bytes:
    """The script as it is sent: marker lines first, then all of it between braces.

    A shell reads a brace group to its end before it runs any of it. So a script that arrives only in part does
    nothing, and no command in it can swallow what follows by reading standard input.
    """
    return _braced(script, marker, " </dev/null")


def _braced(script: str, marker: str, where: str = "") -> bytes:
    begin = f"echo {marker}; echo {marker} >&2; LC_ALL=C PATH={PATH}; export LC_ALL PATH; umask 022; cd /\n"
    return f"{begin}{{ :\n{script}\n}}{where}\n".encode("utf-8", "surrogateescape")


class SshConnector:
    """See `dsrwizard.core.ports.Connector`. After ConnectionLost by a broken connection every further run says the
    same; open another. After a deadline the connection can still be used."""

    def __init__(self, link: SshConnection, asker: Asker, memory: Memory) -> None:
        self._link, self._asker, self._memory = link, asker, memory
        self._host, self._user = link.route.host, link.route.user
        self._lock = Lock()
        self._closed = False

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        """Runs a script as root. Output is UTF-8, what is not is replaced. Raises NoPrivilege, ConnectionLost."""
        return self._carried(
            lambda marker: framed(script, marker), deadline, on_line, self._answer, last=True, ends=lambda answer: True
        )

    def stand(
        self, script: str, *, deadline: float, on_line: OnLine, until: Callable[[], bool]
    ) -> StandingScript | None:
        """See `dsrwizard.core.ports.StandingConnector`."""

        def begun(session: SshCommand) -> SshCommand | None:
            while not until():
                if not session.step():
                    return None
            return session

        return self._carried(
            lambda marker: _braced(script, marker), deadline, on_line, begun, last=False, ends=lambda it: it is None
        )

    def _carried(
        self,
        sent: Callable[[str], bytes],
        deadline: float,
        on_line: OnLine | None,
        work: Callable[[SshCommand], T],
        *,
        last: bool,
        ends: Callable[[T], bool],
    ) -> T:
        """What comes of a script in a session of its own, which is over then unless it does not end with it."""
        clock = Clock(deadline)
        sudo = Sudo(self._link.route, self._asker, self._memory, clock)
        while True:
            marker = f"dsrwizard-{secrets.token_hex(12)}"
            root = self._user == "root"
            command = "/bin/sh -s" if root else sudo_command(f"[{marker}-sudo]", f"{marker}-ready")
            session = self._session(command, clock, marker, on_line)
            over = True
            try:
                if root or sudo.becomes_root(session, f"[{marker}-sudo]", f"{marker}-ready"):
                    session.send(sent(marker), last=last)
                    done = work(session)
                    over = ends(done)
                    return done
            except Overdue as error:
                raise self._overdue(deadline, begun=session.out.begun or root) from error
            except Flood as error:
                raise self._flooded(str(error), begun=session.out.begun or root) from error
            except (paramiko.SSHException, EOFError, OSError) as error:
                raise self._broken(begun=session.out.begun or root) from error
            finally:
                if over:
                    self._end(session)

    def close(self) -> None:
        """Ends the connection and its thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._link.close()

    def _session(self, command: str, clock: Clock, marker: str, on_line: OnLine | None) -> SshCommand:
        transport = self._link.transport
        transport.packets.allow(_TRAFFIC)
        patience = min(_OPENING, max(clock.left, 0.1))
        try:
            channel = self._opened(transport, patience)
            with within(transport, patience):  # waits without end for the answer
                channel.exec_command(command)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if not transport.is_active():
                lost = ConnectionLost(
                    f"{self._host}: the connection was lost.",
                    self._why("The script was not started."),
                    "Connect again.",
                )
                lost.begun = False
                raise lost from error
            raise SessionRefused(
                f"{self._host}: its SSH server does not open a session.",
                f"It says: {one_line(getattr(error, 'text', '') or str(error), 200).rstrip('.')}.",
                f"Check MaxSessions and ForceCommand for {self._user} in its sshd_config.",
            ) from error
        return SshCommand(channel, clock, marker.encode(), on_line)

    @staticmethod
    def _opened(transport: paramiko.Transport, patience: float) -> paramiko.Channel:
        """A session's channel. A server with room for one (MaxSessions 1) refuses the next while it still ends the
        last, so a refusal is asked about again for a moment."""
        end = time.monotonic() + min(_ENDING, patience)
        while True:
            try:
                return transport.open_session(timeout=patience)
            except paramiko.ChannelException:
                if time.monotonic() >= end or not transport.is_active():
                    raise
            time.sleep(0.05)

    def _answer(self, session: SshCommand) -> Answer:
        while session.step():
            pass
        if session.status is None:
            raise self._broken(begun=session.out.begun)
        if not session.out.begun:
            said = quote(session.err.noise or session.out.noise)
            raise NoPrivilege(
                f"{self._host}: {self._user} is logged in but gets no shell.",
                f"The host says: {said}" if said else f"The host says nothing (exit status {session.status}).",
                f"Give {self._user} a login shell there, without a forced command.",
            )
        return Answer(status=session.status, stdout=session.out.text, stderr=session.err.text)

    def _overdue(self, deadline: float, *, begun: bool) -> ConnectionLost:
        return ConnectionLost(
            f"{self._host}: the script did not finish within {deadline:g} s; dsrwizard stopped waiting.",
            "It may still be running; what it has done is unknown." if begun else "It was not started.",
            "Check the host again before you change anything else on it.",
        )

    def _broken(self, *, begun: bool) -> ConnectionLost:
        if begun:
            what = f"{self._host}: the connection broke, or the shell was killed, while the script ran."
            why = "What it had done by then is unknown."
        else:
            what = f"{self._host}: the connection broke while the script was being sent."
            why = "A script that arrives incomplete is not run; it is not known if this one arrived complete."
        return ConnectionLost(what, self._why(why), "Check the host again before you change anything else on it.")

    def _flooded(self, why: str, *, begun: bool) -> ConnectionLost:
        return ConnectionLost(
            f"{self._host}: dsrwizard stopped waiting for the script: {why}.",
            "It may still be running; what it has done is unknown." if begun else "It was not started.",
            f"Find out what prints so much there: the login files of {self._user}, or a program on that host.",
        )

    def _why(self, otherwise: str) -> str:
        """What ended the connection, where that is known."""
        trouble = self._link.transport.packets.trouble
        return f"dsrwizard ended it: {trouble}. {otherwise}" if trouble else otherwise

    def _end(self, session: SshCommand) -> None:
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            session.close()
